//! The command line.

use crate::cases::CASES;
use crate::proxies::Kind;
use clap::Parser;
use clap::builder::PossibleValuesParser;
use std::path::PathBuf;

/// Measures octroi under load, side by side with the direct path, HAProxy and Postfix.
#[derive(Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// Cases to run, separated by commas; without it all but the longest
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(CASES.iter().map(|case| case.name)))]
    pub(crate) case: Vec<String>,
    /// Who stands between; without it all that are installed
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) proxy: Vec<Kind>,
    /// Messages (or idle sessions) of every case, over all rounds, instead of the case's own number
    #[arg(long)]
    messages: Option<u32>,
    /// Rounds of every throughput case; proxies take turns, and the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// A tenth of the messages in one round: shows that all works, measures little
    #[arg(long)]
    quick: bool,
    /// Threads of the generator, and of the sink; without it a quarter of the cores each
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: Option<u32>,
    /// Send MAIL, RCPT and DATA in one write (RFC 2920) instead of waiting for each reply
    #[arg(long)]
    pub(crate) pipelining: bool,
    /// Let the TLS client offer X25519MLKEM768 first, which not every proxy here knows
    #[arg(long)]
    pub(crate) post_quantum: bool,
    /// Print JSON instead of Markdown
    #[arg(long)]
    pub(crate) json: bool,
    /// The octroi to measure
    #[arg(long, default_value = env!("CARGO_BIN_EXE_octroi"), hide_default_value = true)]
    pub(crate) octroi: PathBuf,
    /// What is appended to octroi's configuration: stages, say
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// Between octroi and the sink a Postfix that queues and relays, as an MTA does: what a change of
    /// octroi means to the whole of a mail server
    #[arg(long)]
    pub(crate) postfix_behind: bool,
    /// Messages for the cases that begin with `mail`: the files in it and below, one each, in turns
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) mail: Option<PathBuf>,
    /// Cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// How many to send where the case has `usual`; at most a million.
    pub(crate) fn messages_of(&self, usual: u32) -> u32 {
        let usual = if self.quick { usual / 10 } else { usual };
        self.messages.unwrap_or(usual).clamp(1, 1_000_000)
    }
}
