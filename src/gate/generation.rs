//! One reading of the configuration, as sessions hold it: a session keeps the generation it began
//! with, so that a reload changes nothing under it.
use super::{
    StartError,
    settings::{Auth, Listener, Settings, TlsMode},
    tls::ServerTls,
};
use crate::chain::Chain;
use crate::journal::{self, Book, Journal};
use crate::message::{budget::Budget, spool};
use crate::quarantine;
use crate::smtp::{Capabilities, Offer, server};
use crate::storage;
use crate::telemetry::{ListenerMetrics, Metrics, traces::Traces};
use crate::upstream::{self, Upstreams};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What a reading of the configuration gives the gate.
pub struct Setup {
    pub settings: Settings,
    pub chain: Chain,
    pub upstreams: Vec<upstream::Settings>,
    pub routes: Vec<upstream::Route>,
    pub storage: storage::Settings,
    pub quarantine: quarantine::Settings,
    pub journal: journal::Settings,
}

pub(super) struct Generation {
    pub(super) settings: Settings,
    pub(super) chain: Arc<Chain>,
    pub(super) tls: ServerTls,
    pub(super) spool: spool::Settings,
    pub(super) upstream: Arc<upstream::Shared>,
    /// One of each worker.
    upstreams: Vec<Upstreams>,
    /// For a worker that has none, which does not happen.
    spare: Upstreams,
    listeners: Vec<Arc<ListenerState>>,
    /// Ends the health checks with the generation.
    _watch: DropGuard,
}

/// A listener of one generation.
pub(super) struct ListenerState {
    pub(super) settings: Listener,
    pub(super) metrics: Arc<ListenerMetrics>,
    pub(super) journal: Arc<Journal>,
    pub(super) session: Arc<server::Settings>,
    /// What was last offered in clear and over TLS, and the capabilities it was made from.
    offers: [Mutex<Option<Made>>; 2],
}

struct Made {
    from: Option<Arc<Capabilities>>,
    offer: Arc<Offer>,
}

/// What outlives all generations: budgets that all messages under way share.
pub(super) struct Budgets {
    pub(super) memory: Budget,
    pub(super) disk: Budget,
}

impl Budgets {
    /// With files in `directory`.
    pub(super) fn spool(&self, settings: &Settings, directory: PathBuf) -> spool::Settings {
        spool::Settings {
            in_memory: settings.limits.message_memory,
            memory: self.memory.clone(),
            disk: self.disk.clone(),
            directory: Arc::new(directory),
        }
    }

    /// As the configuration bounds them.
    pub(super) fn new(settings: &Settings) -> Self {
        Self { memory: Budget::new(settings.limits.memory), disk: Budget::new(settings.limits.spool) }
    }
}

impl Generation {
    /// `old`: whose knowledge of the upstreams is taken over.
    ///
    /// # Errors
    /// A file that the configuration names cannot be used.
    pub(super) fn new(
        setup: Setup,
        budgets: &Budgets,
        metrics: &Arc<Metrics>,
        book: &Book,
        traces: Option<&Traces>,
        old: Option<&Self>,
    ) -> Result<Arc<Self>, StartError> {
        let Setup { settings, chain, upstreams, routes, storage: _, quarantine: _, journal: _ } = setup;
        let tls = ServerTls::load(&settings, metrics)?;
        let shown = upstreams.iter().filter_map(|upstream| upstream.tls.as_ref()?.certificate());
        metrics.certificates("upstreams", shown.map(|shown| (shown.files.certificate.to_string_lossy(), shown.not_after)));
        let directory = spool_directory(&settings)?;
        budgets.memory.set_limit(settings.limits.memory);
        budgets.disk.set_limit(settings.limits.spool);
        let spool = budgets.spool(&settings, directory);
        let shared = upstream::Shared::new(upstreams, &routes, settings.timeouts.upstream, &settings.hostname, metrics);
        if let Some(old) = old {
            shared.inherit(&old.upstream);
        }
        let watch = CancellationToken::new();
        tokio::spawn(Arc::clone(&shared).watch(watch.clone()));
        let stages: Arc<[_]> = chain.stages().iter().map(|stage| (stage.name.clone(), metrics.stage(&stage.name))).collect();
        let journal = |listener: &Arc<ListenerMetrics>| {
            Arc::new(
                Journal::new(Arc::clone(metrics), Arc::clone(listener), Arc::clone(&stages))
                    .with_book(book.clone())
                    .with_traces(traces.cloned()),
            )
        };
        let listener = |listener| Arc::new(ListenerState::new(listener, &settings, metrics, journal));
        let listeners = settings.listeners.iter().map(listener).collect();
        let upstreams = (0..settings.workers).map(|_| Upstreams::for_worker(&shared)).collect();
        let spare = Upstreams::for_worker(&shared);
        chain.attach(metrics);
        metrics.connections_limit.set(settings.limits.connections.try_into().unwrap_or(i64::MAX));
        let chain = Arc::new(chain);
        if let Some(old) = old {
            old.forget_what_is_gone(&chain, &shared, metrics);
        }
        Ok(Arc::new(Self { settings, chain, tls, spool, upstream: shared, upstreams, spare, listeners, _watch: watch.drop_guard() }))
    }

