//! Rows are written whatever happens, or counted; sessions never wait.
use super::{
    searching::{book, tell},
    *,
};
use rusqlite::Connection;
use std::{path::Path, time::SystemTime};

fn rows_in(directory: &Path) -> i64 {
    let connection = Connection::open(directory.join("journal.db")).unwrap();
    connection.query_row("SELECT count(*) FROM journal_row", [], |row| row.get(0)).unwrap()
}

/// The index has a row for each of the table's, and no other.
fn index_is_whole(directory: &Path) {
    let connection = Connection::open(directory.join("journal.db")).unwrap();
    connection.execute("INSERT INTO journal_term (journal_term) VALUES ('integrity-check')", []).unwrap();
    let mut indexed = connection.prepare("SELECT rowid FROM journal_term WHERE journal_term MATCH '\"l:mx\"'").unwrap();
    let indexed: Vec<i64> = indexed.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut keys = connection.prepare("SELECT key FROM journal_row ORDER BY key").unwrap();
    let keys: Vec<i64> = keys.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(indexed, keys);
}

#[tokio::test]
async fn a_locked_database_is_waited_for_by_the_writer_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, metrics) = book(directory.path(), Settings::default());
    let lock = Connection::open(directory.path().join("journal.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    for _ in 0..1000 {
        tell(&journal);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    lock.execute_batch("COMMIT").unwrap();
    book.close().await;
    assert_eq!(metrics.journal_rows.get(), rows_in(directory.path()) as u64);
    index_is_whole(directory.path());
}

/// As after a clock that was set back: the keys of the coming moments are there already.
#[tokio::test]
async fn rows_whose_keys_are_taken_get_others() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, metrics) = book(directory.path(), Settings::default());
    let connection = Connection::open(directory.path().join("journal.db")).unwrap();
    let taken = "INSERT INTO journal_row (key, at, kind, listener, client, port, recipients, nrcpt, size, details) \
                 SELECT ?1 + 4096 * value, 0, 'violation', '', '', 0, '', 0, 0, '{}' FROM \
                 (WITH RECURSIVE n (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n LIMIT 20000) SELECT value FROM n)";
    connection.execute(taken, [row::first_key(SystemTime::now())]).unwrap();
    for _ in 0..3 {
        tell(&journal);
    }
    book.close().await;
    let told = metrics.journal_rows.get();
    assert!(told >= 3 && rows_in(directory.path()) as u64 == 20_000 + told, "{told}");
    let found = "SELECT count(*) FROM journal_term WHERE journal_term MATCH '\"l:mx\"' AND rowid IN (SELECT key FROM journal_row)";
    assert_eq!(connection.query_row(found, [], |row| row.get::<_, i64>(0)).unwrap() as u64, told, "found by the same keys");
}

/// So many refusals, and a writer that is locked out until that connection commits.
fn flooded(directory: &Path, journal: &Arc<Journal>, refusals: u64) -> Connection {
    let lock = Connection::open(directory.join("journal.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let session = Session::open(journal, &client(), Instant::now());
    let refusal = Refusal::permanent(50, "1.1", "no");
    for _ in 0..refusals {
        session.refused(Phase::Mail, &refusal, By::Gate, None, None);
    }
    lock
}

/// For want of room in the queue.
fn dropped(metrics: &Metrics) -> u64 {
    let text = String::from_utf8(metrics.render()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("octroi_journal_dropped_total{reason=\"queue_full\"} "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_finds_no_room_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, metrics) = book(directory.path(), Settings::default());
    const TOLD: u64 = 30_000;
    let lock = flooded(directory.path(), &journal, TOLD);
    lock.execute_batch("COMMIT").unwrap();
    book.close().await;
    let written = metrics.journal_rows.get();
    assert_eq!(written + dropped(&metrics), TOLD);
    assert_eq!(rows_in(directory.path()) as u64, written);
}

#[tokio::test]
async fn a_journal_that_is_gone_costs_rows_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, metrics) = book(directory.path(), Settings::default());
    std::fs::remove_file(directory.path().join("journal.db")).unwrap();
    tell(&journal);
    book.close().await;
    let text = String::from_utf8(metrics.render()).unwrap();
    assert!(text.contains("octroi_journal_dropped_total{reason=\"not_written\"} 3"), "{text}");
}

#[tokio::test]
async fn a_flood_of_connections_is_not_a_flood_of_rows() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, metrics) = book(directory.path(), Settings::default());
    for _ in 0..5000 {
        journal.turned_away("mx", "192.0.2.9:25".parse().unwrap(), ConnectionResult::TooMany, &"421 4.3.2 too many connections");
    }
    book.close().await;
    let written = metrics.journal_rows.get();
    assert!((100..1000).contains(&written), "{written}");
    let text = String::from_utf8(metrics.render()).unwrap();
    assert!(text.contains(&format!("octroi_journal_dropped_total{{reason=\"rate\"}} {}", 5000 - written)), "{text}");
}

