//! A message as spans, from the same record as its line, its metrics and its row. `deploy/TRACES.md` says
//! what they carry.
use super::{Entry, Times, queue_id};
use crate::chain::{Finding, StageTiming};
use crate::journal::{
    hide::Shown,
    record::{FINDING, TEXT, cut, heap, line},
};
use crate::message::Client;
use crate::smtp::Reply;
use crate::telemetry::{
    Outcome, Violation,
    traces::{Chance, Failure, Kind, Span, Trace, Traced},
};
use crate::value::Id;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// Findings that a span has.
const FINDINGS: usize = 50;

/// Who is to blame where something goes wrong with a message that no client did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The MTA behind.
    Upstream,
    /// It was to be held, and could not be stored.
    Quarantine,
    /// There was no room for it here, or it could not be read back.
    Spool,
}

impl Fault {
    fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Quarantine => "quarantine",
            Self::Spool => "spool",
        }
    }
}

/// Copies of the facts, until there is time to make spans of them.
#[derive(Debug)]
pub(super) struct Told {
    id: Id,
    session: Id,
    client: Arc<Client>,
    protocol: &'static str,
    chance: Chance,
    shown: Shown,
    times: Times,
    ended: Instant,
    /// What the clock on the wall said at that moment.
    clock: (Instant, SystemTime),
    sender: Box<str>,
    recipients: String,
    nrcpt: usize,
    size: u64,
    message_id: Option<String>,
    outcome: Outcome,
    decided_by: Option<Box<str>>,
    findings: Vec<Finding>,
    timings: Vec<StageTiming>,
    unfinished: bool,
    violations: Vec<Violation>,
    upstream: Option<Arc<str>>,
    refused_by_chain: bool,
    reply: Option<Reply>,
    error: Option<(Fault, String)>,
    held: usize,
}

impl Entry {
    /// Whether we failed it, or what is behind us did; the client's own doing is none of that.
    pub(super) fn has_failed(&self) -> bool {
        self.error.is_some() || failing_stage(&self.timings, self.decided_by.as_deref(), self.unfinished).is_some()
    }

    /// What is told of it as spans; `now`: when it was settled.
    pub(super) fn told(&self, now: Instant, chance: Chance) -> Told {
        Told {
            id: self.id,
            session: self.session,
            client: Arc::clone(&self.client),
            protocol: self.protocol,
            chance,
            shown: self.journal.book.as_ref().map_or(Shown::Plain, |book| book.shown()),
            times: self.times,
            ended: now,
            clock: (Instant::now(), SystemTime::now()),
            sender: self.from.clone(),
            recipients: self.to.get(..self.shown).unwrap_or_default().to_owned(),
            nrcpt: self.recipients,
            size: self.size,
            message_id: self.message_id.clone(),
            outcome: self.outcome,
            decided_by: self.decided_by.clone(),
            findings: self.findings.iter().take(FINDINGS).cloned().collect(),
            timings: self.timings.clone(),
            unfinished: self.unfinished,
            violations: self.violations.clone(),
            upstream: self.upstream.clone(),
            refused_by_chain: self.refused_by_chain,
            reply: self.reply.clone(),
            error: self.error.clone(),
            held: self.held,
        }
    }
}

/// A stage that did not finish, where that made a difference: it is the verdict, or the message went on
/// without.
fn failing_stage<'a>(timings: &'a [StageTiming], decided_by: Option<&str>, unfinished: bool) -> Option<&'a StageTiming> {
    let mut incomplete = timings.iter().filter(|timing| timing.incomplete.is_some());
    let first = incomplete.clone().next().filter(|_| unfinished);
    incomplete.find(|timing| decided_by == Some(&timing.stage)).or(first)
}

impl Traced for Told {
    fn weight(&self) -> usize {
        let findings: usize = self.findings.iter().map(|finding| size_of::<Finding>() + heap(&finding.value)).sum();
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        size_of::<Self>()
            + self.sender.len()
            + self.recipients.len()
            + text(&self.message_id)
            + findings
            + self.timings.len() * 2 * size_of::<StageTiming>()
            + self.reply.as_ref().map_or(0, |reply| reply.text().len())
            + self.error.as_ref().map_or(0, |(_, error)| error.len())
    }

    fn trace(self: Box<Self>) -> Trace {
        let children = std::iter::once(self.receiving()).chain(self.inspecting());
        let children = children.chain(self.timings.iter().map(|timing| self.stage(timing))).chain(self.placing()).collect();
        Trace { id: self.id.octets(), chance: self.chance, root: self.whole(), children }
    }
}

