//! A hook over HTTP: any program that takes JSON and answers JSON, in the shape of the IETF draft
//! *mta-hooks* as Stalwart speaks it, so that hooks that were written for that one can be used.
//!
//! ```toml
//! [[stage]]
//! name   = "hook"
//! type   = "http"
//! url    = "http://127.0.0.1:8080/hook"
//! events = ["rcpt", "data"]
//! ```
//!
//! What a hook wants discarded, held or changed before there is a message is done at its end.

mod answer;
mod request;
mod settings;
#[cfg(test)]
mod tests;

use super::{Kind, Surroundings, documented};
use crate::{
    chain::{Decision, Finding, Hold, HoldClass, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    dns::Resolver,
    message::{Client, Edit, Envelope, Message},
    remote::http::Url,
    smtp::{Mail, Recipient, ReversePath},
    tls::Connector,
    value::Id,
};
use answer::{Action, Answer};
use async_trait::async_trait;
use request::{Event, Question};
use settings::Authorization;
use std::sync::Arc;
use tokio::task::spawn_blocking;

pub(super) const KIND: Kind = Kind {
    name: "http",
    summary: "asks a hook of your own over HTTP, as Stalwart's MTA hooks are asked",
    settings: &[
        documented("url", "\"http://HOST:PORT/PATH\", \"https://HOST:PORT/PATH\", or \"http://unix:/SOCKET:/PATH\""),
        documented("ca", "a PEM file with the authorities that its certificate may be of; without it, those that the system trusts"),
        documented("events", "when it is asked: \"connect\", \"ehlo\", \"mail\", \"rcpt\", \"data\" ([\"data\"])"),
        documented("token", "a bearer token it wants to see; { file = … } or { env = … }"),
        documented("user", "a name, where it wants a name and a password (HTTP Basic)"),
        documented("password", "the password to `user`; { file = … } or { env = … }"),
        documented("contents", "whether it gets the body at \"data\" (true); the header fields it always gets"),
        documented("max_size", "octets of a message that are sent with its body (10MiB); for more the stage fails"),
        documented("read_only", "whether it may change nothing (false): then it runs at the same time as its neighbours"),
        documented("class", "what its quarantine counts as: \"malware\", \"phishing\", \"spam\" or \"policy\" (the default)"),
    ],
    findings: &[
        Known::new(
            "http.action",
            Type::Text,
            "what it wants of a message that it does not reject: \"accept\", \"discard\", \"quarantine\"",
        ),
        Known::new("http.message", Type::Text, "the text that it gave with that"),
    ],
    build: settings::build,
};

/// Octets of an answer that are read in passing; more is read where it holds nobody up.
const SMALL: usize = 64 << 10;

struct Hook {
    url: Url,
    tls: Option<Connector>,
    events: Vec<Event>,
    authorization: Option<Authorization>,
    contents: bool,
    max_size: u64,
    read_only: bool,
    class: HoldClass,
    hostname: Arc<str>,
    dns: Resolver,
}

impl Hook {
    async fn ask(&self, question: Question<'_>) -> Result<Answer, StageError> {
        let too_large = question.message.is_some_and(|message| self.contents && message.content.len() > self.max_size);
        if too_large {
            return Err(StageError::TooLarge(format!("more than {} octets", self.max_size).into()));
        }
        // What cannot be found out is not said.
        let name = self.dns.confirmed_name(question.client.address.ip()).await.ok().flatten();
        let post = question.post(&self.url.path, &self.hostname, name.as_deref(), self.contents).await;
        let mut post = post.map_err(|error| StageError::Failed(error.into()))?.header("Content-Type", "application/json");
        if let Some(authorization) = &self.authorization {
            post = post.header("Authorization", &authorization.value());
        }
        let answer = post.send(&self.url.endpoint, self.tls.as_ref()).await.map_err(|error| StageError::Failed(error.into()))?;
        let read = if answer.body.len() <= SMALL {
            Answer::parse(&answer)
        } else {
            spawn_blocking(move || Answer::parse(&answer)).await.map_err(|error| StageError::Failed(error.into()))?
        };
        read.map_err(|why| StageError::Failed(format!("{}: {why}", self.url.endpoint).into()))
    }

    fn hears(&self, event: Event) -> bool {
        self.events.contains(&event)
    }

    /// What an answer means for a message. A rejection is one wherever it is said.
    fn verdict(&self, answer: &Answer) -> Verdict {
        match &answer.action {
            Action::Accept => Verdict::Deliver,
            Action::Discard => Verdict::Discard,
            Action::Reject(refusal) => Verdict::Refuse(refusal.clone()),
            Action::Quarantine => {
                let reason = answer.message.clone().unwrap_or_else(|| format!("the hook at {} wants it held", self.url.endpoint).into());
                Verdict::Quarantine(Hold { class: self.class, reason })
            }
        }
    }
}

#[async_trait]
impl Stage for Arc<Hook> {
    fn may_edit(&self) -> bool {
        !self.read_only
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn wants(&self) -> Wants {
        let wanted = |event, wants| if self.hears(event) { wants } else { Wants::NOTHING };
        // A transaction's beginning gives it its name, and its end is when most answers are done.
        Wants::MAIL
            | Wants::END_OF_MESSAGE
            | wanted(Event::Connect, Wants::CONNECT)
            | wanted(Event::Ehlo, Wants::HELLO)
            | wanted(Event::Rcpt, Wants::RECIPIENT)
    }
    async fn begin(&self, client: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        let (hook, client) = (Self::clone(self), Arc::clone(client));
        Ok(Box::new(Watching { hook, client, session: Verdict::Deliver, transaction: Transaction::default() }))
    }
}

/// One session under a hook's eyes.
struct Watching {
    hook: Arc<Hook>,
    client: Arc<Client>,
    /// What it wants of every message of this client.
    session: Verdict,
    transaction: Transaction,
}

/// What is known of a transaction, and wanted of its message, before there is one.
struct Transaction {
    id: Option<Id>,
    envelope: Envelope,
    verdict: Verdict,
    message: Option<Box<str>>,
    edits: Vec<Edit>,
}

impl Default for Transaction {
    fn default() -> Self {
        let envelope = Envelope { mail: Mail::new(ReversePath(None)), recipients: Vec::new() };
        Self { id: None, envelope, verdict: Verdict::Deliver, message: None, edits: Vec::new() }
    }
}

impl Watching {
    /// Before a transaction: about every message that may follow.
    async fn ask_about_session(&mut self, event: Event) -> Result<Decision, StageError> {
        let answer = self.hook.ask(Question { event, client: &self.client, id: None, envelope: None, message: None }).await?;
        if !answer.edits.is_empty() {
            return Err(StageError::Failed(format!("it wants a message changed at \"{}\", when there is none", event.as_str()).into()));
        }
        Ok(match self.hook.verdict(&answer) {
            Verdict::Refuse(refusal) => Decision::Refuse(refusal),
            other => {
                self.session = std::mem::take(&mut self.session).or_stricter(other);
                Decision::Go
            }
        })
    }

    /// Within a transaction: about its message.
    async fn ask_about_transaction(&mut self, event: Event) -> Result<Decision, StageError> {
        let Transaction { id, envelope, .. } = &self.transaction;
        let answer = self.hook.ask(Question { event, client: &self.client, id: *id, envelope: Some(envelope), message: None }).await?;
        Ok(match self.hook.verdict(&answer) {
            Verdict::Refuse(refusal) => Decision::Refuse(refusal),
            other => {
                self.transaction.add(other, answer);
                Decision::Go
            }
        })
    }
}

impl Transaction {
    fn add(&mut self, verdict: Verdict, answer: Answer) {
        if verdict.is_stricter_than(&self.verdict) || self.message.is_none() {
            self.message = answer.message;
        }
        self.verdict = std::mem::take(&mut self.verdict).or_stricter(verdict);
        self.edits.extend(answer.edits);
    }

    fn report(self) -> Report {
        let action = match &self.verdict {
            Verdict::Deliver => Some("accept"),
            Verdict::Discard => Some("discard"),
            Verdict::Quarantine(_) => Some("quarantine"),
            Verdict::Refuse(_) => None,
        };
        let mut findings: Vec<_> = action.map(|action| Finding::text("http.action", action)).into_iter().collect();
        findings.extend(self.message.map(|message| Finding::text("http.message", message)));
        Report { verdict: self.verdict, findings, edits: self.edits, ..Report::default() }
    }
}

#[async_trait]
impl Inspection for Watching {
    async fn connect(&mut self, client: &Arc<Client>) -> Result<Decision, StageError> {
        self.client = Arc::clone(client);
        self.ask_about_session(Event::Connect).await
    }
    async fn hello(&mut self, client: &Arc<Client>) -> Result<Decision, StageError> {
        self.client = Arc::clone(client);
        self.ask_about_session(Event::Ehlo).await
    }
    async fn mail(&mut self, client: &Arc<Client>, mail: &Mail, id: Id) -> Result<Decision, StageError> {
        self.client = Arc::clone(client);
        let envelope = Envelope { mail: mail.clone(), recipients: Vec::new() };
        self.transaction = Transaction { id: Some(id), envelope, verdict: self.session.clone(), ..Transaction::default() };
        if self.hook.hears(Event::Mail) { self.ask_about_transaction(Event::Mail).await } else { Ok(Decision::Go) }
    }
    async fn recipient(&mut self, recipient: &Recipient) -> Result<Decision, StageError> {
        self.transaction.envelope.recipients.push(recipient.clone());
        let decision = self.ask_about_transaction(Event::Rcpt).await;
        if let Ok(Decision::Refuse(_)) = decision {
            self.transaction.envelope.recipients.pop();
        }
        decision
    }
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let mut transaction = std::mem::take(&mut self.transaction);
        if self.hook.hears(Event::Data) {
            let (client, envelope) = (&self.client, Some(&*message.envelope));
            let question = Question { event: Event::Data, client, id: transaction.id, envelope, message: Some(message) };
            let answer = self.hook.ask(question).await?;
            transaction.add(self.hook.verdict(&answer), answer);
        }
        Ok(transaction.report())
    }
    fn abort(&mut self) {
        self.transaction = Transaction::default();
    }
}
