//! The chain under a paused clock, with stages that do as they are told.
mod guards;
use super::*;
use crate::{
    message::{Client, Content, Edit, Edits, Envelope, HeaderBlock, Message},
    smtp::{Address, Domain, Mail, Recipient, Refusal, ReversePath},
    telemetry::{Incomplete, StageResult},
    value::Id,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// What a stage does when an event comes.
#[derive(Clone)]
enum Act {
    Refuse(Refusal),
    Done,
    Sleep(u64),
    Panic,
    Fail,
    Ask(Vec<Edit>),
    Judge(Verdict),
}
use Act::*;

/// Calls of all stages, in the order they came: `name:event`.
type Calls = Arc<Mutex<Vec<String>>>;

#[derive(Clone)]
struct Scripted {
    name: &'static str,
    edits: bool,
    wants: Wants,
    acts: Vec<(&'static str, Act)>,
    calls: Calls,
}

impl Scripted {
    async fn event(&self, event: &'static str, detail: &str) -> Result<(Decision, Report), StageError> {
        let colon = if detail.is_empty() { "" } else { "=" };
        self.calls.lock().unwrap().push(format!("{}:{event}{colon}{detail}", self.name));
        let mut report = Report::default();
        for (_, act) in self.acts.iter().filter(|(at, _)| *at == event) {
            match act.clone() {
                Refuse(refusal) => return Ok((Decision::Refuse(refusal), report)),
                Done => return Ok((Decision::Done, report)),
                Sleep(seconds) => sleep(Duration::from_secs(seconds)).await,
                Panic => panic!("told to"),
                Fail => return Err(StageError::Failed("told to".into())),
                Ask(edits) => report.edits = edits,
                Judge(verdict) => report.verdict = verdict,
            }
        }
        Ok((Decision::Go, report))
    }
}

#[async_trait]
impl Stage for Scripted {
    fn may_edit(&self) -> bool {
        self.edits
    }
    fn wants(&self) -> Wants {
        self.wants
    }
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        self.event("begin", "").await?;
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Inspection for Scripted {
    async fn connect(&mut self, _: &Arc<Client>) -> Result<Decision, StageError> {
        Ok(self.event("connect", "").await?.0)
    }
    async fn hello(&mut self, _: &Arc<Client>) -> Result<Decision, StageError> {
        Ok(self.event("hello", "").await?.0)
    }
    async fn mail(&mut self, _: &Arc<Client>, _: &Mail, _: Id) -> Result<Decision, StageError> {
        Ok(self.event("mail", "").await?.0)
    }
    async fn recipient(&mut self, _: &Recipient) -> Result<Decision, StageError> {
        Ok(self.event("recipient", "").await?.0)
    }
    async fn headers(&mut self, headers: &HeaderBlock) -> Result<Decision, StageError> {
        let names: Vec<_> = headers.fields().map(|field| String::from_utf8_lossy(field.name).into_owned()).collect();
        Ok(self.event("headers", &names.join(",")).await?.0)
    }
    async fn body(&mut self, chunk: &Bytes) -> Result<Decision, StageError> {
        Ok(self.event("body", &String::from_utf8_lossy(chunk)).await?.0)
    }
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let all = message.content.slice(0..100).await.unwrap();
        Ok(self.event("end", &String::from_utf8_lossy(&all).replace("\r\n", "/")).await?.1)
    }
    fn abort(&mut self) {
        self.calls.lock().unwrap().push(format!("{}:abort", self.name));
        assert!(!self.acts.iter().any(|(at, act)| *at == "abort" && matches!(act, Panic)), "told to");
    }
}

/// A chain in the making.
#[derive(Default)]
struct Stages {
    stages: Vec<Configured>,
    calls: Calls,
}

impl Stages {
    fn with(mut self, name: &'static str, acts: impl Into<Vec<(&'static str, Act)>>, set: impl FnOnce(&mut Configured)) -> Self {
        // An editing stage has an upper-case name.
        let edits = name == name.to_uppercase();
        let stage = Scripted { name, edits, wants: Wants::ALL, acts: acts.into(), calls: Arc::clone(&self.calls) };
        let mut configured = Configured::new(name, "scripted", Box::new(stage));
        set(&mut configured);
        self.stages.push(configured);
        self
    }
    fn stage(self, name: &'static str, acts: impl Into<Vec<(&'static str, Act)>>) -> Self {
        self.with(name, acts, |_| {})
    }
    async fn begin(self) -> (Inspections, Calls) {
        let chain = Arc::new(Chain::new(self.stages, Duration::from_secs(25)));
        (Inspections::begin(&chain, &client()).await, self.calls)
    }
}