impl Told {
    fn whole(&self) -> Span {
        let client = &*self.client;
        let address = client.address.ip().to_canonical();
        // The stages are asked of MAIL before it is accepted.
        let first = self.timings.iter().filter_map(|timing| timing.calls.as_ref()).map(|calls| calls.start).min();
        let start = first.map_or(self.times.begun, |first| first.min(self.times.begun));
        let local = Some(client.local).filter(|local| local.port() != 0);
        let findings: Vec<_> = self.findings.iter().map(|finding| cut(&self.text(&finding.to_string()), FINDING)).collect();
        let violations: Vec<_> = self.violations.iter().map(|violation| violation.as_str().to_owned()).collect();
        let span = self
            .span("message", Kind::Server, start, self.ended)
            .with("octroi.message.id", self.id.to_string())
            .with("octroi.session.id", self.session.to_string())
            .with("octroi.listener", &*client.listener)
            .with("octroi.protocol", self.protocol)
            .with("network.protocol.name", "smtp")
            .with("network.transport", "tcp")
            .with("network.type", if address.is_ipv4() { "ipv4" } else { "ipv6" })
            .with("client.address", address.to_string())
            .with("client.port", client.address.port())
            .maybe("server.address", local.map(|local| local.ip().to_canonical().to_string()))
            .maybe("server.port", local.map(|local| local.port()))
            .maybe("octroi.helo", client.hello.as_ref().map(|(domain, _)| line(domain.as_str(), TEXT)))
            .maybe("user.name", client.account.as_deref().filter(|account| !account.is_empty()).and_then(|account| self.address(account)))
            .maybe("octroi.sender", self.address(&self.sender))
            .with("octroi.recipients", self.recipients.lines().filter_map(|recipient| self.address(recipient)).collect::<Vec<_>>())
            .with("octroi.recipient.count", self.nrcpt)
            .with("octroi.message.size", self.size)
            .maybe("email.message_id", self.message_id.as_deref().map(|id| line(id, TEXT)))
            .with("octroi.verdict", self.outcome.as_str())
            .maybe("octroi.decided_by", self.decided_by.as_deref())
            .maybe("octroi.held", (self.held > 0).then_some(self.held))
            .maybe("octroi.unfinished", self.unfinished.then_some(true))
            .maybe("octroi.violations", (!violations.is_empty()).then_some(violations))
            .maybe("octroi.findings", (!findings.is_empty()).then_some(findings));
        self.answered(self.tls(span)).failed(self.failure())
    }

    fn tls(&self, span: Span) -> Span {
        let Some(tls) = self.client.tls.as_deref() else { return span };
        span.with("tls.protocol.name", "tls")
            .with("tls.protocol.version", tls.version.trim_start_matches("TLSv"))
            .with("tls.cipher", tls.cipher)
            .with("tls.resumed", tls.resumed)
            .maybe("tls.client.server_name", tls.sni.as_deref().map(|sni| line(sni, TEXT)))
            .maybe("tls.client.subject", tls.client_subject.as_deref().map(|subject| self.text(subject)))
            .maybe("octroi.tls.ja4", tls.ja4.as_deref())
    }

    /// Where it went, and what was said to that.
    fn answered(&self, span: Span) -> Span {
        let delivered = self.reply.as_ref().filter(|_| self.outcome == Outcome::Delivered);
        span.maybe("octroi.upstream", self.upstream.as_deref())
            .maybe("octroi.queue_id", delivered.and_then(|reply| queue_id(reply.text())))
            .maybe("octroi.reply.code", self.reply.as_ref().map(Reply::code))
            .maybe("octroi.reply.text", self.reply.as_ref().map(|reply| self.text(reply.text())))
    }

    fn failure(&self) -> Option<Failure> {
        if let Some((fault, text)) = &self.error {
            return Some(Failure { kind: fault.as_str(), text: self.text(text) });
        }
        let timing = failing_stage(&self.timings, self.decided_by.as_deref(), self.unfinished)?;
        Some(Failure { kind: "stage", text: format!("{}: {}", timing.stage, timing.incomplete?.as_str()) })
    }

    /// MAIL to the end of the data: the client's and the network's time, for the most part.
    fn receiving(&self) -> Span {
        let end = self.times.received.unwrap_or(self.ended);
        self.span("receive", Kind::Internal, self.times.begun, end).with("octroi.message.size", self.size)
    }

    /// From the end of the data to the verdict, while the client waits for our answer.
    fn inspecting(&self) -> Option<Span> {
        let (start, end) = (self.times.received?, self.times.concluded?);
        (end >= start).then(|| self.span("inspect", Kind::Internal, start, end))
    }

    fn stage(&self, timing: &StageTiming) -> Span {
        // One that was not called is shown where it would have been.
        let missed = self.times.received.unwrap_or(self.ended);
        let calls = timing.calls.clone().unwrap_or(missed..missed);
        let failure = timing.incomplete.map(|why| Failure { kind: why.as_str(), text: format!("did not finish: {}", why.as_str()) });
        self.span(format!("stage {}", timing.stage), Kind::Internal, calls.start, calls.end)
            .with("octroi.stage.name", &*timing.stage)
            .with("octroi.stage.result", timing.result.as_str())
            .with("octroi.stage.busy", timing.took.as_secs_f64())
            .with("octroi.stage.findings", timing.findings)
            .failed(failure)
    }

    /// What followed the verdict: the MTA was given it, or the quarantine.
    fn placing(&self) -> Option<Span> {
        let start = self.times.concluded?;
        let fault = self.error.as_ref().map(|(fault, _)| *fault);
        let is_over = self.refused_by_chain || matches!(self.outcome, Outcome::Discarded | Outcome::Lost) || fault == Some(Fault::Spool);
        if is_over || self.times.received.is_none_or(|received| received > start) {
            return None;
        }
        let failure = self.failure().filter(|_| fault.is_some());
        if self.outcome == Outcome::Quarantined || fault == Some(Fault::Quarantine) {
            let span = self.span("quarantine", Kind::Internal, start, self.ended);
            return Some(span.maybe("octroi.held", (self.held > 0).then_some(self.held)).failed(failure));
        }
        let span = self.span("deliver", Kind::Client, start, self.ended).with("network.protocol.name", "smtp");
        Some(self.answered(span).failed(failure))
    }

    /// Between two moments, by the clock on the wall.
    fn span(&self, name: impl Into<Cow<'static, str>>, kind: Kind, start: Instant, end: Instant) -> Span {
        let (now, time) = self.clock;
        let at = |moment| time.checked_sub(now.saturating_duration_since(moment)).unwrap_or(time);
        Span::new(name, kind, at(start), at(end))
    }

    /// On one line, bounded, and without what is not to be shown.
    fn text(&self, text: &str) -> String {
        self.shown.text(&line(text, TEXT))
    }

    fn address(&self, address: &str) -> Option<String> {
        self.shown.address(&line(address, TEXT))
    }
}
