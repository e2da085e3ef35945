//! From a verdict to custody: where a message goes, and what may therefore be answered.
//!
//! The only file that turns a verdict into custody.
use super::{dialogue::Dialogue, received};
use crate::chain::{Conclusion, ForRecipient, Hold, Verdict};
use crate::journal;
use crate::message::{Client, Envelope, Message};
use crate::quarantine::{Cause, Committed, Held, Quarantine, QuarantineError, is_authenticated};
use crate::smtp::{Address, Custody, Recipient, Refusal, Reply};
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
    /// As the stages saw it.
    pub message: &'a Message,
    /// As it came: evidence is what the client sent.
    pub received: &'a Message,
    pub received_at: SystemTime,
    pub leading_dot: bool,
    pub quarantine: &'a Quarantine,
    /// Has the findings and timings.
    pub entry: &'a journal::Entry,
    /// Of the session, up to here.
    pub dialogue: &'a Dialogue,
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
    /// The MTA answers for it; for so many recipients it is held instead.
    Delivered {
        custody: Box<dyn Custody + Send>,
        held: usize,
    },
    /// It is held for so many recipients, and nobody gets it.
    Quarantined {
        custody: Committed,
        held: usize,
    },
    Discarded(Box<dyn Custody + Send>),
    /// By the chain, or by the upstream in its own words.
    Refused(Refusal),
    /// It was to be held and could not be stored.
    NotStored(QuarantineError),
    /// The upstream did not answer.
    Unanswered(UpstreamError),
}

/// Puts the message where the verdict says. `crate::manual::outcomes` has the table.
pub(super) async fn place(ended: &Ended<'_>, conclusion: &Conclusion, way: Way<'_>) -> Placed {
    let edited = conclusion.edits.change_envelope().then(|| conclusion.edits.envelope(&ended.message.envelope));
    let envelope = edited.as_ref().unwrap_or(&ended.message.envelope);
    let allowances = allowances(ended, conclusion).await;
    let fates = match &conclusion.verdict {
        Verdict::Refuse(refusal) => return Placed::Refused(refusal.clone()),
        Verdict::Quarantine(hold) => Fates::held_but(hold, &ended.received.envelope.recipients, &allowances),
        verdict => Fates::of(&envelope.recipients, &conclusion.recipients, *verdict == Verdict::Deliver),
    };
    let held = fates.held.iter().map(|(_, recipients)| recipients.len()).sum();
    let entries = match hold(ended, &fates, conclusion.hold_original.as_ref()).await {
        Ok(entries) => entries,
        Err(error) => return Placed::NotStored(error),
    };
    if fates.delivered.is_empty() {
        if let Some(transaction) = way.transaction {
            transaction.release().await;
        }
        return match entries.into_iter().next() {
            Some(custody) => Placed::Quarantined { custody, held },
            None => Placed::Discarded(Box::new(Discarded { id: ended.id })),
        };
    }
    let is_all = edited.is_none() && fates.delivered.len() == envelope.recipients.len();
    let rest;
    let envelope = if fates.delivered.len() == envelope.recipients.len() {
        envelope
    } else {
        rest = Envelope { mail: envelope.mail.clone(), recipients: fates.delivered.into_iter().cloned().collect() };
        &rest
    };
    let refused = match deliver(ended, conclusion, way, envelope, is_all, !allowances.is_empty()).await {
        Ok(Answer::Yes(custody)) => {
            if !allowances.is_empty() {
                used(ended, &allowances).await;
            }
            return Placed::Delivered { custody, held };
        }
        Ok(Answer::No(refusal)) => Placed::Refused(refusal),
        Err(error) => Placed::Unanswered(error),
    };
    // The client keeps all of it, and will send it again for those it was held for, too.
    withdraw(ended, entries).await;
    refused
}

/// What becomes of a message for each of its recipients.
#[derive(Debug, Default, PartialEq)]
struct Fates<'a> {
    delivered: Vec<&'a Recipient>,
    /// One entry for each reason.
    held: Vec<(&'a Hold, Vec<&'a Recipient>)>,
}

