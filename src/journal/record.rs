//! What a message or a refusal leaves behind, on its way from the session's thread to a row: moved,
//! not rendered. All that takes time is done by whoever writes it.
use super::{
    Phase,
    hide::{self, Hide},
    queue_id,
    row::{Attachment, Delays, Details, Found, Kind, Row, Stage, Tls, seconds},
    settings::{Addresses, Settings},
    terms::{self, Of, Terms},
};
use crate::chain::{Finding, StageTiming, Value};
use crate::message::{Client, Message, budget::Share, words};
use crate::smtp::Reply;
use crate::telemetry::{Outcome, Violation};
use crate::value::Id;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Characters of a header field, an error, or a reply that a row or a span has.
pub(super) const TEXT: usize = 500;
/// Characters of a finding's text.
pub(super) const FINDING: usize = 300;
/// Findings of a row.
const FINDINGS: usize = 200;
/// Terms of one sort; what is beyond is shown and not found.
const TERMS: usize = 100;
/// Addresses of a From field that it is found by.
const AUTHORS: usize = 4;

#[derive(Debug)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) at: SystemTime,
    pub(super) client: Arc<Client>,
    pub(super) session: Option<Id>,
    pub(super) message: Option<Id>,
    pub(super) phase: Option<Phase>,
    pub(super) protocol: &'static str,
    pub(super) sender: Option<Box<str>>,
    /// Divided by LF.
    pub(super) recipients: String,
    pub(super) nrcpt: usize,
    /// As they stand in the header section, on one line.
    pub(super) header_from: Option<String>,
    pub(super) subject: Option<String>,
    pub(super) message_id: Option<String>,
    pub(super) size: u64,
    pub(super) verdict: Option<Outcome>,
    pub(super) decided_by: Option<Box<str>>,
    pub(super) findings: Vec<Finding>,
    pub(super) timings: Vec<StageTiming>,
    pub(super) unfinished: bool,
    pub(super) violations: Vec<Violation>,
    pub(super) upstream: Option<Arc<str>>,
    pub(super) reply: Option<Reply>,
    pub(super) error: Option<String>,
    pub(super) held: usize,
    /// Receiving, the chain, what followed it, all of it.
    pub(super) delays: Option<[Duration; 4]>,
    /// To be looked into.
    pub(super) content: Option<Message>,
    /// Of what such contents may take.
    pub(super) content_share: Option<Share>,
    pub(super) contents: Contents,
    /// Of the memory that all records under way have together.
    pub(super) share: Option<Share>,
}

/// What is in a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) attachments: Vec<Attachment>,
    pub(super) hosts: Vec<String>,
    pub(super) unexamined: Option<&'static str>,
}

impl Record {
    /// Of a client's doing, with nothing else known.
    pub(super) fn new(kind: Kind, client: &Arc<Client>, protocol: &'static str) -> Self {
        Self {
            kind,
            at: SystemTime::now(),
            client: Arc::clone(client),
            session: None,
            message: None,
            phase: None,
            protocol,
            sender: None,
            recipients: String::new(),
            nrcpt: 0,
            header_from: None,
            subject: None,
            message_id: None,
            size: 0,
            verdict: None,
            decided_by: None,
            findings: Vec::new(),
            timings: Vec::new(),
            unfinished: false,
            violations: Vec::new(),
            upstream: None,
            reply: None,
            error: None,
            held: 0,
            delays: None,
            content: None,
            content_share: None,
            contents: Contents::default(),
            share: None,
        }
    }

    /// Octets of memory it takes while it waits, about.
    pub(super) fn weight(&self) -> u64 {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let findings: usize = self.findings.iter().map(|finding| size_of::<Finding>() + heap(&finding.value)).sum();
        let texts = [&self.header_from, &self.subject, &self.message_id, &self.error].map(text).iter().sum::<usize>()
            + self.reply.as_ref().map_or(0, |reply| reply.text().len());
        (size_of::<Self>() + self.recipients.len() + texts + findings + self.timings.len() * 96) as u64
    }

