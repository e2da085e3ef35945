//! A server that does wrong on demand, and writes down what it got.
//!
//! It reads as strictly as RFC 5321 says: what it takes for the end of data is CRLF . CRLF and
//! nothing else, so that what it recorded is what was sent.

mod session;

use super::{places, wait};
use rustls::ServerConfig;
use std::{
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// A moment at which the server has something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Greeting,
    Hello,
    StartTls,
    Xclient,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// Inside the content, after some of it has come.
    Body,
    /// A chunk that is not the last.
    Chunk,
    /// After the end of the content; the message is kept unless the answer is a refusal.
    Final,
    Rset,
    Noop,
    Quit,
}

/// What it does then, instead of the usual.
#[derive(Debug, Clone)]
pub enum Act {
    /// Says this (lines divided by CRLF, the last CRLF is added).
    Say(String),
    /// Says this and closes.
    SayAndClose(String),
    /// Sends these octets and nothing else.
    Raw(Vec<u8>),
    /// Sends these octets and closes.
    RawAndClose(Vec<u8>),
    /// Closes without a word.
    Close,
    /// Resets the connection.
    Abort,
    /// Says nothing any more and reads nothing any more, until the peer goes.
    Hang,
    /// Waits, then goes on as usual.
    Late(Duration),
    /// Waits until that is set, then says this.
    When(Arc<AtomicBool>, String),
    /// Says the usual octet by octet, with a pause after each.
    Drip(Duration),
}

/// A message it got.
#[derive(Debug, Clone)]
pub struct Received {
    pub session: usize,
    /// The lines of MAIL and RCPT, parameters and all.
    pub mail: String,
    pub recipients: Vec<String>,
    /// Dots unstuffed.
    pub content: Vec<u8>,
    /// Came by BDAT, in so many chunks; 0: by DATA.
    pub chunks: usize,
    /// What was answered; `None` where nothing was.
    pub answer: Option<String>,
    /// What was said before it in the session about the client (XCLIENT), line by line.
    pub xclient: Vec<String>,
}

impl Received {
    /// The server answers for it: it was not refused (an answer that got lost refuses nothing).
    pub fn is_kept(&self) -> bool {
        self.answer.as_deref().is_none_or(|answer| answer.starts_with('2'))
    }
    /// Without the header fields that octroi put in front: what the client sent.
    pub fn original(&self) -> &[u8] {
        let at = memchr::memmem::find(&self.content, b"\r\nReceived: ").map_or(0, |at| at + 2);
        let own = if self.content.starts_with(b"Received: ") { 0 } else { at };
        let mut rest = &self.content[own..];
        // Received and its folded lines.
        while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
            rest = &rest[end + 2..];
            if !rest.starts_with(b" ") && !rest.starts_with(b"\t") {
                break;
            }
        }
        rest
    }
}

/// What one connection was about.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// Every command line that came, in order (of AUTH too).
    pub lines: Vec<String>,
    /// The PROXY header it began with.
    pub proxy: Vec<u8>,
    pub tls: bool,
    pub is_open: bool,
}

struct Shared {
    extensions: Mutex<Vec<String>>,
    tls: Option<Arc<ServerConfig>>,
    proxy: bool,
    acts: Mutex<Vec<(Step, Act, usize)>>,
    received: Mutex<Vec<Received>>,
    connections: Mutex<Vec<Connection>>,
    sockets: Mutex<Vec<TcpStream>>,
    forgetful: AtomicBool,
    stopped: AtomicBool,
    open: AtomicUsize,
}

/// The server; stops when dropped.
pub struct Mta {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What it says it can do unless told otherwise.
pub const EXTENSIONS: &[&str] = &["PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN", "ENHANCEDSTATUSCODES"];

impl Mta {
    pub fn start() -> Self {
        Self::with(EXTENSIONS, None, false)
    }

    pub fn offering(extensions: &[&str]) -> Self {
        Self::with(extensions, None, false)
    }

    /// One that offers STARTTLS.
    pub fn secure(tls: Arc<ServerConfig>) -> Self {
        Self::with(EXTENSIONS, Some(tls), false)
    }

    /// One that wants a PROXY header first.
    pub fn behind_proxy() -> Self {
        Self::with(EXTENSIONS, None, true)
    }

    pub fn with(extensions: &[&str], tls: Option<Arc<ServerConfig>>, proxy: bool) -> Self {
        let shared = Arc::new(Shared {
            extensions: Mutex::new(extensions.iter().map(|word| (*word).to_owned()).collect()),
            tls,
            proxy,
            acts: Mutex::default(),
            received: Mutex::default(),
            connections: Mutex::default(),
            sockets: Mutex::default(),
            forgetful: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            open: AtomicUsize::new(0),
        });
        let address = places::free();
        let mta = Self { address, shared };
        mta.listen();
        mta
    }

    fn listen(&self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for tcp in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, tcp) = (Arc::clone(&shared), tcp.unwrap());
                shared.sockets.lock().unwrap().extend(tcp.try_clone());
                thread::spawn(move || session::run(&shared, tcp));
            }
        });
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does `act` at `step`, `times` times, then the usual again. What is said first is done first.
    pub fn behave(&self, step: Step, act: Act, times: usize) {
        self.shared.acts.lock().unwrap().push((step, act, times));
    }

    /// Always.
    pub fn always(&self, step: Step, act: Act) {
        self.behave(step, act, usize::MAX);
    }

    /// The usual from now on.
    pub fn mend(&self) {
        self.shared.acts.lock().unwrap().clear();
    }

    /// Keeps no content from now on, for loads of which all would be too much.
    pub fn forget_contents(&self) {
        self.shared.forgetful.store(true, Ordering::SeqCst);
    }

    pub fn offer(&self, extensions: &[&str]) {
        *self.shared.extensions.lock().unwrap() = extensions.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Stops accepting: connections are refused from now on. Those that are open stay.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accept, which sees that it is over.
        drop(TcpStream::connect(self.address));
        wait::until("the server to stop", || TcpListener::bind(self.address).is_ok().then_some(()));
    }

    /// Closes every connection that is open, whatever is under way there.
    pub fn close_all(&self) {
        for tcp in self.shared.sockets.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = tcp.shutdown(Shutdown::Both);
        }
        wait::until("the connections to end", || (self.open_connections() == 0).then_some(()));
    }

    /// Accepts again, at the same place.
    pub fn restart(&self) {
        self.shared.stopped.store(false, Ordering::SeqCst);
        self.listen();
    }

    /// All it got, refused or not.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The messages it answers for.
    pub fn kept(&self) -> Vec<Received> {
        self.received().into_iter().filter(Received::is_kept).collect()
    }

    /// The one message it answers for.
    #[track_caller]
    pub fn only(&self) -> Received {
        let mut kept = self.kept();
        assert_eq!(kept.len(), 1, "{kept:?}");
        kept.remove(0)
    }

    pub fn connections(&self) -> Vec<Connection> {
        self.shared.connections.lock().unwrap().clone()
    }

    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Every command line of every connection.
    pub fn lines(&self) -> Vec<String> {
        self.connections().into_iter().flat_map(|connection| connection.lines).collect()
    }
}

impl Drop for Mta {
    fn drop(&mut self) {
        if !self.shared.stopped.swap(true, Ordering::SeqCst) {
            drop(TcpStream::connect(self.address));
        }
    }
}
