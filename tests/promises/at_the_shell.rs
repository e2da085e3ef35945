//! What somebody at a shell is told, and what scripts can rely on: nothing is cut off, left out or
//! half written without a word, and exit codes mean one thing.

use super::{
    journal::{hunt, wait_rows},
    quarantine::{RULES, gate, json, quarantine, sha256},
};
use crate::support::{Act, Client, Gate, Mta, Setup, Step, client::message};
use rusqlite::Connection;
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

fn octroi(gate: &Gate, arguments: &[&str]) -> Output {
    Command::new(Gate::binary()).args(arguments).arg("--config").arg(gate.config()).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Holds a message, and says what its entry is called.
fn hold(gate: &Gate, from: &str, to: &str) -> String {
    let reply = Client::greeted(gate.mx()).deliver(from, &[to], &message("hold")).must(250);
    reply.lines[0].split(' ').nth(1).unwrap().to_owned()
}

fn audit(gate: &Gate, action: &str) -> Vec<Value> {
    let said = octroi(gate, &["audit", "list", "--action", action, "--json"]);
    serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

#[test]
fn a_list_that_is_cut_says_so_and_all_of_it_can_be_had() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let ids: Vec<_> = (0..3).map(|_| hold(&gate, "a@example.net", "b@example.org")).collect();
    for (arguments, found, more) in [
        (&["list", "--limit", "2"][..], 2, true),
        (&["list", "--limit", "3"], 3, false),
        (&["list"], 3, false),
        (&["list", "--all"], 3, false),
        (&["list", "--limit", "1", "--below", &ids[1]], 1, false),
        (&["list", "--limit", "1", "--below", &ids[2]], 1, true),
    ] {
        for format in [&[][..], &["--json"]] {
            let said = quarantine(&gate, &[arguments, format].concat());
            let out = text(&said.stdout);
            assert_eq!(
                ids.iter().filter(|id| out.contains(&format!("{}{id}", if format.is_empty() { "" } else { "\"id\":\"" }))).count(),
                found,
                "{arguments:?}: {out}"
            );
            assert_eq!(text(&said.stderr).contains("there are more"), more, "{arguments:?}: {said:?}");
            assert_eq!(said.stderr.is_empty(), !more, "{arguments:?}: {said:?}");
        }
    }
    assert_eq!(json(&gate, &["list", "--all"]).as_array().unwrap().len(), 3);
    // The audit as well; there is a row of the settings in it, too.
    ids.iter().for_each(|id| assert!(quarantine(&gate, &["hold", id]).status.success()));
    let cut = octroi(&gate, &["audit", "list", "--action", "hold", "--limit", "2"]);
    assert!(text(&cut.stdout).lines().count() == 2 && text(&cut.stderr).contains("there are more"), "{cut:?}");
    let whole = octroi(&gate, &["audit", "list", "--action", "hold", "--all"]);
    assert!(text(&whole.stdout).lines().count() == 3 && whole.stderr.is_empty(), "{whole:?}");
    // Every time says of which zone it is.
    assert!(text(&whole.stdout).lines().all(|line| line.split_whitespace().nth(1).unwrap().ends_with('Z')), "{whole:?}");
}

#[test]
fn who_looks_for_a_domain_finds_it_and_who_asks_for_nonsense_is_told() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let id = hold(&gate, "a@Example.NET", "b@example.org");
    let bounce = hold(&gate, "", "board@example.org");
    let found = |arguments: &[&str]| {
        let listed = json(&gate, &[&["list"], arguments].concat());
        listed.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for sender in ["example.net", "@example.net", "EXAMPLE.net", "a@example.net", "<a@example.net>"] {
        assert_eq!(found(&["--sender", sender]), [id.as_str()], "{sender}");
    }
    assert_eq!(found(&["--sender", "<>"]), [bounce.as_str()]);
    assert_eq!(found(&["--recipient", "example.org"]).len(), 2);
    assert_eq!(found(&["--recipient", "board@example.org"]), [bounce.as_str()]);
    let nothing = quarantine(&gate, &["list", "--sender", "other.example"]);
    assert!(nothing.status.success() && nothing.stdout.is_empty() && text(&nothing.stderr).contains("nothing"), "{nothing:?}");
    for wrong in [&["list", "--limit", "0"][..], &["list", "--below", "nonsense"], &["list", "--below", &"A".repeat(25)]] {
        let said = quarantine(&gate, wrong);
        assert!(said.status.code() == Some(2) && said.stdout.is_empty() && !said.stderr.is_empty(), "{wrong:?}: {said:?}");
    }
}

#[test]
fn nobody_releases_alone_what_takes_two_by_naming_nobody_or_himself() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and(RULES).and("[quarantine]\nfour_eyes = [\"policy\"]\n").start();
    let id = hold(&gate, "a@example.net", "b@example.org");
    let me = format!("uid {}", rustix::process::getuid().as_raw());
    let requests = || json(&gate, &["show", &id])["requests"].as_array().unwrap().len();
    for nobody in ["", " ", "\t", &me, &format!(" {me} ")] {
        let said = quarantine(&gate, &["release", &id, "--second", nobody]);
        assert!(!said.status.success() && text(&said.stderr).starts_with("nothing was sent"), "{nobody:?}: {said:?}");
        assert_eq!(requests(), 0, "{nobody:?}");
    }
    assert!(mta.kept().is_empty() && audit(&gate, "release-approve").is_empty());

    // What another has asked for stands in the way until somebody decides.
    let connection = Connection::open(gate.dir.path().join("state/octroi.db")).unwrap();
    let ask =
        "INSERT INTO quarantine_request (entry, asked_at, asked_by, recipients, why, state) VALUES (?1, 0, 'bert', '[]', '', 'pending')";
    connection.execute(ask, [&id]).unwrap();
    let said = quarantine(&gate, &["release", &id, "--second", "anna"]);
    assert!(!said.status.success() && text(&said.stderr).contains("bert has asked for its release already"), "{said:?}");
    assert!(text(&said.stderr).contains(&format!("octroi quarantine deny {id}")), "{said:?}");
    let said = quarantine(&gate, &["deny", &id]);
    assert!(said.status.success() && text(&said.stdout).contains("bert"), "{said:?}");
    assert_eq!(audit(&gate, "release-deny")[0]["detail"]["asked_by"], "bert");
    let again = quarantine(&gate, &["deny", &id]);
    assert!(!again.status.success() && text(&again.stderr).contains("nobody asks"), "{again:?}");
    assert!(mta.kept().is_empty());
    assert!(quarantine(&gate, &["release", &id, "--second", "anna"]).status.success());
    assert_eq!(mta.kept().len(), 1);
    assert_eq!(audit(&gate, "release-approve")[0]["detail"]["asked_by"], "anna");
}

