mod decisions;
mod lists;

use super::*;
use crate::audit::{self, Audit};
use crate::chain::{Finding, Hold, HoldClass};
use crate::message::{Client, Content, HeaderBlock, spool};
use crate::smtp::{self, Address, Custody as _, Mail, ReversePath};
use crate::storage::{Access, Statement};
use crate::value::Id;
use std::path::PathBuf;
use std::time::SystemTime;

struct Place {
    directory: tempfile::TempDir,
    quarantine: Quarantine,
}

impl Place {
    fn new() -> Self {
        Self::with(Settings::default())
    }
    fn with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(Store::open(directory.path(), Access::Create).unwrap(), settings, &Metrics::new().unwrap());
        Self { directory, quarantine }
    }
    fn blob(&self, id: &str) -> PathBuf {
        let last = id.chars().last().unwrap().to_ascii_lowercase();
        self.directory.path().join(format!("blobs/{last}/{id}.zst"))
    }
    async fn keep(&self, to: &[&str]) -> String {
        self.keep_as(HoldClass::Policy, to).await.unwrap().id().to_string()
    }
    async fn keep_as(&self, class: HoldClass, to: &[&str]) -> Result<Committed, QuarantineError> {
        self.keep_from("Sender@Example.net", class, to).await
    }
    async fn keep_from(&self, from: &str, class: HoldClass, to: &[&str]) -> Result<Committed, QuarantineError> {
        self.keep_with(from, class, to, "Subject: one\r\n two\r\nFrom: \x1b[31mx\r\n").await
    }
    async fn keep_with(&self, from: &str, class: HoldClass, to: &[&str], headers: &str) -> Result<Committed, QuarantineError> {
        let client = Client {
            listener: "mx".into(),
            address: "192.0.2.7:4711".parse().unwrap(),
            local: "192.0.2.1:25".parse().unwrap(),
            tls: None,
            hello: None,
            account: None,
            mechanism: None,
        };
        let recipients: Vec<_> = to.iter().map(|text| smtp::Recipient::new(Address::parse(text, false).unwrap())).collect();
        let id = Id::generate();
        let held = Held {
            id,
            message: id,
            hold: &Hold { class, reason: "because".into() },
            decided_by: Some("rule x"),
            client: &client,
            mail: &Mail::new(ReversePath(Address::parse(from, false))),
            recipients: &recipients.iter().collect::<Vec<_>>(),
            headers: &HeaderBlock::new(headers.to_owned().into()),
            content: &Content::from_bytes(format!("{headers}\r\nbody\r\n")),
            findings: &[Finding::text("rule.matched", "x".repeat(5000)), Finding::number("limits.parts", 7)],
            timings: &[],
            received_at: SystemTime::now(),
            dialogue: "    0.000 S 220 mx\n",
        };
        self.quarantine.keep(held).await
    }
    async fn usage(&self, class: &str) -> (i64, i64) {
        let statement = Statement::new("SELECT entries, stored FROM quarantine_usage WHERE class = ?1").with(class);
        let rows = self.quarantine.0.database.read(statement).await.unwrap();
        (rows[0].integer(0).unwrap(), rows[0].integer(1).unwrap())
    }
    async fn state(&self, id: &str) -> State {
        self.quarantine.entry(id).await.unwrap().state
    }
}

fn claim(recipients: &[String], again: bool) -> Claim<'_> {
    Claim { recipients, again, by: "a test".into(), request: None }
}

#[tokio::test]
async fn what_a_sender_chose_is_bounded_and_on_one_line_and_the_content_is_not() {
    let place = Place::new();
    let kept = place.keep_as(HoldClass::Spam, &["b@example.org"]).await.unwrap();
    assert_eq!((kept.reply().code(), kept.reply().text()), (250, &*format!("2.0.0 {} ok", kept.id())));
    let entry = place.quarantine.entry(&kept.id().to_string()).await.unwrap();
    assert_eq!((entry.subject.as_deref(), entry.header_from.as_deref()), (Some("one two"), Some("?[31mx")));
    assert!(entry.findings.len() < 1200 && entry.findings.contains("\"value\":7"), "{}", entry.findings);
    assert_eq!((entry.sender.as_str(), entry.mail.as_str()), ("sender@example.net", "<Sender@Example.net>"));
    let settings = spool::Settings {
        in_memory: 1 << 20,
        memory: crate::message::budget::Budget::new(1 << 20),
        disk: crate::message::budget::Budget::new(0),
        directory: Arc::new(place.directory.path().to_owned()),
    };
    let content = place.quarantine.content(&entry, &settings).await.unwrap();
    assert_eq!(content.slice(0..u64::MAX).await.unwrap(), "Subject: one\r\n two\r\nFrom: \x1b[31mx\r\n\r\nbody\r\n");
    let altered = Entry { sha256: "0".repeat(64), ..entry };
    assert!(matches!(place.quarantine.content(&altered, &settings).await, Err(QuarantineError::Altered(_))));
}

