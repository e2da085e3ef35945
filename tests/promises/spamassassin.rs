//! SpamAssassin beside the gate: what it says, what it changes, and what becomes of mail when it does
//! not answer as it should.

use crate::support::{
    Client, Gate, Mta, Setup,
    client::message,
    partners::{
        scripted::{Scripted, read_all, read_until},
        spamd::{GTUBE, Spamd},
    },
    places,
};
use std::io::Write;

fn gate(mta: &Mta, address: &str, settings: &str) -> Gate {
    Setup::before(mta.address()).mx().and(&format!("[[stage]]\ntype = \"spamd\"\naddress = \"{address}\"\n{settings}\n")).start()
}

/// Spam whose sender claims that it is none.
fn spam() -> Vec<u8> {
    let headers =
        "From: a@example.net\r\nX-Spam-Status: No, score=-99\r\nX-Spam-Claim: honest\r\nSubject: spam\r\nMessage-ID: <spam@example.net>";
    format!("{headers}\r\n\r\n{GTUBE}\r\n").into_bytes()
}

fn deliver(client: &mut Client, content: &[u8]) -> crate::support::Reply {
    client.deliver("a@example.net", &["b@example.org"], content)
}

/// The last message that arrived, without our trace.
fn arrived(mta: &Mta) -> String {
    String::from_utf8(mta.kept().last().unwrap().original().to_vec()).unwrap()
}

#[test]
fn spamassassin_tags_and_nobody_else_does() {
    let Some(spamd) = Spamd::start(&[]) else { return };
    let mta = Mta::start();
    let gate = gate(&mta, spamd.address(), "timeout = \"60s\"");
    let mut client = Client::connect_from(places::client(91), gate.mx());
    client.banner();
    client.ask("EHLO client.example.net").must(250);
    deliver(&mut client, &message("ham")).must(250);
    let ham = arrived(&mta);
    assert!(ham.contains("X-Spam-Status: No, score="), "{ham}");
    assert!(ham.ends_with(std::str::from_utf8(&message("ham")).unwrap()), "nothing else is changed: {ham}");
    deliver(&mut client, &spam()).must(250);
    let tagged = arrived(&mta);
    assert!(
        tagged.contains("X-Spam-Flag: YES\r\n") && tagged.contains("X-Spam-Status: Yes, score=") && tagged.contains("GTUBE"),
        "{tagged}"
    );
    assert!(!tagged.contains("score=-99") && !tagged.contains("X-Spam-Claim"), "a sender's claims stay: {tagged}");
    // Its report is not: that is for `process`.
    assert!(tagged.ends_with(&format!("Subject: spam\r\nMessage-ID: <spam@example.net>\r\n\r\n{GTUBE}\r\n")), "{tagged}");
    // It knew of the client: without a relay the test NO_RELAYS hits.
    assert!(!tagged.contains("NO_RELAYS") && !ham.contains("NO_RELAYS"), "{tagged}");
    let line = gate.log_line(&["spamd.spam=true", "verdict=delivered"]);
    assert!(line.contains("spamd.symbols=GTUBE") && line.contains("spamd.score=100"), "{line}");
}

#[test]
fn spamassassin_rewrites_what_it_is_asked_to() {
    let Some(spamd) = Spamd::start(&["rewrite_header Subject [SPAM]", "report_safe 1"]) else { return };
    let mta = Mta::start();
    let gate = gate(&mta, spamd.address(), "method = \"process\"\ntimeout = \"60s\"");
    let mut client = Client::greeted(gate.mx());
    deliver(&mut client, &message("untouched")).must(250);
    assert!(arrived(&mta).ends_with(std::str::from_utf8(&message("untouched")).unwrap()), "{}", arrived(&mta));
    deliver(&mut client, &spam()).must(250);
    let rewritten = arrived(&mta);
    assert!(rewritten.contains("\r\nSubject: [SPAM] spam\r\n"), "{rewritten}");
    assert!(rewritten.contains("\r\nContent-Type: multipart/mixed; boundary="), "{rewritten}");
    assert!(
        rewritten.contains("Content analysis details:") && rewritten.contains("message/rfc822") && rewritten.contains(GTUBE),
        "{rewritten}"
    );
    assert!(!rewritten.replace("\r\n", "").contains(['\r', '\n']), "line ends are canonical");
}

#[test]
fn spam_goes_where_the_configuration_says() {
    let Some(spamd) = Spamd::on_socket(&[]) else { return };
    let rule = "[[rule]]\nname = \"very\"\nwhen = 'spamd.score > 100.0 && \"GTUBE\" in spamd.symbols'\nthen = \"reject\"\nreply = \"554 5.7.1 {spamd.score} of {spamd.threshold}\"";
    for (settings, code, status) in
        [("spam = \"reject\"", 550, "5.7.1"), ("spam = \"tempfail\"", 451, "4.7.1"), (&*format!("spam = \"report\"\n{rule}"), 554, "5.7.1")]
    {
        let mta = Mta::start();
        let settings = format!("timeout = \"60s\"\n{settings}");
        let gate = gate(&mta, spamd.address(), &settings);
        let mut client = Client::greeted(gate.mx());
        deliver(&mut client, &message("ham")).must(250);
        assert_eq!(arrived(&mta).as_bytes(), message("ham"), "nothing is changed");
        let reply = deliver(&mut client, &spam()).must_be(code, status);
        assert!(code != 554 || reply.text().contains("of 5"), "{reply:?}");
        assert_eq!(mta.kept().len(), 1);
    }
}

