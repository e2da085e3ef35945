//! The rows: found, read, and in the end removed.
use super::{
    hide::Hide,
    query::Query,
    row::{COLUMNS, PER_HOUR, Row, first_key},
    settings::{Addresses, Settings},
    summary::{self, Summary},
    terms::{Expression, Of},
};
use crate::storage::{Access, Database, Schema, Statement, StorageError};
use crate::telemetry::Metrics;
use arc_swap::ArcSwapOption;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Rows removed in one commit.
const STEP: u64 = 500;
/// Commits of one round of tidying; what came meanwhile is written before the next.
const ROUND: usize = 20;
/// Where there is no room, the part of it that is left to rows without a message: what anybody can
/// cause, as often as he likes, leaves to messages their answer to "who else got it?".
const SHARE: u64 = 4;
/// Octets that such a row takes, with what it is found by.
const WITHOUT_MESSAGE: u64 = 1 << 10;

/// Keys less than `?1`, `?2` of them.
const OLDEST: &str = "SELECT key FROM journal_row WHERE key < ?1 ORDER BY key LIMIT ?2";
const OLDEST_WITHOUT_MESSAGE: &str =
    "SELECT key FROM journal_row INDEXED BY journal_row_without_message WHERE kind <> 'message' AND key < ?1 ORDER BY key LIMIT ?2";

/// The rows of the journal. A handle; clones share. Any process may read beside the one that writes.
#[derive(Debug, Clone)]
pub struct Rows {
    database: Database,
    key: Arc<Path>,
    hide: Arc<ArcSwapOption<Hide>>,
}