#[tokio::test]
async fn a_withdrawn_entry_was_never_there() {
    let place = Place::new();
    let kept = place.keep_as(HoldClass::Policy, &["b@example.org", "c@example.org"]).await.unwrap();
    let id = kept.id().to_string();
    assert!(place.blob(&id).exists());
    place.quarantine.withdraw(kept).await.unwrap();
    assert!(matches!(place.quarantine.entry(&id).await, Err(QuarantineError::NoEntry(_))));
    assert!(!place.blob(&id).exists());
    assert_eq!(place.usage("policy").await, (0, 0));
}

#[tokio::test]
async fn a_full_class_is_told_and_other_classes_have_room() {
    let mut settings = Settings::default();
    settings.set(HoldClass::Spam, Retention { size: 10, ..Retention::default() });
    let place = Place::with(settings);
    let full = place.keep_as(HoldClass::Spam, &["b@example.org"]).await.unwrap_err();
    assert_eq!((&full, full.refusal().reply().code()), (&QuarantineError::NoRoom("spam"), 452));
    assert!(place.keep_as(HoldClass::Malware, &["b@example.org"]).await.is_ok());
    assert_eq!(place.usage("spam").await, (0, 0));
}

#[tokio::test]
async fn what_is_too_old_goes_but_not_from_under_legal_hold() {
    let place = Place::new();
    let (old, under_hold) = (place.keep(&["b@example.org"]).await, place.keep(&["b@example.org"]).await);
    place.quarantine.legal_hold(&under_hold, true, "a test").await.unwrap();
    let day = Duration::from_secs(86_400);
    place.quarantine.expire(SystemTime::now() + 29 * day).await.unwrap();
    assert_eq!((place.state(&old).await, place.state(&under_hold).await), (State::Held, State::Held));
    place.quarantine.expire(SystemTime::now() + 31 * day).await.unwrap();
    // The audit has it, though nobody did it, and where nothing went it has nothing.
    place.quarantine.expire(SystemTime::now() + 31 * day).await.unwrap();
    let rows =
        Audit::new(place.quarantine.0.database.clone()).list(&audit::Filter { limit: 10, ..audit::Filter::default() }).await.unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((&*row.actor, &*row.action, row.object.as_deref()), ("octroi", "delete", None));
    let detail: serde_json::Value = serde_json::from_str(&row.detail).unwrap();
    assert_eq!(detail, serde_json::json!({ "class": "policy", "reason": "age", "count": 1, "entries": [old] }));
    // Deleted, and its row gone as well: it has been there for as long as it was to be.
    assert!(place.quarantine.entry(&old).await.is_err() && !place.blob(&old).exists());
    assert_eq!(place.state(&under_hold).await, State::Held);
    assert_eq!(place.usage("policy").await.0, 1);
    assert!(matches!(place.quarantine.delete(&under_hold, "a test").await, Err(QuarantineError::Conflict(_))));
    place.quarantine.legal_hold(&under_hold, false, "a test").await.unwrap();
    place.quarantine.delete(&under_hold, "a test").await.unwrap();
    assert_eq!((place.state(&under_hold).await, place.usage("policy").await), (State::Deleted, (0, 0)));
    assert!(place.quarantine.legal_hold(&under_hold, true, "a test").await.is_err());
}

#[tokio::test]
async fn what_a_crash_left_is_found_and_repaired() {
    let place = Place::new();
    let (whole, lost) = (place.keep(&["b@example.org"]).await, place.keep(&["b@example.org"]).await);
    std::fs::remove_file(place.blob(&lost)).unwrap();
    let orphan = Id::generate().to_string();
    std::fs::copy(place.blob(&whole), place.blob(&orphan)).unwrap();
    assert_eq!(place.quarantine.repair(Duration::from_secs(3600)).await, Ok((1, 0)), "a young one may be under way");
    assert_eq!(place.quarantine.repair(Duration::ZERO).await, Ok((0, 1)));
    assert_eq!((place.state(&whole).await, place.state(&lost).await), (State::Held, State::Lost));
    assert!(place.blob(&whole).exists() && !place.blob(&orphan).exists());
    let entry = place.quarantine.entry(&lost).await.unwrap();
    assert!(matches!(place.quarantine.claim(entry, claim(&[], false)).await, Err(QuarantineError::Conflict(_))));
    place.quarantine.delete(&lost, "a test").await.unwrap();
    assert_eq!(place.usage("policy").await.0, 1);
}

