//! What is held: stored as it came, reviewed from the command line, released once.

use crate::support::{Act, Client, Gate, Mta, Setup, Step, client::message};
use serde_json::Value;
use std::{
    process::{Command, Output},
    thread,
};

pub const RULES: &str = r#"
[[rule]]
name = "refuse"
when = 'header["Subject"] == "refuse"'
then = "reject"
[[rule]]
name = "board"
recipients = ["board@example.org"]
then = "quarantine"
reason = "mail for the board from {sender.address}"
class = "phishing"
[[rule]]
name = "gone"
recipients = ["gone@example.org"]
then = "discard"
[[rule]]
name = "drop"
when = 'header["Subject"] == "drop"'
then = "discard"
[[rule]]
name = "hold"
when = 'header["Subject"].startsWith("hold")'
then = "quarantine"
"#;

pub fn gate(mta: &Mta) -> Gate {
    Setup::before(mta.address()).mx().and(RULES).start()
}

/// `octroi quarantine …` beside the gate.
pub fn quarantine(gate: &Gate, arguments: &[&str]) -> Output {
    let mut command = Command::new(Gate::binary());
    command.arg("quarantine").args(arguments).arg("--config").arg(gate.config()).output().unwrap()
}

pub fn json(gate: &Gate, arguments: &[&str]) -> Value {
    let said = quarantine(gate, &[arguments, &["--json"]].concat());
    serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

pub fn entries(gate: &Gate) -> Vec<Value> {
    let listed = json(gate, &["list", "--state", "all", "--limit", "1000"]);
    listed.as_array().unwrap().clone()
}

fn only(gate: &Gate) -> Value {
    let mut entries = entries(gate);
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

fn id(entry: &Value) -> &str {
    entry["id"].as_str().unwrap()
}

fn states(entry: &Value) -> Vec<(&str, &str)> {
    let recipients = entry["recipients"].as_array().unwrap();
    recipients.iter().map(|recipient| (recipient["address"].as_str().unwrap(), recipient["state"].as_str().unwrap())).collect()
}

#[test]
fn a_message_is_held_as_it_came_and_the_upstream_hears_nothing_of_it() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let mut content = b"X-Octroi-Released: forged\r\nAuthentication-Results: mx.example.org; dkim=pass\r\n".to_vec();
    content.extend(message("hold"));
    content.extend_from_slice(b".dots\r\n..\r\n\xff\xfe octets\r\n");
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net> BODY=8BITMIME RET=HDRS ENVID=QQ314159").must(250);
    client.ask("RCPT TO:<b@example.org> NOTIFY=SUCCESS ORCPT=rfc822;c@example.org").must(250);
    client.ask("DATA").must(354);
    client.send(crate::support::client::stuff(&content)).send(".\r\n");
    let reply = client.reply().must_be(250, "2.0.0");
    let entry = only(&gate);
    assert!(reply.text().contains(id(&entry)), "{reply:?}");
    assert!(mta.kept().is_empty());
    assert_eq!((&entry["class"], &entry["state"]), (&"policy".into(), &"held".into()));
    assert_eq!((&entry["decided_by"], &entry["subject"]), (&"rule hold".into(), &"hold".into()));
    let envelope = (entry["mail"].as_str().unwrap(), entry["recipients"][0]["rcpt"].as_str().unwrap());
    assert_eq!(
        envelope,
        ("<a@example.net> BODY=8BITMIME RET=HDRS ENVID=QQ314159", "<b@example.org> NOTIFY=SUCCESS ORCPT=rfc822;c@example.org")
    );
    assert_eq!(entry["findings"][0]["value"], "hold");
    let raw = quarantine(&gate, &["show", "--raw", id(&entry)]);
    assert!(raw.status.success() && raw.stdout == content, "{raw:?}");
    assert_eq!(entry["sha256"].as_str().unwrap(), sha256(&content));
    gate.log_line(&[id(&entry), "verdict=quarantined", "held=1"]);
    gate.wait_metric("octroi_quarantine_stored_total{class=\"policy\"}", 1.0);
    gate.wait_metric("octroi_messages_total{listener=\"mx\",verdict=\"quarantined\"}", 1.0);
    gate.wait_metric("octroi_quarantine_entries{class=\"policy\"}", 1.0);
}

pub fn sha256(octets: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
    hash.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn a_big_message_is_held_without_being_in_memory() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let mut content = message("hold");
    let mut state = 1_u64;
    while content.len() < 40 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        content.extend(format!("{state:016x}").bytes().cycle().take(76));
        content.extend_from_slice(b"\r\n");
    }
    let (before, _) = gate.memory();
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &content).must(250);
    let (_, most) = gate.memory();
    assert!(most < before + (24 << 20), "{before} → {most}");
    let entry = only(&gate);
    assert_eq!(quarantine(&gate, &["show", "--raw", id(&entry)]).stdout, content);
}

