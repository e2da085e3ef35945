//! Finding what was written.
use super::{Action, Audit};
use crate::storage::{Row, Statement, StorageError, Value};
use crate::value::{millis, time};
use std::time::SystemTime;

pub(super) const COLUMNS: &str = "sequence, at, actor, client, action, object, detail, previous, hash";
/// The most rows of one page.
const PAGE: u64 = 1000;

/// A row of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub sequence: i64,
    pub at: SystemTime,
    pub actor: String,
    pub client: Option<String>,
    /// An [`Action`](super::Action)'s word, or one of a later version.
    pub action: String,
    pub object: Option<String>,
    /// JSON.
    pub detail: String,
    pub previous: String,
    pub hash: String,
}

impl Record {
    pub(super) fn read(row: &Row) -> Result<Self, StorageError> {
        Ok(Self {
            sequence: row.integer(0)?,
            at: time(row.integer(1)?),
            actor: row.text(2)?,
            client: row.optional_text(3)?,
            action: row.text(4)?,
            object: row.optional_text(5)?,
            detail: row.text(6)?,
            previous: row.text(7)?,
            hash: row.text(8)?,
        })
    }
}

/// Which rows to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub object: Option<String>,
    /// Only those who looked ([`Action::LOOKS`]), or only what changed something.
    pub looks: Option<bool>,
    pub after: Option<SystemTime>,
    pub before: Option<SystemTime>,
    /// Only rows before this one.
    pub below: Option<i64>,
    /// At most 1000.
    pub limit: u64,
}

impl Audit {
    /// The rows that `filter` lets through, newest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Record>, StorageError> {
        let conditions: Vec<(&str, Value)> = [
            ("actor =", filter.actor.as_deref().map(Value::from)),
            ("action =", filter.action.as_deref().map(Value::from)),
            ("object =", filter.object.as_deref().map(Value::from)),
            ("at >=", filter.after.map(|at| millis(at).into())),
            ("at <", filter.before.map(|at| millis(at).into())),
            ("sequence <", filter.below.map(Value::from)),
        ]
        .into_iter()
        .filter_map(|(sql, value)| Some((sql, value?)))
        .collect();
        let mut sql: Vec<_> = conditions.iter().enumerate().map(|(n, (sql, _))| format!("{sql} ?{}", n + 1)).collect();
        sql.extend(filter.looks.map(looks));
        let filtered = if sql.is_empty() { String::new() } else { format!("WHERE {}", sql.join(" AND ")) };
        let limit = filter.limit.clamp(1, PAGE);
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM audit {filtered} ORDER BY sequence DESC LIMIT {limit}"));
        let statement = conditions.into_iter().fold(statement, |statement, (_, value)| statement.with(value));
        self.database.search(statement).await?.iter().map(Record::read).collect()
    }
}

fn looks(only: bool) -> String {
    let words = Action::LOOKS.map(|action| format!("'{}'", action.as_str())).join(", ");
    format!("action {}IN ({words})", if only { "" } else { "NOT " })
}
