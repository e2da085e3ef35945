//! What octroi tells of itself: metrics, and the log.

pub mod guard;
pub mod http;
pub mod log;
mod metrics;

pub use metrics::{
    CommandWord, ConnectionResult, HandshakeResult, Holding, Incomplete, JournalDrop, ListenerMetrics, MessageTls, Metrics, Outcome, Phase,
    QuarantineDeletion, QuarantineFailure, ReplyClass, RuleMetrics, Sample, SignInResult, Snapshot, SpoolUse, StageMetrics, StageResult,
    UpstreamFault, UpstreamMetrics, Violation,
};
