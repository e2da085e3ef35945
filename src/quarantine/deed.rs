//! What is done with entries, counted where everybody writes who does it. So the metrics of the service
//! have what the command line does in a process of its own, and what both do they have once.
use super::Quarantine;
use crate::storage::{Statement, StorageError};
use crate::telemetry::QuarantineDeletion;
use std::collections::HashMap;

/// Something that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// Recipients that an entry was released to.
    Released,
    /// Entries.
    Deleted(QuarantineDeletion),
}

impl Deed {
    fn name(self) -> String {
        match self {
            Self::Released => "released".to_owned(),
            Self::Deleted(why) => format!("deleted {}", why.as_str()),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Released).chain(QuarantineDeletion::ALL.iter().map(|why| Self::Deleted(*why)))
    }

    /// For the batch that does it, behind what must change.
    pub(super) fn times(self, times: usize) -> Statement {
        Statement::new("UPDATE quarantine_deed SET count = count + ?2 WHERE deed = ?1").with(self.name()).with(times as u64)
    }
}

/// How often each was done when it was looked last.
#[derive(Debug)]
pub(super) struct Seen(HashMap<String, u64>);

impl Quarantine {
    /// Gives what was done since `seen` to the metrics; the first time nothing, for that was before.
    pub(super) async fn count_deeds(&self, seen: &mut Option<Seen>) {
        let now = match self.deeds().await {
            Ok(now) => now,
            Err(error) => return tracing::warn!("what is done with the quarantine cannot be counted for now: {error}"),
        };
        if let Some(Seen(before)) = seen {
            for deed in Deed::all() {
                let of = |counts: &HashMap<String, u64>| counts.get(&deed.name()).copied().unwrap_or(0);
                let times = of(&now).saturating_sub(of(before));
                match deed {
                    Deed::Released => self.0.metrics.quarantine_released(times),
                    Deed::Deleted(why) => self.0.metrics.quarantine_deleted(why, times),
                }
            }
        }
        *seen = Some(Seen(now));
    }

    async fn deeds(&self) -> Result<HashMap<String, u64>, StorageError> {
        let rows = self.0.database.read(Statement::new("SELECT deed, count FROM quarantine_deed")).await?;
        rows.iter().map(|row| Ok((row.text(0)?, u64::try_from(row.integer(1)?).unwrap_or(0)))).collect()
    }
}
