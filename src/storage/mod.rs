//! Where things are kept: rows in a [`Database`], contents in [`Blobs`].
//!
//! Both are handles that callers clone and await; what stands behind them is theirs alone. Here that
//! is SQLite and local files. Statements are data ([`Statement`]) in the SQL that SQLite and
//! PostgreSQL share, and a blob is a key and octets in order, so that another engine is another
//! inside of the same two types.

mod blobs;
mod database;
mod error;
mod function;
mod settings;
mod statement;
#[cfg(test)]
mod tests;

pub use blobs::{BlobReader, BlobWriter, Blobs, Kept};
pub use database::{Access, Database, Schema};
pub use error::StorageError;
pub use function::sha256_of;
pub use settings::Settings;
pub use statement::{Row, Statement, Value};

use std::{
    io,
    os::unix::fs::{MetadataExt as _, chown},
    path::Path,
};

/// Gives what root has just made to whoever owns the directory that it is in. The command line may
/// run as root before the service, which is another's, has run at all, and has to be able to use it.
///
/// # Errors
/// The owner cannot be found out or set.
pub fn adopt(made: &Path) -> io::Result<()> {
    let directory = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let owner = directory.metadata()?;
    if !rustix::process::geteuid().is_root() || owner.uid() == 0 {
        return Ok(());
    }
    chown(made, Some(owner.uid()), Some(owner.gid()))
}

/// What must never be lost, below `state_dir`: one database and one place for contents, which all
/// who keep something there share. A handle; clones share.
#[derive(Debug, Clone)]
pub struct Store {
    pub database: Database,
    pub blobs: Blobs,
}

impl Store {
    /// Opens both, which are made where they are missing and may be (`access`). Blocks.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn open(state_dir: &Path, access: Access) -> Result<Self, StorageError> {
        let database = Database::open(&state_dir.join("octroi.db"), Schema::STATE, access)?;
        let blobs = Blobs::open(&state_dir.join("blobs"))?;
        Ok(Self { database, blobs })
    }
}
