use super::*;
use bytes::Bytes;
use std::{path::Path, time::Duration};

fn open(directory: &Path) -> Database {
    Database::open(&directory.join("octroi.db"), Schema::STATE, Access::Create).unwrap()
}

fn usage(class: &str, entries: u64) -> Statement {
    Statement::new("UPDATE quarantine_usage SET entries = ?2 WHERE class = ?1").with(class).with(entries).must_change()
}

async fn entries(database: &Database, class: &str) -> i64 {
    let statement = Statement::new("SELECT entries FROM quarantine_usage WHERE class = ?1").with(class);
    database.read(statement).await.unwrap().first().unwrap().integer(0).unwrap()
}

#[tokio::test]
async fn a_batch_is_done_as_a_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    assert_eq!(database.write(vec![usage("spam", 1), usage("policy", 2)]).await, Ok(vec![1, 1]));
    assert_eq!(database.write(vec![usage("spam", 7), usage("no such class", 7)]).await, Err(StorageError::Unchanged));
    assert_eq!((entries(&database, "spam").await, entries(&database, "policy").await), (1, 2));
}

#[tokio::test]
async fn batches_that_share_a_commit_fail_alone() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let writes = (0..200_u64).map(|n| {
        let class = if n % 2 == 0 { "spam" } else { "no such class" };
        database.write(vec![Statement::new("UPDATE quarantine_usage SET entries = entries + 1 WHERE class = ?1").with(class).must_change()])
    });
    let answers = futures_util::future::join_all(writes).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 100);
    assert_eq!(entries(&database, "spam").await, 100);
}

#[tokio::test]
async fn what_the_schema_refuses_fails_alone_too() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let writes = (0..200_u64).map(|n| {
        let refused = "INSERT INTO quarantine_usage (class, entries, stored) VALUES ('spam', 0, 0)";
        let count = "UPDATE quarantine_usage SET entries = entries + 1 WHERE class = 'spam'";
        let also = (n % 2 != 0).then(|| Statement::new(refused));
        database.write(std::iter::once(Statement::new(count)).chain(also).collect())
    });
    let answers = futures_util::future::join_all(writes).await;
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err()).collect::<Vec<_>>();
    assert_eq!(refused.len(), 100);
    assert!(refused.iter().all(|error| matches!(error, StorageError::Refused(_)) && error.leaves_nothing()), "{refused:?}");
    assert_eq!(entries(&database, "spam").await, 100);
}

#[tokio::test]
async fn what_is_written_is_there_when_it_is_opened_again_and_two_may_work_beside_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    database.write(vec![usage("spam", 3)]).await.unwrap();
    let another = open(directory.path());
    assert_eq!(entries(&another, "spam").await, 3);
    another.write(vec![usage("spam", 4)]).await.unwrap();
    assert_eq!(entries(&database, "spam").await, 4);
}

#[tokio::test]
async fn a_database_that_was_removed_takes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    std::fs::remove_file(directory.path().join("octroi.db")).unwrap();
    assert!(matches!(database.write(vec![usage("spam", 3)]).await, Err(StorageError::Gone(_))));
}

#[test]
fn a_database_of_a_later_version_and_what_is_none_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("octroi.db");
    assert!(Database::open(&path, Schema::STATE, Access::Existing).is_err());
    assert!(!path.exists());
    std::fs::write(&path, "this is no database, and long enough to be seen as none").unwrap();
    assert!(matches!(Database::open(&path, Schema::STATE, Access::Create), Err(StorageError::Failed(_))));
    std::fs::remove_file(&path).unwrap();
    drop(Database::open(&path, Schema::STATE, Access::Create).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Database::open(&path, Schema::STATE, Access::Create), Err(StorageError::Later { found: 99, .. })));
}

/// Never done.
fn endless() -> Statement {
    Statement::new("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
}

#[tokio::test]
async fn a_search_ends_in_time_and_gives_its_place_to_another() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    let within = Duration::from_millis(100);
    database.search_within(within);
    for _ in 0..5 {
        assert_eq!(database.search(endless()).await.unwrap_err(), StorageError::TooBroad(within));
    }
    assert_eq!(database.search(Statement::new("SELECT 7")).await.unwrap()[0].integer(0), Ok(7));
}

#[tokio::test]
async fn of_many_searches_some_are_told_to_come_again_and_reading_and_writing_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    database.search_within(Duration::from_millis(500));
    let searches = futures_util::future::join_all((0..20).map(|_| database.search(endless())));
    let others = async {
        for n in 0..20 {
            database.write(vec![usage("spam", n)]).await.unwrap();
            assert_eq!(entries(&database, "spam").await, i64::try_from(n).unwrap());
        }
        std::time::Instant::now()
    };
    let begun = std::time::Instant::now();
    let (ends, others) = tokio::join!(searches, others);
    assert!(others - begun < Duration::from_secs(5), "{:?}", others - begun);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(ends.iter().filter(|end| matches!(end, Err(StorageError::TooBroad(_)))).count() >= 2, "{ends:?}");
    assert!(ends.iter().filter(|end| matches!(end, Err(StorageError::Crowded))).count() >= 2, "{ends:?}");
}

