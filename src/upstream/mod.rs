//! The MTA behind the gate: routes, pool, health, identity, transactions.

mod transaction;

pub use transaction::{Body, Outgoing, Transaction};

use crate::message::Client;
use crate::smtp::{Address, Capabilities, Custody, Mail, Recipient, Refusal, Reply};
use std::{net::SocketAddr, sync::Arc};

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
    pub server: String,
    pub text: String,
}

impl UpstreamError {
    /// What the client is told: nothing about what stands behind.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
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
pub struct Upstreams {}

/// One configured upstream, of one worker.
#[derive(Debug)]
pub struct Upstream {}

/// Where a connection that must not be shared sits between two transactions of its session: one
/// that AUTH went through, or that began with a PROXY header naming this client. Closed when
/// dropped. Empty for as long as the pool serves.
#[derive(Debug, Default)]
pub struct Seat {}

/// An AUTH exchange under way on a connection of the session's own (RFC 4954).
#[derive(Debug)]
pub struct Exchange {}

impl Upstreams {
    /// Where a recipient's mail goes: the first route that matches, else `default`.
    #[must_use]
    pub fn route(&self, _recipient: &Address) -> Arc<Upstream> {
        Arc::new(Upstream {})
    }
    /// Where AUTH goes, and what has no recipient: `default`.
    #[must_use]
    pub fn default_route(&self) -> Arc<Upstream> {
        Arc::new(Upstream {})
    }
    /// What all of them can; `None` while none has been asked with success.
    #[must_use]
    pub fn capabilities(&self) -> Option<Arc<Capabilities>> {
        None
    }
    /// Some server answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        false
    }
}

impl Upstream {
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        unreachable!()
    }

    /// Opens a transaction: MAIL and the first RCPT in one write. `No` where MAIL was refused (no
    /// transaction stands then); the inner answer is the one to RCPT.
    ///
    /// # Errors
    /// No server of it could be asked; the connection is gone.
    pub async fn begin(
        self: &Arc<Self>,
        _seat: &Seat,
        _client: &Arc<Client>,
        _mail: &Mail,
        _first: &Recipient,
    ) -> Result<Answer<(Transaction, Answer<Reply>)>, UpstreamError> {
        unreachable!()
    }

    /// Opens a transaction again for an envelope that was accepted before, all of it pipelined.
    /// `No` where anything of it is refused now: the refusal, if it is the only recipient's or
    /// MAIL's; a 4yz if only some recipients are refused, so that nothing is half delivered.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn replay(
        self: &Arc<Self>,
        _seat: &Seat,
        _client: &Arc<Client>,
        _mail: &Mail,
        _recipients: &[Recipient],
    ) -> Result<Answer<Transaction>, UpstreamError> {
        unreachable!()
    }

    /// Begins AUTH on a connection of the session's own. The reply is the server's first: 334 or final.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn authenticate(
        self: &Arc<Self>,
        _client: &Arc<Client>,
        _mechanism: &str,
        _initial: Option<&[u8]>,
    ) -> Result<(Exchange, Reply), UpstreamError> {
        unreachable!()
    }
}

impl Exchange {
    /// Passes one line of the client (without CRLF) on; the reply is 334 or final. The octets are
    /// wiped and never logged.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn respond(&mut self, _line: &[u8]) -> Result<Reply, UpstreamError> {
        unreachable!()
    }
    /// After a 235: the session keeps the connection.
    #[must_use]
    pub fn into_seat(self) -> Seat {
        Seat {}
    }
}

#[expect(unused, reason = "the address type of servers")]
type Server = SocketAddr;
