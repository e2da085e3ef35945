//! Connections that must not be shared.
use super::{connection::Connection, shared::Target};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Where a connection that must not be shared sits between two transactions of its session: one
/// that AUTH went through, or on which the server has been told who this client is and cannot be
/// told of another (by a PROXY header, or by XCLIENT to most servers). Closed when dropped. Empty for as long as the pool serves.
#[derive(Debug, Default)]
pub struct Seat(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// One for each upstream at most.
    connections: Mutex<Vec<Connection>>,
    /// AUTH went through to it: nothing else will do there.
    authenticated: Option<Arc<Target>>,
}

/// The way back to a seat.
#[derive(Debug, Clone)]
pub(super) struct WayBack(Weak<Inner>);

impl Seat {
    /// After AUTH.
    pub(super) fn authenticated(connection: Connection) -> Self {
        let target = Arc::clone(connection.target());
        Self(Arc::new(Inner { connections: Mutex::new(vec![connection]), authenticated: Some(target) }))
    }

    /// Whether the session has authenticated itself to `target`.
    pub(super) fn is_authenticated(&self, target: &Arc<Target>) -> bool {
        self.0.authenticated.as_ref().is_some_and(|authenticated| Arc::ptr_eq(authenticated, target))
    }

    /// The session's connection to `target`, if it still stands. Replies may be
    /// owed on it, or a transaction still open.
    pub(super) fn take(&self, target: &Arc<Target>) -> Option<Connection> {
        let mut connection = {
            let mut connections = self.0.lock();
            let place = connections.iter().position(|connection| Arc::ptr_eq(connection.target(), target))?;
            connections.swap_remove(place)
        };
        connection.set_idle(false);
        connection.reused = true;
        let stands = !connection.wire.is_torn() && (connection.wire.owed() > 0 || connection.wire.check_silence().is_ok());
        stands.then_some(connection)
    }

    pub(super) fn way_back(&self) -> WayBack {
        WayBack(Arc::downgrade(&self.0))
    }
}

impl WayBack {
    /// Sits down again; closed if the session is over.
    pub(super) fn put(&self, mut connection: Connection) {
        match self.0.upgrade() {
            Some(seat) => {
                // At once, since an open transaction costs the MTA a process and a file; but here,
                // not in a task, so that the session's next transaction finds its connection.
                connection.begin_reset();
                connection.set_idle(true);
                seat.lock().push(connection);
            }
            None => connection.quit(),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let connections = std::mem::take(&mut *self.lock());
        connections.into_iter().for_each(Connection::quit);
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("connections", &*self.lock()).field("authenticated", &self.authenticated.is_some()).finish()
    }
}
