//! The certificates of a running service: which files they are in, whether those have changed, and who
//! obtains one.
use crate::{acme, console, gate::Setup, telemetry::Metrics};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

/// Who sees to certificates of our own; dropped, it ends.
pub(super) struct Acme {
    pub(super) settings: acme::Settings,
    /// Ends its pauses.
    pub(super) again: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Acme {
    pub(super) fn start(settings: Option<acme::Settings>, console: acme::Console, metrics: &Arc<Metrics>) -> Option<Self> {
        let (settings, again) = (settings?, Arc::new(Notify::new()));
        let task = tokio::spawn(acme::keep(settings.clone(), console, Arc::clone(metrics), Arc::clone(&again)));
        Some(Self { settings, again, task })
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The files that are watched.
pub(super) fn files(gate: &Setup, console: &console::Settings) -> Vec<PathBuf> {
    let shown = gate.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref()?.certificate());
    let pairs = console.certificate.iter().chain(shown.map(|certificate| &certificate.files));
    let mut files = gate.settings.tls.files();
    files.extend(pairs.flat_map(|files| [files.certificate.clone(), files.private_key.clone()]));
    files
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
