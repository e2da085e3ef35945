//! The one who writes.
use super::{Identity, Statement, StorageError};
use rusqlite::{Connection, Transaction, TransactionBehavior, params_from_iter};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::{mpsc, oneshot};

/// Batches that share one transaction, and so one sync.
const TOGETHER: usize = 64;

type Changed = Result<Vec<usize>, StorageError>;

/// A batch, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    /// Shared with one who may have to try again.
    pub(super) batch: Arc<[Statement]>,
    pub(super) answer: oneshot::Sender<Changed>,
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
}

impl Writer {
    /// Until nobody is left who could ask.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut together = vec![first];
            while together.len() < TOGETHER
                && let Ok(next) = jobs.try_recv()
            {
                together.push(next);
            }
            // Who has gone does not want it any more.
            together.retain(|job| !job.answer.is_closed());
            if together.is_empty() {
                continue;
            }
            let mut answers = self.commit(&together);
            if matches!(answers, Err(StorageError::Full(_))) && self.empty_log() {
                answers = self.commit(&together);
            }
            for (n, job) in together.into_iter().enumerate() {
                let answer = match &answers {
                    Ok(answers) => answers.get(n).cloned().unwrap_or(Err(StorageError::Unchanged)),
                    Err(error) => Err(error.clone()),
                };
                // Who has gone meanwhile does not know; that is theirs to bear.
                let _ = job.answer.send(answer);
            }
        }
    }

    /// Brings into the file what stands in the log still, all of it, so that the log begins anew: on a
    /// full disk that is the room there is for those who would make some.
    fn empty_log(&self) -> bool {
        let done = |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(0)? == 0 && row.get::<_, i64>(1)? == row.get::<_, i64>(2)?);
        self.connection.query_row("PRAGMA wal_checkpoint(passive)", [], done).unwrap_or(false)
    }

    /// What each job gets to hear, once all is on disk; an error that is not of one batch is everybody's.
    fn commit(&mut self, jobs: &[Job]) -> Result<Vec<Changed>, StorageError> {
        // SQLite would go on writing to a file that has no name any more.
        if Identity::of(&self.path)? != self.identity {
            return Err(StorageError::Gone(self.path.display().to_string().into()));
        }
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut answers = Vec::with_capacity(jobs.len());
        for job in jobs {
            answers.push(match apply(&mut transaction, &job.batch) {
                Err(error) if !error.is_of_its_batch() => return Err(error),
                answer => answer,
            });
        }
        transaction.commit()?;
        Ok(answers)
    }
}

/// All of `batch`, or nothing of it.
fn apply(transaction: &mut Transaction<'_>, batch: &[Statement]) -> Changed {
    // Dropped, it is rolled back.
    let savepoint = transaction.savepoint()?;
    let mut changed = Vec::with_capacity(batch.len());
    for statement in batch {
        let rows = savepoint.prepare_cached(&statement.sql)?.execute(params_from_iter(&statement.parameters))?;
        if statement.must_change && rows == 0 {
            return Err(StorageError::Unchanged);
        }
        changed.push(rows);
    }
    savepoint.commit()?;
    Ok(changed)
}
