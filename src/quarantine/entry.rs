//! What is known of an entry, as reviewers see it.
use super::{Conflict, Cursor, QuarantineError, Sort, Visible, time};
use crate::storage::{Row, StorageError};
use crate::value::words;
use std::time::SystemTime;

words! {
    /// What became of an entry.
    State {
        Held = "held",
        /// To all of its recipients.
        Released = "released",
        /// Its content is not there any more, and nobody has deleted it.
        Lost = "lost",
        Deleted = "deleted",
    }
}
words! {
    /// What became of an entry for one recipient.
    RecipientState {
        Held = "held",
        /// Somebody is at it; or was, and nobody knows whether the MTA has it.
        Releasing = "releasing",
        Released = "released",
    }
}

/// An entry. Texts that a sender chose are bounded and on one line.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: String,
    /// The message it was made of; its id but where more than one was.
    pub message: String,
    pub stored_at: SystemTime,
    pub received_at: SystemTime,
    pub class: String,
    pub reason: String,
    /// The stage, or `rule NAME`.
    pub decided_by: Option<String>,
    pub state: State,
    pub changed_at: SystemTime,
    pub changed_by: Option<String>,
    pub legal_hold: bool,
    pub listener: String,
    /// JSON.
    pub client: String,
    pub sender: String,
    /// What stood behind `MAIL FROM:`.
    pub mail: String,
    pub header_from: Option<String>,
    pub subject: Option<String>,
    pub message_id: Option<String>,
    /// Octets as received.
    pub size: i64,
    /// Octets on disk.
    pub stored: i64,
    pub sha256: String,
    /// JSON.
    pub findings: String,
    /// JSON.
    pub timings: String,
    /// Whose it is to look.
    pub assigned: Option<String>,
    /// In the order of the envelope; those that may be seen by who asked.
    pub recipients: Vec<Recipient>,
    /// How many more there are, which he may not see.
    pub hidden: usize,
    /// What was said in the session, a line each: seconds since it began, `C`, `S` or `-`, and the
    /// words, without secrets. Only of an [entry](super::Quarantine::entry) alone; `None` in lists.
    pub dialogue: Option<String>,
}

/// One recipient of an entry.
#[derive(Debug, Clone)]
pub struct Recipient {
    pub position: i64,
    pub address: String,
    /// What stood behind `RCPT TO:`.
    pub arguments: String,
    pub state: RecipientState,
    pub attempts: i64,
    pub changed_at: SystemTime,
    pub changed_by: Option<String>,
    /// The MTA's words to the last attempt, or what went wrong.
    pub reply: Option<String>,
}

impl Recipient {
    /// It is held still though somebody has tried to release it: `reply` is why it did not go.
    #[must_use]
    pub fn was_tried(&self) -> bool {
        self.state == RecipientState::Held && self.changed_by.is_some()
    }
}

pub(super) const COLUMNS: &str = "id, message, stored_at, received_at, class, reason, decided_by, state, changed_at, changed_by, \
    legal_hold, listener, client, sender, mail, header_from, subject, message_id, size, stored, sha256, findings, timings, assigned";
pub(super) const RECIPIENT_COLUMNS: &str = "position, address, arguments, state, attempts, changed_at, changed_by, reply, entry";

impl Entry {
    /// Of a row of [`COLUMNS`], without its recipients.
    pub(super) fn read(row: &Row) -> Result<Self, QuarantineError> {
        Ok(Self {
            id: row.text(0)?,
            message: row.text(1)?,
            stored_at: time(row.integer(2)?),
            received_at: time(row.integer(3)?),
            class: row.text(4)?,
            reason: row.text(5)?,
            decided_by: row.optional_text(6)?,
            state: word(State::parse, &row.text(7)?)?,
            changed_at: time(row.integer(8)?),
            changed_by: row.optional_text(9)?,
            legal_hold: row.integer(10)? != 0,
            listener: row.text(11)?,
            client: row.text(12)?,
            sender: row.text(13)?,
            mail: row.text(14)?,
            header_from: row.optional_text(15)?,
            subject: row.optional_text(16)?,
            message_id: row.optional_text(17)?,
            size: row.integer(18)?,
            stored: row.integer(19)?,
            sha256: row.text(20)?,
            findings: row.text(21)?,
            timings: row.text(22)?,
            assigned: row.optional_text(23)?,
            recipients: Vec::new(),
            hidden: 0,
            dialogue: None,
        })
    }

    /// Its place in a list that is sorted so.
    #[must_use]
    pub fn cursor(&self, sort: Sort) -> Cursor {
        let key = match sort {
            Sort::Time => String::new(),
            Sort::Size => self.size.to_string(),
            Sort::Sender => self.sender.clone(),
        };
        Cursor { id: self.id.clone(), key }
    }

    /// Why there is nothing to be released any more; `None` where its content is there.
    #[must_use]
    pub fn gone(&self) -> Option<Conflict> {
        match self.state {
            State::Lost => Some(Conflict::Lost),
            State::Deleted => Some(Conflict::Deleted),
            State::Held | State::Released => None,
        }
    }

    /// Leaves of its recipients those that may be seen.
    pub(super) fn show_to(&mut self, visible: &Visible) {
        let all = self.recipients.len();
        self.recipients.retain(|recipient| visible.covers(&recipient.address));
        self.hidden += all - self.recipients.len();
    }
}

impl Recipient {
    /// Why it is released to this one only again: he has it, or may have it.
    pub(super) fn had(&self) -> Conflict {
        let (address, by) = (self.address.as_str().into(), self.changed_by.as_deref().unwrap_or("–").into());
        if self.state == RecipientState::Released { Conflict::HasIt { address, by } } else { Conflict::MayHaveIt { address, by } }
    }

    /// Of a row of [`RECIPIENT_COLUMNS`].
    pub(super) fn read(row: &Row) -> Result<Self, QuarantineError> {
        Ok(Self {
            position: row.integer(0)?,
            address: row.text(1)?,
            arguments: row.text(2)?,
            state: word(RecipientState::parse, &row.text(3)?)?,
            attempts: row.integer(4)?,
            changed_at: time(row.integer(5)?),
            changed_by: row.optional_text(6)?,
            reply: row.optional_text(7)?,
        })
    }
}

fn word<T>(parse: fn(&str) -> Option<T>, text: &str) -> Result<T, QuarantineError> {
    parse(text).ok_or_else(|| StorageError::Failed(format!("database: no state is called `{text}`").into()).into())
}
