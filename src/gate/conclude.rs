//! From a verdict to custody: where a message goes, and what may therefore be answered.
//!
//! The only file that turns a verdict into custody.
use super::received;
use crate::chain::{Conclusion, Verdict};
use crate::message::{Client, Message};
use crate::smtp::{Custody, Refusal, Reply};
use crate::upstream::{Answer, Body, Outgoing, Seat, Transaction, Upstream, UpstreamError};
use crate::value::Id;
use bytes::Bytes;
use std::{sync::Arc, time::SystemTime};

/// Nobody keeps the message, because the operator's policy says so.
struct Discarded {
    id: Id,
}

impl Custody for Discarded {
    fn reply(&self) -> Reply {
        Reply::new(250, format!("2.0.0 {} ok", self.id))
    }
}

/// A message at its end, and all that is needed to place it.
pub(super) struct Ended<'a> {
    pub id: Id,
    pub hostname: &'a str,
    pub client: &'a Arc<Client>,
    pub message: &'a Message,
    pub leading_dot: bool,
}

/// The way to the MTA that the recipients were verified on.
pub(super) struct Way<'a> {
    pub upstream: &'a Arc<Upstream>,
    /// `None` where it was let go while the body arrived; the envelope is said again then.
    pub transaction: Option<Transaction>,
    pub seat: &'a Seat,
}

/// What became of a message.
pub(super) enum Placed {
    /// Somebody answers for it.
    Kept(Box<dyn Custody + Send>),
    Discarded(Box<dyn Custody + Send>),
    /// By the chain, or by the upstream in its own words.
    Refused(Refusal),
    /// The upstream did not answer.
    Unanswered(UpstreamError),
}

/// Puts the message where the verdict says.
pub(super) async fn place(ended: &Ended<'_>, conclusion: &Conclusion, way: Way<'_>) -> Placed {
    match &conclusion.verdict {
        Verdict::Refuse(refusal) => Placed::Refused(refusal.clone()),
        // No quarantine is attached: the client keeps what nobody here may keep.
        Verdict::Quarantine(_) => Placed::Refused(Refusal::temporary(51, "3.0", "cannot be kept here, try again later")),
        Verdict::Discard => Placed::Discarded(Box::new(Discarded { id: ended.id })),
        Verdict::Deliver => match deliver(ended, conclusion, way).await {
            Ok(Answer::Yes(custody)) => Placed::Kept(custody),
            Ok(Answer::No(refusal)) => Placed::Refused(refusal),
            Err(e) => Placed::Unanswered(e),
        },
    }
}

async fn deliver(ended: &Ended<'_>, conclusion: &Conclusion, way: Way<'_>) -> Result<Answer<Box<dyn Custody + Send>>, UpstreamError> {
    let envelope = &ended.message.envelope;
    let changed = conclusion.edits.change_envelope().then(|| conclusion.edits.envelope(envelope));
    let envelope = changed.as_ref().unwrap_or(envelope);
    let transaction = match (way.transaction, changed.is_some()) {
        (Some(transaction), false) => transaction,
        (held, _) => {
            if let Some(held) = held {
                held.release().await;
            }
            match way.upstream.replay(way.seat, ended.client, &envelope.mail, &envelope.recipients).await? {
                Answer::Yes(transaction) => transaction,
                Answer::No(refusal) => return Ok(Answer::No(refusal)),
            }
        }
    };
    match transaction.deliver(outgoing(ended, conclusion)).await? {
        Answer::Yes(accepted) => Ok(Answer::Yes(Box::new(accepted))),
        Answer::No(refusal) => Ok(Answer::No(refusal)),
    }
}

/// What the upstream gets: our trace field, the header section as edited, the body.
fn outgoing(ended: &Ended<'_>, conclusion: &Conclusion) -> Outgoing {
    let message = ended.message;
    let trace = received::received(
        ended.hostname,
        ended.id,
        ended.client,
        message.envelope.mail.utf8,
        &message.envelope.recipients,
        SystemTime::now(),
    );
    let headers = conclusion.edits.apply(&message.headers);
    let mut prefix = vec![trace, headers];
    let replacement = conclusion.edits.body_replacement();
    // A message may end with its header section, without an empty line.
    if message.content.len() > message.headers.as_bytes().len() as u64 || replacement.is_some() {
        prefix.push(Bytes::from_static(b"\r\n"));
    }
    let (body, leading_dot) = match replacement {
        Some(body) => (Body::Replaced(body.clone()), true),
        None => {
            // A header field that a stage added may begin with a dot as well.
            let edited = !conclusion.edits.is_empty();
            (Body::Content { content: message.content.clone(), from: message.body_start() }, ended.leading_dot || edited)
        }
    };
    Outgoing { prefix, body, leading_dot }
}