fn client() -> Arc<Client> {
    let address = "192.0.2.1:1".parse().unwrap();
    let hello = Some((Domain::parse("client.example").unwrap(), true));
    Arc::new(Client { listener: "mx".into(), address, local: address, tls: None, hello, account: None, mechanism: None })
}
fn mail() -> Mail {
    Mail::new(ReversePath(None))
}
fn recipient() -> Recipient {
    Recipient::new(Address::parse("a@example.org", false).unwrap())
}
fn message() -> Message {
    let envelope = Envelope { mail: mail(), recipients: vec![recipient()] };
    Message::new(envelope.into(), HeaderBlock::new("A: b\r\n".into()), Content::from_bytes("A: b\r\n\r\nbody"))
}
fn permanent(text: &str) -> Refusal {
    Refusal::permanent(50, "7.1", text)
}
fn add(name: &str) -> Edit {
    Edit::AddHeader { name: name.into(), value: "y".into() }
}
fn observe(configured: &mut Configured) {
    configured.mode = Mode::Observe;
}
fn accept(configured: &mut Configured) {
    configured.on_error = OnError::Accept;
}

/// A whole transaction, as the gate drives it.
async fn transaction(inspections: &mut Inspections) -> Conclusion {
    let client = client();
    assert_eq!(inspections.ask(Question::Mail(&client, &mail(), Id::generate())).await.0, Decision::Go);
    assert_eq!(inspections.ask(Question::Recipient(&client, &recipient())).await.0, Decision::Go);
    let message = message();
    inspections.ask(Question::Headers(&message.headers)).await;
    for chunk in ["bo", "dy"] {
        if inspections.wants_body() {
            inspections.body(&chunk.into()).await;
        }
    }
    inspections.conclude(&client, &message).await
}
fn take(calls: &Calls) -> Vec<String> {
    std::mem::take(&mut *calls.lock().unwrap())
}
fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn events_come_in_order_and_later_segments_see_the_edits() {
    let stages = Stages::default().stage("a", []).stage("B", [("end", Ask(vec![add("X")]))]).stage("c", []);
    let (mut inspections, calls) = stages.begin().await;
    let conclusion = transaction(&mut inspections).await;
    assert_eq!(
        take(&calls),
        [
            "a:begin",
            "B:begin",
            "c:begin",
            "a:mail",
            "B:mail",
            "c:mail",
            "a:recipient",
            "B:recipient",
            "c:recipient",
            "a:headers=A",
            "B:headers=A",
            "a:body=bo",
            "B:body=bo",
            "a:body=dy",
            "B:body=dy",
            "a:end=A: b//body",
            "B:end=A: b//body",
            "c:headers=A,X",
            "c:body=body",
            "c:end=A: b/X: y//body",
        ]
    );
    assert_eq!(conclusion.edits, Edits(vec![add("X")]));
    assert_eq!((conclusion.verdict, conclusion.decided_by), (Verdict::Deliver, None));
    let results: Vec<_> = conclusion.timings.iter().map(|timing| timing.result).collect();
    assert_eq!(results, [StageResult::Pass, StageResult::Edit, StageResult::Pass]);
}

#[tokio::test]
async fn a_replaced_body_is_what_later_stages_see() {
    let stages = Stages::default().stage("A", [("end", Ask(vec![Edit::ReplaceBody("new".into())]))]).stage("b", []);
    let (mut inspections, calls) = stages.begin().await;
    transaction(&mut inspections).await;
    assert_eq!(take(&calls)[10..], ["b:headers=A", "b:body=new", "b:end=A: b//new"]);
}

