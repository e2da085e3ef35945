//! What octroi tells of itself: metrics, and the log.

mod metrics;

pub use metrics::{
    CommandWord, ConnectionResult, HandshakeResult, Incomplete, ListenerMetrics, Metrics, Outcome, Phase, ReplyClass, StageMetrics,
    StageResult, UpstreamFault, UpstreamMetrics, Violation,
};
