//! What is asked of a database, and what it answers.
use super::StorageError;
use rusqlite::types::{ToSqlOutput, ValueRef};
use std::borrow::Cow;

/// SQL with its parameters, which stand as `?1`, `?2` … in it. Values never stand in the text.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(super) sql: Cow<'static, str>,
    pub(super) parameters: Vec<Value>,
    pub(super) must_change: bool,
}

/// A parameter or a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
}

/// One row of an answer.
#[derive(Debug, Clone)]
pub struct Row(pub(super) Vec<Value>);

impl Statement {
    #[must_use]
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { sql: sql.into(), parameters: Vec::new(), must_change: false }
    }

    /// The value of the next parameter.
    #[must_use]
    pub fn with(mut self, value: impl Into<Value>) -> Self {
        self.parameters.push(value.into());
        self
    }

    /// For a statement with many parameters: so many will come.
    #[must_use]
    pub fn with_room(mut self, parameters: usize) -> Self {
        self.parameters.reserve_exact(parameters);
        self
    }

    /// Another value for the first parameter, which has to be there.
    pub fn set_first(&mut self, value: impl Into<Value>) {
        if let Some(first) = self.parameters.first_mut() {
            *first = value.into();
        }
    }

    /// Where it changes no row, nothing of its batch is done.
    #[must_use]
    pub fn must_change(mut self) -> Self {
        self.must_change = true;
        self
    }
}

impl Row {
    /// The text in a column that always has one.
    ///
    /// # Errors
    /// It has none: the row is not what this version writes.
    pub fn text(&self, column: usize) -> Result<String, StorageError> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text.clone()),
            other => Err(unexpected(column, "text", other)),
        }
    }

    /// # Errors
    /// As [`text`](Self::text).
    pub fn integer(&self, column: usize) -> Result<i64, StorageError> {
        match self.0.get(column) {
            Some(Value::Integer(integer)) => Ok(*integer),
            other => Err(unexpected(column, "a number", other)),
        }
    }

    /// # Errors
    /// As [`text`](Self::text).
    pub fn optional_text(&self, column: usize) -> Result<Option<String>, StorageError> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.text(column).map(Some),
        }
    }

    /// # Errors
    /// As [`text`](Self::text).
    pub fn optional_integer(&self, column: usize) -> Result<Option<i64>, StorageError> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.integer(column).map(Some),
        }
    }
}

fn unexpected(column: usize, wanted: &str, found: Option<&Value>) -> StorageError {
    StorageError::Failed(format!("database: column {column} is {found:?}, not {wanted}").into())
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}
/// More than fits is as much as does: sizes and counts stay far below that.
impl From<u64> for Value {
    fn from(integer: u64) -> Self {
        Self::Integer(integer.try_into().unwrap_or(i64::MAX))
    }
}
impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Integer(flag.into())
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