#[test]
fn what_cannot_be_written_is_said_and_is_no_answer() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let id = hold(&gate, "a@example.net", "b@example.org");
    wait_rows(&gate, 1);
    for arguments in [
        &["quarantine", "list"][..],
        &["quarantine", "show", "--raw", &id],
        &["hunt", "--format", "csv", "example.net"],
        &["hunt", "example.net"],
        &["audit", "verify"],
        &["check"],
    ] {
        let run = |out: Stdio| {
            let mut command = Command::new(Gate::binary());
            command.args(arguments).arg("--config").arg(gate.config()).stdout(out).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let full = run(fs::File::options().write(true).open("/dev/full").unwrap().into()).wait_with_output().unwrap();
        assert_eq!(
            (full.status.code(), text(&full.stderr).contains("standard output: No space left on device")),
            (Some(2), true),
            "{arguments:?}: {full:?}"
        );
        // A reader that goes away is no error: what a shell sees of a command that SIGPIPE has ended.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = run(writer.into()).wait_with_output().unwrap();
        assert_eq!((closed.status.code(), text(&closed.stderr)), (Some(141), String::new()), "{arguments:?}");
    }
    let found = hunt(&gate, &["example.net"]);
    let line = text(&found.stdout).lines().nth(2).unwrap_or_default().to_owned();
    assert!(found.status.success() && line.split_whitespace().next().unwrap().ends_with('Z'), "{found:?}");
}

#[test]
fn what_is_no_hash_is_not_taken_for_a_chain_that_is_broken() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let id = hold(&gate, "a@example.net", "b@example.org");
    assert!(quarantine(&gate, &["hold", &id]).status.success());
    let verify = |head: &str| octroi(&gate, &["audit", "verify", "--head", head]);
    let whole = text(&octroi(&gate, &["audit", "verify"]).stdout);
    let head = whole.trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(verify(&head).status.code(), Some(0));
    assert_eq!(verify(&head.to_uppercase()).status.code(), Some(0));
    for typo in ["foo", "", &head[..16], &format!("{head}0"), &head.replace(|c: char| c.is_ascii_digit(), "g")] {
        let said = verify(typo);
        assert!(said.status.code() == Some(2) && text(&said.stderr).contains("64 hexadecimal digits"), "{typo}: {said:?}");
    }
    let other = verify(&"ab".repeat(32));
    assert!(other.status.code() == Some(1) && text(&other.stdout).contains("broken: no row has the hash"), "{other:?}");
    // A state that is not there says nothing about the chain.
    fs::rename(gate.dir.path().join("state"), gate.dir.path().join("moved")).unwrap();
    assert_eq!(verify(&head).status.code(), Some(2));
}

