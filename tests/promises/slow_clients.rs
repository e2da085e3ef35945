//! Time is bounded, too: silent, dripping and busy clients are given what RFC 5321 §4.5.3.2 says, and
//! no more.

use crate::{
    bounded::still_takes_mail,
    support::{Client, Mta, Setup, wait},
};
use std::{
    io, thread,
    time::{Duration, Instant},
};

#[test]
fn slow_clients_are_sent_away() {
    let mta = Mta::start();
    let timeouts = "[timeouts]\nclient_command = \"1s\"\nclient_data = \"1s\"";
    let gate = Setup::before(mta.address()).mx().and(timeouts).start();
    // Says nothing, at once or after a while.
    let mut silent = Client::greeted(gate.mx());
    silent.reply().must_be(421, "4.4.2");
    assert!(silent.closed().is_empty());
    // Stops in the middle of its content.
    let mut stuck = Client::greeted(gate.mx());
    stuck.begin_data("a@example.net", &["b@example.org"]);
    stuck.send("Subject: stuck\r\n\r\nhalf");
    stuck.reply().must_be(421, "4.4.2");
    // The same in a chunk, and with octets that leave nothing behind.
    let mut in_chunk = Client::greeted(gate.mx());
    in_chunk.ask("MAIL FROM:<a@example.net>").must(250);
    in_chunk.ask("RCPT TO:<b@example.org>").must(250);
    in_chunk.send("BDAT 1000 LAST\r\nSubject: stuck\r\n\r\n\0\0");
    in_chunk.reply().must_be(421, "4.4.2");
    // A command octet by octet, for ever: the time is for the command, not for the octet.
    let mut dripping = Client::greeted(gate.mx());
    let start = Instant::now();
    while dripping.wire().send(b"N").is_ok() {
        wait::pause(Duration::from_millis(200));
        assert!(start.elapsed() < Duration::from_secs(15), "octet by octet a client may stay for ever");
    }
    gate.wait_metric("octroi_violations_total{kind=\"timed_out\",listener=\"mx\"}", 4.0);
    still_takes_mail(&gate);
}

/// Content below the minimum rate, measured over a minute, is given up however steadily it drips,
/// and so is what leaves nothing behind: NULs, and the octets of a chunk that is refused.
#[test]
fn content_that_drips_is_given_up() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nminimum_rate = \"1kB\"").start();
    let drips: [(&str, &[u8]); 4] = [
        ("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n", b"drip\r\n"),
        ("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n", b"\0"),
        ("MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nBDAT 1000000 LAST\r\n", b"\0"),
        ("BDAT 1000000 LAST\r\n", b"d"),
    ];
    thread::scope(|scope| {
        for (commands, drop) in drips {
            let gate = &gate;
            scope.spawn(move || {
                let mut client = Client::greeted(gate.mx());
                client.send(commands);
                for code in [250, 250, 354].into_iter().take(commands.matches("MAIL").count() * 2 + commands.matches("DATA").count()) {
                    client.reply().must(code);
                }
                client.patience(Duration::from_millis(300));
                let start = Instant::now();
                let last = loop {
                    client.send(drop);
                    match client.try_reply() {
                        Ok(reply) => break reply,
                        Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock, "{commands:?}: {e}"),
                    }
                    assert!(start.elapsed() < Duration::from_secs(150), "it drips for ever");
                };
                last.must_be(421, "4.4.2");
                assert!(start.elapsed() > Duration::from_secs(30), "given up before it could be told");
            });
        }
    });
    gate.wait_metric("octroi_violations_total{kind=\"too_slow\",listener=\"mx\"}", 4.0);
    assert!(mta.received().is_empty());
    still_takes_mail(&gate);
}

/// NULs leave nothing of a message behind, and still nobody can send them for ever.
#[test]
fn octets_that_leave_nothing_behind_are_bounded() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nmessage_size = \"64KiB\"").start();
    let nuls = vec![0; 16 << 10];
    for begin in ["DATA\r\n", "BDAT 60000\r\n"] {
        let mut client = Client::greeted(gate.mx());
        client.ask("MAIL FROM:<a@example.net>").must(250);
        client.ask("RCPT TO:<b@example.org>").must(250);
        client.send(begin);
        if begin.starts_with("DATA") {
            client.reply().must(354);
            // A quarter of a megabyte more than it takes, which is read and dropped: a reset would
            // overtake its last word.
            client.send(nuls.repeat(90));
            client.reply().must_be(552, "5.3.4");
            assert!(client.closed().is_empty());
        } else {
            client.send(&nuls.repeat(4)[..60_000]).reply().must(250);
            // What is left of it counts nothing; the octets that came do.
            let mut refused = None;
            for _ in 0..1 << 6 {
                if client.wire().send(&[b"BDAT 60000\r\n", &nuls.repeat(4)[..60_000]].concat()).is_err() {
                    break;
                }
                match client.reply() {
                    reply if reply.code == 250 => {}
                    reply => {
                        refused = Some(reply);
                        break;
                    }
                }
            }
            refused.expect("NULs for ever").must_be(552, "5.3.4");
        }
    }
    assert!(mta.received().is_empty());
    still_takes_mail(&gate);
}

/// NOOP keeps a session from being idle, but not for ever: ten are an error, and errors are
/// counted. So is a transaction that never comes to a message.
#[test]
fn a_busy_client_is_not_idle_and_not_there_for_ever() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nerrors = 1\n[timeouts]\nclient_command = \"3s\"").start();
    let mut client = Client::greeted(gate.mx());
    let start = Instant::now();
    // EHLO was the first command that gets nowhere.
    for _ in 0..18 {
        client.ask("NOOP").must(250);
        wait::pause(Duration::from_millis(250));
    }
    assert!(start.elapsed() > Duration::from_secs(3), "longer than a client may be silent");
    client.ask("NOOP").must_be(421, "4.7.0");
    assert!(client.closed().is_empty());

    let mut client = Client::greeted(gate.mx());
    let mut told = Vec::new();
    while told.len() < 100 && told.last() != Some(&421) {
        for line in ["MAIL FROM:<a@example.net>", "RSET"] {
            client.say(line);
            told.extend(client.try_reply().map(|reply| reply.code));
        }
    }
    assert_eq!(told.last(), Some(&421), "MAIL and RSET for ever");
    gate.wait_metric("octroi_violations_total{kind=\"too_many_errors\",listener=\"mx\"}", 2.0);
    assert_eq!(gate.metrics().get("octroi_violations_total{kind=\"timed_out\",listener=\"mx\"}"), 0.0);
    still_takes_mail(&gate);
}
