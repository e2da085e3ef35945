//! Rows are found by everything they have.
use super::{
    super::terms::{Of, Terms},
    *,
};
use crate::message::{Content, Envelope, HeaderBlock, Message};
use proptest::prelude::*;
use std::{path::Path, time::SystemTime};

pub(super) fn book(directory: &Path, settings: Settings) -> (Book, Arc<Journal>, Arc<Metrics>) {
    let metrics = Metrics::new().unwrap();
    let book = Book::open(directory, settings, &metrics).unwrap();
    let journal = Journal::new(Arc::clone(&metrics), metrics.listener("mx"), [].into()).with_book(book.clone());
    (book, Arc::new(journal), metrics)
}

/// As a session would tell of a message with an attachment and a link.
pub(super) fn tell(journal: &Arc<Journal>) -> (Id, Id) {
    let mut session = Session::open(journal, &client(), Instant::now());
    let refusal = Refusal::permanent(50, "1.1", "<unknown@example.com>: no such user");
    session.refused(Phase::Recipient, &refusal, By::Upstream("default"), Some(&mail()), Some(&recipient("unknown@example.com")));
    session.violation(Violation::UnknownCommand, &"a command that is none");
    let id = Id::generate();
    let mut entry = session.begin(id, &mail(), Instant::now());
    for address in ["bob@example.com", "carol@sub.example.net"] {
        entry.recipient(&recipient(address));
    }
    let from = "=?utf-8?Q?=C3=89va?= <eva@author.example>";
    entry.headers(Some("<1@example.org>".into()), Some("=?utf-8?B?RmFjdHVyZSByw6lnbMOpZQ==?= 4711".into()), Some(from.into()));
    entry.received(4096, Instant::now());
    let findings =
        vec![Finding::text("auth.spf", "pass"), Finding::number("limits.parts", 3), Finding::text("rule.matched", "odd \"one\"")];
    let timings = vec![StageTiming {
        stage: "av".into(),
        took: Duration::from_millis(12),
        calls: None,
        result: StageResult::Pass,
        incomplete: None,
        findings: 1,
    }];
    entry.concluded(&mut Conclusion { findings, timings, unfinished: true, ..Conclusion::default() }, Instant::now());
    entry.content(&message());
    entry.violation(Violation::ForgedResults);
    entry.upstream(&"default".into());
    entry.delivered(&Reply::new(250, "2.0.0 Ok: queued as 4cGZ2R3Y4Vz9sQ"), Instant::now());
    let session = session.id();
    (id, session)
}

fn message() -> Message {
    let headers = "Content-Type: multipart/mixed; boundary=b\r\n";
    let body = "\r\n--b\r\nContent-Type: text/html\r\n\r\n<a href=\"https://www.evil.example/x\">x</a>\r\n--b\r\n\
                Content-Type: application/pdf; name=\"In voice.pdf\"\r\nContent-Disposition: attachment\r\n\r\n%PDF-1.4\r\n--b--\r\n";
    let envelope = Envelope { mail: mail(), recipients: vec![] };
    Message::new(envelope.into(), HeaderBlock::new(headers.into()), Content::from_bytes(format!("{headers}{body}")))
}

