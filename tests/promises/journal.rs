//! What happened to every message has a row, and is found by it.

use super::quarantine::{RULES, sha256};
use crate::support::{Act, Client, Gate, Mta, Setup, Step, client::message, wait};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

pub fn database(gate: &Gate) -> PathBuf {
    gate.dir.path().join("state/journal.db")
}

/// How many rows there are of each kind and verdict.
pub fn rows(gate: &Gate) -> BTreeMap<(String, String), u64> {
    let connection = Connection::open(database(gate)).unwrap();
    connection.busy_timeout(wait::PATIENCE).unwrap();
    let mut counted = connection
        .prepare("SELECT kind, coalesce(verdict, violation), count(*) FROM journal_row GROUP BY kind, coalesce(verdict, violation)")
        .unwrap();
    let counted = counted.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?.unsigned_abs()))).unwrap();
    counted.map(Result::unwrap).collect()
}

pub fn wait_rows(gate: &Gate, number: u64) -> BTreeMap<(String, String), u64> {
    wait::until(&format!("{number} rows in the journal, which has {:?}", rows(gate)), || {
        let rows = rows(gate);
        (rows.values().sum::<u64>() >= number).then_some(rows)
    })
}

pub fn hunt(gate: &Gate, arguments: &[&str]) -> Output {
    Command::new(Gate::binary()).arg("hunt").args(arguments).arg("--config").arg(gate.config()).output().unwrap()
}

/// The rows that an indicator is found in.
pub fn found(gate: &Gate, arguments: &[&str]) -> Vec<Value> {
    let said = hunt(gate, &[arguments, &["--format", "json"]].concat());
    let all: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    let rows: Vec<Value> = all.as_array().unwrap().iter().flat_map(|found| found["rows"].as_array().unwrap().clone()).collect();
    assert_eq!(said.status.code(), Some(i32::from(rows.is_empty())), "{said:?}");
    rows
}

/// Every way a message or a command can go, told three times: by rows, metrics and log lines, which
/// agree.
#[test]
fn every_outcome_has_one_row_one_line_and_its_share_in_the_metrics() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and(RULES).and("[limits]\nconnections_per_client = 3\n").start();
    let send = |subject: &str| Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message(subject));
    send("first").must(250);
    send("second").must(250);
    send("hold").must(250);
    send("drop").must(250);
    send("refuse").must(550);
    mta.behave(Step::Final, Act::Say("451 4.3.0 not now".into()), 1);
    send("later").must(451);
    mta.behave(Step::Final, Act::Say("552 5.3.4 too big".into()), 1);
    send("never").must(552);
    Client::greeted(gate.mx()).begin_data("a@example.net", &["b@example.org"]).send("Subject: half\r\n\r\nhalf").settle();
    let mut client = Client::greeted(gate.mx());
    client.deliver("a@example.net", &["b@example.org"], b"Subject: smuggled\r\n\r\nx\n.\r\ny\r\n").must(550);
    client.ask("NONSENSE").must(500);
    client.ask("MAIL FROM:<a@example.net>").must(250);
    mta.behave(Step::Rcpt, Act::Say("550 5.1.1 nobody".into()), 1);
    client.ask("RCPT TO:<nobody@example.org>").must(550);
    // A transaction without a body is no message and has no row.
    client.ask("RSET").must(250);
    client.ask("QUIT").must(221);
    client.closed();
    gate.wait_metric("octroi_connections_active{listener=\"mx\"}", 0.0);
    let held: Vec<_> = (0..3).map(|_| Client::greeted(gate.mx())).collect();
    Client::connect(gate.mx()).reply().must(421);
    drop(held);

    let rows = wait_rows(&gate, 12);
    let expected = [
        ("command", "rejected", 1),
        ("connection", "deferred", 1),
        ("message", "deferred", 1),
        ("message", "delivered", 2),
        ("message", "discarded", 1),
        ("message", "lost", 1),
        ("message", "quarantined", 1),
        ("message", "rejected", 3),
        ("violation", "unknown_command", 1),
    ];
    assert_eq!(rows, expected.map(|(kind, verdict, number)| ((kind.to_owned(), verdict.to_owned()), number)).into());
    let (metrics, log) = (gate.metrics(), gate.log());
    let lines = |part: &str| log.iter().filter(|line| line.contains(part)).count() as u64;
    for (kind, verdict, number) in expected {
        match kind {
            "message" => {
                assert_eq!(metrics.messages(verdict), number as f64, "{verdict}");
                assert_eq!(lines(&format!("verdict={verdict}")), number, "{verdict}");
            }
            "command" => assert_eq!(lines("reject: RCPT"), number),
            "connection" => {
                assert_eq!(metrics.get("octroi_connections_total{listener=\"mx\",result=\"too_many_from_client\"}"), number as f64);
                assert_eq!(lines("reject: CONNECT"), number);
            }
            _ => assert_eq!(metrics.sum("octroi_violations_total", verdict), number as f64),
        }
    }
    gate.wait_metric("octroi_journal_rows_total", 12.0);
    assert_eq!(gate.metrics().sum("octroi_journal_dropped_total", ""), 0.0);
    let smuggled = found(&gate, &["--kind", "subject", "smuggled"]);
    assert_eq!((&smuggled[0]["violations"][0], &smuggled[0]["verdict"]), (&"smuggling".into(), &"rejected".into()));
}

