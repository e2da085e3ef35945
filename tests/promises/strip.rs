//! Attachments that a note takes the place of: what arrives, what is held, and what becomes of both
//! when something goes wrong in between.

use super::quarantine::{entries, quarantine, walk};
use crate::support::{Act, Client, Gate, Mta, Reply, Setup, Step, partners};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    io::Write,
    process::{Command, Stdio},
};

const PROGRAM: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0";
const STRIP: &str =
    "[[stage]]\ntype = \"attachments\"\nstrip_types = [\"executable\"]\nstrip_extensions = [\"exe\"]\ncontact = \"helpdesk@example.org\"\n";

/// What a Python program makes of a message: every part's type, file name and first line of text.
const READER: &str = r#"
import email, email.policy, sys
message = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
for part in message.walk():
    if part.defects: print("DEFECTS", part.defects)
    text = part.get_content() if part.get_content_maintype() == "text" else ""
    print(part.get_content_type(), part.get_filename(), text.replace("\n", "|"))
"#;

fn gate(mta: &Mta) -> Gate {
    Setup::before(mta.address()).mx().and(STRIP).start()
}

/// As a mail program writes it: text with an alternative, and an attachment.
fn mail(name: &str, octets: &[u8]) -> Vec<u8> {
    let encoded = STANDARD.encode(octets);
    let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let mut mail = b"From: a@example.net\r\nTo: b@example.org\r\nSubject: report\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed;\r\n\tboundary=\"=_outer (1)\"\r\n\r\nThis is a multi-part message in MIME format.\r\n\
        --=_outer (1)\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n\
        --inner\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nVoil\xe0\r\n.dot\r\n\
        --inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>Voil=C3=A0</p>\r\n--inner--\r\n"
        .to_vec();
    mail.extend(
        format!(
            "--=_outer (1)\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--=_outer (1)--\r\n",
            lines.join("\r\n")
        )
        .into_bytes(),
    );
    mail
}

fn send(gate: &Gate, to: &[&str], content: &[u8]) -> Reply {
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net> BODY=8BITMIME").must(250);
    for to in to {
        client.ask(&format!("RCPT TO:<{to}>")).must(250);
    }
    client.ask("DATA").must(354);
    client.send(crate::support::client::stuff(content)).send(".\r\n").reply()
}

/// What `READER` says of a message; `None` without Python.
fn read(content: &[u8]) -> Option<Vec<String>> {
    let mut python = Command::new(partners::find("python3")?);
    let mut python = python.args(["-c", READER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(content).unwrap();
    let said = python.wait_with_output().unwrap();
    assert!(said.status.success());
    Some(String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect())
}

fn raw(gate: &Gate, id: &str) -> Vec<u8> {
    let said = quarantine(gate, &["show", "--raw", id]);
    assert!(said.status.success(), "{said:?}");
    said.stdout
}

#[test]
fn a_note_arrives_in_place_of_the_attachment_and_the_original_is_held() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let content = mail("facture.exe", PROGRAM);
    send(&gate, &["b@example.org", "c@example.org"], &content).must(250);
    let received = mta.only();
    assert_eq!(received.recipients.len(), 2);
    let [entry] = &entries(&gate)[..] else { panic!("{:?}", entries(&gate)) };
    let id = entry["id"].as_str().unwrap();
    assert_eq!((&entry["class"], &entry["state"], &entry["decided_by"]), (&"policy".into(), &"held".into(), &serde_json::Value::Null));
    assert_eq!(entry["reason"], "original of a message that was delivered without facture.exe: executable");
    assert_eq!(entry["recipients"].as_array().unwrap().len(), 2);
    assert!(raw(&gate, id) == content, "the original is not what was sent");
    let text = String::from_utf8_lossy(&received.content);
    assert!(text.contains("\nX-Octroi-Attachment: removed, executable; file=\"facture.exe\"\r\n"), "{text}");
    if let Some(parts) = read(&received.content) {
        let [mixed, alternative, plain, html, note] = &parts[..] else { panic!("{parts:?}") };
        assert_eq!((&**mixed, &**alternative), ("multipart/mixed None ", "multipart/alternative None "));
        assert_eq!((&**plain, &**html), ("text/plain None Voilà|.dot", "text/html None <p>Voilà</p>"));
        assert!(note.starts_with("text/plain None An attachment was removed from this message"), "{note}");
        let digest = super::quarantine::sha256(PROGRAM);
        for part in ["Name:     facture.exe|", &format!("SHA-256:  {digest}|"), "ask helpdesk@example.org,|", &format!("this number: {id}")]
        {
            assert!(note.contains(part), "{part:?} is not in {note}");
        }
    }
    gate.log_line(&[id, "verdict=delivered", "attachments.stripped=facture.exe: executable"]);
    // Released, it arrives as it was sent.
    assert!(quarantine(&gate, &["release", id]).status.success());
    assert!(mta.kept().pop().unwrap().content.ends_with(&content));
}

#[test]
fn a_message_that_is_nothing_but_the_attachment_becomes_the_note() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let encoded = STANDARD.encode(PROGRAM);
    let content = format!(
        "From: a@example.net\r\nContent-Type: application/x-msdownload;\r\n name=a.exe\r\nContent-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\n{encoded}\r\n"
    );
    send(&gate, &["b@example.org"], content.as_bytes()).must(250);
    let received = mta.only();
    assert!(!String::from_utf8_lossy(&received.content).contains(&encoded));
    if let Some(parts) = read(&received.content) {
        assert!(parts.len() == 1 && parts[0].starts_with("text/plain None An attachment was removed"), "{parts:?}");
    }
    assert!(raw(&gate, entries(&gate)[0]["id"].as_str().unwrap()) == content.as_bytes());
}

