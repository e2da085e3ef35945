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

use crate::storage::{Database, Statement, StorageError};
use std::{net::IpAddr, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often the newest hash is looked at, and said where it is new.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Sign-ins, of whomever, that are looked through for those of one.
const SIGN_INS: u64 = 2000;

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

    /// Where somebody signed in from, among the newest sign-ins of all: those of the last weeks.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn signed_in_from(&self, actor: &str) -> Result<Vec<IpAddr>, StorageError> {
        let statement = Statement::new(
            "SELECT DISTINCT client FROM (SELECT actor, client FROM audit WHERE action = ?1 ORDER BY sequence DESC LIMIT ?2) \
             WHERE actor = ?3 AND client IS NOT NULL",
        );
        let statement = statement.with(Action::SignIn.as_str()).with(SIGN_INS).with(actor);
        let rows = self.database.read(statement).await?;
        let read = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
        Ok(read.iter().filter_map(|client| client.parse().ok()).collect())
    }

    /// Writes down the settings that decide what is kept and who may decide, by their names, where they are
    /// others than those that were written down last; whether they were. Somebody who relaxes one for an
    /// hour is seen with that.
    ///
    /// # Errors
    /// It is not known, or not written.
    pub async fn settings(&self, settings: serde_json::Map<String, serde_json::Value>) -> Result<bool, StorageError> {
        let last = Statement::new("SELECT detail FROM audit WHERE action = ?1 ORDER BY sequence DESC LIMIT 1");
        let rows = self.database.read(last.with(Action::Settings.as_str())).await?;
        let last = rows.first().map(|row| row.text(0)).transpose()?;
        if last.and_then(|detail| serde_json::from_str(&detail).ok()).as_ref() == Some(&settings) {
            return Ok(false);
        }
        let actor = Actor::itself();
        let event = settings.into_iter().fold(Event::of(&actor, Action::Settings), |event, (name, value)| event.with(&name, value));
        self.record(event).await.map(|()| true)
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
