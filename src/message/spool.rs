//! Where content lives: written once through [`Spool`], read any number of times through
//! [`Content`].
use super::budget::Budget;
use bytes::Bytes;
use std::{io, path::PathBuf, sync::Arc};

/// How and where messages are kept while they are under way; one for the whole process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Octets of one message held in memory before it moves to a file.
    pub in_memory: u64,
    pub memory: Budget,
    pub disk: Budget,
    /// The files have no name there.
    pub directory: Arc<PathBuf>,
}

/// Why content could not be taken; the client is told "later".
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// `452 4.3.1`.
    #[error("memory and disk budget are used up")]
    Full,
    /// `452 4.3.1` as well (a full file system is one of these).
    #[error("spool: {0}")]
    Io(#[from] io::Error),
}

/// Content being received. Becomes a [`Content`], or is dropped and gone.
#[derive(Debug)]
pub struct Spool {
    settings: Settings,
}

/// Whole, immutable content. Clones share it; dropping the last frees it and its budget.
#[derive(Debug, Clone)]
pub struct Content {
    len: u64,
}

/// Reads content from a place on, piece by piece.
#[derive(Debug)]
pub struct Reader {}

impl Spool {
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone() }
    }
    /// Octets taken so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        0
    }
    /// # Errors
    /// After one the spool is of no use; drop it.
    pub async fn push(&mut self, _chunk: Bytes) -> Result<(), SpoolError> {
        Err(SpoolError::Full)
    }
    /// # Errors
    /// What is buffered could not be written.
    pub async fn finish(self) -> Result<Content, SpoolError> {
        Err(SpoolError::Full)
    }
}

impl Content {
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }
    /// The pieces, where all of them are in memory: the hot path needs no reader.
    #[must_use]
    pub fn in_memory(&self) -> Option<&[Bytes]> {
        None
    }
    /// From octet `from` on.
    #[must_use]
    pub fn reader(&self, _from: u64) -> Reader {
        Reader {}
    }
}

impl Reader {
    /// The next piece, of at most 256 KiB; `None` at the end.
    ///
    /// # Errors
    /// The file could not be read.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        Ok(None)
    }
}