#[tokio::test]
async fn a_message_is_found_by_all_that_is_known_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, metrics) = book(directory.path(), Settings::default());
    let (id, session) = tell(&journal);
    book.close().await;
    let rows = book.rows();
    assert_eq!(metrics.journal_rows.get(), 3);
    let all = rows.search(&Query::new(10)).await.unwrap();
    let row = all.iter().find(|row| row.kind == Kind::Message).unwrap();
    assert_eq!(row.subject.as_deref(), Some("Facture réglée 4711"));
    assert_eq!(row.header_from.as_deref(), Some("Éva <eva@author.example>"));
    assert_eq!(row.recipients, ["bob@example.com", "carol@sub.example.net"]);
    assert_eq!((row.queue_id.as_deref(), row.message_id.as_deref()), (Some("4cGZ2R3Y4Vz9sQ"), Some("1@example.org")));
    let details = &row.details;
    assert_eq!((details.hosts.as_slice(), &details.unexamined), (["www.evil.example".to_owned()].as_slice(), &None));
    assert_eq!((details.stages[0].seconds, details.unfinished), (0.012, true));
    let [file] = details.attachments.as_slice() else { panic!("{details:?}") };
    assert_eq!((file.names.as_slice(), file.kind.as_str()), (["In voice.pdf".to_owned()].as_slice(), "pdf"));
    let hash = file.sha256.clone().unwrap();

    let text = |text: &str| Some(text.to_owned());
    let base = || Query::new(10);
    let his = || vec!["sub.example.net".to_owned()];
    let now = SystemTime::now();
    let ago = |seconds| now.checked_sub(Duration::from_secs(seconds));
    let queries = [
        Query { kind: Some(Kind::Message), listener: text("mx"), ..base() },
        Query { after: ago(60), before: Some(now + Duration::from_secs(60)), kind: Some(Kind::Message), ..base() },
        Query { client: Some("192.0.2.0/25".parse().unwrap()), kind: Some(Kind::Message), ..base() },
        Query { client: Some("192.0.2.1/32".parse().unwrap()), kind: Some(Kind::Message), ..base() },
        Query { client: Some("::ffff:192.0.2.0/119".parse().unwrap()), kind: Some(Kind::Message), ..base() },
        Query { client: Some("0.0.0.0/0".parse().unwrap()), kind: Some(Kind::Message), ..base() },
        Query { helo: text("MAIL.example.org"), kind: Some(Kind::Message), ..base() },
        Query { sender: text("Alice@Example.org"), verdicts: vec!["delivered".into(), "lost".into()], ..base() },
        Query { sender: text("<alice@example.org>"), verdicts: vec!["delivered".into()], ..base() },
        Query { sender: text("@example.org"), verdicts: vec!["delivered".into()], ..base() },
        Query { recipient: text("carol@sub.example.net"), ..base() },
        Query { recipient: text("@sub.example.net"), ..base() },
        Query { recipient: text("@*.example.net"), ..base() },
        Query { recipient_domains: vec!["other.example".into(), "sub.example.net".into()], ..base() },
        Query { recipient_domains: his(), recipient: text("<Carol@sub.example.net>"), text: text("\"facture\" éva alice"), ..base() },
        Query { recipient_domains: his(), recipient: text("@SUB.example.net"), ..base() },
        Query { from: text("eva@author.example"), ..base() },
        Query { from: text("@author.example"), ..base() },
        Query { address: text("eva@author.example"), ..base() },
        Query { message_id: text("<1@example.org>"), ..base() },
        Query { queue_id: text("4cgz2r3y4vz9sq"), ..base() },
        Query { id: text(&id.to_string()), ..base() },
        Query { id: text(&session.to_string()), kind: Some(Kind::Message), ..base() },
        Query { finding: Some(("auth.spf".into(), None)), ..base() },
        Query { finding: Some(("limits.parts".into(), text("3"))), ..base() },
        Query { finding: Some(("rule.matched".into(), text("odd \"one\""))), ..base() },
        Query { violation: text("forged_results"), ..base() },
        Query { attachment: text("in VOICE.pdf"), ..base() },
        Query { attachment: text("In v*"), ..base() },
        Query { attachment: text(&hash.to_uppercase()), ..base() },
        Query { host: text("www.evil.example"), ..base() },
        Query { host: text("evil.example"), ..base() },
        Query { text: text("facture REGLEE"), ..base() },
        Query { text: text("fact* 4711"), ..base() },
        Query { text: text("\"réglée 4711\" éva"), ..base() },
        Query { text: text("eva@author.example bob"), ..base() },
    ];
    for query in queries {
        let found = rows.search(&query).await.unwrap();
        assert_eq!(found.iter().map(|row| row.key).collect::<Vec<_>>(), [row.key], "{query:?}");
    }
    let nothing = [
        Query { sender: text("alice"), ..base() },
        Query { sender: text("@ample.org"), ..base() },
        Query { recipient: text("@example.net"), ..base() },
        // Who may see one recipient finds out nothing of another.
        Query { recipient_domains: his(), text: text("bob"), ..base() },
        Query { recipient_domains: his(), text: text("bo*"), ..base() },
        Query { recipient_domains: his(), text: text("\"bob@\""), ..base() },
        Query { recipient_domains: his(), recipient: text("bob@example.com"), ..base() },
        Query { recipient_domains: his(), recipient: text("<bob@example.com>"), ..base() },
        Query { recipient_domains: his(), recipient: text("@example.com"), ..base() },
        Query { recipient_domains: his(), recipient: text("@*.example.com"), ..base() },
        Query { host: text("il.example"), ..base() },
        Query { host: text("sub.www.evil.example"), ..base() },
        Query { client: Some("192.0.2.2/31".parse().unwrap()), ..base() },
        Query { client: Some("c000::/8".parse().unwrap()), ..base() },
        Query { text: text("\"4711 réglée\""), ..base() },
        Query { text: text("\"%\""), ..base() },
        Query { text: text("!!"), ..base() },
        Query { attachment: text("voice.pdf"), ..base() },
        Query { finding: Some(("auth.spf".into(), text("fail"))), ..base() },
        Query { before: ago(60), ..base() },
        Query { below: Some(all.last().unwrap().key), ..base() },
    ];
    for query in nothing {
        assert_eq!(rows.search(&query).await.unwrap(), [], "{query:?}");
    }
    assert_eq!(rows.message(&id.to_string()).await.unwrap().as_ref(), Some(row));
    assert_eq!(rows.row(row.key).await.unwrap().as_ref(), Some(row));
    assert_eq!((rows.message("none").await.unwrap(), rows.row(1).await.unwrap()), (None, None));
}