    /// What a newer configuration has no longer.
    fn forget_what_is_gone(&self, chain: &Chain, upstreams: &upstream::Shared, metrics: &Metrics) {
        for stage in self.chain.stages().iter().filter(|old| chain.stages().iter().all(|stage| stage.name != old.name)) {
            metrics.forget_stage(&stage.name);
        }
        for name in self.upstream.names().filter(|old| upstreams.names().all(|name| name != *old)) {
            metrics.forget_upstream(name);
        }
    }

    pub(super) fn listener(&self, name: &str) -> Option<&Arc<ListenerState>> {
        self.listeners.iter().find(|listener| &*listener.settings.name == name)
    }

    pub(super) fn upstreams(&self, worker: usize) -> &Upstreams {
        self.upstreams.get(worker).unwrap_or(&self.spare)
    }
}

/// The spool's directory, made where it is missing.
pub(super) fn spool_directory(settings: &Settings) -> Result<PathBuf, StartError> {
    let directory = settings.state_dir.join("spool");
    std::fs::create_dir_all(&directory).map_err(|error| StartError::Directory { path: directory.clone(), error })?;
    // Found now rather than by the first big message: files without a name have to be possible.
    tempfile::tempfile_in(&directory).map_err(|error| StartError::Directory { path: directory.clone(), error })?;
    Ok(directory)
}

impl ListenerState {
    /// `journal`: of a listener that counts there.
    fn new(listener: &Listener, settings: &Settings, metrics: &Metrics, journal: impl Fn(&Arc<ListenerMetrics>) -> Arc<Journal>) -> Self {
        let listener_metrics = metrics.listener(&listener.name);
        Self {
            settings: listener.clone(),
            journal: journal(&listener_metrics),
            metrics: listener_metrics,
            session: Arc::new(server::Settings {
                hostname: Arc::clone(&settings.hostname),
                errors: settings.limits.errors,
                require_tls: listener.require_tls,
            }),
            offers: Default::default(),
        }
    }

    /// What octroi and the upstreams can both keep. An upstream that was never reached promises
    /// nothing, and so do we for it.
    pub(super) fn offer(&self, generation: &Generation, known: Option<Arc<Capabilities>>, tls: bool) -> Arc<Offer> {
        let [clear, encrypted] = &self.offers;
        let mut made = if tls { encrypted } else { clear }.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Made { from, offer }) = &*made
            && match (from, &known) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            }
        {
            return Arc::clone(offer);
        }
        let offer = Arc::new(self.make_offer(generation, known.as_deref(), tls));
        *made = Some(Made { from: known, offer: Arc::clone(&offer) });
        offer
    }

    fn make_offer(&self, generation: &Generation, known: Option<&Capabilities>, tls: bool) -> Offer {
        let Settings { hostname, limits, .. } = &generation.settings;
        let nothing = Capabilities::default();
        let upstream = known.unwrap_or(&nothing);
        Offer {
            hostname: Arc::clone(hostname),
            size: upstream.size.filter(|size| *size > 0).map_or(limits.message_size, |size| size.min(limits.message_size)),
            recipients: upstream.recipients.map_or(limits.recipients, |most| most.min(limits.recipients)),
            eight_bit: upstream.eight_bit,
            utf8: upstream.utf8,
            binary: upstream.binary && upstream.chunking,
            dsn: upstream.dsn,
            enhanced_codes: upstream.enhanced_codes,
            starttls: !tls && self.settings.tls == TlsMode::StartTls && generation.tls.config(&self.settings).is_some(),
            require_tls: tls && upstream.require_tls,
            auth: if tls && self.settings.auth == Auth::Forward { upstream.auth.clone() } else { Vec::new() },
        }
    }
}
