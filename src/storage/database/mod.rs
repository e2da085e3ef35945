//! The embedded database: SQLite, in WAL mode, synced at every commit where its [`Schema`] says so.
//!
//! One thread writes. What is asked of it meanwhile is done in one transaction, so that many
//! messages share one sync of the disk; each batch of statements still stands or falls alone. Any
//! number of readers have connections of their own and never wait for the writer. Another process
//! (the command line) may do the same beside it.

mod search;
mod writer;

use super::{Row, Statement, StorageError, Value, function};
use rusqlite::{Connection, OpenFlags, params_from_iter, types::ValueRef};
use search::Searching;
use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};
use writer::{Job, Writer};

/// How long another process may hold the database before we give up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Batches that may wait for the writer; who comes then waits himself.
const WAITING: usize = 256;
/// Connections of readers that are kept for the next.
const READERS: usize = 4;

/// What a database has in it, and what a commit to it promises.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// All there ever were, in order. How many have been applied is the file's `user_version`.
    steps: &'static [&'static str],
    synchronous: &'static str,
    /// Pages of the log that are brought into the file together. More are written once where they change
    /// often, and take more room.
    checkpoint: u32,
    /// KiB of pages that the writer keeps in memory: those of one commit should fit.
    cache: u32,
}

impl Schema {
    /// `octroi.db`: what must never be lost. In WAL mode NORMAL syncs at checkpoints only, and what
    /// was committed could go with the power.
    pub const STATE: Self = Self {
        steps: &[
            include_str!("schema_1.sql"),
            include_str!("schema_2.sql"),
            include_str!("schema_3.sql"),
            include_str!("schema_4.sql"),
            include_str!("schema_5.sql"),
            include_str!("schema_6.sql"),
        ],
        synchronous: "full",
        checkpoint: 1000,
        cache: 2000,
    };
    /// `journal.db`: what may lose its last moments with the power, but not with the process, and is
    /// never damaged by either. Apart from the other, whose commits, which clients wait for, so
    /// neither wait for those of the journal nor sync its pages; and whoever backs up, copies or
    /// throws away one need not touch the other.
    pub const JOURNAL: Self = Self {
        steps: &[include_str!("journal_1.sql"), include_str!("journal_2.sql")],
        synchronous: "normal",
        checkpoint: 4000,
        cache: 4000,
    };
}

/// Whether the database may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Create,
    /// It has to be there already.
    Existing,
}

/// A handle; clones share. The writer ends with the last.
#[derive(Debug, Clone)]
pub struct Database(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
    readers: Mutex<Vec<Connection>>,
    searching: Searching,
}

/// Which file it was that was opened.
#[derive(Debug, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    fn of(path: &Path) -> Result<Self, StorageError> {
        let found = fs::metadata(path).map_err(|_| StorageError::Gone(path.display().to_string().into()))?;
        Ok(Self(found.dev(), found.ino()))
    }
}

impl Database {
    /// Opens the file at `path`, brings its schema up to date and starts the writer. Blocks.
    ///
    /// # Errors
    /// It cannot be opened, is of a later version, or is no database.
    pub fn open(path: &Path, schema: Schema, access: Access) -> Result<Self, StorageError> {
        let is_new = !path.exists();
        if is_new && access == Access::Create {
            make(path).map_err(|error| StorageError::file(path, &error))?;
        }
        // SQLite says of all of these that it cannot open the file. Asked for without opening it: to
        // close it again would end the locks of whoever in this process has it open.
        let usable = rustix::fs::access(path, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK);
        usable.map_err(|error| unusable(path, error.into()))?;
        let named = |error: StorageError| match error {
            StorageError::Failed(text) => StorageError::Failed(format!("{}: {text}", path.display()).into()),
            other => other,
        };
        let mut connection = connect(path).map_err(|error| named(error.into()))?;
        prepare(&connection, schema).map_err(|error| named(error.into()))?;
        migrate(&mut connection, schema, path).map_err(named)?;
        function::register(&connection).map_err(named)?;
        let identity = Identity::of(path)?;
        let (jobs, waiting) = mpsc::channel(WAITING);
        let writer = Writer { connection, path: path.to_owned(), identity };
        let started = thread::Builder::new().name("octroi-database".into()).spawn(move || writer.run(waiting));
        started.map_err(|error| StorageError::Failed(format!("cannot start a thread: {error}").into()))?;
        Ok(Self(Arc::new(Inner { path: path.to_owned(), jobs, readers: Mutex::default(), searching: Searching::default() })))
    }

