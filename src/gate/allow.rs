//! Letting through what is like an entry, and an end to that: the same from the console, for programs
//! and on the command line, and in the audit in the same commit.
use crate::audit::{Action, Actor, Event};
use crate::quarantine::{Allow, Allowance, By, Entry, Quarantine, QuarantineError, Visible, distinct};
use std::time::Duration;

const DAY: u64 = 86_400;

/// What is to be let through.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The whole domain of the sender, not his address alone.
    pub domain: bool,
    /// Of the entry, at least one.
    pub recipients: Vec<String>,
    /// For how many days, 1 to 45.
    pub days: u32,
}

impl Wanted {
    /// For how many days where nobody says.
    #[must_use]
    pub fn usual_days() -> u32 {
        u32::try_from(Allow::USUAL.as_secs() / DAY).unwrap_or(7)
    }

    /// How long that is.
    ///
    /// # Errors
    /// No time at all, or more than 45 days.
    pub fn lasts(&self) -> Result<Duration, QuarantineError> {
        let lasts = Duration::from_secs(u64::from(self.days) * DAY);
        Allow::check(lasts)?;
        Ok(lasts)
    }
}

/// Lets through what is like `entry`, in the name of `who`.
///
/// # Errors
/// That cannot be allowed, or it cannot be written.
pub async fn allow(quarantine: &Quarantine, entry: &Entry, wanted: &Wanted, who: &Actor) -> Result<(), QuarantineError> {
    let event = Event::of(who, Action::Allow).on(&entry.id).with("sender", if wanted.domain { "domain" } else { "address" });
    let (recipients, lasts) = (distinct(&wanted.recipients), wanted.lasts()?);
    let event = event.with("recipients", recipients.clone()).with("days", wanted.days);
    let by = By { name: &who.name, record: Some(event.statement()) };
    quarantine.allow(entry, Allow { domain: wanted.domain, recipients: &recipients, lasts, by }).await
}

/// Ends the allowance of that number before its time, in the name of `who`, who sees `visible`.
///
/// # Errors
/// There is none that he may see, it is over, or it cannot be written.
pub async fn revoke(quarantine: &Quarantine, number: i64, visible: &Visible, who: &Actor) -> Result<Allowance, QuarantineError> {
    let allowance = quarantine.allowance(number, visible).await?;
    let event = Event::of(who, Action::AllowEnd).on(&allowance.entry).with("revoked", number).with("recipients", [&*allowance.recipient]);
    quarantine.revoke(&allowance, By { name: &who.name, record: Some(event.statement()) }).await?;
    Ok(allowance)
}
