//! Looking at what is held, and deciding about it.
use super::{
    By, Conflict, Entry, Quarantine, QuarantineError, Recipient, State, Visible,
    deed::Deed,
    entry::{COLUMNS, RECIPIENT_COLUMNS},
    millis,
};
use crate::message::{Content, Spool, spool};
use crate::storage::{BlobReader, Statement, StorageError};
use crate::telemetry::QuarantineDeletion;
use crate::value::hex;
use aws_lc_rs::digest::{Context, SHA256};
use std::time::SystemTime;

impl Quarantine {
    /// An entry that may be seen, with those of its recipients that may.
    ///
    /// # Errors
    /// As [`entry`](Self::entry): what may not be seen is not there.
    pub async fn visible(&self, id: &str, visible: &Visible) -> Result<Entry, QuarantineError> {
        let mut entry = self.entry(id).await?;
        entry.show_to(visible);
        if entry.hidden > 0 {
            // Every RCPT stands in it.
            entry.dialogue = None;
        }
        if entry.recipients.is_empty() && *visible != Visible::All {
            return Err(QuarantineError::NoEntry(id.into()));
        }
        Ok(entry)
    }

    /// One entry.
    ///
    /// # Errors
    /// There is none of that id, or it cannot be read.
    pub async fn entry(&self, id: &str) -> Result<Entry, QuarantineError> {
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM quarantine_entry WHERE id = ?1")).with(id);
        let rows = self.0.database.read(statement).await?;
        let mut entry = Entry::read(rows.first().ok_or_else(|| QuarantineError::NoEntry(id.into()))?)?;
        let recipients =
            Statement::new(format!("SELECT {RECIPIENT_COLUMNS} FROM quarantine_recipient WHERE entry = ?1 ORDER BY position")).with(id);
        let dialogue = Statement::new("SELECT text FROM quarantine_dialogue WHERE entry = ?1").with(id);
        entry.dialogue = self.0.database.read(dialogue).await?.first().map(|row| row.text(0)).transpose()?;
        entry.recipients = self.0.database.read(recipients).await?.iter().map(Recipient::read).collect::<Result<_, _>>()?;
        Ok(entry)
    }

    /// When an entry goes, where it is not under legal hold.
    #[must_use]
    pub fn expires(&self, entry: &Entry) -> Option<SystemTime> {
        entry.stored_at.checked_add(self.0.settings.load().keeps(&entry.class)?)
    }

    /// The octets of an entry, as they come from disk; not compared with its hash.
    ///
    /// # Errors
    /// They are not there.
    pub async fn raw(&self, entry: &Entry) -> Result<BlobReader, QuarantineError> {
        Ok(self.0.blobs.reader(&entry.id).await?)
    }

    /// All of the octets, which are those that were stored.
    ///
    /// # Errors
    /// They are not there, are others, or there is no room for them.
    pub async fn content(&self, entry: &Entry, settings: &spool::Settings) -> Result<Content, QuarantineError> {
        let mut reader = self.raw(entry).await?;
        let mut spool = Spool::new(settings);
        let mut hash = Context::new(&SHA256);
        let failed = |error: spool::SpoolError| QuarantineError::Spool(error.to_string().into());
        while let Some(piece) = reader.next().await? {
            hash.update(&piece);
            spool.push(piece).await.map_err(failed)?;
        }
        let hash = hex(hash.finish().as_ref());
        if hash != entry.sha256 {
            return Err(QuarantineError::Altered(entry.id.as_str().into()));
        }
        spool.finish().await.map_err(failed)
    }

