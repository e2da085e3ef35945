//! One reading of every message: whatever another server could take for the end of data ends
//! nothing here, at any cut over two segments, and the message that carries it is refused.

use crate::support::{Client, Mta, Setup, wait};

/// What stands in for a line end around the dot.
const ENDS: &[&str] = &["\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\0\n", "\r\n\0", "\0\r\n"];
/// What would be a second message to a server that took the look-alike for the end.
const SMUGGLED: &str = "MAIL FROM:<smuggled@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n";

/// Every look-alike: two line ends of whatever kind around a dot, but for the real end of data and
/// what contains it.
fn look_alikes() -> Vec<String> {
    let mut all = Vec::new();
    for before in ENDS {
        for after in ENDS {
            let sequence = format!("{before}.{after}");
            // Whole only with what stands around it: the line before, the command behind.
            if !format!("x{sequence}M").contains("\r\n.\r\n") {
                all.push(sequence);
            }
        }
    }
    assert!(all.len() > 50);
    all
}

/// Sends `octets` cut in two at `at`, each part a read of its own.
fn send_cut(client: &mut Client, octets: &[u8], at: usize) {
    client.send(&octets[..at]).settle().send(&octets[at..]);
}

/// The message was refused, nobody got anything, and the session is in step.
fn refused_and_in_step(client: &mut Client, mta: &Mta, what: &str) {
    let reply = client.try_reply().unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!((reply.code, reply.status()), (550, "5.5.2"), "{what}: {reply:?}");
    let reply = client.ask("NOOP");
    assert_eq!(reply.code, 250, "{what}: out of step: {reply:?}");
    assert!(mta.received().is_empty(), "{what}: the upstream got {:?}", mta.received());
}

#[test]
fn every_look_alike_at_every_cut_is_refused_in_data() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nerrors = 100000").start();
    let mut client = Client::greeted(gate.mx());
    let mut refused = 0_u32;
    for look_alike in look_alikes() {
        let content = format!("Subject: one\r\n\r\nbody{look_alike}{SMUGGLED}.\r\n").into_bytes();
        let start = "Subject: one\r\n\r\nbody".len();
        // Before the sequence, inside it everywhere, and in the command behind it.
        for cut in start..=start + look_alike.len() + 1 {
            client.begin_data("a@example.net", &["b@example.org"]);
            send_cut(&mut client, &content, cut);
            refused_and_in_step(&mut client, &mta, &format!("{look_alike:?} cut at {}", cut - start));
            refused += 1;
        }
    }
    let lines = mta.lines();
    assert!(!lines.iter().any(|line| line.contains("smuggled")), "{lines:?}");
    gate.wait_metric("octroi_violations_total{kind=\"smuggling\",listener=\"mx\"}", refused.into());
    gate.log_line(&["smuggling"]);
    client.deliver("a@example.net", &["b@example.org"], b"Subject: clean\r\n\r\nclean\r\n").must(250);
    assert!(mta.only().content.ends_with(b"Subject: clean\r\n\r\nclean\r\n"));
}

#[test]
fn every_look_alike_at_every_cut_over_chunks_is_refused_in_bdat() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nerrors = 100000").start();
    let mut client = Client::greeted(gate.mx());
    for look_alike in look_alikes() {
        let content = format!("Subject: one\r\n\r\nbody{look_alike}{SMUGGLED}").into_bytes();
        let start = "Subject: one\r\n\r\nbody".len();
        for cut in start..=start + look_alike.len() {
            let what = format!("{look_alike:?} in BDAT, cut at {}", cut - start);
            client.ask("MAIL FROM:<a@example.net>").must(250);
            client.ask("RCPT TO:<b@example.org>").must(250);
            client.send(format!("BDAT {cut}\r\n")).send(&content[..cut]);
            let first = client.reply();
            client.send(format!("BDAT {} LAST\r\n", content.len() - cut)).send(&content[cut..]);
            // A server may refuse as soon as it has seen it; the rest is out of order then.
            if first.code == 550 {
                assert_eq!(first.status(), "5.5.2", "{what}");
                assert_eq!(client.reply().code, 503, "{what}");
                client.ask("NOOP").must(250);
            } else {
                assert_eq!(first.code, 250, "{what}: {first:?}");
                refused_and_in_step(&mut client, &mta, &what);
            }
        }
    }
    assert!(mta.received().is_empty());
    assert!(!mta.lines().iter().any(|line| line.contains("smuggled")));
}

