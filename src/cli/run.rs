//! `octroi run`: the service.
use super::{
    ConfigFile, Failure,
    renewal::{self, Acme, WatchedFiles},
    service::{feed_watchdog, notify, notify_reloading},
};
use crate::acme;
use crate::audit::Audit;
use crate::config::Config;
use crate::console;
use crate::gate::{Gate, release::Recipe};
use crate::telemetry::{
    Metrics, http,
    log::{self, Log},
    traces::{self, Traces},
};
use crate::tls::challenge::Challenges;
use arc_swap::ArcSwap;
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use serde_json::{Map, Value};
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Run the service
///
/// SIGTERM lets transactions under way finish and exits; SIGHUP reads the configuration and the
/// certificates again, without dropping a session, and keeps the old ones if the new are wrong.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn main(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let path = &arguments.file.config;
    let config = Config::load(path)?;
    let metrics = Metrics::new()?;
    // Dropped last: it writes out what all the others have said.
    let _log = Log::start(config.log, &metrics)?;
    raise_descriptor_limit();
    if rustix::process::geteuid().is_root() {
        tracing::warn!("running as root, which octroi does not need: any user that may bind the ports will do");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let service = Service::start(config, &metrics)?;
        service.serve_until_told(path).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    // Where the log goes is where people look from here on.
    Ok(served.map_or_else(
        |Failure(text)| {
            tracing::error!("{text}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    ))
}

fn warn_of(config: &Config) {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
}

/// The running gate with its monitoring.
pub(super) struct Service {
    /// Taken when it drains.
    gate: Arc<Mutex<Option<Gate>>>,
    http: Option<http::Server>,
    console: Option<console::Server>,
    metrics: Arc<Metrics>,
    drain: Duration,
    /// What the gate was made of, to be read again when certificates change.
    source: String,
    certificates: Vec<PathBuf>,
    /// As it is configured: a port that is 0 there is another in truth.
    monitoring: http::Settings,
    acme: Option<Acme>,
    /// To authorities that ask whose a name is.
    known: acme::Console,
    reviewing: console::Settings,
    log: log::Settings,
    exported: traces::Settings,
}

impl Service {
    /// Opens everything. Has to be called within a runtime.
    pub(super) fn start(config: Config, metrics: &Arc<Metrics>) -> Result<Self, Failure> {
        warn_of(&config);
        let governing = config.governing();
        let Config { gate: setup, metrics: monitoring, console: reviewing, log, traces: exported, source, asked: _ } = config;
        let drain = setup.settings.timeouts.drain;
        let certificates = renewal::files(&setup, &reviewing);
        let hostname = Arc::clone(&setup.settings.hostname);
        let releaser = Recipe::of(&setup);
        let (acme, challenges) = (setup.settings.tls.acme.clone(), Challenges::default());
        let traces = Traces::start(&exported, &hostname, metrics).map_err(|e| Failure::of("traces", e))?;
        let gate = Arc::new(Mutex::new(Some(Gate::open(setup, metrics, traces)?)));
        let http = match monitoring.address {
            Some(address) => {
                Some(http::Server::start(address, pages(&gate, metrics)).map_err(|e| Failure::of(format_args!("metrics: {address}"), e))?)
            }
            None => None,
        };
        let console = match reviewing.address {
            Some(address) => {
                let kept = gate
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .as_ref()
                    .map(|gate| (gate.store().clone(), gate.quarantine().clone(), gate.journal().clone()));
                let (store, quarantine, journal) = kept.ok_or("the gate is gone")?;
                let releaser = Arc::new(ArcSwap::from_pointee(releaser.make(metrics)?));
                let metrics = Arc::clone(metrics);
                let measured = Arc::clone(&gate);
                let parts = console::Parts {
                    settings: reviewing.clone(),
                    hostname,
                    store,
                    quarantine,
                    journal,
                    metrics,
                    releaser,
                    challenges: challenges.clone(),
                    measure: Box::new(move || measure(&measured)),
                };
                Some(console::Server::start(address, parts)?)
            }
            None => None,
        };
        let known = acme::Console { address: console.as_ref().map(console::Server::address), challenges };
        let acme = Acme::start(acme, known.clone(), metrics);
        let service = Self {
            gate,
            http,
            console,
            metrics: Arc::clone(metrics),
            drain,
            source,
            certificates,
            acme,
            known,
            monitoring,
            reviewing,
            log,
            exported,
        };
        service.reloaded(true);
        service.tell(governing);
        service.with_gate(|gate| {
            for (name, address) in gate.addresses() {
                tracing::info!(listener = &**name, %address, "listening");
            }
        });
        if let Some(http) = &service.http {
            tracing::info!(address = %http.address(), "metrics");
        }
        if let Some(console) = &service.console {
            tracing::info!(address = %console.address(), "console");
        }
        Ok(service)
    }

    fn with_gate<T>(&self, f: impl FnOnce(&Gate) -> T) -> Option<T> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(f)
    }

    /// What is listened on, by the listeners' names.
    pub(super) fn addresses(&self) -> Vec<(Arc<str>, std::net::SocketAddr)> {
        self.with_gate(|gate| gate.addresses().to_vec()).unwrap_or_default()
    }

    /// Where the metrics are.
    pub(super) fn monitoring(&self) -> Option<std::net::SocketAddr> {
        self.http.as_ref().map(http::Server::address)
    }

    /// What is kept.
    pub(super) fn store(&self) -> Option<crate::storage::Store> {
        self.with_gate(|gate| gate.store().clone())
    }

    /// Where the console is.
    pub(super) fn console(&self) -> Option<std::net::SocketAddr> {
        self.console.as_ref().map(console::Server::address)
    }

    /// Whether mail can be taken.
    pub(super) fn ready(&self) -> Result<(), &'static str> {
        self.with_gate(Gate::ready).unwrap_or(Err("draining"))
    }

    async fn serve_until_told(mut self, path: &std::path::Path) -> Result<(), Failure> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ends = Ends::new()?;
        notify(&[NotifyState::Ready, NotifyState::Status("taking mail")]);
        let mut files = WatchedFiles::new(self.certificates.clone());
        let mut look = tokio::time::interval(WatchedFiles::EVERY);
        let gate = Arc::clone(&self.gate);
        let watchdog =
            feed_watchdog(move || gate.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Gate::event_loops).unwrap_or_default());
        tokio::pin!(watchdog);
        let why = loop {
            tokio::select! {
                _ = hangup.recv() => {
                    notify_reloading();
                    tracing::info!("SIGHUP: reading {} again", path.display());
                    // Where it fails the files stay as they were last read, and a renewed certificate
                    // is still found to be new.
                    let before = WatchedFiles::new(self.certificates.clone());
                    if self.reload(Config::load(path)) {
                        files = WatchedFiles::since(&before, self.certificates.clone());
                        // Who says that also says: what kept it from being obtained is mended.
                        self.acme.iter().for_each(|acme| acme.again.notify_waiters());
                    }
                    notify(&[NotifyState::Ready]);
                }
                _ = look.tick() => {
                    let looked = tokio::task::spawn_blocking(move || { let changed = files.have_changed(); (files, changed) });
                    let changed;
                    (files, changed) = looked.await?;
                    if changed {
                        tracing::info!("certificates have changed");
                        self.reload(Config::parse(path, self.source.clone()));
                    }
                }
                why = ends.recv() => break why,
                () = &mut watchdog => {}
            }
        };
        tracing::info!("{why}: draining");
        notify(&[NotifyState::Stopping, NotifyState::Status("finishing what is under way")]);
        tokio::select! {
            () = self.stop() => {}
            again = ends.recv() => tracing::warn!("{again} again: not waiting"),
            () = &mut watchdog => {}
        }
        Ok(())
    }

    /// Finishes what is under way, up to `timeouts.drain`.
    pub(super) async fn stop(&self) {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(gate) = gate else { return };
        match gate.drain(self.drain).await {
            0 => tracing::info!("drained"),
            cut => tracing::warn!(sessions = cut, "cut off what did not end in time"),
        }
    }

    /// Puts `config` in the place of the one there, or says why not; whether it did.
    fn reload(&mut self, config: Result<Config, crate::config::Report>) -> bool {
        let reloaded = config.map_err(|report| report.to_string()).and_then(|config| {
            warn_of(&config);
            let (certificates, governing) = (renewal::files(&config.gate, &config.console), config.governing());
            let drain = config.gate.settings.timeouts.drain;
            let acme = config.gate.settings.tls.acme.clone();
            if config.metrics != self.monitoring || config.log != self.log || config.traces != self.exported {
                tracing::warn!("`[metrics]`, `[log]` and `[traces]` change with a restart only");
            }
            if self.console.is_some() {
                let still = console::Settings { certificate: self.reviewing.certificate.clone(), ..config.console.clone() };
                if still != self.reviewing {
                    tracing::warn!("of `[console]` only the certificate changes without a restart");
                }
            }
            // Before anything is changed: half of a new configuration is none.
            let shown = console::Server::certificate(&config.console).map_err(|e| e.to_string())?;
            let releaser = Recipe::of(&config.gate);
            self.with_gate(|gate| gate.reload(config.gate)).transpose().map_err(|e| e.to_string())?;
            if let (Some(console), Some(certificate)) = (&self.console, shown) {
                console.show(&certificate, &self.metrics);
            }
            if let Some(console) = &self.console {
                console.release_with(releaser.make(&self.metrics).map_err(|e| e.to_string())?);
            }
            if self.acme.as_ref().map(|acme| &acme.settings) != acme.as_ref() {
                self.acme = Acme::start(acme, self.known.clone(), &self.metrics);
            }
            (self.certificates, self.drain, self.source) = (certificates, drain, config.source);
            self.tell(governing);
            Ok(())
        });
        let successful = reloaded.is_ok();
        self.reloaded(successful);
        match reloaded {
            Ok(()) => tracing::info!("the new configuration holds for new sessions"),
            Err(text) => {
                for line in text.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the old configuration stays");
            }
        }
        successful
    }

    /// Tells the audit what decides about what is held from now on. Where that fails, the next start does.
    fn tell(&self, governing: Map<String, Value>) {
        let Some(store) = self.store() else { return };
        tokio::spawn(async move {
            if let Err(error) = Audit::new(store.database).settings(governing).await {
                tracing::error!("the audit does not have the settings of the quarantine and the console: {error}");
            }
        });
    }

    fn reloaded(&self, successful: bool) {
        self.metrics.reload_successful.set(i64::from(successful));
        if successful {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.metrics.reload_time.set(now.as_secs_f64());
        }
    }
}

/// Sets what is not counted as it happens.
fn measure(gate: &Mutex<Option<Gate>>) {
    if let Some(gate) = &*gate.lock().unwrap_or_else(PoisonError::into_inner) {
        gate.measure();
    }
}

fn pages(gate: &Arc<Mutex<Option<Gate>>>, metrics: &Arc<Metrics>) -> http::Pages {
    let (measured, asked) = (Arc::clone(gate), Arc::clone(gate));
    http::Pages {
        metrics: Arc::clone(metrics),
        refresh: Box::new(move |_| measure(&measured)),
        ready: Box::new(move || match &*asked.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(gate) => gate.ready().map_err(|reason| vec![reason.to_owned()]),
            None => Err(vec!["draining".to_owned()]),
        }),
    }
}

/// The signals that end a service.
pub(super) struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one of them and gives its name.
    pub(super) async fn recv(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// A session takes two descriptors or three; the soft limit that shells and services start with is
/// 1024, for the sake of `select(2)`, which nobody uses here.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(e) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!("cannot raise the limit of open files: {e}");
        }
    }
}
