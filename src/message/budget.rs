//! One budget for the memory, and one for the disk, that all messages under way share.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A bound on something counted in octets; clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    used: AtomicU64,
}

/// Octets taken from a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    octets: u64,
}

impl Budget {
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Inner { limit, used: AtomicU64::new(0) }))
    }
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit
    }
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
    /// A share of nothing, which can grow.
    #[must_use]
    pub fn share(&self) -> Share {
        Share { budget: self.clone(), octets: 0 }
    }
}

impl Share {
    /// Takes `octets` more, or nothing where that would pass the limit.
    #[must_use]
    pub fn grow(&mut self, octets: u64) -> bool {
        let inner = &self.budget.0;
        let taken = inner
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| used.checked_add(octets).filter(|sum| *sum <= inner.limit));
        if taken.is_ok() {
            self.octets += octets;
        }
        taken.is_ok()
    }
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }
    /// Gives everything back.
    pub fn clear(&mut self) {
        self.budget.0.used.fetch_sub(self.octets, Ordering::Relaxed);
        self.octets = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}
