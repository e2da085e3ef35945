use super::*;
use crate::audit::{Action, Actor, Audit, Event};
use crate::chain::{Hold, HoldClass};
use crate::message::{Client, Content, HeaderBlock, budget::Budget, spool};
use crate::quarantine::{Held, Quarantine, Settings};
use crate::smtp::{Address, Mail, Recipient, ReversePath};
use crate::storage::{Access, Store};
use crate::telemetry::Metrics;
use crate::value::Id;
use proptest::prelude::*;
use std::{
    io::{Cursor, Read as _},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

/// An archive of two entries, and the public key.
async fn made() -> (Vec<u8>, [u8; 32], tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Access::Create).unwrap();
    let quarantine = Quarantine::new(store.clone(), Settings::default(), &Metrics::new().unwrap());
    let audit = Audit::new(store.database);
    let mut entries = Vec::new();
    for text in ["Subject: one\r\n\r\nbody\r\n", "Subject: two\r\n\r\nX5O!P%\r\n"] {
        let id = Id::generate();
        let client = client();
        let recipient = Recipient::new(Address::parse("b@example.org", false).unwrap());
        let held = Held {
            id,
            message: id,
            hold: &Hold { class: HoldClass::Malware, reason: "because".into() },
            decided_by: Some("clamd"),
            client: &client,
            mail: &Mail::new(ReversePath(Address::parse("a@example.net", false))),
            recipients: &[&recipient],
            headers: &HeaderBlock::new(bytes::Bytes::copy_from_slice(text.split("\r\n\r\n").next().unwrap().as_bytes())),
            content: &Content::from_bytes(text),
            findings: &[],
            timings: &[],
            dialogue: "",
            received_at: SystemTime::now(),
        };
        let id = quarantine.keep(held).await.unwrap().id().to_string();
        quarantine.note(&id, "anna", "look at this").await.unwrap();
        let actor = Actor::new("anna", None);
        audit.record(Event::of(&actor, Action::Note).on(&id)).await.unwrap();
        entries.push(quarantine.entry(&id).await.unwrap());
    }
    let spool = spool::Settings {
        in_memory: 1 << 20,
        memory: Budget::new(1 << 20),
        disk: Budget::new(0),
        directory: Arc::new(PathBuf::from(directory.path())),
    };
    let exporter = Exporter { quarantine: &quarantine, audit: &audit, journal: None, spool: &spool, state_dir: directory.path() };
    let archive = exporter.archive(&entries, "anna", "mx.example.org").await.unwrap();
    let key = read_public(&SigningKey::open(directory.path()).unwrap().public()).unwrap();
    (archive, key, directory)
}

fn client() -> Client {
    Client {
        listener: "mx".into(),
        address: "192.0.2.7:4711".parse().unwrap(),
        local: "192.0.2.1:25".parse().unwrap(),
        tls: None,
        hello: None,
        account: None,
        mechanism: None,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn an_archive_holds_and_has_what_it_says() {
    let (archive, key, directory) = runtime().block_on(made());
    let checked = verify(&archive, &key).unwrap();
    assert_eq!((checked.entries.len(), checked.files, checked.made_by.as_str(), checked.host.as_str()), (2, 8, "anna", "mx.example.org"));
    let mut zip = zip::ZipArchive::new(Cursor::new(&archive)).unwrap();
    let mut message = String::new();
    zip.by_name(&format!("entries/{}/message.eml", checked.entries[0])).unwrap().read_to_string(&mut message).unwrap();
    assert_eq!(message, "Subject: one\r\n\r\nbody\r\n");
    let mut audit = String::new();
    zip.by_name("audit.json").unwrap().read_to_string(&mut audit).unwrap();
    assert!(audit.contains("\"note\"") && audit.contains("\"previous\""));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(directory.path().join("evidence.key")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn another_key_does_not_do_and_a_key_is_read_as_it_is_written() {
    let (archive, key, _directory) = runtime().block_on(made());
    let other = tempfile::tempdir().unwrap();
    let other = SigningKey::open(other.path()).unwrap().public();
    assert!(matches!(verify(&archive, &read_public(&other).unwrap()), Err(EvidenceError::Changed(_))));
    assert_ne!(read_public(&other).unwrap(), key);
    for nothing in ["", "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----", "ssh-ed25519 AAAA"] {
        assert!(read_public(nothing).is_err());
    }
}

#[test]
fn any_change_is_seen() {
    let (archive, key, _directory) = runtime().block_on(made());
    let changes = (0..archive.len(), 0_u8..8, 0_usize..5, any::<u8>());
    proptest!(|((at, bit, how, octet) in changes)| {
        let mut changed = archive.clone();
        match how {
            0 => changed[at] ^= 1 << bit,
            1 => { changed.remove(at); }
            2 => changed.insert(at, octet),
            3 => changed.truncate(at),
            _ => changed.push(octet),
        }
        prop_assert!(changed == archive || verify(&changed, &key).is_err());
    });
    assert!(verify(&[], &key).is_err());
}
