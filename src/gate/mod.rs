//! The gate: listeners, TLS, the session's driver, and draining. Joins all modules below it.
//!
//! ```text
//! accept ─ PROXY ─ TLS ─┐  worker
//!                       ▼
//!   session ── Hello · Mail · Recipient ──▶ chain ──▶ upstream (the MTA verifies) ──▶ yes or no
//!      ├── Body ──▶ chain, spool            back-pressure: the next read waits for both
//!      └── EndOfData ──▶ mailing ──▶ chain's conclusion ──▶ conclude::place ──▶ custody ──▶ 250
//! ```

mod account;
mod admission;
pub mod allow;
mod conclude;
mod dialogue;
mod generation;
mod hello;
mod listen;
mod mailing;
pub mod proxy;
mod received;
pub mod release;
mod session;
pub mod settings;
mod stream;
pub mod tls;
mod worker;

pub use generation::Setup;

use crate::journal::{Book, Rows};
use crate::message::budget::Budget;
use crate::quarantine::Quarantine;
use crate::storage::{Access, StorageError, Store};
use crate::telemetry::{Metrics, SpoolUse, traces::Traces};
use admission::Admission;
use arc_swap::ArcSwap;
use generation::{Budgets, Generation, ListenerState};
use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::runtime::Handle;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use worker::Worker;

/// Why the gate cannot be opened, or a reload not be done; the administrator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// What is kept below `state_dir`.
    #[error("{0}")]
    Storage(#[from] StorageError),
    #[error("{}: {error}", path.display())]
    Directory { path: PathBuf, error: io::Error },
    #[error("listener {listener}: {address}: {error}")]
    Listen { listener: Arc<str>, address: String, error: io::Error },
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
}

/// What all workers share.
struct Shared {
    current: ArcSwap<Generation>,
    admission: Arc<Admission>,
    budgets: Budgets,
    /// Opened once, as what is kept in it: a reload changes settings only.
    store: Store,
    quarantine: Quarantine,
    book: Book,
    traces: Option<Traces>,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// The generation new sessions begin with, and the listener they came by.
    fn generation(&self, listener: &str) -> Option<(Arc<Generation>, Arc<ListenerState>)> {
        let generation = self.current.load_full();
        let listener = Arc::clone(generation.listener(listener)?);
        Some((generation, listener))
    }
}

/// How long a search in either may take, from now on.
fn search_within(within: Duration, store: &Store, book: &Book) {
    store.database.search_within(within);
    book.rows().search_within(within);
}

/// The running gate.
pub struct Gate {
    shared: Arc<Shared>,
    workers: Vec<(Arc<Worker>, JoinHandle<()>)>,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    drain: CancellationToken,
    cut: CancellationToken,
    /// Ends the caretaker of the quarantine with the gate.
    _tended: DropGuard,
}

impl Gate {
    /// Opens the listeners and starts the workers, each on its thread. Has to be called within a
    /// runtime, which the health checks of the upstreams run on. Messages are told of to `traces`, where
    /// there are any, which are closed with the gate.
    ///
    /// # Errors
    /// What the configuration names cannot be used.
    pub fn open(setup: Setup, metrics: &Arc<Metrics>, traces: Option<Traces>) -> Result<Self, StartError> {
        let (count, listeners) = (setup.settings.workers, setup.settings.listeners.clone());
        let budgets = Budgets::new(&setup.settings);
        let (state_dir, retention) = (setup.settings.state_dir.clone(), setup.quarantine.clone());
        let store = Store::open(&state_dir, Access::Create)?;
        let book = Book::open(&state_dir, setup.journal, metrics)?;
        search_within(setup.storage.search_timeout, &store, &book);
        let generation = Generation::new(setup, &budgets, metrics, &book, traces.as_ref(), None)?;
        let quarantine = Quarantine::new(store.clone(), retention, metrics);
        let listening = listen::open(&listeners, count)?;
        let shared = Arc::new(Shared {
            current: ArcSwap::new(generation),
            admission: Arc::new(Admission::default()),
            budgets,
            store,
            quarantine: quarantine.clone(),
            book,
            traces,
            metrics: Arc::clone(metrics),
        });
        let tended = CancellationToken::new();
        tokio::spawn(quarantine.tend(tended.clone()));
        let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
        let addresses = listening.iter().map(|sockets| (Arc::clone(&sockets.name), sockets.address)).collect();
        let mut by_worker: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for sockets in listening {
            for (mine, socket) in by_worker.iter_mut().zip(sockets.sockets) {
                mine.push((Arc::clone(&sockets.name), socket));
            }
        }
        let mut workers = Vec::with_capacity(count);
        for (index, sockets) in by_worker.into_iter().enumerate() {
            let worker = Arc::new(Worker {
                index,
                gate: Arc::clone(&shared),
                drain: drain.clone(),
                cut: cut.clone(),
                sessions: TaskTracker::new(),
                event_loop: OnceLock::new(),
            });
            let of_thread = Arc::clone(&worker);
            let thread = thread::Builder::new()
                .name(format!("octroi-{index}"))
                .spawn(move || {
                    if let Err(error) = worker::run(&of_thread, sockets) {
                        tracing::error!("worker {index}: {error}");
                    }
                })
                .map_err(StartError::Worker)?;
            workers.push((worker, thread));
        }
        Ok(Self { shared, workers, addresses, drain, cut, _tended: tended.drop_guard() })
    }

