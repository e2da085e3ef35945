//! One transaction on one connection; delivering uses it up, dropping it resets it.
use super::{
    Answer, Seat, UpstreamError,
    connection::Connection,
    envelope::{answer, not_now, wants_dsn},
    fault::Fault,
    pool::Pool,
    seat::WayBack,
    shared::Target,
};
use crate::message::Content;
use crate::smtp::{Recipient, Reply, client::write_recipient};
use crate::telemetry::{Phase, UpstreamFault};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

/// What is sent: `prefix`, then `body`.
#[derive(Debug)]
pub struct Outgoing {
    /// Our Received and the header block as edited, with the empty line that closes it.
    pub prefix: Vec<Bytes>,
    pub body: Body,
    /// A line of it begins with a dot, so that DATA has to stuff (no scan is needed where not).
    pub leading_dot: bool,
}

/// What follows the header section.
#[derive(Debug)]
pub enum Body {
    /// The spooled content from octet `from` on.
    Content { content: Content, from: u64 },
    /// A body that a stage put in its place.
    Replaced(Bytes),
}

/// An open transaction. Dropped, it is reset, and its connection goes back to where it came from.
#[derive(Debug)]
pub struct Transaction {
    target: Arc<Target>,
    /// Until the connection is gone, or given back.
    held: Option<(Connection, Home)>,
}

/// Where a connection belongs.
#[derive(Debug)]
pub(super) enum Home {
    Pool(Arc<Pool>),
    Seat(WayBack),
}

impl Home {
    /// Takes a connection back that waits for MAIL, or that was left in the middle of something.
    pub(super) fn put(self, connection: Connection) {
        match self {
            Self::Pool(_) if connection.bound => connection.quit(),
            Self::Pool(pool) if connection.is_reusable() || connection.wire.is_torn() => pool.put(connection),
            Self::Pool(pool) => pool.put_unfinished(connection),
            Self::Seat(seat) => seat.put(connection),
        }
    }
}

impl Transaction {
    pub(super) fn new(connection: Connection, home: Home) -> Self {
        Self { target: Arc::clone(connection.target()), held: Some((connection, home)) }
    }
    /// One that never was.
    pub(super) fn over(target: &Arc<Target>) -> Self {
        Self { target: Arc::clone(target), held: None }
    }
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        self.held.as_mut().map(|(connection, _)| connection)
    }
    /// A connection that turned out to be of use to this session only is the session's from now on.
    pub(super) fn bind(&mut self, seat: &Seat) {
        if let Some((connection, home @ Home::Pool(_))) = &mut self.held
            && connection.bound
        {
            *home = Home::Seat(seat.way_back());
        }
    }
    pub(super) fn take(&mut self) -> Option<(Connection, Home)> {
        self.held.take()
    }

    /// Ends it, and its connection with it.
    pub(super) fn fail(&mut self, fault: Fault) -> UpstreamError {
        match self.held.take() {
            Some((connection, _)) => fail(&connection, fault),
            None => self.target.error(None, fault),
        }
    }

    /// One more RCPT.
    ///
    /// # Errors
    /// The connection is of no use any more: the transaction is to be [failed](Self::fail).
    pub(super) async fn ask(&mut self, recipient: &Recipient) -> Result<Answer<Reply>, Fault> {
        let connection = self.connection().ok_or_else(|| Fault::new(UpstreamFault::Closed, "the connection is gone"))?;
        if wants_dsn(recipient) && !connection.capabilities.dsn {
            return Ok(Answer::No(not_now()));
        }
        let started = Instant::now();
        let patience = connection.target().timeouts.command;
        write_recipient(connection.wire.out(), recipient, &connection.capabilities);
        connection.wire.send(1, patience).await?;
        let reply = connection.wire.reply(patience).await?;
        connection.target().metrics.latency(Phase::Envelope, started.elapsed().as_secs_f64());
        answer(reply, "RCPT")
    }

    /// RSET, and the connection goes back, without waiting for more than the write.
    pub async fn release(self) {}
}

/// Counts a fault that ends a connection, and has its server looked at if that seems wise.
pub(super) fn fail(connection: &Connection, fault: Fault) -> UpstreamError {
    let target = connection.target();
    fault.count(&target.metrics);
    if matches!(fault.kind, UpstreamFault::Timeout | UpstreamFault::Garbage | UpstreamFault::Closed) {
        connection.server().suspect();
    }
    target.error(Some(connection.server()), fault)
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some((connection, home)) = self.held.take() {
            home.put(connection);
        }
    }
}
