//! The command line: a file per command.

mod audit;
mod certs;
mod check;
mod config;
mod evidence;
mod hunt;
mod manual;
mod pages;
mod qr;
mod quarantine;
mod renewal;
mod run;
mod service;
mod style;
mod try_it;
mod user;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode, time::Duration};
use style::Out;

/// An inline SMTP filter proxy.
///
/// Octroi stands in front of a mail server. It terminates TLS, speaks SMTP to the world, streams
/// each message through a chain of inspection stages while it is still arriving, and only then
/// hands it over, or refuses it.
///
/// To see it at work, with nothing to set up: octroi try
#[derive(Debug, Parser)]
#[command(name = "octroi", version, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Try(try_it::Arguments),
    Run(run::Arguments),
    Check(check::Arguments),
    Config(config::Arguments),
    Quarantine(quarantine::Arguments),
    Hunt(hunt::Arguments),
    User(user::Arguments),
    Audit(audit::Arguments),
    Evidence(evidence::Arguments),
    Certs(certs::Arguments),
    Completions(manual::Completions),
    Man(manual::Man),
}

/// `--config FILE`, for the commands that need one.
#[derive(Debug, Clone, clap::Args)]
struct ConfigFile {
    /// The configuration; deploy/octroi.toml explains every key.
    #[arg(long, value_name = "FILE", default_value = "/etc/octroi/octroi.toml")]
    config: PathBuf,
}

/// Why a command did not do what it should; its text is all the user gets to see.
#[derive(Debug)]
struct Failure(String);

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl Failure {
    /// `error` happened to `what`, mostly a path.
    fn of(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// Does a command's work, and gives what it has left on other threads a second.
fn to_the_end<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let out = Out::new();
    let done = match command_line.command {
        Command::Try(arguments) => try_it::main(&arguments, &out),
        Command::Run(arguments) => run::main(&arguments),
        Command::Check(arguments) => check::main(&arguments, &out),
        Command::Config(arguments) => config::main(&arguments, &out),
        Command::Quarantine(arguments) => quarantine::main(&arguments, &out),
        Command::Hunt(arguments) => Ok(hunt::main(&arguments, &out)),
        Command::User(arguments) => user::main(&arguments, &out),
        Command::Audit(arguments) => audit::main(&arguments, &out),
        Command::Evidence(arguments) => evidence::main(&arguments, &out),
        Command::Certs(arguments) => certs::main(&arguments, &out),
        Command::Completions(arguments) => manual::completions(&arguments, &out),
        Command::Man(arguments) => manual::man(&arguments, &out),
    };
    match done {
        Ok(code) => code,
        Err(Failure(text)) => {
            style::complain(&text);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_help() {
        let mut command = CommandLine::command();
        command.clone().debug_assert();
        command.build();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{} has no help", sub.get_name());
            for argument in sub.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {} has no help", sub.get_name(), argument.get_id());
            }
        }
    }
}
