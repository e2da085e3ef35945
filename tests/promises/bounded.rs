//! Bounded at every size: huge, half-closed, never-reading and garbage-sending clients.

use crate::support::{Act, Client, Gate, Mta, Setup, Step, client::message, mta, places, wait};
use std::{
    io::Write,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

const MIB: u64 = 1 << 20;

/// The header section of what is big in its body.
const HEADER: &str = "Subject: big\r\n\r\n";

/// What a process of this kind may take beyond the limits it was given: code, buffers, allocator.
const SLACK: u64 = 64 * MIB;

pub fn still_takes_mail(gate: &Gate) {
    let mut client = Client::greeted(gate.mx());
    client.deliver("a@example.net", &["b@example.org"], &message("still")).must(250);
    assert_eq!(gate.http("/healthz").0, 200);
}

#[test]
fn memory_does_not_grow_with_messages() {
    let mta = Mta::start();
    mta.forget_contents();
    let limits = "[limits]\nmemory = \"16MiB\"\nmessage_memory = \"256KiB\"\nspool = \"2GiB\"\nmessage_size = \"50MiB\"";
    let gate = Setup::before(mta.address()).mx().and(limits).start();
    still_takes_mail(&gate);
    let (before, _) = gate.memory();
    let line = [&[b'x'; 998][..], b"\r\n"].concat();
    let piece = line.repeat(1024);
    let half_way = AtomicUsize::new(0);
    // Forty messages of 10 MB at once: all are half way before any goes on.
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let mut client = Client::greeted(gate.mx());
                client.begin_data("a@example.net", &["b@example.org"]).send(HEADER);
                for nth in 0..10 {
                    if nth == 5 {
                        half_way.fetch_add(1, Ordering::SeqCst);
                        wait::until_within(Duration::from_secs(120), "all to be half way", || {
                            (half_way.load(Ordering::SeqCst) == 40).then_some(())
                        });
                    }
                    client.send(&piece);
                }
                client.send(".\r\n");
                client.patience(Duration::from_secs(120));
                client.reply().must(250);
            });
        }
    });
    let (_, most) = gate.memory();
    assert!(most < before + 16 * MIB + SLACK, "{} MiB more than before", (most - before) / MIB);
    // One of 50 MB costs no more than one of 1 MB.
    let mut client = Client::greeted(gate.mx());
    client.begin_data("a@example.net", &["b@example.org"]).send(HEADER);
    for _ in 0..48 {
        client.send(&piece);
    }
    client.send(".\r\n").reply().must(250);
    let (_, now) = gate.memory();
    assert!(now < before + 16 * MIB + SLACK, "{} MiB more than before", (now - before) / MIB);
    gate.wait_metric("octroi_spool_used_bytes{place=\"disk\"}", 0.0);
    gate.wait_metric("octroi_spool_used_bytes{place=\"memory\"}", 0.0);
}

#[test]
fn a_budget_that_is_used_up_means_later_and_recovers() {
    let mta = Mta::start();
    mta.forget_contents();
    let limits = "[limits]\nmemory = \"1MiB\"\nmessage_memory = \"256KiB\"\nspool = \"4MiB\"\nmessage_size = \"4MiB\"";
    let gate = Setup::before(mta.address()).mx().and(limits).start();
    let piece = [&[b'x'; 998][..], b"\r\n"].concat().repeat(1000);
    // Each holds three megabytes, and does not end.
    let mut holders = Vec::new();
    let mut told_later = false;
    for _ in 0..4 {
        let mut client = Client::greeted(gate.mx());
        client.begin_data("a@example.net", &["b@example.org"]).send(HEADER);
        client.send(&piece).send(&piece).send(&piece).settle();
        holders.push(client);
    }
    for client in &mut holders {
        let reply = client.send(".\r\n").reply();
        if reply.code == 452 {
            assert_eq!(reply.status(), "4.3.1", "{reply:?}");
            told_later = true;
        } else {
            reply.must(250);
        }
        client.ask("NOOP").must(250);
    }
    assert!(told_later, "nobody was told 452");
    drop(holders);
    wait::until("the budget to be given back", || {
        let metrics = gate.metrics();
        (metrics.sum("octroi_spool_used_bytes", "") == 0.0).then_some(())
    });
    let mut client = Client::greeted(gate.mx());
    client.begin_data("a@example.net", &["b@example.org"]).send(HEADER);
    client.send(&piece).send(&piece).send(".\r\n").reply().must(250);
}

