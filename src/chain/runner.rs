//! Runs the stages of a session: who is asked what, together or one after another, and what the
//! whole chain says. How a single stage is called stands in `watch`.
use super::{
    Chain, Configured, Decision, Facts, Finding, ForRecipient, Hold, Mode, Report, Verdict, Wants,
    plan::Plan,
    scans::{Hasher, Key},
    watch::Watch,
};
use crate::{
    message::{Client, Edit, Edits, HeaderBlock, Message},
    smtp::{Address, Mail, Recipient, Refusal},
    telemetry::{Incomplete, StageResult},
    value::Id,
};
use bytes::Bytes;
use futures_util::future::join_all;
use std::{borrow::Cow, ops::Range, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The field that a message has which some stage did not finish with.
pub const UNFINISHED: &str = "X-Octroi-Incomplete";

/// What one stage took, and whether it finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageTiming {
    pub stage: Box<str>,
    /// From MAIL to the end of the message, all calls together.
    pub took: Duration,
    /// From the beginning of the first call to the end of the last, much of which it may have waited for
    /// the client; `None` where it was not called.
    pub calls: Option<Range<std::time::Instant>>,
    /// Why it did not finish: `late`, `panicked`, `failed`.
    pub incomplete: Option<Incomplete>,
    /// What it said, also where it only observes.
    pub result: StageResult,
    /// How much it found.
    pub findings: usize,
}

/// What the whole chain says of a message.
#[derive(Debug, Default)]
pub struct Conclusion {
    pub verdict: Verdict,
    /// The stage whose verdict it is, or `rule NAME`; `None` where all let the message pass.
    pub decided_by: Option<Box<str>>,
    /// How many stages and rules would not have it delivered to all: with one, `verdict` is all that
    /// stands against it.
    pub objections: usize,
    /// What becomes of it for single recipients, where that is stricter than `verdict`.
    pub recipients: Vec<(Address, ForRecipient)>,
    /// Where it is delivered, the original is held first: a stage takes something out of it.
    pub hold_original: Option<Hold>,
    pub findings: Vec<Finding>,
    /// In the order they are to be applied.
    pub edits: Edits,
    /// Of the stages that were called, in the order of the chain.
    pub timings: Vec<StageTiming>,
    /// The message goes on, or is held, without a stage having finished that was to.
    pub unfinished: bool,
    /// As the last stages saw it, where that has other header fields and the same parts: what they found
    /// out of those need not be found out again. `None`: as it was given to them.
    pub inspected: Option<Message>,
}

/// All stages of a listener watching one session. Dropping it in the middle of a transaction
/// aborts that.
pub struct Inspections {
    chain: Arc<Chain>,
    /// The place of the listener's plan.
    plan: usize,
    /// In the order of the plan.
    watches: Vec<Watch>,
    /// A transaction is under way.
    open: bool,
    /// Of the recipients that were accepted in it (see `Rules::policy_of`).
    policy: Option<u64>,
    /// Takes in the body that the first segment sees, where somebody wants to know its hash.
    hasher: Option<Hasher>,
}

/// A question before the end of the message.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    Connect(&'a Arc<Client>),
    Hello(&'a Arc<Client>),
    /// Begins a transaction; ends one under way.
    Mail(&'a Arc<Client>, &'a Mail, Id),
    Recipient(&'a Arc<Client>, &'a Recipient),
    Headers(&'a HeaderBlock),
}

impl Question<'_> {
    pub(super) fn wants(&self) -> Wants {
        match self {
            Self::Connect(_) => Wants::CONNECT,
            Self::Hello(_) => Wants::HELLO,
            Self::Mail(..) => Wants::MAIL,
            Self::Recipient(..) => Wants::RECIPIENT,
            Self::Headers(_) => Wants::HEADERS,
        }
    }
    pub(super) fn event(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Hello(_) => "hello",
            Self::Mail(..) => "mail",
            Self::Recipient(..) => "recipient",
            Self::Headers(_) => "headers",
        }
    }
}

impl Inspections {
    /// Starts watching; nothing is called where no stage applies to the client's listener.
    pub async fn begin(chain: &Arc<Chain>, client: &Arc<Client>) -> Self {
        let plan = chain.plan_of(&client.listener);
        let places = chain.plan(plan).map_or(&[][..], |plan| &plan.stages);
        let begin = |place: usize| chain.stage(place).map(|(configured, wants)| Watch::begin(place, configured, wants, client));
        let watches = together(places.iter().filter_map(|place| begin(*place))).await;
        Self { chain: Arc::clone(chain), plan, watches, open: false, policy: None, hasher: None }
    }

