//! Asks SpamAssassin, over the protocol of its spamd.
//!
//! ```toml
//! [[stage]]
//! name      = "spamassassin"
//! type      = "spamd"
//! address   = "inet:127.0.0.1:783"
//! user      = "mail"
//! spam      = "tag"                 # tag | reject | quarantine | tempfail | report
//! method    = "headers"             # symbols | headers | process
//! threshold = 6.5
//! max_size  = "10MiB"
//! oversize  = "skip"                # error | skip
//! timeout   = "60s"
//! ```
//!
//! spamd gets the message when it is whole, not while it arrives: each of its few children is
//! occupied from the first octet on, and a handful of slow clients would occupy them all. Before the
//! message stands a `Received` field, as the MTA would have put it there: SpamAssassin learns client,
//! HELO and sender from nothing else.
use super::{Kind, Surroundings, documented};
use crate::{
    chain::{Decision, Finding, Hold, HoldClass, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    message::{Client, Message},
    remote::Endpoint,
    smtp::{Mail, Refusal},
    value::{
        ByteSize, Id, rfc5322,
        settings::{Placed, Section},
    },
};
use async_trait::async_trait;
use dialogue::{Answer, Fault, Method, Question};
use std::{net::IpAddr, sync::Arc, time::SystemTime};

mod dialogue;
mod rewrite;

pub(super) const KIND: Kind = Kind {
    name: "spamd",
    summary: "asks SpamAssassin for a score and takes over the fields it marks mail with",
    settings: &[
        documented("address", "where spamd listens: \"inet:127.0.0.1:783\" or \"unix:/run/spamd.sock\""),
        documented("user", "whose preferences spamd is to use; without one, its own"),
        documented(
            "spam",
            "what becomes of spam: \"tag\" (the default: it goes on with spamd's fields), \"reject\", \"quarantine\", \"tempfail\" or \"report\" (it goes on unchanged; rules decide)",
        ),
        documented(
            "method",
            "\"symbols\": a score alone; \"headers\": its X-Spam fields as well, which is the default where spam = \"tag\"; \"process\": also the subject and the body as spamd rewrites them",
        ),
        documented("threshold", "score that makes spam; without it, what spamd says (its `required_score`)"),
        documented("max_size", "octets of a message that is still given to it (50MiB)"),
        documented("oversize", "a larger one: \"error\" (the default: treated as on_error says), or \"skip\": it goes on without a score"),
    ],
    findings: &[
        Known::new("spamd.score", Type::Real, "what SpamAssassin gives the message"),
        Known::new("spamd.threshold", Type::Real, "the score that makes spam"),
        Known::new("spamd.spam", Type::Flag, "whether it is spam by that"),
        Known::new("spamd.symbols", Type::Texts, "names of the tests that hit"),
        Known::new("spamd.skipped", Type::Text, "why it was not asked: \"too large\""),
    ],
    build,
};

/// What becomes of spam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spam {
    Tag,
    Reject,
    Quarantine,
    Tempfail,
    Report,
}

struct Spamd {
    address: Endpoint,
    user: Option<Box<str>>,
    method: Method,
    spam: Spam,
    threshold: Option<f64>,
    /// Octets.
    max_size: u64,
    skips: bool,
    /// Ours, for `Received`.
    hostname: Arc<str>,
}

/// As much as the gate takes by default. spamd looks at the beginning of large parts only and needs
/// seconds for them, not minutes, so no message goes unseen for its size.
const MAX_SIZE: ByteSize = ByteSize(50 << 20);
/// Of the tests that hit, in a reason.
const SHOWN: usize = 10;

fn build(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Stage>> {
    let address = Endpoint::require(section, "address");
    let user = user(section);
    let words = [
        ("tag", Spam::Tag),
        ("reject", Spam::Reject),
        ("quarantine", Spam::Quarantine),
        ("tempfail", Spam::Tempfail),
        ("report", Spam::Report),
    ];
    let spam = section.choice("spam", &words, Spam::Tag);
    let usual = if spam == Spam::Tag { Method::Headers } else { Method::Symbols };
    let words = [("symbols", Method::Symbols), ("headers", Method::Headers), ("process", Method::Process)];
    let method = section.choice("method", &words, usual);
    match (spam, method) {
        (Spam::Tag, Method::Symbols) => {
            let text = "`symbols` brings nothing to tag with: `spam = \"tag\"` needs \"headers\" or \"process\"";
            complain(section, text);
        }
        (Spam::Report, Method::Headers | Method::Process) => {
            let text = "with `spam = \"report\"` nothing is changed, and what spamd would change need not be asked for: \"symbols\"";
            complain(section, text);
        }
        _ => {}
    }
    section.otherwise("threshold", "what spamd says");
    let threshold = section.take("threshold");
    let max_size = section.take_or("max_size", MAX_SIZE).0;
    let skips = section.choice("oversize", &[("error", false), ("skip", true)], false);
    let hostname = Arc::clone(&surroundings.hostname);
    Some(Box::new(Arc::new(Spamd { address: address?, user, method, spam, threshold, max_size, skips, hostname })))
}

fn complain(section: &mut Section<'_>, text: &str) {
    let span = section.place("method").unwrap_or_else(|| section.span());
    section.complain_at(span, format!("`{}`: {text}", section.path("method")));
}

fn user(section: &mut Section<'_>) -> Option<Box<str>> {
    section.otherwise("user", "those of spamd");
    let Placed { value, span } = section.take_placed::<Box<str>>("user")?;
    // It stands in a line of the protocol.
    let is_user = (1..=128).contains(&value.len()) && value.bytes().all(|octet| octet.is_ascii_graphic());
    if !is_user {
        section.complain_at(span, format!("`{}`: `{value}` is no name of a user", section.path("user")));
    }
    Some(value)
}

#[async_trait]
impl Stage for Arc<Spamd> {
    fn may_edit(&self) -> bool {
        self.method != Method::Symbols
    }
    fn wants(&self) -> Wants {
        Wants::MAIL | Wants::END_OF_MESSAGE
    }
    fn is_remote(&self) -> bool {
        true
    }
    // Not `reads_content_only`: the score depends on the client as well.
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Asking { spamd: Self::clone(self), sender: None }))
    }
}