impl<'a> Fates<'a> {
    /// Held for all but those that `allowed` names.
    fn held_but(hold: &'a Hold, recipients: &'a [Recipient], allowed: &[(String, i64)]) -> Self {
        let is_allowed =
            |recipient: &&Recipient| allowed.iter().any(|(address, _)| recipient.address.as_str().eq_ignore_ascii_case(address));
        let (delivered, held): (_, Vec<_>) = recipients.iter().partition(is_allowed);
        Self { delivered, held: if held.is_empty() { Vec::new() } else { vec![(hold, held)] } }
    }

    /// `single` says what is stricter for some; the others get it, or with `deliver` false nobody
    /// does. Held stands above discarded, as between verdicts, and what was said first stands.
    fn of(recipients: &'a [Recipient], single: &'a [(Address, ForRecipient)], deliver: bool) -> Self {
        let mut fates = Self::default();
        for recipient in recipients {
            let of_it = || single.iter().filter(|(address, _)| address.is_same_mailbox(&recipient.address)).map(|(_, fate)| fate);
            let hold = of_it().find_map(|fate| match fate {
                ForRecipient::Quarantine(hold) => Some(hold),
                ForRecipient::Discard => None,
            });
            match hold {
                Some(hold) => match fates.held.iter_mut().find(|(other, _)| *other == hold) {
                    Some((_, held)) => held.push(recipient),
                    None => fates.held.push((hold, vec![recipient])),
                },
                None if deliver && of_it().next().is_none() => fates.delivered.push(recipient),
                None => {}
            }
        }
        fates
    }
}

/// Tells filters behind us that a person allowed such mail, and whoever looks why it is here.
const ALLOWED: &str = "X-Octroi-Allowed";

/// Recipients that a reviewer allows such mail for, where nothing but this one decision holds it. Where
/// that cannot be known it is held.
async fn allowances(ended: &Ended<'_>, conclusion: &Conclusion) -> Vec<(String, i64)> {
    let (Verdict::Quarantine(hold), 1, Some(decided_by)) = (&conclusion.verdict, conclusion.objections, ended.entry.by()) else {
        return Vec::new();
    };
    let sender = &ended.received.envelope.mail.reverse_path.0;
    let Some(sender) = sender.as_ref().map(|address| address.as_str().to_ascii_lowercase()) else { return Vec::new() };
    // What edits make of the envelope is another message's.
    if conclusion.edits.change_envelope() {
        return Vec::new();
    }
    let authenticated = is_authenticated(&sender, ended.entry.findings());
    let cause = Cause { class: hold.class, decided_by, sender: &sender, authenticated };
    let stricter = |recipient: &&Recipient| conclusion.recipients.iter().any(|(address, _)| address.is_same_mailbox(&recipient.address));
    let recipients = ended.received.envelope.recipients.iter().filter(|recipient| !stricter(recipient));
    let recipients: Vec<_> = recipients.map(|recipient| recipient.address.as_str().to_ascii_lowercase()).collect();
    match ended.quarantine.allowed(cause, &recipients).await {
        Ok(allowed) => allowed,
        Err(error) => {
            tracing::warn!(id = %ended.id, "what is allowed cannot be looked up, so it is held: {error}");
            Vec::new()
        }
    }
}

/// Notes what was let through.
async fn used(ended: &Ended<'_>, allowances: &[(String, i64)]) {
    let mut numbers: Vec<_> = allowances.iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    tracing::info!(id = %ended.id, allowances = ?numbers, by = ended.entry.by(), "let through: a reviewer allows it");
    if let Err(error) = ended.quarantine.allowance_used(&numbers).await {
        tracing::warn!(id = %ended.id, "that allowances were used could not be written down: {error}");
    }
}

