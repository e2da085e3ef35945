//! What octroi tells of itself: metrics, the log, traces.

pub mod guard;
pub mod http;
pub mod log;
mod metrics;
pub mod traces;

pub use metrics::{
    CommandWord, ConnectionResult, HandshakeResult, Holding, Incomplete, JournalDrop, ListenerMetrics, MessageTls, Metrics, Outcome, Phase,
    QuarantineDeletion, QuarantineFailure, ReplyClass, RuleMetrics, Sample, SignInResult, Snapshot, SpoolUse, StageMetrics, StageResult,
    TraceDrop, UpstreamFault, UpstreamMetrics, Violation,
};
