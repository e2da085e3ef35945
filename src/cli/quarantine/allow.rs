//! `octroi quarantine allow`, `allowances`, `revoke`: what is let through that would be held.
use super::{Id, open};
use crate::audit::Actor;
use crate::cli::{ConfigFile, Failure, style::Out};
use crate::gate::allow::{Wanted, allow, revoke};
use crate::quarantine::{Allowance, Visible};
use clap::Args;
use std::time::SystemTime;

/// Let through from now on what is like an entry
///
/// Its sender, for its recipients, past the stage or rule that held it, and for some days; what
/// another stage wants held is held. Never for malware, nor for what two people have to release.
/// The entry itself is not released.
#[derive(Debug, Args)]
pub(super) struct Allow {
    #[command(flatten)]
    file: ConfigFile,
    id: Id,
    /// Only for this recipient of it; may be given more than once. Default: all of them.
    #[arg(long, value_name = "ADDRESS")]
    recipient: Vec<String>,
    /// The whole domain of its sender, not his address alone.
    #[arg(long)]
    domain: bool,
    /// For how many days.
    #[arg(long, default_value_t = Wanted::usual_days(), value_parser = clap::value_parser!(u32).range(1..=45))]
    days: u32,
}

/// List what is let through, the latest first
#[derive(Debug, Args)]
pub(super) struct Allowances {
    #[command(flatten)]
    file: ConfigFile,
    /// Also those that are over, up to a year back.
    #[arg(long)]
    all: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// End an allowance before its time
#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    file: ConfigFile,
    /// Its number; `octroi quarantine allowances` shows it.
    number: i64,
}

impl Allow {
    pub(super) async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (_, _, quarantine, _) = open(&self.file)?;
        let entry = quarantine.entry(&self.id).await?;
        let all = || entry.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        let recipients: Vec<_> = if self.recipient.is_empty() { all() } else { self.recipient.clone() };
        let wanted = Wanted { domain: self.domain, recipients, days: self.days };
        allow(&quarantine, &entry, &wanted, &Actor::local()).await?;
        let sender = match entry.sender.rsplit_once('@') {
            Some((_, domain)) if self.domain => format!("@{domain}"),
            _ => entry.sender,
        };
        out.line(format_args!("{sender} is let through to {} for {} days", wanted.recipients.join(", "), self.days));
        Ok(())
    }
}

impl Allowances {
    pub(super) async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (_, _, quarantine, _) = open(&self.file)?;
        let now = SystemTime::now();
        let mut found = quarantine.allowances(&Visible::All).await?;
        found.retain(|allowance| self.all || allowance.holds(now));
        if self.json {
            out.line(serde_json::Value::from_iter(found.iter().map(|allowance| allowance.json(now))));
        } else if found.is_empty() {
            out.line("nobody is allowed anything");
        }
        for allowance in found.iter().filter(|_| !self.json) {
            out.line(line(allowance, now));
        }
        Ok(())
    }
}

/// `3  until 2026-12-07T10:00:00Z  a@example.net → b@example.org  past rspamd (spam)  used 2 times  by anna`
fn line(allowance: &Allowance, now: SystemTime) -> String {
    let Allowance { number, sender, recipient, decided_by, class, used, created_by, .. } = allowance;
    let state = match &allowance.revoked_by {
        Some(by) => format!("ended by {by}"),
        None if allowance.holds(now) => format!("until {}", super::show::moment(allowance.expires_at)),
        None => "over".to_owned(),
    };
    let authenticated = if allowance.authenticated { ", if authenticated" } else { "" };
    format!("{number}  {state}  {sender} → {recipient}  past {decided_by} ({class}{authenticated})  used {used} times  by {created_by}")
}

impl Revoke {
    pub(super) async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (_, _, quarantine, _) = open(&self.file)?;
        let ended = revoke(&quarantine, self.number, &Visible::All, &Actor::local()).await?;
        out.line(format_args!("{} is let through to {} no more", ended.sender, ended.recipient));
        Ok(())
    }
}
