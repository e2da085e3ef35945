//! What a service owes its manager and its administrator: notifications, a watchdog, files that
//! are watched.
use sd_notify::NotifyState;
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::runtime::Handle;

/// Tells systemd, where it runs us (sd_notify(3)); elsewhere this does nothing.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::warn!("sd_notify: {e}");
    }
}

/// What a reload is announced with: systemd wants to know when it began.
pub(super) fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(e) => tracing::warn!("sd_notify: {e}"),
    }
}

/// Feeds the watchdog, twice as often as `WatchdogSec=` asks, for as long as all `event_loops` turn;
/// for ever. Does nothing for ever where there is no watchdog.
pub(super) async fn feed_watchdog(event_loops: impl Fn() -> Vec<Handle>) {
    let Some(within) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let every = (within / 2).max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        if turn(event_loops(), every / 2).await {
            notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("a worker hangs: the watchdog is not fed");
        }
    }
}

/// Whether all of them run a task that does nothing, `within` that time.
async fn turn(event_loops: Vec<Handle>, within: Duration) -> bool {
    let all = async {
        for event_loop in event_loops {
            // One that has ended is not one that hangs.
            let _ = event_loop.spawn(async {}).await;
        }
    };
    tokio::time::timeout(within, all).await.is_ok()
}

/// What changes about a file when it is written or replaced; `None` while it is not there.
type Stamp = Option<(i64, i64, u64, u64)>;

/// Files that are looked at every few seconds: certificates, which other programs renew. No
/// notification from the kernel is as sure, since what is named is often a link into a directory
/// that is itself replaced.
#[derive(Debug)]
pub(super) struct WatchedFiles {
    files: Vec<PathBuf>,
    /// As they were when they were last read.
    read: Vec<Stamp>,
    /// As they were at the last look.
    seen: Vec<Stamp>,
}

impl WatchedFiles {
    /// Between two looks.
    pub(super) const EVERY: Duration = Duration::from_secs(3);

    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let now: Vec<_> = files.iter().map(|file| stamp(file)).collect();
        Self { files, read: now.clone(), seen: now }
    }

    /// These `files` from now on, for a configuration that was read after `before` was looked at: what
    /// was written since then is still news.
    pub(super) fn since(before: &Self, files: Vec<PathBuf>) -> Self {
        let mut new = Self::new(files);
        for (file, read) in new.files.iter().zip(&mut new.read) {
            if let Some(known) = before.files.iter().position(|known| known == file).and_then(|n| before.read.get(n)) {
                *read = *known;
            }
        }
        new
    }

    /// Whether they have changed, and have stood still since the last look: a certificate and its
    /// key are two files, and between the writing of one and of the other they do not fit.
    pub(super) fn have_changed(&mut self) -> bool {
        let now: Vec<_> = self.files.iter().map(|file| stamp(file)).collect();
        let settled = now == self.seen;
        self.seen = now;
        if settled && self.seen != self.read {
            self.read.clone_from(&self.seen);
            return true;
        }
        false
    }
}

fn stamp(file: &Path) -> Stamp {
    let data = fs::metadata(file).ok()?;
    Some((data.mtime(), data.mtime_nsec(), data.ino(), data.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_loop_that_hangs_is_found_out() {
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let handle = runtime.handle().clone();
        assert!(turn(vec![handle.clone()], Duration::from_secs(10)).await);
        handle.spawn(async move { hang.recv() });
        assert!(!turn(vec![handle.clone()], Duration::from_millis(50)).await);
        drop(release);
        assert!(turn(vec![handle.clone()], Duration::from_secs(10)).await);
        runtime.shutdown_background();
        assert!(turn(vec![handle], Duration::from_secs(10)).await, "it has ended");
    }

    #[test]
    fn a_change_is_told_once_and_when_it_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let [certificate, key] = ["cert", "key"].map(|name| directory.path().join(name));
        fs::write(&certificate, "1").unwrap();
        fs::write(&key, "1").unwrap();
        let mut files = WatchedFiles::new(vec![certificate.clone(), key.clone()]);
        assert!(!files.have_changed());
        fs::write(&certificate, "22").unwrap();
        assert!(!files.have_changed(), "the key may still be to come");
        fs::write(&key, "22").unwrap();
        assert!(!files.have_changed(), "it just came");
        assert!(files.have_changed());
        assert!(!files.have_changed(), "told already");
        fs::remove_file(&key).unwrap();
        assert!(!files.have_changed());
        assert!(files.have_changed(), "that it is gone is news as well");
    }

    #[test]
    fn what_is_written_while_a_configuration_is_read_is_not_missed() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| directory.path().join(name));
        fs::write(&old, "1").unwrap();
        let before = WatchedFiles::new(vec![old.clone()]);
        fs::write(&old, "22").unwrap();
        fs::write(&new, "1").unwrap();
        let mut files = WatchedFiles::since(&before, vec![new.clone(), old.clone()]);
        assert!(files.have_changed(), "it has stood still since");
        assert!(!files.have_changed());
        let before = WatchedFiles::new(vec![old.clone(), new.clone()]);
        assert!(!WatchedFiles::since(&before, vec![new, old]).have_changed());
    }
}
