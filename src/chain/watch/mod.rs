//! One stage watching one session: what it is asked, and what it has said so far. What that comes to
//! at the end of a message stands in `settle`, and the only way into a stage in `call`.
mod call;
mod settle;

use super::{
    Configured, Decision, Facts, Finding, Inspection, Mode, Report, StageError, Verdict, Wants,
    breaker::Pass,
    finding::OBSERVED,
    runner::{Question, StageTiming},
    scans::Shared,
};
use crate::{
    message::{Client, Message},
    smtp::{Mail, Refusal},
    telemetry::Incomplete,
};
use bytes::Bytes;
use call::{Clock, call, failed, log_panic};
use settle::named;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio::time::Instant;

/// A stage and what became of it in this session.
pub(super) struct Watch {
    /// Its place in the chain.
    pub(super) place: usize,
    pub(super) wants: Wants,
    state: State,
    /// MAIL is put to it whether it wants that or not: it has a condition, or a circuit breaker.
    decides_at_mail: bool,
    /// It said that it needs to see no more of the session.
    left: bool,
    /// What it would have done before MAIL.
    observed: Vec<Finding>,
    transaction: Transaction,
}

enum State {
    /// Its condition has not held yet in this session.
    Absent,
    Watching(Box<dyn Inspection>),
    /// It failed. It begins anew with the next transaction, unless it panicked: then it is gone for
    /// the session.
    Failed(Incomplete),
}

/// What is forgotten when a transaction ends.
#[derive(Default)]
struct Transaction {
    /// Its condition does not hold.
    excluded: bool,
    /// It failed on a message with this header section before: it sees no more of it before it is
    /// known whether this is the same one.
    withheld: bool,
    /// It is the same one.
    poisoned: bool,
    /// The stage was called, and has to hear of the end.
    called: bool,
    /// Its breaker let it through to find out whether it answers again.
    trial: bool,
    /// It needs to see no more.
    done: bool,
    /// It needs to see no more of the body.
    body_done: bool,
    /// What it said of the message before its end.
    refusal: Option<Refusal>,
    /// What it would have done.
    observed: Vec<Finding>,
    clock: Clock,
}

impl Watch {
    pub(super) async fn begin(place: usize, configured: &Configured, wants: Wants, client: &Arc<Client>) -> Self {
        let decides_at_mail = configured.when.is_some() || configured.stage.is_remote();
        let mut watch = Self {
            place,
            wants,
            state: State::Absent,
            decides_at_mail,
            left: false,
            observed: Vec::new(),
            transaction: Transaction::default(),
        };
        if configured.breaker.is_open() {
            watch.state = State::Failed(Incomplete::BreakerOpen);
        } else if configured.when.is_none() {
            watch.join(configured, client).await;
        }
        watch
    }

    /// A new inspection of the session.
    async fn join(&mut self, configured: &Configured, client: &Arc<Client>) {
        self.left = false;
        let begun = call(configured, "begin", None, &mut self.transaction.clock, async { configured.stage.begin(client).await }).await;
        self.state = match begun {
            Ok(inspection) => State::Watching(inspection),
            Err(error) => State::Failed(failed(configured, "begin", &error)),
        };
    }

    /// Whether it takes part in a transaction that begins, and who does; what it missed of the
    /// session is told first.
    async fn enter(&mut self, configured: &Configured, client: &Arc<Client>, mail: &Mail) -> Decision {
        if let Some(when) = &configured.when {
            match when.holds(&Facts::of_session(client, mail)) {
                Ok(holds) => self.transaction.excluded = !holds,
                // Not to inspect would be a silent pass.
                Err(error) => tracing::error!(stage = %configured.name, %error, "`when` cannot be evaluated; it applies"),
            }
            if self.transaction.excluded {
                return Decision::Go;
            }
        }
        let rejoins = match self.state {
            State::Absent => true,
            State::Failed(why) => why != Incomplete::Panicked,
            State::Watching(_) => false,
        };
        let pass = if configured.stage.is_remote() { configured.breaker.lets_through() } else { Pass::Free };
        self.transaction.trial = pass == Pass::Trial;
        if pass == Pass::No {
            self.state = State::Failed(Incomplete::BreakerOpen);
        } else if rejoins {
            self.join(configured, client).await;
            for question in [Question::Connect(client), Question::Hello(client)] {
                if self.wants.any(question.wants()) && !self.left && matches!(self.state, State::Watching(_)) {
                    let decision = Box::pin(self.put(configured, None, question)).await;
                    if decision != Decision::Go {
                        return decision;
                    }
                }
            }
        }
        match self.state {
            State::Failed(_) => standing(configured),
            _ => Decision::Go,
        }
    }

