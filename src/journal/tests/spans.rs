//! Messages told as spans.
use super::{documented::client, *};
use crate::chain::Verdict;
use crate::telemetry::traces::{Chance, Failure, Kind, Span, Trace, Traces, Value as Told, Waiting};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};
use tokio::sync::mpsc::Receiver;

/// A journal that tells of everything, and what it tells.
fn telling(chance: Chance) -> (Arc<Journal>, Receiver<Waiting>) {
    let (journal, metrics) = journal();
    let (traces, waiting) = Traces::queue(chance, &metrics);
    (Arc::new(Journal::clone(&journal).with_traces(Some(traces))), waiting)
}

struct Clock(Instant);

impl Clock {
    fn at(&self, millis: u64) -> Instant {
        self.0 + Duration::from_millis(millis)
    }
    /// A stage that was called between those.
    fn stage(&self, name: &str, calls: std::ops::Range<u64>, incomplete: Option<Incomplete>) -> StageTiming {
        let result = if incomplete.is_some() { StageResult::Incomplete } else { StageResult::Pass };
        let calls = Some(self.at(calls.start)..self.at(calls.end));
        StageTiming { stage: name.into(), took: Duration::from_millis(7), calls, result, incomplete, findings: 1 }
    }
}

/// What is told of a message: MAIL at 100 ms, the end of the data at 200, the verdict at 260; the rest
/// is the caller's.
fn told(chain: impl Fn(&Clock) -> Conclusion, end: impl Fn(&mut Entry, &Clock)) -> Trace {
    let (journal, mut waiting) = telling(Chance::ALWAYS);
    // In the past, as everything is that is told.
    let clock = Clock(Instant::now().checked_sub(Duration::from_secs(10)).unwrap());
    let session = Session::open(&journal, &client(), clock.at(0));
    let mut entry = session.begin(Id::generate(), &mail(), clock.at(100));
    entry.recipient(&recipient("bob@example.com"));
    entry.headers(Some("<1@example.org>".into()), Some("lunch".into()), Some("Alice <alice@example.org>".into()));
    entry.upstream(&"default".into());
    entry.received(4096, clock.at(200));
    entry.concluded(&mut chain(&clock), clock.at(260));
    end(&mut entry, &clock);
    drop(entry);
    waiting.try_recv().unwrap().trace()
}

fn delivered(entry: &mut Entry, clock: &Clock) {
    entry.delivered(&Reply::new(250, "2.0.0 Ok: queued as 4cGZ2R"), clock.at(900));
}

fn named<'a>(trace: &'a Trace, name: &str) -> &'a Span {
    trace.children.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {trace:#?}"))
}

