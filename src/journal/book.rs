//! Where records become rows: a queue that never makes a session wait, and a thread that empties it.
//!
//! ```text
//! Entry, Session: drop ─▶ push ─▶ queue ─────────────────────────▶ writer: up to 1000 rows at a time ─▶ journal.db
//!                          └─ not a small one ─▶ examiner: one at a time ─▲
//! ```
//!
//! Whatever is wrong below (disk full, database locked or gone, too much at once) costs rows, which
//! are counted, and never a message its time.
use super::{
    examine::{self, Examiner},
    hide::Shown,
    record::{Contents, Record},
    row::Kind,
    rows::Rows,
    settings::{Addresses, Settings},
    writer::Writer,
};
use crate::message::{Message, budget::Budget};
use crate::storage::StorageError;
use crate::telemetry::{JournalDrop, Metrics};
use arc_swap::ArcSwap;
use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Records that may wait.
const QUEUE: usize = 20_000;
/// Octets of them.
const QUEUE_OCTETS: u64 = 32 << 20;
/// Messages that may wait to be looked into.
const CONTENTS: usize = 2000;
/// Octets of them, which the spool has no use of meanwhile.
const CONTENT_OCTETS: u64 = 32 << 20;
/// Rows a second of connections that were turned away and of violations: a flood of them tells
/// nothing that its first hundred do not, and would push out what does.
const RATE: u64 = 100;
/// How long the last rows may take when the process ends.
const LAST: Duration = Duration::from_secs(10);