    /// Neither stage nor rule watches: the driver need not ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty() && self.chain.rules().is_empty()
    }

    fn plan(&self) -> Option<&Plan> {
        self.chain.plan(self.plan)
    }
    fn segment(&self, n: usize) -> Range<usize> {
        self.plan().and_then(|plan| plan.segments.get(n).cloned()).unwrap_or(0..0)
    }

    /// The first refusal in chain order with the name of the stage, else `Go`.
    ///
    /// All stages are asked at once, but for the header section, which only the first segment sees
    /// while the message arrives; a refusal of that need not be acted on before the end of data,
    /// [`conclude`](Self::conclude) will say it again. A stage that failed at connect or hello, or
    /// earlier in the session, refuses MAIL if its `on_error` says so; one that fails at a command
    /// refuses that.
    pub async fn ask(&mut self, question: Question<'_>) -> (Decision, Option<Box<str>>) {
        let opens = matches!(question, Question::Mail(..));
        if opens {
            self.abort();
            self.open = true;
            self.watches.iter_mut().for_each(Watch::open);
            self.policy = None;
            self.hasher = self.plan().is_some_and(|plan| plan.shares).then(Hasher::new);
        }
        if let (Question::Recipient(client, recipient), Some(policy)) = (question, self.policy)
            && policy != self.chain.rules().policy_of(&client.listener, recipient)
        {
            // What the rules would answer for one is not true for the other; the client sends the
            // rest again (RFC 5321 §4.5.3.1.10).
            return (Decision::Refuse(Refusal::temporary(52, "5.3", "send to this recipient in another transaction")), None);
        }
        if let Question::Headers(headers) = question {
            self.withhold(headers);
        }
        let range = if matches!(question, Question::Headers(_)) { self.segment(0) } else { 0..self.watches.len() };
        let wanted = question.wants();
        let chain = &*self.chain;
        let asked = self.watches.get_mut(range).unwrap_or_default().iter_mut().filter(|watch| watch.is_asked(wanted));
        let answers = together(asked.filter_map(|watch| {
            let (configured, _) = chain.stage(watch.place)?;
            Some(async move { (watch.ask(configured, None, question).await, configured) })
        }))
        .await;
        let refusal = answers.into_iter().find(|(decision, _)| matches!(decision, Decision::Refuse(_)));
        let Some((decision, by)) = refusal else { return (Decision::Go, None) };
        let by = Some(by.name.clone());
        if opens {
            self.abort();
        }
        (decision, by)
    }

    /// The MTA takes this recipient, too.
    pub fn accepted(&mut self, client: &Client, recipient: &Recipient) {
        self.policy.get_or_insert_with(|| self.chain.rules().policy_of(&client.listener, recipient));
    }

    /// Stages of the first segment that failed on such a message before see no more of it for now.
    fn withhold(&mut self, headers: &HeaderBlock) {
        let first = self.segment(0);
        let places = self.watches.get(first.clone()).unwrap_or_default().iter().map(|watch| watch.place);
        if !self.chain.scans.concern(places) {
            return;
        }
        let header = Key::of_header(headers.as_bytes());
        for watch in self.watches.get_mut(first).unwrap_or_default() {
            let Some((configured, _)) = self.chain.stage(watch.place) else { continue };
            if configured.poison_after > 0 && self.chain.scans.failures_of_header(watch.place, header) >= configured.poison_after {
                watch.withhold();
            }
        }
    }

    /// Whether any stage still wants body chunks.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        let first = || self.watches.get(self.segment(0)).unwrap_or_default();
        self.open && (self.hasher.is_some() || first().iter().any(Watch::wants_body))
    }

    /// A piece of the body (of what follows the empty line after the header section) to every
    /// stage of the first segment that still wants it. What they say is said at the end.
    pub async fn body(&mut self, chunk: &Bytes) {
        if let Some(hasher) = &mut self.hasher {
            hasher.body(chunk);
        }
        let first = self.segment(0);
        let chain = &*self.chain;
        let asked = self.watches.get_mut(first).unwrap_or_default().iter_mut().filter(|watch| watch.wants_body());
        together(asked.filter_map(|watch| {
            let (configured, _) = chain.stage(watch.place)?;
            Some(watch.body(configured, None, chunk))
        }))
        .await;
    }

    /// The end of the message: remaining segments, edits composed, rules, the strictest verdict.
    /// Closes the transaction. After a refusal for good no further segment is asked: nothing could
    /// be stricter.
    pub async fn conclude(&mut self, client: &Client, message: &Message) -> Conclusion {
        let mut conclusion = Conclusion::default();
        if self.is_empty() {
            return conclusion;
        }
        let until = Instant::now().checked_add(self.chain.budget()).unwrap_or_else(far);
        let mut message = Cow::Borrowed(message);
        let mut content = Content { hasher: self.hasher.take(), key: None };
        // What is not in `message` yet, and which stages have not finished.
        let (mut pending, mut unfinished) = (Edits::default(), Vec::new());
        let mut has_same_parts = true;
        let segments = self.plan().map_or(0, |plan| plan.segments.len());
        for n in 0..segments {
            let segment = self.segment(n);
            let chain = Arc::clone(&self.chain);
            let current = &*message;
            self.poison(segment.clone(), current, &mut content).await;
            let watches = self.watches.get_mut(segment).unwrap_or_default();
            let key = if watches.iter().any(|watch| shares(&chain, watch)) { content.key(current).await } else { None };
            let chain = &*chain;
            let reports = together(watches.iter_mut().filter(|watch| watch.concludes(n > 0)).filter_map(|watch| {
                let (configured, _) = chain.stage(watch.place)?;
                let key = key.filter(|_| configured.stage.reads_content_only());
                Some(async move {
                    let shared = key.map(|key| chain.scans.share(watch.place, key));
                    let report = watch.conclude(configured, current, n > 0, shared.as_deref(), until).await;
                    drop(shared);
                    if let Some(key) = key {
                        chain.scans.forget(watch.place, key);
                    }
                    (watch.settle(configured, report), watch.place, configured)
                })
            }))
            .await;
            let mut edits = Edits::default();
            for ((report, timing), place, configured) in reports {
                if let Some(StageTiming { incomplete: Some(Incomplete::Late | Incomplete::Panicked | Incomplete::Failed), .. }) = timing {
                    remember(chain, place, configured, current, &mut content).await;
                }
                if let Some(why) = timing.as_ref().and_then(|timing| timing.incomplete).filter(|_| configured.mode == Mode::Enforce) {
                    unfinished.push(format!("{} ({})", configured.name, why.as_str()));
                }
                conclusion.timings.extend(timing);
                edits.0.extend(conclusion.heed(report, &configured.name));
            }
            if conclusion.verdict.is_final() {
                break;
            }
            if !edits.is_empty() && n + 1 < segments {
                has_same_parts &= edits.keep_parts();
                message = Cow::Owned(message.edited(&edits));
                content = Content::default();
            } else {
                pending = edits.clone();
            }
            conclusion.edits.0.extend(edits.0);
        }
        if !conclusion.verdict.is_final() {
            conclusion.judge(&self.chain, client, &message, &pending);
        }
        conclusion.confess(&unfinished);
        if has_same_parts && let Cow::Owned(message) = message {
            conclusion.inspected = Some(message);
        }
        self.abort();
        conclusion
    }

    /// Stages that failed on this very message too often are not given it again.
    async fn poison(&mut self, segment: Range<usize>, message: &Message, content: &mut Content) {
        let places = self.watches.get(segment.clone()).unwrap_or_default().iter().map(|watch| watch.place);
        if !self.chain.scans.concern(places) {
            return;
        }
        let Some(key) = content.key(message).await else { return };
        for watch in self.watches.get_mut(segment).unwrap_or_default() {
            let Some((configured, _)) = self.chain.stage(watch.place) else { continue };
            if configured.poison_after > 0 && self.chain.scans.failures_of(watch.place, key) >= configured.poison_after {
                tracing::warn!(stage = %configured.name, "a message it failed on before is not given to it again");
                watch.poison(configured);
            }
        }
    }

    /// The message is refused before its end; what the stages took and said so far, for the record.
    pub fn give_up(&mut self) -> Conclusion {
        let mut conclusion = Conclusion::default();
        for watch in &mut self.watches {
            let Some((configured, _)) = self.chain.stage(watch.place) else { continue };
            let (report, timing) = watch.give_up(configured);
            conclusion.timings.extend(timing);
            conclusion.heed(report, &configured.name);
        }
        self.abort();
        conclusion
    }

    /// The transaction is over without a message. The session goes on, with the same inspections.
    pub fn abort(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        for watch in &mut self.watches {
            if let Some((configured, _)) = self.chain.stage(watch.place) {
                watch.abort(configured);
            }
        }
    }
}

