//! `octroi hunt`: who else got it.
mod list;
mod show;

use super::{
    ConfigFile, Failure, pages,
    style::{self, Out, TROUBLE},
};
use crate::config::Config;
use crate::journal::{Indicator, IndicatorKind, PAGE, Query, Row, Rows};
use crate::storage::StorageError;
use crate::value::parse_duration;
use clap::{Args, ValueEnum};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

/// Search the journal for indicators: who else got it, and what became of it
///
/// Indicators are addresses, domains, IP addresses and networks, URLs, hosts, SHA-256 and names of
/// attachments, and words of subjects; of which kind one is can be seen by its looks, or be said. Defanged ones
/// are understood: hxxp://, [.], (at).
///
/// Works beside the running service. Exits with 0 where something was found, with 1 where nothing was,
/// and with 2 where that cannot be told.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// What to look for.
    #[arg(required_unless_present = "list")]
    indicators: Vec<String>,
    /// More of them in a file, or with `-` on standard input: one a line, or the first column of a CSV
    /// file; `#` begins a comment.
    #[arg(long = "file", value_name = "FILE")]
    list: Option<PathBuf>,
    /// What they are, where that cannot be seen by their looks.
    #[arg(long, value_parser = kind, value_name = "KIND")]
    kind: Option<IndicatorKind>,
    /// Only what is not older, such as `7d`.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<Duration>,
    /// How long to search for each; by default as long as the configuration says
    /// (`[storage] search_timeout`).
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// At most so many rows for each.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// How to print what is found. As text, it is grouped by indicator.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Csv,
    Json,
}

fn kind(text: &str) -> Result<IndicatorKind, String> {
    IndicatorKind::parse(text).ok_or_else(|| format!("one of {}", IndicatorKind::ALL.map(IndicatorKind::as_str).join(", ")))
}

/// What was found of one indicator.
struct Found {
    indicator: Indicator,
    /// Newest first.
    rows: Vec<Row>,
    /// There is more than was asked for.
    more: bool,
}

pub(super) fn main(arguments: &Arguments, out: &Out) -> ExitCode {
    match run(arguments, out) {
        Ok(Told { all: false, .. }) => ExitCode::from(TROUBLE),
        Ok(Told { any: true, .. }) => ExitCode::SUCCESS,
        Ok(Told { any: false, .. }) => ExitCode::FAILURE,
        Err(Failure(text)) => {
            style::complain(&text);
            ExitCode::from(TROUBLE)
        }
    }
}

struct Told {
    /// Something was found.
    any: bool,
    /// And it is known of every indicator.
    all: bool,
}

fn run(arguments: &Arguments, out: &Out) -> Result<Told, Failure> {
    let indicators = list::read(arguments)?;
    let config = Config::load(&arguments.file.config)?;
    let rows = Rows::open(&config.gate.settings.state_dir)?;
    rows.search_within(arguments.timeout.unwrap_or(config.gate.storage.search_timeout));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let after = arguments.since.and_then(|since| SystemTime::now().checked_sub(since));
    let mut printer = show::Printer::new(arguments.format, out);
    let mut told = Told { any: false, all: true };
    for indicator in indicators {
        let found = match runtime.block_on(search(&rows, &indicator, after, arguments.limit)) {
            Ok(found) => found,
            // The others are looked for all the same.
            Err(error @ StorageError::TooBroad(_)) => {
                style::complain(&format!("{}: {error} (`--since`), or give it longer (`--timeout`)", indicator.value()));
                told.all = false;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        told.any |= !found.rows.is_empty();
        printer.print(&found);
    }
    printer.finish();
    Ok(told)
}

async fn search(rows: &Rows, indicator: &Indicator, after: Option<SystemTime>, limit: u64) -> Result<Found, StorageError> {
    let mut query = Query { after, indicator: Some(indicator.clone()), ..Query::new(PAGE) };
    let (found, more) = pages::first(usize::try_from(limit).unwrap_or(usize::MAX), PAGE, async |wanted, last: Option<&Row>| {
        query.limit = wanted;
        query.below = last.map(|row| row.key);
        rows.search(&query).await
    })
    .await?;
    Ok(Found { indicator: indicator.clone(), rows: found, more })
}