    /// Whether a question has to be put to it: it wants it, or it failed and stands in the way.
    pub(super) fn is_asked(&self, event: Wants) -> bool {
        if self.transaction.excluded {
            return false;
        }
        if self.decides_at_mail && event.any(Wants::MAIL) {
            return true;
        }
        match self.state {
            State::Watching(_) => self.wants.any(event) && !self.left && !self.transaction.done && !self.transaction.withheld,
            State::Failed(_) => event.any(Wants::MAIL | Wants::RECIPIENT),
            State::Absent => false,
        }
    }

    pub(super) fn wants_body(&self) -> bool {
        self.is_asked(Wants::BODY) && !self.transaction.body_done && self.transaction.refusal.is_none()
    }

    /// Whether the end of the message (and, with `replay`, the message) concerns it at all; where
    /// not, it has said nothing, was not called, and need not be.
    pub(super) fn concludes(&self, replay: bool) -> bool {
        let events = if replay { Wants::HEADERS | Wants::BODY | Wants::END_OF_MESSAGE } else { Wants::END_OF_MESSAGE };
        let failed = matches!(self.state, State::Failed(_)) && !self.transaction.excluded;
        failed || self.transaction.called || self.transaction.withheld || self.is_asked(events)
    }

    pub(super) fn open(&mut self) {
        self.transaction = Transaction::default();
    }

    /// `until`: when all stages have to be done, where that is known.
    pub(super) async fn ask(&mut self, configured: &Configured, until: Option<Instant>, question: Question<'_>) -> Decision {
        if let (Question::Mail(client, mail, _), true) = (question, self.decides_at_mail || matches!(self.state, State::Failed(_))) {
            // Boxed: no other question should carry room for it.
            let entered = Box::pin(self.enter(configured, client, mail)).await;
            if entered != Decision::Go || self.transaction.excluded || self.left || !self.wants.any(Wants::MAIL) {
                return entered;
            }
        }
        self.put(configured, until, question).await
    }

    async fn put(&mut self, configured: &Configured, until: Option<Instant>, question: Question<'_>) -> Decision {
        let event = question.event();
        let said = match &mut self.state {
            State::Watching(inspection) => {
                self.transaction.called = true;
                let asked = async {
                    match question {
                        Question::Connect(client) => inspection.connect(client).await,
                        Question::Hello(client) => inspection.hello(client).await,
                        Question::Mail(client, mail, id) => inspection.mail(client, mail, id).await,
                        Question::Recipient(_, recipient) => inspection.recipient(recipient).await,
                        Question::Headers(headers) => inspection.headers(headers).await,
                    }
                };
                call(configured, event, until, &mut self.transaction.clock, asked).await
            }
            State::Failed(_) => return standing(configured),
            State::Absent => return Decision::Go,
        };
        match said {
            Ok(Decision::Go) => Decision::Go,
            Ok(Decision::Done) => {
                match question {
                    Question::Connect(_) | Question::Hello(_) => self.left = true,
                    _ => self.transaction.done = true,
                }
                Decision::Go
            }
            Ok(Decision::Refuse(refusal)) => {
                let decision = self.refused(configured, event, refusal);
                if let (Question::Headers(_), Decision::Refuse(refusal)) = (question, &decision) {
                    self.transaction.refusal = Some(refusal.clone());
                }
                decision
            }
            Err(error) => {
                self.fail(configured, event, &error);
                match question {
                    // To refuse the greeting would hide the reason from most clients; MAIL is
                    // refused instead. The header section is no command: its failure is said at
                    // the end of the message.
                    Question::Connect(_) | Question::Hello(_) | Question::Headers(_) => Decision::Go,
                    Question::Mail(..) | Question::Recipient(..) => standing(configured),
                }
            }
        }
    }

    /// A piece of the body; a refusal is kept for the end.
    pub(super) async fn body(&mut self, configured: &Configured, until: Option<Instant>, chunk: &Bytes) {
        let State::Watching(inspection) = &mut self.state else { return };
        self.transaction.called = true;
        let piece = async { inspection.body(chunk).await };
        match call(configured, "body", until, &mut self.transaction.clock, piece).await {
            Ok(Decision::Go) => {}
            Ok(Decision::Done) => self.transaction.body_done = true,
            Ok(Decision::Refuse(refusal)) => match self.refused(configured, "body", refusal) {
                Decision::Refuse(refusal) => self.transaction.refusal = Some(refusal),
                Decision::Go | Decision::Done => self.transaction.body_done = true,
            },
            Err(error) => self.fail(configured, "body", &error),
        }
    }

