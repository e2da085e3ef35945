//! Rspamd, over its own HTTP protocol (`/checkv2`): its action, its score, and what it wants changed.
//!
//! ```toml
//! [[stage]]
//! name    = "rspamd"
//! type    = "rspamd"
//! address = "inet:127.0.0.1:11333"
//! ```
//!
//! Rspamd takes a message whole, so that it is asked at its end.

mod answer;
#[cfg(test)]
mod tests;

use super::{Kind, Surroundings, act::Act, documented};
use crate::{
    chain::{Decision, Finding, Hold, HoldClass, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    dns::Resolver,
    message::{Client, Content, Edit, FieldValue, Message},
    remote::{Endpoint, http::Post},
    smtp::{Mail, Refusal, Reply},
    value::{ByteSize, Id, Secret, settings::Section},
};
use answer::{Action, Answer};
use async_trait::async_trait;
use futures_util::stream;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "rspamd",
    summary: "asks Rspamd for its verdict on the whole message",
    settings: &[
        documented("address", "where a normal worker of Rspamd listens: \"inet:127.0.0.1:11333\", \"unix:/run/rspamd/worker.sock\""),
        documented("password", "what it wants to hear of clients it does not know otherwise; { file = … } or { env = … }"),
        documented("settings_id", "the name of settings that Rspamd is to apply"),
        documented(
            "reject",
            "what its \"reject\" means: \"reject\" (the default), \"quarantine\", \"tempfail\", \"discard\" or \"report\"",
        ),
        documented("read_only", "whether it may change nothing (false): then it runs at the same time as its neighbours"),
        documented("max_size", "octets of a message that are sent (50MiB); for more the stage fails"),
    ],
    findings: &[
        Known::new(
            "rspamd.action",
            Type::Text,
            "what it would do: \"no action\", \"greylist\", \"add header\", \"rewrite subject\", \"soft reject\", \"reject\"",
        ),
        Known::new("rspamd.score", Type::Real, "the score of the message"),
        Known::new("rspamd.required_score", Type::Real, "the score from which it rejects"),
        Known::new("rspamd.symbols", Type::Texts, "the symbols that matched, heaviest first, a hundred at most"),
    ],
    build,
};

const MAX_SIZE: ByteSize = ByteSize(50 << 20);

struct Rspamd {
    endpoint: Endpoint,
    password: Option<Secret>,
    settings_id: Option<Box<str>>,
    reject: Act,
    read_only: bool,
    max_size: u64,
    hostname: Arc<str>,
    dns: Resolver,
}