#[tokio::test]
async fn a_refused_command_and_a_violation_have_rows_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, _) = book(directory.path(), Settings::default());
    tell(&journal);
    journal.turned_away("mx", "192.0.2.9:25".parse().unwrap(), ConnectionResult::TooMany, &"421 4.3.2 too many connections");
    book.close().await;
    let one = async |query| {
        let mut found = book.rows().search(&query).await.unwrap();
        assert_eq!(found.len(), 1, "{query:?}");
        found.remove(0)
    };
    let command = one(Query { kind: Some(Kind::Command), ..Query::new(9) }).await;
    assert_eq!((command.phase.as_deref(), command.verdict.as_deref()), (Some("RCPT"), Some("rejected")));
    assert_eq!(
        (command.upstream.as_deref(), command.recipients.as_slice()),
        (Some("default"), ["unknown@example.com".to_owned()].as_slice())
    );
    assert_eq!(command.reply.as_deref(), Some("550 5.1.1 <unknown@example.com>: no such user"));
    let violation = one(Query { violation: Some("unknown_command".into()), ..Query::new(9) }).await;
    assert_eq!((violation.kind, violation.verdict, violation.error.as_deref()), (Kind::Violation, None, Some("a command that is none")));
    let connection = one(Query { kind: Some(Kind::Connection), ..Query::new(9) }).await;
    assert_eq!((connection.client.as_str(), connection.decided_by.as_deref()), ("192.0.2.9", Some("too_many")));
    let summary = book.rows().summary(SystemTime::now() - Duration::from_secs(3600), SystemTime::now()).await.unwrap();
    assert_eq!(summary.messages().into_iter().collect::<Vec<_>>(), [("delivered", 1)]);
    assert_eq!(
        summary.hours.iter().map(|hour| (hour.commands.values().sum::<u64>(), hour.connections, hour.violations)).max(),
        Some((1, 1, 2))
    );
    assert_eq!(summary.delivered_unfinished, 1);
    assert_eq!(summary.refused_by, [("default".to_owned(), 1)]);
    assert_eq!(summary.findings.len(), 3);
    assert_eq!(summary.violations.len(), 2);
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, _) = book(directory.path(), Settings::default());
    for n in 0..25 {
        let session = Session::open(&journal, &client(), Instant::now());
        let refusal = Refusal::permanent(50, "1.1", "no");
        session.refused(Phase::Recipient, &refusal, By::Gate, None, Some(&recipient(&format!("r{n}@example.com"))));
    }
    book.close().await;
    for kind in [None, Some(Kind::Command)] {
        let (mut below, mut seen) = (None, Vec::new());
        loop {
            let page = book.rows().search(&Query { kind, below, ..Query::new(10) }).await.unwrap();
            let Some(last) = page.last() else { break };
            below = Some(last.key);
            seen.extend(page.iter().map(|row| row.recipients[0].clone()));
        }
        assert_eq!(seen, (0..25).rev().map(|n| format!("r{n}@example.com")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn hashed_addresses_stand_nowhere_and_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { addresses: Addresses::Hashed, subjects: false, ..Settings::default() };
    let (book, journal, _) = book(directory.path(), settings);
    tell(&journal);
    book.close().await;
    let rows = Rows::open(directory.path()).unwrap();
    let text = |text: &str| Some(text.to_owned());
    for query in [
        Query { sender: text("ALICE@example.org"), kind: Some(Kind::Message), ..Query::new(9) },
        Query { sender: text("@example.org"), kind: Some(Kind::Message), ..Query::new(9) },
        Query { recipient: text("bob@example.com"), ..Query::new(9) },
        Query { recipient_domains: vec!["sub.example.net".into()], ..Query::new(9) },
        Query { from: text("eva@author.example"), ..Query::new(9) },
        Query { recipient: text("unknown@example.com"), ..Query::new(9) },
    ] {
        let found = rows.search(&query).await.unwrap();
        assert_eq!(found.len(), 1, "{query:?}");
        assert!(found[0].subject.is_none() && found[0].recipients.iter().all(|address| address.starts_with('#')), "{found:?}");
    }
    assert_eq!(rows.search(&Query { text: text("facture"), ..Query::new(9) }).await.unwrap(), []);
    for file in ["journal.db", "journal.db-wal"] {
        let octets = std::fs::read(directory.path().join(file)).unwrap_or_default();
        for secret in ["alice@", "bob@", "carol", "eva@", "Éva", "unknown@", "acture"] {
            assert!(!octets.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} in {file}");
        }
    }
}

#[tokio::test]
async fn what_is_switched_off_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, metrics) = book(directory.path(), Settings { attachments: false, urls: false, ..Settings::default() });
    let (id, _) = tell(&journal);
    book.reconfigure(Settings { enabled: false, ..Settings::default() }).unwrap();
    tell(&journal);
    book.close().await;
    assert_eq!(metrics.journal_rows.get(), 3);
    let details = book.rows().message(&id.to_string()).await.unwrap().unwrap().details;
    assert!(details.attachments.is_empty() && details.hosts.is_empty() && details.unexamined.is_none(), "{details:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is asked, and whatever it is made of: no error of the database, and a value finds its
    /// own row.
    #[test]
    fn any_value_is_found_and_none_breaks_the_question(values in prop::collection::vec("\\PC{0,30}|[\"'*():^. -]{0,8}", 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let rows = Rows::make(directory.path(), &Settings::default()).unwrap();
            for (n, value) in values.iter().enumerate() {
                let mut terms = Terms::default();
                terms.add(Of::Helo, value);
                terms.words(Of::Word, value);
                let client = client();
                let record = Record { error: Some(value.clone()), ..Record::new(Kind::Violation, &client, "SMTP") };
                let (row, _) = record.into_row(n as i64 + 1, &Settings::default(), None);
                rows.write(row.into_statements(terms.into_string()).into()).await.unwrap();
            }
            for (n, value) in values.iter().enumerate() {
                let query = Query { helo: Some(value.clone()), ..Query::new(9) };
                let found = rows.search(&query).await.unwrap();
                assert!(found.iter().any(|row| row.key == n as i64 + 1), "{value:?}");
                for query in [
                    Query { text: Some(value.clone()), ..Query::new(9) },
                    Query { sender: Some(value.clone()), finding: Some((value.clone(), Some(value.clone()))), ..Query::new(9) },
                    Query { attachment: Some(value.clone()), host: Some(value.clone()), id: Some(value.clone()), ..Query::new(9) },
                ] {
                    rows.search(&query).await.unwrap();
                }
            }
        });
    }
}