/// The real end is one also where a lone CR stands before it, as that CR is part of the line: what
/// follows is a command, and the message is refused for the CR.
#[test]
fn the_end_behind_a_lone_cr_is_the_end() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let mut client = Client::greeted(gate.mx());
    for body in ["body\r", "body\r\r", "body\0"] {
        client.begin_data("a@example.net", &["b@example.org"]);
        client.send(format!("Subject: one\r\n\r\n{body}\r\n.\r\n"));
        refused_and_in_step(&mut client, &mta, &format!("{body:?}"));
    }
}

/// On the edges of the buffers that servers have, the real end and a look-alike of it.
#[test]
fn the_edges_of_buffers_change_nothing() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nerrors = 100000").start();
    let mut client = Client::greeted(gate.mx());
    let mut delivered = 0;
    for edge in [1024, 4096, 8192, 16384, 32768, 65536] {
        for shift in 0..6 {
            let mut content = b"Subject: one\r\n\r\n".to_vec();
            while content.len() < edge - 80 {
                content.extend_from_slice(&[b'x'; 62]);
                content.extend_from_slice(b"\r\n");
            }
            content.resize(edge - shift, b'y');
            let what = format!("at {edge} less {shift}");
            client.begin_data("a@example.net", &["b@example.org"]);
            client.send([&content[..], b"\r\n.\r\n"].concat());
            assert_eq!(client.reply().code, 250, "{what}");
            delivered += 1;
            let kept = wait::until(&what, || mta.received().get(delivered - 1).cloned());
            assert!(kept.content.ends_with(&[&content[..], b"\r\n"].concat()), "{what}: not what was sent");

            client.begin_data("a@example.net", &["b@example.org"]);
            client.send([&content[..], b"\n.\r\n", SMUGGLED.as_bytes(), b".\r\n"].concat());
            client.reply().must_be(550, "5.5.2");
            client.ask("NOOP").must(250);
            assert_eq!(mta.received().len(), delivered, "{what}");
        }
    }
}

/// What stands in DATA as `CRLF . CRLF` ends it; the same in a chunk is content, and reaches an
/// upstream without CHUNKING with its dot stuffed.
#[test]
fn the_real_end_inside_a_chunk_is_content() {
    for extensions in [&["PIPELINING", "CHUNKING"][..], &["PIPELINING"][..]] {
        let mta = Mta::offering(extensions);
        let gate = Setup::before(mta.address()).mx().start();
        let mut client = Client::greeted(gate.mx());
        let content = format!("Subject: one\r\n\r\nbody\r\n.\r\n{SMUGGLED}");
        client.deliver_chunked("a@example.net", &["b@example.org"], content.as_bytes()).must(250);
        assert!(mta.only().content.ends_with(content.as_bytes()), "{extensions:?}");
        client.ask("NOOP").must(250);
    }
}

/// Line ends where they have no business, in every command that takes an argument.
#[test]
fn no_line_end_hides_in_a_command() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nerrors = 100000").start();
    for octet in ["\r", "\n", "\0", "\r\r\n", "\n\r"] {
        let mut client = Client::greeted(gate.mx());
        for command in ["EHLO a{}b.example", "NOOP {}", "MAIL FROM:<a{}@example.net>", "MAIL FROM:<a@example.net>{} SIZE=5", "VRFY a{}b"] {
            let line = command.replace("{}", &format!("{octet}RSET{octet}"));
            client.send(format!("{line}\r\n"));
            let reply = client.reply();
            assert!(reply.code / 100 == 5, "{line:?}: {reply:?}");
            // A LF divides; what is behind it may be answered, too, but never with yes to MAIL.
            client.say("VRFY end");
            loop {
                let next = client.reply();
                if next.code == 252 {
                    break;
                }
                assert!(next.code / 100 == 5 || next.code == 250, "{line:?}: {next:?}");
            }
            client.ask("RCPT TO:<b@example.org>").must(503);
        }
    }
    assert!(mta.received().is_empty());
}
