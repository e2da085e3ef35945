//! The quarantine: messages that a person is to look at, and what became of them.
//!
//! An entry is a row (envelope, client, findings) and a blob (the octets as the client sent them).
//! The blob is durable before the row is committed, and the row before the client is answered:
//! [`Committed`] is made after that and nowhere else. What a crash leaves between the two is a blob
//! without a row, which the [caretaker](Quarantine::tend) removes.
//!
//! ```text
//! keep ─▶ held ─ claim ─▶ releasing ─ released ─▶ released      each recipient for himself
//!           │                 └─ refused by the MTA ─▶ held
//!           └─ delete, or too old ─▶ deleted                    the whole entry; never under legal hold
//! ```
//!
//! A class that takes two people (`four_eyes`) is claimed with a [`Request`] only, which another than
//! who claims has made.

mod allowance;
mod deed;
mod entry;
mod error;
mod filter;
mod json;
mod keep;
mod list;
mod note;
mod release;
mod request;
mod retention;
mod review;
mod settings;
mod settle;
#[cfg(test)]
mod tests;

pub use allowance::{Allow, Allowance, Cause, is_authenticated};
pub use entry::{Entry, Recipient, RecipientState, State};
pub use error::{Conflict, QuarantineError, Wrong};
pub use filter::{Assigned, Cursor, Filter, Order, Sort, Visible};
pub use keep::{Committed, Held};
pub use list::{Count, Counts, Page};
pub use note::Note;
pub use release::{Claim, Claimed};
pub use request::{Ask, Request, RequestState};
pub use settings::{Retention, Settings};
pub use settle::Settlement;

use crate::storage::{Blobs, Database, Statement, Store};
use crate::telemetry::Metrics;
use crate::value::{millis, time};
use arc_swap::ArcSwap;
use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// How long a client waits at most for its message to be stored.
const PATIENCE: Duration = Duration::from_secs(60);

/// A handle; clones share.
#[derive(Debug, Clone)]
pub struct Quarantine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    blobs: Blobs,
    settings: ArcSwap<Settings>,
    metrics: Arc<Metrics>,
    /// One for each outcome of a release that waits to be written down.
    settling: Arc<Semaphore>,
}

impl Quarantine {
    /// The quarantine in `store`.
    #[must_use]
    pub fn new(store: Store, settings: Settings, metrics: &Arc<Metrics>) -> Self {
        let Store { database, blobs } = store;
        let settings = ArcSwap::from_pointee(settings);
        let settling = Arc::new(Semaphore::new(settle::WAITING));
        Self(Arc::new(Inner { database, blobs, settings, metrics: Arc::clone(metrics), settling }))
    }

    /// Other settings hold from now on.
    pub fn reconfigure(&self, settings: Settings) {
        self.0.settings.store(Arc::new(settings));
    }
}

/// Who decides, and what is written down in the same commit as what he decides.
#[derive(Debug, Clone)]
pub struct By<'a> {
    pub name: &'a str,
    pub record: Option<Statement>,
}

impl<'a> From<&'a str> for By<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, record: None }
    }
}

/// Addresses as rows have them, in lower case and each once: of a list that somebody sends.
#[must_use]
pub fn distinct(addresses: &[String]) -> Vec<String> {
    let mut known = HashSet::new();
    addresses.iter().map(|address| address.to_ascii_lowercase()).filter(|address| known.insert(address.clone())).collect()
}

/// A row's text from what a person wrote: so many characters at most, and of those that move a
/// terminal or hide themselves only the ends of lines.
fn written(text: &str, most: usize) -> String {
    let is_plain = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.replace("\r\n", "\n").trim().chars().filter(is_plain).take(most).collect()
}
