//! What octroi tells of itself: metrics, and the log.

pub mod http;
pub mod log;
mod metrics;

pub use metrics::{
    CommandWord, ConnectionResult, HandshakeResult, Incomplete, ListenerMetrics, Metrics, Outcome, Phase, QuarantineDeletion,
    QuarantineFailure, ReplyClass, RuleMetrics, StageMetrics, StageResult, UpstreamFault, UpstreamMetrics, Violation,
};
