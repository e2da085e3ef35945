//! `octroi quarantine deny`: no to a release that somebody has asked for, or to one's own request.
use super::Id;
use crate::audit::{Action, Actor, Event};
use crate::cli::{ConfigFile, Failure, style::Out};
use crate::quarantine::By;
use clap::Args;

/// Say no to a release that somebody has asked for
///
/// The entry stays held, and its release can be asked for anew.
#[derive(Debug, Args)]
pub(super) struct Deny {
    #[command(flatten)]
    file: ConfigFile,
    id: Id,
}

impl Deny {
    pub(super) async fn run(&self, out: &Out) -> Result<(), Failure> {
        let (_, _, quarantine, _) = super::open(&self.file)?;
        let entry = quarantine.entry(&self.id).await?;
        let request = quarantine.pending(&entry.id).await?.ok_or_else(|| Failure("nobody asks for its release".to_owned()))?;
        let who = Actor::local();
        let event = Event::of(&who, Action::ReleaseDeny).on(&entry.id).with("asked_by", &*request.asked_by);
        quarantine.deny(&request, By { name: &who.name, record: Some(event.statement()) }).await?;
        out.line(format_args!("{} is not released: what {} asked for is denied", entry.id, request.asked_by));
        Ok(())
    }
}
