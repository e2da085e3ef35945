//! Idle connections of one worker to one upstream.
//!
//! A connection belongs to the runtime it was opened on, so that every worker has a pool; the limit
//! is of all workers together. Whoever finds it reached waits: for a connection of its own worker,
//! or for another worker to give one up.
use super::{connection::Connection, dial::Opening, fault::Fault, health::Server, shared::Target};
use crate::telemetry::UpstreamFault;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, TryAcquireError, oneshot},
    time::{Instant, timeout},
};

/// How long a connection may take to answer RSET before it is given up.
const RESET: Duration = Duration::from_secs(10);

pub(super) struct Pool {
    target: Arc<Target>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The one that was used last is at the end, and is taken first: the others grow old and go.
    idle: VecDeque<Idle>,
    /// Sessions of this worker that wait for a connection.
    waiting: VecDeque<oneshot::Sender<Connection>>,
    /// A task closes what has been idle for too long.
    reaped: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

/// Leave to have one connection more, or one that has just been given back.
enum Admission {
    Permit(OwnedSemaphorePermit),
    Connection(Box<Connection>),
}

/// Counted for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Pool {
    pub(super) fn new(target: Arc<Target>) -> Arc<Self> {
        Arc::new(Self { target, inner: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for one transaction; with `fresh`, one that never served before.
    ///
    /// # Errors
    /// No server of the upstream could be connected to, or the limit is reached and nobody gave a
    /// connection back in time. All counted.
    pub(super) async fn obtain(&self, fresh: bool) -> Result<Connection, Fault> {
        self.first_of_all(&Opening::default(), !fresh).await
    }

    /// A connection for one client alone, which never stands in the pool.
    ///
    /// # Errors
    /// As [`obtain`](Self::obtain); the MTA's refusal of this client.
    pub(super) async fn dedicated(&self, opening: &Opening) -> Result<Connection, Fault> {
        self.first_of_all(opening, false).await
    }

    /// Failover: a connection to the best server that can be had, each being tried once. With
    /// `idle_will_do`, it may be one that served before.
    async fn first_of_all(&self, opening: &Opening, idle_will_do: bool) -> Result<Connection, Fault> {
        let mut permit = None;
        let mut tried = 0;
        let mut last = None;
        while let Some(index) = self.target.pick(tried) {
            let Some(server) = self.target.servers.get(index) else { break };
            tried |= 1 << index;
            if idle_will_do && let Some(connection) = self.take_idle(Some(server)) {
                return Ok(connection);
            }
            let leave = match permit.take() {
                Some(permit) => permit,
                None => match self.admission(idle_will_do).await? {
                    Admission::Permit(permit) => permit,
                    Admission::Connection(connection) => return Ok(*connection),
                },
            };
            match self.target.connect(server, opening, leave).await {
                Ok(connection) => return Ok(connection),
                // Another server would say the same to this client.
                Err((fault, _)) if fault.refusal.is_some() => return Err(fault),
                Err((fault, leave)) => (permit, last) = (Some(leave), Some(fault)),
            }
        }
        Err(last.unwrap_or_else(|| self.target.none_healthy()))
    }

    /// The idle connection used last, to `server` or to any, that still stands.
    fn take_idle(&self, server: Option<&Arc<Server>>) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut inner = self.lock();
                let place =
                    inner.idle.iter().rposition(|idle| server.is_none_or(|server| Arc::ptr_eq(idle.connection.server(), server)))?;
                inner.idle.remove(place)?.connection
            };
            connection.set_idle(false);
            // The server may have ended it, or said something that nobody had asked for.
            if connection.is_reusable() && connection.wire.check_silence().is_ok() {
                connection.reused = true;
                return Some(connection);
            }
        }
    }