/// The journal as those see it who write to it. A handle; clones share.
#[derive(Debug, Clone)]
pub struct Book(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    records: mpsc::Sender<Box<Record>>,
    contents: mpsc::Sender<Box<Record>>,
    memory: Budget,
    content_memory: Budget,
    settings: Arc<ArcSwap<Settings>>,
    rate: Rate,
    rows: Rows,
    metrics: Arc<Metrics>,
    ended: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Book {
    /// Opens `journal.db` below `state_dir`, which is made where it is missing, and starts the
    /// writer. Blocks.
    ///
    /// # Errors
    /// It cannot be opened, is of a later version, or is no database.
    pub fn open(state_dir: &Path, settings: Settings, metrics: &Arc<Metrics>) -> Result<Self, StorageError> {
        let rows = Rows::make(state_dir, &settings)?;
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let (records, waiting) = mpsc::channel(QUEUE);
        let (contents, to_examine) = mpsc::channel(CONTENTS);
        let ended = CancellationToken::new();
        let writer = Writer::new(rows.clone(), Arc::clone(&settings), Arc::clone(metrics), ended.clone());
        let examiner = Examiner {
            records: to_examine,
            examined: records.clone(),
            settings: Arc::clone(&settings),
            metrics: Arc::clone(metrics),
            ended: ended.clone(),
        };
        let run = async move {
            let examining = tokio::spawn(examiner.run());
            writer.run(waiting, examining).await;
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(4).build();
        let failed = |error: std::io::Error| StorageError::Failed(format!("journal: cannot start a thread: {error}").into());
        let runtime = runtime.map_err(failed)?;
        let thread = thread::Builder::new().name("octroi-journal".into()).spawn(move || runtime.block_on(run)).map_err(failed)?;
        Ok(Self(Arc::new(Inner {
            records,
            contents,
            memory: Budget::new(QUEUE_OCTETS),
            content_memory: Budget::new(CONTENT_OCTETS),
            settings,
            rate: Rate::default(),
            rows,
            metrics: Arc::clone(metrics),
            ended,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Other settings hold from now on.
    ///
    /// # Errors
    /// The key that addresses are to be hashed with cannot be had; the old settings stay.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), StorageError> {
        self.0.rows.prepare(&settings)?;
        self.0.settings.store(Arc::new(settings));
        Ok(())
    }

    /// The rows, to be searched.
    #[must_use]
    pub fn rows(&self) -> &Rows {
        &self.0.rows
    }

    /// Whether what is in `message` is to be looked into: it is kept for a little while then.
    #[must_use]
    pub(super) fn wants_content(&self) -> bool {
        let settings = self.0.settings.load();
        settings.enabled && (settings.attachments || settings.urls)
    }

    /// How addresses are told elsewhere: as in the rows, whether any are written or not.
    pub(super) fn shown(&self) -> Shown {
        match self.0.settings.load().addresses {
            Addresses::Plain => Shown::Plain,
            Addresses::Hashed => self.0.rows.hide().map_or(Shown::Not, Shown::Hashed),
        }
    }

    /// Takes it down. Never waits.
    pub(super) fn push(&self, mut record: Record) {
        let inner = &*self.0;
        if !inner.settings.load().enabled {
            return;
        }
        if matches!(record.kind, Kind::Connection | Kind::Violation) && !inner.rate.allows() {
            return inner.metrics.journal_dropped(JournalDrop::Rate, 1);
        }
        // Half of the queue is for messages alone, whatever comes.
        let is_half_full = inner.records.capacity() < QUEUE / 2 || inner.memory.used() > QUEUE_OCTETS / 2;
        if record.kind.is_without_message() && is_half_full {
            return inner.metrics.journal_dropped(JournalDrop::QueueFull, 1);
        }
        let mut share = inner.memory.share();
        if !share.grow(record.weight()) {
            return inner.metrics.journal_dropped(JournalDrop::QueueFull, 1);
        }
        record.share = Some(share);
        let record = match record.content.take() {
            Some(content) => match self.push_content(record, content) {
                Ok(()) => return,
                Err(record) => record,
            },
            None => Box::new(record),
        };
        if inner.records.try_send(record).is_err() {
            inner.metrics.journal_dropped(JournalDrop::QueueFull, 1);
        }
    }

    /// # Errors
    /// Gives it back where it has been looked into already, or where there is no room for it, saying so.
    fn push_content(&self, mut record: Record, content: Message) -> Result<(), Box<Record>> {
        let inner = &*self.0;
        if let Some(contents) = examine::at_once(&content, **inner.settings.load()) {
            record.contents = contents;
            return Err(Box::new(record));
        }
        let (size, memory) = (content.content.len().saturating_add(content.held()), content.content.memory());
        let mut share = inner.content_memory.share();
        // What waits here takes room from messages that are under way.
        let is_scarce = memory.used() > memory.limit() / 2 || inner.content_memory.used().saturating_add(size) > memory.limit() / 8;
        let why = if size > CONTENT_OCTETS {
            "too_large"
        } else if is_scarce || !share.grow(size) {
            "busy"
        } else {
            record.content = Some(content);
            record.content_share = Some(share);
            match inner.contents.try_send(Box::new(record)) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let mut record = error.into_inner();
                    record.give_up("busy");
                    inner.metrics.journal_unexamined.inc();
                    return Err(record);
                }
            }
        };
        inner.metrics.journal_unexamined.inc();
        record.give_up(why);
        Err(Box::new(record))
    }

    /// Writes what is there and takes no more; no longer than ten seconds.
    pub async fn close(&self) {
        self.0.ended.cancel();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // One that panicked has said so.
            let _ = tokio::time::timeout(LAST, tokio::task::spawn_blocking(move || thread.join())).await;
        }
    }
}

impl Record {
    /// It is not looked into, and why.
    pub(super) fn give_up(&mut self, why: &'static str) {
        self.content = None;
        self.content_share = None;
        self.contents = Contents { unexamined: Some(why), ..Contents::default() };
    }
}

/// So many a second.
#[derive(Debug)]
struct Rate {
    begun: Instant,
    /// The second since then, and how many there were in it, in its lower half.
    now: AtomicU64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { begun: Instant::now(), now: AtomicU64::new(0) }
    }
}

impl Rate {
    fn allows(&self) -> bool {
        self.allows_at(self.begun.elapsed().as_secs())
    }

    fn allows_at(&self, second: u64) -> bool {
        let next = |now: u64| Some(if now >> 32 == second { now + 1 } else { (second << 32) + 1 });
        let before = self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(0);
        before >> 32 != second || (before & u64::from(u32::MAX)) < RATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_of_by_its_beginning() {
        let rate = Rate::default();
        assert_eq!((0..1000).filter(|_| rate.allows_at(0)).count() as u64, RATE);
        assert_eq!((0..1000).filter(|_| rate.allows_at(7)).count() as u64, RATE);
    }
}
