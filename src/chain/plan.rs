//! The plan: stages as configured, cut into segments once, when the configuration is read.
//!
//! Consecutive stages that cannot edit form a segment and run concurrently; one that may edit
//! closes its segment, and what follows sees the message as edited. Only the first segment sees
//! the message while it arrives.
use super::{Breaker, BreakerSettings, Expression, Rules, Stage, Wants, scans::Scans};
use crate::{smtp::Refusal, telemetry::Metrics};
use std::{fmt, ops::Range, time::Duration};

/// What a stage's failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    Accept,
    #[default]
    Tempfail,
    Reject,
    Quarantine,
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
    /// For every single call into the stage.
    pub timeout: Duration,
    pub on_error: OnError,
    pub mode: Mode,
    /// Listeners it applies to; empty: all.
    pub listeners: Vec<Box<str>>,
    /// Transactions it applies to, besides.
    pub when: Option<Expression>,
    pub breaker: Breaker,
    /// Failures on the same message after which it is not given to it again; 0: any number.
    pub poison_after: u32,
}

/// All configured stages in order; one for the whole process.
pub struct Chain {
    stages: Vec<Configured>,
    wants: Vec<Wants>,
    /// One for each listener that a stage names, and one for all others, which is the last.
    plans: Vec<Plan>,
    /// Time all stages together have after the end of data.
    budget: Duration,
    rules: Rules,
    pub(super) scans: Scans,
}

/// What applies to a listener.
pub(super) struct Plan {
    listener: Option<Box<str>>,
    /// Places in the chain's list.
    pub(super) stages: Vec<usize>,
    /// Places in `stages`; together all of them.
    pub(super) segments: Vec<Range<usize>>,
    /// What any of the stages wants.
    pub(super) wants: Wants,
    /// Whether one of them shares answers over identical content.
    pub(super) shares: bool,
}

impl OnError {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Tempfail => "tempfail",
            Self::Reject => "reject",
            Self::Quarantine => "quarantine",
        }
    }

    /// What the client is told; `None` where the message goes on without the stage.
    #[must_use]
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            // Held at the end of the message; a command is let through.
            Self::Accept | Self::Quarantine => None,
            Self::Tempfail => Some(Refusal::temporary(51, "7.1", "service unavailable, try again later")),
            Self::Reject => Some(Refusal::permanent(54, "7.1", "service unavailable")),
        }
    }
}

impl Configured {
    /// How long a call may take where nothing is configured.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// Failures on the same message, where nothing else is said.
    pub const POISON_AFTER: u32 = 3;

    /// With the defaults of everything that every stage has.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>, kind: &'static str, stage: Box<dyn Stage>) -> Self {
        Self {
            name: name.into(),
            kind,
            stage,
            timeout: Self::TIMEOUT,
            on_error: OnError::default(),
            mode: Mode::default(),
            listeners: Vec::new(),
            when: None,
            breaker: Breaker::new(BreakerSettings::default()),
            poison_after: Self::POISON_AFTER,
        }
    }

    /// Whether its edits count.
    pub(super) fn edits(&self) -> bool {
        self.mode == Mode::Enforce && self.stage.may_edit()
    }

    fn applies_to(&self, listener: Option<&str>) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|own| Some(&**own) == listener)
    }
}

impl Chain {
    #[must_use]
    pub fn new(stages: Vec<Configured>, budget: Duration) -> Self {
        let wants: Vec<_> = stages.iter().map(|configured| configured.stage.wants()).collect();
        let mut listeners: Vec<Option<&str>> = Vec::new();
        for name in stages.iter().flat_map(|configured| &configured.listeners) {
            if !listeners.contains(&Some(name)) {
                listeners.push(Some(name));
            }
        }
        listeners.push(None);
        let plans = listeners.into_iter().map(|listener| Plan::new(listener, &stages, &wants)).collect();
        Self { stages, wants, plans, budget, rules: Rules::none(), scans: Scans::default() }
    }

    /// The same with rules after the stages.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }
    #[cfg(test)]
    pub(super) fn into_rules(self) -> Rules {
        self.rules
    }
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Where breakers and rules count.
    pub fn attach(&self, metrics: &Metrics) {
        for configured in &self.stages {
            configured.breaker.attach(metrics.stage(&configured.name));
        }
        self.rules.attach(metrics);
    }

    /// Gives the state of the breakers to the metrics.
    pub fn measure(&self) {
        self.stages.iter().for_each(|configured| configured.breaker.measure());
    }
    #[must_use]
    pub fn stages(&self) -> &[Configured] {
        &self.stages
    }
    #[must_use]
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// The place of a listener's plan.
    pub(super) fn plan_of(&self, listener: &str) -> usize {
        let named = self.plans.iter().position(|plan| plan.listener.as_deref() == Some(listener));
        named.unwrap_or(self.plans.len() - 1)
    }
    pub(super) fn plan(&self, place: usize) -> Option<&Plan> {
        self.plans.get(place)
    }
    /// The stage at a place of [`Plan::stages`], and what it wants.
    pub(super) fn stage(&self, place: usize) -> Option<(&Configured, Wants)> {
        self.stages.get(place).zip(self.wants.get(place).copied())
    }
}

