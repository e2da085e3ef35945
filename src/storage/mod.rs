//! Where things are kept: rows in a [`Database`], contents in [`Blobs`].
//!
//! Both are handles that callers clone and await; what stands behind them is theirs alone. Here that
//! is SQLite and local files. Statements are data ([`Statement`]) in the SQL that SQLite and
//! PostgreSQL share, and a blob is a key and octets in order, so that another engine is another
//! inside of the same two types.

mod blobs;
mod database;
mod error;
mod settings;
mod statement;
#[cfg(test)]
mod tests;

pub use blobs::{BlobReader, BlobWriter, Blobs, Kept};
pub use database::{Access, Database};
pub use error::StorageError;
pub use settings::Settings;
pub use statement::{Row, Statement, Value};
