//! What became of a release. It is known once the MTA has answered, and may find no room to be
//! written down in: then the recipients stay `releasing`, which nobody takes for held or for released,
//! and it is written as soon as it can be.
use super::{Claimed, Quarantine, QuarantineError, RecipientState, deed::Deed, millis};
use crate::storage::Statement;
use std::time::{Duration, SystemTime};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

/// Between two tries to write down what could not be.
const AGAIN: Duration = Duration::from_secs(5);
/// And how long it is tried.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Outcomes that may wait to be written down; of those beyond the entry never says more than that
/// nobody knows.
pub(super) const WAITING: usize = 1000;

/// What became of a claim, to be written down.
#[derive(Debug, Clone)]
#[must_use]
pub struct Settlement {
    entry: String,
    positions: Vec<(i64, i64)>,
    by: String,
    state: RecipientState,
    words: String,
    at: SystemTime,
    record: Option<Statement>,
}

impl Claimed {
    /// The MTA answers for it, in the words of `reply`.
    pub fn released(&self, reply: &str) -> Settlement {
        self.settled(RecipientState::Released, reply)
    }

    /// The MTA does not have it for sure; `why` is said to who looks next.
    pub fn not_released(&self, why: &str) -> Settlement {
        self.settled(RecipientState::Held, why)
    }

    /// Nobody knows whether the MTA has it.
    pub fn unknown(&self, why: &str) -> Settlement {
        self.settled(RecipientState::Releasing, why)
    }

    fn settled(&self, state: RecipientState, words: &str) -> Settlement {
        Settlement {
            entry: self.entry.id.clone(),
            positions: self.positions.clone(),
            by: self.by.clone(),
            state,
            words: words.to_owned(),
            at: SystemTime::now(),
            record: None,
        }
    }
}

impl Settlement {
    /// With what is written down in the same commit.
    pub fn with(mut self, record: Statement) -> Self {
        self.record = Some(record);
        self
    }

    fn batch(&self) -> Vec<Statement> {
        let at = millis(self.at);
        let recipient = |(position, attempt): &(i64, i64)| {
            Statement::new(
                "UPDATE quarantine_recipient SET state = ?4, reply = ?5, changed_at = ?6 \
                 WHERE entry = ?1 AND position = ?2 AND attempts = ?3",
            )
            .with(&*self.entry)
            .with(*position)
            .with(*attempt)
            .with(self.state.as_str())
            .with(&*self.words)
            .with(at)
        };
        // What the entry is follows from its recipients.
        let entry = Statement::new(
            "UPDATE quarantine_entry SET changed_at = ?2, changed_by = ?3, state = CASE WHEN EXISTS \
             (SELECT 1 FROM quarantine_recipient WHERE entry = ?1 AND state <> 'released') THEN 'held' ELSE 'released' END \
             WHERE id = ?1 AND state IN ('held', 'released')",
        );
        let entry = entry.with(&*self.entry).with(at).with(&*self.by);
        let is_released = self.state == RecipientState::Released;
        let deed = is_released.then(|| Deed::Released.times(self.positions.len()));
        self.positions.iter().map(recipient).chain([entry]).chain(deed).chain(self.record.clone()).collect()
    }
}

impl Quarantine {
    /// Writes down what became of a claim, and what goes with it.
    ///
    /// # Errors
    /// Nothing of it is written down (for certain, where the error [says
    /// so](crate::storage::StorageError::leaves_nothing)): the recipients stay `releasing`.
    pub async fn settle(&self, settlement: &Settlement) -> Result<(), QuarantineError> {
        self.0.database.write(settlement.batch()).await?;
        Ok(())
    }

    /// Tries it again until there is room, or this process ends. Meanwhile somebody may have released
    /// it once more: that is another attempt, which this one does not touch.
    pub fn settle_later(&self, settlement: Settlement) {
        let Ok(permit) = self.0.settling.clone().try_acquire_owned() else {
            tracing::error!(entry = settlement.entry, "too much waits to be written down: what became of its release is lost");
            return;
        };
        let quarantine = self.clone();
        tokio::spawn(async move { quarantine.insist(settlement, permit).await });
    }

    async fn insist(self, settlement: Settlement, _permit: OwnedSemaphorePermit) {
        let entry = &settlement.entry;
        while settlement.at.elapsed().is_ok_and(|since| since < LONGEST) {
            sleep(AGAIN).await;
            match self.settle(&settlement).await {
                Ok(()) => return tracing::info!(entry, "what became of its release is written down now"),
                Err(QuarantineError::Storage(error)) if error.leaves_nothing() => {}
                Err(error) => return tracing::error!(entry, "what became of its release cannot be written down: {error}"),
            }
        }
        tracing::error!(entry, "what became of its release could not be written down for a day");
    }
}
