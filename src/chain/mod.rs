//! The chain of stages: the contract, what stages say, the plan, and the one way into a stage.

mod breaker;
mod expression;
mod finding;
mod pattern;
pub mod plan;
pub mod rules;
pub mod runner;
mod scans;
pub(crate) mod settings;
mod stage;
mod verdict;
mod wants;
mod watch;

pub use breaker::{Breaker, BreakerSettings};
pub use expression::{Expression, Facts, Mistake, Vocabulary};
pub use finding::{FINDINGS, Finding, Known, Type, Value};
pub(crate) use pattern::Pattern;
pub use plan::{Chain, Configured, Mode, OnError};
pub use rules::Rules;
pub use runner::{Conclusion, Inspections, Question, StageTiming};
pub use stage::{ForRecipient, Inspection, Report, Stage, StageError};
pub use verdict::{Decision, Hold, HoldClass, Verdict};
pub use wants::Wants;

/// What can stand in a metric's label, in a log line and in a file name as it is.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests;