    /// Deletes an entry: its content is gone, its row says by whom until the class's `keep` is over.
    ///
    /// # Errors
    /// It is under legal hold, being released, or deleted already; or it cannot be written.
    pub async fn delete<'a>(&self, id: &str, by: impl Into<By<'a>>) -> Result<(), QuarantineError> {
        self.remove(id, by.into(), QuarantineDeletion::Reviewer).await
    }

    pub(super) async fn remove(&self, id: &str, by: By<'_>, why: QuarantineDeletion) -> Result<(), QuarantineError> {
        let mut batch = vec![
            Statement::new(
                "UPDATE quarantine_usage SET entries = entries - 1, \
                 stored = stored - (SELECT stored FROM quarantine_entry WHERE id = ?1) \
                 WHERE class = (SELECT class FROM quarantine_entry WHERE id = ?1 AND state <> 'deleted' AND legal_hold = 0 \
                 AND (?2 OR NOT EXISTS (SELECT 1 FROM quarantine_recipient WHERE entry = ?1 AND state = 'releasing')))",
            )
            .with(id)
            .with(why == QuarantineDeletion::Age)
            .must_change(),
            Statement::new("UPDATE quarantine_entry SET state = 'deleted', changed_at = ?2, changed_by = ?3 WHERE id = ?1")
                .with(id)
                .with(millis(SystemTime::now()))
                .with(by.name),
            Deed::Deleted(why).times(1),
        ];
        batch.extend(by.record);
        match self.0.database.write(batch).await {
            Ok(_) => {}
            Err(StorageError::Unchanged) => return Err(self.why_not_deleted(id).await),
            Err(error) => return Err(error.into()),
        }
        // Where it stays the caretaker finds it: no entry owns it any more.
        if let Err(error) = self.0.blobs.delete(id).await {
            tracing::warn!(entry = id, "the content of a deleted entry stays for now: {error}");
        }
        Ok(())
    }

    async fn why_not_deleted(&self, id: &str) -> QuarantineError {
        match self.entry(id).await {
            Err(error) => error,
            Ok(entry) if entry.legal_hold => Conflict::LegalHold.into(),
            Ok(entry) if entry.state == State::Deleted => Conflict::Deleted.into(),
            Ok(_) => Conflict::Releasing.into(),
        }
    }

    /// Says whose it is to look at an entry; `None`: nobody's any more.
    ///
    /// # Errors
    /// There is no such entry, or it is deleted.
    pub async fn assign<'a>(&self, id: &str, to: Option<&str>, by: impl Into<By<'a>>) -> Result<(), QuarantineError> {
        let statement = Statement::new("UPDATE quarantine_entry SET assigned = ?2 WHERE id = ?1 AND state <> 'deleted'");
        let batch = [statement.with(id).with(to).must_change()].into_iter().chain(by.into().record);
        match self.0.database.write(batch.collect()).await {
            Ok(_) => Ok(()),
            Err(StorageError::Unchanged) => Err(self.why_not_changed(id).await),
            Err(error) => Err(error.into()),
        }
    }

    /// An entry that nothing can be done to any more.
    pub(super) async fn why_not_changed(&self, id: &str) -> QuarantineError {
        match self.entry(id).await {
            Err(error) => error,
            Ok(_) => Conflict::Deleted.into(),
        }
    }

    /// Puts an entry under legal hold, or lifts it. Neither age nor a reviewer removes it then.
    ///
    /// # Errors
    /// There is no such entry, or it is deleted.
    pub async fn legal_hold<'a>(&self, id: &str, on: bool, by: impl Into<By<'a>>) -> Result<(), QuarantineError> {
        let by = by.into();
        let statement = Statement::new(
            "UPDATE quarantine_entry SET legal_hold = ?2, changed_at = ?3, changed_by = ?4 WHERE id = ?1 AND state <> 'deleted'",
        );
        let statement = statement.with(id).with(on).with(millis(SystemTime::now())).with(by.name).must_change();
        match self.0.database.write([statement].into_iter().chain(by.record).collect()).await {
            Ok(_) => Ok(()),
            Err(StorageError::Unchanged) => Err(self.why_not_changed(id).await),
            Err(error) => Err(error.into()),
        }
    }
}
