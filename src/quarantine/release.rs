//! The book of releases: who gets what, once each. What is sent, and how, is the gate's; what became
//! of it is written down in [`settle`](super::settle).
use super::{By, Conflict, Entry, Quarantine, QuarantineError, RecipientState, Request, distinct, millis};
use crate::smtp::{Mail, Recipient};
use crate::storage::{Statement, StorageError};
use std::time::SystemTime;

/// What is to be released. Of a class that takes two people only with a request.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Addresses; empty for all that do not have it yet.
    pub recipients: &'a [String],
    /// Also to those who have it, or perhaps have it; with a request where that says so, too.
    pub again: bool,
    /// Who releases.
    pub by: By<'a>,
    /// What another has asked for, and who releases hereby approves; its recipients are those meant.
    pub request: Option<&'a Request>,
}

/// Recipients of an entry that one reviewer releases it to, and nobody else at the same time. To be
/// settled; where that never happens they stay `releasing`, since nobody knows what the MTA has.
#[derive(Debug)]
pub struct Claimed {
    pub entry: Entry,
    pub mail: Mail,
    pub recipients: Vec<Recipient>,
    /// With the number of the attempt.
    pub(super) positions: Vec<(i64, i64)>,
    pub(super) by: String,
}

impl Claimed {
    /// In parts that are settled each for itself: recipients of one part have one `key`.
    #[must_use]
    pub fn split_by<K: PartialEq>(self, key: impl Fn(&Recipient) -> K) -> Vec<Self> {
        let mut parts: Vec<(K, Self)> = Vec::new();
        for (recipient, position) in self.recipients.into_iter().zip(self.positions) {
            let key = key(&recipient);
            if let Some((_, part)) = parts.iter_mut().find(|(other, _)| *other == key) {
                part.recipients.push(recipient);
                part.positions.push(position);
                continue;
            }
            let (entry, mail, by) = (self.entry.clone(), self.mail.clone(), self.by.clone());
            parts.push((key, Self { entry, mail, recipients: vec![recipient], positions: vec![position], by }));
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }
}

impl Quarantine {
    /// Claims recipients of `entry`, as it was read. All of them or none: of two reviewers at the
    /// same moment one is told that the other was there first.
    ///
    /// # Errors
    /// Somebody else has them, one is no recipient of it, or there is nothing to release.
    pub async fn claim(&self, entry: Entry, claim: Claim<'_>) -> Result<Claimed, QuarantineError> {
        let conflict = |why: Conflict| Err(why.into());
        if let Some(why) = entry.gone() {
            return conflict(why);
        }
        let recipients = match claim.request {
            Some(request) if request.entry != entry.id => return conflict(Conflict::OfAnother),
            Some(request) if request.asked_by == claim.by.name => return conflict(Conflict::OwnRequest),
            Some(request) => &request.recipients,
            None if self.takes_two(&entry.class) => return Err(QuarantineError::NeedsSecond(entry.class.into())),
            None => claim.recipients,
        };
        let again = claim.again || claim.request.is_some_and(|request| request.again);
        let wanted = distinct(recipients);
        if let Some(stranger) = wanted.iter().find(|address| entry.recipients.iter().all(|recipient| recipient.address != **address)) {
            return conflict(Conflict::NotFor { address: stranger.as_str().into() });
        }
        let named = |address: &String| wanted.is_empty() || wanted.contains(address);
        let chosen: Vec<_> = entry.recipients.iter().filter(|recipient| named(&recipient.address)).collect();
        let had = |recipient: &&&super::Recipient| recipient.state != RecipientState::Held;
        if let Some(recipient) = chosen.iter().find(had).filter(|_| !again && (!wanted.is_empty() || chosen.iter().all(|r| had(&r)))) {
            return conflict(recipient.had());
        }
        let chosen: Vec<_> = chosen.into_iter().filter(|recipient| again || recipient.state == RecipientState::Held).collect();
        let unreadable = || StorageError::Failed(format!("the envelope of {} cannot be read", entry.id).into());
        let mail = Mail::read(&entry.mail).ok_or_else(unreadable)?;
        let recipients: Option<Vec<_>> = chosen.iter().map(|recipient| Recipient::read(&recipient.arguments)).collect();
        let recipients = recipients.ok_or_else(unreadable)?;
        let now = millis(SystemTime::now());
        let claims = chosen.iter().map(|recipient| {
            Statement::new(
                "UPDATE quarantine_recipient SET state = 'releasing', attempts = attempts + 1, changed_at = ?3, changed_by = ?4, reply = NULL \
                 WHERE entry = ?1 AND position = ?2 AND attempts = ?5 AND state = ?6 \
                 AND EXISTS (SELECT 1 FROM quarantine_entry WHERE id = ?1 AND state IN ('held', 'released'))",
            )
            .with(&*entry.id)
            .with(recipient.position)
            .with(now)
            .with(claim.by.name)
            .with(recipient.attempts)
            .with(recipient.state.as_str())
            .must_change()
        });
        let approval = claim.request.map(|request| Self::approval(request, claim.by.name));
        match self.0.database.write(approval.into_iter().chain(claims).chain(claim.by.record).collect()).await {
            Ok(_) => {}
            Err(StorageError::Unchanged) => return conflict(Conflict::First),
            Err(error) => return Err(error.into()),
        }
        let positions = chosen.iter().map(|recipient| (recipient.position, recipient.attempts + 1)).collect();
        Ok(Claimed { mail, recipients, positions, by: claim.by.name.to_owned(), entry })
    }
}