/// The last piece of a chunked message is the one that does not fit: the client hears so, and not
/// that the message has been taken.
#[test]
fn a_spool_that_is_full_at_the_last_chunk_means_later() {
    const KIB: usize = 1 << 10;
    let mta = Mta::start();
    let limits = "[limits]\nmemory = \"128KiB\"\nmessage_memory = \"32KiB\"\nspool = \"1MiB\"\nmessage_size = \"1MiB\"";
    let gate = Setup::before(mta.address()).mx().and(limits).start();
    let text = |len: usize| [HEADER.as_bytes(), &b"0123456789abcd\r\n".repeat(len / 16 + 1)[..len - HEADER.len()]].concat();
    // A message that waits for the upstream's answer, all of it on disk.
    mta.behave(Step::Final, Act::Hang, 1);
    let mut holder = Client::greeted(gate.mx());
    holder.begin_data("holder@example.net", &["b@example.org"]);
    holder.send(text(900 * KIB)).send("\r\n.\r\n");
    wait::until("the holder's message at the upstream", || (mta.received().len() == 1).then_some(()));

    let mut client = Client::greeted(gate.mx());
    let mut in_chunks = |first: usize, last: &[u8]| {
        client.ask("MAIL FROM:<a@example.net>").must(250);
        client.ask("RCPT TO:<b@example.org>").must(250);
        client.send(format!("BDAT {first}\r\n")).send(text(first)).reply().must(250);
        let reply = client.send(format!("BDAT {} LAST\r\n", last.len())).send(last).reply();
        client.ask("NOOP").must(250);
        reply
    };
    // Some 124 KiB are left: the end of the message is what finds it out, or a piece of the chunk.
    for last in [2, 30, 300] {
        in_chunks(123 * KIB, &text(last * KIB)).must_be(452, "4.3.1");
    }
    assert_eq!(mta.received().len(), 1, "the upstream got some of it");
    in_chunks(90 * KIB, b"\r\n").must(250);
    assert_eq!(mta.received().len(), 2);
    assert_eq!(gate.metrics().messages("deferred"), 3.0);
}

#[test]
fn never_reading_clients_are_not_waited_for_with_memory() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nerrors = 4000000000\n[timeouts]\nclient_command = \"3s\"").start();
    still_takes_mail(&gate);
    let (before, _) = gate.memory();
    let commands = b"HELP\r\nVRFY somebody\r\nNOOP\r\nMAIL FROM:<>\r\n".repeat(5_000);
    thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| {
                let mut client = Client::greeted(gate.mx());
                client.wire().tcp().set_write_timeout(Some(Duration::from_secs(1))).unwrap();
                // Until it is not read any more, or closed, which is what has to happen.
                let sent = (0..200).take_while(|_| client.wire().send(&commands).is_ok()).count();
                assert!(sent < 200, "40 MB of commands were read and the answers kept");
            });
        }
        wait::pause(Duration::from_millis(500));
        still_takes_mail(&gate);
    });
    let (_, most) = gate.memory();
    assert!(most < before + SLACK, "{} MiB more than before", (most - before) / MIB);
    wait::until("the sessions to end", || (gate.metrics().get("octroi_connections_active{listener=\"mx\"}") == 0.0).then_some(()));
}

