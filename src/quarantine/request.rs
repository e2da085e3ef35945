//! Four eyes: a release that one asks for and another approves.
use super::{
    By, Conflict, Entry, Quarantine, QuarantineError, Recipient, RecipientState, State, Visible, Wrong, distinct, millis, time, written,
};
use crate::storage::{Row, Statement, StorageError};
use std::time::SystemTime;

/// Characters of why somebody asks.
const LENGTH: usize = 1000;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    Pending,
    /// And claimed in the same moment.
    Approved,
    Denied,
}

impl RequestState {
    /// As it stands in rows and in what programs read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }
    fn parse(word: &str) -> Self {
        match word {
            "pending" => Self::Pending,
            "approved" => Self::Approved,
            _ => Self::Denied,
        }
    }
}

/// Somebody asked for the release of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub number: i64,
    pub entry: String,
    pub asked_at: SystemTime,
    pub asked_by: String,
    /// Empty: all that do not have it. Those that may be seen by who asked for the request.
    pub recipients: Vec<String>,
    /// How many more there are, which he may not see.
    pub hidden: usize,
    /// Also to those who have it, or perhaps have it.
    pub again: bool,
    pub why: String,
    pub state: RequestState,
    pub decided_at: Option<SystemTime>,
    pub decided_by: Option<String>,
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    pub by: By<'a>,
    /// Empty: all that do not have it.
    pub recipients: &'a [String],
    /// Also to those who have it, or perhaps have it.
    pub again: bool,
    /// For who decides: 1000 characters at most are kept.
    pub why: &'a str,
}

const COLUMNS: &str = "number, entry, asked_at, asked_by, recipients, why, state, decided_at, decided_by, again";

impl Request {
    fn read(row: &Row) -> Result<Self, QuarantineError> {
        Ok(Self {
            number: row.integer(0)?,
            entry: row.text(1)?,
            asked_at: time(row.integer(2)?),
            asked_by: row.text(3)?,
            recipients: serde_json::from_str(&row.text(4)?).map_err(|error| StorageError::Failed(error.to_string().into()))?,
            hidden: 0,
            again: row.integer(9)? != 0,
            why: row.text(5)?,
            state: RequestState::parse(&row.text(6)?),
            decided_at: row.optional_integer(7)?.map(time),
            decided_by: row.optional_text(8)?,
        })
    }

    /// Leaves of its recipients those that may be seen.
    pub fn show_to(&mut self, visible: &Visible) {
        let all = self.recipients.len();
        self.recipients.retain(|address| visible.covers(address));
        self.hidden += all - self.recipients.len();
    }
}

impl Quarantine {
    /// Whether what is held as this is released by two people only.
    #[must_use]
    pub fn takes_two(&self, class: &str) -> bool {
        self.0.settings.load().takes_two(class)
    }

    /// Asks for the release of `entry`, of a class that takes two.
    ///
    /// # Errors
    /// Somebody has asked already, one person is enough, nobody asks, or there is nothing to release.
    pub async fn ask(&self, entry: &Entry, ask: Ask<'_>) -> Result<(), QuarantineError> {
        let conflict = |why: Conflict| Err(why.into());
        if ask.by.name.trim().is_empty() {
            return Err(Wrong::NobodyAsks.into());
        }
        if !self.takes_two(&entry.class) {
            return conflict(Conflict::OneIsEnough);
        }
        let wanted = distinct(ask.recipients);
        if let Some(stranger) = wanted.iter().find(|address| entry.recipients.iter().all(|recipient| recipient.address != **address)) {
            return conflict(Conflict::NotFor { address: stranger.as_str().into() });
        }
        if let Some(why) = entry.gone() {
            return conflict(why);
        }
        let waits = entry.recipients.iter().any(|recipient| recipient.state != RecipientState::Released);
        if !ask.again && (entry.state != State::Held || !waits) {
            return conflict(Conflict::Released);
        }
        let named = |recipient: &&Recipient| wanted.is_empty() || wanted.contains(&recipient.address);
        let mut chosen = entry.recipients.iter().filter(named);
        // Who approves could not release it to any of them.
        if let Some(first) = chosen.clone().next().filter(|_| !ask.again && chosen.all(|one| one.state != RecipientState::Held)) {
            return conflict(first.had());
        }
        // Two who ask at the same moment would break the index, and with it what shares the commit.
        let statement = Statement::new(
            "INSERT INTO quarantine_request (entry, asked_at, asked_by, recipients, why, state, again) SELECT ?1, ?2, ?3, ?4, ?5, 'pending', ?6 \
             WHERE EXISTS (SELECT 1 FROM quarantine_entry WHERE id = ?1 AND (state = 'held' OR (?6 AND state = 'released'))) \
             AND NOT EXISTS (SELECT 1 FROM quarantine_request WHERE entry = ?1 AND state = 'pending')",
        );
        let statement = statement
            .with(&*entry.id)
            .with(millis(SystemTime::now()))
            .with(ask.by.name)
            .with(serde_json::Value::from(wanted).to_string())
            .with(written(ask.why, LENGTH))
            .with(ask.again)
            .must_change();
        match self.0.database.write([statement].into_iter().chain(ask.by.record).collect()).await {
            Ok(_) => Ok(()),
            Err(StorageError::Unchanged) => conflict(Conflict::AskedAlready),
            Err(error) => Err(error.into()),
        }
    }

    /// What was asked about an entry, the latest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn requests(&self, id: &str) -> Result<Vec<Request>, QuarantineError> {
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM quarantine_request WHERE entry = ?1 ORDER BY number DESC LIMIT 100"));
        self.0.database.read(statement.with(id)).await?.iter().map(Request::read).collect()
    }

    /// The request that waits for somebody to decide.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn pending(&self, id: &str) -> Result<Option<Request>, QuarantineError> {
        Ok(self.requests(id).await?.into_iter().find(|request| request.state == RequestState::Pending))
    }

    /// Which of these entries somebody asks to release.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn asked(&self, ids: &[String]) -> Result<Vec<String>, QuarantineError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<_> = (1..=ids.len()).map(|n| format!("?{n}")).collect();
        let sql = format!("SELECT entry FROM quarantine_request WHERE state = 'pending' AND entry IN ({})", places.join(", "));
        let rows = self.0.database.read(ids.iter().fold(Statement::new(sql), |statement, id| statement.with(&**id))).await?;
        Ok(rows.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?)
    }

    /// Says no to a request, or takes one's own back.
    ///
    /// # Errors
    /// There is none that waits.
    pub async fn deny<'a>(&self, request: &Request, by: impl Into<By<'a>>) -> Result<(), QuarantineError> {
        let by = by.into();
        let statement = Statement::new(
            "UPDATE quarantine_request SET state = 'denied', decided_at = ?2, decided_by = ?3 WHERE number = ?1 AND state = 'pending'",
        );
        let statement = statement.with(request.number).with(millis(SystemTime::now())).with(by.name).must_change();
        match self.0.database.write([statement].into_iter().chain(by.record).collect()).await {
            Ok(_) => Ok(()),
            Err(StorageError::Unchanged) => Err(Conflict::Decided.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// What approves `request` in the batch that claims: nobody approves his own.
    pub(super) fn approval(request: &Request, by: &str) -> Statement {
        Statement::new(
            "UPDATE quarantine_request SET state = 'approved', decided_at = ?2, decided_by = ?3 \
             WHERE number = ?1 AND state = 'pending' AND asked_by <> ?3",
        )
        .with(request.number)
        .with(millis(SystemTime::now()))
        .with(by)
        .must_change()
    }
}
