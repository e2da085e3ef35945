//! `octroi completions` and `octroi man`: both are made from the command line's own definition.
use super::{CommandLine, Failure, style::Out};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::{path::PathBuf, process::ExitCode};

/// Print a completion script for a shell
///
/// For bash, for instance: octroi completions bash > /usr/share/bash-completion/completions/octroi
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell to complete for.
    shell: Shell,
}

/// Write the manual pages
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct Man {
    /// The directory to write into; without it, octroi(1) goes to standard output.
    directory: Option<PathBuf>,
}

pub(super) fn completions(arguments: &Completions, out: &Out) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut CommandLine::command(), "octroi", &mut script);
    out.octets(&script);
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(arguments: &Man, out: &Out) -> Result<ExitCode, Failure> {
    let command = CommandLine::command();
    match &arguments.directory {
        Some(directory) => clap_mangen::generate_to(command, directory).map_err(|e| Failure::of(directory.display(), e))?,
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            out.octets(&page);
        }
    }
    Ok(ExitCode::SUCCESS)
}