#[test]
fn what_is_inside_a_forwarded_message_is_held_whole() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let inner = String::from_utf8_lossy(&mail("a.exe", PROGRAM)).into_owned();
    let content = format!(
        "From: a@example.net\r\nContent-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\n\r\nsee below\r\n\
         --f\r\nContent-Type: message/rfc822\r\n\r\n{inner}\r\n--f--\r\n"
    );
    send(&gate, &["b@example.org"], content.as_bytes()).must(250);
    assert!(mta.received().is_empty());
    let [entry] = &entries(&gate)[..] else { panic!() };
    let reason = entry["reason"].as_str().unwrap();
    assert!(reason.ends_with("a.exe: executable; not taken out, it is in a message within, or signed"), "{reason}");
}

#[test]
fn an_upstream_that_does_not_take_it_leaves_nothing_in_the_quarantine() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let content = mail("a.exe", PROGRAM);
    for (act, code) in [(Act::Say("554 5.7.1 not by me".into()), 554), (Act::Say("451 4.3.0 later".into()), 451), (Act::Close, 451)] {
        mta.behave(Step::Final, act, 1);
        send(&gate, &["b@example.org"], &content).must(code);
        assert_eq!(entries(&gate), Vec::<serde_json::Value>::new());
        assert_eq!(walk(&gate.dir.path().join("state/blobs")), 0);
    }
    send(&gate, &["b@example.org"], &content).must(250);
    assert_eq!(entries(&gate).len(), 1);
}

#[test]
fn without_room_for_the_original_nothing_is_delivered() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and(STRIP).and("[quarantine.policy]\nsize = \"1B\"\n").start();
    send(&gate, &["b@example.org"], &mail("a.exe", PROGRAM)).must_be(452, "4.3.1");
    assert!(mta.received().is_empty() && entries(&gate).is_empty());
    send(&gate, &["b@example.org"], &mail("a.txt", b"hello")).must(250);
}

#[test]
fn a_kill_between_the_two_loses_neither() {
    let mta = Mta::start();
    let mut gate = gate(&mta);
    let content = mail("a.exe", PROGRAM);
    mta.behave(Step::Final, Act::Hang, 1);
    let mut client = Client::greeted(gate.mx());
    client.begin_data("a@example.net", &["b@example.org"]).send(crate::support::client::stuff(&content)).send(".\r\n");
    crate::support::wait::until("the original to be held", || (entries(&gate).len() == 1).then_some(()));
    gate.kill();
    mta.mend();
    gate.run();
    gate.wait_ready();
    // Nobody was told anything: the client sends it again, and a reviewer sees it twice.
    send(&gate, &["b@example.org"], &content).must(250);
    let all = entries(&gate);
    assert_eq!(all.len(), 2);
    for entry in &all {
        assert!(raw(&gate, entry["id"].as_str().unwrap()) == content);
    }
}

#[test]
fn a_stage_that_observes_changes_nothing_and_says_what_it_would_have_done() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and(STRIP).and("mode = \"observe\"\n").start();
    let content = mail("a.exe", PROGRAM);
    send(&gate, &["b@example.org"], &content).must(250);
    assert!(mta.only().original() == content && entries(&gate).is_empty());
    gate.log_line(&["verdict=delivered", "hold the original"]);
}