    fn try_permit(&self) -> Result<Option<OwnedSemaphorePermit>, Fault> {
        match Arc::clone(&self.target.permits).try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            Err(TryAcquireError::NoPermits) => Ok(None),
            Err(TryAcquireError::Closed) => Err(self.target.none_healthy()),
        }
    }

    /// Leave for one more connection, waiting for it where the limit is reached; or, where
    /// `idle_will_do`, any connection of this worker that comes free meanwhile.
    async fn admission(&self, idle_will_do: bool) -> Result<Admission, Fault> {
        if let Some(permit) = self.try_permit()? {
            return Ok(Admission::Permit(permit));
        }
        if !idle_will_do {
            return self.permit().await.map(Admission::Permit);
        }
        if let Some(connection) = self.take_idle(None) {
            return Ok(Admission::Connection(connection.into()));
        }
        let (sender, mut returned) = oneshot::channel();
        {
            let mut inner = self.lock();
            inner.waiting.retain(|waiting| !waiting.is_closed());
            inner.waiting.push_back(sender);
        }
        let admission = tokio::select! {
            biased;
            connection = &mut returned => connection.map(|connection| Admission::Connection(connection.into())).map_err(|_| self.target.none_healthy()),
            permit = self.permit() => permit.map(Admission::Permit),
        };
        // It may have come at the very moment we stopped waiting for it.
        returned.close();
        match returned.try_recv() {
            Ok(connection) => Ok(Admission::Connection(connection.into())),
            Err(_) => admission,
        }
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Fault> {
        if let Some(permit) = self.try_permit()? {
            return Ok(permit);
        }
        let _waiting = Waiting::new(&self.target.waiting);
        self.target.shed.notify_waiters();
        // Our own idle ones count as well.
        self.give_one_up();
        match timeout(self.target.timeouts.connect, Arc::clone(&self.target.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(self.target.none_healthy()),
            Err(_) => {
                let fault = Fault::new(UpstreamFault::Timeout, "all connections that are allowed are in use");
                fault.count(&self.target.metrics);
                Err(fault)
            }
        }
    }

    /// Closes the connection that has been idle longest.
    fn give_one_up(&self) {
        let oldest = self.lock().idle.pop_front();
        if let Some(idle) = oldest {
            idle.connection.quit();
        }
    }

    /// Takes a connection back, after a transaction that is over.
    pub(super) fn put(self: &Arc<Self>, mut connection: Connection) {
        if !connection.is_reusable() {
            connection.quit();
            return;
        }
        loop {
            let Some(waiting) = self.lock().waiting.pop_front() else { break };
            connection.reused = true;
            match waiting.send(connection) {
                Ok(()) => return,
                Err(back) => connection = back,
            }
        }
        let Ok(runtime) = Handle::try_current() else { return };
        connection.set_idle(true);
        let unreaped = {
            let mut inner = self.lock();
            inner.idle.push_back(Idle { connection, since: Instant::now() });
            !std::mem::replace(&mut inner.reaped, true)
        };
        if unreaped {
            runtime.spawn(reap(Arc::downgrade(self), Arc::clone(&self.target)));
        }
        // Looked at after it was put there: whoever counted himself before that has not seen it.
        if self.target.waiting.load(Ordering::SeqCst) > 0 {
            self.give_one_up();
        }
    }

    /// Takes a connection back in the middle of a transaction, in a task of its own.
    pub(super) fn put_unfinished(self: &Arc<Self>, mut connection: Connection) {
        let Ok(runtime) = Handle::try_current() else { return };
        let pool = Arc::clone(self);
        runtime.spawn(async move {
            match timeout(RESET.min(pool.target.timeouts.command), connection.reset(RESET)).await {
                Ok(Ok(())) => pool.put(connection),
                Ok(Err(fault)) => fault.count(&pool.target.metrics),
                Err(_) => Fault::late("RSET").count(&pool.target.metrics),
            }
        });
    }
}

/// Closes what has been idle for too long, and one where others wait, for as long as the pool lives
/// and holds something.
async fn reap(pool: Weak<Pool>, target: Arc<Target>) {
    loop {
        let shed = target.shed.notified();
        tokio::pin!(shed);
        shed.as_mut().enable();
        let next = {
            let Some(pool) = pool.upgrade() else { return };
            if target.waiting.load(Ordering::SeqCst) > 0 {
                pool.give_one_up();
            }
            let (expired, next) = pool.expired();
            expired.into_iter().for_each(|idle| idle.connection.quit());
            next
        };
        let Some(next) = next else { return };
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = shed => {}
        }
    }
}

impl Pool {
    /// What has been idle for too long, and when the next will have been. With `None`, nothing is
    /// idle, and nobody reaps any more.
    fn expired(&self) -> (Vec<Idle>, Option<Instant>) {
        let mut inner = self.lock();
        let mut expired = Vec::new();
        while inner.idle.front().is_some_and(|idle| idle.since.elapsed() >= self.target.idle) {
            expired.extend(inner.idle.pop_front());
        }
        let next = inner.idle.front().map(|idle| idle.since + self.target.idle);
        inner.reaped = next.is_some();
        (expired, next)
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.lock().idle.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut self.lock().idle);
        idle.into_iter().for_each(|idle| idle.connection.quit());
    }
}

impl<'a> Waiting<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}
impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("upstream", &self.target.name).finish_non_exhaustive()
    }
}