fn with_attachment() -> (Vec<u8>, String) {
    let script = b"WScript.Echo(1)";
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("scan 1.js", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(script).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(&zip);
    let content = format!(
        "From: =?utf-8?q?=C3=89va?= <eva@author.example>\r\nTo: b@example.org\r\nSubject: =?utf-8?q?Facture_r=C3=A9gl=C3=A9e?=\r\n\
         Message-ID: <m1@author.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <a href=3D\"https://user@www.evil.example/x?y=3D1\">click</a>\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nor http://192.0.2.77:8080/z\r\n\
         --b\r\nContent-Type: application/zip; name=invoice.zip\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n--b--\r\n"
    );
    (content.into_bytes(), sha256(script))
}

#[test]
fn a_hunt_finds_by_every_kind_of_indicator_who_else_got_it() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let (content, hash) = with_attachment();
    let mut client = Client::greeted(gate.mx());
    client.deliver("bounces@sender.example", &["b@example.org", "c@example.org"], &content).must(250);
    client.deliver("someone@else.example", &["d@example.org"], &message("else")).must(250);
    wait_rows(&gate, 2);
    let row = found(&gate, &["eva@author.example"]).remove(0);
    assert_eq!((&row["subject"], &row["verdict"]), (&"Facture réglée".into(), &"delivered".into()));
    assert_eq!(row["hosts"], serde_json::json!(["www.evil.example", "192.0.2.77"]));
    assert!(row["queue_id"].is_string() && row["stages"].is_null() && row["unexamined"].is_null(), "{row}");
    let key = row["key"].as_i64().unwrap();
    for indicator in [
        "bounces@sender.example",
        "B@example.org",
        "eva(at)author[.]example",
        "sender.example",
        "@author.example",
        "evil[.]example",
        "hxxps://www[.]evil[.]example/other/path",
        "192.0.2.77",
        "invoice.zip",
        "scan 1.js",
        &hash,
        "facture REGLEE",
    ] {
        let kind: &[&str] = if indicator.starts_with("scan") { &["--kind", "file"] } else { &[] };
        let found = found(&gate, &[&[indicator], kind].concat());
        assert_eq!(found.iter().map(|row| row["key"].as_i64().unwrap()).collect::<Vec<_>>(), [key], "{indicator}");
    }
    assert_eq!(found(&gate, &["127.0.0.0/8"]).len(), 2);
    assert_eq!(found(&gate, &["example.org", "--limit", "1"]).len(), 1);
    for nothing in ["nobody@example.org", "other.example", "192.0.2.78", "198.51.100.0/24", "x.pdf", "http://vil.example/"] {
        assert_eq!(found(&gate, &[nothing]), [] as [Value; 0], "{nothing}");
    }
    assert_eq!(found(&gate, &["evil.example", "--since", "1h"]).len(), 1);

    let text = hunt(&gate, &["evil.example", "nothing.example"]);
    let text = String::from_utf8(text.stdout).unwrap();
    for part in [
        "evil.example (domain): 1 message",
        "delivered",
        "b@example.org, c@example.org",
        "from <bounces@sender.example>",
        "nothing.example (domain): nothing",
    ] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
    for wrong in [
        &["--kind", "ip", "evil.example"][..],
        &["d41d8cd98f00b204e9800998ecf8427e"],
        &["--kind", "none", "x"],
        &["--file", "/nowhere"],
        &[],
    ] {
        assert_eq!(hunt(&gate, wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn lists_of_indicators_come_in_and_tables_go_out_in_which_nothing_is_a_formula() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let content = b"From: a@example.net\r\nSubject: =HYPERLINK(\"http://evil.example\",\"x\")\r\n\r\nhttp://evil.example/\r\n";
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], content).must(250);
    wait_rows(&gate, 1);
    let list = gate.dir.path().join("list.csv");
    std::fs::write(
        &list,
        "indicator,seen\n\"evil[.]example\",\"2026, often\"\nd41d8cd98f00b204e9800998ecf8427e,md5\n# x\nother.example,1\n",
    )
    .unwrap();
    let said = hunt(&gate, &["--file", list.to_str().unwrap(), "--format", "csv"]);
    assert_eq!(said.status.code(), Some(0));
    let (table, told) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("indicator,indicator_kind,time,kind,") && lines[1].starts_with("evil.example,domain,"), "{table}");
    assert!(lines[1].contains("\"'=HYPERLINK(\"\"http://evil.example\"\",\"\"x\"\")\""), "{table}");
    assert!(told.contains("list.csv:3:") && told.contains("MD5"), "{told}");

    let mut command = Command::new(Gate::binary());
    command.args(["hunt", "--file", "-", "--config"]).arg(gate.config()).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"nobody@nowhere.example\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn what_is_not_to_be_taken_down_stands_nowhere_and_is_found_by_who_knows_it() {
    let mta = Mta::start();
    let settings = "[journal]\nsubjects = false\naddresses = \"hashed\"\nattachments = false\n";
    let mut gate = Setup::before(mta.address()).mx().and(settings).start();
    let (content, hash) = with_attachment();
    let mut client = Client::greeted(gate.mx());
    client.deliver("bounces@sender.example", &["b@example.org"], &content).must(250);
    client.ask("MAIL FROM:<bounces@sender.example>").must(250);
    mta.behave(Step::Rcpt, Act::Say("550 5.1.1 <nobody@example.org>: User unknown".into()), 1);
    client.ask("RCPT TO:<nobody@example.org>").must(550);
    client.ask("QUIT").must(221);
    wait_rows(&gate, 2);
    assert_eq!(found(&gate, &["b@example.org"]).len(), 1);
    assert_eq!(found(&gate, &["nobody@example.org"]).len(), 1);
    assert_eq!(found(&gate, &["--kind", "domain", "sender.example"]).len(), 2);
    assert_eq!(found(&gate, &["eva@author.example"]).len(), 1);
    assert_eq!(found(&gate, &["evil.example"]).len(), 1);
    for nothing in ["Facture", &hash, "invoice.zip"] {
        assert_eq!(
            found(
                &gate,
                &[
                    "--kind",
                    if nothing == hash {
                        "sha256"
                    } else if nothing == "Facture" {
                        "subject"
                    } else {
                        "file"
                    },
                    nothing
                ]
            ),
            [] as [Value; 0]
        );
    }
    gate.signal(Signal::TERM);
    assert!(gate.wait_exit().success());
    for file in ["journal.db", "journal.db-wal"] {
        let octets = std::fs::read(gate.dir.path().join("state").join(file)).unwrap_or_default();
        for secret in ["bounces@", "b@example.org", "nobody@", "eva", "acture", "invoice", "scan"] {
            assert!(!octets.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret.as_bytes())), "{secret} in {file}");
        }
    }
}