#[tokio::test]
async fn indicators_find_what_has_them_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    let (book, journal, _) = book(directory.path(), Settings::default());
    let (id, _) = tell(&journal);
    book.close().await;
    let id = id.to_string();
    let found = async |indicator: Indicator| {
        let query = Query { kind: Some(Kind::Message), indicator: Some(indicator), ..Query::new(9) };
        book.rows().search(&query).await.unwrap().into_iter().any(|row| row.message.as_ref() == Some(&id))
    };
    for text in [
        "alice@example.org",
        "bob@example.com",
        "eva@author.example",
        "author.example",
        "example.net",
        "evil.example",
        "https://www.evil.example/",
        "192.0.2.1",
        "192.0.2.0/24",
        "facture réglée",
        "REGLEE facture",
        "\"facture réglée\"",
        "In voice.pdf",
    ] {
        let kind = text.ends_with("pdf").then_some(IndicatorKind::File);
        let indicator = kind.map_or_else(|| Indicator::recognise(text), |kind| Indicator::of(kind, text)).unwrap();
        assert!(found(indicator).await, "{text}");
    }
    for text in
        ["bob@example.org", "com", "ample.net", "192.0.2.2", "alice", "facture acquittée", "\"réglée facture\"", "http://evil.example.org/"]
    {
        assert!(!found(Indicator::recognise(text).unwrap()).await, "{text}");
    }
}
