//! `octroi try`: the whole product on loopback, nothing to set up.

mod client;
mod mta;
mod samples;
mod settings;

use super::{
    Failure, certs, qr,
    run::{Ends, Service},
    style::{Colour, Out},
};
use crate::accounts::{Accounts, Lifetimes, NewAccount, Role, suggest_password};
use crate::audit::Actor;
use crate::config::Config;
use crate::journal::queue_id;
use crate::telemetry::{
    Metrics,
    log::{Format, Log},
};
use clap::Args;
use client::{Answer, Client};
use samples::{Expected, Sample};
use settings::{HOSTNAME, Ports};
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tracing::level_filters::LevelFilter;

/// See it at work on this machine, with nothing to set up
///
/// Makes certificates, starts the real gate on loopback in front of a demonstration mail server
/// (or of --upstream), sends sample messages over STARTTLS through the real port, says what became
/// of each and what to try next, and stays up until Ctrl-C. Touches nothing outside one folder.
#[derive(Debug, Args)]
#[command(name = "try")]
pub(super) struct Arguments {
    /// Stand in front of this mail server instead of the demonstration one.
    #[arg(long, value_name = "HOST:PORT")]
    upstream: Option<String>,
    /// Sender of the samples.
    #[arg(long, value_name = "ADDRESS", default_value = "alice@example.org")]
    from: String,
    /// Recipient of the samples; with --upstream, one that it knows.
    #[arg(long, value_name = "ADDRESS", default_value = "bob@example.com")]
    to: String,
    /// Keep everything in this new folder [default: a temporary one, gone afterwards]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// End after the samples; exit with 1 where one of them did not fare as it should.
    #[arg(long)]
    once: bool,
}