    /// The row, and what it is found by.
    pub(super) fn into_row(self, key: i64, settings: &Settings, hide: Option<&Hide>) -> (Row, String) {
        let hide = hide.filter(|_| settings.addresses == Addresses::Hashed);
        let decoded = |field: Option<String>| field.map(|field| line(&words::decode(&field).unwrap_or(field), TEXT));
        let (subject, header_from) = (decoded(self.subject).filter(|_| settings.subjects), decoded(self.header_from));
        let terms = Terms::default();
        let bounded = |text: &str, max| match hide {
            Some(hide) => cut(&hide.scrub(&line(text, TEXT)), max),
            None => line(text, max),
        };
        let text = |text: &str| bounded(text, TEXT);
        let address =
            |address: &str| hide.filter(|_| !address.is_empty()).map_or_else(|| line(address, TEXT), |hide| hide.address(address));
        let client = &*self.client;
        let delivered = self.verdict == Some(Outcome::Delivered);
        let details = Details {
            protocol: self.protocol.to_owned(),
            mechanism: client.mechanism.as_deref().map(str::to_owned),
            local: (client.local.port() != 0).then(|| client.local.to_string()),
            tls: client.tls.as_deref().map(|facts| Tls {
                version: facts.version.to_owned(),
                cipher: facts.cipher.to_owned(),
                sni: facts.sni.as_deref().map(|sni| line(sni, TEXT)),
                client_subject: facts.client_subject.as_deref().map(text),
                resumed: facts.resumed,
                ja4: facts.ja4.as_deref().map(str::to_owned),
            }),
            findings: self.findings.iter().take(FINDINGS).map(|finding| Found::of(finding, &|found| bounded(found, FINDING))).collect(),
            more_findings: self.findings.len().saturating_sub(FINDINGS) as u64,
            stages: self.timings.iter().map(Stage::from).collect(),
            unfinished: self.unfinished,
            delays: self.delays.map(|delays| {
                let [receive, chain, deliver, total] = delays.map(seconds);
                Delays { receive, chain, deliver, total }
            }),
            held: self.held as u64,
            attachments: self.contents.attachments,
            hosts: self.contents.hosts,
            unexamined: self.contents.unexamined.map(str::to_owned),
        };
        let authors = header_from.as_deref().map(hide::addresses).unwrap_or_default();
        let authors: Vec<&str> = authors.into_iter().take(AUTHORS).filter_map(|range| header_from.as_deref()?.get(range)).collect();
        let plain = Plain {
            account: client.account.as_deref(),
            sender: self.sender.as_deref(),
            recipients: &self.recipients,
            authors: &authors,
            header_from: header_from.as_deref(),
        };
        let row = Row {
            key,
            at: self.at,
            kind: self.kind,
            phase: self.phase.map(|phase| phase.to_string()),
            listener: client.listener.to_string(),
            session: self.session.map(|id| id.to_string()),
            message: self.message.map(|id| id.to_string()),
            client: client.address.ip().to_canonical().to_string(),
            port: client.address.port(),
            helo: client.hello.as_ref().map(|(domain, _)| line(domain.as_str(), TEXT)),
            account: client.account.as_deref().map(address),
            sender: self.sender.as_deref().map(address),
            recipients: self.recipients.lines().map(address).collect(),
            nrcpt: self.nrcpt as u64,
            header_from: header_from.as_deref().map(|from| match hide {
                // A display name is as good as an address.
                Some(hide) => authors.iter().map(|author| hide.address(author)).collect::<Vec<_>>().join(", "),
                None => from.to_owned(),
            }),
            subject: subject.map(|subject| match hide {
                Some(hide) => hide.scrub(&subject),
                None => subject,
            }),
            message_id: self.message_id.map(|id| line(&id, TEXT)),
            size: self.size,
            verdict: self.verdict.map(|verdict| verdict.as_str().to_owned()),
            decided_by: self.decided_by.map(String::from),
            violations: self.violations.iter().map(|violation| violation.as_str().to_owned()).collect(),
            upstream: self.upstream.as_deref().map(str::to_owned),
            queue_id: self.reply.as_ref().filter(|_| delivered).and_then(|reply| queue_id(reply.text())).map(str::to_owned),
            reply: self.reply.as_ref().map(|reply| text(&reply.to_string())),
            error: self.error.as_deref().map(text),
            details,
        };
        let terms = row.terms(terms, client, &plain, hide);
        (row, terms)
    }
}

