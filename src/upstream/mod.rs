//! The MTA behind the gate: routes, pool, health, identity, transactions.
//!
//! [`Shared`] is what the process knows of all upstreams; [`Upstreams`] is one worker's view of it,
//! with connections of its own, since a connection belongs to the runtime it was opened on. The
//! life of a transaction:
//!
//! 1. `route` finds the upstream of the first recipient.
//! 2. `pool` gives an idle connection, or `dial` opens one to the server that `health` holds for
//!    the best; a connection that speaks for one client alone sits in the session's `seat` instead.
//! 3. `identity` tells the server who the client is, where it should know.
//! 4. `envelope` sends MAIL and RCPT, `transaction` the other recipients, `deliver` the message.
//! 5. The connection goes back, reset if it must be, or is closed at the least doubt: after a fault
//!    nobody knows which reply belongs to which command.
//!
//! One command, one reply: before every command the connection is looked at, and a reply that
//! nobody asked for ends it. A shift by one would make the reply to some RCPT the acknowledgement
//! of a message that the server never took.

mod auth;
mod connection;
mod deliver;
mod dial;
mod envelope;
mod fault;
mod health;
mod identity;
mod pieces;
mod pool;
mod proxy;
mod route;
mod seat;
pub mod settings;
mod shared;
mod stream;
mod timer;
mod tls;
mod transaction;
mod wire;

#[cfg(test)]
mod tests;

pub use auth::Exchange;
pub use seat::Seat;
pub use settings::{Endpoint, IdentityMode, Route, Settings, Timeouts};
pub use shared::Shared;
pub use tls::Tls;
pub use transaction::{Body, Outgoing, Transaction};

use self::{fault::Fault, pool::Pool, shared::Target};
use crate::smtp::{Address, Capabilities, Custody, Refusal, Reply};
use std::sync::Arc;

/// What the MTA said.
#[derive(Debug)]
pub enum Answer<T> {
    Yes(T),
    /// Its own words.
    No(Refusal),
}

/// The MTA could not be asked, or did not answer. What it did say, if anything, is not SMTP, or is
/// a 421: the client is told "later".
#[derive(Debug, thiserror::Error)]
#[error("upstream {upstream} ({server}): {text}")]
pub struct UpstreamError {
    pub upstream: Arc<str>,
    /// The server asked; empty where none could be.
    pub server: Arc<str>,
    pub text: String,
    /// The session cannot go on: the connection that it authenticated itself on is gone, and what
    /// the client may do went with it.
    pub session_over: bool,
}

impl UpstreamError {
    /// What the client is told: nothing about what stands behind. A 421 where it has to come again.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        if self.session_over {
            return Refusal::temporary(21, "3.0", "this session cannot go on, please connect again");
        }
        Refusal::temporary(51, "4.1", "the mail server behind this one does not answer, try again later")
    }
}

/// The MTA's own 2yz to the end of data. Made in this module and nowhere else.
#[derive(Debug)]
pub struct Accepted {
    reply: Reply,
}

impl Custody for Accepted {
    fn reply(&self) -> Reply {
        self.reply.clone()
    }
}

/// All upstreams of a configuration as one worker sees them: capabilities and health are shared by
/// all workers, pooled connections are the worker's own.
#[derive(Debug)]
pub struct Upstreams {
    shared: Arc<Shared>,
    default: Arc<Upstream>,
    upstreams: Vec<Arc<Upstream>>,
}

/// One configured upstream, of one worker. Dropped with the last transaction that needs it, it
/// closes what is idle.
#[derive(Debug)]
pub struct Upstream {
    target: Arc<Target>,
    pool: Arc<Pool>,
}

impl Upstreams {
    /// For one worker: a current-thread runtime, or any other of which all its sessions are part.
    #[must_use]
    pub fn for_worker(shared: &Arc<Shared>) -> Self {
        let upstream = |target: &Arc<Target>| Arc::new(Upstream { target: Arc::clone(target), pool: Pool::new(Arc::clone(target)) });
        let upstreams: Vec<_> = shared.targets.iter().map(upstream).collect();
        let default = upstreams.iter().find(|upstream| Arc::ptr_eq(&upstream.target, &shared.default)).cloned();
        let default = default.unwrap_or_else(|| upstream(&shared.default));
        Self { shared: Arc::clone(shared), default, upstreams }
    }
    /// Where a recipient's mail goes: the first route that matches, else `default`.
    #[must_use]
    pub fn route(&self, recipient: &Address) -> Arc<Upstream> {
        let found = self.shared.routes.find(recipient).and_then(|n| self.upstreams.get(n));
        Arc::clone(found.unwrap_or(&self.default))
    }
    /// Where AUTH goes, and what has no recipient: `default`.
    #[must_use]
    pub fn default_route(&self) -> Arc<Upstream> {
        Arc::clone(&self.default)
    }
    /// What all of them can; `None` while none has been asked with success.
    #[must_use]
    pub fn capabilities(&self) -> Option<Arc<Capabilities>> {
        self.shared.capabilities()
    }
    /// Some server answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.is_ready()
    }
}

impl Upstream {
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.target.name
    }
}

impl Target {
    /// For the log and the client; the fault has been counted.
    fn error(&self, server: Option<&health::Server>, fault: Fault) -> UpstreamError {
        UpstreamError {
            upstream: Arc::clone(&self.name),
            server: server.map(|server| Arc::clone(&server.name)).or(fault.server).unwrap_or_default(),
            text: fault.text.into_owned(),
            session_over: false,
        }
    }
}