#[tokio::test(start_paused = true)]
async fn a_segment_takes_as_long_as_its_slowest_stage() {
    let slow = [("mail", Sleep(3)), ("body", Sleep(2)), ("end", Sleep(4))];
    let stages = Stages::default().stage("a", slow.clone()).stage("b", slow.clone()).stage("c", slow);
    let (mut inspections, _) = stages.begin().await;
    let before = Instant::now();
    let conclusion = transaction(&mut inspections).await;
    assert_eq!(before.elapsed().as_secs(), 3 + 2 + 2 + 4, "back-pressure: every piece waits for the slowest");
    assert!(conclusion.timings.iter().all(|timing| timing.took.as_secs() == 11 && timing.incomplete.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_late_stage_is_left_behind_and_begins_anew_with_the_next_message() {
    let (mut inspections, calls) = Stages::default().with("a", [("body", Sleep(60))], accept).begin().await;
    let before = Instant::now();
    let conclusion = transaction(&mut inspections).await;
    assert_eq!(before.elapsed().as_secs(), 10);
    assert_eq!(conclusion.verdict, Verdict::Deliver);
    assert_eq!(texts(&conclusion.findings), ["stage.incomplete=a: late"]);
    assert_eq!((conclusion.timings[0].incomplete, conclusion.timings[0].result), (Some(Incomplete::Late), StageResult::Incomplete));
    take(&calls);
    let conclusion = transaction(&mut inspections).await;
    assert_eq!(conclusion.timings[0].incomplete, Some(Incomplete::Late));
    let again = ["a:begin", "a:connect", "a:hello", "a:mail", "a:recipient"];
    assert_eq!(take(&calls)[..5], again, "another inspection, which is told what it missed");
}

#[tokio::test(start_paused = true)]
async fn after_the_end_of_data_all_share_one_budget() {
    let end = [("end", Sleep(9))];
    let stages = Stages::default().stage("A", end.clone()).stage("B", end.clone()).with("c", end, |c| c.on_error = OnError::Reject);
    let (mut inspections, _) = stages.begin().await;
    let before = Instant::now();
    let conclusion = transaction(&mut inspections).await;
    assert_eq!(before.elapsed().as_secs(), 25, "9 and 9, and what is left of 25");
    assert_eq!(conclusion.verdict, Verdict::Refuse(OnError::Reject.refusal().unwrap()));
    assert_eq!(conclusion.decided_by.as_deref(), Some("c"));
}

#[tokio::test(start_paused = true)]
async fn what_is_replayed_to_later_segments_comes_out_of_the_same_budget() {
    for event in ["headers", "body"] {
        let stages = Stages::default().stage("A", [("end", Sleep(9))]).stage("B", [("end", Sleep(9))]).stage("c", [(event, Sleep(9))]);
        let (mut inspections, _) = stages.begin().await;
        let before = Instant::now();
        let conclusion = transaction(&mut inspections).await;
        assert_eq!((before.elapsed().as_secs(), conclusion.timings[2].incomplete), (25, Some(Incomplete::Late)), "{event}");
    }
}

#[tokio::test]
async fn a_failure_at_the_end_means_what_on_error_says() {
    let replies = [(OnError::Accept, None), (OnError::Tempfail, Some("451 4.7.1")), (OnError::Reject, Some("554 5.7.1"))];
    for (on_error, reply) in replies {
        for (act, why) in [(Panic, Incomplete::Panicked), (Fail, Incomplete::Failed)] {
            let (mut inspections, _) = Stages::default().with("a", [("end", act)], |c| c.on_error = on_error).begin().await;
            let conclusion = transaction(&mut inspections).await;
            match (&conclusion.verdict, reply) {
                (Verdict::Deliver, None) => {}
                (Verdict::Refuse(refusal), Some(reply)) => assert!(refusal.to_string().starts_with(reply)),
                (verdict, _) => panic!("{on_error:?} gave {verdict:?}"),
            }
            assert_eq!(conclusion.timings[0].incomplete, Some(why));
        }
    }
}

#[tokio::test]
async fn a_failure_before_the_message_refuses_the_command() {
    for event in ["begin", "connect", "hello", "mail"] {
        let (mut inspections, calls) = Stages::default().stage("a", [(event, Panic)]).stage("b", []).begin().await;
        let client = client();
        assert_eq!(inspections.ask(Question::Connect(&client)).await.0, Decision::Go);
        assert_eq!(inspections.ask(Question::Hello(&client)).await.0, Decision::Go);
        for _ in 0..2 {
            let (decision, by) = inspections.ask(Question::Mail(&client, &mail(), Id::generate())).await;
            assert_eq!(decision, Decision::Refuse(OnError::Tempfail.refusal().unwrap()), "{event}");
            assert_eq!(by.as_deref(), Some("a"));
        }
        assert_eq!(take(&calls).last().unwrap(), "b:abort", "the others hear that there is no transaction");
    }
    let (mut inspections, _) = Stages::default().stage("a", [("recipient", Fail)]).begin().await;
    assert_eq!(inspections.ask(Question::Mail(&client(), &mail(), Id::generate())).await.0, Decision::Go);
    assert_ne!(inspections.ask(Question::Recipient(&client(), &recipient())).await.0, Decision::Go);
    assert_ne!(inspections.ask(Question::Recipient(&client(), &recipient())).await.0, Decision::Go);
}

#[tokio::test]
async fn the_first_refusal_in_the_order_of_the_chain_is_given() {
    let refuse = |text: &str| [("mail", Refuse(permanent(text)))];
    let (mut inspections, calls) = Stages::default().stage("a", []).stage("b", refuse("b")).stage("c", refuse("c")).begin().await;
    let said = inspections.ask(Question::Mail(&client(), &mail(), Id::generate())).await;
    assert_eq!(said, (Decision::Refuse(permanent("b")), Some("b".into())));
    assert_eq!(take(&calls)[6..], ["a:abort", "b:abort", "c:abort"]);
}

#[tokio::test]
async fn the_strictest_verdict_wins_and_a_final_one_ends_the_chain() {
    let verdict = |verdict| [("end", Judge(verdict))];
    let temporary = || Verdict::Refuse(Refusal::temporary(51, "7.1", "x"));
    let stages = Stages::default().stage("a", verdict(Verdict::Discard)).stage("b", verdict(temporary())).stage("c", verdict(temporary()));
    let conclusion = transaction(&mut stages.begin().await.0).await;
    assert_eq!((conclusion.verdict, conclusion.decided_by.as_deref()), (temporary(), Some("b")));

    let stages = Stages::default().stage("A", verdict(Verdict::Refuse(permanent("no")))).stage("b", []);
    let (mut inspections, calls) = stages.begin().await;
    let conclusion = transaction(&mut inspections).await;
    assert_eq!((conclusion.verdict, conclusion.decided_by.as_deref()), (Verdict::Refuse(permanent("no")), Some("A")));
    assert_eq!(take(&calls).last().unwrap(), "b:abort", "who was not reached hears that it is over");
    assert_eq!(conclusion.timings.len(), 1);
}

#[tokio::test]
async fn what_is_said_of_header_or_body_stands_at_the_end() {
    for event in ["headers", "body"] {
        for name in ["a", "b"] {
            let acts = |own: &str| if own == name { vec![(event, Refuse(permanent("seen enough")))] } else { vec![] };
            let (mut inspections, calls) = Stages::default().stage("a", acts("a")).stage("E", []).stage("b", acts("b")).begin().await;
            let conclusion = transaction(&mut inspections).await;
            assert_eq!(conclusion.verdict, Verdict::Refuse(permanent("seen enough")), "{name} at {event}");
            assert_eq!(conclusion.decided_by.as_deref(), Some(name));
            let calls = take(&calls);
            assert!(!calls.iter().any(|call| call.starts_with(&format!("{name}:end"))));
            assert!(calls.contains(&format!("{name}:abort")));
        }
    }
}

#[tokio::test]
async fn who_is_done_sees_no_more() {
    let (mut inspections, calls) =
        Stages::default().stage("a", [("body", Done)]).stage("b", [("mail", Done)]).stage("c", [("hello", Done)]).begin().await;
    inspections.ask(Question::Hello(&client())).await;
    take(&calls);
    for _ in 0..2 {
        transaction(&mut inspections).await;
        let calls = take(&calls);
        assert_eq!(calls, ["a:mail", "b:mail", "a:recipient", "a:headers=A", "a:body=bo", "a:end=A: b//body"]);
    }
}

#[tokio::test]
async fn an_observing_stage_changes_nothing_and_says_what_it_would_have_done() {
    let acts = [
        ("mail", Refuse(permanent("m"))),
        ("body", Refuse(permanent("b"))),
        ("end", Ask(vec![add("X")])),
        ("end", Judge(Verdict::Discard)),
    ];
    let (mut inspections, _) = Stages::default().with("A", acts, observe).begin().await;
    let conclusion = transaction(&mut inspections).await;
    assert_eq!((conclusion.verdict, conclusion.edits), (Verdict::Deliver, Edits::default()));
    assert_eq!(
        texts(&conclusion.findings),
        [
            "stage.observed=A: refuse at mail: 550 5.7.1 m",
            "stage.observed=A: refuse at body: 550 5.7.1 b",
            "stage.observed=A: discard",
            "stage.observed=A: 1 edits"
        ]
    );
    assert_eq!(conclusion.timings[0].result, StageResult::Discard);

    let (mut inspections, _) = Stages::default().with("a", [("mail", Panic)], observe).begin().await;
    let conclusion = transaction(&mut inspections).await;
    assert_eq!((conclusion.verdict, texts(&conclusion.findings)), (Verdict::Deliver, vec!["stage.incomplete=a: panicked".to_owned()]));
}

#[tokio::test]
async fn what_the_last_stages_saw_is_told_where_it_has_the_same_parts() {
    let seen = async |edits: &[Edit]| {
        let stages = Stages::default().stage("B", [("end", Ask(edits.to_vec()))]).stage("c", []);
        transaction(&mut stages.begin().await.0).await.inspected.map(|message| message.headers.as_bytes().clone())
    };
    assert_eq!(seen(&[add("X")]).await.unwrap(), "A: b\r\nX: y\r\n");
    for other in [vec![], vec![add("Content-Type")], vec![add("X"), Edit::ReplaceBody("other".into())]] {
        assert_eq!(seen(&other).await, None, "{other:?}");
    }
}

#[tokio::test]
async fn edits_of_those_who_may_not_and_edits_that_cannot_be_are_left_out() {
    let stages = Stages::default().stage("a", [("end", Ask(vec![add("X")]))]).stage("B", [("end", Ask(vec![add("a\r\nb"), add("Y")]))]);
    let conclusion = transaction(&mut stages.begin().await.0).await;
    assert_eq!(conclusion.edits, Edits(vec![add("Y")]));
}

#[tokio::test]
async fn a_stage_is_called_for_what_it_wants_only() {
    let calls = Calls::default();
    let stage = |wants| {
        let stage = Scripted { name: "a", edits: false, wants, acts: vec![], calls: Arc::clone(&calls) };
        Stages { calls: Arc::clone(&calls), ..Stages::default() }.with("a", [], |configured| configured.stage = Box::new(stage))
    };
    let expected = [
        (Wants::NOTHING, vec![]),
        (Wants::BODY, vec!["a:body=bo", "a:body=dy"]),
        (Wants::MAIL | Wants::END_OF_MESSAGE, vec!["a:mail", "a:end=A: b//body"]),
    ];
    for (wants, expected) in expected {
        let (mut inspections, _) = stage(wants).begin().await;
        let conclusion = transaction(&mut inspections).await;
        assert_eq!(take(&calls)[1..], expected);
        assert_eq!(conclusion.timings.len(), usize::from(!expected.is_empty()));
    }
}

#[tokio::test]
async fn a_transaction_ends_once_however_it_ends() {
    let (mut inspections, calls) = Stages::default().stage("a", []).begin().await;
    inspections.abort();
    assert_eq!(take(&calls), ["a:begin"], "nothing was under way");
    inspections.ask(Question::Mail(&client(), &mail(), Id::generate())).await;
    inspections.abort();
    inspections.abort();
    assert_eq!(take(&calls), ["a:mail", "a:abort"]);
    transaction(&mut inspections).await;
    take(&calls);
    inspections.abort();
    assert!(take(&calls).is_empty(), "a concluded message is not aborted");
    inspections.ask(Question::Mail(&client(), &mail(), Id::generate())).await;
    drop(inspections);
    assert_eq!(take(&calls), ["a:mail", "a:abort"], "a lost connection");
}

#[tokio::test]
async fn a_panic_while_aborting_is_a_failure_like_any_other() {
    let (mut inspections, _) = Stages::default().stage("a", [("abort", Panic)]).begin().await;
    inspections.ask(Question::Mail(&client(), &mail(), Id::generate())).await;
    inspections.abort();
    assert_ne!(inspections.ask(Question::Mail(&client(), &mail(), Id::generate())).await.0, Decision::Go);
}

#[tokio::test]
async fn a_listener_without_stages_is_not_watched() {
    let (inspections, calls) = Stages::default().with("a", [], |configured| configured.listeners = vec!["submission".into()]).begin().await;
    assert!(inspections.is_empty() && !inspections.wants_body());
    assert!(take(&calls).is_empty());
}
