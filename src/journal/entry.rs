//! The record of one message.
use super::{Bracketed, Journal, queue_id, record::Record, row::Kind};
use crate::chain::{Conclusion, Finding, StageTiming, Verdict};
use crate::message::{Client, Message};
use crate::smtp::{Mail, Recipient, Refusal, Reply};
use crate::telemetry::{MessageTls, Outcome, Violation};
use crate::value::Id;
use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

mod told;

pub use told::Fault;

/// Octets of recipients that a line shows; the others are counted.
const RECIPIENTS: usize = 1024;
/// And those that a row has.
const MOST_RECIPIENTS: usize = 64 << 10;
/// Characters of a header field that a line shows.
const SHOWN: usize = 200;

/// The record of one message, from MAIL to whatever becomes of it. Dropped without a word about
/// that, the message was lost on the way: the client went, or we did.
///
/// A transaction that ends before its body begins leaves nothing here: no message was seen, and
/// what was refused has a line of its own.
#[derive(Debug)]
pub struct Entry {
    journal: Arc<Journal>,
    id: Id,
    session: Id,
    client: Arc<Client>,
    times: Times,
    protocol: &'static str,
    from: Box<str>,
    /// Divided by LF.
    to: String,
    recipients: usize,
    /// Octets of `to` that the line shows, and the recipients that it has no room for.
    shown: usize,
    more: usize,
    size: u64,
    message_id: Option<String>,
    subject: Option<String>,
    header_from: Option<String>,
    decided_by: Option<Box<str>>,
    findings: Vec<Finding>,
    timings: Vec<StageTiming>,
    /// A stage that was to has not finished with it.
    unfinished: bool,
    upstream: Option<Arc<str>>,
    violations: Vec<Violation>,
    outcome: Outcome,
    /// Recipients that it is held for while others got it.
    held: usize,
    /// Ours, and where there was one the upstream's.
    reply: Option<Reply>,
    /// The chain's verdict was a refusal.
    refused_by_chain: bool,
    error: Option<(Fault, String)>,
    /// To be looked into for its row.
    content: Option<Message>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    begun: Instant,
    /// The first octet of the body was let in.
    receiving: bool,
    received: Option<Instant>,
    concluded: Option<Instant>,
    settled: Option<Instant>,
}

impl Entry {
    pub(super) fn begin(journal: &Arc<Journal>, session: Id, client: &Arc<Client>, id: Id, mail: &Mail, now: Instant) -> Self {
        Self {
            journal: Arc::clone(journal),
            id,
            session,
            client: Arc::clone(client),
            times: Times { begun: now, receiving: false, received: None, concluded: None, settled: None },
            protocol: client.protocol(mail.utf8),
            from: mail.reverse_path.as_str().into(),
            to: String::new(),
            recipients: 0,
            shown: 0,
            more: 0,
            size: 0,
            message_id: None,
            subject: None,
            header_from: None,
            decided_by: None,
            findings: Vec::new(),
            timings: Vec::new(),
            unfinished: false,
            upstream: None,
            violations: Vec::new(),
            outcome: Outcome::Lost,
            held: 0,
            reply: None,
            refused_by_chain: false,
            error: None,
            content: None,
        }
    }

    /// The message's name: in `Received`, in the log, in our own replies.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// A recipient that was accepted.
    pub fn recipient(&mut self, recipient: &Recipient) {
        self.recipients += 1;
        self.journal.listener.recipients.inc();
        let address = recipient.address.as_str();
        let fits_line = self.to.len() + address.len() <= RECIPIENTS;
        if !fits_line {
            self.more += 1;
        }
        if self.to.len() + address.len() > MOST_RECIPIENTS {
            return;
        }
        if !self.to.is_empty() {
            self.to.push('\n');
        }
        self.to.push_str(address);
        if fits_line {
            self.shown = self.to.len();
        }
    }

    /// The body begins; from here on there is a message to tell of.
    pub fn receiving(&mut self) {
        self.times.receiving = true;
    }

    /// The fields that a message is searched by: `Message-ID`, `Subject`, `From`; already bounded and
    /// without line ends, encoded as they are.
    pub fn headers(&mut self, message_id: Option<String>, subject: Option<String>, from: Option<String>) {
        // Its angle brackets are the log's to write.
        self.message_id = message_id.map(|id| match id.strip_prefix('<').and_then(|id| id.strip_suffix('>')) {
            Some(bare) => bare.to_owned(),
            None => id,
        });
        self.subject = subject;
        self.header_from = from;
    }

    /// All of it is there, and is kept until the journal has looked into it; where that has no use
    /// for it, or no room, it is let go at once.
    pub fn content(&mut self, message: &Message) {
        if self.journal.book.as_ref().is_some_and(|book| book.wants_content()) {
            self.content = Some(message.clone());
        }
    }

