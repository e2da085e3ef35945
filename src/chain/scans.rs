//! What is remembered of content across sessions: identical messages under way share one answer of
//! a stage that reads nothing else, and a message that a stage fails on again and again is not given
//! to it with every retry.
use super::Report;
use crate::message::Message;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{sync::OnceCell, time::Instant};

/// The name of content: SHA-256 over header section, empty line and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

/// Takes the body in while it arrives.
pub(super) struct Hasher(Context);

/// An answer that is being found out, or has been, for as long as somebody holds it.
pub(super) type Shared = OnceCell<Report>;

/// Failures remembered, of all stages together: the oldest goes first.
const REMEMBERED: usize = 1000;
/// For how long after the last one.
const FOR: Duration = Duration::from_secs(3600);

/// For the whole process.
#[derive(Debug, Default)]
pub(super) struct Scans {
    /// By stage and content.
    under_way: Mutex<HashMap<(usize, Key), Weak<Shared>>>,
    failures: Mutex<VecDeque<Failure>>,
}

#[derive(Debug)]
struct Failure {
    stage: usize,
    header: Key,
    content: Key,
    times: u32,
    /// What the stage had finished with by the last time.
    successes: u64,
    last: Instant,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }
    pub(super) fn body(&mut self, chunk: &[u8]) {
        self.0.update(chunk);
    }
    /// The key of a message with this header section and the body that was taken in.
    pub(super) fn finish(self, header: &Bytes) -> Key {
        let mut context = Context::new(&SHA256);
        context.update(header);
        context.update(b"\r\n");
        context.update(self.0.finish().as_ref());
        Key::of(context)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl Key {
    fn of(context: Context) -> Self {
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self(key)
    }

    pub(super) fn of_header(header: &Bytes) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(header);
        Self::of(context)
    }
}

impl Scans {
    /// The place for the answer of `stage` about this content; whoever comes first fills it.
    pub(super) fn share(&self, stage: usize, key: Key) -> Arc<Shared> {
        let mut under_way = lock(&self.under_way);
        if let Some(shared) = under_way.get(&(stage, key)).and_then(Weak::upgrade) {
            return shared;
        }
        // As many as there are messages under way, and what they left behind is swept up here.
        if under_way.len() >= 64 && under_way.len().is_power_of_two() {
            under_way.retain(|_, shared| shared.strong_count() > 0);
        }
        let shared = Arc::new(Shared::new());
        under_way.insert((stage, key), Arc::downgrade(&shared));
        shared
    }

    /// Forgets an answer nobody holds any more.
    pub(super) fn forget(&self, stage: usize, key: Key) {
        let mut under_way = lock(&self.under_way);
        if under_way.get(&(stage, key)).is_some_and(|shared| shared.strong_count() == 0) {
            under_way.remove(&(stage, key));
        }
    }

    /// `stage` failed on `message`; `successes`: how many others it has finished with. It counts
    /// again only where it finished with another one since: when all fail, it is not the message.
    /// Gives how often that makes.
    pub(super) fn failed(&self, stage: usize, message: &Message, content: Key, successes: u64) -> u32 {
        let mut failures = lock(&self.failures);
        let now = Instant::now();
        failures.retain(|failure| now.saturating_duration_since(failure.last) < FOR);
        if let Some(failure) = failures.iter_mut().find(|failure| failure.stage == stage && failure.content == content) {
            if successes > failure.successes {
                failure.times += 1;
                failure.successes = successes;
                failure.last = now;
            }
            return failure.times;
        }
        if failures.len() >= REMEMBERED {
            failures.pop_front();
        }
        let header = Key::of_header(message.headers.as_bytes());
        failures.push_back(Failure { stage, header, content, times: 1, successes, last: now });
        1
    }

    /// Whether a failure of one of these stages is remembered; almost always not.
    pub(super) fn concern(&self, mut stages: impl Iterator<Item = usize>) -> bool {
        let mut failures = lock(&self.failures);
        if failures.is_empty() {
            return false;
        }
        let now = Instant::now();
        failures.retain(|failure| now.saturating_duration_since(failure.last) < FOR);
        stages.any(|stage| failures.iter().any(|failure| failure.stage == stage))
    }

    /// How often `stage` has failed on a message with this header section.
    pub(super) fn failures_of_header(&self, stage: usize, header: Key) -> u32 {
        self.count(|failure| failure.stage == stage && failure.header == header)
    }
    /// And on this very content.
    pub(super) fn failures_of(&self, stage: usize, content: Key) -> u32 {
        self.count(|failure| failure.stage == stage && failure.content == content)
    }

    fn count(&self, is: impl Fn(&Failure) -> bool) -> u32 {
        let now = Instant::now();
        let failures = lock(&self.failures);
        failures.iter().filter(|f| is(f) && now.saturating_duration_since(f.last) < FOR).map(|f| f.times).max().unwrap_or(0)
    }
}

/// What a panic left behind is whole: every change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
