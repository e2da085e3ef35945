//! The metrics: what is counted, under which names ([the list](Metrics)), and who counts it.
//!
//! Every series stands at 0 from the start, so that `rate()` sees the first event. Handles are
//! looked up once, when listeners, stages and upstreams are made: the hot path only adds to an
//! atomic.
mod labels;
mod list;
mod read;
mod series;

pub use labels::{
    CommandWord, ConnectionResult, HandshakeResult, Incomplete, JournalDrop, MessageTls, Outcome, Phase, QuarantineDeletion,
    QuarantineFailure, ReplyClass, SignInResult, StageResult, TraceDrop, UpstreamFault, Violation,
};
pub use list::Metrics;
pub use read::{Sample, Snapshot};
pub use series::{ListenerMetrics, RuleMetrics, StageMetrics, UpstreamMetrics};

use prometheus::{Encoder, IntGaugeVec, TextEncoder};
use std::{
    borrow::Cow,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// The classes of what is held, as the chain names them.
const CLASSES: [&str; 5] = ["malware", "phishing", "spam", "policy", "incomplete"];

/// What is in the quarantine of one class.
#[derive(Debug, Clone, Copy, Default)]
pub struct Holding {
    pub entries: i64,
    /// Octets on disk.
    pub stored: i64,
    /// And those that may be.
    pub limit: i64,
    /// Entries that nobody has decided on.
    pub waiting: i64,
    /// Seconds that the oldest of those has waited.
    pub oldest: i64,
    /// Seconds after which entries are removed.
    pub keep: i64,
}

/// Octets of messages under way, in one place.
#[derive(Debug, Clone, Copy)]
pub struct SpoolUse {
    pub used: u64,
    pub limit: u64,
    /// Times that the limit left no room, since the start.
    pub shortages: u64,
}

impl Metrics {
    /// Registers everything, and sets to 0 what has no name of the configuration in it.
    ///
    /// # Errors
    /// Only where two metrics have one name, which the tests exclude.
    pub fn new() -> prometheus::Result<Arc<Self>> {
        let metrics = Self::register()?;
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        for class in CLASSES {
            metrics.quarantine_stored.with_label_values(&[class]);
            metrics.quarantine_holds(class, Holding::default());
        }
        for failure in QuarantineFailure::ALL {
            metrics.quarantine_failures.with_label_values(&[failure.as_str()]);
        }
        for why in QuarantineDeletion::ALL {
            metrics.quarantine_deleted.with_label_values(&[why.as_str()]);
        }
        for why in JournalDrop::ALL {
            metrics.journal_dropped.with_label_values(&[why.as_str()]);
        }
        for why in TraceDrop::ALL {
            metrics.traces_dropped.with_label_values(&[why.as_str()]);
        }
        for result in SignInResult::ALL {
            metrics.sign_ins.with_label_values(&[result.as_str()]);
        }
        Ok(Arc::new(metrics))
    }

    /// So many rows are missing from the journal.
    pub fn journal_dropped(&self, why: JournalDrop, rows: u64) {
        self.journal_dropped.with_label_values(&[why.as_str()]).inc_by(rows);
    }

    /// The traces of so many messages were not exported.
    pub fn traces_dropped(&self, why: TraceDrop, messages: u64) {
        self.traces_dropped.with_label_values(&[why.as_str()]).inc_by(messages);
    }

    /// Somebody tried to sign in to the console.
    pub fn signed_in(&self, result: SignInResult) {
        self.sign_ins.with_label_values(&[result.as_str()]).inc();
    }
    /// An entry of `class` was stored.
    pub fn quarantine_stored(&self, class: &str, took: Duration) {
        self.quarantine_stored.with_label_values(&[class]).inc();
        self.quarantine_duration.observe(took.as_secs_f64());
    }
    pub fn quarantine_failure(&self, why: QuarantineFailure) {
        self.quarantine_failures.with_label_values(&[why.as_str()]).inc();
    }
    /// So many entries were deleted.
    pub fn quarantine_deleted(&self, why: QuarantineDeletion, entries: u64) {
        self.quarantine_deleted.with_label_values(&[why.as_str()]).inc_by(entries);
    }
    /// To so many recipients.
    pub fn quarantine_released(&self, recipients: u64) {
        self.quarantine_released.inc_by(recipients);
    }
    /// What is in the quarantine of one class.
    pub fn quarantine_holds(&self, class: &str, holding: Holding) {
        let set = |family: &IntGaugeVec, value| family.with_label_values(&[class]).set(value);
        set(&self.quarantine_entries, holding.entries);
        set(&self.quarantine_bytes, holding.stored);
        set(&self.quarantine_limit, holding.limit);
        set(&self.quarantine_waiting, holding.waiting);
        set(&self.quarantine_oldest, holding.oldest);
        set(&self.quarantine_keep, holding.keep);
    }

    /// The certificates that `owner` serves, by their files, and when each stops being valid, in
    /// seconds since 1970. What he serves no longer is not told of: it would be expiring for ever.
    pub fn certificates<'a>(&self, owner: &'static str, certificates: impl Iterator<Item = (Cow<'a, str>, i64)>) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        for name in served.remove(owner).unwrap_or_default() {
            if !served.values().flatten().any(|other| *other == name) {
                // Where there is none there is nothing to forget.
                let _ = self.certificate_expiry.remove_label_values(&[&name]);
            }
        }
        let names = served.entry(owner).or_default();
        for (name, at) in certificates {
            self.certificate_expiry.with_label_values(&[&name]).set(at);
            names.push(name.into_owned());
        }
    }

    /// An upstream that is configured no longer: how it is says nothing any more, and an alert about
    /// it would never end. What was counted stays.
    pub fn forget_upstream(&self, name: &str) {
        for family in [&self.upstream_servers, &self.upstream_healthy, &self.upstream_limit] {
            let _ = family.remove_label_values(&[name]);
        }
    }

    /// The same for a stage.
    pub fn forget_stage(&self, name: &str) {
        let _ = self.stage_breaker.remove_label_values(&[name]);
    }

    /// Octets of messages under way, in memory and on disk.
    pub fn spool(&self, memory: SpoolUse, disk: SpoolUse) {
        let set = |place: &str, SpoolUse { used, limit, shortages }: SpoolUse| {
            self.spool_used.with_label_values(&[place]).set(used.try_into().unwrap_or(i64::MAX));
            self.spool_limit.with_label_values(&[place]).set(limit.try_into().unwrap_or(i64::MAX));
            let counter = self.spool_shortages.with_label_values(&[place]);
            counter.inc_by(shortages.saturating_sub(counter.get()));
        };
        set("memory", memory);
        set("disk", disk);
    }

    /// Everything, in the text format of Prometheus 0.0.4.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Err(e) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!("metrics: {e}");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_no_longer_is_not_told_of() {
        let metrics = Metrics::new().unwrap();
        let (_stage, _upstream) = (metrics.stage("old"), metrics.upstream("old"));
        metrics.certificates("console", [("shared.pem".into(), 3)].into_iter());
        metrics.certificates("listeners", [("old.pem".into(), 1), ("shared.pem".into(), 3)].into_iter());
        metrics.certificates("listeners", [("new.pem".into(), 2)].into_iter());
        metrics.forget_stage("old");
        metrics.forget_upstream("old");
        metrics.forget_upstream("old");
        let text = String::from_utf8(metrics.render()).unwrap();
        for name in ["octroi_upstream_servers", "octroi_stage_breaker_open", "octroi_tls_certificate"] {
            let stale = text.lines().find(|line| line.starts_with(name) && line.contains("old"));
            assert_eq!(stale, None);
        }
        for (name, at) in [("new", 2), ("shared", 3)] {
            let series = format!("octroi_tls_certificate_expiry_timestamp_seconds{{certificate=\"{name}.pem\"}} {at}");
            assert!(text.contains(&series), "{series} not in {text}");
        }
    }

    #[test]
    fn every_series_stands_at_zero_from_the_start() {
        let metrics = Metrics::new().unwrap();
        let listener = metrics.listener("mx");
        let _stage = metrics.stage("headers");
        let _upstream = metrics.upstream("default");
        listener.violation(Violation::Smuggling);
        let text = String::from_utf8(metrics.render()).unwrap();
        for line in [
            "octroi_violations_total{kind=\"smuggling\",listener=\"mx\"} 1",
            "octroi_violations_total{kind=\"nul\",listener=\"mx\"} 0",
            "octroi_stage_incomplete_total{reason=\"late\",stage=\"headers\"} 0",
            "octroi_upstream_errors_total{kind=\"garbage\",upstream=\"default\"} 0",
            "octroi_upstream_latency_seconds_count{phase=\"final_reply\",upstream=\"default\"} 0",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
