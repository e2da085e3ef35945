//! What is told while it happens: lines, metrics, rows.
mod documented;
mod searching;
mod spans;
mod writing;

use super::*;
use crate::chain::{Conclusion, Finding, StageTiming, Value};
use crate::message::{Client, TlsFacts};
use crate::smtp::{Address, Domain, Mail, Recipient, Refusal, Reply, ReversePath};
use crate::telemetry::{Incomplete, Outcome, StageResult, Violation, log::Format, log::capture::capture};
use crate::value::Id;
use std::time::{Duration, Instant};

fn journal() -> (Arc<Journal>, Arc<Metrics>) {
    let metrics = Metrics::new().unwrap();
    let stages = ["limits", "slow"].map(|name| (name.into(), metrics.stage(name))).into();
    (Arc::new(Journal::new(Arc::clone(&metrics), metrics.listener("mx"), stages)), metrics)
}

fn client() -> Arc<Client> {
    Arc::new(Client {
        listener: "mx".into(),
        address: "192.0.2.1:4711".parse().unwrap(),
        local: "192.0.2.2:25".parse().unwrap(),
        tls: Some(Arc::new(TlsFacts {
            version: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384",
            sni: None,
            client_subject: None,
            resumed: false,
            ja4: None,
        })),
        hello: Some((Domain::parse("mail.example.org").unwrap(), true)),
        account: None,
        mechanism: None,
    })
}

fn mail() -> Mail {
    Mail::new(ReversePath(Address::parse("alice@example.org", false)))
}

fn recipient(address: &str) -> Recipient {
    Recipient::new(Address::parse(address, false).unwrap())
}

/// What the tests cannot know, made the same: ids and durations.
fn masked(log: &str) -> String {
    let mut words = Vec::new();
    for word in log.split(' ') {
        let is_id = |text: &str| text.len() == 26 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        let id = word.split(['=', ',', ':', '>']).find(|part| is_id(part));
        words.push(id.map_or_else(|| word.to_owned(), |id| word.replace(id, "ID")));
    }
    words.join(" ")
}

#[test]
fn a_message_is_one_line_and_its_share_in_the_metrics() {
    let (journal, metrics) = journal();
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let log = capture(Format::Text, true, || {
        let session = Session::open(&journal, &client(), start);
        let mut entry = session.begin(Id::generate(), &mail(), start);
        entry.recipient(&recipient("bob@example.com"));
        entry.recipient(&recipient("carol@example.com"));
        entry.receiving();
        entry.headers(Some("<1@example.org>".into()), Some("lunch, at twelve".into()), None);
        entry.received(4096, at(250));
        let timings = vec![
            StageTiming {
                stage: "limits".into(),
                took: Duration::from_millis(12),
                calls: None,
                result: StageResult::Pass,
                incomplete: None,
                findings: 1,
            },
            StageTiming {
                stage: "slow".into(),
                took: Duration::from_secs(1),
                calls: None,
                result: StageResult::Incomplete,
                incomplete: Some(Incomplete::Late),
                findings: 0,
            },
        ];
        let findings = vec![Finding { name: "limits.parts", value: Value::Number(3) }];
        entry.concluded(&mut Conclusion { timings, findings, unfinished: true, ..Conclusion::default() }, at(262));
        entry.upstream(&"default".into());
        entry.delivered(&Reply::new(250, "2.0.0 Ok: queued as 4cGZ2R"), at(1262));
        drop(entry);
        std::mem::forget(session);
    });
    assert_eq!(
        masked(&log),
        "<6>ID: session=ID, client=[192.0.2.1]:4711, listener=mx, proto=ESMTPS, tls=TLSv1.3, cipher=TLS_AES_256_GCM_SHA384, \
         helo=<mail.example.org>, from=<alice@example.org>, to=<bob@example.com>,<carol@example.com>, nrcpt=2, size=4096, \
         message-id=<1@example.org>, subject=\"lunch, at twelve\", verdict=delivered, findings=limits.parts=3, \
         stages=\"limits=0.012 slow=late\", upstream=default, queue_id=4cGZ2R, reply=\"250 2.0.0 Ok: queued as 4cGZ2R\", \
         delay=1.262, delays=0.25/0.012/1/1.262\n"
    );
    let rendered = String::from_utf8(metrics.render()).unwrap();
    for series in [
        "octroi_messages_total{listener=\"mx\",verdict=\"delivered\"} 1",
        "octroi_recipients_total{listener=\"mx\"} 2",
        "octroi_message_size_bytes_sum 4096",
        "octroi_message_duration_seconds_sum 1.012",
        "octroi_stage_results_total{result=\"pass\",stage=\"limits\"} 1",
        "octroi_stage_findings_total{stage=\"limits\"} 1",
        "octroi_messages_by_tls_total{listener=\"mx\",version=\"tlsv1.3\"} 1",
        "octroi_messages_incomplete_total{listener=\"mx\"} 1",
        "octroi_stage_duration_seconds_sum{stage=\"limits\"} 0.012",
        "octroi_stage_incomplete_total{reason=\"late\",stage=\"slow\"} 1",
    ] {
        assert!(rendered.contains(series), "{series} not in\n{rendered}");
    }
}