fn names(trace: &Trace) -> Vec<&str> {
    trace.children.iter().map(|span| &*span.name).collect()
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a Told> {
    span.attributes.iter().find_map(|(found, value)| (*found == name).then_some(value))
}

/// Milliseconds between two moments of a trace.
fn millis(from: SystemTime, to: SystemTime) -> u128 {
    (to.duration_since(from).unwrap().as_micros() + 500) / 1000
}

#[test]
fn a_delivered_message_has_a_span_for_each_thing_that_took_time() {
    let chain = |clock: &Clock| Conclusion {
        timings: vec![clock.stage("early", 90..250, None), clock.stage("late", 205..255, None)],
        ..Conclusion::default()
    };
    let trace = told(chain, delivered);
    assert_eq!(names(&trace), ["receive", "inspect", "stage early", "stage late", "deliver"]);
    let start = trace.root.start;
    assert_eq!(millis(start, trace.root.end), 810, "from the first stage's first call, before MAIL was accepted");
    for (name, from, to) in
        [("receive", 10, 110), ("inspect", 110, 170), ("stage early", 0, 160), ("stage late", 115, 165), ("deliver", 170, 810)]
    {
        let span = named(&trace, name);
        assert_eq!((millis(start, span.start), millis(start, span.end)), (from, to), "{name}");
        assert!(span.start >= start && span.end <= trace.root.end, "{name}");
    }
    assert!(trace.children.iter().chain([&trace.root]).all(|span| span.failure.is_none()));
    assert_eq!((trace.root.kind, named(&trace, "deliver").kind), (Kind::Server, Kind::Client));
    let age = SystemTime::now().duration_since(trace.root.end).unwrap();
    assert!(age > Duration::from_secs(8) && age < Duration::from_secs(60), "{age:?}");
}

#[test]
fn the_trace_is_named_by_the_message() {
    let trace = told(|_| Conclusion::default(), delivered);
    let Some(Told::Text(id)) = attribute(&trace.root, "octroi.message.id") else { panic!("{trace:#?}") };
    assert_eq!(ulid::Ulid::from_string(id).unwrap().to_bytes(), trace.id);
}

#[test]
fn nothing_of_the_subject_or_the_author_is_told() {
    let trace = format!("{:?}", told(|_| Conclusion::default(), delivered));
    assert!(!trace.contains("lunch") && !trace.contains("Alice") && trace.contains("bob@example.com"), "{trace}");
}

fn failure(kind: &'static str, text: &str) -> Option<Failure> {
    Some(Failure { kind, text: text.to_owned() })
}

#[test]
fn what_clients_and_verdicts_are_to_blame_for_is_no_failure() {
    let refusal = Refusal::permanent(54, "7.1", "no");
    let refuse = |entry: &mut Entry, clock: &Clock| entry.refused(&refusal, clock.at(261));
    let by_a_stage =
        told(|_| Conclusion { verdict: Verdict::Refuse(refusal.clone()), decided_by: Some("av".into()), ..Conclusion::default() }, refuse);
    assert_eq!(names(&by_a_stage), ["receive", "inspect"], "nobody was given it");
    let by_the_mta = told(|_| Conclusion::default(), refuse);
    assert_eq!(names(&by_the_mta), ["receive", "inspect", "deliver"]);
    let lost = told(|_| Conclusion::default(), |_, _| {});
    assert_eq!(attribute(&lost.root, "octroi.verdict"), Some(&Told::Text("lost".into())));
    let discarded = told(|_| Conclusion::default(), |entry, clock| entry.discarded(&Reply::new(250, "2.0.0 ok"), clock.at(261)));
    for trace in [by_a_stage, by_the_mta, lost, discarded] {
        assert!(trace.children.iter().chain([&trace.root]).all(|span| span.failure.is_none()), "{trace:#?}");
    }
}

#[test]
fn what_we_or_those_behind_us_are_to_blame_for_is_one() {
    let later = Refusal::temporary(51, "4.1", "later");
    let fails = |fault, text: &'static str| {
        let later = later.clone();
        move |entry: &mut Entry, clock: &Clock| {
            entry.error(fault, &text);
            entry.refused(&later, clock.at(900));
        }
    };
    let unanswered = told(|_| Conclusion::default(), fails(Fault::Upstream, "closed the connection"));
    assert_eq!(unanswered.root.failure, failure("upstream", "closed the connection"));
    assert_eq!(named(&unanswered, "deliver").failure, unanswered.root.failure);
    assert_eq!(attribute(named(&unanswered, "deliver"), "error.type"), Some(&Told::Text("upstream".into())));

    let not_stored = told(|_| Conclusion { decided_by: Some("av".into()), ..Conclusion::default() }, fails(Fault::Quarantine, "disk full"));
    assert_eq!(named(&not_stored, "quarantine").failure, failure("quarantine", "disk full"));

    let refused = |clock: &Clock| Conclusion {
        timings: vec![clock.stage("av", 200..260, Some(Incomplete::Late))],
        verdict: Verdict::Refuse(later.clone()),
        decided_by: Some("av".into()),
        ..Conclusion::default()
    };
    let held_up = told(refused, |entry, clock| entry.refused(&later, clock.at(261)));
    assert_eq!(named(&held_up, "stage av").failure, failure("late", "did not finish: late"));
    assert_eq!(held_up.root.failure, failure("stage", "av: late"));

    let passed = |unfinished| {
        move |clock: &Clock| Conclusion {
            timings: vec![clock.stage("av", 200..260, Some(Incomplete::Late))],
            unfinished,
            ..Conclusion::default()
        }
    };
    assert_eq!(told(passed(true), delivered).root.failure, failure("stage", "av: late"));
    assert_eq!(told(passed(false), delivered).root.failure, None, "it only observes");
}

#[test]
fn a_stage_that_was_not_called_takes_no_time() {
    let skipped = |clock: &Clock| Conclusion {
        timings: vec![StageTiming { calls: None, ..clock.stage("av", 0..0, Some(Incomplete::BreakerOpen)) }],
        ..Conclusion::default()
    };
    let trace = told(skipped, delivered);
    let span = named(&trace, "stage av");
    assert_eq!((millis(trace.root.start, span.start), span.start), (100, span.end));
    assert_eq!(span.failure.as_ref().unwrap().kind, "breaker_open");
}

