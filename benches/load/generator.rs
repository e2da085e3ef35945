//! The clients: SMTP sessions that send as an ordinary MTA does, and time what they wait for.
//!
//! Like `smtp-source` it waits for every reply (EHLO, MAIL, RCPT, DATA, message, QUIT); with
//! `pipelining` MAIL, RCPT and DATA leave in one write (RFC 2920). TCP_NODELAY is set and what
//! belongs together is written together, so no delayed ACK of the generator's making is measured.

use crate::Outcome;
use crate::measure::{self, Latencies};
use crate::message::Template;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// Messages up to this size leave in one write; larger ones piece by piece.
const ONE_WRITE: usize = 64 << 10;
/// A session that takes longer is given up and reported: nothing here may hang.
const SESSION_LIMIT: Duration = Duration::from_secs(300);
/// How long a held message waits for the others.
const HOLD_LIMIT: Duration = Duration::from_secs(120);
/// Failures told one by one; the others are counted.
const FAILURES_TOLD: usize = 5;

/// One run of the generator.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    /// `Some`: implicit TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) run: u32,
    pub(crate) template: Arc<Template>,
    pub(crate) messages: u32,
    /// Messages a connection.
    pub(crate) per_connection: u32,
    /// Connections at once.
    pub(crate) sessions: u32,
    pub(crate) threads: u32,
    pub(crate) pipelining: bool,
    /// Every message is sent but for its end, and ended when all have come so far.
    pub(crate) hold: bool,
    /// Starts a connection so often, whether or not the ones before are done (an open loop: a slow
    /// proxy is not spared the load it falls behind with). `None`: `sessions` are always under way.
    pub(crate) pace: Option<Duration>,
}

/// What the clients saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) elapsed: Duration,
    /// Sequence numbers of the messages answered 2yz.
    pub(crate) acknowledged: Vec<u32>,
    /// Messages answered 4yz.
    pub(crate) deferred: u32,
    /// Messages of somebody's answered 5yz.
    pub(crate) refused: u32,
    /// From the final dot to its reply.
    pub(crate) dot: Latencies,
    /// From connecting (or, for the second message of a connection and after, from MAIL) to the
    /// reply to the final dot.
    pub(crate) whole: Latencies,
    pub(crate) failures: Vec<String>,
    failed: usize,
}

impl Seen {
    fn fail(&mut self, failure: String) {
        self.failed += 1;
        if self.failures.len() < FAILURES_TOLD {
            self.failures.push(failure);
        } else if let Some(last) = self.failures.last_mut() {
            *last = format!("… and {} more", self.failed + 1 - FAILURES_TOLD);
        }
    }

    /// Adds what another thread, or another round, saw.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.elapsed = self.elapsed.max(other.elapsed);
        self.acknowledged.extend(other.acknowledged);
        self.deferred += other.deferred;
        self.refused += other.refused;
        self.dot.absorb(other.dot);
        self.whole.absorb(other.whole);
        other.failures.into_iter().for_each(|failure| self.fail(failure));
    }
}

/// What the sessions of a run share.
struct Shared {
    load: Load,
    next: AtomicU32,
    /// Messages that have come to the point where they are held, or failed before it.
    held: AtomicUsize,
}

/// Sends the load and waits until every session has ended.
///
/// # Errors
/// If a thread or its runtime cannot be had. What goes wrong in a session is in the result.
pub(crate) fn send(load: &Load) -> Outcome<Seen> {
    let shared = Arc::new(Shared { load: load.clone(), next: AtomicU32::new(0), held: AtomicUsize::new(0) });
    let started = Instant::now();
    let threads: u32 = if load.pace.is_some() || load.hold { 1 } else { load.threads.clamp(1, load.sessions) };
    let mut workers = Vec::new();
    for number in 0..threads {
        let sessions = load.sessions / threads + u32::from(number < load.sessions % threads);
        let shared = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        workers.push(std::thread::Builder::new().name("generator".into()).spawn(move || {
            if let Some(interval) = shared.load.pace {
                runtime.block_on(paced(shared, interval))
            } else {
                runtime.block_on(closed_loop(shared, sessions))
            }
        })?);
    }
    let mut seen = Seen::default();
    for worker in workers {
        seen.absorb(worker.join().map_err(|_| "a generator thread panicked")?);
    }
    seen.elapsed = started.elapsed();
    Ok(seen)
}