    /// The end of the message, `until` which all stages have to be done. In a later segment
    /// (`replay`) the header section and the body come first.
    /// `shared`: where the answer of all that have the same content stands.
    pub(super) async fn conclude(
        &mut self,
        configured: &Configured,
        message: &Message,
        replay: bool,
        shared: Option<&Shared>,
        until: Instant,
    ) -> Report {
        if self.transaction.poisoned {
            return Report::default();
        }
        // What was withheld turned out to be another message.
        if std::mem::take(&mut self.transaction.withheld) || replay {
            // Boxed: most messages have no second segment, and no call should carry room for one.
            Box::pin(self.replay(configured, message, until)).await;
        }
        let mut report = Report::default();
        if self.is_asked(Wants::END_OF_MESSAGE) && self.transaction.refusal.is_none() {
            if let State::Watching(inspection) = &mut self.state {
                self.transaction.called = true;
                let mut asked = shared.is_none();
                let end = async {
                    match shared {
                        None => inspection.end_of_message(message).await,
                        // Whoever comes first asks; if that one goes, the next does.
                        Some(shared) => shared
                            .get_or_try_init(|| async {
                                asked = true;
                                inspection.end_of_message(message).await
                            })
                            .await
                            .cloned(),
                    }
                };
                let said = call(configured, "end_of_message", Some(until), &mut self.transaction.clock, end).await;
                if !asked {
                    self.tell_abort(configured);
                }
                match said {
                    Ok(said) => report = said,
                    Err(error) => self.fail(configured, "end_of_message", &error),
                }
            }
        } else if self.transaction.refusal.is_some() {
            self.tell_abort(configured);
        }
        if let Some(refusal) = self.transaction.refusal.take() {
            report.verdict = Verdict::Refuse(refusal);
        }
        report
    }

    async fn replay(&mut self, configured: &Configured, message: &Message, until: Instant) {
        if self.is_asked(Wants::HEADERS) {
            self.ask(configured, Some(until), Question::Headers(&message.headers)).await;
        }
        let mut body = message.content.reader(message.body_start());
        while self.wants_body() {
            match body.next().await {
                Ok(Some(chunk)) => self.body(configured, Some(until), &chunk).await,
                Ok(None) => break,
                Err(error) => self.fail(configured, "body", &StageError::Failed(error.into())),
            }
        }
    }

    /// The stage failed on a message with this header section before.
    pub(super) fn withhold(&mut self) {
        self.transaction.withheld = true;
    }
    /// The stage is not to be given this message again.
    pub(super) fn poison(&mut self, configured: &Configured) {
        self.transaction.poisoned = true;
        self.tell_abort(configured);
    }

    /// The message was refused before its end: what the stage took and said so far.
    pub(super) fn give_up(&mut self, configured: &Configured) -> (Report, Option<StageTiming>) {
        self.tell_abort(configured);
        let verdict = self.transaction.refusal.take().map_or(Verdict::Deliver, Verdict::Refuse);
        self.settle(configured, Report { verdict, ..Report::default() })
    }

    /// The transaction is over without a message.
    pub(super) fn abort(&mut self, configured: &Configured) {
        if self.transaction.called && !self.transaction.done {
            self.tell_abort(configured);
        }
        if self.transaction.trial {
            configured.breaker.trial_given_up();
        }
        self.transaction = Transaction::default();
    }

    fn tell_abort(&mut self, configured: &Configured) {
        if let (State::Watching(inspection), true) = (&mut self.state, self.transaction.called)
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| inspection.abort()))
        {
            log_panic(configured, "abort", &*panic);
            self.fail(configured, "abort", &StageError::Panicked);
        }
    }

    /// A refusal, unless the stage only observes.
    fn refused(&mut self, configured: &Configured, event: &'static str, refusal: Refusal) -> Decision {
        match configured.mode {
            Mode::Enforce => Decision::Refuse(refusal),
            Mode::Observe => {
                tracing::info!(stage = %configured.name, event, %refusal, "observed: would refuse");
                let finding = named(OBSERVED, configured, &format!("refuse at {event}: {refusal}"));
                // What was said of the session counts for every message of it.
                if matches!(event, "connect" | "hello") { &mut self.observed } else { &mut self.transaction.observed }.push(finding);
                Decision::Go
            }
        }
    }

    fn fail(&mut self, configured: &Configured, event: &'static str, error: &StageError) {
        let inspection = std::mem::replace(&mut self.state, State::Failed(failed(configured, event, error)));
        // What panicked once may do so again when it is dropped.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(inspection))) {
            log_panic(configured, "drop", &*panic);
        }
    }
}

/// What a stage that failed says to commands for the rest of the session, as Postfix's
/// `milter_default_action` does: a client that is told "later" at MAIL need not send its message.
fn standing(configured: &Configured) -> Decision {
    match (configured.mode, configured.on_error.refusal()) {
        (Mode::Enforce, Some(refusal)) => Decision::Refuse(refusal),
        _ => Decision::Go,
    }
}