/// A message without a line end at its end is one that spamd would wait for the rest of.
#[test]
fn a_message_without_its_last_line_end_is_looked_at() {
    let Some(spamd) = Spamd::start(&[]) else { return };
    let mta = Mta::start();
    let gate = gate(&mta, spamd.address(), "spam = \"reject\"\ntimeout = \"60s\"");
    let mut client = Client::greeted(gate.mx());
    let spam = spam();
    client.deliver_chunked("a@example.net", &["b@example.org"], &spam[..spam.len() - 2]).must(550);
}

/// Absent, frozen, killed and back again: each message is treated as configured, and the gate goes on.
#[test]
fn spamd_can_die_and_mail_waits() {
    let Some(mut spamd) = Spamd::start(&[]) else { return };
    let mta = Mta::start();
    let gate = gate(&mta, spamd.address(), "timeout = \"10s\"\nbreaker_failures = 0\npoison_after = 0");
    let mut client = Client::greeted(gate.mx());
    deliver(&mut client, &message("before")).must(250);
    spamd.freeze();
    deliver(&mut client, &message("frozen")).must_be(451, "4.7.1");
    spamd.kill();
    deliver(&mut client, &message("dead")).must_be(451, "4.7.1");
    assert_eq!(mta.kept().len(), 1);
    gate.log_line(&["stage did not answer", "cannot reach spamd"]);
    let metrics = gate.metrics();
    assert_eq!(metrics.get("octroi_stage_incomplete_total{reason=\"late\",stage=\"spamd\"}"), 1.0);
    assert_eq!(metrics.get("octroi_stage_incomplete_total{reason=\"failed\",stage=\"spamd\"}"), 1.0);
}

#[test]
fn a_spamd_that_talks_nonsense_passes_nothing() {
    type Script = fn(&mut std::net::TcpStream) -> std::io::Result<()>;
    let endless: Script = |stream| {
        let line = vec![b'x'; 1 << 16];
        loop {
            stream.write_all(&line)?;
        }
    };
    let wrong: &[(&str, Script)] = &[
        ("says nothing and goes", |stream| read_all(stream).map(drop)),
        ("goes in the middle of the message", |stream| read_until(stream, b"\r\n\r\n").map(drop)),
        ("is something else", |stream| stream.write_all(b"220 mail.example.org ESMTP\r\n")),
        ("goes in the middle of its answer", |stream| {
            read_all(stream)?;
            stream.write_all(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 9999\r\nSpam: False ; 0.0 / 5.0\r\n\r\nX-Spam-Status: No\r\n")
        }),
        ("announces more than there can be", |stream| {
            read_all(stream)?;
            stream.write_all(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 9999999999\r\nSpam: False ; 0.0 / 5.0\r\n\r\nX")
        }),
        ("never ends", endless),
        ("says that it cannot", |stream| {
            read_all(stream)?;
            stream.write_all(b"SPAMD/1.0 69 Service Unavailable: no\r\n")
        }),
    ];
    for (what, script) in wrong {
        let mta = Mta::start();
        let script = *script;
        let partner = Scripted::start(move |mut stream| script(&mut stream));
        let gate = gate(&mta, &partner.address(), "timeout = \"5s\"");
        let mut client = Client::greeted(gate.mx());
        let large = [&message("nonsense")[..], &b"a line of some length in a message of some size\r\n".repeat(40_000)].concat();
        let reply = deliver(&mut client, &large);
        assert_eq!((reply.code, reply.status()), (451, "4.7.1"), "{what}");
        assert!(mta.kept().is_empty() && partner.connections() == 1, "{what}");
    }
}

/// With `on_error = "accept"` the message goes on, and says so.
#[test]
fn what_goes_on_without_spamd_says_so() {
    let mta = Mta::start();
    let nobody = format!("inet:{}", places::free());
    let gate = gate(&mta, &nobody, "on_error = \"accept\"\nmax_size = \"1KiB\"");
    let mut client = Client::greeted(gate.mx());
    deliver(&mut client, &message("absent")).must(250);
    assert!(arrived(&mta).starts_with("X-Octroi-Incomplete: spamd (failed)\r\n"), "{}", arrived(&mta));
    let large = [&message("large")[..], &vec![b'x'; 900], b"\r\n", &vec![b'x'; 900], b"\r\n"].concat();
    for _ in 0..8 {
        deliver(&mut client, &large).must(250);
        assert!(arrived(&mta).starts_with("X-Octroi-Incomplete: spamd (too_large)\r\n"), "{}", arrived(&mta));
    }
    // Large messages say nothing of spamd: it is asked again.
    assert_eq!(gate.metrics().get("octroi_stage_breaker_open{stage=\"spamd\"}"), 0.0);
}
