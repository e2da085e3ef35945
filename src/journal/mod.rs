//! What happened to every message, and to every session: the log line, the metrics and the row in
//! the database (and, where they are exported, the spans of a trace) come from one record, so that they cannot disagree.
//!
//! A record is filled as the session goes and settled when it is dropped. A session that dies half
//! way therefore leaves its line too, and no path through the driver can forget it.
//!
//! ```text
//! Session::open ──▶ refused, violation, count … ──────────────────────────────▶ drop: `disconnect from …`
//!       └─ begin ──▶ Entry: recipient, receiving, received, concluded, delivered … ─▶ drop: the message's line
//! ```
//!
//! From there the record goes to the [`Book`], which makes a [`Row`] of it; [`Rows`] finds them again.
//!
//! | file | knows |
//! | --- | --- |
//! | `entry`, `session` | what is told while it happens; `entry/told` makes spans of it |
//! | `record`, `book`, `examine`, `links`, `writer` | how it becomes a row, off the session's way but for a look into small messages |
//! | `row`, `terms`, `hide` | what a row is, what it is found by, and what of it is not shown |
//! | `rows`, `query`, `indicator`, `tally`, `summary` | searching, and numbers |
//! | `render` | CSV and JSON |

mod book;
mod entry;
mod examine;
mod hide;
mod indicator;
mod links;
mod query;
mod queue_id;
mod record;
pub mod render;
mod row;
mod rows;
mod session;
mod settings;
mod summary;
mod tally;
mod terms;
mod writer;

pub use book::Book;
pub use entry::{Entry, Fault};
pub use indicator::{Indicator, IndicatorKind, NoIndicator};
pub use query::{PAGE, Query};
pub use queue_id::queue_id;
pub use row::{Attachment, Delays, Details, Found, Kind, Row, Stage, Tls};
pub use rows::Rows;
pub use session::{By, End, Phase, Session};
pub use settings::{Addresses, Settings};
pub use summary::{Hour, Summary};

use crate::message::Client;
use crate::telemetry::Outcome;
use crate::telemetry::{ConnectionResult, ListenerMetrics, Metrics, StageMetrics, traces::Traces};
use record::Record;
use std::{fmt, net::SocketAddr, sync::Arc};

/// Where the records of one listener are settled.
#[derive(Debug, Clone)]
pub struct Journal {
    metrics: Arc<Metrics>,
    listener: Arc<ListenerMetrics>,
    /// Of every configured stage, by its name.
    stages: Arc<[(Box<str>, Arc<StageMetrics>)]>,
    /// Where rows are written, if they are.
    book: Option<Book>,
    /// Where messages are told of as spans, if they are.
    traces: Option<Traces>,
}

impl Journal {
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, listener: Arc<ListenerMetrics>, stages: Arc<[(Box<str>, Arc<StageMetrics>)]>) -> Self {
        Self { metrics, listener, stages, book: None, traces: None }
    }

    /// With a row in `book` for everything.
    #[must_use]
    pub fn with_book(mut self, book: Book) -> Self {
        self.book = Some(book);
        self
    }

    /// With spans for messages, given to `traces` where there are any.
    #[must_use]
    pub fn with_traces(mut self, traces: Option<Traces>) -> Self {
        self.traces = traces;
        self
    }

    fn stage(&self, name: &str) -> Option<&StageMetrics> {
        self.stages.iter().find_map(|(stage, metrics)| (**stage == *name).then_some(&**metrics))
    }

    /// A connection that never became a session: too many of them, or no PROXY header where one was
    /// due. One that became one is counted by [`Session::open`].
    pub fn turned_away(&self, listener: &str, peer: SocketAddr, result: ConnectionResult, why: &dyn fmt::Display) {
        self.listener.connection(result);
        tracing::info!(id = NOQUEUE, listener, result = result.as_str(), "reject: CONNECT from {}: {why}", Bracketed(peer));
        let Some(book) = &self.book else { return };
        let local = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0);
        let client = Client { listener: listener.into(), address: peer, local, tls: None, hello: None, account: None, mechanism: None };
        let verdict = if result == ConnectionResult::BadProxyHeader { Outcome::Rejected } else { Outcome::Deferred };
        book.push(Record {
            phase: Some(Phase::Connect),
            verdict: Some(verdict),
            decided_by: Some(result.as_str().into()),
            error: Some(why.to_string()),
            ..Record::new(Kind::Connection, &Arc::new(client), "SMTP")
        });
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
