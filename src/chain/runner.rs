//! Runs the stages of a session: who is asked what, together or one after another, and what the
//! whole chain says. How a single stage is called stands in `watch`.
use super::{Chain, Decision, Finding, Report, Verdict, Wants, plan::Plan, watch::Watch};
use crate::{
    message::{Client, Edit, Edits, HeaderBlock, Message},
    smtp::{Mail, Recipient},
    telemetry::{Incomplete, StageResult},
    value::Id,
};
use bytes::Bytes;
use futures_util::future::join_all;
use std::{borrow::Cow, ops::Range, sync::Arc, time::Duration};
use tokio::time::Instant;

/// What one stage took, and whether it finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageTiming {
    pub stage: Box<str>,
    /// From MAIL to the end of the message, all calls together.
    pub took: Duration,
    /// Why it did not finish: `late`, `panicked`, `failed`.
    pub incomplete: Option<Incomplete>,
    /// What it said, also where it only observes.
    pub result: StageResult,
}

/// What the whole chain says of a message.
#[derive(Debug, Default)]
pub struct Conclusion {
    pub verdict: Verdict,
    /// The stage whose verdict it is; `None` where all let the message pass.
    pub decided_by: Option<Box<str>>,
    pub findings: Vec<Finding>,
    /// In the order they are to be applied.
    pub edits: Edits,
    /// Of the stages that were called, in the order of the chain.
    pub timings: Vec<StageTiming>,
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
}

/// A question before the end of the message.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    Connect(&'a Arc<Client>),
    Hello(&'a Arc<Client>),
    /// Begins a transaction; ends one under way.
    Mail(&'a Arc<Client>, &'a Mail, Id),
    Recipient(&'a Recipient),
    Headers(&'a HeaderBlock),
}

impl Question<'_> {
    fn wants(&self) -> Wants {
        match self {
            Self::Connect(_) => Wants::CONNECT,
            Self::Hello(_) => Wants::HELLO,
            Self::Mail(..) => Wants::MAIL,
            Self::Recipient(_) => Wants::RECIPIENT,
            Self::Headers(_) => Wants::HEADERS,
        }
    }
    pub(super) fn event(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Hello(_) => "hello",
            Self::Mail(..) => "mail",
            Self::Recipient(_) => "recipient",
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
        Self { chain: Arc::clone(chain), plan, watches, open: false }
    }

    /// No stage watches: the driver need not ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
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

    /// Whether any stage still wants body chunks.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        self.open && self.watches.get(self.segment(0)).unwrap_or_default().iter().any(Watch::wants_body)
    }

    /// A piece of the body (of what follows the empty line after the header section) to every
    /// stage of the first segment that still wants it. What they say is said at the end.
    pub async fn body(&mut self, chunk: &Bytes) {
        let first = self.segment(0);
        let chain = &*self.chain;
        let asked = self.watches.get_mut(first).unwrap_or_default().iter_mut().filter(|watch| watch.wants_body());
        together(asked.filter_map(|watch| {
            let (configured, _) = chain.stage(watch.place)?;
            Some(watch.body(configured, None, chunk))
        }))
        .await;
    }

    /// The end of the message: remaining segments, edits composed, the strictest verdict. Closes
    /// the transaction. After a refusal for good no further segment is asked: nothing could be
    /// stricter.
    pub async fn conclude(&mut self, message: &Message) -> Conclusion {
        let mut conclusion = Conclusion::default();
        if self.watches.is_empty() {
            return conclusion;
        }
        let until = Instant::now().checked_add(self.chain.budget()).unwrap_or_else(far);
        let mut message = Cow::Borrowed(message);
        let segments = self.plan().map_or(0, |plan| plan.segments.len());
        for n in 0..segments {
            let segment = self.segment(n);
            let chain = &*self.chain;
            let current = &*message;
            let watches = self.watches.get_mut(segment).unwrap_or_default();
            let reports = together(watches.iter_mut().filter(|watch| watch.concludes(n > 0)).filter_map(|watch| {
                let (configured, _) = chain.stage(watch.place)?;
                Some(async move {
                    let report = watch.conclude(configured, current, n > 0, until).await;
                    (watch.settle(configured, report), configured)
                })
            }))
            .await;
            let mut edits = Edits::default();
            for ((report, timing), configured) in reports {
                conclusion.timings.extend(timing);
                edits.0.extend(conclusion.heed(report, &configured.name));
            }
            if conclusion.verdict.is_final() {
                break;
            }
            if !edits.is_empty() && n + 1 < segments {
                message = Cow::Owned(message.edited(&edits));
            }
            conclusion.edits.0.extend(edits.0);
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
        if report.verdict.is_stricter_than(&self.verdict) {
            self.verdict = report.verdict;
            self.decided_by = Some(stage.into());
        }
        self.findings.extend(report.findings);
        report.edits
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