    /// Does all of `batch` or nothing; says how many rows each statement has changed, once that is
    /// on disk. Whoever stops waiting does not know which of the two happened.
    ///
    /// # Errors
    /// Nothing was done, where the error [says so](StorageError::leaves_nothing).
    pub async fn write(&self, batch: Vec<Statement>) -> Result<Vec<usize>, StorageError> {
        self.write_shared(batch.into()).await
    }

    /// The same for a batch that may have to be written again: the caller keeps it.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_shared(&self, batch: Arc<[Statement]>) -> Result<Vec<usize>, StorageError> {
        let over = || StorageError::Failed("database: the writer has ended".into());
        let (answer, answered) = oneshot::channel();
        self.0.jobs.send(Job { batch, answer }).await.map_err(|_| over())?;
        answered.await.map_err(|_| over())?
    }

    /// The rows that `statement` finds, all of them at once: the caller bounds them, and how much is
    /// looked at for them. What somebody asks for in his own words is a [search](Self::search).
    ///
    /// # Errors
    /// It could not be read.
    pub async fn read(&self, statement: Statement) -> Result<Vec<Row>, StorageError> {
        let inner = Arc::clone(&self.0);
        let read = spawn_blocking(move || inner.read(&statement)).await;
        read.map_err(|error| StorageError::Failed(error.to_string().into()))?
    }
}

/// The file in the hands of somebody who does not go through us.
#[cfg(test)]
pub(crate) struct Tampering(Connection);

#[cfg(test)]
impl Tampering {
    pub(crate) fn batch(&self, sql: &str) -> Result<(), StorageError> {
        Ok(self.0.execute_batch(sql)?)
    }
}

#[cfg(test)]
impl Database {
    pub(crate) fn tampering(path: &Path) -> Tampering {
        Tampering(Connection::open(path).unwrap())
    }
}

impl Inner {
    fn read(&self, statement: &Statement) -> Result<Vec<Row>, StorageError> {
        self.reading(|connection| query(connection, statement))
    }

    /// With a connection, which is kept for the next where all went well.
    fn reading<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path)?;
                connection.pragma_update(None, "query_only", true)?;
                connection
            }
        };
        let found = read(&connection)?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS {
            readers.push(connection);
        }
        Ok(found)
    }
}

fn query(connection: &Connection, statement: &Statement) -> Result<Vec<Row>, StorageError> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let columns = prepared.column_count();
    let mut rows = prepared.query(params_from_iter(&statement.parameters))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let value = |column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Integer(integer) => Value::Integer(integer),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
            })
        };
        found.push(Row((0..columns).map(value).collect::<rusqlite::Result<_>>()?));
    }
    Ok(found)
}

fn unusable(path: &Path, error: std::io::Error) -> StorageError {
    if error.kind() == std::io::ErrorKind::NotFound {
        return StorageError::Failed(format!("{} is not there: octroi has not run with this `state_dir` yet", path.display()).into());
    }
    StorageError::file(path, &error)
}

/// An empty file that nobody else may read, and that is in its directory for good.
fn make(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(directory)?;
    let file = File::options().create(true).append(true).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    super::adopt(path)?;
    file.sync_all()?;
    File::open(directory)?.sync_all()
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // Each connection is used by one thread at a time.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

fn prepare(connection: &Connection, schema: Schema) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", schema.synchronous)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", schema.checkpoint, |_| Ok(()))?;
    // Negative: KiB, not pages.
    connection.pragma_update(None, "cache_size", -i64::from(schema.cache))?;
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))
}

/// Applies the steps that the file has not seen, all of them or none.
fn migrate(connection: &mut Connection, Schema { steps, .. }: Schema, path: &Path) -> Result<(), StorageError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let version = |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    if version(connection)? == known {
        // The usual: nothing is locked, nothing written.
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > known {
        return Err(StorageError::Later { file: path.display().to_string().into(), found, known });
    }
    for step in steps.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
}
