//! What all workers share: targets with their servers, routes, capabilities; and the watch.
use super::{
    connection::{Connection, Place},
    dial::{self, Dialled, Opening},
    fault::Fault,
    health::{Change, Server},
    identity::{self, Identity},
    proxy,
    route::Table,
    settings::{IdentityMode, Route, Settings, Timeouts},
    tls::Tls,
};
use crate::smtp::Capabilities;
use crate::telemetry::{Metrics, UpstreamFault, UpstreamMetrics};
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// All upstreams of a configuration, for the whole process. A new configuration makes a new one;
/// transactions of the old finish on it.
#[derive(Debug)]
pub struct Shared {
    pub(super) targets: Vec<Arc<Target>>,
    pub(super) routes: Table,
    pub(super) default: Arc<Target>,
    /// Counts changes of what servers can.
    generation: Arc<AtomicU64>,
    /// What all can, as of a generation.
    summary: ArcSwap<(u64, Option<Arc<Capabilities>>)>,
}

/// One upstream.
#[derive(Debug)]
pub(super) struct Target {
    pub name: Arc<str>,
    pub servers: Vec<Arc<Server>>,
    pub tls: Option<Tls>,
    pub identity: IdentityMode,
    pub idle: std::time::Duration,
    pub timeouts: Timeouts,
    /// Our own name.
    pub hostname: Arc<str>,
    pub metrics: Arc<UpstreamMetrics>,
    /// One for each connection that may be open.
    pub permits: Arc<Semaphore>,
    /// Transactions that wait for a permit, over all workers.
    pub waiting: AtomicUsize,
    /// Some have begun to wait: whoever holds idle connections gives some up.
    pub shed: Notify,
    /// Where to begin looking for a server.
    turn: AtomicUsize,
    generation: Arc<AtomicU64>,
}

impl Shared {
    /// `hostname` is what we say in EHLO. What no route matches goes
    /// to the upstream called `default`; without one, nowhere.
    #[must_use]
    pub fn new(settings: Vec<Settings>, routes: &[Route], timeouts: Timeouts, hostname: &Arc<str>, metrics: &Metrics) -> Arc<Self> {
        let generation = Arc::new(AtomicU64::new(1));
        let target = |settings| Target::new(settings, timeouts, hostname, metrics, &generation);
        let targets: Vec<_> = settings.into_iter().map(target).collect();
        let place = |name: &str| targets.iter().position(|target| &*target.name == name);
        Arc::new(Self {
            routes: Table::new(routes, place),
            default: place("default").and_then(|n| targets.get(n)).cloned().unwrap_or_else(|| target(Settings::plain(Vec::new()))),
            targets,
            generation,
            summary: ArcSwap::from_pointee((0, None)),
        })
    }

    /// Takes over what another configuration's watch has found out about the same servers, so that
    /// a reload does not begin with a process that is not ready.
    pub fn inherit(&self, old: &Self) {
        for target in &self.targets {
            let Some(old) = old.targets.iter().find(|old| old.name == target.name) else { continue };
            for server in &target.servers {
                if let Some(old) = old.servers.iter().find(|old| old.endpoint == server.endpoint) {
                    server.inherit(old);
                }
            }
        }
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Gives the servers that answer to the metrics. Asked for when they are read, of the configuration
    /// in force: what is watched for sessions from before a reload says nothing about it.
    pub fn measure(&self) {
        self.targets.iter().for_each(|target| target.measure());
    }

    /// The names of the upstreams.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(|target| &*target.name)
    }

    /// Some server answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.targets.iter().any(|target| target.servers.iter().any(|server| server.is_up()))
    }

    /// What every server that was ever asked can; AUTH as the default upstream has it, since that is
    /// where AUTH goes. `None` while none has been asked with success.
    #[must_use]
    pub fn capabilities(&self) -> Option<Arc<Capabilities>> {
        let generation = self.generation.load(Ordering::Acquire);
        let summary = self.summary.load();
        if summary.0 == generation {
            return summary.1.clone();
        }
        let of = |target: &Arc<Target>| {
            let known = target.servers.iter().filter_map(|server| server.capabilities());
            known.reduce(|a, b| Arc::new(a.intersection(&b)))
        };
        let all = self.targets.iter().filter_map(of).reduce(|a, b| Arc::new(a.intersection(&b)));
        let auth = of(&self.default).map_or_else(Vec::new, |default| default.auth.clone());
        let all = all.map(|all| Arc::new(Capabilities { auth, ..Capabilities::clone(&all) }));
        self.summary.store(Arc::new((generation, all.clone())));
        all
    }

    /// Looks at every server at once and then from time to time, until cancelled.
    pub async fn watch(self: Arc<Self>, cancelled: CancellationToken) {
        let servers = self.targets.iter().flat_map(|target| target.servers.iter().map(move |server| (target, server)));
        let watches = servers.map(async |(target, server)| {
            loop {
                target.look_at(server).await;
                server.pause().await;
            }
        });
        let _ = cancelled.run_until_cancelled(join_all(watches)).await;
    }
}

