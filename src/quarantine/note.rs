//! What reviewers write down about an entry: words are added, never taken back.
use super::{By, Conflict, Quarantine, QuarantineError, Wrong, millis, time, written};
use crate::storage::{Statement, StorageError};
use std::time::SystemTime;

/// Characters of one note.
const LENGTH: usize = 4000;
/// Notes of one entry.
const NOTES: u64 = 500;

/// Something that somebody wrote down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub at: SystemTime,
    pub by: String,
    pub text: String,
}

impl Quarantine {
    /// Writes a note down: 4000 characters at most are kept.
    ///
    /// # Errors
    /// There is no such entry, it has 500 notes already, or the text says nothing.
    pub async fn note<'a>(&self, id: &str, by: impl Into<By<'a>>, text: &str) -> Result<(), QuarantineError> {
        let text = written(text, LENGTH);
        if text.is_empty() {
            return Err(Wrong::EmptyNote.into());
        }
        let by = by.into();
        let statement = Statement::new(
            "INSERT INTO quarantine_note (entry, at, author, text) SELECT ?1, ?2, ?3, ?4 \
             WHERE EXISTS (SELECT 1 FROM quarantine_entry WHERE id = ?1) \
             AND (SELECT count(*) FROM quarantine_note WHERE entry = ?1) < ?5",
        );
        let statement = statement.with(id).with(millis(SystemTime::now())).with(by.name).with(text).with(NOTES).must_change();
        match self.0.database.write([statement].into_iter().chain(by.record).collect()).await {
            Ok(_) => Ok(()),
            Err(StorageError::Unchanged) => Err(match self.entry(id).await {
                Err(error) => error,
                Ok(_) => Conflict::NotesFull { most: NOTES.to_string().into() }.into(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// All notes of an entry, the first first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn notes(&self, id: &str) -> Result<Vec<Note>, QuarantineError> {
        let statement = Statement::new("SELECT at, author, text FROM quarantine_note WHERE entry = ?1 ORDER BY number LIMIT ?2");
        let rows = self.0.database.read(statement.with(id).with(NOTES)).await?;
        rows.iter().map(|row| Ok(Note { at: time(row.integer(0)?), by: row.text(1)?, text: row.text(2)? })).collect()
    }
}
