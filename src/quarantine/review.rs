//! Looking at what is held, and deciding about it.
use super::{
    Entry, Quarantine, QuarantineError, Recipient, State,
    entry::{COLUMNS, RECIPIENT_COLUMNS},
    millis,
};
use crate::message::{Content, Spool, spool};
use crate::storage::{BlobReader, Statement, StorageError};
use crate::telemetry::QuarantineDeletion;
use aws_lc_rs::digest::{Context, SHA256};
use std::time::SystemTime;

/// The most entries of one page.
const PAGE: u64 = 1000;

/// Which entries to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub class: Option<String>,
    pub state: Option<State>,
    /// A whole address, or with a `@` in front all of a domain.
    pub sender: Option<String>,
    pub recipient: Option<String>,
    /// Stored after, and before.
    pub after: Option<SystemTime>,
    pub before: Option<SystemTime>,
    /// Only entries older than the one of this id: the last of the page before.
    pub below: Option<String>,
    /// At most 1000.
    pub limit: u64,
}

impl Filter {
    /// The statement, and only with what is asked: what is not there needs no index.
    fn statement(&self) -> Statement {
        let mut conditions = Vec::new();
        let mut values: Vec<crate::storage::Value> = Vec::new();
        let mut condition = |sql: &str, value: crate::storage::Value| {
            values.push(value);
            conditions.push(sql.replace("?", &format!("?{}", values.len())));
        };
        if let Some(class) = &self.class {
            condition("class = ?", class.as_str().into());
        }
        if let Some(state) = self.state {
            condition("state = ?", state.as_str().into());
        }
        if let Some(sender) = &self.sender {
            let (is, value) = address(sender);
            condition(&format!("sender {is}"), value.into());
        }
        if let Some(recipient) = &self.recipient {
            let (is, value) = address(recipient);
            condition(&format!("id IN (SELECT entry FROM quarantine_recipient WHERE address {is})"), value.into());
        }
        if let Some(after) = self.after {
            condition("stored_at >= ?", millis(after).into());
        }
        if let Some(before) = self.before {
            condition("stored_at < ?", millis(before).into());
        }
        if let Some(below) = &self.below {
            condition("id < ?", below.as_str().into());
        }
        condition("?", self.limit.clamp(1, PAGE).into());
        let limit = conditions.pop().unwrap_or_default();
        let conditions = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM quarantine_entry {conditions} ORDER BY id DESC LIMIT {limit}"));
        values.into_iter().fold(statement, Statement::with)
    }
}

/// How an address is looked for; `@example.org` is all of a domain.
fn address(text: &str) -> (&'static str, String) {
    let text = text.to_ascii_lowercase();
    if !text.starts_with('@') {
        return ("= ?", text);
    }
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    ("LIKE ? ESCAPE '\\'", pattern)
}

impl Quarantine {
    /// The entries that `filter` lets through, newest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Entry>, QuarantineError> {
        let rows = self.0.database.read(filter.statement()).await?;
        let mut entries = rows.iter().map(Entry::read).collect::<Result<Vec<_>, _>>()?;
        if entries.is_empty() {
            return Ok(entries);
        }
        // One question for all of a page.
        let places: Vec<_> = (1..=entries.len()).map(|n| format!("?{n}")).collect();
        let recipients = Statement::new(format!(
            "SELECT {RECIPIENT_COLUMNS} FROM quarantine_recipient WHERE entry IN ({}) ORDER BY entry, position",
            places.join(", ")
        ));
        let recipients = entries.iter().fold(recipients, |statement, entry| statement.with(&*entry.id));
        for row in self.0.database.read(recipients).await? {
            let of = row.text(8)?;
            if let Some(entry) = entries.iter_mut().find(|entry| entry.id == of) {
                entry.recipients.push(Recipient::read(&row)?);
            }
        }
        Ok(entries)
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
        entry.recipients = self.0.database.read(recipients).await?.iter().map(Recipient::read).collect::<Result<_, _>>()?;
        Ok(entry)
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
        let hash: String = hash.finish().as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
        if hash != entry.sha256 {
            return Err(QuarantineError::Altered(entry.id.as_str().into()));
        }
        spool.finish().await.map_err(failed)
    }

    /// Deletes an entry: its content is gone, its row says by whom until the class's `keep` is over.
    ///
    /// # Errors
    /// It is under legal hold, being released, or deleted already; or it cannot be written.
    pub async fn delete(&self, id: &str, by: &str) -> Result<(), QuarantineError> {
        self.remove(id, by, QuarantineDeletion::Reviewer).await
    }

    pub(super) async fn remove(&self, id: &str, by: &str, why: QuarantineDeletion) -> Result<(), QuarantineError> {
        let batch = vec![
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
                .with(by),
        ];
        match self.0.database.write(batch).await {
            Ok(_) => {}
            Err(StorageError::Unchanged) => return Err(self.why_not_deleted(id).await),
            Err(error) => return Err(error.into()),
        }
        self.0.metrics.quarantine_deleted(why);
        // Where it stays the caretaker finds it: no entry owns it any more.
        if let Err(error) = self.0.blobs.delete(id).await {
            tracing::warn!(entry = id, "the content of a deleted entry stays for now: {error}");
        }
        Ok(())
    }

    async fn why_not_deleted(&self, id: &str) -> QuarantineError {
        match self.entry(id).await {
            Err(error) => error,
            Ok(entry) if entry.legal_hold => QuarantineError::Conflict("it is under legal hold".into()),
            Ok(entry) if entry.state == State::Deleted => QuarantineError::Conflict("it is deleted already".into()),
            Ok(_) => QuarantineError::Conflict("it is being released".into()),
        }
    }

    /// Puts an entry under legal hold, or lifts it. Neither age nor a reviewer removes it then.
    ///
    /// # Errors
    /// There is no such entry, or it is deleted.
    pub async fn legal_hold(&self, id: &str, on: bool, by: &str) -> Result<(), QuarantineError> {
        let statement = Statement::new(
            "UPDATE quarantine_entry SET legal_hold = ?2, changed_at = ?3, changed_by = ?4 WHERE id = ?1 AND state <> 'deleted'",
        );
        let statement = statement.with(id).with(on).with(millis(SystemTime::now())).with(by).must_change();
        match self.0.database.write(vec![statement]).await {
            Ok(_) => Ok(()),
            Err(StorageError::Unchanged) => Err(match self.entry(id).await {
                Err(error) => error,
                Ok(_) => QuarantineError::Conflict("it is deleted".into()),
            }),
            Err(error) => Err(error.into()),
        }
    }
}
