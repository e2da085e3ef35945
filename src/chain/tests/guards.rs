//! Conditions, breakers, the poison guard, shared answers, single recipients, and rules.
use super::*;
use crate::value::settings::{Problems, Section};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
};
use tokio::time::advance;
use toml::de::DeTable;

/// Says what `answer` says of the content, and counts how often it was asked.
#[derive(Clone)]
struct Scanner {
    remote: bool,
    content_only: bool,
    asked: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    answer: fn(&str) -> Result<Report, StageError>,
    slow: Duration,
}

impl Scanner {
    fn new(answer: fn(&str) -> Result<Report, StageError>) -> Self {
        Self { remote: false, content_only: false, asked: Arc::default(), begun: Arc::default(), answer, slow: Duration::ZERO }
    }
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
    fn chain(&self, set: impl FnOnce(&mut Configured)) -> Arc<Chain> {
        let mut configured = Configured::new("s", "scanner", Box::new(self.clone()));
        set(&mut configured);
        Arc::new(Chain::new(vec![configured], Duration::from_secs(120)))
    }
}

#[async_trait]
impl Stage for Scanner {
    fn wants(&self) -> Wants {
        Wants::BODY | Wants::END_OF_MESSAGE
    }
    fn is_remote(&self) -> bool {
        self.remote
    }
    fn reads_content_only(&self) -> bool {
        self.content_only
    }
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(self.clone()))
    }
}
#[async_trait]
impl Inspection for Scanner {
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.slow.is_zero() {
            sleep(self.slow).await;
        }
        (self.answer)(&String::from_utf8_lossy(&message.content.slice(0..100).await.unwrap()))
    }
}

fn fine(_: &str) -> Result<Report, StageError> {
    Ok(Report::default())
}
fn fails_on_bad(content: &str) -> Result<Report, StageError> {
    if content.contains("bad") { Err(StageError::Failed("told to".into())) } else { fine(content) }
}

fn saying(body: &str, recipients: &[&str]) -> Message {
    let recipients = recipients.iter().map(|text| Recipient::new(Address::parse(text, false).unwrap())).collect();
    let envelope = Envelope { mail: mail(), recipients };
    Message::new(envelope.into(), HeaderBlock::new("A: b\r\n".into()), Content::from_bytes(format!("A: b\r\n\r\n{body}")))
}

async fn pass(inspections: &mut Inspections, body: &str) -> Conclusion {
    let (client, message) = (client(), saying(body, &["a@example.org"]));
    if inspections.ask(Question::Mail(&client, &mail(), Id::generate())).await.0 != Decision::Go {
        return Conclusion { decided_by: Some("MAIL".into()), ..Conclusion::default() };
    }
    inspections.ask(Question::Headers(&message.headers)).await;
    if inspections.wants_body() {
        inspections.body(&Bytes::copy_from_slice(body.as_bytes())).await;
    }
    inspections.conclude(&client, &message).await
}