/// What stands in a row as it is only where nothing is to be hidden.
struct Plain<'a> {
    account: Option<&'a str>,
    sender: Option<&'a str>,
    recipients: &'a str,
    authors: &'a [&'a str],
    header_from: Option<&'a str>,
}

impl Row {
    fn terms(&self, mut terms: Terms, client: &Client, plain: &Plain<'_>, hide: Option<&Hide>) -> String {
        terms.add(Of::Kind, self.kind.as_str());
        terms.add(Of::Listener, &self.listener);
        terms.add(Of::Client, &terms::hexadecimal(client.address.ip()));
        terms.add_some(Of::Helo, self.helo.as_deref());
        terms.add_some(Of::Ja4, client.tls.as_ref().and_then(|facts| facts.ja4.as_deref()));
        terms.add_some(Of::Verdict, self.verdict.as_deref());
        terms.add_some(Of::DecidedBy, self.decided_by.as_deref());
        self.violations.iter().for_each(|violation| terms.add(Of::Violation, violation));
        terms.add_some(Of::Message, self.message.as_deref());
        terms.add_some(Of::Session, self.session.as_deref());
        terms.add_some(Of::MessageId, self.message_id.as_deref());
        terms.add_some(Of::QueueId, self.queue_id.as_deref());
        terms.add_some(Of::Account, self.account.as_deref());
        if let Some(sender) = plain.sender {
            terms.address(Of::Sender, Of::SenderDomain, sender, hide.filter(|_| !sender.is_empty()));
        }
        for recipient in plain.recipients.lines().take(TERMS) {
            terms.address(Of::Recipient, Of::RecipientDomain, recipient, hide);
        }
        for author in plain.authors {
            terms.address(Of::From, Of::FromDomain, author, hide);
        }
        for Found { name, value } in self.details.findings.iter().take(TERMS) {
            let value = value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
            terms.add_parts(Of::Finding, &[name, "=", &value]);
        }
        for attachment in self.details.attachments.iter().take(TERMS) {
            attachment.names.iter().for_each(|name| terms.add(Of::Attachment, name));
            terms.add_some(Of::Sha256, attachment.sha256.as_deref());
        }
        self.details.hosts.iter().take(TERMS).for_each(|host| terms.add(Of::Host, &terms::turned(host)));
        terms.words(Of::Subject, self.subject.as_deref().unwrap_or_default());
        if hide.is_none() {
            for text in [plain.account, plain.sender, plain.header_from].into_iter().flatten() {
                terms.words(Of::Word, text);
            }
            plain.recipients.lines().take(AUTHORS).for_each(|recipient| terms.words(Of::RecipientWord, recipient));
        }
        terms.into_string()
    }
}

/// Octets on the heap.
pub(super) fn heap(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Number(_) | Value::Real(_) | Value::Flag(_) => 0,
    }
}

/// On one line, without what would move a cursor, and not longer than `max` characters.
pub(super) fn line(text: &str, max: usize) -> String {
    // The usual, and written some twenty times a row.
    if text.len() <= max && text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return text.to_owned();
    }
    cut(text, max).chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// Its first `max` characters; an ellipsis says that there were more.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