#[test]
fn garbage_is_answered_or_closed_and_hurts_nobody() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[timeouts]\nclient_command = \"2s\"\nclient_data = \"2s\"").start();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..60 {
        let mut client = Client::greeted(gate.mx());
        // In place of commands, inside content, inside a chunk, inside a handshake.
        match round % 4 {
            1 => drop(client.begin_data("a@example.net", &["b@example.org"])),
            2 => drop(client.send("MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 50000 LAST\r\n")),
            3 => drop(client.ask("STARTTLS").must(220)),
            _ => {}
        }
        let garbage: Vec<u8> = (0..8_000).flat_map(|_| random().to_le_bytes()).collect();
        // It may be thrown out in the middle.
        let _ = client.wire().send(&garbage);
        let _ = client.wire().tcp().shutdown(std::net::Shutdown::Write);
        while client.wire().fill().is_ok_and(|read| read > 0) {}
    }
    assert!(mta.kept().is_empty() || mta.kept().iter().all(|message| !message.content.contains(&0)));
    assert!(!gate.log().iter().any(|line| line.contains("panicked")), "{:?}", gate.log());
    still_takes_mail(&gate);
}

/// A client that closes its side after the final dot waits for its answer all the same.
#[test]
fn half_closed_clients_get_their_answer() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let mut client = Client::greeted(gate.mx());
    client.begin_data("a@example.net", &["b@example.org"]);
    client.send(message("half-closed")).send(".\r\nQUIT\r\n");
    client.wire().tcp().shutdown(std::net::Shutdown::Write).unwrap();
    client.reply().must(250);
    client.reply().must(221);
    assert_eq!(mta.kept().len(), 1);

    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    client.ask("RCPT TO:<b@example.org>").must(250);
    client.send("BDAT 1000 LAST\r\nSubject: cut\r\n\r\n");
    client.wire().tcp().shutdown(std::net::Shutdown::Write).unwrap();
    let said = client.closed();
    assert!(!said.starts_with(b"250"), "{:?}", String::from_utf8_lossy(&said));
    assert_eq!(mta.kept().len(), 1);
}

#[test]
fn connections_are_limited_by_client_and_in_all() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nconnections_per_client = 3\nconnections = 5").start();
    let held: Vec<_> = (0..3).map(|_| Client::greeted(gate.mx())).collect();
    let mut fourth = Client::connect(gate.mx());
    fourth.reply().must_be(421, "4.7.0");
    assert!(fourth.closed().is_empty());
    let mut others: Vec<_> = (0..2).map(|_| Client::connect_from(places::client(50), gate.mx())).collect();
    for other in &mut others {
        other.banner();
    }
    let mut sixth = Client::connect_from(places::client(51), gate.mx());
    assert_eq!(sixth.reply().code, 421);
    assert!(sixth.closed().is_empty());
    gate.wait_metric("octroi_connections_total{listener=\"mx\",result=\"too_many_from_client\"}", 1.0);
    gate.wait_metric("octroi_connections_total{listener=\"mx\",result=\"too_many\"}", 1.0);
    drop((held, others));
    wait::until("places to be free", || {
        let mut client = Client::connect(gate.mx());
        (client.reply().code == 220).then_some(())
    });
}

#[test]
fn recipients_above_the_limit_are_for_the_next_transaction() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nrecipients = 100").start();
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    for nth in 0..100 {
        client.ask(&format!("RCPT TO:<b{nth}@example.org>")).must(250);
    }
    for _ in 0..3 {
        client.ask("RCPT TO:<more@example.org>").must_be(452, "4.5.3");
    }
    client.ask("DATA").must(354);
    client.send(message("hundred")).send(".\r\n").reply().must(250);
    assert_eq!(mta.only().recipients.len(), 100);
}

