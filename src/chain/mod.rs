//! The chain of stages: the contract, what stages say, the plan, and the one way into a stage.

mod finding;
pub mod plan;
pub mod runner;
mod stage;
mod verdict;

pub use finding::{Finding, Value};
pub use plan::{Chain, Configured, Mode, OnError};
pub use runner::{Conclusion, Inspections, StageTiming};
pub use stage::{Inspection, Report, Stage, StageError};
pub use verdict::{Decision, Verdict};