struct Asking {
    spamd: Arc<Spamd>,
    /// Of the transaction under way.
    sender: Option<(Arc<Client>, Id)>,
}

#[async_trait]
impl Inspection for Asking {
    async fn mail(&mut self, client: &Arc<Client>, _: &Mail, id: Id) -> Result<Decision, StageError> {
        self.sender = Some((Arc::clone(client), id));
        Ok(Decision::Go)
    }
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let spamd = &*self.spamd;
        let length = message.content.len();
        if length > spamd.max_size {
            if spamd.skips {
                return Ok(Report { findings: vec![Finding::text("spamd.skipped", "too large")], ..Report::default() });
            }
            let text = format!("{length} octets, and `max_size` is {}", spamd.max_size);
            return Err(StageError::TooLarge(text.into()));
        }
        let received = self.sender.take().map(|(client, id)| received(&spamd.hostname, &client, id, message));
        let question = Question { method: spamd.method, user: spamd.user.as_deref(), received: received.unwrap_or_default(), message };
        let answer = match spamd.address.connect().await {
            Ok(stream) => dialogue::ask(stream, &question).await,
            Err(error) => Err(Fault::Unreachable(spamd.address.to_string(), error)),
        };
        let answer = answer.map_err(|fault| StageError::Failed(fault.into()))?;
        spamd.report(answer, message).await
    }
}

/// The field that an MTA with SpamAssassin behind it would have added (RFC 5321 §4.4), in Postfix's
/// form, which SpamAssassin reads: what it checks of the client it takes from there.
fn received(hostname: &str, client: &Client, id: Id, message: &Message) -> String {
    let hello = client.hello.as_ref().map_or("unknown", |(domain, _)| domain.as_str());
    let address = match client.address.ip().to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    let sender = message.envelope.mail.reverse_path.as_str();
    // In a comment, where anything else could end it.
    let plain = sender.bytes().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'(' | b')' | b'\\' | b'"'));
    let from = if plain { format!("\r\n\t(envelope-from <{sender}>)") } else { String::new() };
    let (protocol, date) = (client.protocol(false), rfc5322(SystemTime::now()));
    format!("Received: from {hello} (unknown {address})\r\n\tby {hostname} (octroi) with {protocol} id {id}{from}; {date}\r\n")
}

impl Spamd {
    async fn report(&self, answer: Answer, message: &Message) -> Result<Report, StageError> {
        let failed = |fault: Fault| StageError::Failed(fault.into());
        let Answer { spam, score, threshold, octets } = answer;
        let (threshold, spam) = self.threshold.map_or((threshold, spam), |own| (own, score >= own));
        let (symbols, edits) = match self.method {
            Method::Symbols => (rewrite::symbols(&octets).map_err(failed)?, Vec::new()),
            method => {
                let rewritten = rewrite::Rewritten::read(&octets);
                let body = if method == Method::Process { rewritten.other_body(message).await.map_err(failed)? } else { None };
                (rewritten.symbols(), rewritten.edits(&message.headers, method == Method::Process, body))
            }
        };
        let mut findings =
            vec![Finding::real("spamd.score", score), Finding::real("spamd.threshold", threshold), Finding::flag("spamd.spam", spam)];
        let verdict = if spam { self.spam.verdict(score, threshold, &symbols) } else { Verdict::Deliver };
        findings.extend(symbols.into_iter().map(|symbol| Finding::text("spamd.symbols", symbol)));
        Ok(Report { verdict, findings, edits, ..Report::default() })
    }
}

impl Spam {
    fn verdict(self, score: f64, threshold: f64, symbols: &[Box<str>]) -> Verdict {
        match self {
            Self::Tag | Self::Report => Verdict::Deliver,
            Self::Reject => Verdict::Refuse(Refusal::permanent(50, "7.1", "message looks like spam")),
            Self::Tempfail => Verdict::Refuse(Refusal::temporary(51, "7.1", "message looks like spam, try again later")),
            Self::Quarantine => {
                let shown = symbols.get(..SHOWN).unwrap_or(symbols).join(", ");
                let reason = format!("SpamAssassin gives it {score:.1} of {threshold:.1}: {shown}");
                Verdict::Quarantine(Hold { class: HoldClass::Spam, reason: reason.into() })
            }
        }
    }
}

#[cfg(test)]
mod tests;
