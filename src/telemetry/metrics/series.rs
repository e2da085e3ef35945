//! What a listener, a stage, a rule and an upstream count: their own series, looked up once.
use super::{
    Metrics,
    labels::{
        CommandWord, ConnectionResult, HandshakeResult, Incomplete, MessageTls, Outcome, Phase, ReplyClass, StageResult, UpstreamFault,
        Violation,
    },
};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use std::sync::Arc;

/// Counters by the values of a closed set.
type By = Box<[IntCounter]>;

/// The series of `name`, one for each value.
fn by<'a>(family: &IntCounterVec, name: &str, values: impl Iterator<Item = &'a str>) -> By {
    values.map(|value| family.with_label_values(&[name, value])).collect()
}

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
    messages_by_tls: By,
    violations: By,
    /// Delivered although a stage had not finished with them.
    pub incomplete: IntCounter,
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
    /// A message arrived to its end, over this version of TLS.
    pub fn arrived(&self, tls: MessageTls) {
        count(&self.messages_by_tls, tls as usize, 1);
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
    pub findings: IntCounter,
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
    /// Connections that may be open at once.
    pub limit: IntGauge,
    pub sent_bytes: IntCounter,
    /// Servers it has.
    pub servers: IntGauge,
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

impl Metrics {
    /// The series of one listener.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        Arc::new(ListenerMetrics {
            connections: by(&self.connections, name, ConnectionResult::ALL.iter().map(|v| v.as_str())),
            handshakes: by(&self.handshakes, name, HandshakeResult::ALL.iter().map(|v| v.as_str())),
            commands: by(&self.commands, name, CommandWord::ALL.iter().map(|v| v.as_str())),
            replies: by(&self.replies, name, ReplyClass::ALL.iter().map(|v| v.as_str())),
            messages: by(&self.messages, name, Outcome::ALL.iter().map(|v| v.as_str())),
            messages_by_tls: by(&self.messages_by_tls, name, MessageTls::ALL.iter().map(|v| v.as_str())),
            incomplete: self.messages_incomplete.with_label_values(&[name]),
            violations: by(&self.violations, name, Violation::ALL.iter().map(|v| v.as_str())),
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
            results: by(&self.stage_results, name, StageResult::ALL.iter().map(|v| v.as_str())),
            incomplete: by(&self.stage_incomplete, name, Incomplete::ALL.iter().map(|v| v.as_str())),
            findings: self.stage_findings.with_label_values(&[name]),
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
            faults: by(&self.upstream_faults, name, UpstreamFault::ALL.iter().map(|v| v.as_str())),
            handshakes: by(&self.upstream_handshakes, name, HandshakeResult::ALL.iter().map(|v| v.as_str())),
            replies: by(&self.upstream_replies, name, ReplyClass::ALL.iter().map(|v| v.as_str())),
            latency: Phase::ALL.iter().map(|v| self.upstream_latency.with_label_values(&[name, v.as_str()])).collect(),
            connects: self.upstream_connections.with_label_values(&[name, "new"]),
            reused: self.upstream_connections.with_label_values(&[name, "pool"]),
            idle: self.upstream_open.with_label_values(&[name, "idle"]),
            busy: self.upstream_open.with_label_values(&[name, "busy"]),
            limit: self.upstream_limit.with_label_values(&[name]),
            servers: self.upstream_servers.with_label_values(&[name]),
            sent_bytes: self.upstream_sent_bytes.with_label_values(&[name]),
            healthy: self.upstream_healthy.with_label_values(&[name]),
        })
    }
}