fn kinds_in(directory: &Path) -> std::collections::BTreeMap<String, i64> {
    let connection = Connection::open(directory.join("journal.db")).unwrap();
    let mut kinds = connection.prepare("SELECT kind, count(*) FROM journal_row GROUP BY kind").unwrap();
    kinds.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn for_want_of_room_those_go_first_that_anybody_can_cause_and_some_of_them_stay() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings::default();
    let rows = Rows::make(directory.path(), &settings).unwrap();
    let (metrics, now, client) = (Metrics::new().unwrap(), SystemTime::now(), client());
    let (mut last, mut batch) = (0, Vec::new());
    // Old mail, then a flood for an hour.
    let flood = [Kind::Command, Kind::Connection, Kind::Violation];
    let kinds = std::iter::repeat_n(Kind::Message, 3000).chain((0..9000).map(|n| flood[n % 3]));
    for (n, kind) in kinds.enumerate() {
        let at = now - Duration::from_secs(3600 * 24) + Duration::from_millis(100 * n as u64);
        let record = Record { at, error: Some("x".repeat(600)), ..Record::new(kind, &client, "SMTP") };
        last = row::next_key(last, record.at);
        let (row, terms) = record.into_row(last, &settings, None);
        batch.extend(row.into_statements(terms));
    }
    rows.write(batch.into()).await.unwrap();
    let small = Settings { size: 6 << 20, ..settings };
    while !rows.tidy(&small, &metrics).await {}
    assert!(metrics.journal_bytes.get() <= 6 << 20);
    let left = kinds_in(directory.path());
    assert_eq!(left["message"], 3000, "{left:?}");
    for kind in flood {
        assert!((400..3000).contains(&left[kind.as_str()]), "{left:?}");
    }
    index_is_whole(directory.path());
    // Beyond their share the oldest go, which are the messages.
    let tiny = Settings { size: 2 << 20, ..settings };
    while !rows.tidy(&tiny, &metrics).await {}
    let left = kinds_in(directory.path());
    assert!((1..3000).contains(&left["message"]), "{left:?}");
    assert_eq!(flood.iter().map(|kind| left[kind.as_str()]).sum::<i64>(), (2 << 20) / 4 / 1024, "{left:?}");
    index_is_whole(directory.path());
}

#[tokio::test]
async fn a_flood_leaves_messages_their_half_of_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, metrics) = book(directory.path(), Settings::default());
    let lock = flooded(directory.path(), &journal, 15_000);
    for _ in 0..2000 {
        tell(&journal);
    }
    lock.execute_batch("COMMIT").unwrap();
    book.close().await;
    assert!(dropped(&metrics) >= 4000, "{}", dropped(&metrics));
    assert_eq!(kinds_in(directory.path())["message"], 2000);
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes_from_row_and_index() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings::default();
    let rows = Rows::make(directory.path(), &settings).unwrap();
    let metrics = Metrics::new().unwrap();
    let now = SystemTime::now();
    let mut last = 0;
    let mut batch = Vec::new();
    for n in 0..4000 {
        let client = client();
        let at = now - Duration::from_secs(86_400 * 100) + Duration::from_secs(n * 4320);
        let error = Some("x".repeat(400));
        let record = Record { at, violations: vec![Violation::Nul; 100], error, ..Record::new(Kind::Violation, &client, "SMTP") };
        last = row::next_key(last, record.at);
        let (row, terms) = record.into_row(last, &settings, None);
        batch.extend(row.into_statements(terms));
    }
    rows.write(batch.into()).await.unwrap();
    assert!(rows.tidy(&settings, &metrics).await);
    assert_eq!(rows_in(directory.path()), 3200 - 1200 + 1799, "rows of more than ninety days");
    index_is_whole(directory.path());
    let small = Settings { size: 2 << 20, ..settings };
    while !rows.tidy(&small, &metrics).await {}
    assert!(metrics.journal_bytes.get() <= 2 << 20);
    let left = rows_in(directory.path());
    assert!((1..3000).contains(&left), "{left}");
    index_is_whole(directory.path());
    let newest = rows.search(&Query::new(1)).await.unwrap();
    assert_eq!(newest[0].key, last, "the oldest go first");
}
