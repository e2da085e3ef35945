//! Reading what somebody asks for in his own words, and what therefore may take any time: it is ended
//! after a while, and few are at it at once, so that those who read what they must, and mail that is to
//! be stored, find threads, connections and processors free.
use super::{Database, Inner, query};
use crate::storage::{Row, Settings, Statement, StorageError};
use rusqlite::InterruptHandle;
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// Searches at the same time; who comes then waits for a place, no longer than a search may take.
const AT_ONCE: usize = 2;
/// How long a search that is told to end may take over it.
const ENDING: Duration = Duration::from_secs(1);
/// Between two times it is told so: the first is lost on one that has not quite begun.
const TELL_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Searching {
    places: Arc<Semaphore>,
    /// Milliseconds one may take.
    within: AtomicU64,
}

impl Default for Searching {
    fn default() -> Self {
        let searching = Self { places: Arc::new(Semaphore::new(AT_ONCE)), within: AtomicU64::default() };
        searching.set(Settings::default().search_timeout);
        searching
    }
}

impl Searching {
    fn set(&self, within: Duration) {
        self.within.store(u64::try_from(within.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_millis(self.within.load(Ordering::Relaxed))
    }
}

impl Database {
    /// How long a search may take, from now on.
    pub fn search_within(&self, within: Duration) {
        self.0.searching.set(within);
    }

    /// As [`read`](Self::read), for so long and no longer; less where nobody waits for it any more.
    ///
    /// # Errors
    /// It took too long, or found no place among others; or it could not be read.
    pub async fn search(&self, statement: Statement) -> Result<Vec<Row>, StorageError> {
        let within = self.0.searching.get();
        let Ok(Ok(place)) = timeout(within, Arc::clone(&self.0.searching.places).acquire_owned()).await else {
            return Err(StorageError::Crowded);
        };
        // From now on: what others took is not its own to answer for.
        let (inner, search) = (Arc::clone(&self.0), Search::default());
        let running = search.clone();
        let work = spawn_blocking(move || {
            let _place = place;
            inner.search(&statement, &running)
        });
        let _ends = EndsIt(search.clone());
        match timeout(within, work).await {
            Ok(done) => done.map_err(|error| StorageError::Failed(error.to_string().into()))?,
            Err(_) => {
                // Its thread is waited for, so that a process that ends after this can end.
                let _ = timeout(ENDING, search.end()).await;
                Err(StorageError::TooBroad(within))
            }
        }
    }
}

impl Inner {
    fn search(&self, statement: &Statement, search: &Search) -> Result<Vec<Row>, StorageError> {
        self.reading(|connection| {
            if !search.begin(connection.get_interrupt_handle()) {
                return Ok(Vec::new());
            }
            let found = query(connection, statement);
            // From now on the connection may be another's.
            search.is_over();
            found
        })
    }
}

/// One search, as those see it who may end it.
#[derive(Debug, Clone, Default)]
struct Search(Arc<Mutex<Progress>>);

#[derive(Default)]
enum Progress {
    #[default]
    Waiting,
    Running(InterruptHandle),
    Over,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "Waiting",
            Self::Running(_) => "Running",
            Self::Over => "Over",
        })
    }
}

impl Search {
    /// `false` where nobody wants it any more.
    fn begin(&self, handle: InterruptHandle) -> bool {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = matches!(*progress, Progress::Waiting);
        if is_wanted {
            *progress = Progress::Running(handle);
        }
        is_wanted
    }

    fn is_over(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Progress::Over;
    }

    /// Tells it to end; whether it is still at it.
    fn interrupt(&self) -> bool {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*progress {
            Progress::Waiting => *progress = Progress::Over,
            Progress::Running(handle) => {
                handle.interrupt();
                return true;
            }
            Progress::Over => {}
        }
        false
    }

    async fn end(&self) {
        while self.interrupt() {
            sleep(TELL_EVERY).await;
        }
    }
}

/// Ends a search when whoever asked for it has gone.
struct EndsIt(Search);

impl Drop for EndsIt {
    fn drop(&mut self) {
        if self.0.interrupt()
            && let Ok(runtime) = Handle::try_current()
        {
            let search = self.0.clone();
            runtime.spawn(async move { search.end().await });
        }
    }
}