#[test]
fn an_export_stands_in_the_audit_once_it_is_one() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let id = hold(&gate, "a@example.net", "b@example.org");
    let there = gate.dir.path().join("there.zip");
    fs::write(&there, "mine").unwrap();
    let export = |ids: &[&str], out: &Path| octroi(&gate, &[&["evidence", "export", "--out", out.to_str().unwrap()], ids].concat());
    let nowhere = gate.dir.path().join("no/such/evidence.zip");
    for (ids, out) in [
        (&[id.as_str()][..], &*there),
        (&[&id], &nowhere),
        (&[&id], gate.dir.path()),
        (&[&id, "no-such-entry"], &gate.dir.path().join("evidence.zip")),
    ] {
        let said = export(ids, out);
        assert!(!said.status.success() && !said.stderr.is_empty(), "{out:?}: {said:?}");
        assert!(audit(&gate, "export").is_empty(), "{out:?}");
    }
    assert_eq!(fs::read(&there).unwrap(), b"mine");
    // A message that is not what was stored: nothing is left of the attempt.
    let blob = gate.dir.path().join(format!("state/blobs/{}/{id}.zst", id[25..].to_lowercase()));
    let content = fs::read(&blob).unwrap_or_else(|error| panic!("{}: {error}", blob.display()));
    fs::write(&blob, zstd_of(b"another")).unwrap();
    let out = gate.dir.path().join("evidence.zip");
    let altered = export(&[&id], &out);
    assert!(!altered.status.success() && !out.exists() && audit(&gate, "export").is_empty(), "{altered:?}");
    fs::write(&blob, content).unwrap();

    let said = export(&[&id, &id], &out);
    assert!(said.status.success() && text(&said.stdout).contains(": 1 entry, "), "{said:?}");
    let rows = audit(&gate, "export");
    assert_eq!((rows.len(), &rows[0]["object"]), (1, &id.as_str().into()));
    assert_eq!(rows[0]["detail"]["sha256"].as_str().unwrap(), sha256(&fs::read(&out).unwrap()), "the row says which file it was");
}

/// A frame of zstd with one raw block (RFC 8878 §3.1.1).
fn zstd_of(octets: &[u8]) -> Vec<u8> {
    let length = u8::try_from(octets.len()).unwrap();
    let block = (u32::from(length) << 3 | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, length], &block[..3], octets].concat()
}

#[test]
fn who_tried_to_release_is_not_who_held_it() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let id = hold(&gate, "a@example.net", "b@example.org");
    let shown = || text(&quarantine(&gate, &["show", &id]).stdout);
    let line = |text: &str, name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned();
    let before = line(&shown(), "state");
    assert!(before.contains("held since ") && before.ends_with(" by rule hold"), "{before}");
    mta.behave(Step::Rcpt, Act::Say("550 5.1.1 no such user".into()), 1);
    assert!(!quarantine(&gate, &["release", &id]).status.success());
    let after = shown();
    assert_eq!(line(&after, "state"), before);
    let to = line(&after, "envelope to");
    assert!(to.contains("held; release tried ") && to.contains("Z by uid ") && to.contains("no such user"), "{to}");
}

#[test]
fn before_the_first_start_it_is_said_that_nothing_is_there_yet() {
    let gate = Setup::before("127.0.0.1:1".parse().unwrap()).mx().prepare();
    let _ = fs::remove_dir(gate.dir.path().join("state"));
    assert!(!gate.dir.path().join("state").exists());
    for arguments in [&["quarantine", "list"][..], &["hunt", "example.net"], &["audit", "verify"], &["evidence", "key"]] {
        let said = octroi(&gate, arguments);
        let error = text(&said.stderr);
        assert!(!said.status.success() && error.contains("octroi has not run with this `state_dir` yet"), "{arguments:?}: {said:?}");
        assert!(error.contains("/state") && !error.contains(".tmp"), "{arguments:?}: {said:?}");
    }
}

/// In a terminal of its own, as `script` (util-linux) makes one.
#[test]
fn the_terminal_is_as_it_was_when_somebody_changes_his_mind_about_a_password() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let add = format!("{} user add anna --role senior --domain '*' --totp --config {}", Gate::binary(), gate.config().display());
    let session = format!("trap : INT; {add}; echo \"ended with $?\"; stty -a");
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command"]).arg(format!("sh -c '{}'", session.replace('\'', "'\\''"))).arg("/dev/null");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    while !text(&seen).contains("it is not shown") {
        let mut octets = [0; 100];
        let count = screen.read(&mut octets).unwrap();
        assert!(count > 0, "{}", text(&seen));
        seen.extend_from_slice(&octets[..count]);
    }
    keys.write_all(b"\x03").unwrap();
    let mut rest = String::new();
    screen.read_to_string(&mut rest).unwrap();
    child.wait().unwrap();
    assert!(rest.contains("ended with 130") && rest.contains(" echo ") && !rest.contains("-echo "), "{rest}");
    assert!(text(&octroi(&gate, &["user", "list"]).stdout).contains("no accounts"));
}
