//! Waiting for an event, with a bound. No test sleeps for a time it hopes to be long enough.

use std::time::{Duration, Instant};

/// How long anything may take that ought to happen at once, on a machine that is busy with other
/// tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `seen` until it has something; `what` is for the message if it never does.
pub fn until<T>(what: &str, seen: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, seen)
}

/// As [`until`], with another bound.
pub fn until_within<T>(patience: Duration, what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = seen() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain for {what}");
        pause(Duration::from_millis(3));
    }
}

/// The pause between two looks, and the pace of a slow peer.
#[expect(clippy::disallowed_methods, reason = "a test thread of its own, no worker")]
pub fn pause(pause: Duration) {
    std::thread::sleep(pause);
}
