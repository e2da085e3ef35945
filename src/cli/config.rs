//! `octroi config`: about the configuration itself.
use super::{Failure, style::Out};
use crate::config;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// About the configuration's own form
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a JSON Schema of the configuration, for editors
    ///
    /// Editors that know TOML and JSON Schema (VS Code with Even Better TOML, Helix, Neovim with taplo)
    /// complete keys with it, explain them, and mark what is wrong. Begin the file with
    /// `#:schema ./octroi.schema.json` after `octroi config schema > octroi.schema.json`.
    Schema,
}

pub(super) fn main(arguments: &Arguments, out: &Out) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Schema => out.line(serde_json::to_string_pretty(&config::schema())?),
    }
    Ok(ExitCode::SUCCESS)
}
