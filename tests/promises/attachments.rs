//! The stage `attachments` in the real gate.

use crate::support::{Client, Gate, Mta, Reply, Setup};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::io::{Cursor, Write};
use zip::{ZipWriter, write::SimpleFileOptions};

const PROGRAM: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0";

fn gate(mta: &Mta, settings: &str) -> Gate {
    Setup::before(mta.address()).mx().and(&format!("[[stage]]\ntype = \"attachments\"\n{settings}")).start()
}
fn send(gate: &Gate, name: &str, octets: &[u8]) -> Reply {
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &mail(name, octets))
}

fn mail(name: &str, octets: &[u8]) -> Vec<u8> {
    let encoded = STANDARD.encode(octets);
    let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!(
        "From: a@example.net\r\nTo: b@example.org\r\nSubject: {name}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nSee attachment.\r\n\
         --b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        lines.join("\r\n")
    )
    .into_bytes()
}

fn zip(name: &str, octets: &[u8], options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, options).unwrap();
    writer.write_all(octets).unwrap();
    writer.finish().unwrap().into_inner()
}
fn plain() -> SimpleFileOptions {
    SimpleFileOptions::default()
}

#[test]
fn a_program_in_an_archive_is_refused_and_honest_mail_passes_untouched() {
    let mta = Mta::start();
    let gate = gate(&mta, "");
    let reply = send(&gate, "invoice.zip", &zip("invoice.pdf", PROGRAM, plain()));
    assert_eq!((reply.code, &*reply.text()), (550, "5.7.1 attachment not accepted here: invoice.zip/invoice.pdf (executable)"));
    gate.log_line(&["verdict=rejected", "stage=attachments", "attachments.type=executable", "attachments.name=invoice.zip/invoice.pdf"]);
    assert!(mta.received().is_empty());
    for (name, octets) in [("notes.txt", b"hello".to_vec()), ("notes.zip", zip("notes.txt", b"hello", plain()))] {
        send(&gate, name, &octets).must(250);
        assert!(mta.kept().pop().unwrap().original() == mail(name, &octets), "{name} was changed");
    }
}

#[test]
fn what_is_to_be_held_is_not_delivered() {
    let mta = Mta::start();
    let gate = gate(&mta, "encrypted = \"quarantine\"\n");
    let options = plain().with_aes_encryption(zip::AesMode::Aes256, "infected");
    send(&gate, "a.zip", &zip("b.txt", b"hello", options)).must(250);
    assert!(mta.received().is_empty());
    gate.log_line(&["verdict=quarantined", "stage=attachments", "attachments.encrypted=true"]);
    send(&gate, "a.zip", &zip("b.txt", b"hello", plain())).must(250);
}

#[test]
fn what_is_tagged_says_so_and_arrives() {
    let mta = Mta::start();
    let gate = gate(&mta, "tag_types = [\"macro\"]\n");
    let mut document = ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"] {
        document.start_file(name, plain()).unwrap();
        document.write_all(b"<x/>").unwrap();
    }
    send(&gate, "a.docm", &document.finish().unwrap().into_inner()).must(250);
    let kept = String::from_utf8(mta.kept().pop().unwrap().content).unwrap();
    assert!(kept.contains("\nX-Octroi-Attachment: macro; file=\"a.docm\"\r\n"), "{kept}");
}

#[test]
fn a_bomb_is_answered_and_the_gate_goes_on() {
    let mta = Mta::start();
    let gate = gate(&mta, "oversize = \"reject\"\n");
    // Whatever a first message brings with it is there.
    send(&gate, "a.zip", &zip("b.txt", b"hello", plain())).must(250);
    let before = gate.memory().1;
    let bomb = zip("zeros", &vec![0; 300 << 20], plain());
    let reply = send(&gate, "bomb.zip", &bomb);
    assert_eq!((reply.code, &*reply.text()), (550, "5.7.1 attachment not accepted here: bomb.zip (more than can be looked into, size)"));
    gate.log_line(&["verdict=rejected", "attachments.limit=size"]);
    let grown = gate.memory().1.saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} octets for a bomb");
    send(&gate, "a.zip", &zip("b.txt", b"hello", plain())).must(250);
}

#[test]
fn the_limits_of_unpacking_are_configured_and_rules_see_the_findings() {
    let mta = Mta::start();
    let rules = "[unpack]\ndepth = 1\n\n[[rule]]\nname = \"deep\"\nwhen = 'attachments.limit == \"depth\" && attachments.files > 1'\nthen = \"reject\"\nreply = \"550 5.7.1 too deep\"\n";
    let gate =
        Setup::before(mta.address()).mx().and(&format!("[[stage]]\ntype = \"attachments\"\noversize = \"report\"\n\n{rules}")).start();
    let inner = zip("b.txt", b"hello", plain());
    send(&gate, "a.zip", &inner).must(250);
    assert_eq!(&*send(&gate, "a.zip", &zip("b.zip", &inner, plain())).text(), "5.7.1 too deep");
}
