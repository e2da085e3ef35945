//! The caretaker: what is too old goes, what a crash has left is found and repaired.
use super::{Quarantine, QuarantineError, Retention, allowance::REMEMBERED, millis, time};
use crate::audit::{Action, Actor, Event};
use crate::chain::HoldClass;
use crate::storage::{Row, Statement, StorageError};
use crate::telemetry::{Holding, QuarantineDeletion};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(600);
/// Between two repairs: content that no entry owns is also left where it could not be removed.
const REPAIR_EVERY: Duration = Duration::from_secs(86_400);
/// Between two looks at what is held, for the metrics.
const MEASURE_EVERY: Duration = Duration::from_secs(10);
/// A content without an entry may be that of a message that is being stored; after an hour it is not.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);
/// Entries looked at in one step.
const STEP: usize = 200;
/// Of so many that go in one step the audit has every id; of more the first and the last.
const NAMED: usize = 50;
/// Who did it, where nobody did.
const CARETAKER: &str = "octroi";

impl Quarantine {
    /// Repairs what the last run left, and once a day what was left since, and looks after retention,
    /// until cancelled.
    pub async fn tend(self, cancelled: CancellationToken) {
        let work = async {
            let mut seen = None;
            self.count_deeds(&mut seen).await;
            self.measure().await;
            let (mut repair, mut due) = (Instant::now(), Instant::now());
            loop {
                if repair <= Instant::now() {
                    repair = Instant::now() + REPAIR_EVERY;
                    if let Err(error) = self.repair(ORPHAN_AGE).await {
                        tracing::error!("the quarantine cannot be looked through: {error}");
                    }
                }
                if due <= Instant::now() {
                    due = Instant::now() + EVERY;
                    if let Err(error) = self.expire(SystemTime::now()).await {
                        tracing::error!("what is too old in the quarantine stays for now: {error}");
                    }
                }
                self.measure().await;
                self.count_deeds(&mut seen).await;
                sleep(MEASURE_EVERY).await;
            }
        };
        let _ = cancelled.run_until_cancelled(work).await;
    }

    /// Gives what is held to the metrics.
    pub(super) async fn measure(&self) {
        let settings = self.0.settings.load_full();
        for class in HoldClass::ALL {
            // Ids are made in the order of time, so the index has the oldest first.
            let statement = Statement::new(
                "SELECT entries, stored, (SELECT count(*) FROM quarantine_entry WHERE class = ?1 AND state = 'held'), \
                 (SELECT stored_at FROM quarantine_entry WHERE class = ?1 AND state = 'held' ORDER BY id LIMIT 1) \
                 FROM quarantine_usage WHERE class = ?1",
            );
            let Ok(rows) = self.0.database.read(statement.with(class.as_str())).await else { return };
            if let Some(Ok(holding)) = rows.first().map(|row| holding(row, settings.of(class))) {
                self.0.metrics.quarantine_holds(class.as_str(), holding);
            }
        }
    }

    /// Removes what every class has kept for long enough, and in the end the rows of what is removed.
    ///
    /// # Errors
    /// It could not all be done.
    pub(super) async fn expire(&self, now: SystemTime) -> Result<(), QuarantineError> {
        let settings = self.0.settings.load_full();
        for class in HoldClass::ALL {
            let Some(limit) = now.checked_sub(settings.of(class).keep) else { continue };
            loop {
                let old = Statement::new(
                    "SELECT id FROM quarantine_entry WHERE class = ?1 AND state <> 'deleted' AND legal_hold = 0 AND stored_at < ?2 \
                     ORDER BY id LIMIT ?3",
                );
                let rows = self.0.database.read(old.with(class.as_str()).with(millis(limit)).with(STEP as u64)).await?;
                let mut removed = Vec::new();
                let done = self.remove_all(&rows, &mut removed).await;
                self.tell(class, &removed).await?;
                done?;
                if rows.len() < STEP {
                    break;
                }
            }
            self.forget(class, limit).await?;
        }
        let over = now.checked_sub(REMEMBERED).map_or(0, millis);
        self.0.database.write(vec![Statement::new("DELETE FROM quarantine_allowance WHERE expires_at < ?1").with(over)]).await?;
        Ok(())
    }

