//! Whatever becomes of the journal, mail goes on; and what is lost of it is counted.

use super::journal::{database, found, rows, wait_rows};
use crate::support::{Client, Disk, Gate, Mta, Setup, client::message, wait};
use rusqlite::Connection;
use std::{
    fs,
    time::{Duration, Instant},
};

fn send(gate: &Gate, subject: &str) {
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message(subject)).must(250);
}

fn is_whole(gate: &Gate) {
    let connection = Connection::open(database(gate)).unwrap();
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
    connection.execute("INSERT INTO journal_term (journal_term) VALUES ('integrity-check')", []).unwrap();
}

#[test]
fn a_kill_loses_the_last_second_and_damages_nothing() {
    let mta = Mta::start();
    let mut gate = Setup::before(mta.address()).mx().start();
    let mut sent = Vec::new();
    for round in 0..5 {
        let begun = Instant::now();
        let mut n = 0;
        while begun.elapsed() < Duration::from_millis(1500) || n < 20 {
            let subject = format!("round{round}n{n}");
            send(&gate, &subject);
            sent.push((subject, Instant::now()));
            n += 1;
        }
        let killed = Instant::now();
        gate.kill();
        is_whole(&gate);
        let connection = Connection::open(database(&gate)).unwrap();
        for (subject, at) in sent.drain(..) {
            let known: i64 =
                connection.query_row("SELECT count(*) FROM journal_row WHERE subject = ?1", [&subject], |row| row.get(0)).unwrap();
            assert!(known == 1 || killed - at < Duration::from_secs(1) && known == 0, "{subject}: {known}, {:?} before", killed - at);
        }
        drop(connection);
        gate.run();
        gate.wait_ready();
    }
    send(&gate, "afterwards");
    wait::until("the last row", || (found(&gate, &["--kind", "subject", "afterwards"]).len() == 1).then_some(()));
}

#[test]
fn a_locked_journal_delays_no_message() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    send(&gate, "before");
    wait_rows(&gate, 1);
    let lock = Connection::open(database(&gate)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    for n in 0..20 {
        let at = Instant::now();
        send(&gate, &format!("n{n}"));
        assert!(at.elapsed() < Duration::from_secs(4), "{:?}", at.elapsed());
    }
    // Past the patience of the writer with the lock.
    gate.log_line(&["the journal cannot be written, and mail goes on without"]);
    assert!(begun.elapsed() < wait::PATIENCE);
    send(&gate, "still locked");
    assert_eq!(rows(&gate).values().sum::<u64>(), 1);
    lock.execute_batch("COMMIT").unwrap();
    wait_rows(&gate, 22);
    gate.log_line(&["the journal is written again"]);
    assert_eq!(gate.metrics().sum("octroi_journal_dropped_total", ""), 0.0);
    let told = gate.log().iter().filter(|line| line.contains("the journal cannot be written")).count();
    assert_eq!(told, 1, "once for the whole spell");
}

#[test]
fn on_a_full_disk_mail_goes_on_and_rows_follow_when_there_is_room() {
    let mta = Mta::start();
    let setup = Setup::before(mta.address()).mx();
    let state = setup.dir().join("state");
    let disk = Disk::of(&state, "4M");
    let gate = setup.start();
    send(&gate, "before");
    wait_rows(&gate, 1);
    disk.fill();
    for n in 0..50 {
        send(&gate, &format!("n{n}"));
    }
    gate.log_line(&["the journal cannot be written, and mail goes on without", "no space left"]);
    send(&gate, "still full");
    disk.resize("32M");
    wait_rows(&gate, 52);
    is_whole(&gate);
}

#[test]
fn a_journal_that_is_removed_costs_rows_which_are_counted() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    fs::remove_file(database(&gate)).unwrap();
    for n in 0..3 {
        send(&gate, &format!("n{n}"));
    }
    gate.wait_metric("octroi_journal_dropped_total{reason=\"not_written\"}", 3.0);
    gate.log_line(&["the journal cannot be written"]);
}

#[test]
fn a_message_that_would_hold_memory_is_not_looked_into_and_the_row_says_so() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nmemory = \"8MiB\"\n").start();
    let mut content = message("big");
    while content.len() < 2 << 20 {
        content.extend_from_slice(b"http://evil.example/ and more of it\r\n");
    }
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &content).must(250);
    wait_rows(&gate, 1);
    assert_eq!(found(&gate, &["--kind", "subject", "big"])[0]["unexamined"], "busy");
    gate.wait_metric("octroi_journal_unexamined_total", 1.0);
}

#[test]
fn a_flood_of_refusals_costs_no_message_its_row() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[journal]\nsize = \"16MiB\"\n").start();
    send(&gate, "who got it");
    wait_rows(&gate, 1);
    // What comes in a week, from now on.
    let connection = Connection::open(database(&gate)).unwrap();
    connection.busy_timeout(wait::PATIENCE).unwrap();
    let first: i64 = connection.query_row("SELECT max(key) FROM journal_row", [], |row| row.get(0)).unwrap();
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)";
    connection
        .execute_batch(&format!(
            "BEGIN; \
             {numbers} INSERT INTO journal_row (key, at, kind, listener, client, port, recipients, nrcpt, size, verdict, error, details) \
             SELECT {first} + i, {first} / 4096, 'command', 'mx', '192.0.2.1', 1, '', 0, 0, 'rejected', hex(randomblob(400)), '{{}}' FROM n; \
             {numbers} INSERT INTO journal_term (rowid, terms) SELECT {first} + i, 'k:command c:4' || hex(randomblob(4)) FROM n; \
             COMMIT"
        ))
        .unwrap();
    drop(connection);
    wait::until("the journal to be as small as it has to be", || {
        let bytes = gate.metrics().get("octroi_journal_bytes");
        (rows(&gate).values().sum::<u64>() < 30_000 && bytes <= f64::from(16 << 20)).then_some(())
    });
    let commands = rows(&gate).iter().filter(|((kind, _), _)| kind == "command").map(|(_, number)| number).sum::<u64>();
    assert!((1000..30_000).contains(&commands), "{commands}");
    assert_eq!(found(&gate, &["--kind", "subject", "who got it"]).len(), 1);
    is_whole(&gate);
}
