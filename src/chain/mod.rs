//! The chain of stages: the contract, what stages say, the plan, and the one way into a stage.

mod expression;
mod finding;
mod pattern;
pub mod plan;
pub mod runner;
mod stage;
mod verdict;
mod wants;
mod watch;

pub use expression::{Expression, Facts, Mistake, Vocabulary};
pub use finding::{FINDINGS, Finding, Known, Type, Value};
pub(crate) use pattern::Pattern;
pub use plan::{Chain, Configured, Mode, OnError};
pub use runner::{Conclusion, Inspections, Question, StageTiming};
pub use stage::{ForRecipient, Inspection, Report, Stage, StageError};
pub use verdict::{Decision, Hold, HoldClass, Verdict};
pub use wants::Wants;

#[cfg(test)]
mod tests;
