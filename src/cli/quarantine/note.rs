//! `octroi quarantine note`, `assign`: what reviewers tell each other.
use super::{Id, open};
use crate::accounts::{Accounts, Lifetimes, Permission};
use crate::audit::{Action, Actor, Event};
use crate::cli::{ConfigFile, Failure, style::Out};
use crate::quarantine::By;
use clap::Args;
use std::io::Read as _;

/// Octets of standard input that are read for a note of 4000 characters.
const LARGEST: u64 = 64 << 10;

/// Write a note about an entry, which stays
#[derive(Debug, Args)]
pub(super) struct Note {
    #[command(flatten)]
    file: ConfigFile,
    id: Id,
    /// What it says, 4000 characters at most; `-`: what stands on standard input.
    text: String,
}

/// Say whose it is to look at an entry
#[derive(Debug, Args)]
pub(super) struct Assign {
    #[command(flatten)]
    file: ConfigFile,
    id: Id,
    /// An account that may look at it. Nobody's any more without one.
    name: Option<String>,
}

impl Note {
    pub(super) async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (_, _, quarantine, _) = open(&self.file)?;
        let text = if self.text == "-" { std::io::read_to_string(std::io::stdin().take(LARGEST))? } else { self.text.clone() };
        let who = Actor::local();
        let by = By { name: &who.name, record: Some(Event::of(&who, Action::Note).on(&self.id).statement()) };
        quarantine.note(&self.id, by, &text).await?;
        out.line(format_args!("{}: the note is kept", self.id));
        Ok(())
    }
}

impl Assign {
    pub(super) async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (_, _, quarantine, store) = open(&self.file)?;
        let entry = quarantine.entry(&self.id).await?;
        let to = match &self.name {
            None => None,
            Some(name) => {
                let account = Accounts::new(store.database, Lifetimes::default(), None).account(name).await?;
                let recipients = entry.recipients.iter().map(|recipient| &*recipient.address);
                if !account.looks_after(Permission::QuarantineNote, recipients) {
                    return Err(Failure(format!("{name} may not look at it")));
                }
                Some(account.name)
            }
        };
        let who = Actor::local();
        let event = Event::of(&who, Action::Assign).on(&self.id).with("to", to.clone());
        quarantine.assign(&self.id, to.as_deref(), By { name: &who.name, record: Some(event.statement()) }).await?;
        match to {
            Some(name) => out.line(format_args!("{} is with {name}", self.id)),
            None => out.line(format_args!("{} is with nobody", self.id)),
        }
        Ok(())
    }
}
