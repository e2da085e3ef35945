//! A connection with what is to be remembered of it between two transactions.
use super::{fault::Fault, health::Server, identity::Identity, shared::Target, wire::Wire};
use crate::smtp::Capabilities;
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

/// Exim ends a connection after 1000 messages, and other servers have their own ideas.
const MAX_USES: u32 = 500;
/// So that a changed address in the DNS, or a server that came back, is noticed.
const MAX_AGE: Duration = Duration::from_secs(600);
/// Postfix slows a connection down after `smtpd_soft_error_limit` (10) refusals since the last
/// message, and ends it after 20. One client's bad recipients are not to cost the next client.
const MAX_REFUSALS: u32 = 8;
/// Postfix counts RSET as junk, and as an error from `smtpd_junk_command_limit` (100) on.
const MAX_RESETS: u32 = 90;

pub(super) struct Connection {
    pub wire: Wire,
    pub capabilities: Arc<Capabilities>,
    /// TLS stands, and the certificate was the right one.
    pub verified: bool,
    /// On whose behalf it speaks.
    pub identity: Identity,
    /// It can never speak for another client.
    pub bound: bool,
    /// What the server offered at first; after XCLIENT it may offer less.
    pub offered: Arc<Capabilities>,
    /// AUTH went through here: for its session only, and with the identity it has.
    pub authenticated: bool,
    /// A transaction is open, or was when its owner left.
    pub in_transaction: bool,
    /// The transaction's MAIL said BODY=BINARYMIME.
    pub binary: bool,
    /// It served before.
    pub reused: bool,
    opened: Instant,
    uses: u32,
    resets: u32,
    // The last: given back when all else is gone.
    lease: Lease,
}

/// Its place among the connections of an upstream.
struct Lease {
    target: Arc<Target>,
    server: Arc<Server>,
    idle: bool,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(wire: Wire, capabilities: Arc<Capabilities>, verified: bool, identity: Identity, place: Place) -> Self {
        let Place { target, server, permit } = place;
        target.metrics.busy.inc();
        server.busy.fetch_add(1, Ordering::Relaxed);
        Self {
            wire,
            offered: Arc::clone(&capabilities),
            capabilities,
            verified,
            identity,
            bound: false,
            authenticated: false,
            in_transaction: false,
            binary: false,
            reused: false,
            opened: Instant::now(),
            uses: 0,
            resets: 0,
            lease: Lease { target, server, idle: false, _permit: permit },
        }
    }
    pub(super) fn target(&self) -> &Arc<Target> {
        &self.lease.target
    }
    pub(super) fn server(&self) -> &Arc<Server> {
        &self.lease.server
    }
    /// Whether somebody uses it, for the metrics and the balance.
    pub(super) fn set_idle(&mut self, idle: bool) {
        self.lease.set_idle(idle);
    }

    /// A transaction with it is over, after which the server expects MAIL.
    pub(super) fn settle(&mut self, delivered: bool) {
        self.in_transaction = false;
        self.uses += 1;
        if delivered {
            self.resets = 0;
            self.wire.forget_refusals();
        }
    }

    /// Ends a transaction under way, reading first what is owed still.
    pub(super) async fn reset(&mut self, patience: Duration) -> Result<(), Fault> {
        if self.wire.is_torn() {
            return Err(Fault::closed());
        }
        while self.wire.owed() > 0 {
            self.wire.reply(patience).await?;
        }
        if self.in_transaction {
            let reply = self.wire.command("RSET", patience).await?;
            if !reply.is_positive() {
                return Err(Fault::unexpected("RSET", &reply));
            }
            self.resets += 1;
            self.settle(false);
        }
        Ok(())
    }

    /// As [`reset`](Self::reset), as far as that can be done without waiting; the rest is done then.
    pub(super) fn begin_reset(&mut self) {
        if self.in_transaction && self.wire.try_reset() {
            self.resets += 1;
            self.settle(false);
        }
    }

    /// Another transaction can go over it, as far as is known without asking.
    pub(super) fn is_reusable(&self) -> bool {
        self.wire.is_at_rest() && !self.in_transaction && !self.is_worn()
    }
    fn is_worn(&self) -> bool {
        self.uses >= MAX_USES || self.resets >= MAX_RESETS || self.wire.refusals() >= MAX_REFUSALS || self.opened.elapsed() >= MAX_AGE
    }

    pub(super) fn quit(self) {
        self.wire.quit();
    }
}

/// Neither what was said nor by whom.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("upstream", &self.lease.target.name)
            .field("server", &self.lease.server.name)
            .finish_non_exhaustive()
    }
}

/// What a connection needs to be one of an upstream's.
pub(super) struct Place {
    pub target: Arc<Target>,
    pub server: Arc<Server>,
    pub permit: OwnedSemaphorePermit,
}

impl Lease {
    fn set_idle(&mut self, idle: bool) {
        if self.idle == idle {
            return;
        }
        self.idle = idle;
        let metrics = &self.target.metrics;
        let (from, to) = if idle { (&metrics.busy, &metrics.idle) } else { (&metrics.idle, &metrics.busy) };
        from.dec();
        to.inc();
        if idle {
            self.server.busy.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.server.busy.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.idle {
            self.target.metrics.idle.dec();
        } else {
            self.target.metrics.busy.dec();
            self.server.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