#[test]
fn a_stage_that_fails_can_hold_the_message() {
    let mta = Mta::start();
    let stage = "[[stage]]\nname = \"av\"\ntype = \"clamd\"\naddress = \"inet:127.0.0.1:1\"\non_error = \"quarantine\"\n";
    let gate = Setup::before(mta.address()).mx().and(stage).start();
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message("x")).must(250);
    let entry = only(&gate);
    assert_eq!((&entry["class"], &entry["decided_by"]), (&"incomplete".into(), &"av".into()));
    assert_eq!(entry["stages"][0]["incomplete"], "failed");
    assert!(mta.kept().is_empty());
}

/// The rows of the table in the manual (`outcomes`).
#[test]
fn recipients_that_differ_are_each_served_and_the_client_hears_what_is_true() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let send = |to: &[&str], subject: &str| Client::greeted(gate.mx()).deliver("a@example.net", to, &message(subject));
    let held = || entries(&gate).len();
    let (board, gone, usual) = ("board@example.org", "gone@example.org", "b@example.org");

    send(&[usual, board, gone], "some").must(250);
    assert_eq!((mta.kept().len(), held()), (1, 1));
    assert_eq!(mta.kept()[0].recipients.len(), 1, "{:?}", mta.kept()[0].recipients);
    assert!(mta.kept()[0].recipients[0].contains(usual));
    assert_eq!(states(&entries(&gate)[0]), [(board, "held")]);
    assert_eq!(entries(&gate)[0]["class"], "phishing");
    gate.log_line(&["subject=some", "verdict=delivered", "held=1"]);

    send(&[usual, gone], "others").must(250);
    assert_eq!((mta.kept().len(), held()), (2, 1));
    gate.log_line(&["subject=others", "verdict=delivered"]);

    send(&[board, gone], "nobody").must(250);
    assert_eq!((mta.kept().len(), held()), (2, 2));
    gate.log_line(&["subject=nobody", "verdict=quarantined"]);

    send(&[gone], "discarded").must(250);
    assert_eq!((mta.kept().len(), held()), (2, 2));
    gate.log_line(&["subject=discarded", "verdict=discarded"]);

    send(&[usual, board], "refuse").must(550);
    assert_eq!((mta.kept().len(), held()), (2, 2));

    send(&[usual, board], "drop").must(250);
    assert_eq!((mta.kept().len(), held()), (2, 3));
    gate.log_line(&["subject=drop", "verdict=quarantined", "held=1"]);

    send(&[usual, board, gone], "hold").must(250);
    assert_eq!((mta.kept().len(), held()), (2, 4));
    assert_eq!(states(&entries(&gate)[0]).len(), 3, "for all, as one entry");

    // Whom the MTA refuses keeps the message, and so does who is held.
    mta.behave(Step::Final, Act::Say("554 5.7.1 not by me".into()), 1);
    assert!(send(&[usual, board], "refused").must(554).text().contains("not by me"));
    assert_eq!((mta.kept().len(), held()), (2, 4));
    gate.log_line(&["subject=refused", "verdict=rejected"]);

    mta.behave(Step::Final, Act::Close, 1);
    send(&[usual, board], "unanswered").must(451);
    assert_eq!(held(), 4);
    gate.log_line(&["subject=unanswered", "verdict=deferred"]);
    assert!(std::fs::read_dir(gate.dir.path().join("state/blobs/tmp")).unwrap().next().is_none());
}