impl Target {
    fn new(settings: Settings, timeouts: Timeouts, hostname: &Arc<str>, metrics: &Metrics, generation: &Arc<AtomicU64>) -> Arc<Self> {
        let metrics = metrics.upstream(&settings.name);
        metrics.servers.set(settings.servers.len().try_into().unwrap_or(i64::MAX));
        metrics.limit.set(settings.connections.into());
        Arc::new(Self {
            servers: settings.servers.into_iter().map(|endpoint| Arc::new(Server::new(endpoint))).collect(),
            tls: settings.tls,
            identity: settings.identity,
            idle: settings.idle,
            timeouts,
            hostname: Arc::clone(hostname),
            metrics,
            permits: Arc::new(Semaphore::new(settings.connections as usize)),
            waiting: AtomicUsize::new(0),
            shed: Notify::new(),
            turn: AtomicUsize::new(0),
            generation: Arc::clone(generation),
            name: settings.name,
        })
    }

    /// A server for the next connection: of those that may be up, the least busy, in turn; else one
    /// that is down and has not been tried for a while. `tried` has a bit for each not to be had.
    pub(super) fn pick(&self, tried: u64) -> Option<usize> {
        let count = self.servers.len();
        let turn = if count > 1 { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let candidates = || {
            let order = (0..count).map(move |n| (turn.wrapping_add(n)) % count);
            order.filter(move |n| tried & (1 << n) == 0).filter_map(|n| Some((n, self.servers.get(n)?)))
        };
        let up = candidates().filter(|(_, server)| server.may_serve());
        up.min_by_key(|(_, server)| server.busy.load(Ordering::Relaxed))
            .or_else(|| candidates().find(|(_, server)| server.claim_retry()))
            .map(|(n, _)| n)
    }

    /// A new connection to one server, with what is known of it brought up to date.
    ///
    /// # Errors
    /// A fault, counted; or the MTA's refusal of the client where `opening` is for one.
    pub(super) async fn connect(
        self: &Arc<Self>,
        server: &Arc<Server>,
        opening: &Opening,
        permit: OwnedSemaphorePermit,
    ) -> Result<Connection, (Fault, OwnedSemaphorePermit)> {
        match self.dial(server, opening).await {
            Ok(Dialled { wire, capabilities, verified }) => {
                let identity = Identity::of_opening(opening);
                let place = Place { target: Arc::clone(self), server: Arc::clone(server), permit };
                Ok(Connection::new(wire, capabilities, verified, identity, place))
            }
            Err(fault) => Err((Fault { server: Some(Arc::clone(&server.name)), ..fault }, permit)),
        }
    }

    async fn dial(&self, server: &Server, opening: &Opening) -> Result<Dialled, Fault> {
        let dialled = dial::dial(self, server, opening).await.and_then(|dialled| {
            if self.identity == IdentityMode::Xclient && !identity::offers_xclient(&dialled.capabilities) {
                return Err(Fault::unfit(
                    "does not offer XCLIENT with ADDR, and would take octroi for the client: see smtpd_authorized_xclient_hosts",
                ));
            }
            Ok(dialled)
        });
        match &dialled {
            Ok(dialled) => {
                if server.learn(&dialled.capabilities) {
                    self.generation.fetch_add(1, Ordering::Release);
                }
                if server.succeeded() == Change::Up {
                    tracing::info!(upstream = &*self.name, server = &*server.name, "up");
                }
            }
            Err(fault) => {
                fault.count(&self.metrics);
                if server.failed(fault) == Change::Down {
                    tracing::warn!(upstream = &*self.name, server = &*server.name, "down: {}", fault.text);
                    server.suspect();
                }
            }
        }
        dialled
    }

    fn measure(&self) {
        let up = self.servers.iter().filter(|server| server.is_up()).count();
        self.metrics.healthy.set(up.try_into().unwrap_or(i64::MAX));
    }

    /// Connects, says EHLO and QUIT. Such connections do not count against the limit.
    async fn look_at(&self, server: &Server) {
        let header = if self.identity == IdentityMode::ProxyV2 { proxy::local().ok() } else { None };
        let opening = Opening { header, ..Opening::default() };
        if let Ok(dialled) = self.dial(server, &opening).await {
            dialled.wire.quit();
        }
    }

    pub(super) fn none_healthy(&self) -> Fault {
        let fault = Fault::new(UpstreamFault::NoneHealthy, "no server of it answers");
        fault.count(&self.metrics);
        fault
    }
}
