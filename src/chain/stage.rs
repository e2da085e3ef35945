//! The contract of a stage. It follows the milter's events, since that is how the field thinks.
use super::{Decision, Finding, Hold, Verdict, Wants};
use crate::message::{Client, Edit, HeaderBlock, Message, MimeError};
use crate::smtp::{Address, Mail, Recipient};
use crate::value::Id;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// Why a stage has no answer. What that means is configured (`on_error`), never decided by the
/// stage.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("no answer in time")]
    Late,
    #[error("panicked")]
    Panicked,
    /// More than it, or what it asks, can look at.
    #[error("too large: {0}")]
    TooLarge(Box<str>),
    #[error("{0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A message that no parser should be asked to bear is too large in its own way.
impl From<MimeError> for StageError {
    fn from(error: MimeError) -> Self {
        match error {
            MimeError::TooComplex(why) => Self::TooLarge(why),
            error => Self::Failed(error.into()),
        }
    }
}

/// What a stage says at the end of a message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Of the message, for all its recipients.
    pub verdict: Verdict,
    /// What becomes of it for single recipients, where that is stricter. A refusal for some is not
    /// among it: the client hears one answer. It belongs to RCPT.
    pub recipients: Vec<(Address, ForRecipient)>,
    pub findings: Vec<Finding>,
    /// Only from a stage that [`may edit`](Stage::may_edit); anybody else's are dropped and logged.
    pub edits: Vec<Edit>,
    /// The edits take something away that somebody may ask for: where the message is delivered, the
    /// original is held first, for those who get it.
    pub hold_original: Option<Hold>,
}

/// What may become of a message for one recipient while others get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForRecipient {
    Discard,
    Quarantine(Hold),
}

/// A configured stage, shared by all sessions.
#[async_trait]
pub trait Stage: Send + Sync {
    /// Whether it may ask for edits; one that may closes its segment of the chain.
    fn may_edit(&self) -> bool {
        false
    }
    /// The events its inspections are called for; naming fewer makes every message cheaper.
    fn wants(&self) -> Wants {
        Wants::ALL
    }
    /// It asks somebody else, over a socket or a process: it has a circuit breaker.
    fn is_remote(&self) -> bool {
        false
    }
    /// It applies the configured time-out itself, to every single answer of whoever it asks, because
    /// that one can ask for more time; a call may take ten times as long then.
    fn keeps_time(&self) -> bool {
        false
    }
    /// What it reports depends on the message's octets alone, not on client or envelope: identical
    /// messages under way may share one answer.
    fn reads_content_only(&self) -> bool {
        false
    }
    /// Starts watching one session.
    async fn begin(&self, client: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError>;
}

/// One stage watching one session; events come in SMTP order, every one optional. After an error
/// or a missed deadline it is dropped; the next transaction has a new one, unless it panicked.
///
/// The transactions of a session follow one another: [`mail`](Self::mail) opens one, and
/// [`end_of_message`](Self::end_of_message) or [`abort`](Self::abort) closes it (neither, where the
/// inspection said [`Done`](Decision::Done)). In the first segment of the chain the header section
/// and the body come while they arrive; in the others after the end of data, with the edits of the
/// stages before. What a call does must be awaited or quick: a deadline cannot end what never
/// yields.
#[async_trait]
pub trait Inspection: Send {
    /// At connect; TLS and HELO are not known yet.
    async fn connect(&mut self, _client: &Arc<Client>) -> Result<Decision, StageError> {
        Ok(Decision::Go)
    }
    /// `client.hello` is what was said.
    async fn hello(&mut self, _client: &Arc<Client>) -> Result<Decision, StageError> {
        Ok(Decision::Go)
    }
    /// A transaction begins; `client.account` is known if it ever will be. `id` is the message's
    /// name: in `Received`, in the log, in the reply.
    async fn mail(&mut self, _client: &Arc<Client>, _mail: &Mail, _id: Id) -> Result<Decision, StageError> {
        Ok(Decision::Go)
    }
    async fn recipient(&mut self, _recipient: &Recipient) -> Result<Decision, StageError> {
        Ok(Decision::Go)
    }
    /// The header section is complete; the body follows.
    async fn headers(&mut self, _headers: &HeaderBlock) -> Result<Decision, StageError> {
        Ok(Decision::Go)
    }
    /// A piece of the body, without the empty line before it; pieces are cut anywhere.
    /// [`Done`](Decision::Done) here: no more pieces, but the end of the message.
    async fn body(&mut self, _chunk: &Bytes) -> Result<Decision, StageError> {
        Ok(Decision::Go)
    }
    /// The whole message, readable from its start.
    async fn end_of_message(&mut self, _message: &Message) -> Result<Report, StageError> {
        Ok(Report::default())
    }
    /// The transaction is over without a message (RSET, a refusal, a lost connection).
    fn abort(&mut self) {}
}
