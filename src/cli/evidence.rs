//! `octroi evidence`: entries of the quarantine as an archive that shows any change to it.
use super::{ConfigFile, Failure, style::Out, to_the_end};
use crate::audit::{Action, Actor, Audit, Event};
use crate::config::Config;
use crate::evidence::{Exporter, SigningKey, read_public, verify};
use crate::journal::Rows;
use crate::quarantine::Quarantine;
use crate::storage::{Access, Store};
use crate::telemetry::Metrics;
use crate::value::{ByteSize, hex};
use aws_lc_rs::digest::{SHA256, digest};
use clap::{Args, Subcommand};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

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
        let (mut entries, mut known) = (Vec::new(), HashSet::new());
        for id in self.ids.iter().filter(|id| known.insert(*id)) {
            entries.push(quarantine.entry(id).await?);
        }
        let target = Target::claim(&self.out)?;
        let spool = crate::gate::release::spool(settings)?;
        // Where none is kept there is none.
        let journal = Rows::open(&settings.state_dir).ok();
        let exporter =
            Exporter { quarantine: &quarantine, audit: &audit, journal: journal.as_ref(), spool: &spool, state_dir: &settings.state_dir };
        let who = Actor::local();
        let archive = exporter.archive(&entries, &who.name, &settings.hostname).await?;
        target.reserve(archive.len() as u64)?;
        // From here on it is on its way out: what is not in the audit is not written.
        let hash = hex(digest(&SHA256, &archive).as_ref());
        for entry in &entries {
            audit.record(Event::of(&who, Action::Export).on(&entry.id).with("sha256", &*hash)).await?;
        }
        if let Err(error) = target.write(&archive) {
            for entry in &entries {
                audit.record(Event::of(&who, Action::Export).on(&entry.id).with("sha256", &*hash).with("failed", error.0.as_str())).await?;
            }
            return Err(error);
        }
        let (count, size) = (entries.len(), ByteSize(archive.len() as u64).readable());
        let entries = if count == 1 { "entry" } else { "entries" };
        out.line(format_args!("{}: {count} {entries}, {size}, signed", self.out.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// Where an archive is written: a file of ours, which is gone again where it does not become one.
struct Target<'a> {
    path: &'a Path,
    file: File,
    whole: bool,
}

impl<'a> Target<'a> {
    fn claim(path: &'a Path) -> Result<Self, Failure> {
        let file = File::options().write(true).create_new(true).mode(0o600).open(path);
        Ok(Self { path, file: file.map_err(|error| Failure::of(path.display(), error))?, whole: false })
    }

    /// Room for so many octets, where the file system can promise that.
    fn reserve(&self, octets: u64) -> Result<(), Failure> {
        use rustix::{fs, io::Errno};
        match fs::fallocate(&self.file, fs::FallocateFlags::empty(), 0, octets) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(Failure::of(self.path.display(), io::Error::from(error))),
        }
    }

    fn write(mut self, archive: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all(archive).and_then(|()| self.file.sync_all());
        self.whole = written.is_ok();
        written.map_err(|error| Failure::of(self.path.display(), error))
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if !self.whole {
            // It is empty, or not the whole archive: where it stays it does not hold.
            let _ = fs::remove_file(self.path);
        }
    }
}

impl Verify {
    fn run(&self, out: &Out) -> Result<ExitCode, Failure> {
        let read = |path: &PathBuf| fs::read(path).map_err(|error| Failure::of(path.display(), error));
        let key = read_public(&String::from_utf8_lossy(&read(&self.key)?))?;
        let checked = verify(&read(&self.file)?, &key).map_err(|error| Failure::of(self.file.display(), error))?;
        out.line(format_args!("{} holds: made by {} on {} at {}", self.file.display(), checked.made_by, checked.host, checked.made_at));
        out.line(format_args!("{} files, of entries {}", checked.files, checked.entries.join(", ")));
        if !checked.audit_cut.is_empty() {
            out.line(format_args!("the oldest rows of the audit are not in it, of {}", checked.audit_cut.join(", ")));
        }
        Ok(ExitCode::SUCCESS)
    }
}