pub(super) fn main(arguments: &Arguments, out: &Out) -> Result<ExitCode, Failure> {
    // Dropped last, when nobody writes into it any more.
    let folder = Folder::make(arguments.directory.as_deref())?;
    let metrics = Metrics::new()?;
    let log = File::create(folder.path().join("octroi.log")).map_err(|e| Failure::of("octroi.log", e))?;
    let log_settings = crate::telemetry::log::Settings { format: Format::Text, level: LevelFilter::INFO };
    let _log = Log::start_on(Box::new(log), log_settings, false, &metrics)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tried = runtime.block_on(async {
        let mut ends = Ends::new()?;
        let trial = Trial::start(arguments, folder.path(), &metrics, out).await?;
        let good = tokio::select! {
            good = trial.show(arguments, &folder, out) => good?,
            _ = ends.recv() => true,
        };
        trial.service.stop().await;
        Ok(good)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    // What is wrong stands in the log.
    if !matches!(tried, Ok(true)) {
        folder.keep(out);
    }
    tried.map(|good| if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where everything lives.
enum Folder {
    Temporary(tempfile::TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn make(kept: Option<&Path>) -> Result<Self, Failure> {
        Ok(match kept {
            Some(path) => {
                // A new one, so that no one's files are mixed with ours.
                fs::create_dir(path).map_err(|e| Failure::of(path.display(), e))?;
                Self::Kept(path.canonicalize()?)
            }
            None => Self::Temporary(tempfile::Builder::new().prefix("octroi-try-").tempdir()?),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }

    fn keep(self, out: &Out) {
        if let Self::Temporary(directory) = self {
            let kept = directory.keep();
            out.line(format_args!("\n{} stays, with the log of it.", kept.display()));
        }
    }

    /// Whether what is in it is there to be looked at when this ends.
    fn stays(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    fn last_words(&self) -> &'static str {
        match self {
            Self::Temporary(_) => "\nCtrl-C ends it, and removes the folder.",
            Self::Kept(_) => "\nCtrl-C ends it; the folder stays.",
        }
    }
}

/// The gate in front of a mail server.
struct Trial {
    service: Service,
    gate: SocketAddr,
    folder: PathBuf,
    authority: PathBuf,
    /// Where the demonstration MTA keeps what it gets; `None` with another upstream.
    mail: Option<PathBuf>,
    upstream: String,
}

/// Who signs in to the console.
const ACCOUNT: &str = "demo";
/// For an upstream to be reached.
const PATIENCE: Duration = Duration::from_secs(10);

impl Trial {
    async fn start(arguments: &Arguments, folder: &Path, metrics: &std::sync::Arc<Metrics>, out: &Out) -> Result<Self, Failure> {
        out.line(format_args!("Octroi {}: the whole path, on this machine only.\n", env!("CARGO_PKG_VERSION")));
        let names = [HOSTNAME, "localhost", "127.0.0.1"].map(String::from);
        let files = certs::make(&folder.join("certs"), &names, false)?;
        step(out, "certificate", format_args!("made for {HOSTNAME}"));
        let (upstream, mail) = match &arguments.upstream {
            Some(upstream) => (upstream.clone(), None),
            None => {
                let mail = folder.join("mail");
                fs::create_dir(&mail)?;
                (mta::start(mail.clone()).await?.to_string(), Some(mail))
            }
        };
        step(out, "mail server", format_args!("{upstream}{}", if mail.is_some() { ", a small one for demonstration" } else { "" }));
        let start = |ports| -> Result<Service, Failure> {
            let path = settings::write(folder, &upstream, &files, ports, !arguments.once)?;
            Service::start(Config::load(&path)?, metrics)
        };
        let service = match start(Ports::known()?) {
            Err(_) => start(Ports::any()?)?,
            started => started?,
        };
        let gate = service.addresses().first().map(|(_, address)| *address).ok_or("nothing listens")?;
        step(out, "gate", format_args!("{gate}, offers STARTTLS"));
        Ok(Self { service, gate, folder: folder.to_owned(), authority: files.authority, mail, upstream })
    }

    /// All of it, until somebody ends it. Whether all fared as they should.
    async fn show(&self, arguments: &Arguments, folder: &Folder, out: &Out) -> Result<bool, Failure> {
        self.wait_for_upstream().await?;
        let good = self.send_samples(arguments, out).await?;
        if !arguments.once || folder.stays() {
            self.say_where(out);
        }
        if !arguments.once {
            self.say_what_next(arguments, out);
            self.make_account(out).await?;
            out.line(out.paint(Colour::Bold, folder.last_words()));
            std::future::pending::<()>().await;
        }
        Ok(good)
    }

    async fn wait_for_upstream(&self) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while let Err(why) = self.service.ready() {
            if tokio::time::Instant::now() > deadline {
                let log = self.folder.join("octroi.log");
                return Err(Failure(format!("{} cannot be used: {why}; {} says more", self.upstream, log.display())));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Whether all fared as they should.
    async fn send_samples(&self, arguments: &Arguments, out: &Out) -> Result<bool, Failure> {
        out.heading("Sample messages, each over STARTTLS through the port");
        let client = Client::new(self.gate, &self.authority, HOSTNAME)?;
        let mut good = true;
        for sample in samples::samples(HOSTNAME, &arguments.from, &arguments.to) {
            let fate = match client.send(&sample, &arguments.from, &arguments.to).await {
                Ok(answer) => self.fate(&sample, &answer),
                Err(e) => Fate { word: "failed", as_expected: false, detail: e.to_string() },
            };
            good &= fate.as_expected;
            fate.show(&sample, out);
        }
        if !good {
            let hint = if self.mail.is_some() {
                "Not all fared as they should."
            } else {
                "Not all fared as they would with the demonstration server; --to names a recipient."
            };
            out.line(out.paint(Colour::Yellow, hint));
        }
        Ok(good)
    }

    fn fate(&self, sample: &Sample, Answer { reply, to }: &Answer) -> Fate {
        let word = match reply.code() {
            200..=299 if sample.expected == Expected::Held && queue_id(reply.text()).is_none() => "held",
            200..=299 => "delivered",
            400..=499 => "deferred",
            _ => "refused",
        };
        let mut as_expected = match sample.expected {
            Expected::Delivered | Expected::DeliveredWith(_) | Expected::DeliveredWithout(_) => reply.is_positive(),
            Expected::Held => word == "held",
            Expected::Refused => reply.code() >= 500,
        };
        let mut detail = format!("{to}: {reply}");
        if let (Expected::DeliveredWith(field) | Expected::DeliveredWithout(field), Some(mail), true) =
            (sample.expected, &self.mail, reply.is_positive())
        {
            let message = queue_id(reply.text()).and_then(|id| fs::read_to_string(mta::file_of(mail, id)).ok()).unwrap_or_default();
            let is_there = message.lines().any(|line| line.to_ascii_lowercase().starts_with(field));
            if is_there != matches!(sample.expected, Expected::DeliveredWith(_)) {
                as_expected = false;
                detail = format!("`{field}` is {} it", if is_there { "still in" } else { "missing in" });
            }
        }
        Fate { word, as_expected, detail }
    }

    /// Somebody who may look at everything, and what he signs in with.
    async fn make_account(&self, out: &Out) -> Result<(), Failure> {
        let (Some(console), Some(store)) = (self.service.console(), self.service.store()) else { return Ok(()) };
        let accounts = Accounts::new(store.database, Lifetimes::default(), None);
        let roles = vec![Role::Senior, Role::Auditor, Role::Administrator];
        accounts.add(&NewAccount { name: ACCOUNT.to_owned(), roles, domains: vec!["*".to_owned()] }, &Actor::local()).await?;
        let password = suggest_password()?;
        let totp = accounts.enrol_locally(ACCOUNT, &password, &Actor::local()).await?;
        out.heading("Review it in a browser");
        step(out, "console", format_args!("https://localhost:{}/ (its certificate is its own: accept it)", console.port()));
        step(out, "account", ACCOUNT);
        step(out, "password", password);
        step(out, "then a code", "of any authenticator that has seen this (TOTP):");
        qr::show(&totp.url("octroi try", ACCOUNT)?, out)?;
        step(out, "or by hand", totp.base32());
        Ok(())
    }

    fn say_where(&self, out: &Out) {
        out.heading("Look at");
        if let Some(mail) = &self.mail {
            step(out, "messages", mail.display());
        }
        step(out, "log", self.folder.join("octroi.log").display());
        step(out, "settings", self.folder.join("octroi.toml").display());
    }

    fn say_what_next(&self, arguments: &Arguments, out: &Out) {
        if let Some(monitoring) = self.service.monitoring() {
            step(out, "metrics", format_args!("http://{monitoring}/metrics"));
        }
        out.heading("See what is held, and let it go");
        out.line(format_args!("  octroi quarantine list --config {}/octroi.toml", self.folder.display()));
        out.heading("Send one yourself");
        out.line(format_args!("  swaks --server {} --tls \\\n    --from {} --to {}", self.gate, arguments.from, arguments.to));
    }
}

/// A line that says what is where.
fn step(out: &Out, what: &str, text: impl std::fmt::Display) {
    out.line(format_args!("  {what:<13} {text}"));
}

/// What became of a sample.
struct Fate {
    word: &'static str,
    as_expected: bool,
    detail: String,
}

impl Fate {
    fn show(&self, sample: &Sample, out: &Out) {
        let colour = match (self.as_expected, self.word) {
            (false, _) => Colour::Red,
            (true, "delivered") => Colour::Green,
            (true, _) => Colour::Yellow,
        };
        let word = out.paint(colour, format_args!("{:<9}", self.word));
        let unexpected = if self.as_expected { "" } else { ", which it should not be" };
        out.line(format_args!("  {word}  {}{unexpected}", sample.what));
        let room = 80 - 13;
        let mut detail: String = self.detail.chars().take(room).collect();
        if self.detail.chars().nth(room).is_some() {
            detail.pop();
            detail.push('…');
        }
        out.line(format_args!("{:13}{}", "", out.paint(Colour::Dim, detail)));
    }
}
