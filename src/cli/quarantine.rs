//! `octroi quarantine`: what is held, without the console.
mod allow;
mod deny;
mod list;
mod note;
mod show;

use super::{
    ConfigFile, Failure,
    style::{self, Colour, Out},
    to_the_end,
};
use crate::audit::{Action, Actor, Audit, Event};
use crate::config::Config;
use crate::gate::release::Releaser;
use crate::journal::queue_id;
use crate::quarantine::{Ask, By, Claim, Conflict, Entry, Quarantine, QuarantineError, Request, Wrong};
use crate::storage::{Access, Store};
use crate::telemetry::Metrics;
use clap::{Args, Subcommand};
use serde_json::json;
use std::{process::ExitCode, sync::Arc};

/// Review what is held: list, show, release, deny, delete, note, assign, allow
///
/// Works beside the running service, on the same state_dir and as a user who may write there.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::List),
    Show(Show),
    Release(Release),
    Deny(deny::Deny),
    Delete(Delete),
    Hold(Hold),
    Note(note::Note),
    Assign(note::Assign),
    Allow(allow::Allow),
    Allowances(allow::Allowances),
    Revoke(allow::Revoke),
}

/// Show all that is known of an entry
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    file: ConfigFile,
    id: Id,
    /// The message itself, octet for octet as the client sent it; fails where it is not what was
    /// stored.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Send an entry on to the mail server
