//! `deploy/LOGS.md` says of each kind of line what fields it has; here they are compared.
use super::*;
use crate::telemetry::{
    CommandWord,
    traces::{Chance, Traces},
};
use std::collections::BTreeMap;

/// The fields in the tables of a section, with their kinds.
fn documented(section: &str) -> BTreeMap<String, String> {
    let text = include_str!("../../../deploy/LOGS.md");
    let (_, text) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let text = text.split_once("\n## ").map_or(text, |(text, _)| text);
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let mut fields = BTreeMap::new();
    for row in rows {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let (names, kind) = (cells.next().unwrap(), cells.next().unwrap());
        for name in names.split(", ") {
            fields.insert(name.trim_matches('`').to_owned(), kind.to_owned());
        }
    }
    fields
}

/// The fields of all lines that `log` writes, with their kinds.
fn written(log: impl FnOnce()) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for line in capture(Format::Json, false, log).lines() {
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        for (name, value) in line {
            let kind = match value {
                serde_json::Value::String(_) => "text",
                serde_json::Value::Number(_) => "number",
                serde_json::Value::Array(_) => "list",
                other => panic!("{name} is {other}"),
            };
            assert!(fields.insert(name.clone(), kind.to_owned()).is_none_or(|before| before == kind), "{name} is now {kind}");
        }
    }
    fields
}

/// Of whom everything is known.
pub(super) fn client() -> Arc<Client> {
    let mut client = Client::clone(&super::client());
    let mut tls = client.tls.as_deref().unwrap().clone();
    tls.ja4 = Some("t13d1516h2_8daaf6152771_e5627efa2ab1".into());
    tls.client_subject = Some("CN=gateway.example.org".into());
    tls.sni = Some("mx.example.org".into());
    (client.tls, client.account) = (Some(Arc::new(tls)), Some("alice".into()));
    Arc::new(client)
}

#[test]
fn the_line_of_a_message_has_the_fields_that_are_documented() {
    let (journal, metrics) = journal();
    let (traces, _waiting) = Traces::queue(Chance::ALWAYS, &metrics);
    let journal = Arc::new(Journal::clone(&journal).with_traces(Some(traces)));
    let now = Instant::now();
    let fields = written(|| {
        let session = Session::open(&journal, &client(), now);
        let mut entry = session.begin(Id::generate(), &mail(), now);
        for n in 0..100 {
            entry.recipient(&recipient(&format!("recipient{n}@example.com")));
        }
        entry.headers(Some("<1@example.org>".into()), Some("lunch".into()), None);
        entry.received(4096, now);
        let timings = vec![StageTiming {
            stage: "limits".into(),
            took: Duration::from_millis(12),
            calls: None,
            result: StageResult::Pass,
            incomplete: None,
            findings: 1,
        }];
        let findings = vec![Finding { name: "limits.parts", value: Value::Number(3) }];
        entry.concluded(&mut Conclusion { timings, findings, decided_by: Some("rule x".into()), ..Conclusion::default() }, now);
        entry.upstream(&"default".into());
        entry.violation(Violation::BareNewline);
        entry.held(1);
        entry.error(Fault::Upstream, &"something");
        entry.delivered(&Reply::new(250, "2.0.0 Ok: queued as 4cGZ2R"), now);
        drop(entry);
        std::mem::forget(session);
    });
    assert_eq!(fields, documented("A message"));
}

#[test]
fn refusals_violations_and_auth_have_the_fields_that_are_documented() {
    let (journal, _) = journal();
    let refusal = Refusal::permanent(50, "1.1", "unknown");
    let session = || Session::open(&journal, &client(), Instant::now());
    let refusals = written(|| {
        let session = session();
        session.refused(Phase::Recipient, &refusal, By::Upstream("default"), Some(&mail()), Some(&recipient("bob@example.com")));
        session.refused(Phase::Hello, &refusal, By::Stage("limits"), None, None);
        journal.turned_away("mx", client().address, ConnectionResult::TooMany, &"too many");
        std::mem::forget(session);
    });
    assert_eq!(refusals, documented("A refusal before the data"));
    let violations = written(|| {
        let mut session = session();
        session.violation(Violation::Smuggling, &"LF . LF");
        session.violation(Violation::Pipelining, &"too early");
        std::mem::forget(session);
    });
    assert_eq!(violations, documented("A violation"));
    let auth = written(|| {
        let session = session();
        session.authentication("PLAIN", Some("alice"), &Reply::new(235, "2.7.0 ok"));
        std::mem::forget(session);
    });
    assert_eq!(auth, documented("An AUTH exchange"));
}

#[test]
fn the_line_of_a_session_has_the_fields_that_are_documented() {
    let (journal, _) = journal();
    let fields = written(|| {
        let mut session = Session::open(&journal, &client(), Instant::now());
        session.count(&[1; CommandWord::ALL.len()], &[1; 4]);
        session.error(&"something");
        session.end(End::Closed);
        // A violation has a line of its own, which is none of a session's end.
        capture(Format::Json, false, || session.violation(Violation::Pipelining, &"too early"));
    });
    assert_eq!(fields, documented("A session"));
}

#[test]
fn no_field_has_two_kinds() {
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    for section in ["A message", "A refusal before the data", "A session", "A violation", "An AUTH exchange"] {
        for (name, kind) in documented(section) {
            let before = kinds.entry(name.clone()).or_insert_with(|| kind.clone());
            assert_eq!(*before, kind, "{name}");
        }
    }
}
