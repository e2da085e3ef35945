//! The one who writes rows, many at a time, and removes those that are too old.
use super::{
    record::Record,
    row::{OF_A_ROW, next_key},
    rows::Rows,
    settings::Settings,
    tally::Tally,
};
use crate::storage::{Statement, StorageError};
use crate::telemetry::{JournalDrop, Metrics};
use arc_swap::ArcSwap;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Rows of one commit.
const BATCH: usize = 1000;
/// How long the first of a batch waits for others. The queue is looked at again after that and not
/// woken for, so that a session never has to wake this thread for more than the first.
const GATHER: Duration = Duration::from_millis(300);
/// Between two tries to write what could not be written.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks at what is too old, and at the size of it all.
const TIDY: Duration = Duration::from_secs(10);

type Records = mpsc::Receiver<Box<Record>>;

pub(super) struct Writer {
    rows: Rows,
    settings: Arc<ArcSwap<Settings>>,
    metrics: Arc<Metrics>,
    ended: CancellationToken,
    /// The key of the last row.
    last: i64,
    /// Rows lost since writing began to fail.
    failing: Option<u64>,
}

impl Writer {
    pub(super) fn new(rows: Rows, settings: Arc<ArcSwap<Settings>>, metrics: Arc<Metrics>, ended: CancellationToken) -> Self {
        Self { rows, settings, metrics, ended, last: 0, failing: None }
    }

    /// Until the journal is closed, or nobody is left who could write to it; what is in the queue
    /// then, and what `examining` still gives, is written.
    pub(super) async fn run(mut self, mut records: Records, examining: JoinHandle<()>) {
        let mut tidied = None::<Instant>;
        while let Some(more) = self.wait(&mut records).await {
            if let Some(first) = more {
                self.write_all(first, &mut records).await;
            }
            if tidied.is_none_or(|at| at.elapsed() >= TIDY) {
                // What is left to remove is removed in the next round, after what came meanwhile.
                let done = self.rows.tidy(&self.settings.load(), &self.metrics).await;
                tidied = done.then(Instant::now);
            }
        }
        // It ends when the journal does, and gives what it has.
        let _ = examining.await;
        if let Ok(first) = records.try_recv() {
            self.write_all(first, &mut records).await;
        }
    }

    /// The first record that comes, or none after a while; `None` at the end.
    async fn wait(&self, records: &mut Records) -> Option<Option<Box<Record>>> {
        tokio::select! {
            () = self.ended.cancelled() => None,
            first = timeout(TIDY, records.recv()) => match first {
                Ok(Some(first)) => {
                    let _ = timeout(GATHER, self.ended.cancelled()).await;
                    Some(Some(first))
                }
                Ok(None) => None,
                Err(_) => Some(None),
            },
        }
    }

    async fn write_all(&mut self, first: Box<Record>, records: &mut Records) {
        let mut first = Some(first);
        loop {
            let batch: Vec<_> = first.take().into_iter().chain(std::iter::from_fn(|| records.try_recv().ok())).take(BATCH).collect();
            let is_last = batch.len() < BATCH;
            if !batch.is_empty() {
                self.write(batch).await;
            }
            if is_last {
                return;
            }
        }
    }

    #[expect(clippy::vec_box, reason = "they come boxed, so that the queue has small places")]
    async fn write(&mut self, batch: Vec<Box<Record>>) {
        let settings = self.settings.load_full();
        let hide = self.rows.hide();
        let times: Vec<_> = batch.iter().map(|record| record.at).collect();
        let (mut statements, mut tally) = (Vec::with_capacity(batch.len() * OF_A_ROW), Tally::default());
        // Each to its end, while it is in the processor's cache.
        for record in batch {
            self.last = next_key(self.last, record.at);
            let (row, terms) = record.into_row(self.last, &settings, hide.as_deref());
            tally.add(&row);
            statements.extend(row.into_statements(terms));
        }
        statements.extend(tally.into_statements());
        let mut statements: Arc<[Statement]> = statements.into();
        let mut again = true;
        loop {
            let error = match self.rows.write(Arc::clone(&statements)).await {
                Ok(()) => return self.written(times.len()),
                Err(error) => error,
            };
            if self.failing.is_none() {
                self.failing = Some(0);
                tracing::error!("the journal cannot be written, and mail goes on without: {error}");
            }
            let may_pass = matches!(error, StorageError::Busy | StorageError::Full(_));
            if !may_pass && again {
                // Perhaps a row of that key is there, from before a clock was set back.
                again = false;
                for (statements, at) in Arc::make_mut(&mut statements).chunks_mut(OF_A_ROW).zip(&times) {
                    self.last = next_key(self.last.wrapping_add(17), *at);
                    statements.iter_mut().for_each(|statement| statement.set_first(self.last));
                }
                continue;
            }
            if self.ended.is_cancelled() || !may_pass {
                return self.lost(times.len());
            }
            let _ = timeout(AGAIN, self.ended.cancelled()).await;
        }
    }

    fn written(&mut self, rows: usize) {
        self.metrics.journal_rows.inc_by(rows as u64);
        if let Some(lost) = self.failing.take() {
            tracing::info!(
                "the journal is written again; {lost} rows that were to be written are lost, and those that found no room in the queue"
            );
        }
    }

    fn lost(&mut self, rows: usize) {
        self.metrics.journal_dropped(JournalDrop::NotWritten, rows as u64);
        self.failing = Some(self.failing.unwrap_or(0) + rows as u64);
    }
}
