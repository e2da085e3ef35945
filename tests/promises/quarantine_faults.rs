//! Nothing that is held is lost, and nothing is half there: `kill -9` under load, a full disk, a
//! database that is locked or gone.

use super::quarantine::{RULES, entries, gate, quarantine, sha256, walk};
use crate::support::{Client, Disk, Gate, Mta, Setup, client::message, wait};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const CLIENTS: usize = 8;
const KILLS: usize = 8;
/// Acknowledged messages between two kills; the kills fall wherever they fall.
const BETWEEN: usize = 25;

fn content(n: usize) -> Vec<u8> {
    let mut content = message("hold");
    content.extend_from_slice(format!("number {n}\r\n").as_bytes());
    // Sizes from one write to several, on both sides of the spool's threshold.
    let line = format!("{:x}\r\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    content.extend(line.repeat(if n.is_multiple_of(10) { 100_000 } else { n % 400 }).bytes());
    content
}

/// The entry that the reply names, where there was one.
fn attempt(to: std::net::SocketAddr, content: &[u8]) -> Option<String> {
    let mut client = Client::try_connect(to).ok()?;
    client.try_reply().ok()?;
    let stuffed = crate::support::client::stuff(content);
    for step in [&b"EHLO x\r\n"[..], b"MAIL FROM:<a@example.net>\r\n", b"RCPT TO:<b@example.org>\r\n", b"DATA\r\n"] {
        client.wire().send(step).ok()?;
        (client.try_reply().ok()?.code < 400).then_some(())?;
    }
    client.wire().send(&stuffed).ok()?;
    client.wire().send(b".\r\n").ok()?;
    let reply = client.try_reply().ok().filter(|reply| reply.code == 250)?;
    reply.lines[0].split(' ').nth(1).map(str::to_owned)
}

#[test]
fn kill_9_loses_nothing_that_was_acknowledged_and_leaves_nothing_half() {
    let mta = Mta::start();
    let mut gate = gate(&mta);
    let to = gate.mx();
    let (next, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let acknowledged: Mutex<BTreeMap<String, String>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let content = content(next.fetch_add(1, Ordering::SeqCst));
                    match attempt(to, &content) {
                        Some(id) => drop(acknowledged.lock().unwrap().insert(id, sha256(&content))),
                        None => wait::pause(Duration::from_millis(5)),
                    }
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for kill in 1..=KILLS {
                wait::until("messages to be held", || (acknowledged.lock().unwrap().len() >= kill * BETWEEN).then_some(()));
                gate.kill();
                gate.run();
                gate.wait_alive();
            }
        }));
        over.store(true, Ordering::SeqCst);
        result.unwrap();
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    let held: BTreeMap<_, _> = all(&gate);
    for (id, sha256) in &acknowledged {
        assert_eq!(held.get(id), Some(sha256), "{id} was acknowledged");
    }
    // What is there is whole, acknowledged or not.
    for (id, hash) in &held {
        let raw = quarantine(&gate, &["show", "--raw", id]);
        assert!(raw.status.success() && sha256(&raw.stdout) == *hash, "{id}");
    }
    // An entry that nobody heard of is one whose reply got lost: one a client and kill at most.
    assert!(held.len() <= acknowledged.len() + CLIENTS * KILLS, "{} of {}", acknowledged.len(), held.len());
    assert!(mta.kept().is_empty());
}

/// Every entry's hash, page by page; each is held.
fn all(gate: &Gate) -> BTreeMap<String, String> {
    let (mut found, mut below) = (BTreeMap::new(), None::<String>);
    loop {
        let mut arguments = vec!["list", "--state", "all", "--limit", "200"];
        if let Some(below) = &below {
            arguments.extend(["--below", below]);
        }
        let page = super::quarantine::json(gate, &arguments);
        let page = page.as_array().unwrap();
        for entry in page {
            assert_eq!(entry["state"], "held");
            found.insert(entry["id"].as_str().unwrap().to_owned(), entry["sha256"].as_str().unwrap().to_owned());
        }
        match page.last() {
            Some(last) => below = Some(last["id"].as_str().unwrap().to_owned()),
            None => return found,
        }
    }
}

#[test]
fn on_a_full_disk_nothing_is_stored_and_the_client_comes_again() {
    let mta = Mta::start();
    let setup = Setup::before(mta.address()).mx().and(RULES);
    let disk = Disk::of(&setup.dir().join("state"), "4M");
    let gate = setup.start();
    let send = |n: usize| {
        let mut content = message("hold");
        let mut state = n as u64 + 1;
        while content.len() < 100_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            content.extend_from_slice(format!("{state:x}\r\n").as_bytes());
        }
        Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &content)
    };
    let mut taken = 0;
    let full = loop {
        let reply = send(taken);
        if reply.code != 250 {
            break reply;
        }
        taken += 1;
        assert!(taken < 200);
    };
    full.must_be(452, "4.3.1");
    assert!(taken > 3, "{taken}");
    // Filled to the last octet, the database has no room either.
    disk.fill();
    for n in 0..3 {
        assert_eq!(send(1000 + n).code, 452);
    }
    assert!(mta.kept().is_empty());
    assert_eq!(walk(&disk.path().join("blobs")), taken, "nothing half stored");
    // Room again, and it goes on.
    disk.resize("8M");
    assert_eq!(entries(&gate).len(), taken, "stored is answered");
    send(5000).must(250);
    assert_eq!(entries(&gate).len(), taken + 1);
    drop(gate);
    drop(disk);
}

#[test]
fn while_the_database_is_locked_or_gone_the_client_keeps_its_message() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let send = |subject: &str, to: &str| Client::greeted(gate.mx()).deliver("a@example.net", &[to], &message(subject));
    let path = gate.dir.path().join("state/octroi.db");
    let lock = rusqlite::Connection::open(&path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    send("hold", "b@example.org").must_be(451, "4.3.0");
    send("usual", "b@example.org").must(250);
    lock.execute_batch("ROLLBACK").unwrap();
    send("hold", "b@example.org").must(250);
    assert_eq!(entries(&gate).len(), 1);
    gate.wait_metric("octroi_quarantine_failures_total{reason=\"late\"}", 1.0);
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    send("hold", "b@example.org").must_be(451, "4.3.0");
    send("usual", "b@example.org").must(250);
    std::fs::rename(path.with_extension("away"), &path).unwrap();
    send("hold", "b@example.org").must(250);
    assert_eq!((entries(&gate).len(), mta.kept().len()), (2, 2));
    assert_eq!(walk(&gate.dir.path().join("state/blobs")), 2);
}

#[test]
fn a_gate_without_its_quarantine_does_not_start() {
    let mta = Mta::start();
    let setup = Setup::before(mta.address()).mx();
    std::fs::write(setup.dir().join("state/octroi.db"), "this is no database, however long one looks at it").unwrap();
    let mut gate = setup.prepare();
    gate.run();
    assert!(!gate.wait_exit().success());
    gate.log_line(&["octroi.db", "not a database"]);
}