impl Drop for Inspections {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Conclusion {
    /// Takes one stage's report in; gives its edits back.
    fn heed(&mut self, report: Report, stage: &str) -> Vec<Edit> {
        self.objections += usize::from(report.verdict != Verdict::Deliver);
        if report.verdict.is_stricter_than(&self.verdict) {
            self.verdict = report.verdict;
            self.decided_by = Some(stage.into());
        }
        self.findings.extend(report.findings);
        self.recipients.extend(report.recipients);
        if self.hold_original.is_none() {
            self.hold_original = report.hold_original;
        }
        report.edits
    }

    /// The rules' say, over all that was found.
    /// `pending`: edits that `message` does not have yet.
    fn judge(&mut self, chain: &Chain, client: &Client, message: &Message, pending: &Edits) {
        if chain.rules().is_empty() {
            return;
        }
        let header = HeaderBlock::new(pending.apply(&message.headers));
        let envelope = pending.envelope(&message.envelope);
        let facts = Facts {
            vocabulary: chain.rules().vocabulary(),
            client,
            mail: &envelope.mail,
            recipients: &envelope.recipients,
            size: message.content.len(),
            header: Some(&header),
            findings: &self.findings,
        };
        let judgement = chain.rules().judge(&facts);
        self.objections += usize::from(judgement.verdict != Verdict::Deliver);
        if judgement.verdict.is_stricter_than(&self.verdict) {
            self.verdict = judgement.verdict;
            self.decided_by = judgement.by.map(|rule| format!("rule {rule}").into());
        }
        self.recipients.extend(judgement.recipients);
        self.findings.extend(judgement.findings);
        self.edits.0.extend(judgement.edits);
    }

