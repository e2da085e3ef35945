//! Whatever somebody asks of the journal, he has an answer in time, and nobody else waits for his.

use super::journal::{database, hunt, wait_rows};
use crate::support::{Client, Gate, Mta, Setup, Web, client::message, wait};
use rusqlite::Connection;
use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Rows that have the words, and none of which has them so: each has to be looked at.
const MANY: i64 = 200_000;
const BROAD: &str = "a* \"two one\"";
/// And so that it is clear what took its time.
const PROMPT: Duration = Duration::from_secs(10);

/// A gate with a journal in which such a search takes far longer than it may.
fn gate(mta: &Mta) -> Gate {
    let gate =
        Setup::before(mta.address()).mx().console("").and(super::quarantine::RULES).and("[storage]\nsearch_timeout = \"50ms\"\n").start();
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message("found")).must(250);
    wait_rows(&gate, 1);
    let first = i64::try_from((SystemTime::now() - Duration::from_secs(3600)).duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let connection = Connection::open(database(&gate)).unwrap();
    connection.busy_timeout(wait::PATIENCE).unwrap();
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})");
    connection
        .execute_batch(&format!(
            "BEGIN; \
             {numbers} INSERT INTO journal_row (key, at, kind, listener, client, port, recipients, nrcpt, subject, size, details) \
             SELECT {first} * 4096 + i, {first}, 'message', 'mx', '192.0.2.1', 1, 'b@example.org', 1, 'one two a' || i, 1, '{{}}' FROM n; \
             {numbers} INSERT INTO journal_term (rowid, terms) SELECT {first} * 4096 + i, 'k:message t:one t:two t:a' || i FROM n; \
             COMMIT"
        ))
        .unwrap();
    gate
}

fn api(gate: &Gate) -> Web {
    let added = gate.octroi(&["user", "add", "alice", "--totp", "--role", "auditor"], "a long enough password\n");
    assert!(added.success, "{}", added.text);
    let said = gate.octroi(&["user", "token", "add", "alice", "--scope", "messages.read"], "");
    Web::new(gate.console()).with("Authorization", &format!("Bearer {}", said.text.trim()))
}

#[test]
fn a_search_that_is_too_broad_is_ended_and_says_so() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let mut api = api(&gate);
    let path = format!("/api/v1/messages?since=all&q={}", BROAD.replace('"', "%22").replace(' ', "+"));
    let begun = Instant::now();
    let said = api.get(&path).must(422).json();
    assert!(said["detail"].as_str().unwrap().contains("Narrow the time or the words"), "{said}");
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    assert_eq!(api.get("/api/v1/messages?q=found").must(200).json()[0]["subject"], "found");

    let said = hunt(&gate, &["--kind", "subject", BROAD, "found"]);
    let (out, error) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(said.status.code(), Some(2), "{said:?}");
    for part in ["two one", "too broad", "50ms", "--since", "--timeout"] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    assert!(out.contains("found"), "the others are looked for all the same: {out}");
    let said = hunt(&gate, &["--kind", "subject", BROAD, "--timeout", "4m"]);
    assert_eq!(said.status.code(), Some(1), "nothing is there: {said:?}");
}

#[test]
fn many_broad_searches_keep_nobody_waiting() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let api = api(&gate);
    let path = format!("/api/v1/messages?since=all&q={}", BROAD.replace('"', "%22").replace(' ', "+"));
    let begun = Instant::now();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let all: Vec<_> = (0..24).map(|_| scope.spawn(|| (0..4).map(|_| api.clone().get(&path).status).collect::<Vec<_>>())).collect();
        for n in 0..20 {
            let subject = if n % 2 == 0 { "usual" } else { "hold" };
            Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message(subject)).must(250);
        }
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    assert!(begun.elapsed() < 3 * PROMPT, "{:?}", begun.elapsed());
    let of = |status| statuses.iter().filter(|found| **found == status).count();
    assert!(of(422) >= 2 && of(503) >= 1 && of(422) + of(503) == statuses.len(), "{statuses:?}");
    let at = wait::until("the rows of the messages", || {
        let rows = api.clone().get("/api/v1/messages?q=hold&limit=1000");
        (rows.status == 200 && rows.json().as_array().unwrap().len() == 10).then(Instant::now)
    });
    assert!(at.elapsed() < PROMPT);
    assert_eq!(super::quarantine::entries(&gate).len(), 10);
}

#[test]
fn how_long_a_search_may_take_is_a_time_that_somebody_waits() {
    let mta = Mta::start();
    for wrong in ["0s", "6m", "soon"] {
        let setup = Setup::before(mta.address()).mx().and(&format!("[storage]\nsearch_timeout = \"{wrong}\"\n"));
        let said = setup.prepare().octroi(&["check"], "");
        assert!(!said.success && said.text.contains("storage.search_timeout"), "{}", said.text);
    }
}
