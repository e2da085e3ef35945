//! The MTA behind: takes every message, keeps none, and remembers which came, how often and whether
//! whole.
//!
//! It offers what a real one does (PIPELINING, SIZE, 8BITMIME, CHUNKING, DSN, ENHANCEDSTATUSCODES)
//! and understands DATA and BDAT, so that a proxy may use either. It answers a pipelined group in
//! one write.

use crate::message::{self, MARK, MARK_VALUE, Mark, TAIL};
use crate::{Outcome, measure};
use memchr::memmem;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

const EHLO: &[u8] =
    b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 DSN\r\n";
const FIRST_BUFFER: usize = 4 << 10;
const LARGEST_BUFFER: usize = 256 << 10;
/// The mark stands below at most this much of what a proxy adds.
const LONGEST_TRACE: usize = 16 << 10;

/// What came of one run.
pub(crate) struct Ledger {
    run: u32,
    seen: Vec<AtomicU8>,
    octets: AtomicU64,
    damaged: AtomicU64,
    strangers: AtomicU64,
}

impl Ledger {
    fn new(run: u32, messages: u32) -> Self {
        Self {
            run,
            seen: (0..messages).map(|_| AtomicU8::new(0)).collect(),
            octets: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
        }
    }

    fn enter(&self, arrival: &Arrival) {
        let Some(mark) = arrival.mark.filter(|mark| mark.run == self.run) else {
            self.strangers.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let whole = arrival.octets == mark.length && arrival.last == message::tail(mark.sequence).as_bytes();
        match self.seen.get(mark.sequence as usize) {
            Some(seen) if whole => {
                seen.fetch_add(1, Ordering::Relaxed);
                self.octets.fetch_add(arrival.octets, Ordering::Relaxed);
            }
            Some(_) => {
                self.damaged.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                self.strangers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn count(&self, sequence: u32) -> u8 {
        self.seen.get(sequence as usize).map_or(0, |seen| seen.load(Ordering::Relaxed))
    }

    /// Whether any of these has not come yet.
    pub(crate) fn is_missing_any(&self, acknowledged: &[u32]) -> bool {
        acknowledged.iter().any(|&sequence| self.count(sequence) == 0)
    }

    /// What is wrong, given which messages were acknowledged to the generator: lost, doubled,
    /// damaged, or from nowhere.
    pub(crate) fn audit(&self, acknowledged: &[u32]) -> Vec<String> {
        let lost = acknowledged.iter().filter(|&&sequence| self.count(sequence) == 0).count() as u64;
        let doubled = self.seen.iter().filter(|seen| seen.load(Ordering::Relaxed) > 1).count() as u64;
        [
            (lost, "acknowledged but lost"),
            (doubled, "doubled"),
            (self.damaged.load(Ordering::Relaxed), "not whole"),
            (self.strangers.load(Ordering::Relaxed), "never sent"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} messages {what}"))
        .collect()
    }
}

/// A running sink; its threads end with the process.
pub(crate) struct Sink {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    books: Arc<RwLock<Arc<Ledger>>>,
}

impl Sink {
    /// Listens in clear and with implicit TLS (for the direct path of the TLS cases), on `threads`
    /// threads.
    pub(crate) fn start(threads: usize, tls: Arc<ServerConfig>) -> Outcome<Self> {
        let books = Arc::new(RwLock::new(Arc::new(Ledger::new(0, 0))));
        let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let secured = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let sink = Self { plain: plain.local_addr()?, tls: secured.local_addr()?, books: Arc::clone(&books) };
        for listener in [&plain, &secured] {
            listener.set_nonblocking(true)?;
            // std asks for a backlog of 128; thousands of connections come in a second.
            rustix::net::listen(listener, 4_096)?;
        }
        for _ in 0..threads {
            let (plain, secured) = (plain.try_clone()?, secured.try_clone()?);
            let (books, tls) = (Arc::clone(&books), TlsAcceptor::from(Arc::clone(&tls)));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            std::thread::Builder::new().name("sink".into()).spawn(move || {
                runtime.block_on(async {
                    tokio::join!(listen(plain, None, Arc::clone(&books)), listen(secured, Some(tls), books));
                });
            })?;
        }
        Ok(sink)
    }

    /// Opens the book of a run of `messages`.
    pub(crate) fn expect(&self, run: u32, messages: u32) -> Arc<Ledger> {
        let ledger = Arc::new(Ledger::new(run, messages));
        *self.books.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ledger);
        ledger
    }
}

async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, books: Arc<RwLock<Arc<Ledger>>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: without a breath this would spin.
            tokio::time::sleep(measure::BREATH).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (tls, books) = (tls.clone(), Arc::clone(&books));
        // A peer that goes away shows up in the books as a message that never came.
        tokio::spawn(async move {
            match tls {
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => converse(stream, &books).await,
                    Err(error) => Err(error),
                },
                None => converse(stream, &books).await,
            }
        });
    }
}

#[derive(Clone, Copy)]
enum State {
    Commands,
    Data,
    Chunk { left: usize, last: bool },
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, books: &RwLock<Arc<Ledger>>) -> std::io::Result<()> {
    let mut input = Input { octets: vec![0; FIRST_BUFFER], start: 0, end: 0 };
    let mut output = b"220 sink.test ESMTP\r\n".to_vec();
    let mut state = State::Commands;
    let mut arrival = Arrival::default();
    loop {
        let closing = advance(&mut input, &mut state, &mut arrival, &mut output, books);
        if !output.is_empty() {
            stream.write_all(&output).await?;
            stream.flush().await?;
            output.clear();
        }
        if closing || input.fill(&mut stream).await? == 0 {
            return stream.shutdown().await;
        }
    }
}

/// Does all that the input allows; true after QUIT.
fn advance(input: &mut Input, state: &mut State, arrival: &mut Arrival, output: &mut Vec<u8>, books: &RwLock<Arc<Ledger>>) -> bool {
    let finish = |arrival: &mut Arrival, output: &mut Vec<u8>| {
        books.read().unwrap_or_else(PoisonError::into_inner).enter(arrival);
        output.extend_from_slice(b"250 2.0.0 Ok: queued as 4bN0aZ1qLz\r\n");
        *arrival = Arrival::default();
    };
    loop {
        match *state {
            State::Data => {
                let (used, done) = unstuff(input.pending(), arrival);
                input.start += used;
                if !done {
                    return false;
                }
                finish(arrival, output);
                *state = State::Commands;
            }
            State::Chunk { left, last } => {
                let piece = input.pending();
                let piece = piece.get(..left.min(piece.len())).unwrap_or_default();
                arrival.push(piece);
                let left = left - piece.len();
                input.start += piece.len();
                if left > 0 {
                    *state = State::Chunk { left, last };
                    return false;
                }
                if last {
                    finish(arrival, output);
                } else {
                    output.extend_from_slice(b"250 2.0.0 Ok\r\n");
                }
                *state = State::Commands;
            }
            State::Commands => {
                let Some(length) = memchr::memchr(b'\n', input.pending()) else { return false };
                let line = input.pending().get(..length).unwrap_or_default().trim_ascii();
                let (verb, rest) = line.split_at_checked(4).unwrap_or((line, b""));
                let mut closing = false;
                match verb.to_ascii_uppercase().as_slice() {
                    b"EHLO" => output.extend_from_slice(EHLO),
                    b"DATA" => {
                        *state = State::Data;
                        output.extend_from_slice(b"354 Go ahead\r\n");
                    }
                    b"BDAT" => match chunk(rest) {
                        Some(chunk) => *state = chunk,
                        None => output.extend_from_slice(b"501 5.5.4 BDAT what?\r\n"),
                    },
                    b"MAIL" | b"RCPT" | b"RSET" | b"NOOP" | b"HELO" => output.extend_from_slice(b"250 2.1.0 Ok\r\n"),
                    b"QUIT" => {
                        output.extend_from_slice(b"221 2.0.0 Bye\r\n");
                        closing = true;
                    }
                    _ => output.extend_from_slice(b"500 5.5.2 Command not recognised\r\n"),
                }
                input.start += length + 1;
                if closing {
                    return true;
                }
            }
        }
    }
}

/// `SIZE [LAST]` (RFC 3030 §2).
fn chunk(arguments: &[u8]) -> Option<State> {
    let arguments = std::str::from_utf8(arguments).ok()?.trim();
    let (size, last) = match arguments.split_once(' ') {
        Some((size, word)) if word.eq_ignore_ascii_case("LAST") => (size, true),
        Some(_) => return None,
        None => (arguments, false),
    };
    Some(State::Chunk { left: size.parse().ok()?, last })
}

/// Takes DATA's octets up to the end of data (`CRLF . CRLF`), or as far as they go: how many were
/// used, and whether that was the end. What could still become an end stays unused.
///
/// The very first line is not looked at: it is a header field of a proxy's or the mark.
fn unstuff(octets: &[u8], arrival: &mut Arrival) -> (usize, bool) {
    let mut from = 0;
    for at in memmem::find_iter(octets, b"\r\n.") {
        arrival.push(octets.get(from..at).unwrap_or_default());
        match octets.get(at + 3..at + 5) {
            None => return (at, false),
            Some(b"\r\n") => {
                arrival.push(b"\r\n");
                return (at + 5, true);
            }
            Some(_) => arrival.push(b"\r\n"),
        }
        from = at + 3;
    }
    let rest = octets.get(from..).unwrap_or_default();
    let kept = if rest.ends_with(b"\r\n") { 2 } else { usize::from(rest.ends_with(b"\r")) };
    arrival.push(rest.get(..rest.len() - kept).unwrap_or_default());
    (octets.len() - kept, false)
}

/// A message on its way in.
#[derive(Default)]
struct Arrival {
    /// The octets above the mark, until it is found.
    trace: Vec<u8>,
    mark: Option<Mark>,
    /// Octets from the mark on.
    octets: u64,
    /// The latest octets, as many as the tail has.
    last: Vec<u8>,
}

impl Arrival {
    fn push(&mut self, octets: &[u8]) {
        if self.mark.is_some() {
            self.count(octets);
        } else if self.trace.len() < LONGEST_TRACE {
            self.trace.extend_from_slice(octets.get(..octets.len().min(LONGEST_TRACE)).unwrap_or_default());
            let Some(at) = memmem::find(&self.trace, MARK) else { return };
            let value = at + MARK.len();
            let Some(mark) = self.trace.get(value..value + MARK_VALUE) else { return };
            self.mark = Mark::parse(mark);
            let above = self.trace.len() - octets.len().min(LONGEST_TRACE);
            let before = std::mem::take(&mut self.trace);
            self.count(before.get(at..above).unwrap_or_default());
            self.count(octets.get(at.saturating_sub(above)..).unwrap_or_default());
        }
    }

    fn count(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        if octets.len() >= TAIL {
            self.last.clear();
        } else {
            let surplus = (self.last.len() + octets.len()).saturating_sub(TAIL);
            self.last.drain(..surplus);
        }
        self.last.extend_from_slice(octets.get(octets.len().saturating_sub(TAIL)..).unwrap_or_default());
    }
}

/// A read buffer that starts small (thousands of idle sessions) and grows with what comes.
struct Input {
    octets: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    fn pending(&self) -> &[u8] {
        self.octets.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads once; 0 at the end of the stream.
    async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> std::io::Result<usize> {
        self.octets.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end * 2 > self.octets.len() && self.octets.len() < LARGEST_BUFFER {
            self.octets.resize(self.octets.len() * 8, 0);
        }
        let read = stream.read(self.octets.get_mut(self.end..).unwrap_or_default()).await?;
        if self.end + read == self.octets.len() && self.octets.len() < LARGEST_BUFFER {
            self.octets.resize(self.octets.len() * 8, 0);
        }
        self.end += read;
        Ok(read)
    }
}