#[tokio::test]
async fn a_search_that_nobody_waits_for_any_more_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let database = open(directory.path());
    database.search_within(Duration::from_secs(60));
    for _ in 0..4 {
        assert!(tokio::time::timeout(Duration::from_millis(100), database.search(endless())).await.is_err());
    }
    let found = tokio::time::timeout(Duration::from_secs(20), database.search(Statement::new("SELECT 7"))).await;
    assert_eq!(found.unwrap().unwrap()[0].integer(0), Ok(7));
}

async fn read(blobs: &Blobs, key: &str) -> Result<Vec<u8>, StorageError> {
    let mut reader = blobs.reader(key).await?;
    let mut all = Vec::new();
    while let Some(piece) = reader.next().await? {
        assert!(piece.len() <= 1 << 20);
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

#[tokio::test]
async fn a_blob_is_read_as_it_was_written_whatever_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(directory.path()).unwrap();
    let piece: Bytes = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>().into();
    for (key, pieces) in [("EMPTY", 0), ("A1", 1), ("B2", 50)] {
        let mut writer = blobs.writer(key).unwrap();
        for _ in 0..pieces {
            writer.write(piece.clone()).await.unwrap();
        }
        let kept = writer.keep().await.unwrap();
        let expected = piece.repeat(pieces);
        assert_eq!(kept.size, expected.len() as u64);
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &expected);
        assert_eq!(kept.sha256, hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect::<String>());
        assert_eq!(read(&blobs, key).await.unwrap(), expected);
    }
    assert_eq!(blobs.missing(vec!["A1".into(), "C3".into()]).await, Ok(vec!["C3".into()]));
    assert_eq!((blobs.delete("A1").await, blobs.delete("A1").await), (Ok(true), Ok(false)));
    assert!(blobs.reader("A1").await.is_err());
}

#[tokio::test]
async fn a_blob_that_is_not_kept_leaves_nothing_and_damage_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(directory.path()).unwrap();
    let mut writer = blobs.writer("A1").unwrap();
    writer.write(vec![1; 3 << 20].into()).await.unwrap();
    assert_eq!(std::fs::read_dir(directory.path().join("tmp")).unwrap().count(), 1);
    drop(writer);
    assert_eq!(std::fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    assert!(blobs.reader("A1").await.is_err());
    let mut writer = blobs.writer("B2").unwrap();
    writer.write(vec![7; 1 << 19].into()).await.unwrap();
    writer.keep().await.unwrap();
    std::fs::write(directory.path().join("2/B2.zst"), "not zstd").unwrap();
    assert!(read(&blobs, "B2").await.is_err());
}

#[tokio::test]
async fn keys_do_not_climb_out() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(directory.path()).unwrap();
    for key in ["", "../a", "a/b", "a.b", "ä"] {
        assert!(blobs.writer(key).is_err() && blobs.reader(key).await.is_err(), "{key}");
    }
}

#[tokio::test]
async fn old_blobs_are_found_and_what_was_left_under_way_goes() {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(directory.path()).unwrap();
    std::fs::write(directory.path().join("tmp/.left"), "half").unwrap();
    blobs.writer("A0").unwrap().keep().await.unwrap();
    assert_eq!(blobs.older_than(Duration::from_secs(3600), 0).await, Ok(Some(vec![])));
    assert_eq!(blobs.older_than(Duration::ZERO, 0).await, Ok(Some(vec!["A0".into()])));
    assert_eq!(std::fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    assert_eq!(blobs.older_than(Duration::ZERO, 36).await, Ok(None));
}

/// Anybody else can give nothing away, and makes files that are his.
#[tokio::test]
async fn what_root_makes_belongs_to_who_owns_the_place() {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let directory = tempfile::tempdir().unwrap();
    let owner = if rustix::process::geteuid().is_root() { 65_534 } else { rustix::process::geteuid().as_raw() };
    chown(directory.path(), Some(owner), None).unwrap();
    let store = Store::open(directory.path(), Access::Create).unwrap();
    store.database.write(vec![usage("spam", 3)]).await.unwrap();
    for name in ["octroi.db", "octroi.db-wal", "octroi.db-shm", "blobs"] {
        assert_eq!(directory.path().join(name).metadata().unwrap().uid(), owner, "{name}");
    }
}
