//! What there was, in numbers.
use crate::storage::{Row, Statement};
use crate::value::millis;
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What there was in a stretch of whole hours. Rows that were removed for want of room still count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Those in which there was something, in their order.
    pub hours: Vec<Hour>,
    /// Findings by name, and in how many messages each was; most frequent first.
    pub findings: Vec<(String, u64)>,
    /// Refused messages and commands by who refused them (a stage, `rule NAME`, an upstream,
    /// `gate`), most frequent first.
    pub refused_by: Vec<(String, u64)>,
    /// By kind, most frequent first.
    pub violations: Vec<(String, u64)>,
    /// Messages that were delivered without a stage having finished that was to.
    pub delivered_unfinished: u64,
}

/// What there was in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    pub begins: SystemTime,
    /// By what became of them: `delivered`, `rejected` …
    pub messages: BTreeMap<String, u64>,
    /// Commands that were refused before there was a message, by `rejected` and `deferred`.
    pub commands: BTreeMap<String, u64>,
    /// Connections that were turned away.
    pub connections: u64,
    pub violations: u64,
}

impl Summary {
    /// Messages by what became of them, over all hours.
    #[must_use]
    pub fn messages(&self) -> BTreeMap<&str, u64> {
        let mut all = BTreeMap::new();
        for (verdict, count) in self.hours.iter().flat_map(|hour| &hour.messages) {
            *all.entry(verdict.as_str()).or_default() += count;
        }
        all
    }

    /// Of rows of [`statement`]'s; one that is not understood is left out.
    pub(super) fn of(rows: &[Row]) -> Self {
        let (mut hours, mut findings, mut refused_by, mut violations) =
            (BTreeMap::<i64, Hour>::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut delivered_unfinished = 0;
        for row in rows {
            let (Ok(hour), Ok(what), Ok(value), Ok(count)) = (row.integer(0), row.text(1), row.text(2), row.integer(3)) else { continue };
            let count = u64::try_from(count).unwrap_or(0);
            let of_hour = hours.entry(hour).or_insert_with(|| Hour::new(hour));
            match what.as_str() {
                "message" => *of_hour.messages.entry(value).or_default() += count,
                "command" => *of_hour.commands.entry(value).or_default() += count,
                "connection" => of_hour.connections += count,
                "violation" => {
                    of_hour.violations += count;
                    *violations.entry(value).or_default() += count;
                }
                "finding" => *findings.entry(value).or_default() += count,
                "refused_by" => *refused_by.entry(value).or_default() += count,
                "unfinished" => delivered_unfinished += count,
                _ => {}
            }
        }
        Self {
            hours: hours.into_values().collect(),
            findings: most_frequent(findings),
            refused_by: most_frequent(refused_by),
            violations: most_frequent(violations),
            delivered_unfinished,
        }
    }
}

impl Hour {
    fn new(hour: i64) -> Self {
        let begins = UNIX_EPOCH + Duration::from_secs(u64::try_from(hour).unwrap_or(0) * 3600);
        Self { begins, messages: BTreeMap::new(), commands: BTreeMap::new(), connections: 0, violations: 0 }
    }
}

fn most_frequent(counts: BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

/// Hours since 1970.
pub(super) fn hour(at: SystemTime) -> i64 {
    millis(at) / 3_600_000
}

/// The hours from that of `from` to that of `to`, both included.
pub(super) fn statement(from: SystemTime, to: SystemTime) -> Statement {
    Statement::new("SELECT hour, what, value, count FROM journal_hour WHERE hour BETWEEN ?1 AND ?2").with(hour(from)).with(hour(to))
}