#[test]
fn only_what_is_chosen_is_told_and_only_that_has_a_trace_in_its_line() {
    let (journal, mut waiting) = telling(Chance::of(0.0));
    let log = capture(Format::Json, false, || {
        let session = Session::open(&journal, &client(), Instant::now());
        for failed in [false, true] {
            let mut entry = session.begin(Id::generate(), &mail(), Instant::now());
            entry.received(1, Instant::now());
            if failed {
                entry.error(Fault::Spool, &"no room");
            }
        }
        std::mem::forget(session);
    });
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0].get("trace_id").is_none() && lines.len() == 2, "{log}");
    let trace = waiting.try_recv().unwrap().trace();
    assert_eq!(lines[1]["trace_id"], crate::value::hex(&trace.id).as_str());
    assert_eq!((trace.chance, trace.root.failure), (Chance::ALWAYS, failure("spool", "no room")));
    assert!(waiting.try_recv().is_err());
}

#[test]
fn addresses_are_told_as_rows_have_them() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, metrics) = journal();
    let settings = Settings { addresses: Addresses::Hashed, ..Settings::default() };
    let book = Book::open(directory.path(), settings, &metrics).unwrap();
    let (traces, mut waiting) = Traces::queue(Chance::ALWAYS, &metrics);
    let journal = Arc::new(Journal::clone(&journal).with_book(book.clone()).with_traces(Some(traces)));
    let session = Session::open(&journal, &client(), Instant::now());
    let mut entry = session.begin(Id::generate(), &mail(), Instant::now());
    entry.recipient(&recipient("bob@example.com"));
    entry.received(1, Instant::now());
    entry.error(Fault::Upstream, &"<bob@example.com> is too much for it");
    entry.refused(&Refusal::permanent(50, "1.1", "<bob@example.com>: unknown"), Instant::now());
    drop(entry);
    let trace = waiting.try_recv().unwrap().trace();
    let all = format!("{trace:?}");
    assert!(!all.contains("bob@") && !all.contains("alice") && all.contains("unknown"), "{all}");
    let hide = book.rows().hide().unwrap();
    assert_eq!(attribute(&trace.root, "octroi.recipients"), Some(&Told::Texts(vec![hide.address("bob@example.com")])));
    assert_eq!(attribute(&trace.root, "octroi.sender"), Some(&Told::Text(hide.address("alice@example.org"))));
    assert_eq!(attribute(&trace.root, "user.name"), Some(&Told::Text(hide.address("alice"))));
}

/// The attributes in `deploy/TRACES.md`: of which spans, and of what kind.
fn documented() -> BTreeMap<String, (BTreeSet<String>, String)> {
    let text = include_str!("../../../deploy/TRACES.md");
    let (_, text) = text.split_once("\n## Attributes\n").unwrap();
    let rows = text.split_once("\n## ").unwrap().0.lines().filter(|line| line.starts_with("| `"));
    let of = |row: &str| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let spans = cells[2].split(", ").map(|name| name.trim_matches('`').to_owned()).collect();
        (cells[1].trim_matches('`').to_owned(), (spans, cells[3].to_owned()))
    };
    rows.map(of).collect()
}

#[test]
fn spans_have_the_attributes_that_are_documented() {
    let chain = |clock: &Clock| Conclusion {
        timings: vec![clock.stage("av", 200..260, Some(Incomplete::Late))],
        findings: vec![Finding { name: "limits.parts", value: Value::Number(3) }],
        decided_by: Some("rule x".into()),
        unfinished: true,
        ..Conclusion::default()
    };
    let eventful = |entry: &mut Entry| {
        entry.violation(Violation::BareNewline);
        entry.held(1);
    };
    let all = [
        told(chain, |entry, clock| {
            eventful(entry);
            delivered(entry, clock);
        }),
        told(chain, |entry, clock| {
            eventful(entry);
            entry.quarantined(&Reply::new(250, "2.0.0 ok"), clock.at(900));
        }),
    ];
    let mut told = BTreeMap::<String, (BTreeSet<String>, String)>::new();
    for span in all.iter().flat_map(|trace| trace.children.iter().chain([&trace.root])) {
        let of = span.name.split(' ').next().unwrap();
        let mut names = BTreeSet::new();
        for (name, value) in &span.attributes {
            assert!(names.insert(name), "{name} stands twice in {of}");
            let kind = match value {
                Told::Text(_) => "text",
                Told::Texts(_) => "list",
                Told::Whole(_) | Told::Real(_) => "number",
                Told::Flag(_) => "flag",
            };
            let (spans, known) = told.entry((*name).to_owned()).or_insert_with(|| (BTreeSet::new(), kind.to_owned()));
            assert_eq!(known, kind, "{name}");
            spans.insert(of.to_owned());
        }
    }
    // Whatever fails has it.
    told.get_mut("error.type").unwrap().0 = ["all".to_owned()].into();
    assert_eq!(told, documented());
}