#[test]
fn chunks_of_nothing_and_of_one_octet_are_no_burden() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let (before, _) = gate.memory();
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    client.ask("RCPT TO:<b@example.org>").must(250);
    let content = [&b"Subject: chunks\r\n\r\n"[..], &b"0123456789abcdef\r\n".repeat(1_000)].concat();
    for piece in content.chunks(500) {
        let chunks: Vec<u8> = piece.iter().flat_map(|octet| [&b"BDAT 0\r\nBDAT 1\r\n"[..], &[*octet]].concat()).collect();
        client.send(chunks);
        for _ in 0..2 * piece.len() {
            client.reply().must(250);
        }
    }
    client.ask("BDAT 0 LAST").must(250);
    assert!(mta.only().content.ends_with(&content));
    let (_, most) = gate.memory();
    assert!(most < before + SLACK, "{} MiB more than before", (most - before) / MIB);
}

#[test]
fn headers_are_bounded() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nheader_size = \"256KiB\"").start();
    let (before, _) = gate.memory();
    let mut client = Client::greeted(gate.mx());
    for header in [
        [&b"X-Huge: "[..], &vec![b'x'; 20_000_000], b"\r\n"].concat(),
        b"X-Many: field\r\n".repeat(100_000),
        b"X-Folded: x\r\n".iter().copied().chain(b" folded\r\n".repeat(100_000)).collect(),
        b"x".repeat(1_000_000),
    ] {
        client.begin_data("a@example.net", &["b@example.org"]);
        client.send(header).send("\r\n\r\nbody\r\n.\r\n");
        client.reply().must_be(552, "5.3.4");
        client.ask("NOOP").must(250);
    }
    assert!(mta.received().is_empty());
    gate.wait_metric("octroi_violations_total{kind=\"header_too_long\",listener=\"mx\"}", 4.0);
    let (_, most) = gate.memory();
    assert!(most < before + SLACK, "{} MiB more than before", (most - before) / MIB);
}

/// The upstream stops reading in the middle of a big message: a true 4yz in time, and the budget is
/// given back.
#[test]
fn an_upstream_that_stops_reading_is_given_up() {
    for extensions in [mta::EXTENSIONS, &["PIPELINING", "8BITMIME"]] {
        let mta = Mta::offering(extensions);
        let gate = Setup::before(mta.address()).mx().and("[timeouts]\nupstream_command = \"2s\"\nupstream_final = \"2s\"").start();
        mta.behave(Step::Body, Act::Hang, 1);
        let mut client = Client::greeted(gate.mx());
        client.begin_data("a@example.net", &["b@example.org"]).send(HEADER);
        let piece = [&[b'x'; 998][..], b"\r\n"].concat().repeat(1000);
        for _ in 0..20 {
            client.send(&piece);
        }
        let start = Instant::now();
        let reply = client.send(".\r\n").reply();
        assert!(reply.is_temporary() && start.elapsed() < Duration::from_secs(20), "{reply:?} after {:?}", start.elapsed());
        gate.wait_metric("octroi_spool_used_bytes{place=\"disk\"}", 0.0);
        still_takes_mail(&gate);
    }
}

#[test]
fn no_file_is_left_open_and_none_on_disk() {
    let mta = Mta::start();
    mta.forget_contents();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nmessage_memory = \"4KiB\"").start();
    let piece = [&[b'x'; 998][..], b"\r\n"].concat().repeat(50);
    let round = || {
        for ending in 0..3 {
            let mut client = Client::greeted(gate.mx());
            client.begin_data("a@example.net", &["b@example.org"]).send(HEADER);
            client.send(&piece);
            match ending {
                0 => drop(client.send(".\r\n").reply().must(250)),
                1 => drop(client.send("\n.\n\r\n.\r\n").reply().must(550)),
                _ => drop(client.wire().tcp().write_all(b"half")),
            }
        }
        wait::until("the sessions to end", || (gate.metrics().get("octroi_connections_active{listener=\"mx\"}") == 0.0).then_some(()));
    };
    round();
    let before = gate.open_files();
    for _ in 0..10 {
        round();
    }
    // The pool may have grown by a connection or two.
    wait::until("the files to be closed", || (gate.open_files() <= before + 4).then_some(()));
    fn files(dir: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
    }
    assert_eq!(files(&gate.dir.path().join("state/spool")), 0, "the spool's files have no name");
}