///
/// Original envelope and octets, past the chain, with our Received and the field
/// X-Octroi-Released in front. Waits for the server's reply and prints it.
#[derive(Debug, Args)]
struct Release {
    #[command(flatten)]
    file: ConfigFile,
    id: Id,
    /// Only to this recipient of it; may be given more than once. Default: all who do not have it.
    #[arg(long, value_name = "ADDRESS")]
    recipient: Vec<String>,
    /// Also to those who have it already, or of whom nobody knows whether they do.
    #[arg(long)]
    again: bool,
    /// Who else wants it, for classes that two people have to want (`four_eyes`): stands in the
    /// record, and is not proved here as it is in the console.
    #[arg(long, value_name = "NAME")]
    second: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Delete entries: their content is gone at once
#[derive(Debug, Args)]
struct Delete {
    #[command(flatten)]
    file: ConfigFile,
    /// The entries' ids.
    #[arg(required = true)]
    ids: Vec<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Put an entry under legal hold, which neither age nor a reviewer ends
#[derive(Debug, Args)]
struct Hold {
    #[command(flatten)]
    file: ConfigFile,
    id: Id,
    /// Lift it again.
    #[arg(long)]
    lift: bool,
}

/// An entry's id; `octroi quarantine list` shows them.
type Id = String;

pub(super) fn main(arguments: &Arguments, out: &Out) -> Result<ExitCode, Failure> {
    let done = |()| ExitCode::SUCCESS;
    to_the_end(async {
        match &arguments.command {
            Command::List(list) => list.run(out).await.map(done),
            Command::Show(show) => show.run(out).await,
            Command::Release(release) => release.run(out).await,
            Command::Deny(deny) => deny.run(out).await.map(done),
            Command::Delete(delete) => delete.run(out).await,
            Command::Hold(hold) => hold.run(out).await,
            Command::Note(note) => note.run(out).await.map(done),
            Command::Assign(assign) => assign.run(out).await.map(done),
            Command::Allow(allow) => allow.run(out).await.map(done),
            Command::Allowances(allowances) => allowances.run(out).await.map(done),
            Command::Revoke(revoke) => revoke.run(out).await.map(done),
        }
    })
}

/// What all of them work on. One that was never made is not made here, as a user the service may
/// not be.
fn open(file: &ConfigFile) -> Result<(Config, Arc<Metrics>, Quarantine, Store), Failure> {
    let config = Config::load(&file.config)?;
    let metrics = Metrics::new()?;
    let store = Store::open(&config.gate.settings.state_dir, Access::Existing)?;
    store.database.search_within(config.gate.storage.search_timeout);
    let quarantine = Quarantine::new(store.clone(), config.gate.quarantine.clone(), &metrics);
    Ok((config, metrics, quarantine, store))
}

impl Show {
    async fn run(&self, out: &Out) -> Result<ExitCode, Failure> {
        let (config, _, quarantine, store) = open(&self.file)?;
        let entry = quarantine.entry(&self.id).await?;
        if self.raw {
            let content = quarantine.content(&entry, &crate::gate::release::spool(&config.gate.settings)?).await?;
            let who = Actor::local();
            Audit::new(store.database).record(Event::of(&who, Action::Download).on(&entry.id).with("what", "source")).await?;
            let mut reader = content.reader(0);
            while let Some(piece) = reader.next().await? {
                out.octets(&piece);
            }
        } else if self.json {
            out.line(entry.json_with(&quarantine.notes(&entry.id).await?, &quarantine.requests(&entry.id).await?));
        } else {
            show::entry(&entry, out);
            show::notes(&quarantine.notes(&entry.id).await?, out);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Release {
    async fn run(&self, out: &Out) -> Result<ExitCode, Failure> {
        let (config, metrics, quarantine, _) = open(&self.file)?;
        let setup = config.gate;
        let releaser = Releaser::new(&setup.settings, setup.upstreams, &setup.routes, &metrics)?;
        let entry = quarantine.entry(&self.id).await?;
        let who = Actor::local();
        let (request, is_ours) = match &self.second {
            Some(second) => self.asked_for(&quarantine, &entry, second, &who).await.map(|(request, ours)| (Some(request), ours))?,
            None => (None, false),
        };
        let claim = Claim { recipients: &self.recipient, again: self.again, by: By::from(&*who.name), request: request.as_ref() };
        let released = match releaser.release(&quarantine, entry, claim, &who).await {
            Ok(released) => released,
            Err(error) => {
                // What was asked for only to be approved here does not wait for anybody.
                if let Some(request) = request.filter(|_| is_ours) {
                    let _ = quarantine.deny(&request, &*who.name).await;
                }
                return Err(Failure(format!("nothing was sent: {error}")));
            }
        };
        if self.json {
            let one = |part: &crate::gate::release::Released| {
                json!({
                    "upstream": &*part.upstream,
                    "recipients": part.recipients,
                    "released": part.result.is_ok(),
                    "recorded": part.unrecorded.is_none(),
                    "reply": part.result.as_ref().map_or_else(ToString::to_string, Clone::clone),
                    "queue_id": part.result.as_ref().ok().and_then(|reply| queue_id(reply)),
                })
            };
            out.line(serde_json::Value::from_iter(released.iter().map(one)));
        } else {
            for part in &released {
                let recipients = part.recipients.join(", ");
                match &part.result {
                    Ok(reply) => {
                        let queue = queue_id(reply).map_or_else(String::new, |id| format!(" (queue id {id})"));
                        out.line(format_args!("{} to {recipients}: {reply}{queue}", out.paint(Colour::Green, "released")));
                    }
                    Err(why) => out.line(format_args!("{} to {recipients}: {why}", out.paint(Colour::Red, "not released"))),
                }
                if let Some(error) = &part.unrecorded {
                    style::complain(&format!(
                        "this could not be written down, and the entry will go on to say that it is being released to {recipients}: {error}"
                    ));
                }
            }
        }
        let is_done = |part: &crate::gate::release::Released| part.result.is_ok() && part.unrecorded.is_none();
        Ok(if released.iter().all(is_done) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Release {
    /// The request of `second`, who has made it in the console or is said to have: then it is ours.
    async fn asked_for(&self, quarantine: &Quarantine, entry: &Entry, second: &str, who: &Actor) -> Result<(Request, bool), Failure> {
        let second = second.trim();
        if second.is_empty() {
            return Err(Failure::of("nothing was sent: `--second`", Wrong::NobodyAsks));
        }
        if second == who.name {
            return Err(Failure::of("nothing was sent", Conflict::OwnRequest));
        }
        if let Some(request) = quarantine.pending(&entry.id).await? {
            let by = &request.asked_by;
            if by == second && self.recipient.is_empty() {
                return Ok((request, false));
            }
            let to = if request.recipients.is_empty() { String::new() } else { format!(" to {}", request.recipients.join(", ")) };
            return Err(Failure(format!(
                "nothing was sent: {by} has asked for its release{to} already; `--second {by:?}` alone approves that, \
                 `octroi quarantine deny {}` ends it",
                entry.id
            )));
        }
        let ask = Ask { by: second.into(), recipients: &self.recipient, again: self.again, why: "named on the command line" };
        quarantine.ask(entry, ask).await?;
        let request = quarantine.pending(&entry.id).await?.filter(|request| request.asked_by == second);
        request.map(|request| (request, true)).ok_or_else(|| Failure(format!("nothing was sent: {}", Conflict::Decided)))
    }
}

impl Delete {
    async fn run(&self, out: &Out) -> Result<ExitCode, Failure> {
        let (_, _, quarantine, _) = open(&self.file)?;
        let mut results: Vec<(&str, Result<(), QuarantineError>)> = Vec::new();
        let who = Actor::local();
        for id in &self.ids {
            let by = By { name: &who.name, record: Some(Event::of(&who, Action::Delete).on(id).statement()) };
            results.push((id, quarantine.delete(id, by).await));
        }
        if self.json {
            let one = |(id, result): &(&str, Result<(), QuarantineError>)| json!({ "id": id, "deleted": result.is_ok(), "error": result.as_ref().err().map(ToString::to_string) });
            out.line(serde_json::Value::from_iter(results.iter().map(one)));
        } else {
            for (id, result) in &results {
                match result {
                    Ok(()) => out.line(format_args!("{id} deleted")),
                    Err(error) => out.line(format_args!("{id} not deleted: {error}")),
                }
            }
        }
        Ok(if results.iter().all(|(_, result)| result.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Hold {
    async fn run(&self, out: &Out) -> Result<ExitCode, Failure> {
        let (_, _, quarantine, _) = open(&self.file)?;
        let who = Actor::local();
        let action = if self.lift { Action::HoldLift } else { Action::Hold };
        let by = By { name: &who.name, record: Some(Event::of(&who, action).on(&self.id).statement()) };
        quarantine.legal_hold(&self.id, !self.lift, by).await?;
        out.line(format_args!("{} {}", self.id, if self.lift { "is under legal hold no more" } else { "is under legal hold" }));
        Ok(ExitCode::SUCCESS)
    }
}
