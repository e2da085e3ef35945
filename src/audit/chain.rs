//! Proving that the chain is whole.
use super::{Audit, Record, search::COLUMNS};
use crate::storage::{Statement, StorageError, Value, sha256_of};
use crate::value::millis;

/// What stands as the hash before the first row.
pub(super) const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Octets of a column that somebody outside chose.
pub(super) const LONGEST: usize = 4000;
/// Rows read at once.
const PAGE: i64 = 1000;

/// Whether `text` could be the hash of a row.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.len() == BEGINNING.len() && text.bytes().all(|octet| octet.is_ascii_hexdigit())
}

/// A chain without a flaw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub rows: i64,
    /// The hash of the last; that of the beginning where there is none.
    pub head: String,
}

/// The first place where the chain is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("row {expected} is missing: row {found} follows row {}", expected - 1)]
    Missing { expected: i64, found: i64 },
    #[error("row {0} does not follow the row before it: one was exchanged, removed or written anew")]
    Unchained(i64),
    #[error("row {0} is not what was written")]
    Altered(i64),
    /// The hash that was known from elsewhere is not in it.
    #[error("no row has the hash {0}: the chain was cut off before it, or written anew")]
    HeadMissing(String),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Audit {
    /// Sequence and hash of the newest row.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn head(&self) -> Result<Option<(i64, String)>, StorageError> {
        let rows = self.database.read(Statement::new("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")).await?;
        rows.first().map(|row| Ok((row.integer(0)?, row.text(1)?))).transpose()
    }

    /// Walks the chain from its beginning. `head`: the hash of a row that is known to have been
    /// there, from the log or from an earlier walk; without it nobody can see that rows are missing
    /// at the end.
    ///
    /// # Errors
    /// The first row that is not as it should be.
    pub async fn verify(&self, head: Option<&str>) -> Result<Verified, Broken> {
        let mut walk = Walk { rows: 0, last: BEGINNING.to_owned(), seen: head.is_none_or(|head| head == BEGINNING) };
        loop {
            let statement = Statement::new(format!("SELECT {COLUMNS} FROM audit WHERE sequence > ?1 ORDER BY sequence LIMIT {PAGE}"));
            let rows = self.database.read(statement.with(walk.rows)).await?;
            for row in &rows {
                walk.step(&Record::read(row)?, head)?;
            }
            if rows.len() < PAGE as usize {
                break;
            }
        }
        match head {
            Some(head) if !walk.seen => Err(Broken::HeadMissing(head.to_owned())),
            _ => Ok(Verified { rows: walk.rows, head: walk.last }),
        }
    }
}

struct Walk {
    rows: i64,
    last: String,
    seen: bool,
}

impl Walk {
    fn step(&mut self, record: &Record, head: Option<&str>) -> Result<(), Broken> {
        let expected = self.rows + 1;
        if record.sequence != expected {
            return Err(Broken::Missing { expected, found: record.sequence });
        }
        if record.hash != hash(record) {
            return Err(Broken::Altered(expected));
        }
        if record.previous != self.last {
            return Err(Broken::Unchained(expected));
        }
        self.seen |= head.is_some_and(|head| head.eq_ignore_ascii_case(&record.hash));
        (self.rows, self.last) = (expected, record.hash.clone());
        Ok(())
    }
}

/// As [`Event::statement`](super::Event::statement) has it computed.
fn hash(record: &Record) -> String {
    sha256_of(&[
        Value::from(record.sequence),
        Value::from(millis(record.at)),
        Value::from(&*record.actor),
        Value::from(record.client.as_deref()),
        Value::from(&*record.action),
        Value::from(record.object.as_deref()),
        Value::from(&*record.detail),
        Value::from(&*record.previous),
    ])
}
