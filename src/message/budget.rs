//! One budget for the memory, and one for the disk, that all messages under way share.
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A bound on something counted in octets; clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: AtomicU64,
    used: AtomicU64,
    /// Times that there was no room.
    shortages: AtomicU64,
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
        Self(Arc::new(Inner { limit: AtomicU64::new(limit), used: AtomicU64::new(0), shortages: AtomicU64::new(0) }))
    }
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit.load(Ordering::Relaxed)
    }
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
    /// How often somebody has found no room, since the start.
    #[must_use]
    pub fn shortages(&self) -> u64 {
        self.0.shortages.load(Ordering::Relaxed)
    }
    /// Sets another limit; what is above it now is not taken back.
    pub fn set_limit(&self, limit: u64) {
        self.0.limit.store(limit, Ordering::Relaxed);
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
        let taken = inner.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(octets).filter(|sum| *sum <= inner.limit.load(Ordering::Relaxed))
        });
        if taken.is_ok() {
            self.octets += octets;
        } else {
            inner.shortages.fetch_add(1, Ordering::Relaxed);
        }
        taken.is_ok()
    }
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }
    /// What it is a share of.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }
    /// Moves everything into a share of its own; nothing is left here.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self { budget: self.budget.clone(), octets: std::mem::take(&mut self.octets) }
    }
    /// Gives `octets` of it back, or what is left.
    pub fn give_back(&mut self, octets: u64) {
        let octets = octets.min(self.octets);
        self.budget.0.used.fetch_sub(octets, Ordering::Relaxed);
        self.octets -= octets;
    }
    /// Gives everything back.
    pub fn clear(&mut self) {
        self.budget.0.used.fetch_sub(self.octets, Ordering::Relaxed);
        self.octets = 0;
    }
}

/// Octets, and what they take of a budget.
struct Counted {
    octets: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl Share {
    /// `octets`, which are counted here for as long as anybody holds them.
    #[must_use]
    pub fn keep(self, octets: Bytes) -> Bytes {
        Bytes::from_owner(Counted { octets, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_back_when_dropped() {
        let budget = Budget::new(10);
        let mut share = budget.share();
        assert!(share.grow(7));
        let mut other = budget.share();
        assert!(!other.grow(4), "7 + 4 is above 10");
        assert_eq!(budget.shortages(), 1);
        assert!(other.grow(3));
        let moved = share.take();
        drop(share);
        assert_eq!(budget.used(), 10, "what was taken out of a share is not given back with it");
        drop(moved);
        assert_eq!(budget.used(), 3);
        other.give_back(2);
        assert_eq!((budget.used(), other.octets()), (1, 1));
        other.give_back(2);
        assert_eq!((budget.used(), other.octets()), (0, 0));
        assert!(other.grow(4));
        other.clear();
        assert_eq!((budget.used(), other.octets()), (0, 0));
        assert!(!other.grow(u64::MAX), "a sum that cannot be counted is above every limit");
        assert!(other.grow(10));
    }

    #[test]
    fn octets_are_counted_for_as_long_as_anybody_holds_them() {
        let budget = Budget::new(10);
        let mut share = budget.share();
        assert!(share.grow(5));
        let octets = share.keep(Bytes::from_static(b"octet"));
        let part = octets.slice(1..3);
        drop(octets);
        assert_eq!((&*part, budget.used()), (&b"ct"[..], 5));
        drop(part);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn threads_together_never_pass_the_limit() {
        let budget = Budget::new(100);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let budget = &budget;
                scope.spawn(move || {
                    for round in 0..5_000 {
                        let mut share = budget.share();
                        let taken = share.grow(20 + (thread + round) % 50);
                        assert!(budget.used() <= budget.limit());
                        assert_eq!(taken, share.octets() > 0);
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }
}
