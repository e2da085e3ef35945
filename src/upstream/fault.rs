//! What goes wrong with an upstream.
use crate::smtp::{Refusal, Reply, client::Garbage};
use crate::telemetry::UpstreamFault;
use std::{borrow::Cow, io, sync::Arc};

/// Why a connection is of no use any more, or could not be had.
#[derive(Debug)]
pub(super) struct Fault {
    pub kind: UpstreamFault,
    /// For the log; holds no secret.
    pub text: Cow<'static, str>,
    /// The server that could not be connected to.
    pub server: Option<Arc<str>>,
    /// It is no fault at all: the MTA refuses this client, in its own words.
    pub refusal: Option<Refusal>,
}

impl Fault {
    pub(super) fn new(kind: UpstreamFault, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, text: text.into(), server: None, refusal: None }
    }
    /// A refusal of the client behind, where a connection speaks for one client.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { kind: UpstreamFault::Shutdown, text: refusal.to_string().into(), server: None, refusal: Some(refusal) }
    }
    pub(super) fn closed() -> Self {
        Self::new(UpstreamFault::Closed, "closed the connection")
    }
    pub(super) fn late(what: &'static str) -> Self {
        Self::new(UpstreamFault::Timeout, what)
    }
    pub(super) fn garbage(garbage: Garbage) -> Self {
        Self::new(UpstreamFault::Garbage, garbage.to_string())
    }
    /// It said something that nobody had asked for.
    pub(super) fn surplus() -> Self {
        Self::new(UpstreamFault::Garbage, "a reply that nobody had asked for")
    }
    /// A reply whose code has no place here.
    pub(super) fn unexpected(command: &str, reply: &Reply) -> Self {
        Self::new(UpstreamFault::Garbage, format!("answered {command} with {reply}"))
    }
    /// A 421 (RFC 5321 §3.8).
    pub(super) fn shutdown(reply: &Reply) -> Self {
        Self::new(UpstreamFault::Shutdown, format!("is closing: {reply}"))
    }

    /// The connection was gone already, or ends for a reason that is not this transaction's: a new
    /// connection may do.
    pub(super) fn is_disconnect(&self) -> bool {
        self.refusal.is_none() && matches!(self.kind, UpstreamFault::Closed | UpstreamFault::Io | UpstreamFault::Shutdown)
    }

    /// Whether a server that fails this way while a connection is made is of no use for now. One that
    /// says 421 lives, and has only no room for one more connection.
    pub(super) fn is_down(&self) -> bool {
        self.refusal.is_none() && self.kind != UpstreamFault::Shutdown
    }
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        match e.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => Self::closed(),
            _ => Self::new(UpstreamFault::Io, e.to_string()),
        }
    }
}
