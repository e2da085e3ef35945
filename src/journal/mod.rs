//! What happened to every message, and to every session: the log line and the metrics come from one
//! record, so that they cannot disagree.
//!
//! A record is filled as the session goes and settled when it is dropped. A session that dies half
//! way therefore leaves its line too, and no path through the driver can forget it.
//!
//! ```text
//! Session::open ──▶ refused, violation, count … ──────────────────────────────▶ drop: `disconnect from …`
//!       └─ begin ──▶ Entry: recipient, receiving, received, concluded, delivered … ─▶ drop: the message's line
//! ```

mod entry;
mod queue_id;
mod session;

pub use entry::Entry;
pub use queue_id::queue_id;
pub use session::{By, End, Phase, Session};

use crate::telemetry::{ConnectionResult, ListenerMetrics, Metrics, StageMetrics};
use std::{fmt, net::SocketAddr, sync::Arc};

/// Where the records of one listener are settled.
#[derive(Debug, Clone)]
pub struct Journal {
    metrics: Arc<Metrics>,
    listener: Arc<ListenerMetrics>,
    /// Of every configured stage, by its name.
    stages: Arc<[(Box<str>, Arc<StageMetrics>)]>,
}

impl Journal {
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, listener: Arc<ListenerMetrics>, stages: Arc<[(Box<str>, Arc<StageMetrics>)]>) -> Self {
        Self { metrics, listener, stages }
    }

    fn stage(&self, name: &str) -> Option<&StageMetrics> {
        self.stages.iter().find_map(|(stage, metrics)| (**stage == *name).then_some(&**metrics))
    }

    /// A connection that never became a session: too many of them, or no PROXY header where one was
    /// due. One that became one is counted by [`Session::open`].
    pub fn turned_away(&self, listener: &str, peer: SocketAddr, result: ConnectionResult, why: &dyn fmt::Display) {
        self.listener.connection(result);
        tracing::info!(id = NOQUEUE, listener, result = result.as_str(), "reject: CONNECT from {}: {why}", Bracketed(peer));
    }
}

/// Stands where the id of a message would, as in Postfix's log.
const NOQUEUE: &str = "NOQUEUE";

/// `[192.0.2.1]:4711`: an address as Postfix logs one whose name it has not looked up.
struct Bracketed(SocketAddr);

impl fmt::Display for Bracketed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]:{}", self.0.ip(), self.0.port())
    }
}

#[cfg(test)]
mod tests;