    /// The end of the data is there; `size` in octets, as received.
    pub fn received(&mut self, size: u64, now: Instant) {
        self.times.receiving = true;
        self.times.received = Some(now);
        self.size = size;
    }

    /// The chain has spoken; what it says of itself is moved out of `conclusion` to here.
    pub fn concluded(&mut self, conclusion: &mut Conclusion, now: Instant) {
        self.times.concluded = Some(now);
        self.refused_by_chain = matches!(conclusion.verdict, Verdict::Refuse(_));
        self.decided_by = conclusion.decided_by.take();
        self.findings = std::mem::take(&mut conclusion.findings);
        self.timings = std::mem::take(&mut conclusion.timings);
        self.unfinished = conclusion.unfinished;
    }

    /// The stage whose verdict it is, or `rule NAME`; once the chain has spoken.
    #[must_use]
    pub fn by(&self) -> Option<&str> {
        self.decided_by.as_deref()
    }
    /// What the stages found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
    /// What each stage took.
    #[must_use]
    pub fn timings(&self) -> &[StageTiming] {
        &self.timings
    }

    /// The stage that refused before the end of the data.
    pub fn decided_by(&mut self, stage: Option<Box<str>>) {
        self.decided_by = stage;
    }

    /// Where it goes.
    pub fn upstream(&mut self, name: &Arc<str>) {
        self.upstream = Some(Arc::clone(name));
    }

    /// What it carries that no mail client sends; [`Session::violation`](super::Session::violation)
    /// counts it.
    pub fn violation(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// What went wrong with us or behind us, for the log only.
    pub fn error(&mut self, whose: Fault, error: &dyn fmt::Display) {
        self.error = Some((whose, error.to_string()));
    }

    /// The upstream answers for it now, in these words.
    pub fn delivered(&mut self, reply: &Reply, now: Instant) {
        self.settle(Outcome::Delivered, reply, now);
    }

    /// It is in the quarantine for so many recipients, whatever became of it for the others.
    pub fn held(&mut self, recipients: usize) {
        self.held = recipients;
    }

    /// It is in the quarantine and nobody gets it for now; the client was told these words.
    pub fn quarantined(&mut self, reply: &Reply, now: Instant) {
        self.settle(Outcome::Quarantined, reply, now);
    }

    /// Nobody gets it, and the client was told these words.
    pub fn discarded(&mut self, reply: &Reply, now: Instant) {
        self.settle(Outcome::Discarded, reply, now);
    }

    /// The client keeps it, for now or for good.
    pub fn refused(&mut self, refusal: &Refusal, now: Instant) {
        let outcome = if refusal.is_permanent() { Outcome::Rejected } else { Outcome::Deferred };
        self.settle(outcome, refusal.reply(), now);
    }

    fn settle(&mut self, outcome: Outcome, reply: &Reply, now: Instant) {
        self.times.receiving = true;
        self.times.settled = Some(now);
        self.outcome = outcome;
        self.reply = Some(reply.clone());
    }

    fn count(&self, now: Instant) {
        let listener = &self.journal.listener;
        listener.message(self.outcome);
        if self.unfinished && self.outcome == Outcome::Delivered {
            listener.incomplete.inc();
        }
        for StageTiming { stage, took, result, incomplete, findings, calls: _ } in &self.timings {
            let Some(metrics) = self.journal.stage(stage) else { continue };
            metrics.duration.observe(took.as_secs_f64());
            metrics.result(*result);
            metrics.findings.inc_by(*findings as u64);
            if let Some(why) = incomplete {
                metrics.incomplete(*why);
            }
        }
        if let Some(received) = self.times.received {
            listener.arrived(MessageTls::of(self.client.tls.as_deref().map(|facts| facts.version)));
            #[expect(clippy::cast_precision_loss, reason = "sizes stay far below 2^53")]
            self.journal.metrics.message_size.observe(self.size as f64);
            self.journal.metrics.message_duration.observe(now.saturating_duration_since(received).as_secs_f64());
        }
    }

    /// `is_traced`: it is exported as spans, too.
    fn log(&self, now: Instant, is_traced: bool) {
        let client = &self.client;
        let tls = client.tls.as_deref();
        let delivered = self.outcome == Outcome::Delivered;
        let trace = is_traced.then(|| format!("{:032x}", u128::from_be_bytes(self.id.octets())));
        let [message_id, subject] = [&self.message_id, &self.subject].map(|field| field.as_deref().map(shown));
        tracing::info!(
            id = display(self.id),
            session = display(self.session),
            trace_id = trace.as_deref(),
            client = display(Bracketed(client.address)),
            listener = &*client.listener,
            proto = self.protocol,
            tls = tls.map(|facts| facts.version),
            cipher = tls.map(|facts| facts.cipher),
            ja4 = tls.and_then(|facts| facts.ja4.as_deref()),
            client_certificate = tls.and_then(|facts| facts.client_subject.as_deref()),
            helo = client.hello.as_ref().map(|(domain, _)| domain.as_str()),
            account = client.account.as_deref(),
            from = &*self.from,
            to = self.to.get(..self.shown).unwrap_or_default(),
            to_more = (self.more > 0).then_some(self.more),
            nrcpt = self.recipients,
            size = self.size,
            message_id = message_id.as_deref(),
            subject = subject.as_deref(),
            verdict = self.outcome.as_str(),
            held = (self.held > 0).then_some(self.held),
            violation = self.violations.last().map(|violation| violation.as_str()),
            stage = self.decided_by.as_deref(),
            findings = (!self.findings.is_empty()).then(|| display(Spaced(&self.findings))),
            stages = (!self.timings.is_empty()).then(|| display(Stages(&self.timings))),
            upstream = self.upstream.as_deref(),
            queue_id = self.reply.as_ref().filter(|_| delivered).and_then(|reply| queue_id(reply.text())),
            reply = self.reply.as_ref().map(display),
            error = self.error.as_ref().map(|(_, error)| &**error),
            delay = display(Seconds(now.saturating_duration_since(self.times.begun))),
            delays = display(&self.times.delays(now)),
        );
    }
}

impl Entry {
    /// What the journal keeps of it; moved out of here, nothing of it is needed any more.
    fn record(&mut self, now: Instant) -> Record {
        let Delays(delays) = self.times.delays(now);
        let mut record = Record {
            session: Some(self.session),
            message: Some(self.id),
            sender: Some(std::mem::take(&mut self.from)),
            recipients: std::mem::take(&mut self.to),
            nrcpt: self.recipients,
            header_from: self.header_from.take(),
            subject: self.subject.take(),
            message_id: self.message_id.take(),
            size: self.size,
            verdict: Some(self.outcome),
            decided_by: self.decided_by.take(),
            findings: std::mem::take(&mut self.findings),
            timings: std::mem::take(&mut self.timings),
            unfinished: self.unfinished,
            violations: std::mem::take(&mut self.violations),
            upstream: self.upstream.take(),
            reply: self.reply.take(),
            error: self.error.take().map(|(_, error)| error),
            held: self.held,
            delays: Some(delays),
            content: self.content.take(),
            ..Record::new(Kind::Message, &self.client, self.protocol)
        };
        if record.content.is_none() && self.journal.book.as_ref().is_some_and(|book| book.wants_content()) {
            record.contents.unexamined = Some("incomplete");
        }
        record
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.times.receiving {
            return;
        }
        let now = self.times.settled.unwrap_or_else(Instant::now);
        self.count(now);
        let traces = self.journal.traces.as_ref();
        let chance = traces.and_then(|traces| traces.choose(self.id.octets(), self.has_failed()));
        self.log(now, chance.is_some());
        if let (Some(traces), Some(chance)) = (traces, chance) {
            traces.push(Box::new(self.told(now, chance)));
        }
        if let Some(book) = self.journal.book.clone() {
            book.push(self.record(now));
        }
    }
}

/// As much of a field as a line shows.
fn shown(field: &str) -> Cow<'_, str> {
    match field.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", field.get(..end).unwrap_or_default()).into(),
        None => field.into(),
    }
}

