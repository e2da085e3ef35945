//! A connection, in clear or under TLS, with lines and octets buffered.

use super::wait::PATIENCE;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned, pki_types::ServerName};
use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

enum Stream {
    Plain(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// A connection with what was read from it and not taken yet.
pub struct Wire {
    stream: Option<Stream>,
    buffer: Vec<u8>,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Wire {
    pub fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let (local, peer) = (tcp.local_addr()?, tcp.peer_addr()?);
        Ok(Self { stream: Some(Stream::Plain(tcp)), buffer: Vec::new(), local, peer })
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    fn stream(&mut self) -> &mut Stream {
        self.stream.as_mut().expect("a handshake failed before")
    }

    pub fn tcp(&self) -> &TcpStream {
        match self.stream.as_ref().expect("a handshake failed before") {
            Stream::Plain(tcp) => tcp,
            Stream::Client(tls) => &tls.sock,
            Stream::Server(tls) => &tls.sock,
        }
    }

    pub fn set_patience(&self, patience: Duration) {
        self.tcp().set_read_timeout(Some(patience)).unwrap();
    }

    fn take_plain(&mut self) -> TcpStream {
        match self.stream.take() {
            Some(Stream::Plain(tcp)) => tcp,
            _ => panic!("TLS inside TLS"),
        }
    }

    /// Becomes TLS, as client; `Err` where the handshake fails, and the wire is of no use then.
    pub fn connect_tls(&mut self, config: &Arc<ClientConfig>, name: &str) -> io::Result<()> {
        let mut tcp = self.take_plain();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        self.buffer.clear();
        self.stream = Some(Stream::Client(Box::new(StreamOwned::new(tls, tcp))));
        Ok(())
    }

    /// Becomes TLS, as server.
    pub fn accept_tls(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let mut tcp = self.take_plain();
        let mut tls = ServerConnection::new(Arc::clone(config)).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        self.buffer.clear();
        self.stream = Some(Stream::Server(Box::new(StreamOwned::new(tls, tcp))));
        Ok(())
    }

    /// The session of TLS, as a client.
    pub fn tls(&self) -> Option<&ClientConnection> {
        match &self.stream {
            Some(Stream::Client(tls)) => Some(&tls.conn),
            _ => None,
        }
    }

    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let writer: &mut dyn Write = match self.stream() {
            Stream::Plain(tcp) => tcp,
            Stream::Client(tls) => tls,
            Stream::Server(tls) => tls,
        };
        writer.write_all(octets)?;
        writer.flush()
    }

    /// Reads more into the buffer; 0 at the end, also where the peer closed without TLS's goodbye.
    pub fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 65536];
        let reader: &mut dyn Read = match self.stream() {
            Stream::Plain(tcp) => tcp,
            Stream::Client(tls) => tls,
            Stream::Server(tls) => tls,
        };
        let read = match reader.read(&mut piece) {
            Err(e) if matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => 0,
            other => other?,
        };
        self.buffer.extend_from_slice(&piece[..read]);
        Ok(read)
    }

    /// What is buffered and not taken.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes `n` buffered octets.
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(n);
        std::mem::replace(&mut self.buffer, rest)
    }

    /// The next line without its CRLF; `None` at the end.
    pub fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer[searched..], b"\r\n") {
                let mut line = self.take(searched + at + 2);
                line.truncate(searched + at);
                return Ok(Some(line));
            }
            searched = self.buffer.len().saturating_sub(1);
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Exactly `n` octets; `None` where the end comes first.
    pub fn exactly(&mut self, n: usize) -> io::Result<Option<Vec<u8>>> {
        while self.buffer.len() < n {
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(self.take(n)))
    }

    /// Whether the peer has read all that was sent: what the kernel says of the other end of this
    /// connection. Makes a cut between two segments a real one.
    pub fn is_read_by_peer(&self) -> bool {
        let place = |address: SocketAddr| match address {
            SocketAddr::V4(v4) => format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port()),
            SocketAddr::V6(_) => panic!("the tests speak IPv4"),
        };
        let (here, there) = (place(self.local), place(self.peer));
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        // There may be thousands of lines; two of them are about this connection.
        table.lines().filter(|line| line.contains(&here) && line.contains(&there)).all(|line| {
            // sl local rem st tx_queue:rx_queue: ours has nothing unacknowledged, theirs nothing unread.
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            if fields[1] == here { fields[4].starts_with("00000000:") } else { fields[4].ends_with(":00000000") }
        })
    }
}
