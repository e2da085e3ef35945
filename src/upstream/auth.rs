//! AUTH, relayed line by line (RFC 4954).
use super::{Seat, Upstream, UpstreamError, connection::Connection, envelope::introduce, fault::Fault, shared::Target, transaction::fail};
use crate::message::Client;
use crate::smtp::Reply;
use crate::telemetry::{Phase, UpstreamFault};
use std::{fmt, sync::Arc};
use tokio::time::Instant;

/// An AUTH exchange under way on a connection of the session's own (RFC 4954). It forgets what
/// passes through it.
pub struct Exchange {
    target: Arc<Target>,
    connection: Option<Connection>,
}

impl Upstream {
    /// Begins AUTH on a connection of the session's own. The reply is the server's first: 334 or final.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn authenticate(
        self: &Arc<Self>,
        client: &Arc<Client>,
        mechanism: &str,
        initial: Option<&[u8]>,
    ) -> Result<(Exchange, Reply), UpstreamError> {
        let mut connection = self.own_connection(client).await.map_err(|fault| self.target.error(None, fault))?;
        self.target.metrics.connects.inc();
        if let Err(fault) = introduce(&mut connection, client).await {
            return Err(fail(&connection, fault));
        }
        let mut exchange = Exchange { target: Arc::clone(&self.target), connection: Some(connection) };
        let reply = match initial {
            Some(initial) => exchange.say(&[b"AUTH ", mechanism.as_bytes(), b" ", initial]).await,
            None => exchange.say(&[b"AUTH ", mechanism.as_bytes()]).await,
        }?;
        Ok((exchange, reply))
    }
}

impl Exchange {
    /// Passes one line of the client (without CRLF) on; the reply is 334 or final. The octets are
    /// wiped and never logged.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn respond(&mut self, line: &[u8]) -> Result<Reply, UpstreamError> {
        self.say(&[line]).await
    }

    async fn say(&mut self, line: &[&[u8]]) -> Result<Reply, UpstreamError> {
        let Some(connection) = &mut self.connection else {
            return Err(self.target.error(None, Fault::new(UpstreamFault::Closed, "the connection is gone")));
        };
        let patience = self.target.timeouts.command;
        let started = Instant::now();
        // One line is one line: what could end it early cancels the exchange instead (RFC 4954 §4).
        let broken = line.iter().any(|part| part.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
        let line = if broken { &[b"*".as_slice()] } else { line };
        let fault = match connection.wire.secret(line, patience).await {
            Ok(reply) if matches!(reply.code(), 235 | 334 | 400..=599) => {
                self.target.metrics.latency(Phase::Auth, started.elapsed().as_secs_f64());
                connection.authenticated = reply.code() == 235;
                return Ok(reply);
            }
            Ok(reply) => Fault::unexpected("AUTH", &Reply::new(reply.code(), "")),
            Err(fault) => fault,
        };
        let error = fail(connection, fault);
        self.connection = None;
        Err(error)
    }

    /// After a 235: the session keeps the connection. After anything else it is closed.
    #[must_use]
    pub fn into_seat(mut self) -> Seat {
        match self.connection.take() {
            Some(connection) if connection.authenticated => Seat::authenticated(connection),
            Some(connection) => {
                connection.quit();
                Seat::default()
            }
            None => Seat::default(),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.quit();
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("connection", &self.connection).finish()
    }
}
