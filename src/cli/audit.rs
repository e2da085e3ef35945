//! `octroi audit`: who did what, and whether that is all of it.
use super::{
    ConfigFile, Failure, pages,
    style::{self, Colour, Out, TROUBLE, moment},
    to_the_end,
};
use crate::audit::{Action, Audit, Broken, Filter, Record, is_hash};
use crate::config::Config;
use crate::storage::{Access, StorageError, Store};
use crate::value::rfc3339;
use clap::{Args, Subcommand, value_parser};
use serde_json::json;
use std::process::ExitCode;

/// Rows that are read at once.
const PAGE: u64 = 1000;

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
/// changed, removed, moved or put in, and with 2 where that cannot be told. Rows that were cut off at
/// the end, and a chain that was written anew, show only against a hash that is known from elsewhere:
/// the log has each new one within ten seconds (`audit head`), and each verification prints one.
#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    file: ConfigFile,
    /// The hash of a row that was there, from the log or an earlier verification: all of it.
    #[arg(long, value_name = "HASH", value_parser = hash)]
    head: Option<String>,
}

fn hash(text: &str) -> Result<String, String> {
    let is_one = is_hash(text).then(|| text.to_ascii_lowercase());
    is_one.ok_or_else(|| "that is no hash: one has 64 hexadecimal digits, as in `audit head` in the log".to_owned())
}

/// List rows, newest first
///
/// Where there are more than it lists, it says so on standard error.
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
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u64).range(1..))]
    limit: u64,
    /// All of them.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
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
            Command::Verify(verify) => Ok(verify.run(out).await),
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
    async fn run(&self, out: &Out) -> ExitCode {
        let cannot_be_told = |text: &str| {
            style::complain(text);
            ExitCode::from(TROUBLE)
        };
        let audit = match open(&self.file) {
            Ok(audit) => audit,
            Err(Failure(text)) => return cannot_be_told(&text),
        };
        match audit.verify(self.head.as_deref()).await {
            Ok(whole) => {
                out.line(format_args!("{}: {} rows, head {}", out.paint(Colour::Green, "whole"), whole.rows, whole.head));
                ExitCode::SUCCESS
            }
            Err(Broken::Storage(error)) => cannot_be_told(&error.to_string()),
            Err(broken) => {
                out.line(format_args!("{}: {broken}", out.paint(Colour::Red, "broken")));
                ExitCode::FAILURE
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
        let limit = if self.all { usize::MAX } else { usize::try_from(self.limit).unwrap_or(usize::MAX) };
        let (rows, more) = self.rows(&open(&self.file)?, limit).await?;
        self.print(&rows, out);
        if more {
            style::complain(&format!("these are the newest {limit}; there are more: `--limit`, `--all`, or `--below` the last of them"));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Those that are asked for, and whether there are more.
    async fn rows(&self, audit: &Audit, limit: usize) -> Result<(Vec<Record>, bool), StorageError> {
        let (actor, action, object) = (self.actor.clone(), self.action.clone(), self.object.clone());
        let mut filter = Filter { actor, action, object, below: self.below, ..Filter::default() };
        pages::first(limit, PAGE, async |wanted, last: Option<&Record>| {
            filter.limit = wanted;
            filter.below = last.map(|row| row.sequence).or(filter.below);
            audit.list(&filter).await
        })
        .await
    }

    fn print(&self, rows: &[Record], out: &Out) {
        if self.json {
            let one = |row: &Record| {
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
            return out.line(serde_json::Value::from_iter(rows.iter().map(one)));
        }
        for row in rows {
            let client = row.client.as_deref().map_or_else(String::new, |client| format!(" from {client}"));
            out.line(format_args!(
                "{:>6}  {}  {:<16} {}{client}  {}  {}",
                row.sequence,
                moment(row.at),
                row.action,
                row.actor,
                row.object.as_deref().unwrap_or("-"),
                row.detail
            ));
        }
    }
}