impl Times {
    fn delays(&self, now: Instant) -> Delays {
        let received = self.received.unwrap_or(now);
        let concluded = self.concluded.unwrap_or(received);
        Delays([
            received.saturating_duration_since(self.begun),
            concluded.saturating_duration_since(received),
            now.saturating_duration_since(concluded),
            now.saturating_duration_since(self.begun),
        ])
    }
}

/// `a/b/c/d`: receiving from MAIL to the end of data, the chain after it, the upstream (or whatever
/// followed the chain), and all of it; seconds.
struct Delays([Duration; 4]);

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [receive, chain, upstream, total] = self.0.map(Seconds);
        write!(f, "{receive}/{chain}/{upstream}/{total}")
    }
}

/// To the millisecond, without zeros at the end: `0.25`, `0`.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        match (millis, millis % 100, millis % 10) {
            (0, _, _) => write!(f, "{seconds}"),
            (_, 0, _) => write!(f, "{seconds}.{}", millis / 100),
            (_, _, 0) => write!(f, "{seconds}.{:02}", millis / 10),
            _ => write!(f, "{seconds}.{millis:03}"),
        }
    }
}

struct Spaced<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Spaced<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, item) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_char(' ')?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

/// `limits=0.001 headers=late`: how long each stage took, or why it did not finish.
struct Stages<'a>(&'a [StageTiming]);

impl fmt::Display for Stages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, timing) in self.0.iter().enumerate() {
            let blank = if n > 0 { " " } else { "" };
            match timing.incomplete {
                Some(why) => write!(f, "{blank}{}={}", timing.stage, why.as_str())?,
                None => write!(f, "{blank}{}={}", timing.stage, Seconds(timing.took))?,
            }
        }
        Ok(())
    }
}
