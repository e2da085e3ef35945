//! The audit: who did what, in a chain that shows any change to it.
//!
//! Each row has, in its hash, all that stands in it and the hash of the row before, back to the
//! first. Editing, removing, inserting or reordering rows breaks the chain at that place
//! ([`Audit::verify`]). Cutting rows off at its end does not, nor does writing all of it anew: so the
//! newest hash is said in the log ([`Audit::tend`]), which is kept elsewhere, and a chain that was
//! once there has to have it still.
//!
//! A row is written by one statement, which computes sequence and hash where it is executed. So it
//! can stand in the batch of what it tells of, and both are written or neither is:
//!
//! ```ignore
//! let batch = vec![delete_something, Event::of(&actor, Action::Delete).on(id).statement()];
//! database.write(batch).await?;
//! ```

mod action;
mod chain;
mod event;
mod search;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use chain::{Broken, Verified, is_hash};
pub use event::{Actor, Event};
pub use search::{Filter, Record};

use crate::storage::{Database, StorageError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the newest hash is looked at, and said where it is new.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// A handle; clones share.
#[derive(Debug, Clone)]
pub struct Audit {
    database: Database,
}

impl Audit {
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes that something happened, by itself.
    ///
    /// # Errors
    /// It is not written.
    pub async fn record(&self, event: Event<'_>) -> Result<(), StorageError> {
        self.database.write(vec![event.statement()]).await.map(drop)
    }

    /// Says the newest hash in the log, at once and whenever it is another, until `ended`.
    pub async fn tend(self, ended: CancellationToken) {
        let mut said = None;
        let mut ticks = tokio::time::interval(SAY_EVERY);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = ended.cancelled() => return,
            }
            match self.head().await {
                Ok(Some((sequence, hash))) if said != Some(sequence) => {
                    tracing::info!(sequence, hash, "audit head");
                    said = Some(sequence);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!("the head of the audit cannot be read: {error}"),
            }
        }
    }
}