    /// Says in the message itself which stages have not finished with it: no silent pass. Those that
    /// only observe would not have changed anything.
    fn confess(&mut self, unfinished: &[String]) {
        self.unfinished = !unfinished.is_empty() && !matches!(self.verdict, Verdict::Refuse(_));
        if self.unfinished {
            self.edits.0.push(Edit::InsertHeader { at: 0, name: UNFINISHED.into(), value: unfinished.join(", ").into() });
        }
    }
}

/// Octets that are hashed in one turn of the event loop; some 0.2 ms.
const HASHED: usize = 256 << 10;

/// The hash of what the stages of a segment see, made when somebody needs it.
#[derive(Default)]
struct Content {
    /// The body was taken in while it arrived.
    hasher: Option<Hasher>,
    key: Option<Key>,
}

impl Content {
    /// `None` where the spool cannot be read; nothing is shared or remembered then.
    async fn key(&mut self, message: &Message) -> Option<Key> {
        if self.key.is_none() {
            let hasher = match self.hasher.take() {
                Some(hasher) => hasher,
                None => {
                    let mut hasher = Hasher::new();
                    let mut body = message.content.reader(message.body_start());
                    while let Some(piece) = body.next().await.ok()? {
                        for part in piece.chunks(HASHED) {
                            hasher.body(part);
                            // Pieces that are in memory are not waited for; others want a turn.
                            tokio::task::yield_now().await;
                        }
                    }
                    hasher
                }
            };
            self.key = Some(hasher.finish(message.headers.as_bytes()));
        }
        self.key
    }
}

fn shares(chain: &Chain, watch: &Watch) -> bool {
    chain.stage(watch.place).is_some_and(|(configured, _)| configured.stage.reads_content_only())
}

/// A stage failed on this message.
async fn remember(chain: &Chain, place: usize, configured: &Configured, message: &Message, content: &mut Content) {
    if configured.poison_after == 0 {
        return;
    }
    if let Some(key) = content.key(message).await {
        let times = chain.scans.failed(place, message, key, configured.breaker.successes());
        if times >= configured.poison_after {
            tracing::warn!(stage = %configured.name, times, "fails on the same message again and again; it will not be given it for an hour");
        }
    }
}

/// All at once; the answers in order. One alone is awaited as it is.
async fn together<F: Future>(mut futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let Some(first) = futures.next() else { return Vec::new() };
    match futures.next() {
        None => vec![first.await],
        Some(second) => join_all([first, second].into_iter().chain(futures)).await,
    }
}

/// A budget beyond what the clock can count is none.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(86_400 * 365)
}
