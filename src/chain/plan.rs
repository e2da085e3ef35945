//! The plan: stages as configured, cut into segments once, when the configuration is read.
use super::Stage;
use std::time::Duration;

/// What a stage's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    Accept,
    #[default]
    Tempfail,
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Enforce,
    /// Reports what it would have done and changes nothing.
    Observe,
}

/// A stage as the configuration names it.
pub struct Configured {
    pub name: Box<str>,
    /// The kind, from the table in `stages`.
    pub kind: &'static str,
    pub stage: Box<dyn Stage>,
    pub timeout: Duration,
    pub on_error: OnError,
    pub mode: Mode,
    /// Listeners it applies to; empty: all.
    pub listeners: Vec<Box<str>>,
}

/// All configured stages in order; one for the whole process.
pub struct Chain {
    stages: Vec<Configured>,
    /// Time all stages together have after the end of data.
    budget: Duration,
}

impl Chain {
    #[must_use]
    pub fn new(stages: Vec<Configured>, budget: Duration) -> Self {
        Self { stages, budget }
    }
    #[must_use]
    pub fn stages(&self) -> &[Configured] {
        &self.stages
    }
    #[must_use]
    pub fn budget(&self) -> Duration {
        self.budget
    }
}