async fn closed_loop(shared: Arc<Shared>, sessions: u32) -> Seen {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..sessions {
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut seen = Seen::default();
            loop {
                let first = shared.next.fetch_add(shared.load.per_connection, Ordering::Relaxed);
                if first >= shared.load.messages {
                    return seen;
                }
                connection(&shared, first, &mut seen).await;
            }
        });
    }
    gather(tasks).await
}

async fn paced(shared: Arc<Shared>, interval: Duration) -> Seen {
    let mut tasks = tokio::task::JoinSet::new();
    let mut clock = tokio::time::interval(interval);
    for first in (0..shared.load.messages).step_by(shared.load.per_connection.max(1) as usize) {
        clock.tick().await;
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut seen = Seen::default();
            connection(&shared, first, &mut seen).await;
            seen
        });
    }
    gather(tasks).await
}

async fn gather(mut tasks: tokio::task::JoinSet<Seen>) -> Seen {
    let mut all = Seen::default();
    while let Some(task) = tasks.join_next().await {
        match task {
            Ok(seen) => all.absorb(seen),
            Err(error) => all.fail(error.to_string()),
        }
    }
    all
}

/// One connection with the messages from `first` on; its failure becomes part of `seen`.
async fn connection(shared: &Shared, first: u32, seen: &mut Seen) {
    let last = first.saturating_add(shared.load.per_connection).min(shared.load.messages);
    let outcome = tokio::time::timeout(SESSION_LIMIT, async {
        let begun = Instant::now();
        let stream = connect(shared.load.target).await?;
        match &shared.load.tls {
            Some(tls) => Session::new(handshake(stream, tls).await?).messages(shared, first..last, begun, seen).await,
            None => Session::new(stream).messages(shared, first..last, begun, seen).await,
        }
    })
    .await;
    let failure = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("session not done after {} s", SESSION_LIMIT.as_secs()),
    };
    shared.held.fetch_add(1, Ordering::Relaxed);
    seen.fail(failure);
}