impl Plan {
    fn new(listener: Option<&str>, all: &[Configured], wants: &[Wants]) -> Self {
        let mut plan =
            Self { listener: listener.map(Into::into), stages: Vec::new(), segments: Vec::new(), wants: Wants::NOTHING, shares: false };
        let mut start = 0;
        for (place, (configured, wants)) in all.iter().zip(wants).enumerate().filter(|(_, (c, _))| c.applies_to(listener)) {
            plan.stages.push(place);
            plan.wants = plan.wants | *wants;
            plan.shares |= configured.stage.reads_content_only();
            if configured.edits() {
                plan.segments.push(start..plan.stages.len());
                start = plan.stages.len();
            }
        }
        if start < plan.stages.len() {
            plan.segments.push(start..plan.stages.len());
        }
        plan
    }
}

/// As `octroi check` shows it, for every listener that has a chain of its own.
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alone = self.plans.len() == 1;
        for plan in &self.plans {
            match &plan.listener {
                Some(name) => writeln!(f, "chain of listener {name}:")?,
                None if alone => writeln!(f, "chain:")?,
                None => writeln!(f, "chain of all other listeners:")?,
            }
            if plan.stages.is_empty() {
                writeln!(f, "  no stages")?;
            }
            for (n, segment) in plan.segments.iter().enumerate() {
                let when = if n == 0 { "while the message arrives" } else { "after the end of data, as edited so far" };
                let together = if segment.len() > 1 { ", concurrently" } else { "" };
                writeln!(f, "  segment {}: {when}{together}", n + 1)?;
                for (configured, _) in plan.stages.get(segment.clone()).unwrap_or_default().iter().filter_map(|place| self.stage(*place)) {
                    writeln!(f, "    {configured}")?;
                }
            }
        }
        if !self.rules.is_empty() {
            write!(f, "{}", self.rules)?;
        }
        write!(f, "  budget after the end of data: {:?}", self.budget)
    }
}

impl fmt::Display for Configured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, timeout, on_error, .. } = self;
        write!(f, "{name} (type {kind}, timeout {timeout:?}, on_error {}", on_error.as_str())?;
        if self.edits() {
            f.write_str(", may edit")?;
        }
        if self.mode == Mode::Observe {
            f.write_str(", only observes")?;
        }
        if let Some(when) = &self.when {
            write!(f, ", when {}", when.text())?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chain::{Inspection, StageError},
        message::Client,
    };
    use std::sync::Arc;

    struct Editing(bool);
    #[async_trait::async_trait]
    impl Stage for Editing {
        fn may_edit(&self) -> bool {
            self.0
        }
        async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
            Err(StageError::Late)
        }
    }

    fn configured(name: &str, edits: bool, listeners: &[&str]) -> Configured {
        let listeners = listeners.iter().map(|name| (*name).into()).collect();
        Configured { listeners, ..Configured::new(name, "test", Box::new(Editing(edits))) }
    }
    fn segments(chain: &Chain, listener: &str) -> Vec<String> {
        let plan = chain.plan(chain.plan_of(listener)).unwrap();
        plan.segments
            .iter()
            .map(|segment| plan.stages[segment.clone()].iter().map(|place| &*chain.stages[*place].name).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn an_editing_stage_closes_its_segment() {
        let stages = ["a", "b", "C", "D", "e"].map(|name| configured(name, name == name.to_uppercase(), &[]));
        assert_eq!(segments(&Chain::new(stages.into(), Duration::ZERO), "mx"), ["a b C", "D", "e"]);
        assert!(segments(&Chain::new(vec![], Duration::ZERO), "mx").is_empty());
    }

    #[test]
    fn a_stage_that_only_observes_closes_nothing() {
        let observing = Configured { mode: Mode::Observe, ..configured("A", true, &[]) };
        assert_eq!(segments(&Chain::new(vec![observing, configured("b", false, &[])], Duration::ZERO), "mx"), ["A b"]);
    }

    #[test]
    fn a_listener_has_the_stages_that_name_it_or_none() {
        let stages = vec![configured("a", false, &[]), configured("B", true, &["mx", "lmtp"]), configured("c", false, &[])];
        let chain = Chain::new(stages, Duration::from_secs(120));
        assert_eq!(segments(&chain, "mx"), ["a B", "c"]);
        assert_eq!(segments(&chain, "lmtp"), ["a B", "c"]);
        assert_eq!(segments(&chain, "submission"), ["a c"]);
        assert_eq!(
            Chain::new(vec![configured("a", false, &[]), configured("B", true, &["mx"])], Duration::from_secs(120)).to_string(),
            "chain of listener mx:\n  \
               segment 1: while the message arrives, concurrently\n    \
                 a (type test, timeout 10s, on_error tempfail)\n    \
                 B (type test, timeout 10s, on_error tempfail, may edit)\n\
             chain of all other listeners:\n  \
               segment 1: while the message arrives\n    \
                 a (type test, timeout 10s, on_error tempfail)\n  \
               budget after the end of data: 120s"
        );
    }
}