#[test]
fn what_is_released_is_what_came_and_everybody_gets_it_once() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let mut content = message("hold");
    content.extend_from_slice(b".\r\n..two\r\n\xe4\xf6\r\nend\r\n");
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net> BODY=8BITMIME ENVID=E1").must(250);
    for to in ["b@example.org", "c@example.org", "d@example.org"] {
        client.ask(&format!("RCPT TO:<{to}> NOTIFY=NEVER")).must(250);
    }
    client.ask("DATA").must(354);
    client.send(crate::support::client::stuff(&content)).send(".\r\n");
    client.reply().must(250);
    let entry = only(&gate);
    let id = id(&entry);

    mta.behave(Step::Final, Act::Say("250 2.0.0 Ok: queued as 4cGZ2R3Y4Vz9sQ".into()), 1);
    let released = json(&gate, &["release", id, "--recipient", "c@example.org"]);
    assert_eq!((&released[0]["released"], &released[0]["queue_id"]), (&true.into(), &"4cGZ2R3Y4Vz9sQ".into()), "{released}");
    let got = mta.only();
    assert_eq!(got.recipients, ["RCPT TO:<c@example.org> NOTIFY=NEVER"]);
    assert!(got.mail.starts_with("MAIL FROM:<a@example.net>") && got.mail.contains("BODY=8BITMIME") && got.mail.contains("ENVID=E1"));
    let text = String::from_utf8_lossy(&got.content).into_owned();
    let mark = format!("X-Octroi-Released: {id}\r\n");
    assert!(text.starts_with("Received: from ") && text.contains(&mark) && text.contains(&format!("id {id}")), "{text}");
    let at = memchr::memmem::find(&got.content, mark.as_bytes()).unwrap() + mark.len();
    assert_eq!(&got.content[at..], content);
    assert_eq!(states(&only(&gate)), [("b@example.org", "held"), ("c@example.org", "released"), ("d@example.org", "held")]);

    // Not again, but for whoever says so.
    let again = quarantine(&gate, &["release", id, "--recipient", "c@example.org"]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("has been released"), "{again:?}");
    assert_eq!(mta.kept().len(), 1);
    json(&gate, &["release", id, "--recipient", "c@example.org", "--again"]);
    assert_eq!(mta.kept().len(), 2);
    // The others.
    json(&gate, &["release", id]);
    assert_eq!(mta.kept().len(), 3);
    assert_eq!(mta.kept()[2].recipients, ["RCPT TO:<b@example.org> NOTIFY=NEVER", "RCPT TO:<d@example.org> NOTIFY=NEVER"]);
    assert_eq!(only(&gate)["state"], "released");
    assert!(!quarantine(&gate, &["release", id]).status.success());
    assert_eq!(mta.kept().len(), 3);
}

#[test]
fn of_two_who_release_at_once_one_is_told_that_the_other_was_there_first() {
    let mta = Mta::start();
    let gate = gate(&mta);
    for round in 1..=3 {
        Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message("hold")).must(250);
        let entry = entries(&gate).remove(0);
        let id = id(&entry);
        let outcomes: Vec<bool> = thread::scope(|scope| {
            let both: Vec<_> = (0..4).map(|_| scope.spawn(|| quarantine(&gate, &["release", id]).status.success())).collect();
            both.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(outcomes.iter().filter(|won| **won).count(), 1, "{outcomes:?}");
        assert_eq!(mta.kept().len(), round);
    }
}

#[test]
fn what_the_mta_refuses_stays_held_and_what_nobody_knows_is_not_sent_again_unasked() {
    let mta = Mta::start();
    let gate = gate(&mta);
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message("hold")).must(250);
    let entry = only(&gate);
    let id = id(&entry);
    mta.behave(Step::Rcpt, Act::Say("550 5.1.1 no such user".into()), 1);
    let refused = quarantine(&gate, &["release", id]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stdout).contains("no such user"), "{refused:?}");
    assert_eq!(states(&only(&gate)), [("b@example.org", "held")]);
    mta.behave(Step::Final, Act::Close, 1);
    assert!(!quarantine(&gate, &["release", id]).status.success());
    assert_eq!(states(&only(&gate)), [("b@example.org", "releasing")]);
    let before = mta.received().len();
    assert!(!quarantine(&gate, &["release", id]).status.success());
    assert!(!quarantine(&gate, &["delete", id]).status.success(), "somebody may be at it");
    assert_eq!(mta.received().len(), before);
    assert!(quarantine(&gate, &["release", id, "--again"]).status.success());
    assert_eq!(only(&gate)["state"], "released");
}

#[test]
fn entries_are_found_deleted_and_kept_from_it() {
    let mta = Mta::start();
    let gate = gate(&mta);
    for (from, to) in [("a@example.net", "b@example.org"), ("x@other.example", "board@example.org"), ("y@other.example", "b@example.org")] {
        Client::greeted(gate.mx()).deliver(from, &[to], &message("hold")).must(250);
    }
    let found = |arguments: &[&str]| json(&gate, &[&["list"], arguments].concat()).as_array().unwrap().len();
    assert_eq!(found(&[]), 3);
    assert_eq!(found(&["--sender", "a@example.net"]), 1);
    assert_eq!(found(&["--sender", "@other.example"]), 2);
    assert_eq!(found(&["--sender", "@%"]), 0);
    assert_eq!(found(&["--recipient", "board@example.org"]), 1);
    assert_eq!(found(&["--class", "phishing"]), 1);
    assert_eq!((found(&["--older", "1h"]), found(&["--newer", "1h"])), (0, 3));
    assert_eq!(found(&["--limit", "2"]), 2);
    let all = entries(&gate);
    assert_eq!(found(&["--below", id(&all[0])]), 2);
    let first = id(&all[0]);
    assert!(quarantine(&gate, &["hold", first]).status.success());
    let kept = quarantine(&gate, &["delete", first]);
    assert!(!kept.status.success() && String::from_utf8_lossy(&kept.stdout).contains("legal hold"), "{kept:?}");
    assert!(quarantine(&gate, &["hold", first, "--lift"]).status.success());
    assert!(quarantine(&gate, &["delete", first]).status.success());
    assert_eq!((found(&[]), found(&["--state", "deleted"])), (2, 1));
    assert!(!quarantine(&gate, &["show", "--raw", first]).status.success());
    assert!(!quarantine(&gate, &["release", first]).status.success());
    assert!(!quarantine(&gate, &["show", "no-such-entry"]).status.success());
    gate.wait_metric("octroi_quarantine_entries{class=\"policy\"}", 1.0);
}

