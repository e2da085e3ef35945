//! `octroi evidence`: entries of the quarantine as an archive that shows any change to it.
use super::{ConfigFile, Failure, style::Out, to_the_end};
use crate::audit::{Action, Actor, Audit, Event};
use crate::config::Config;
use crate::evidence::{Exporter, SigningKey, read_public, verify};
use crate::journal::Rows;
use crate::quarantine::Quarantine;
use crate::storage::{Access, Store};
use crate::telemetry::Metrics;
use crate::value::ByteSize;
use clap::{Args, Subcommand};
use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf, process::ExitCode};

/// Export held messages as signed evidence, and check it
///
/// An archive has the messages as they came, all that is known of them, and what the audit has about
/// them, under one signature (Ed25519). To check it takes the public key and nothing else.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Export(Export),
    Verify(Verify),
    Key(Key),
}

/// Write entries into an archive
#[derive(Debug, Args)]
struct Export {
    #[command(flatten)]
    file: ConfigFile,
    /// The entries' ids; `octroi quarantine list` shows them.
    #[arg(required = true)]
    ids: Vec<String>,
    /// Where to write it; not over anything that is there.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Check an archive: whether it is what was signed, and nothing else
#[derive(Debug, Args)]
struct Verify {
    /// The archive.
    file: PathBuf,
    /// The public key of who made it, as `octroi evidence key` prints it there.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// Print the public key of this installation, which is made at first use
#[derive(Debug, Args)]
struct Key {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn main(arguments: &Arguments, out: &Out) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Command::Export(export) => to_the_end(export.run(out)),
        Command::Verify(verify) => verify.run(out),
        Command::Key(key) => {
            let config = Config::load(&key.file.config)?;
            out.line(SigningKey::open(&config.gate.settings.state_dir)?.public().trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

impl Export {
    async fn run(&self, out: &Out) -> Result<ExitCode, Failure> {
        let config = Config::load(&self.file.config)?;
        let settings = &config.gate.settings;
        let store = Store::open(&settings.state_dir, Access::Existing)?;
        let quarantine = Quarantine::new(store.clone(), config.gate.quarantine.clone(), &Metrics::new()?);
        let audit = Audit::new(store.database);
        let mut entries = Vec::new();
        for id in &self.ids {
            entries.push(quarantine.entry(id).await?);
        }
        let who = Actor::local();
        for id in &self.ids {
            audit.record(Event::of(&who, Action::Export).on(id)).await?;
        }
        let spool = crate::gate::release::spool(settings)?;
        // Where none is kept there is none.
        let journal = Rows::open(&settings.state_dir).ok();
        let exporter =
            Exporter { quarantine: &quarantine, audit: &audit, journal: journal.as_ref(), spool: &spool, state_dir: &settings.state_dir };
        let archive = exporter.archive(&entries, &who.name, &settings.hostname).await?;
        let named = |error: std::io::Error| Failure::of(self.out.display(), error);
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&self.out).map_err(named)?;
        file.write_all(&archive).and_then(|()| file.sync_all()).map_err(named)?;
        out.line(format_args!("{}: {} entries, {}, signed", self.out.display(), entries.len(), ByteSize(archive.len() as u64).readable()));
        Ok(ExitCode::SUCCESS)
    }
}

impl Verify {
    fn run(&self, out: &Out) -> Result<ExitCode, Failure> {
        let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::of(path.display(), error));
        let key = read_public(&String::from_utf8_lossy(&read(&self.key)?))?;
        let checked = verify(&read(&self.file)?, &key).map_err(|error| Failure::of(self.file.display(), error))?;
        out.line(format_args!("{} holds: made by {} on {} at {}", self.file.display(), checked.made_by, checked.host, checked.made_at));
        out.line(format_args!("{} files, of entries {}", checked.files, checked.entries.join(", ")));
        Ok(ExitCode::SUCCESS)
    }
}