#[tokio::test]
async fn a_condition_decides_at_mail_and_lets_the_stage_catch_up() {
    let condition = Expression::compile("sender.address == ''", &Vocabulary::of_session()).unwrap();
    let (mut inspections, calls) =
        Stages::default().with("a", [("connect", Refuse(permanent("no")))], |configured| configured.when = Some(condition)).begin().await;
    let client = client();
    assert_eq!(inspections.ask(Question::Connect(&client)).await.0, Decision::Go);
    let other = Mail::new(ReversePath(Some(Address::parse("x@example.org", false).unwrap())));
    assert_eq!(inspections.ask(Question::Mail(&client, &other, Id::generate())).await.0, Decision::Go);
    assert!(!inspections.wants_body());
    let conclusion = inspections.conclude(&client, &message()).await;
    assert_eq!((conclusion.timings, take(&calls)), (vec![], vec![]), "it does not apply");
    let (decision, by) = inspections.ask(Question::Mail(&client, &mail(), Id::generate())).await;
    assert_eq!((decision, by.as_deref()), (Decision::Refuse(permanent("no")), Some("a")), "what it would have said at connect");
    assert_eq!(take(&calls), ["a:begin", "a:connect", "a:abort"]);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_answers_for_the_stage_until_a_trial_succeeds() {
    let scanner = Scanner { remote: true, ..Scanner::new(fails_on_bad) };
    let chain = scanner.chain(accept);
    for n in 0..5 {
        // The inspection that failed is gone; the next transaction of the session has another one.
        let mut inspections = Inspections::begin(&chain, &client()).await;
        let conclusion = pass(&mut inspections, &format!("bad {n}")).await;
        assert_eq!(conclusion.timings[0].incomplete, Some(Incomplete::Failed));
    }
    let mut inspections = Inspections::begin(&chain, &client()).await;
    let conclusion = pass(&mut inspections, "good").await;
    assert_eq!((conclusion.timings[0].incomplete, scanner.asked()), (Some(Incomplete::BreakerOpen), 5), "not asked");
    let unfinished = Edit::InsertHeader { at: 0, name: runner::UNFINISHED.into(), value: "s (breaker_open)".into() };
    assert_eq!(conclusion.edits, Edits(vec![unfinished]), "and never silently");
    advance(Duration::from_secs(11)).await;
    let conclusion = pass(&mut inspections, "good").await;
    assert_eq!((conclusion.timings[0].incomplete, scanner.asked()), (None, 6), "the same session tries again");
    assert_eq!(conclusion.edits, Edits::default());
}

#[tokio::test]
async fn a_remote_stage_that_failed_is_asked_again_in_the_next_transaction() {
    let scanner = Scanner { remote: true, ..Scanner::new(fails_on_bad) };
    let mut inspections = Inspections::begin(&scanner.chain(|_| {}), &client()).await;
    assert!(matches!(pass(&mut inspections, "bad").await.verdict, Verdict::Refuse(_)));
    assert_eq!(pass(&mut inspections, "good").await.verdict, Verdict::Deliver);
}

#[tokio::test]
async fn one_of_our_own_begins_anew_too_unless_it_panicked() {
    fn panics_on_bad(content: &str) -> Result<Report, StageError> {
        assert!(!content.contains("bad"), "told to");
        fine(content)
    }
    for (answer, expected) in [(fails_on_bad as fn(&str) -> _, None), (panics_on_bad, Some("MAIL"))] {
        let mut inspections = Inspections::begin(&Scanner::new(answer).chain(|_| {}), &client()).await;
        assert!(matches!(pass(&mut inspections, "bad").await.verdict, Verdict::Refuse(_)));
        assert_eq!(pass(&mut inspections, "good").await.decided_by.as_deref(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_says_mail_holds_no_breaker_open() {
    let scanner = Scanner { remote: true, ..Scanner::new(fails_on_bad) };
    let chain =
        scanner.chain(|configured| configured.breaker = Breaker::new(BreakerSettings { failures: 1, ..BreakerSettings::default() }));
    pass(&mut Inspections::begin(&chain, &client()).await, "bad").await;
    advance(Duration::from_secs(11)).await;
    let mut idle = Inspections::begin(&chain, &client()).await;
    assert_eq!(idle.ask(Question::Mail(&client(), &mail(), Id::generate())).await.0, Decision::Go, "it has the trial");
    idle.abort();
    assert_eq!(pass(&mut Inspections::begin(&chain, &client()).await, "good").await.timings[0].incomplete, None);
}

#[tokio::test]
async fn rules_see_what_the_mta_will_get() {
    let chain = ruled(
        "[[rule]]\nname = 'x'\nwhen = 'size(headers[\"A\"]) == 1 && header[\"A\"] == \"two\" && size(headers[\"X\"]) == 1'\nthen = 'discard'\n",
    );
    let chain = Arc::into_inner(chain).unwrap();
    let (calls, delete) = (Calls::default(), Edit::DeleteHeader { name: "A".into(), nth: 1 });
    let stages = Stages { calls, ..Stages::default() }.stage("E", [("end", Ask(vec![delete, add("X")]))]).stage("b", []);
    let chain = Chain::new(stages.stages, Duration::from_secs(5)).with_rules(chain.into_rules());
    let mut inspections = Inspections::begin(&Arc::new(chain), &client()).await;
    inspections.ask(Question::Mail(&client(), &mail(), Id::generate())).await;
    let envelope = Envelope { mail: mail(), recipients: vec![recipient()] };
    let headers = "A: one\r\nA: two\r\n";
    let message = Message::new(envelope.into(), HeaderBlock::new(headers.into()), Content::from_bytes(format!("{headers}\r\nx")));
    assert_eq!(inspections.conclude(&client(), &message).await.verdict, Verdict::Discard);
}

#[tokio::test]
async fn a_message_that_breaks_a_stage_again_and_again_is_not_given_to_it() {
    let scanner = Scanner { remote: true, ..Scanner::new(fails_on_bad) };
    let chain = scanner.chain(|configured| (configured.on_error, configured.poison_after) = (OnError::Reject, 2));
    for expected in [Incomplete::Failed, Incomplete::Failed, Incomplete::Poisoned, Incomplete::Poisoned] {
        let mut inspections = Inspections::begin(&chain, &client()).await;
        let conclusion = pass(&mut inspections, "bad").await;
        assert_eq!(conclusion.timings[0].incomplete, Some(expected));
        assert!(matches!(conclusion.verdict, Verdict::Refuse(_)), "as configured");
        // Another one with the same header section is inspected, although its body was withheld.
        assert_eq!(pass(&mut inspections, "good").await.verdict, Verdict::Deliver);
    }
    assert_eq!(scanner.asked(), 2 + 4);
}

#[tokio::test]
async fn an_outage_makes_no_message_poisonous() {
    fn fails(_: &str) -> Result<Report, StageError> {
        Err(StageError::Failed("out of order".into()))
    }
    let scanner = Scanner { remote: true, ..Scanner::new(fails) };
    let chain = scanner.chain(|configured| configured.poison_after = 2);
    for _ in 0..4 {
        let conclusion = pass(&mut Inspections::begin(&chain, &client()).await, "bad").await;
        assert_eq!(conclusion.timings[0].incomplete, Some(Incomplete::Failed));
    }
}

#[tokio::test(start_paused = true)]
async fn identical_messages_under_way_share_one_answer() {
    fn refuses(_: &str) -> Result<Report, StageError> {
        Ok(Report { verdict: Verdict::Refuse(permanent("no")), ..Report::default() })
    }
    let scanner = Scanner { content_only: true, slow: Duration::from_secs(5), ..Scanner::new(refuses) };
    let chain = scanner.chain(|_| {});
    let one = async |body: &str| pass(&mut Inspections::begin(&chain, &client()).await, body).await.verdict;
    let (a, b, c) = tokio::join!(one("same"), one("same"), one("other"));
    assert!([a, b, c].iter().all(|verdict| *verdict == Verdict::Refuse(permanent("no"))));
    assert_eq!(scanner.asked(), 2);
    one("same").await;
    assert_eq!(scanner.asked(), 3, "only while they are under way");

    // Whoever asks may go; the one that waits asks itself then.
    let mut first = Box::pin(one("same"));
    let polled = std::future::poll_fn(|context| Poll::Ready(first.as_mut().poll(context))).await;
    assert!(polled.is_pending());
    let (_, second) = tokio::join!(async move { drop(first) }, one("same"));
    assert_eq!((second, scanner.asked()), (Verdict::Refuse(permanent("no")), 5));
}

fn ruled(rules: &str) -> Arc<Chain> {
    let (table, errors) = DeTable::parse_recoverable(rules);
    assert!(errors.is_empty(), "{errors:?}");
    let problems = Problems::default();
    let vocabulary = Vocabulary::of_message([], []);
    let rules = rules::read(&mut Section::root(&table, problems.clone()), vocabulary, &["mx".into()]);
    let found: Vec<_> = problems.take().into_iter().map(|problem| problem.text).collect();
    assert_eq!(found, Vec::<String>::new());
    Arc::new(Chain::new(vec![], Duration::from_secs(1)).with_rules(rules))
}

const FOR_SOME: &str = "
[[rule]]
name = 'board'
recipients = ['board@example.org']
then = 'quarantine'
reason = 'mail for the board from {client.helo}'
[[rule]]
name = 'gone'
recipients = ['*.gone.example']
then = 'reject'
reply = '550 5.7.1 {sender.domain} gone'
";

#[tokio::test]
async fn rules_hold_single_recipients_and_part_those_that_one_answer_cannot_serve() {
    let chain = ruled(FOR_SOME);
    let mut inspections = Inspections::begin(&chain, &client()).await;
    assert!(!inspections.is_empty());
    let client = client();
    inspections.ask(Question::Mail(&client, &mail(), Id::generate())).await;
    let mut decisions = Vec::new();
    for text in ["a@example.org", "x@b.gone.example", "board@example.org"] {
        let recipient = Recipient::new(Address::parse(text, false).unwrap());
        let (decision, _) = inspections.ask(Question::Recipient(&client, &recipient)).await;
        if decision == Decision::Go {
            inspections.accepted(&client, &recipient);
        }
        decisions.push(match decision {
            Decision::Refuse(refusal) => refusal.to_string(),
            _ => String::new(),
        });
    }
    assert_eq!(decisions, ["", "452 4.5.3 send to this recipient in another transaction", ""]);
    let conclusion = inspections.conclude(&client, &saying("x", &["a@example.org", "board@example.org"])).await;
    assert_eq!(conclusion.verdict, Verdict::Deliver);
    let [(held, ForRecipient::Quarantine(hold))] = conclusion.recipients.as_slice() else { panic!("{:?}", conclusion.recipients) };
    assert_eq!((held.as_str(), &*hold.reason), ("board@example.org", "mail for the board from client.example"));

    inspections.ask(Question::Mail(&client, &mail(), Id::generate())).await;
    let conclusion = inspections.conclude(&client, &saying("x", &["x@b.gone.example"])).await;
    assert_eq!((conclusion.verdict, conclusion.decided_by.as_deref()), (Verdict::Refuse(permanent(" gone")), Some("rule gone")));
    inspections.ask(Question::Mail(&client, &mail(), Id::generate())).await;
    let conclusion = inspections.conclude(&client, &saying("x", &["board@example.org"])).await;
    assert!(matches!(conclusion.verdict, Verdict::Quarantine(_)), "all of its recipients");
}