    /// Removes what `rows` are the ids of; `removed` has those that it was.
    async fn remove_all(&self, rows: &[Row], removed: &mut Vec<String>) -> Result<(), QuarantineError> {
        for row in rows {
            let id = row.text(0)?;
            match self.remove(&id, CARETAKER.into(), QuarantineDeletion::Age).await {
                Ok(()) => removed.push(id),
                // Somebody else was there first.
                Err(QuarantineError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the audit what has gone by age: a row for each step, and not for each entry, since nothing of
    /// the audit ever goes.
    async fn tell(&self, class: HoldClass, removed: &[String]) -> Result<(), QuarantineError> {
        let entries: Vec<&str> = match removed {
            [] => return Ok(()),
            [first, .., last] if removed.len() > NAMED => vec![first, "…", last],
            few => few.iter().map(String::as_str).collect(),
        };
        let actor = Actor::itself();
        let event = Event::of(&actor, Action::Delete).with("class", class.as_str()).with("reason", "age");
        let event = event.with("count", removed.len()).with("entries", entries);
        Ok(self.0.database.write(vec![event.statement()]).await.map(drop)?)
    }

    /// Rows of what was deleted long enough ago go, a few at a time: mail that is to be held waits for
    /// the same writer.
    async fn forget(&self, class: HoldClass, limit: SystemTime) -> Result<(), QuarantineError> {
        let gone = "DELETE FROM quarantine_entry WHERE id IN (SELECT id FROM quarantine_entry \
                    WHERE class = ?1 AND state = 'deleted' AND stored_at < ?2 AND changed_at < ?2 ORDER BY id LIMIT ?3)";
        loop {
            let batch = vec![Statement::new(gone).with(class.as_str()).with(millis(limit)).with(STEP as u64)];
            let changed = self.0.database.write(batch).await?;
            if changed.first().is_none_or(|rows| *rows < STEP) {
                return Ok(());
            }
        }
    }

    /// Entries without content are marked lost and told; contents without an entry, older than
    /// `age`, are removed. Says how many of each.
    ///
    /// # Errors
    /// It could not all be looked at.
    pub(super) async fn repair(&self, age: Duration) -> Result<(usize, usize), QuarantineError> {
        Ok((self.mark_lost().await?, self.remove_orphans(age).await?))
    }

    async fn mark_lost(&self) -> Result<usize, QuarantineError> {
        let (mut lost, mut after) = (0, String::new());
        loop {
            let next =
                Statement::new("SELECT id FROM quarantine_entry WHERE id > ?1 AND state IN ('held', 'released') ORDER BY id LIMIT ?2");
            let rows = self.0.database.read(next.with(&*after).with(STEP as u64)).await?;
            let ids = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = ids.last() else { return Ok(lost) };
            after.clone_from(last);
            for id in self.0.blobs.missing(ids).await? {
                tracing::error!(entry = id, "a held message has lost its content");
                lost += 1;
                let mark = "UPDATE quarantine_entry SET state = 'lost', changed_at = ?2, changed_by = ?3 \
                            WHERE id = ?1 AND state IN ('held', 'released')";
                self.0.database.write(vec![Statement::new(mark).with(id).with(millis(SystemTime::now())).with(CARETAKER)]).await?;
            }
        }
    }

    async fn remove_orphans(&self, age: Duration) -> Result<usize, QuarantineError> {
        let (mut removed, mut shard) = (0, 0);
        while let Some(keys) = self.0.blobs.older_than(age, shard).await? {
            shard += 1;
            for keys in keys.chunks(STEP) {
                let owned = self.owned(keys).await?;
                for key in keys.iter().filter(|key| !owned.contains(*key)) {
                    tracing::warn!(key, "a content that belongs to no entry is removed");
                    removed += usize::from(self.0.blobs.delete(key).await?);
                }
            }
        }
        Ok(removed)
    }

    /// Those of `keys` that an entry owns.
    async fn owned(&self, keys: &[String]) -> Result<BTreeSet<String>, StorageError> {
        let places: Vec<_> = (1..=keys.len()).map(|n| format!("?{n}")).collect();
        let statement =
            Statement::new(format!("SELECT id FROM quarantine_entry WHERE state <> 'deleted' AND id IN ({})", places.join(", ")));
        let rows = self.0.database.read(keys.iter().fold(statement, |statement, key| statement.with(&**key))).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }
}

/// What a row of [`Quarantine::measure`] says of a class.
fn holding(row: &Row, retention: Retention) -> Result<Holding, StorageError> {
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let waited = |since| SystemTime::now().duration_since(time(since)).unwrap_or_default();
    Ok(Holding {
        entries: row.integer(0)?,
        stored: row.integer(1)?,
        limit: whole(retention.size),
        waiting: row.integer(2)?,
        oldest: row.optional_integer(3)?.map_or(0, |since| whole(waited(since).as_secs())),
        keep: whole(retention.keep.as_secs()),
    })
}
