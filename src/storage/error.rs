use crate::value::with_owner;
use rusqlite::ErrorCode;
use std::{io, path::Path, time::Duration};

/// Why something could not be kept, or not be found again. Ours, or the machine's; never the
/// client's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Nothing of it was written.
    #[error("no space left on the device: {0}")]
    Full(Box<str>),
    /// Another process holds the database for too long. Nothing was written.
    #[error("the database is locked by another process")]
    Busy,
    /// A statement that must change something did not, so none of its batch did.
    #[error("it is not as it was expected to be any more")]
    Unchanged,
    /// The schema forbids it: a second row of one key, a change of what is never changed. Nothing of its
    /// batch was written.
    #[error("database: {0}")]
    Refused(Box<str>),
    /// The file was removed or replaced while it was open: what is written now, nobody finds again.
    #[error("{0} is not the file any more that was opened")]
    Gone(Box<str>),
    /// Written by a later version.
    #[error("{file} was written by a later version of octroi (schema {found}, this one knows {known})")]
    Later { file: Box<str>, found: i64, known: i64 },
    /// A search was ended: it would have had to look through too much.
    #[error("too broad: it was ended after {0:?}; narrow the time, or the words")]
    TooBroad(Duration),
    /// Others search, and go on doing so.
    #[error("too many searches at once; try again")]
    Crowded,
    #[error("{0}")]
    Failed(Box<str>),
}

impl StorageError {
    /// `error` happened to the file at `path`.
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        let text = with_owner(path, error).into();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(text),
            _ => Self::Failed(text),
        }
    }

    /// Whether it is the batch's own, and others that share its transaction can be committed.
    pub(super) fn is_of_its_batch(&self) -> bool {
        matches!(self, Self::Unchanged | Self::Refused(_))
    }

    /// Whether it is certain that nothing was written.
    #[must_use]
    pub fn leaves_nothing(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full("database".into()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::ConstraintViolation) => Self::Refused(error.to_string().into()),
            _ => Self::Failed(format!("database: {error}").into()),
        }
    }
}