#[tokio::test]
async fn what_no_entry_owns_any_more_is_looked_for_every_day() {
    let place = Place::new();
    let whole = place.keep(&["b@example.org"]).await;
    let orphan = || {
        let id = Id::generate().to_string();
        std::fs::copy(place.blob(&whole), place.blob(&id)).unwrap();
        let old = SystemTime::now() - Duration::from_secs(2 * 3600);
        std::fs::File::options().write(true).open(place.blob(&id)).unwrap().set_modified(old).unwrap();
        place.blob(&id)
    };
    let gone = async |orphan: &std::path::Path| {
        for _ in 0..3600 {
            if !orphan.exists() {
                return true;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        false
    };
    let first = orphan();
    // Only now: what is kept has a deadline.
    tokio::time::pause();
    let cancelled = tokio_util::sync::CancellationToken::new();
    let tended = tokio::spawn(place.quarantine.clone().tend(cancelled.clone()));
    assert!(gone(&first).await, "at the start");
    let second = orphan();
    tokio::time::advance(Duration::from_secs(86_400)).await;
    assert!(gone(&second).await, "a day later");
    cancelled.cancel();
    tended.await.unwrap();
    assert!(place.blob(&whole).exists());
}

#[tokio::test]
async fn two_who_saw_the_same_entry_cannot_both_release_it() {
    let place = Place::new();
    let id = place.keep(&["b@example.org", "c@example.org"]).await;
    let seen = place.quarantine.entry(&id).await.unwrap();
    let one = ["c@example.org".to_owned()];
    let first = place.quarantine.claim(seen.clone(), claim(&one, false)).await.unwrap();
    assert_eq!(first.recipients.len(), 1);
    let told = place.quarantine.claim(seen.clone(), claim(&[], false)).await.unwrap_err();
    assert_eq!(told, QuarantineError::Conflict(Conflict::First));
    assert!(place.quarantine.delete(&id, "a test").await.is_err(), "not from under somebody's hands");
    place.quarantine.settle(&first.released("250 ok")).await.unwrap();
    assert!(place.quarantine.claim(seen, claim(&one, true)).await.is_err(), "what was seen is no longer so");
    let seen = place.quarantine.entry(&id).await.unwrap();
    assert_eq!(
        (seen.state, seen.recipients[1].state, seen.recipients[1].reply.as_deref()),
        (State::Held, RecipientState::Released, Some("250 ok"))
    );
    let rest = place.quarantine.claim(seen, claim(&[], false)).await.unwrap();
    assert_eq!(rest.recipients[0].address.as_str(), "b@example.org");
    place.quarantine.settle(&rest.not_released("550 no")).await.unwrap();
    let rest = place.quarantine.claim(place.quarantine.entry(&id).await.unwrap(), claim(&[], false)).await.unwrap();
    place.quarantine.settle(&rest.released("250 ok")).await.unwrap();
    assert_eq!(place.state(&id).await, State::Released);
    let stranger = ["x@example.org".to_owned()];
    let seen = place.quarantine.entry(&id).await.unwrap();
    assert!(place.quarantine.claim(seen, claim(&stranger, true)).await.is_err());
}

#[tokio::test]
async fn pages_follow_each_other_and_filters_are_taken_as_they_are_written() {
    let place = Place::new();
    let mut ids = Vec::new();
    for to in ["b@example.org", "b_c@example.org", "bxc@example.org"] {
        ids.push(place.keep(&[to]).await);
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let page = async |filter: &Filter, cursor: Option<&Cursor>, limit| {
        place.quarantine.page(filter, Order::default(), cursor, limit).await.unwrap()
    };
    let of = |page: Page| page.entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    let first = page(&Filter::default(), None, 2).await;
    let next = first.next.clone();
    assert_eq!(of(first), ids[..2]);
    let last = page(&Filter::default(), next.as_ref(), 2).await;
    assert!(last.next.is_none() && !last.unfinished);
    assert_eq!(of(last), ids[2..]);
    let list = async |filter: Filter| of(page(&filter, None, 9).await);
    let to = |text: &str| Filter { recipient: Some(text.to_owned()), ..Filter::default() };
    assert_eq!(list(to("B_C@example.org")).await.len(), 1);
    assert_eq!(list(to("@example.org")).await.len(), 3);
    assert_eq!(list(to("@%")).await.len(), 0);
    assert_eq!(list(to("' OR 1 = 1 --")).await.len(), 0);
}

#[tokio::test]
async fn the_metrics_say_what_waits_and_since_when() {
    let metrics = Metrics::new().unwrap();
    let mut place = Place::new();
    let store = Store::open(place.directory.path(), Access::Existing).unwrap();
    place.quarantine = Quarantine::new(store, Settings::default(), &metrics);
    let first = place.keep(&["a@example.org"]).await;
    place.keep(&["b@example.org"]).await;
    let age = Statement::new("UPDATE quarantine_entry SET stored_at = stored_at - 7200000 WHERE id = ?1").with(&*first);
    place.quarantine.0.database.write(vec![age]).await.unwrap();
    let series = |name: &str| -> i64 {
        let text = String::from_utf8(metrics.render()).unwrap();
        let name = format!("octroi_quarantine_{name}{{class=\"policy\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    };
    place.quarantine.measure().await;
    assert_eq!((series("entries"), series("waiting")), (2, 2));
    assert_eq!((series("limit_bytes"), series("keep_seconds")), (10 << 30, 30 * 86_400));
    assert!((7200..7260).contains(&series("oldest_age_seconds")), "{}", series("oldest_age_seconds"));
    let claimed = place.quarantine.claim(place.quarantine.entry(&first).await.unwrap(), claim(&[], false)).await.unwrap();
    place.quarantine.settle(&claimed.released("250 ok")).await.unwrap();
    place.quarantine.measure().await;
    assert_eq!((series("entries"), series("waiting")), (2, 1), "what is released is kept, and waits for nobody");
    assert!(series("oldest_age_seconds") < 60);
}

#[tokio::test]
async fn what_another_process_does_is_counted_and_what_was_done_before_is_not() {
    let metrics = Metrics::new().unwrap();
    let place = Place::new();
    let service = Quarantine::new(Store::open(place.directory.path(), Access::Existing).unwrap(), Settings::default(), &metrics);
    let done = |name: &str| -> u64 {
        let text = String::from_utf8(metrics.render()).unwrap();
        let name = format!("octroi_quarantine_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
    };
    let counts = || (done("released_total"), done("deleted_total{reason=\"reviewer\"}"), done("deleted_total{reason=\"age\"}"));
    let mut seen = None;
    place.quarantine.delete(&place.keep(&["a@example.org"]).await, "a test").await.unwrap();
    service.count_deeds(&mut seen).await;
    assert_eq!(counts(), (0, 0, 0));
    let id = place.keep(&["a@example.org", "b@example.org"]).await;
    for (recipients, to) in [(&["a@example.org".to_owned()][..], "250 ok"), (&[], "250 ok")] {
        let claimed = place.quarantine.claim(place.quarantine.entry(&id).await.unwrap(), claim(recipients, false)).await.unwrap();
        place.quarantine.settle(&claimed.released(to)).await.unwrap();
    }
    service.delete(&id, "a test").await.unwrap();
    assert!(service.delete(&id, "a test").await.is_err());
    place.keep(&["a@example.org"]).await;
    place.quarantine.expire(SystemTime::now() + Duration::from_secs(31 * 86_400)).await.unwrap();
    service.count_deeds(&mut seen).await;
    service.count_deeds(&mut seen).await;
    assert_eq!(counts(), (2, 1, 1));
}

#[tokio::test]
async fn an_outcome_and_its_record_are_written_both_or_neither_and_a_later_attempt_is_left_alone() {
    let place = Place::new();
    let id = place.keep(&["b@example.org"]).await;
    let entry = async || place.quarantine.entry(&id).await.unwrap();
    let first = place.quarantine.claim(entry().await, claim(&[], false)).await.unwrap();
    let impossible = Statement::new("UPDATE quarantine_usage SET entries = 7 WHERE class = 'no such class'").must_change();
    let late = first.not_released("550 no");
    assert!(place.quarantine.settle(&late.clone().with(impossible)).await.is_err());
    assert_eq!(entry().await.recipients[0].state, RecipientState::Releasing);
    let again = place.quarantine.claim(entry().await, claim(&[], true)).await.unwrap();
    place.quarantine.settle(&again.released("250 ok")).await.unwrap();
    place.quarantine.settle(&late).await.unwrap();
    let found = entry().await;
    assert_eq!((found.state, found.recipients[0].reply.as_deref()), (State::Released, Some("250 ok")));
}

#[tokio::test]
async fn encoded_words_are_read_and_found_and_hide_nothing() {
    let place = Place::new();
    // "Réunion", then a carriage return, a line feed, ESC [ 2 J and a mark that turns text.
    let headers = "Subject: =?utf-8?B?UsOpdW5pb24=?= =?utf-8?Q?_=0D=0A=1B[2J=E2=80=AEend?=\r\n";
    let id = place.keep_with("a@example.net", HoldClass::Policy, &["b@example.org"], headers).await.unwrap().id();
    let entry = place.quarantine.entry(&id.to_string()).await.unwrap();
    assert_eq!(entry.subject.as_deref(), Some("Réunion   ?[2J?end"));
    let found = Filter { text: Some("reunion".into()), ..Filter::default() };
    assert_eq!(place.quarantine.page(&found, Order::default(), None, 9).await.unwrap().entries.len(), 1, "in any accent");
}
