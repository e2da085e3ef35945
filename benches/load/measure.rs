//! What a tree of processes has used, from `/proc`; and latencies.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A short wait where there is nothing to wait for but time.
pub(crate) const BREATH: Duration = Duration::from_millis(20);
/// The kernel's unit in `/proc/PID/stat` (USER_HZ), the same on every Linux this runs on.
const TICK: Duration = Duration::from_millis(10);
/// How often memory is looked at.
const SAMPLING: Duration = Duration::from_millis(200);

/// Lets time pass on a thread that runs no asynchronous code.
#[expect(clippy::disallowed_methods, reason = "the thread that drives the benchmark has no runtime to block")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A process and all that descend from it.
#[derive(Clone, Copy)]
pub(crate) struct Tree {
    pub(crate) root: u32,
}

impl Tree {
    /// The processes of the tree that live now, the root first.
    fn processes(self) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some((pid, stat)) = pid.and_then(|pid| Some((pid, Stat::read(pid)?))) {
                children.entry(stat.parent).or_default().push(pid);
            }
        }
        let mut all = vec![self.root];
        let mut next = 0;
        while let Some(pid) = all.get(next) {
            all.extend(children.get(pid).into_iter().flatten().copied().collect::<Vec<_>>());
            next += 1;
        }
        all
    }

    /// CPU time, user and system, of the tree: the living, and those of their children that have
    /// ended (a Postfix daemon ends after a hundred clients, and its time is its master's to tell).
    pub(crate) fn cpu(self) -> Duration {
        self.processes().into_iter().filter_map(|pid| Some(Stat::read(pid)?.cpu(pid))).sum()
    }

    /// Octets of memory resident now, each process by itself: what they share counts in each.
    pub(crate) fn resident(self) -> u64 {
        self.processes().into_iter().map(|pid| status(pid, "VmRSS:")).sum()
    }

    /// The same at each process's highest (VmHWM).
    fn peak(self) -> u64 {
        self.processes().into_iter().map(|pid| status(pid, "VmHWM:")).sum()
    }
}

/// Octets in a line of `/proc/PID/status`; 0 if there is no such process any more.
fn status(pid: u32, key: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10
}

/// What is used of `/proc/PID/stat` (proc(5)).
struct Stat {
    parent: u32,
    own: Duration,
    ended_children: Duration,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command's name stands in brackets and may hold blanks and brackets itself.
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |index: usize| Some(TICK * fields.get(index)?.parse::<u32>().ok()?);
        Some(Self { parent: fields.get(1)?.parse().ok()?, own: ticks(11)? + ticks(12)?, ended_children: ticks(13)? + ticks(14)? })
    }

    /// `stat` is right but counts in ticks and rounds down; `schedstat` counts in nanoseconds but
    /// only threads that still live. Neither can say too much, so the larger is the better.
    fn cpu(&self, pid: u32) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let exact = threads
            .filter_map(|thread| {
                let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
                text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
            })
            .sum::<Duration>();
        self.own.max(exact) + self.ended_children
    }
}

/// Watches the memory of a tree from a thread of its own.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    highest: Arc<AtomicU64>,
    tree: Tree,
}

impl Watch {
    pub(crate) fn start(tree: Tree) -> Self {
        let watch = Self { stop: Arc::default(), highest: Arc::default(), tree };
        let (stop, highest) = (Arc::clone(&watch.stop), Arc::clone(&watch.highest));
        // Without the thread the last look alone counts, which is right for a proxy that forks not.
        let _ = std::thread::Builder::new().name("watch".into()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                highest.fetch_max(tree.peak(), Ordering::Relaxed);
                pause(SAMPLING);
            }
        });
        watch
    }

    /// The highest sum of the processes' peaks at any look, in octets.
    pub(crate) fn highest(&self) -> u64 {
        self.highest.fetch_max(self.tree.peak(), Ordering::Relaxed);
        self.highest.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Measured times, all of them: a run is bounded, and so nothing is lost to buckets.
#[derive(Clone, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn record(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The `percent`-th percentile by nearest rank, in milliseconds; `None` of nothing.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).map(|time| time.as_secs_f64() * 1e3)
    }
}

/// The middle of some numbers; `None` of nothing.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}
