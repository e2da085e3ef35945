//! What the audit has about entries.
use crate::audit::{Audit, Filter, Record};
use crate::storage::StorageError;

/// Rows in one archive, which is made in memory.
pub(super) const MOST: usize = 50_000;
/// Rows read at once.
const PAGE: usize = 1000;

/// Rows of one archive.
#[derive(Debug, Default)]
pub(super) struct Audited {
    /// In the order they were written in.
    pub(super) rows: Vec<Record>,
    /// Entries of which some are missing.
    pub(super) cut: Vec<String>,
}

impl Audited {
    /// What was done with the entries `ids`, all of it, then who looked at them: somebody who looks
    /// again and again pushes nothing out but looks, the oldest first.
    pub(super) async fn read(audit: &Audit, ids: &[&str], most: usize) -> Result<Self, StorageError> {
        let mut read = Self::default();
        for looks in [false, true] {
            for id in ids {
                read.add(audit, id, looks, most).await?;
            }
        }
        read.rows.sort_unstable_by_key(|row| row.sequence);
        Ok(read)
    }

    async fn add(&mut self, audit: &Audit, id: &str, looks: bool, most: usize) -> Result<(), StorageError> {
        let mut filter = Filter { object: Some(id.to_owned()), looks: Some(looks), limit: PAGE as u64, ..Filter::default() };
        loop {
            let rows = audit.list(&filter).await?;
            let (found, room) = (rows.len(), most.saturating_sub(self.rows.len()));
            filter.below = rows.last().map(|row| row.sequence);
            self.rows.extend(rows.into_iter().take(room));
            if found > room && self.cut.last().is_none_or(|last| last != id) {
                self.cut.push(id.to_owned());
            }
            if found < PAGE || found > room {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, Event};
    use crate::storage::{Access, Database, Schema};

    #[tokio::test]
    async fn who_looks_again_and_again_pushes_no_decision_out() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("octroi.db"), Schema::STATE, Access::Create).unwrap();
        let actor = Actor::new("alice", None);
        let row = |action, id: &'static str| Event::of(&actor, action).on(id).statement();
        let released = [row(Action::Release, "one"), row(Action::Note, "two"), row(Action::View, "other")];
        database.write(released.into_iter().chain((0..2100).map(|_| row(Action::View, "one"))).collect()).await.unwrap();
        let audit = Audit::new(database);
        let all = Audited::read(&audit, &["one", "two"], MOST).await.unwrap();
        assert_eq!((all.rows.len(), all.cut.len()), (2102, 0));
        assert!(all.rows.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
        let few = Audited::read(&audit, &["one", "two"], 10).await.unwrap();
        assert_eq!(few.cut, ["one"]);
        assert_eq!(few.rows.iter().map(|row| &*row.action).take(3).collect::<Vec<_>>(), ["release", "note", "view"]);
        assert_eq!((few.rows.len(), few.rows.last().map(|row| row.sequence)), (10, Some(2103)));
        assert_eq!(Audited::read(&audit, &["one", "two"], 2102).await.unwrap().cut.len(), 0);
        assert_eq!(Audited::read(&audit, &["one", "two"], 1).await.unwrap().cut, ["two", "one"]);
    }
}
