//! Which servers of an upstream answer, and what they can.
//!
//! Passive: a connection that could not be made marks its server down. Active: every server is
//! asked from time to time, a server that is down more often at first and then ever less.
use super::{fault::Fault, settings::Endpoint};
use crate::smtp::Capabilities;
use arc_swap::ArcSwapOption;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Between two looks at a server that answers: as long as `/readyz` may be wrong where no mail flows
/// that would find out earlier. Whoever balances on it asks about as often (Kubernetes: 10 s), and
/// each look costs the MTA a connection and two lines of its log.
const WATCH: Duration = Duration::from_secs(10);
/// The first and the last wait for a server that does not.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// While no server answers, each is tried by traffic too, once in this time: so that mail flows
/// again as soon as one can take it, and many clients do not wait for a server that hangs.
const RETRY: Duration = Duration::from_secs(1);

/// One server of an upstream, as all workers see it.
#[derive(Debug)]
pub(super) struct Server {
    /// `HOST:PORT`, as in the log.
    pub name: Arc<str>,
    pub endpoint: Endpoint,
    /// Connections in use, over all workers.
    pub busy: AtomicUsize,
    capabilities: ArcSwapOption<Capabilities>,
    health: Mutex<Health>,
    /// Somebody wants it looked at now.
    suspected: Notify,
}

#[derive(Debug, Clone, Copy, Default)]
struct Health {
    /// `None`: nobody has tried yet.
    up: Option<bool>,
    /// In a row.
    failures: u32,
    tried: Option<Instant>,
}

/// What a report changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    Up,
    Down,
}

impl Server {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self {
            name: endpoint.to_string().into(),
            endpoint,
            busy: AtomicUsize::new(0),
            capabilities: ArcSwapOption::empty(),
            health: Mutex::default(),
            suspected: Notify::new(),
        }
    }
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub(super) fn is_up(&self) -> bool {
        self.health().up == Some(true)
    }
    /// Not known to be down.
    pub(super) fn may_serve(&self) -> bool {
        self.health().up != Some(false)
    }
    /// Down, but not tried for a while: whoever is told `true` tries it.
    pub(super) fn claim_retry(&self) -> bool {
        let mut health = self.health();
        let due = health.tried.is_none_or(|tried| tried.elapsed() >= RETRY);
        if due {
            health.tried = Some(Instant::now());
        }
        due
    }

    /// A connection was made.
    pub(super) fn succeeded(&self) -> Change {
        let mut health = self.health();
        let was = health.up.replace(true);
        (health.failures, health.tried) = (0, Some(Instant::now()));
        if was == Some(true) { Change::Nothing } else { Change::Up }
    }
    /// A connection could not be made.
    pub(super) fn failed(&self, fault: &Fault) -> Change {
        if !fault.is_down() {
            return Change::Nothing;
        }
        let mut health = self.health();
        let was = health.up.replace(false);
        (health.failures, health.tried) = (health.failures.saturating_add(1), Some(Instant::now()));
        if was == Some(false) { Change::Nothing } else { Change::Down }
    }
    /// A connection made no sense or hung: look at the server soon.
    pub(super) fn suspect(&self) {
        self.suspected.notify_one();
    }

    pub(super) fn capabilities(&self) -> Option<Arc<Capabilities>> {
        self.capabilities.load_full()
    }
    /// Remembers what it can; `true` if that is news.
    pub(super) fn learn(&self, capabilities: &Arc<Capabilities>) -> bool {
        let news = self.capabilities.load().as_ref().is_none_or(|known| known != capabilities);
        if news {
            self.capabilities.store(Some(Arc::clone(capabilities)));
        }
        news
    }

    /// Takes over what another generation of the configuration knew of the same server.
    pub(super) fn inherit(&self, old: &Self) {
        *self.health() = *old.health();
        self.capabilities.store(old.capabilities());
    }

    /// Until it should be looked at again.
    pub(super) async fn pause(&self) {
        let health = *self.health();
        let pause = match health.up {
            Some(false) => BACKOFF.0.saturating_mul(1 << health.failures.saturating_sub(1).min(6)).min(BACKOFF.1),
            _ => WATCH,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Not at once: many sessions may see the same fault.
            () = self.suspected.notified() => tokio::time::sleep(BACKOFF.0).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::UpstreamFault;

    fn server() -> Server {
        Server::new(Endpoint::parse("127.0.0.1:25").unwrap())
    }
    fn refused() -> Fault {
        Fault::new(UpstreamFault::Connect, "refused")
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stays_down_is_asked_ever_less() {
        let server = server();
        let mut pauses = Vec::new();
        for n in 0..9 {
            assert_eq!(server.failed(&refused()), if n == 0 { Change::Down } else { Change::Nothing });
            let start = Instant::now();
            server.pause().await;
            pauses.push(start.elapsed().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(server.succeeded(), Change::Up);
        let start = Instant::now();
        server.pause().await;
        assert_eq!(start.elapsed(), WATCH);
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspected_server_is_looked_at_soon() {
        let server = server();
        server.succeeded();
        server.suspect();
        let start = Instant::now();
        server.pause().await;
        assert_eq!(start.elapsed(), BACKOFF.0);
    }

    #[tokio::test(start_paused = true)]
    async fn traffic_tries_a_dead_server_once_a_second() {
        let server = server();
        assert!(server.may_serve(), "nobody has tried yet");
        server.failed(&refused());
        assert!(!server.may_serve());
        assert!(!server.claim_retry(), "just tried");
        tokio::time::advance(RETRY).await;
        assert!(server.claim_retry());
        assert!(!server.claim_retry(), "somebody else is at it");
    }

    #[test]
    fn a_server_without_room_is_not_down() {
        let server = server();
        server.succeeded();
        assert_eq!(server.failed(&Fault::new(UpstreamFault::Shutdown, "421 too many connections")), Change::Nothing);
        assert!(server.is_up());
    }
}
