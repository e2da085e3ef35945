//! Every metric there is, in one list, with its labels and what it means.
//!
//! Names begin with `octroi_` and end with their unit; label values are closed sets or come from
//! the configuration, never from a client.
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
    core::Collector,
};
use std::{collections::BTreeMap, sync::Mutex};

/// 1 ms to two minutes.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// 1 KiB to 256 MiB, by four.
const OCTETS: &[f64] = &[1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0, 268_435_456.0];

/// A field for each metric, and all of them registered under their names.
macro_rules! list {
    ($($(#[$meta:meta])* $visible:vis $field:ident: $type:ty = $make:ident($($argument:expr),+ $(,)?);)+) => {
        /// All metrics of the process.
        #[derive(Debug)]
        pub struct Metrics {
            pub(super) registry: Registry,
            /// The certificates that each part of the program serves.
            pub(super) served: Mutex<BTreeMap<&'static str, Vec<String>>>,
            $($(#[$meta])* $visible $field: $type,)+
        }

        impl Metrics {
            /// # Errors
            /// Two metrics have one name, or a name is none; the tests exclude both.
            pub(super) fn register() -> Result<Self> {
                let registry = Registry::new();
                registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
                Ok(Self { $($field: $make(&registry, $($argument),+)?,)+ registry, served: Mutex::default() })
            }
        }
    };
}

list! {
    pub(super) build_info: IntGaugeVec =
        gauges("octroi_build_info", &["version"], "Always 1; the version is in the label.");
    pub log_lines_dropped: IntCounter =
        counter("octroi_log_lines_dropped_total", "Log lines lost because the log was not read fast enough.");
    pub acme_obtained: IntCounter = counter("octroi_acme_certificates_total", "Certificates that were obtained from the authority of [tls.acme].");
    pub acme_failures: IntCounter = counter("octroi_acme_failures_total", "Orders for a certificate that failed; the old one is served.");
    pub reload_successful: IntGauge =
        gauge("octroi_config_last_reload_successful", "Whether the last reading of the configuration succeeded.");
    pub reload_time: Gauge =
        time("octroi_config_last_reload_success_timestamp_seconds", "When the configuration was last read with success.");

    // Clients.
    pub(super) connections: IntCounterVec =
        counters("octroi_connections_total", &["listener", "result"], "Connections by what became of them at accept.");
    pub(super) active: IntGaugeVec =
        gauges("octroi_connections_active", &["listener"], "Connections open now.");
    pub connections_limit: IntGauge =
        gauge("octroi_connections_limit", "Connections that may be open at once, over all listeners.");
    pub(super) handshakes: IntCounterVec =
        counters("octroi_tls_handshakes_total", &["listener", "result"], "TLS handshakes with clients.");
    pub(super) certificate_expiry: IntGaugeVec =
        gauges("octroi_tls_certificate_expiry_timestamp_seconds", &["certificate"], "When a certificate that is served, or shown to an upstream, stops being valid.");
    pub tls_placeholder: IntGauge =
        gauge("octroi_tls_placeholder", "Whether listeners have a self-signed certificate, as [tls.acme] has obtained none yet.");
    pub(super) commands: IntCounterVec =
        counters("octroi_commands_total", &["listener", "command"], "SMTP commands received.");
    pub(super) replies: IntCounterVec =
        counters("octroi_replies_total", &["listener", "class"], "SMTP replies sent, by their first digit.");
    pub(super) recipients: IntCounterVec =
        counters("octroi_recipients_total", &["listener"], "Recipients accepted.");
    pub(super) auth: IntCounterVec =
        counters("octroi_auth_attempts_total", &["listener", "result"], "AUTH exchanges forwarded.");
    pub(super) violations: IntCounterVec =
        counters("octroi_violations_total", &["listener", "kind"], "What clients did that no mail client does.");
    pub(super) received_bytes: IntCounterVec =
        counters("octroi_received_bytes_total", &["listener"], "Octets received from clients.");
    pub(super) sent_bytes: IntCounterVec =
        counters("octroi_sent_bytes_total", &["listener"], "Octets sent to clients.");

    // Messages.
    pub(super) messages: IntCounterVec =
        counters("octroi_messages_total", &["listener", "verdict"], "Messages by what became of them.");
    pub(super) messages_by_tls: IntCounterVec = counters(
        "octroi_messages_by_tls_total",
        &["listener", "version"],
        "Messages that arrived to their end, by the version of TLS they came over.",
    );
    pub(super) messages_incomplete: IntCounterVec = counters(
        "octroi_messages_incomplete_total",
        &["listener"],
        "Messages delivered although a stage had not finished with them (X-Octroi-Incomplete).",
    );
    /// Octets of a message as received.
    pub message_size: Histogram =
        histogram("octroi_message_size_bytes", OCTETS, "Size of messages as received.");
    /// Seconds from the end of data to our reply.
    pub message_duration: Histogram =
        histogram("octroi_message_duration_seconds", SECONDS, "Time from the end of data to the reply.");
    pub(super) spool_used: IntGaugeVec =
        gauges("octroi_spool_used_bytes", &["place"], "Octets of messages under way.");
    pub(super) spool_limit: IntGaugeVec =
        gauges("octroi_spool_limit_bytes", &["place"], "Octets of messages under way that are allowed.");
    pub(super) spool_shortages: IntCounterVec = counters(
        "octroi_spool_shortages_total",
        &["place"],
        "Times that a limit on messages under way left no room. Of memory: a message goes to disk, or waits; of disk: its client is told later.",
    );

    // The chain.
    pub(super) stage_results: IntCounterVec =
        counters("octroi_stage_results_total", &["stage", "result"], "What stages said of messages.");
    pub(super) stage_incomplete: IntCounterVec =
        counters("octroi_stage_incomplete_total", &["stage", "reason"], "Stages that did not finish.");
    pub(super) stage_findings: IntCounterVec =
        counters("octroi_stage_findings_total", &["stage"], "What stages found in messages, for rules and people to see.");
    pub(super) stage_duration: HistogramVec =
        histograms("octroi_stage_duration_seconds", &["stage"], "Time a stage took over one message.");
    pub(super) stage_breaker: IntGaugeVec =
        gauges("octroi_stage_breaker_open", &["stage"], "Whether a stage's circuit breaker is open: it failed too often and is not asked.");
    pub(super) rule_matches: IntCounterVec =
        counters("octroi_rule_matches_total", &["rule"], "Messages that a rule held for.");

    // Upstreams.
    pub(super) upstream_faults: IntCounterVec =
        counters("octroi_upstream_errors_total", &["upstream", "kind"], "What upstreams did wrong.");
    pub(super) upstream_handshakes: IntCounterVec =
        counters("octroi_upstream_tls_handshakes_total", &["upstream", "result"], "TLS handshakes with upstreams.");
    pub(super) upstream_replies: IntCounterVec =
        counters("octroi_upstream_replies_total", &["upstream", "class"], "Replies of upstreams, by their first digit.");
    pub(super) upstream_latency: HistogramVec =
        histograms("octroi_upstream_latency_seconds", &["upstream", "phase"], "Time an upstream took for a step.");
    pub(super) upstream_connections: IntCounterVec = counters(
        "octroi_upstream_connections_total",
        &["upstream", "source"],
        "Transactions by whether their connection was opened for them or stood in the pool.",
    );
    pub(super) upstream_open: IntGaugeVec =
        gauges("octroi_upstream_connections_open", &["upstream", "state"], "Connections to upstreams now.");
    pub(super) upstream_limit: IntGaugeVec =
        gauges("octroi_upstream_connections_limit", &["upstream"], "Connections to an upstream that may be open at once.");
    pub(super) upstream_sent_bytes: IntCounterVec =
        counters("octroi_upstream_sent_bytes_total", &["upstream"], "Octets sent to upstreams.");
    pub(super) upstream_servers: IntGaugeVec =
        gauges("octroi_upstream_servers", &["upstream"], "Servers that an upstream has.");
    pub(super) upstream_healthy: IntGaugeVec =
        gauges("octroi_upstream_servers_healthy", &["upstream"], "Servers of an upstream that answer.");

    // The quarantine.
    pub(super) quarantine_stored: IntCounterVec =
        counters("octroi_quarantine_stored_total", &["class"], "Entries stored in the quarantine.");
    pub(super) quarantine_failures: IntCounterVec = counters(
        "octroi_quarantine_failures_total",
        &["reason"],
        "Messages that were to be held and could not be stored; their clients keep them.",
    );
    pub(super) sign_ins: IntCounterVec =
        counters("octroi_console_sign_ins_total", &["result"], "Attempts to sign in to the console.");
    pub(super) quarantine_deleted: IntCounterVec =
        counters("octroi_quarantine_deleted_total", &["reason"], "Entries of the quarantine that were deleted, here or by the command line, as of some seconds ago.");
    pub(super) quarantine_released: IntCounter =
        counter("octroi_quarantine_released_total", "Recipients that entries of the quarantine were released to, here or by the command line, as of some seconds ago.");
    pub(super) quarantine_entries: IntGaugeVec =
        gauges("octroi_quarantine_entries", &["class"], "Entries in the quarantine, as of some seconds ago.");
    pub(super) quarantine_bytes: IntGaugeVec =
        gauges("octroi_quarantine_bytes", &["class"], "Octets on disk of entries in the quarantine, as of some seconds ago.");
    pub(super) quarantine_limit: IntGaugeVec =
        gauges("octroi_quarantine_limit_bytes", &["class"], "Octets on disk that a class of the quarantine may take.");
    pub(super) quarantine_waiting: IntGaugeVec =
        gauges("octroi_quarantine_waiting", &["class"], "Entries that nobody has decided on yet, as of some seconds ago.");
    pub(super) quarantine_oldest: IntGaugeVec = gauges(
        "octroi_quarantine_oldest_age_seconds",
        &["class"],
        "How long the oldest entry that nobody has decided on has waited; 0 where none waits.",
    );
    pub(super) quarantine_keep: IntGaugeVec =
        gauges("octroi_quarantine_keep_seconds", &["class"], "Age at which entries of a class are removed.");
    pub(super) quarantine_duration: Histogram =
        histogram("octroi_quarantine_store_duration_seconds", SECONDS, "Time it took to store an entry.");

    // The journal.
    pub journal_rows: IntCounter =
        counter("octroi_journal_rows_total", "Rows written to the journal.");
    pub(super) journal_dropped: IntCounterVec =
        counters("octroi_journal_dropped_total", &["reason"], "Messages and refusals that have no row in the journal.");
    pub journal_unexamined: IntCounter = counter(
        "octroi_journal_unexamined_total",
        "Messages whose attachments and URLs the journal does not have: it was busy, late, or they were too much.",
    );
    pub journal_bytes: IntGauge =
        gauge("octroi_journal_bytes", "Octets on disk of rows in the journal, as of some seconds ago.");
    pub journal_limit: IntGauge =
        gauge("octroi_journal_limit_bytes", "Octets on disk that the journal may take.");
    pub journal_oldest: IntGauge =
        gauge("octroi_journal_oldest_timestamp_seconds", "When the oldest row of the journal was written; 0 where it is empty.");

    // Traces.
    pub traces_exported: IntCounter =
        counter("octroi_traces_exported_total", "Messages whose spans the receiver of [traces] took.");
    pub(super) traces_dropped: IntCounterVec =
        counters("octroi_traces_dropped_total", &["reason"], "Messages that were to be exported as spans, and were not.");
    pub traces_rejected_spans: IntCounter =
        counter("octroi_traces_rejected_spans_total", "Spans that the receiver says it threw away (OTLP's partial success).");
}

fn registered<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> Result<T> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter> {
    registered(registry, IntCounter::new(name, help)?)
}

fn counters(registry: &Registry, name: &str, labels: &[&str], help: &str) -> Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    registered(registry, IntGauge::new(name, help)?)
}

fn gauges(registry: &Registry, name: &str, labels: &[&str], help: &str) -> Result<IntGaugeVec> {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn time(registry: &Registry, name: &str, help: &str) -> Result<Gauge> {
    registered(registry, Gauge::new(name, help)?)
}

fn histogram(registry: &Registry, name: &str, buckets: &[f64], help: &str) -> Result<Histogram> {
    registered(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
}

/// Of seconds.
fn histograms(registry: &Registry, name: &str, labels: &[&str], help: &str) -> Result<HistogramVec> {
    registered(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)?)
}