/// Stores what is to be held: all of it, or nothing. `original`: why those who get the message
/// without something may want all of it; that entry is the first, and so has the message's own id.
async fn hold(ended: &Ended<'_>, fates: &Fates<'_>, original: Option<&Hold>) -> Result<Vec<Committed>, QuarantineError> {
    let original = original.filter(|_| !fates.delivered.is_empty()).map(|hold| (hold, &fates.delivered));
    let all = original.into_iter().chain(fates.held.iter().map(|(hold, recipients)| (*hold, recipients)));
    let mut entries = Vec::new();
    let mut dialogue = String::new();
    for (n, (hold, recipients)) in all.enumerate() {
        if n == 0 {
            dialogue = ended.dialogue.to_text();
        }
        let kept = ended.quarantine.keep(Held {
            id: if n == 0 { ended.id } else { Id::generate() },
            message: ended.id,
            hold,
            decided_by: ended.entry.by(),
            client: ended.client,
            mail: &ended.received.envelope.mail,
            recipients,
            headers: &ended.received.headers,
            content: &ended.received.content,
            findings: ended.entry.findings(),
            timings: ended.entry.timings(),
            received_at: ended.received_at,
            dialogue: &dialogue,
        });
        match kept.await {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                withdraw(ended, entries).await;
                return Err(error);
            }
        }
    }
    Ok(entries)
}

async fn withdraw(ended: &Ended<'_>, entries: Vec<Committed>) {
    for entry in entries {
        let id = entry.id();
        if let Err(error) = ended.quarantine.withdraw(entry).await {
            // A reviewer sees it twice then, which is better than not at all.
            tracing::error!(id = %ended.id, entry = %id, "the message is the client's again, but stays in the quarantine: {error}");
        }
    }
}

/// `is_all`: the envelope is the one that the transaction was opened with; `allowed`: it would be held
/// if no reviewer had allowed it.
async fn deliver(
    ended: &Ended<'_>,
    conclusion: &Conclusion,
    way: Way<'_>,
    envelope: &Envelope,
    is_all: bool,
    allowed: bool,
) -> Result<Answer<Box<dyn Custody + Send>>, UpstreamError> {
    let transaction = match (way.transaction, is_all) {
        (Some(transaction), true) => transaction,
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
    match transaction.deliver(outgoing(ended, conclusion, &envelope.recipients, allowed)).await? {
        Answer::Yes(accepted) => Ok(Answer::Yes(Box::new(accepted))),
        Answer::No(refusal) => Ok(Answer::No(refusal)),
    }
}

/// What the upstream gets: our trace field, the header section as edited, the body.
fn outgoing(ended: &Ended<'_>, conclusion: &Conclusion, recipients: &[Recipient], allowed: bool) -> Outgoing {
    let message = ended.message;
    let trace = received::received(ended.hostname, ended.id, ended.client, message.envelope.mail.utf8, recipients, SystemTime::now());
    let headers = conclusion.edits.apply(&message.headers);
    let mark = allowed.then(|| Bytes::from(format!("{ALLOWED}: {}\r\n", ended.entry.by().unwrap_or_default())));
    let mut prefix = vec![trace];
    prefix.extend(mark);
    prefix.push(headers);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::HoldClass;

    fn address(text: &str) -> Address {
        Address::parse(text, false).unwrap()
    }

    #[test]
    fn held_stands_above_discarded_and_what_was_said_first_stands() {
        let recipients: Vec<_> = ["a@x.org", "b@x.org", "c@x.org", "d@x.org"].map(|text| Recipient::new(address(text))).into();
        let hold = |reason: &str| Hold { class: HoldClass::Policy, reason: reason.into() };
        let (one, two) = (hold("one"), hold("two"));
        let single = [
            (address("a@X.ORG"), ForRecipient::Discard),
            (address("a@x.org"), ForRecipient::Quarantine(one.clone())),
            (address("a@x.org"), ForRecipient::Quarantine(two.clone())),
            (address("b@x.org"), ForRecipient::Discard),
            (address("c@x.org"), ForRecipient::Quarantine(two.clone())),
            (address("stranger@x.org"), ForRecipient::Quarantine(two.clone())),
        ];
        let [a, _, c, d] = recipients.iter().collect::<Vec<_>>()[..] else { panic!() };
        let held = vec![(&one, vec![a]), (&two, vec![c])];
        assert_eq!(Fates::of(&recipients, &single, true), Fates { delivered: vec![d], held: held.clone() });
        assert_eq!(Fates::of(&recipients, &single, false), Fates { delivered: vec![], held });
        assert_eq!(Fates::of(&recipients, &[], true).delivered.len(), 4);
    }
}
