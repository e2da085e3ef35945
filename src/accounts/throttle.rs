//! How often somebody may be wrong.
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Whose attempts are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Passwords for a name, also one that nobody has.
    Name(String),
    /// Codes of an account whose password was right.
    Factor(String),
    /// An IPv4 address, or an IPv6 /64: whoever has one has all of it.
    Client(IpAddr),
}

impl Key {
    pub(super) fn client(address: IpAddr) -> Self {
        Self::Client(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
            v4 => v4,
        })
    }

    /// Attempts that are free, and the longest wait after that. For a name it is short: whoever keeps
    /// guessing must not keep its owner out, and still has the second factor before him.
    fn policy(&self) -> (u32, Duration) {
        match self {
            Self::Name(_) => (3, Duration::from_secs(60)),
            Self::Factor(_) => (3, Duration::from_secs(15 * 60)),
            Self::Client(_) => (10, Duration::from_secs(15 * 60)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Tries {
    count: u32,
    last: Instant,
    until: Instant,
}

/// Wrong attempts are forgotten after so long without another.
const FORGET: Duration = Duration::from_secs(6 * 3600);
/// Keys remembered; beyond it the oldest are forgotten.
const MOST: usize = 10_000;

/// Counts attempts, bounded in memory. Each counts as wrong from its beginning, so that many at the
/// same moment are as many; what turns out to be right takes its count back.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Key, Tries>>);

impl Throttle {
    /// Begins an attempt.
    ///
    /// # Errors
    /// How long to wait first; nothing was counted then.
    pub(super) fn begin(&self, keys: &[Key], now: Instant) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = keys.iter().filter_map(|key| all.get(key)?.until.checked_duration_since(now)).max();
        if let Some(wait) = waits.filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        if all.len() + keys.len() > MOST {
            forget(&mut all, now);
        }
        for key in keys {
            let (free, longest) = key.policy();
            let tries = all.entry(key.clone()).or_insert(Tries { count: 0, last: now, until: now });
            if now.duration_since(tries.last) > FORGET {
                tries.count = 0;
            }
            tries.count = tries.count.saturating_add(1);
            tries.last = now;
            // After the last free one: 1 s, 2 s, 4 s …
            if let Some(beyond) = tries.count.checked_sub(free) {
                tries.until = now + longest.min(Duration::from_secs(1_u64 << beyond.min(20)));
            }
        }
        Ok(())
    }

    /// An attempt was right: nothing is held against `key` any more.
    pub(super) fn clear(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// An attempt was right: its own count is taken back, and no more; others may come from there.
    pub(super) fn take_back(&self, key: &Key) {
        if let Some(tries) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(key) {
            tries.count = tries.count.saturating_sub(1);
            tries.until = tries.last;
        }
    }
}

/// Makes room: what is old first, and if nothing is, a tenth of what is oldest.
fn forget(all: &mut HashMap<Key, Tries>, now: Instant) {
    all.retain(|_, tries| now.duration_since(tries.last) <= FORGET);
    if all.len() < MOST * 9 / 10 {
        return;
    }
    let mut times: Vec<_> = all.values().map(|tries| tries.last).collect();
    times.sort_unstable();
    if let Some(border) = times.get(MOST / 10).copied() {
        all.retain(|_, tries| tries.last > border);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Key {
        Key::Name(name.into())
    }

    #[test]
    fn the_wait_grows_and_ends() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..12 {
            while let Err(wait) = throttle.begin(&[name("a")], now) {
                waits.push(wait.as_secs());
                now += wait;
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(throttle.begin(&[name("b")], now), Ok(()));
        assert_eq!(throttle.begin(&[name("a")], now + FORGET + Duration::from_secs(61)), Ok(()));
        assert_eq!(throttle.begin(&[name("a")], now + FORGET + Duration::from_secs(61)), Ok(()));
    }

    #[test]
    fn many_at_once_are_many() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let begun = (0..100).filter(|_| throttle.begin(&[name("a")], now).is_ok()).count();
        assert_eq!(begun, 3);
        throttle.clear(&name("a"));
        assert!(throttle.begin(&[name("a")], now).is_ok());
    }

    #[test]
    fn a_client_is_its_network_and_is_not_cleared_by_one_success() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let (one, other) = (Key::client("2001:db8::1".parse().unwrap()), Key::client("2001:db8::ffff:2".parse().unwrap()));
        assert_eq!(one, other);
        assert_ne!(one, Key::client("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(Key::client("::ffff:192.0.2.1".parse().unwrap()), Key::client("192.0.2.1".parse().unwrap()));
        for _ in 0..10 {
            throttle.begin(std::slice::from_ref(&one), now).unwrap();
        }
        assert!(throttle.begin(std::slice::from_ref(&one), now).is_err());
        throttle.take_back(&one);
        assert!(throttle.begin(std::slice::from_ref(&one), now).is_ok());
        assert!(throttle.begin(std::slice::from_ref(&one), now).is_err());
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..3 * MOST {
            let _ = throttle.begin(&[name(&n.to_string())], now + Duration::from_millis(n as u64));
        }
        assert!(throttle.0.lock().unwrap().len() <= MOST);
    }
}