    /// What is listened on, by the listeners' names; ports that were 0 are known now.
    #[must_use]
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// Puts another reading of the configuration in the place of the one there. Sessions under way
    /// keep theirs; new ones begin with the new one. Listeners are not opened or closed, and the
    /// number of workers stays: those need a restart, and the log says so.
    ///
    /// # Errors
    /// What the new one names cannot be used; the old one stays.
    pub fn reload(&self, mut setup: Setup) -> Result<(), StartError> {
        let old = self.shared.current.load();
        if setup.settings.workers != old.settings.workers {
            tracing::warn!("`workers` changes with a restart only");
            setup.settings.workers = old.settings.workers;
        }
        for new in &setup.settings.listeners {
            if !old.settings.listeners.iter().any(|listener| listener.name == new.name && listener.address == new.address) {
                tracing::warn!("listener {} ({}): listeners are opened with a restart only", new.name, new.address);
            }
        }
        for old in &old.settings.listeners {
            if !setup.settings.listeners.iter().any(|new| new.name == old.name) {
                tracing::warn!("listener {} ({}): listeners are closed with a restart only", old.name, old.address);
                setup.settings.listeners.push(old.clone());
            }
        }
        if setup.settings.state_dir != old.settings.state_dir {
            tracing::warn!("`state_dir`: the quarantine and the journal move with a restart only");
        }
        let (storage, retention, journal) = (setup.storage, setup.quarantine.clone(), setup.journal);
        let Shared { budgets, metrics, book, traces, .. } = &*self.shared;
        let generation = Generation::new(setup, budgets, metrics, book, traces.as_ref(), Some(&old))?;
        self.shared.book.reconfigure(journal)?;
        self.shared.current.store(generation);
        self.shared.quarantine.reconfigure(retention);
        search_within(storage.search_timeout, &self.shared.store, &self.shared.book);
        Ok(())
    }

    /// What is kept below `state_dir`.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// What is held.
    #[must_use]
    pub fn quarantine(&self) -> &Quarantine {
        &self.shared.quarantine
    }

    /// What happened to every message.
    #[must_use]
    pub fn journal(&self) -> &Rows {
        self.shared.book.rows()
    }

    /// Whether mail can be taken: not draining, and an upstream answers.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.drain.is_cancelled() {
            return Err("draining");
        }
        if self.shared.current.load().upstream.is_ready() { Ok(()) } else { Err("no upstream answers") }
    }

    /// Gives to the metrics how things stand: the spool, the upstreams, the breakers.
    pub fn measure(&self) {
        let Budgets { memory, disk } = &self.shared.budgets;
        let usage = |budget: &Budget| SpoolUse { used: budget.used(), limit: budget.limit(), shortages: budget.shortages() };
        self.shared.metrics.spool(usage(memory), usage(disk));
        let current = self.shared.current.load();
        current.chain.measure();
        current.upstream.measure();
    }

    /// The workers' event loops, for a watchdog to ask whether they turn.
    #[must_use]
    pub fn event_loops(&self) -> Vec<Handle> {
        self.workers.iter().filter_map(|(worker, _)| worker.event_loop.get().cloned()).collect()
    }

    /// Sessions open now.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.workers.iter().map(|(worker, _)| worker.sessions.len()).sum()
    }

    /// Takes no new sessions, ends idle ones with 421, and waits for transactions under way, but
    /// no longer than `patience`. Returns how many sessions were cut off then.
    pub async fn drain(self, patience: Duration) -> usize {
        self.drain.cancel();
        let done = async {
            for (worker, _) in &self.workers {
                worker.sessions.wait().await;
            }
        };
        let cut = if tokio::time::timeout(patience, done).await.is_ok() { 0 } else { self.sessions() };
        self.cut.cancel();
        let joined = tokio::task::spawn_blocking(move || {
            for (_, thread) in self.workers {
                // A worker that panicked has said so.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
        // Whatever became of the last messages is told by now.
        let traces = async {
            if let Some(traces) = &self.shared.traces {
                traces.close().await;
            }
        };
        tokio::join!(self.shared.book.close(), traces);
        cut
    }
}
