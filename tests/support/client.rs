//! A client that sends exactly the octets a test wants sent.

use super::{wait, wire::Wire};
use rustls::ClientConfig;
use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    /// Without code and line end.
    pub lines: Vec<String>,
}

impl Reply {
    /// All lines, divided by `\n`.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
    /// The enhanced status code, where there is one.
    pub fn status(&self) -> &str {
        let word = self.lines[0].split(' ').next().unwrap_or_default();
        if word.split('.').count() == 3 && word.starts_with(['2', '4', '5']) { word } else { "" }
    }
    pub fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }
}

pub struct Client {
    wire: Wire,
}

impl Client {
    /// Connects; the banner is not read.
    pub fn connect(to: SocketAddr) -> Self {
        Self::try_connect(to).unwrap()
    }

    pub fn try_connect(to: SocketAddr) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&to, wait::PATIENCE)?;
        Ok(Self { wire: Wire::new(tcp)? })
    }

    /// Connects from another loopback address, for limits that count by client.
    pub fn connect_from(from: IpAddr, to: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.connect(&to.into()).unwrap();
        Self { wire: Wire::new(socket.into()).unwrap() }
    }

    /// Connects, reads the banner, says EHLO.
    pub fn greeted(to: SocketAddr) -> Self {
        let mut client = Self::connect(to);
        client.banner();
        client.ask("EHLO client.example.net").must(250);
        client
    }

    /// The same under TLS by STARTTLS.
    pub fn secured(to: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let mut client = Self::greeted(to);
        client.ask("STARTTLS").must(220);
        client.start_tls(config, "mx.example.org").unwrap();
        client.ask("EHLO client.example.net").must(250);
        client
    }

    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    pub fn banner(&mut self) -> Reply {
        self.reply().must(220)
    }

    /// Sends octets as they are.
    pub fn send(&mut self, octets: impl AsRef<[u8]>) -> &mut Self {
        self.wire.send(octets.as_ref()).unwrap();
        self
    }

    /// Waits until the server has taken all of it out of its socket, so that what is sent next is
    /// a read of its own.
    pub fn settle(&mut self) -> &mut Self {
        wait::until("the server to read what was sent", || self.wire.is_read_by_peer().then_some(()));
        self
    }

    /// Sends a line and its CRLF.
    pub fn say(&mut self, line: &str) -> &mut Self {
        self.send(format!("{line}\r\n"))
    }

    /// Sends a line and reads the reply.
    pub fn ask(&mut self, line: &str) -> Reply {
        self.say(line);
        self.try_reply().unwrap_or_else(|e| panic!("{e} after {line:?}"))
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().unwrap()
    }

    /// The next whole reply; an error where the connection ends first or the octets are no reply.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        loop {
            let line = self.wire.line()?.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed"))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let code = line.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let dash = line.get(3..4).unwrap_or(" ");
            if !(200..600).contains(&code) || !matches!(dash, " " | "-") || (reply.code != 0 && code != reply.code) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no reply: {line:?}")));
            }
            reply.code = code;
            reply.lines.push(line.get(4..).unwrap_or_default().to_owned());
            if dash == " " {
                return Ok(reply);
            }
        }
    }

    /// Waits for the server to close; what it still said, if anything.
    pub fn closed(&mut self) -> Vec<u8> {
        while self.wire.fill().unwrap() > 0 {}
        let all = self.wire.buffered().len();
        self.wire.take(all)
    }

    pub fn start_tls(&mut self, config: &Arc<ClientConfig>, name: &str) -> io::Result<()> {
        self.wire.connect_tls(config, name)
    }

    /// MAIL and RCPT, which must be accepted, then DATA.
    pub fn begin_data(&mut self, from: &str, to: &[&str]) -> &mut Self {
        self.ask(&format!("MAIL FROM:<{from}>")).must(250);
        for recipient in to {
            self.ask(&format!("RCPT TO:<{recipient}>")).must(250);
        }
        self.ask("DATA").must(354);
        self
    }

    /// A whole transaction; `content` is dot-stuffed here and ends with CRLF. The final reply.
    pub fn deliver(&mut self, from: &str, to: &[&str], content: &[u8]) -> Reply {
        self.begin_data(from, to);
        let stuffed = stuff(content);
        self.send(stuffed).send(".\r\n");
        self.reply()
    }

    /// A whole transaction in one BDAT.
    pub fn deliver_chunked(&mut self, from: &str, to: &[&str], content: &[u8]) -> Reply {
        self.ask(&format!("MAIL FROM:<{from}>")).must(250);
        for recipient in to {
            self.ask(&format!("RCPT TO:<{recipient}>")).must(250);
        }
        self.send([format!("BDAT {} LAST\r\n", content.len()).as_bytes(), content].concat());
        self.reply()
    }

    pub fn patience(&self, patience: Duration) {
        self.wire.set_patience(patience);
    }
}

impl Reply {
    /// This reply, which must have that code.
    #[track_caller]
    pub fn must(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
    /// This reply, which must have that code and enhanced status code.
    #[track_caller]
    pub fn must_be(self, code: u16, status: &str) -> Self {
        assert_eq!((self.code, self.status()), (code, status), "{self:?}");
        self
    }
}

/// Doubles the dots that begin a line (RFC 5321 §4.5.2); what ends a line is CRLF and nothing else.
pub fn stuff(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 16);
    let mut before = [b'\r', b'\n'];
    for &octet in content {
        if before == [b'\r', b'\n'] && octet == b'.' {
            out.push(b'.');
        }
        out.push(octet);
        before = [before[1], octet];
    }
    out
}

/// A small message with a subject.
pub fn message(subject: &str) -> Vec<u8> {
    format!("From: a@example.net\r\nTo: b@example.org\r\nSubject: {subject}\r\nMessage-ID: <{subject}@example.net>\r\n\r\nHello.\r\n")
        .into_bytes()
}