async fn connect(target: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(target).await.map_err(|error| format!("connect: {error}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn handshake(stream: TcpStream, tls: &Arc<ClientConfig>) -> Outcome<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|error| format!("TLS handshake: {error}"))?)
}

/// The client's side of one connection.
pub(crate) struct Session<S> {
    stream: S,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn new(stream: S) -> Self {
        Self { stream, input: Vec::new(), output: Vec::new() }
    }

    async fn messages(&mut self, shared: &Shared, sequences: std::ops::Range<u32>, mut begun: Instant, seen: &mut Seen) -> Outcome<()> {
        self.greet().await?;
        let first = sequences.start;
        for sequence in sequences {
            if sequence != first {
                begun = Instant::now();
            }
            let Some(dot) = self.message(shared, sequence).await? else {
                seen.deferred += 1;
                shared.held.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let (code, reply) = self.reply().await?;
            match code {
                200..=299 => {
                    seen.dot.record(dot.elapsed());
                    seen.whole.record(begun.elapsed());
                    seen.acknowledged.push(sequence);
                }
                400..=499 => seen.deferred += 1,
                500..=599 if shared.load.template.is_mail() => seen.refused += 1,
                _ => return Err(format!("end of data: {reply}").into()),
            }
        }
        self.ask("QUIT", b"QUIT\r\n", 221).await
    }

    /// Banner and EHLO.
    async fn greet(&mut self) -> Outcome<()> {
        match self.reply().await? {
            (220, _) => self.ask("EHLO", b"EHLO load.client.example\r\n", 250).await,
            (_, reply) => Err(format!("banner: {reply}").into()),
        }
    }

    /// Sends one message up to the end of data: when that left, or `None` if it was deferred before.
    async fn message(&mut self, shared: &Shared, sequence: u32) -> Outcome<Option<Instant>> {
        const MAIL: &[u8] = b"MAIL FROM:<load@client.example>\r\n";
        const RCPT: &[u8] = b"RCPT TO:<sink@example.org>\r\n";
        const DATA: &[u8] = b"DATA\r\n";
        let load = &shared.load;
        if load.pipelining {
            self.write(&[MAIL, RCPT, DATA].concat()).await?;
        }
        for (command, expected) in [(MAIL, 250), (RCPT, 250), (DATA, 354)] {
            if !load.pipelining {
                self.write(command).await?;
            }
            let (code, reply) = self.reply().await?;
            if code == expected {
                continue;
            }
            let command = String::from_utf8_lossy(command.trim_ascii_end()).into_owned();
            if !(400..=499).contains(&code) || load.pipelining {
                return Err(format!("{command}: {reply}").into());
            }
            self.write(b"RSET\r\n").await?;
            self.reply().await?;
            return Ok(None);
        }
        let template = &load.template;
        self.output.clear();
        template.head(load.run, sequence, &mut self.output);
        if template.size(sequence) <= ONE_WRITE {
            template.pieces(sequence).for_each(|piece| self.output.extend_from_slice(piece));
        } else {
            self.stream.write_all(&self.output).await?;
            for piece in template.pieces(sequence) {
                for piece in piece.chunks(ONE_WRITE) {
                    self.stream.write_all(piece).await?;
                }
            }
            self.output.clear();
        }
        if load.hold {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await?;
            self.output.clear();
            hold(shared).await;
        }
        template.foot(sequence, &mut self.output);
        let dot = Instant::now();
        self.stream.write_all(&self.output).await?;
        self.stream.flush().await?;
        Ok(Some(dot))
    }

    async fn write(&mut self, octets: &[u8]) -> Outcome<()> {
        self.stream.write_all(octets).await?;
        Ok(self.stream.flush().await?)
    }

    async fn ask(&mut self, name: &str, command: &[u8], expected: u16) -> Outcome<()> {
        self.write(command).await?;
        match self.reply().await? {
            (code, _) if code == expected => Ok(()),
            (_, reply) => Err(format!("{name}: {reply}").into()),
        }
    }

    /// The next reply: its code and its last line.
    async fn reply(&mut self) -> Outcome<(u16, String)> {
        let mut from = 0;
        loop {
            while let Some(length) = memchr::memchr(b'\n', self.input.get(from..).unwrap_or_default()) {
                let line = self.input.get(from..from + length).unwrap_or_default().trim_ascii_end();
                from += length + 1;
                if line.get(3) == Some(&b'-') {
                    continue;
                }
                let line = String::from_utf8_lossy(line).into_owned();
                let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or_else(|| format!("not a reply: {line}"))?;
                self.input.drain(..from);
                return Ok((code, line));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err("the connection was closed where a reply was due".into());
            }
        }
    }
}

/// Waits until every message has come as far, so that all are under way at the same moment.
async fn hold(shared: &Shared) {
    shared.held.fetch_add(1, Ordering::Relaxed);
    let deadline = Instant::now() + HOLD_LIMIT;
    while shared.held.load(Ordering::Relaxed) < shared.load.messages as usize && Instant::now() < deadline {
        tokio::time::sleep(measure::BREATH).await;
    }
}

/// Opens `count` TLS sessions, `at_once` at a time, each as far as the reply to EHLO, and runs
/// `measure` while they stand idle.
///
/// # Errors
/// If one of them cannot be opened.
pub(crate) fn idle<T>(
    target: SocketAddr,
    tls: &Arc<ClientConfig>,
    count: u32,
    at_once: u32,
    measure: impl FnOnce() -> Outcome<T>,
) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let sessions = runtime.block_on(async {
        let mut sessions = Vec::with_capacity(count as usize);
        let mut tasks = tokio::task::JoinSet::new();
        let mut begun = 0;
        while begun < count || !tasks.is_empty() {
            while begun < count && tasks.len() < at_once as usize {
                let tls = Arc::clone(tls);
                tasks.spawn(async move {
                    let mut session = Session::new(handshake(connect(target).await?, &tls).await?);
                    session.greet().await?;
                    Outcome::Ok(session)
                });
                begun += 1;
            }
            if let Some(session) = tasks.join_next().await {
                sessions.push(session??);
            }
        }
        Outcome::Ok(sessions)
    })?;
    let measured = measure();
    drop(sessions);
    measured
}
