//! `octroi audit`: who did what, and whether that is all of it.
use super::{
    ConfigFile, Failure,
    style::{Colour, Out},
    to_the_end,
};
use crate::audit::{Action, Audit, Filter};
use crate::config::Config;
use crate::storage::{Access, Store};
use crate::value::rfc3339;
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;

/// Read the audit, and prove it whole
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(Verify),
    List(List),
}

/// Walk the chain from its beginning
///
/// Each row has the hash of the one before it in its own. Exits with 1 at the first row that was
/// changed, removed, moved or put in. Rows that were cut off at the end, and a chain that was written
/// anew, show only against a hash that is known from elsewhere: the log has each new one within ten
/// seconds (`audit head`), and each verification prints one.
#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    file: ConfigFile,
    /// The hash of a row that was there, from the log or an earlier verification.
    #[arg(long, value_name = "HASH")]
    head: Option<String>,
}

/// List rows, newest first
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Only what this account, or `uid 0`, did.
    #[arg(long)]
    actor: Option<String>,
    /// Only this, such as `sign-in-failed` or `release`.
    #[arg(long)]
    action: Option<String>,
    /// Only what was done to this entry or account.
    #[arg(long)]
    object: Option<String>,
    /// At most so many, up to 1000.
    #[arg(long, default_value_t = 50)]
    limit: u64,
    /// Go on behind this row: the number of the last of the page before.
    #[arg(long, value_name = "NUMBER")]
    below: Option<i64>,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: &Arguments, out: &Out) -> Result<ExitCode, Failure> {
    to_the_end(async {
        match &arguments.command {
            Command::Verify(verify) => verify.run(out).await,
            Command::List(list) => list.run(out).await,
        }
    })
}

fn open(file: &ConfigFile) -> Result<Audit, Failure> {
    let config = Config::load(&file.config)?;
    let database = Store::open(&config.gate.settings.state_dir, Access::Existing)?.database;
    database.search_within(config.gate.storage.search_timeout);
    Ok(Audit::new(database))
}

impl Verify {
    async fn run(&self, out: &Out) -> Result<ExitCode, Failure> {
        match open(&self.file)?.verify(self.head.as_deref()).await {
            Ok(whole) => {
                out.line(format_args!("{}: {} rows, head {}", out.paint(Colour::Green, "whole"), whole.rows, whole.head));
                Ok(ExitCode::SUCCESS)
            }
            Err(broken) => {
                out.line(format_args!("{}: {broken}", out.paint(Colour::Red, "broken")));
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

impl List {
    async fn run(&self, out: &Out) -> Result<ExitCode, Failure> {
        if let Some(action) = self.action.as_deref().filter(|action| Action::parse(action).is_none()) {
            let known: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
            return Err(Failure(format!("no action is called `{action}`; there are {}", known.join(", "))));
        }
        let filter = Filter {
            actor: self.actor.clone(),
            action: self.action.clone(),
            object: self.object.clone(),
            below: self.below,
            limit: self.limit,
            ..Filter::default()
        };
        let rows = open(&self.file)?.list(&filter).await?;
        if self.json {
            let one = |row: &crate::audit::Record| {
                json!({
                    "sequence": row.sequence,
                    "at": rfc3339(row.at),
                    "actor": row.actor,
                    "client": row.client,
                    "action": row.action,
                    "object": row.object,
                    "detail": serde_json::from_str::<serde_json::Value>(&row.detail).unwrap_or_default(),
                    "hash": row.hash,
                })
            };
            out.line(serde_json::Value::from_iter(rows.iter().map(one)));
            return Ok(ExitCode::SUCCESS);
        }
        for row in &rows {
            let client = row.client.as_deref().map_or_else(String::new, |client| format!(" from {client}"));
            out.line(format_args!(
                "{:>6}  {}  {:<16} {}{client}  {}  {}",
                row.sequence,
                crate::console::moment(&row.at),
                row.action,
                row.actor,
                row.object.as_deref().unwrap_or("-"),
                row.detail
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}
