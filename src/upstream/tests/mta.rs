//! An MTA that follows a script: one for each connection, in order.
//!
//! | line | does |
//! | --- | --- |
//! | `S: text` | says a line |
//! | `C: text` | expects that line; a `*` at the end stands for anything |
//! | `BDAT` | expects a chunk with LAST, and keeps it |
//! | `DATA` | expects text up to the dot, and keeps it as it came |
//! | `TLS` | does the handshake |
//! | `PROXY` | expects a PROXY v2 header, and keeps it |
//! | `HANG` | says nothing more, reads nothing more, and keeps the connection |
//! | `WAIT` | waits for [`Mta::go_on`] |
//! | (the end) | closes the connection |
//!
//! Lines of `S:` that follow each other go out in one write.
use crate::upstream::Endpoint;
use rustls::HandshakeKind;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

pub(super) struct Mta {
    pub endpoint: Endpoint,
    pub address: SocketAddr,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    /// Messages and headers as they came, on whatever connection.
    kept: Mutex<Vec<Vec<u8>>>,
    /// What was not as in the script.
    wrong: Mutex<Vec<String>>,
    /// Handshakes that resumed a session.
    resumed: Mutex<usize>,
    /// Scripts that ran to their end.
    done: Mutex<usize>,
    go_on: Notify,
}

/// Greets, and offers what a modern server does.
pub(super) const MODERN: &str =
    "S: 220 mx.test\nC: EHLO octroi.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-SIZE 0\nS: 250-8BITMIME\nS: 250 CHUNKING\n";
/// Knows no extension but PIPELINING.
pub(super) const PLAIN: &str = "S: 220 mx.test\nC: EHLO octroi.test\nS: 250-mx.test\nS: 250 PIPELINING\n";
/// MAIL and RCPT as the tests send them, to a server without SIZE.
pub(super) const ENVELOPE: &str = "C: MAIL FROM:<s@example.org>*\nC: RCPT TO:<r@example.com>\nS: 250 sender\nS: 250 recipient\n";

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Mta {
    pub(super) async fn start(scripts: &[&[&str]]) -> Self {
        Self::start_tls(scripts, None).await
    }

    pub(super) async fn start_tls(scripts: &[&[&str]], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scripts: Vec<String> = scripts.iter().map(|parts| parts.concat()).collect();
        let log = Arc::new(Log::default());
        let task = tokio::spawn(accept(listener, scripts, tls, Arc::clone(&log)));
        Self { endpoint: Endpoint::parse(&address.to_string()).unwrap(), address, log, task }
    }

    pub(super) fn kept(&self) -> Vec<Vec<u8>> {
        self.log.kept.lock().unwrap().clone()
    }
    pub(super) fn resumed(&self) -> usize {
        *self.log.resumed.lock().unwrap()
    }
    pub(super) fn done(&self) -> usize {
        *self.log.done.lock().unwrap()
    }
    /// Lets a script pass its next `WAIT`.
    pub(super) fn go_on(&self) {
        self.log.go_on.notify_one();
    }
    /// Every script ran to its end, as written.
    pub(super) async fn finished(&self, scripts: usize) {
        super::eventually(|| self.done() + self.log.wrong.lock().unwrap().len() >= scripts).await;
        let wrong = self.log.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

impl Drop for Mta {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, scripts: Vec<String>, tls: Option<TlsAcceptor>, log: Arc<Log>) {
    let mut connections = JoinSet::new();
    for script in scripts {
        let (stream, _) = listener.accept().await.unwrap();
        let (log, tls) = (Arc::clone(&log), tls.clone());
        connections.spawn(async move {
            let mut peer = Peer { stream: Box::new(stream), input: Vec::new() };
            match peer.play(&script, tls, &log).await {
                Ok(()) => *log.done.lock().unwrap() += 1,
                Err(wrong) => log.wrong.lock().unwrap().push(wrong),
            }
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

struct Peer {
    stream: Box<dyn Io>,
    input: Vec<u8>,
}

impl Peer {
    async fn play(&mut self, script: &str, tls: Option<TlsAcceptor>, log: &Log) -> Result<(), String> {
        let mut say = String::new();
        let mut steps = script.lines().peekable();
        while let Some(step) = steps.next() {
            if let Some(text) = step.strip_prefix("S: ") {
                say.push_str(text);
                say.push_str("\r\n");
                if steps.peek().is_none_or(|next| !next.starts_with("S: ")) {
                    self.stream.write_all(say.as_bytes()).await.map_err(|e| format!("{say:?}: {e}"))?;
                    self.stream.flush().await.map_err(|e| e.to_string())?;
                    say.clear();
                }
            } else if let Some(expected) = step.strip_prefix("C: ") {
                let line = self.line().await.map_err(|e| format!("instead of {expected:?}: {e}"))?;
                let as_expected = expected.strip_suffix('*').map_or(line == expected, |begin| line.starts_with(begin));
                if !as_expected {
                    return Err(format!("{line:?} instead of {expected:?}"));
                }
            } else {
                match step {
                    "BDAT" => {
                        let line = self.line().await?;
                        let size = line.strip_prefix("BDAT ").and_then(|rest| rest.strip_suffix(" LAST"));
                        let size = size.ok_or_else(|| format!("{line:?} instead of BDAT"))?.parse().unwrap();
                        let chunk = self.octets(size).await?;
                        log.kept.lock().unwrap().push(chunk);
                    }
                    "DATA" => {
                        let mut text = Vec::new();
                        while !text.ends_with(b"\r\n.\r\n") {
                            text.push(self.octets(1).await?[0]);
                        }
                        log.kept.lock().unwrap().push(text);
                    }
                    "PROXY" => {
                        let mut header = self.octets(16).await?;
                        let rest = u16::from_be_bytes([header[14], header[15]]);
                        header.extend(self.octets(rest.into()).await?);
                        log.kept.lock().unwrap().push(header);
                    }
                    "TLS" => {
                        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
                        let handshake = tls.as_ref().unwrap().accept(stream).await;
                        let stream = handshake.map_err(|e| format!("handshake: {e}"))?;
                        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                        *log.resumed.lock().unwrap() += usize::from(resumed);
                        self.stream = Box::new(stream);
                    }
                    "HANG" => std::future::pending().await,
                    "WAIT" => log.go_on.notified().await,
                    other => panic!("{other:?} is no step"),
                }
            }
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), String> {
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => Err("the end".to_owned()),
            Ok(_) => Ok(()),
            Err(e) => Err(e.to_string()),
        }
    }
    async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(at) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.input.drain(..at + 2).take(at).collect();
                return Ok(String::from_utf8(line).unwrap());
            }
            self.fill().await?;
        }
    }
    async fn octets(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.input.len() < count {
            self.fill().await?;
        }
        Ok(self.input.drain(..count).collect())
    }
}
