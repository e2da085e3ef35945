//! Every metric there is, in one list.
//!
//! Names begin with `octroi_` and end with their unit; label values are closed sets or come from
//! the configuration, never from a client; every series stands at 0 from the start, so that
//! `rate()` sees the first event. Handles are looked up once, when listeners, stages and upstreams
//! are made: the hot path only adds to an atomic.
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::{sync::Arc, time::Duration};

/// The classes of what is held, as the chain names them.
const CLASSES: [&str; 5] = ["malware", "phishing", "spam", "policy", "incomplete"];

/// A closed set of label values.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($variant),+ }
        impl $name {
            /// In the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// As it stands in the metrics and the log.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

labels! {
    /// What became of a connection at accept.
    ConnectionResult {
        Accepted = "accepted",
        TooMany = "too_many",
        TooManyFromClient = "too_many_from_client",
        Draining = "draining",
        BadProxyHeader = "bad_proxy_header",
    }
}
labels! {
    /// How a TLS handshake ended.
    HandshakeResult { Tls12 = "tlsv1.2", Tls13 = "tlsv1.3", Failed = "failed", TimedOut = "timed_out" }
}
labels! {
    /// Commands, as counted; whatever is none of them is `unknown`.
    CommandWord {
        Helo = "helo", Ehlo = "ehlo", Mail = "mail", Rcpt = "rcpt", Data = "data", Bdat = "bdat", Rset = "rset",
        Noop = "noop", Vrfy = "vrfy", Expn = "expn", Help = "help", Quit = "quit", StartTls = "starttls", Auth = "auth",
        Unknown = "unknown",
    }
}
labels! {
    /// The first digit of a reply.
    ReplyClass { Positive = "2", Intermediate = "3", Temporary = "4", Permanent = "5" }
}
labels! {
    /// What became of a message.
    Outcome {
        Delivered = "delivered",
        Quarantined = "quarantined",
        Discarded = "discarded",
        Rejected = "rejected",
        Deferred = "deferred",
        Lost = "lost",
    }
}
labels! {
    /// What a client did that no mail client does.
    Violation {
        Smuggling = "smuggling",
        BareNewline = "bare_newline",
        BareCr = "bare_cr",
        Nul = "nul",
        Pregreeting = "pregreeting",
        Pipelining = "pipelining",
        CommandInjection = "command_injection",
        ForbiddenCommand = "forbidden_command",
        UnknownCommand = "unknown_command",
        BadSyntax = "bad_syntax",
        BadSequence = "bad_sequence",
        LineTooLong = "line_too_long",
        TooManyErrors = "too_many_errors",
        TooSlow = "too_slow",
        TimedOut = "timed_out",
        MailLoop = "mail_loop",
        HeaderTooLong = "header_too_long",
        ForgedResults = "forged_results",
    }
}
labels! {
    /// What a call into a stage gave.
    StageResult { Pass = "pass", Refuse = "refuse", Discard = "discard", Quarantine = "quarantine", Edit = "edit", Incomplete = "incomplete" }
}
labels! {
    /// Why a stage did not finish.
    Incomplete {
        Late = "late",
        Panicked = "panicked",
        Failed = "failed",
        TooLarge = "too_large",
        BreakerOpen = "breaker_open",
        Poisoned = "poisoned",
    }
}
labels! {
    /// Why a message that was to be held was not stored.
    QuarantineFailure { NoRoom = "no_room", DiskFull = "disk_full", Late = "late", Broken = "broken" }
}
labels! {
    /// Why an entry of the quarantine was deleted.
    QuarantineDeletion { Reviewer = "reviewer", Age = "age" }
}
labels! {
    /// A step of a transaction with the upstream.
    Phase { Connect = "connect", Envelope = "envelope", FinalReply = "final_reply", Auth = "auth" }
}
labels! {
    /// What an upstream did wrong.
    UpstreamFault {
        Connect = "connect", Tls = "tls", Timeout = "timeout", Closed = "closed", Garbage = "garbage", Shutdown = "shutdown",
        NoneHealthy = "none_healthy", Io = "io",
        // It lacks what it is configured to have (XCLIENT, STARTTLS).
        Capability = "capability",
    }
}

impl HandshakeResult {
    /// Of one that succeeded, by its version, `TLSv1.2` or `TLSv1.3`.
    #[must_use]
    pub fn of(version: &str) -> Self {
        if version == "TLSv1.2" { Self::Tls12 } else { Self::Tls13 }
    }
}

impl ReplyClass {
    /// Of a reply code.
    #[must_use]
    pub fn of(code: u16) -> Self {
        match code {
            500.. => Self::Permanent,
            400..=499 => Self::Temporary,
            300..=399 => Self::Intermediate,
            _ => Self::Positive,
        }
    }
}

/// Counters by the values of a closed set.
type By = Box<[IntCounter]>;

fn count(counters: &[IntCounter], index: usize, by: u64) {
    if let Some(counter) = counters.get(index) {
        counter.inc_by(by);
    }
}

/// What one listener counts.
#[derive(Debug)]
pub struct ListenerMetrics {
    connections: By,
    handshakes: By,
    commands: By,
    replies: By,
    messages: By,
    violations: By,
    pub active: IntGauge,
    pub received_bytes: IntCounter,
    pub sent_bytes: IntCounter,
    pub recipients: IntCounter,
    pub auth_succeeded: IntCounter,
    pub auth_failed: IntCounter,
}

impl ListenerMetrics {
    pub fn connection(&self, result: ConnectionResult) {
        count(&self.connections, result as usize, 1);
    }
    pub fn handshake(&self, result: HandshakeResult) {
        count(&self.handshakes, result as usize, 1);
    }
    pub fn command(&self, command: CommandWord) {
        count(&self.commands, command as usize, 1);
    }
    pub fn commands(&self, command: CommandWord, by: u64) {
        count(&self.commands, command as usize, by);
    }
    pub fn replies(&self, class: ReplyClass, by: u64) {
        count(&self.replies, class as usize, by);
    }
    pub fn message(&self, outcome: Outcome) {
        count(&self.messages, outcome as usize, 1);
    }
    pub fn violation(&self, violation: Violation) {
        count(&self.violations, violation as usize, 1);
    }
}

/// What one stage counts.
#[derive(Debug)]
pub struct StageMetrics {
    results: By,
    incomplete: By,
    /// Seconds over one message.
    pub duration: Histogram,
    /// 1 while its circuit breaker is open.
    pub breaker_open: IntGauge,
}

impl StageMetrics {
    pub fn result(&self, result: StageResult) {
        count(&self.results, result as usize, 1);
    }
    pub fn incomplete(&self, why: Incomplete) {
        count(&self.incomplete, why as usize, 1);
    }
}

/// What one rule counts.
#[derive(Debug)]
pub struct RuleMetrics {
    pub matches: IntCounter,
}

/// What one upstream counts.
#[derive(Debug)]
pub struct UpstreamMetrics {
    faults: By,
    handshakes: By,
    replies: By,
    latency: Box<[Histogram]>,
    pub connects: IntCounter,
    pub reused: IntCounter,
    pub idle: IntGauge,
    pub busy: IntGauge,
    pub sent_bytes: IntCounter,
    /// Servers of it that answer.
    pub healthy: IntGauge,
}

impl UpstreamMetrics {
    pub fn fault(&self, fault: UpstreamFault) {
        count(&self.faults, fault as usize, 1);
    }
    pub fn handshake(&self, result: HandshakeResult) {
        count(&self.handshakes, result as usize, 1);
    }
    pub fn reply(&self, class: ReplyClass) {
        count(&self.replies, class as usize, 1);
    }
    /// Seconds one phase took.
    pub fn latency(&self, phase: Phase, seconds: f64) {
        if let Some(histogram) = self.latency.get(phase as usize) {
            histogram.observe(seconds);
        }
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    connections: IntCounterVec,
    active: IntGaugeVec,
    handshakes: IntCounterVec,
    commands: IntCounterVec,
    replies: IntCounterVec,
    messages: IntCounterVec,
    violations: IntCounterVec,
    received_bytes: IntCounterVec,
    sent_bytes: IntCounterVec,
    recipients: IntCounterVec,
    auth: IntCounterVec,
    stage_results: IntCounterVec,
    stage_incomplete: IntCounterVec,
    stage_breaker: IntGaugeVec,
    rule_matches: IntCounterVec,
    stage_duration: HistogramVec,
    upstream_faults: IntCounterVec,
    upstream_handshakes: IntCounterVec,
    upstream_replies: IntCounterVec,
    upstream_latency: HistogramVec,
    upstream_connections: IntCounterVec,
    upstream_open: IntGaugeVec,
    upstream_sent_bytes: IntCounterVec,
    upstream_healthy: IntGaugeVec,
    quarantine_stored: IntCounterVec,
    quarantine_failures: IntCounterVec,
    quarantine_deleted: IntCounterVec,
    quarantine_released: IntCounter,
    quarantine_entries: IntGaugeVec,
    quarantine_bytes: IntGaugeVec,
    quarantine_duration: Histogram,
    certificate_expiry: IntGaugeVec,
    spool_used: IntGaugeVec,
    spool_limit: IntGaugeVec,
    /// Octets of a message as received.
    pub message_size: Histogram,
    /// Seconds from the end of data to our reply.
    pub message_duration: Histogram,
    pub log_lines_dropped: IntCounter,
    pub reload_successful: IntGauge,
    pub reload_time: Gauge,
}

/// 5 ms to 60 s.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// 1 KiB to 256 MiB, by four.
const OCTETS: &[f64] = &[1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0, 268_435_456.0];

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Only where two metrics have one name, which the tests exclude.
    pub fn new() -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
            let vec = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let histograms = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<HistogramVec> {
            let vec = HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| -> prometheus::Result<Histogram> {
            let one = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?;
            registry.register(Box::new(one.clone()))?;
            Ok(one)
        };
        let info = gauges("octroi_build_info", "Always 1; the version is in the label.", &["version"])?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let log_lines_dropped =
            IntCounter::new("octroi_log_lines_dropped_total", "Log lines lost because the log was not read fast enough.")?;
        let quarantine_released =
            IntCounter::new("octroi_quarantine_released_total", "Recipients that entries of the quarantine were released to.")?;
        registry.register(Box::new(quarantine_released.clone()))?;
        let reload_successful =
            IntGauge::new("octroi_config_last_reload_successful", "Whether the last reading of the configuration succeeded.")?;
        let reload_time =
            Gauge::new("octroi_config_last_reload_success_timestamp_seconds", "When the configuration was last read with success.")?;
        registry.register(Box::new(log_lines_dropped.clone()))?;
        registry.register(Box::new(reload_successful.clone()))?;
        registry.register(Box::new(reload_time.clone()))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let metrics = Self {
            connections: counters("octroi_connections_total", "Connections by what became of them at accept.", &["listener", "result"])?,
            active: gauges("octroi_connections_active", "Connections open now.", &["listener"])?,
            handshakes: counters("octroi_tls_handshakes_total", "TLS handshakes with clients.", &["listener", "result"])?,
            commands: counters("octroi_commands_total", "SMTP commands received.", &["listener", "command"])?,
            replies: counters("octroi_replies_total", "SMTP replies sent, by their first digit.", &["listener", "class"])?,
            messages: counters("octroi_messages_total", "Messages by what became of them.", &["listener", "verdict"])?,
            violations: counters("octroi_violations_total", "What clients did that no mail client does.", &["listener", "kind"])?,
            received_bytes: counters("octroi_received_bytes_total", "Octets received from clients.", &["listener"])?,
            sent_bytes: counters("octroi_sent_bytes_total", "Octets sent to clients.", &["listener"])?,
            recipients: counters("octroi_recipients_total", "Recipients accepted.", &["listener"])?,
            auth: counters("octroi_auth_attempts_total", "AUTH exchanges forwarded.", &["listener", "result"])?,
            stage_results: counters("octroi_stage_results_total", "What stages said of messages.", &["stage", "result"])?,
            stage_incomplete: counters("octroi_stage_incomplete_total", "Stages that did not finish.", &["stage", "reason"])?,
            stage_breaker: gauges(
                "octroi_stage_breaker_open",
                "Whether a stage's circuit breaker is open: it failed too often and is not asked.",
                &["stage"],
            )?,
            rule_matches: counters("octroi_rule_matches_total", "Messages that a rule held for.", &["rule"])?,
            stage_duration: histograms("octroi_stage_duration_seconds", "Time a stage took over one message.", &["stage"])?,
            upstream_faults: counters("octroi_upstream_errors_total", "What upstreams did wrong.", &["upstream", "kind"])?,
            upstream_handshakes: counters(
                "octroi_upstream_tls_handshakes_total",
                "TLS handshakes with upstreams.",
                &["upstream", "result"],
            )?,
            upstream_replies: counters(
                "octroi_upstream_replies_total",
                "Replies of upstreams, by their first digit.",
                &["upstream", "class"],
            )?,
            upstream_latency: histograms("octroi_upstream_latency_seconds", "Time an upstream took for a step.", &["upstream", "phase"])?,
            upstream_connections: counters(
                "octroi_upstream_connections_total",
                "Transactions by whether their connection was opened for them or stood in the pool.",
                &["upstream", "source"],
            )?,
            upstream_open: gauges("octroi_upstream_connections_open", "Connections to upstreams now.", &["upstream", "state"])?,
            upstream_sent_bytes: counters("octroi_upstream_sent_bytes_total", "Octets sent to upstreams.", &["upstream"])?,
            upstream_healthy: gauges("octroi_upstream_servers_healthy", "Servers of an upstream that answer.", &["upstream"])?,
            quarantine_stored: counters("octroi_quarantine_stored_total", "Entries stored in the quarantine.", &["class"])?,
            quarantine_failures: counters(
                "octroi_quarantine_failures_total",
                "Messages that were to be held and could not be stored; their clients keep them.",
                &["reason"],
            )?,
            quarantine_deleted: counters("octroi_quarantine_deleted_total", "Entries of the quarantine that were deleted.", &["reason"])?,
            quarantine_released,
            quarantine_entries: gauges("octroi_quarantine_entries", "Entries in the quarantine, as of some seconds ago.", &["class"])?,
            quarantine_bytes: gauges(
                "octroi_quarantine_bytes",
                "Octets on disk of entries in the quarantine, as of some seconds ago.",
                &["class"],
            )?,
            quarantine_duration: histogram("octroi_quarantine_store_duration_seconds", "Time it took to store an entry.", SECONDS)?,
            certificate_expiry: gauges(
                "octroi_tls_certificate_expiry_timestamp_seconds",
                "When a certificate that is served stops being valid.",
                &["certificate"],
            )?,
            spool_used: gauges("octroi_spool_used_bytes", "Octets of messages under way.", &["place"])?,
            spool_limit: gauges("octroi_spool_limit_bytes", "Octets of messages under way that are allowed.", &["place"])?,
            message_size: histogram("octroi_message_size_bytes", "Size of messages as received.", OCTETS)?,
            message_duration: histogram("octroi_message_duration_seconds", "Time from the end of data to the reply.", SECONDS)?,
            log_lines_dropped,
            reload_successful,
            reload_time,
            registry,
        };
        for class in CLASSES {
            metrics.quarantine_stored.with_label_values(&[class]);
            metrics.quarantine_held(class, 0, 0);
        }
        for failure in QuarantineFailure::ALL {
            metrics.quarantine_failures.with_label_values(&[failure.as_str()]);
        }
        for why in QuarantineDeletion::ALL {
            metrics.quarantine_deleted.with_label_values(&[why.as_str()]);
        }
        Ok(Arc::new(metrics))
    }

    /// An entry of `class` was stored.
    pub fn quarantine_stored(&self, class: &str, took: Duration) {
        self.quarantine_stored.with_label_values(&[class]).inc();
        self.quarantine_duration.observe(took.as_secs_f64());
    }
    pub fn quarantine_failure(&self, why: QuarantineFailure) {
        self.quarantine_failures.with_label_values(&[why.as_str()]).inc();
    }
    pub fn quarantine_deleted(&self, why: QuarantineDeletion) {
        self.quarantine_deleted.with_label_values(&[why.as_str()]).inc();
    }
    /// To so many recipients.
    pub fn quarantine_released(&self, recipients: u64) {
        self.quarantine_released.inc_by(recipients);
    }
    /// What is in the quarantine of one class: entries, and octets on disk.
    pub fn quarantine_held(&self, class: &str, entries: i64, stored: i64) {
        self.quarantine_entries.with_label_values(&[class]).set(entries);
        self.quarantine_bytes.with_label_values(&[class]).set(stored);
    }

    /// The series of one listener.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        let by = |vec: &IntCounterVec, values: &mut dyn Iterator<Item = &'static str>| -> By {
            values.map(|value| vec.with_label_values(&[name, value])).collect()
        };
        Arc::new(ListenerMetrics {
            connections: by(&self.connections, &mut ConnectionResult::ALL.iter().map(|v| v.as_str())),
            handshakes: by(&self.handshakes, &mut HandshakeResult::ALL.iter().map(|v| v.as_str())),
            commands: by(&self.commands, &mut CommandWord::ALL.iter().map(|v| v.as_str())),
            replies: by(&self.replies, &mut ReplyClass::ALL.iter().map(|v| v.as_str())),
            messages: by(&self.messages, &mut Outcome::ALL.iter().map(|v| v.as_str())),
            violations: by(&self.violations, &mut Violation::ALL.iter().map(|v| v.as_str())),
            active: self.active.with_label_values(&[name]),
            received_bytes: self.received_bytes.with_label_values(&[name]),
            sent_bytes: self.sent_bytes.with_label_values(&[name]),
            recipients: self.recipients.with_label_values(&[name]),
            auth_succeeded: self.auth.with_label_values(&[name, "succeeded"]),
            auth_failed: self.auth.with_label_values(&[name, "failed"]),
        })
    }

    /// The series of one stage.
    #[must_use]
    pub fn stage(&self, name: &str) -> Arc<StageMetrics> {
        Arc::new(StageMetrics {
            results: StageResult::ALL.iter().map(|v| self.stage_results.with_label_values(&[name, v.as_str()])).collect(),
            incomplete: Incomplete::ALL.iter().map(|v| self.stage_incomplete.with_label_values(&[name, v.as_str()])).collect(),
            duration: self.stage_duration.with_label_values(&[name]),
            breaker_open: self.stage_breaker.with_label_values(&[name]),
        })
    }

    /// The series of one rule.
    #[must_use]
    pub fn rule(&self, name: &str) -> Arc<RuleMetrics> {
        Arc::new(RuleMetrics { matches: self.rule_matches.with_label_values(&[name]) })
    }

    /// The series of one upstream.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        Arc::new(UpstreamMetrics {
            faults: UpstreamFault::ALL.iter().map(|v| self.upstream_faults.with_label_values(&[name, v.as_str()])).collect(),
            handshakes: HandshakeResult::ALL.iter().map(|v| self.upstream_handshakes.with_label_values(&[name, v.as_str()])).collect(),
            replies: ReplyClass::ALL.iter().map(|v| self.upstream_replies.with_label_values(&[name, v.as_str()])).collect(),
            latency: Phase::ALL.iter().map(|v| self.upstream_latency.with_label_values(&[name, v.as_str()])).collect(),
            connects: self.upstream_connections.with_label_values(&[name, "new"]),
            reused: self.upstream_connections.with_label_values(&[name, "pool"]),
            idle: self.upstream_open.with_label_values(&[name, "idle"]),
            busy: self.upstream_open.with_label_values(&[name, "busy"]),
            sent_bytes: self.upstream_sent_bytes.with_label_values(&[name]),
            healthy: self.upstream_healthy.with_label_values(&[name]),
        })
    }

    /// When the certificate known by `name` (its file) stops being valid, seconds since 1970.
    pub fn certificate_expires(&self, name: &str, at: i64) {
        self.certificate_expiry.with_label_values(&[name]).set(at);
    }

    /// Octets of messages under way, in memory and on disk, each with its limit.
    pub fn spool(&self, memory: (u64, u64), disk: (u64, u64)) {
        let set = |place: &str, (used, limit): (u64, u64)| {
            self.spool_used.with_label_values(&[place]).set(used.try_into().unwrap_or(i64::MAX));
            self.spool_limit.with_label_values(&[place]).set(limit.try_into().unwrap_or(i64::MAX));
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