impl Rows {
    /// The journal below `state_dir`, which has to be there. Blocks.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(state_dir: &Path) -> Result<Self, StorageError> {
        Self::with(state_dir, Access::Existing)
    }

    /// The same, made where it is missing, with all that `settings` need. Blocks.
    pub(super) fn make(state_dir: &Path, settings: &Settings) -> Result<Self, StorageError> {
        let rows = Self::with(state_dir, Access::Create)?;
        rows.prepare(settings)?;
        Ok(rows)
    }

    fn with(state_dir: &Path, access: Access) -> Result<Self, StorageError> {
        let database = Database::open(&state_dir.join("journal.db"), Schema::JOURNAL, access)?;
        let key: PathBuf = state_dir.join("journal.key");
        let hide = Hide::open(&key)?.map(Arc::new);
        Ok(Self { database, key: key.into(), hide: Arc::new(ArcSwapOption::new(hide)) })
    }

    /// What is needed to write as `settings` say.
    pub(super) fn prepare(&self, settings: &Settings) -> Result<(), StorageError> {
        if settings.addresses == Addresses::Hashed && self.hide.load().is_none() {
            self.hide.store(Some(Arc::new(Hide::open_or_make(&self.key)?)));
        }
        Ok(())
    }

    pub(super) fn hide(&self) -> Option<Arc<Hide>> {
        self.hide.load_full()
    }

    pub(super) async fn write(&self, batch: Arc<[Statement]>) -> Result<(), StorageError> {
        self.database.write_shared(batch).await.map(drop)
    }

    /// How long a search may take, from now on.
    pub fn search_within(&self, within: Duration) {
        self.database.search_within(within);
    }

    /// The rows that `query` asks for, newest first.
    ///
    /// # Errors
    /// It asks for more than can be looked through in time, others search, or the journal cannot be
    /// read.
    pub async fn search(&self, query: &Query) -> Result<Vec<Row>, StorageError> {
        let statement = query.statement(self.hide().as_deref());
        self.database.search(statement).await?.iter().map(Row::read).collect()
    }

    /// The row of that key.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn row(&self, key: i64) -> Result<Option<Row>, StorageError> {
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM journal_row AS row WHERE key = ?1")).with(key);
        self.database.read(statement).await?.first().map(Row::read).transpose()
    }

    /// The row of the message that has our id `id`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn message(&self, id: &str) -> Result<Option<Row>, StorageError> {
        let of = Expression::is(Of::Message, id).into_string();
        let statement = format!(
            "SELECT {COLUMNS} FROM journal_row AS row WHERE key IN (SELECT rowid FROM journal_term WHERE journal_term MATCH ?1) LIMIT 1"
        );
        self.database.read(Statement::new(statement).with(of)).await?.first().map(Row::read).transpose()
    }

    /// What there was between two times, in whole hours.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn summary(&self, from: SystemTime, to: SystemTime) -> Result<Summary, StorageError> {
        Ok(Summary::of(&self.database.read(summary::statement(from, to)).await?))
    }

    /// Removes some of what is too old, or too much, and tells the metrics; says whether that is all.
    pub(super) async fn tidy(&self, settings: &Settings, metrics: &Metrics) -> bool {
        match self.remove(settings).await {
            Ok((is_done, size)) => {
                metrics.journal_bytes.set(size.try_into().unwrap_or(i64::MAX));
                metrics.journal_limit.set(settings.size.try_into().unwrap_or(i64::MAX));
                let oldest = self.oldest().await.unwrap_or(None);
                metrics.journal_oldest.set(oldest.map_or(0, |millis| millis / 1000));
                is_done
            }
            Err(error) => {
                tracing::warn!("what is too old in the journal stays for now: {error}");
                true
            }
        }
    }

    async fn remove(&self, settings: &Settings) -> Result<(bool, u64), StorageError> {
        let limit = SystemTime::now().checked_sub(settings.keep);
        let limit = limit.map_or(0, first_key);
        let old_hours = Statement::new("DELETE FROM journal_hour WHERE hour < ?1").with(limit / PER_HOUR);
        for _ in 0..ROUND {
            if self.remove_before(limit).await? < STEP {
                self.write([old_hours].into()).await?;
                return self.make_room(settings.size).await;
            }
        }
        Ok((false, self.size().await?))
    }

    /// Removes the oldest rows: those without a message as long as they take more than their share, and
    /// whatever is the oldest then.
    async fn make_room(&self, limit: u64) -> Result<(bool, u64), StorageError> {
        let mut others = None;
        for _ in 0..ROUND {
            let size = self.size().await?;
            if size <= limit {
                return Ok((true, size));
            }
            let others = match &mut others {
                Some(others) => others,
                // Counted where it matters, and once a round.
                none => none.insert(self.without_message().await?),
            };
            let removed = match others.saturating_sub(limit / SHARE / WITHOUT_MESSAGE) {
                0 => self.remove_before(i64::MAX).await?,
                too_many => {
                    let removed = self.remove_oldest(OLDEST_WITHOUT_MESSAGE, i64::MAX, too_many.min(STEP)).await?;
                    *others = others.saturating_sub(removed);
                    removed
                }
            };
            if removed == 0 {
                return Ok((true, size));
            }
        }
        Ok((false, self.size().await?))
    }

    async fn without_message(&self) -> Result<u64, StorageError> {
        let count = "SELECT count(*) FROM journal_row INDEXED BY journal_row_without_message WHERE kind <> 'message'";
        let rows = self.database.read(Statement::new(count)).await?;
        rows.first().map_or(Ok(0), |row| row.integer(0).map(|count| u64::try_from(count).unwrap_or(0)))
    }

    /// The oldest rows, where their keys are less than `limit`.
    async fn remove_before(&self, limit: i64) -> Result<u64, StorageError> {
        self.remove_oldest(OLDEST, limit, STEP).await
    }

    /// Those that `oldest` selects, with their terms; how many there were.
    async fn remove_oldest(&self, oldest: &str, limit: i64, most: u64) -> Result<u64, StorageError> {
        let delete = |sql: String| Statement::new(sql).with(limit).with(most);
        let batch = vec![
            delete(format!("DELETE FROM journal_term WHERE rowid IN ({oldest})")),
            delete(format!("DELETE FROM journal_row WHERE key IN ({oldest})")),
        ];
        Ok(self.database.write(batch).await?.last().map_or(0, |rows| *rows as u64))
    }

    /// Octets on disk that are in use.
    async fn size(&self) -> Result<u64, StorageError> {
        let statement = "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        let rows = self.database.read(Statement::new(statement)).await?;
        rows.first().map_or(Ok(0), |row| row.integer(0).map(|size| u64::try_from(size).unwrap_or(0)))
    }

    async fn oldest(&self) -> Result<Option<i64>, StorageError> {
        let rows = self.database.read(Statement::new("SELECT at FROM journal_row ORDER BY key LIMIT 1")).await?;
        rows.first().map(|row| row.integer(0)).transpose()
    }
}
