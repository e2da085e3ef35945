//! How often somebody may be wrong.
use crate::value::network;
use std::{
    collections::HashMap,
    net::IpAddr,
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
    /// Passwords for a name from where its owner has signed in: whoever guesses from elsewhere, a guess a
    /// minute, does not keep him out.
    Known(String, IpAddr),
    /// The password of somebody who is signed in, asked again.
    Again(String),
    /// An IPv4 address, or an IPv6 /64: whoever has one has all of it.
    Client(IpAddr),
}

impl Key {
    /// `None` for this machine itself: through a tunnel or a proxy everybody comes from there, and one who
    /// guesses would keep all the others out. What is left then is the name, and what the proxy limits.
    pub(super) fn client(address: IpAddr) -> Option<Self> {
        (!address.to_canonical().is_loopback()).then(|| Self::Client(network(address)))
    }

    /// `None` where it is none of the places `known`, or this machine, where everybody is.
    pub(super) fn known(name: &str, address: IpAddr, known: &[IpAddr]) -> Option<Self> {
        let place = network(address);
        let is_known = !address.to_canonical().is_loopback() && known.iter().any(|known| network(*known) == place);
        is_known.then(|| Self::Known(name.to_owned(), place))
    }

    /// Attempts that are free, and the longest wait after that. For a name it is short: whoever keeps
    /// guessing must not keep its owner out, and still has the second factor before him.
    fn policy(&self) -> (u32, Duration) {
        match self {
            Self::Name(_) | Self::Known(..) | Self::Again(_) => (3, Duration::from_secs(60)),
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
        let client = |address: &str| Key::client(address.parse().unwrap());
        let one = client("2001:db8::1").unwrap();
        assert_eq!(Some(&one), client("2001:db8::ffff:2").as_ref());
        assert_ne!(Some(&one), client("2001:db8:0:1::1").as_ref());
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_eq!(["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"].map(client), [const { None }; 4]);
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