fn build(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Stage>> {
    let endpoint = Endpoint::require(section, "address");
    let password = section.take("password");
    let settings_id = section.take("settings_id");
    let reject = section.choice("reject", Act::WORDS, Act::Reject);
    let read_only = section.take_or("read_only", false);
    let max_size = section.take_or("max_size", MAX_SIZE).0;
    let Surroundings { hostname, dns, .. } = surroundings.clone();
    let rspamd = Rspamd { endpoint: endpoint?, password, settings_id, reject, read_only, max_size, hostname, dns };
    Some(Box::new(Arc::new(rspamd)))
}

impl Rspamd {
    async fn ask(&self, client: &Client, id: Option<Id>, message: &Message) -> Result<Answer, StageError> {
        if message.content.len() > self.max_size {
            return Err(StageError::TooLarge(format!("more than {} octets", self.max_size).into()));
        }
        let address = client.address.ip().to_canonical();
        // What cannot be found out is not said; Rspamd looks for itself where it wants to know.
        let name = self.dns.confirmed_name(address).await.ok().flatten();
        let tls = client.tls.as_deref();
        let envelope = &message.envelope;
        let sender = envelope.mail.reverse_path.as_str();
        let mut post = post("/checkv2", &message.content)
            .header("IP", &address.to_string())
            .header("From", sender)
            .header("MTA-Name", &self.hostname)
            .maybe("Hostname", name.as_deref())
            .maybe("Helo", client.hello.as_ref().map(|(domain, _)| domain.as_str()))
            .maybe("User", client.account.as_deref().filter(|account| !account.is_empty()))
            .maybe("Queue-Id", id.map(|id| id.to_string()).as_deref())
            .maybe("TLS-Version", tls.map(|tls| tls.version))
            .maybe("TLS-Cipher", tls.map(|tls| tls.cipher))
            .maybe("Password", self.password.as_ref().map(Secret::reveal))
            .maybe("Settings-ID", self.settings_id.as_deref());
        for recipient in &envelope.recipients {
            post = post.header("Rcpt", recipient.address.as_str());
        }
        let reply = post.send(&self.endpoint, None).await.map_err(|error| StageError::Failed(error.into()))?;
        Answer::parse(reply.status, &reply.body).map_err(|why| StageError::Failed(format!("{}: {why}", self.endpoint).into()))
    }

    fn report(&self, answer: Answer, message: &Message) -> Report {
        let said = |code: u16, status: &str, usual: &str| {
            let text = answer.message.as_deref().unwrap_or(usual);
            let refusal = Refusal::from_reply(Reply::new(code, format!("{status} {text}")));
            Verdict::Refuse(refusal.unwrap_or_else(|| Refusal::temporary(51, "7.1", usual)))
        };
        let spam = || Verdict::Quarantine(Hold { class: HoldClass::Spam, reason: format!("Rspamd scores it {}", answer.score).into() });
        let mut edits = answer.edits.clone();
        let verdict = match (answer.action, self.reject) {
            (Action::Reject, Act::Reject) => said(554, "5.7.1", "spam message rejected"),
            (Action::Reject, Act::Tempfail) => said(451, "4.7.1", "try again later"),
            (Action::Reject, Act::Quarantine) | (Action::Quarantine, _) => spam(),
            (Action::Reject, Act::Discard) | (Action::Discard, _) => Verdict::Discard,
            (Action::SoftReject, _) => said(451, "4.7.1", "try again later"),
            (Action::RewriteSubject, _) => {
                edits.push(Edit::ReplaceHeader { name: "Subject".into(), nth: 1, value: subject(answer.subject.as_deref(), message) });
                Verdict::Deliver
            }
            (Action::AddHeader, _) => {
                // As Rspamd's own milter does: whoever reads the first one only is not to read the
                // sender's.
                edits.push(Edit::DeleteHeader { name: "X-Spam".into(), nth: 0 });
                edits.push(Edit::AddHeader { name: "X-Spam".into(), value: "Yes".into() });
                Verdict::Deliver
            }
            // "greylist" is a score; where its greylisting means it, Rspamd says "soft reject".
            (Action::Reject, Act::Report) | (Action::Clean | Action::Greylist, _) => Verdict::Deliver,
        };
        if self.read_only {
            edits.clear();
        }
        let mut findings = vec![
            Finding::text("rspamd.action", answer.action.as_str()),
            Finding::real("rspamd.score", answer.score),
            Finding::real("rspamd.required_score", answer.required_score),
        ];
        findings.extend(answer.symbols.iter().map(|symbol| Finding::text("rspamd.symbols", symbol.clone())));
        Report { verdict, findings, edits, ..Report::default() }
    }
}

/// The subject that Rspamd gives, or its usual way to mark one.
/// A message as it stands, from wherever it is kept.
fn post(path: &str, content: &Content) -> Post {
    if let Some([all]) = content.in_memory() {
        return Post::octets(path, all.clone());
    }
    let pieces = stream::unfold(content.reader(0), async |mut reader| {
        let piece = reader.next().await.transpose()?;
        Some((piece, reader))
    });
    Post::stream(path, content.len(), pieces)
}

fn subject(given: Option<&str>, message: &Message) -> FieldValue {
    given.map(Into::into).unwrap_or_else(|| {
        let old = message.headers.find("Subject").map(|field| field.for_edit());
        [b"*** SPAM *** ", &*old.unwrap_or_default()].concat().into()
    })
}

#[async_trait]
impl Stage for Arc<Rspamd> {
    fn may_edit(&self) -> bool {
        !self.read_only
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn wants(&self) -> Wants {
        Wants::MAIL | Wants::END_OF_MESSAGE
    }
    async fn begin(&self, client: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Asking { rspamd: Self::clone(self), client: Arc::clone(client), id: None }))
    }
}

struct Asking {
    rspamd: Arc<Rspamd>,
    client: Arc<Client>,
    id: Option<Id>,
}

#[async_trait]
impl Inspection for Asking {
    async fn mail(&mut self, client: &Arc<Client>, _: &Mail, id: Id) -> Result<Decision, StageError> {
        (self.client, self.id) = (Arc::clone(client), Some(id));
        Ok(Decision::Go)
    }
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let answer = self.rspamd.ask(&self.client, self.id, message).await?;
        Ok(self.rspamd.report(answer, message))
    }
}