#[test]
fn a_class_that_is_full_takes_no_more_and_loses_nothing() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and(RULES).and("[quarantine.policy]\nsize = \"1KiB\"\n").start();
    let send = |to: &str| Client::greeted(gate.mx()).deliver("a@example.net", &[to], &message("hold"));
    let mut taken = 0;
    let full = loop {
        let reply = send("b@example.org");
        if reply.code != 250 {
            break reply;
        }
        taken += 1;
        assert!(taken < 50);
    };
    full.must_be(452, "4.3.1");
    assert_eq!(entries(&gate).len(), taken);
    send("board@example.org").must(250);
    gate.wait_metric("octroi_quarantine_failures_total{reason=\"no_room\"}", 1.0);
    let blobs: usize = walk(&gate.dir.path().join("state/blobs"));
    assert_eq!(blobs, taken + 1, "what was not taken is not there");
}

/// Files below a directory.
pub fn walk(directory: &std::path::Path) -> usize {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).map(|path| if path.is_dir() { walk(&path) } else { 1 }).sum()
}

#[test]
fn what_is_held_has_the_dialogue_without_its_secrets() {
    let extensions: Vec<_> = crate::support::mta::EXTENSIONS.iter().copied().chain(["AUTH PLAIN LOGIN"]).collect();
    let mta = Mta::offering(&extensions);
    let held = Setup::before(mta.address()).listener("mx", "tls = \"starttls\"\nauth = \"forward\"").and(RULES).start();
    let mut client = Client::greeted(held.mx());
    client.ask("STARTTLS").must(220);
    client.start_tls(&crate::support::gate::authority().client(), "mx.example.org").unwrap();
    crate::support::wait::until("AUTH to be offered", || client.ask("EHLO client.example.net").text().contains("AUTH").then_some(()));
    client.ask("AUTH LOGIN").must(334);
    client.ask("c2VjcmV0").must(334);
    client.ask("c2VjcmV0");
    client.deliver("first@example.net", &["b@example.org"], &message("earlier")).must(250);
    client.ask("MAIL FROM:<a@example.net> BODY=8BITMIME").must(250);
    client.ask("RCPT TO:<b@example.org>").must(250);
    client.ask("NOOP \u{1b}[2J").must(250);
    client.ask("DATA").must(354);
    client.send(message("hold")).send(".\r\n").reply().must(250);
    let entry = only(&held);
    assert_eq!(entry["dialogue"], Value::Null, "lists have none");
    let dialogue = json(&held, &["show", id(&entry)])["dialogue"].as_str().unwrap().to_owned();
    let size = message("hold").len() + 3;
    let lines: Vec<_> = dialogue.lines().map(|line| line.split_at(10).1).collect();
    for (at, expected) in [(0, "S 220 mx.example.org ESMTP"), (1, "C EHLO client.example.net")] {
        assert_eq!(lines[at], expected, "{dialogue}");
    }
    for expected in [
        "C STARTTLS",
        "- TLSv1.3 with TLS_AES_256_GCM_SHA384",
        "C AUTH LOGIN",
        "S 334 <challenge>",
        "C <8 octets>",
        "- 1 transactions before this one",
        "C MAIL FROM:<a@example.net> BODY=8BITMIME",
        "C RCPT TO:<b@example.org>",
        "C NOOP ?[2J",
        "C DATA",
        &format!("C <{size} octets>"),
    ] {
        assert!(lines.contains(&expected), "{expected:?} is not in {dialogue}");
    }
    for absent in ["c2VjcmV0", "first@example.net", "Subject", "VXNlcm5hbWU6"] {
        assert!(!dialogue.contains(absent), "{absent} is in {dialogue}");
    }
    let shown = quarantine(&held, &["show", id(&entry)]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("C MAIL FROM:<a@example.net> BODY=8BITMIME"));
}