#[test]
fn a_session_that_dies_half_way_leaves_its_lines() {
    let (journal, metrics) = journal();
    let log = capture(Format::Text, true, || {
        let mut session = Session::open(&journal, &client(), Instant::now());
        let mut entry = session.begin(Id::generate(), &mail(), Instant::now());
        entry.recipient(&recipient("bob@example.com"));
        entry.receiving();
        let mut commands = [0; 15];
        commands[1..5].copy_from_slice(&[1, 1, 1, 1]);
        session.count(&commands, &[4, 1, 0, 0]);
        session.end(End::Lost);
    });
    let lines: Vec<_> = log.lines().map(masked).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains(", verdict=lost, delay="), "{log}");
    let line = "<6>ID: disconnect from [192.0.2.1]:4711 ehlo=1 mail=1 rcpt=1 data=1 commands=4 messages=0 listener=mx tls=TLSv1.3 \
                received=0 sent=0 end=lost duration=0";
    assert_eq!(lines[1], line);
    let rendered = String::from_utf8(metrics.render()).unwrap();
    for series in [
        "octroi_messages_total{listener=\"mx\",verdict=\"lost\"} 1",
        "octroi_connections_active{listener=\"mx\"} 0",
        "octroi_commands_total{command=\"rcpt\",listener=\"mx\"} 1",
        "octroi_replies_total{class=\"3\",listener=\"mx\"} 1",
    ] {
        assert!(rendered.contains(series), "{series} not in\n{rendered}");
    }
}

#[test]
fn a_transaction_without_a_body_is_no_message() {
    let (journal, metrics) = journal();
    let log = capture(Format::Text, true, || {
        let session = Session::open(&journal, &client(), Instant::now());
        let mut entry = session.begin(Id::generate(), &mail(), Instant::now());
        entry.recipient(&recipient("bob@example.com"));
        drop(entry);
        std::mem::forget(session);
    });
    assert_eq!(log, "");
    for outcome in Outcome::ALL {
        let zero = format!("octroi_messages_total{{listener=\"mx\",verdict=\"{}\"}} 0", outcome.as_str());
        assert!(String::from_utf8(metrics.render()).unwrap().contains(&zero), "{zero}");
    }
}

#[test]
fn a_refusal_before_the_data_is_a_line_of_its_own() {
    let (journal, _) = journal();
    let log = capture(Format::Text, true, || {
        let mut session = Session::open(&journal, &client(), Instant::now());
        let refusal = Refusal::permanent(50, "1.1", "<bob@example.com>: unknown");
        session.refused(Phase::Recipient, &refusal, By::Upstream("default"), Some(&mail()), Some(&recipient("bob@example.com")));
        session.refused(Phase::Mail, &refusal, By::Stage("limits"), Some(&Mail::new(ReversePath(None))), None);
        session.violation(Violation::Smuggling, &"LF . LF");
        std::mem::forget(session);
    });
    assert_eq!(
        masked(&log),
        "<6>NOQUEUE: reject: RCPT from [192.0.2.1]:4711: 550 5.1.1 <bob@example.com>: unknown; \
         from=<alice@example.org> to=<bob@example.com> proto=ESMTPS helo=<mail.example.org> upstream=default session=ID listener=mx\n\
         <6>NOQUEUE: reject: MAIL from [192.0.2.1]:4711: 550 5.1.1 <bob@example.com>: unknown; \
         from=<> proto=ESMTPS helo=<mail.example.org> stage=limits session=ID listener=mx\n\
         <4>ID: attack from [192.0.2.1]:4711: LF . LF; violation=smuggling\n"
    );
}

#[test]
fn a_line_is_bounded_however_many_recipients_there_are() {
    let (journal, _) = journal();
    let log = capture(Format::Json, false, || {
        let session = Session::open(&journal, &client(), Instant::now());
        let mut entry = session.begin(Id::generate(), &mail(), Instant::now());
        for n in 0..1000 {
            entry.recipient(&recipient(&format!("recipient{n}@example.com")));
        }
        entry.refused(&Refusal::temporary(52, "3.1", "later"), Instant::now());
        drop(entry);
        std::mem::forget(session);
    });
    assert!(log.len() < 3000 && log.contains(r#","to_more":957,"nrcpt":1000,"#), "{log}");
    assert!(log.contains(r#","verdict":"deferred","reply":"452 4.3.1 later","#), "{log}");
}
