//! What rows add to the hours they are of.
use super::{
    row::{Kind, Row},
    summary::hour,
};
use crate::storage::Statement;
use crate::telemetry::Outcome;
use std::collections::BTreeMap;

/// How much of what there was in which hour, by what it was and then by value. Values are names of ours or
/// of the configuration.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<(i64, &'static str), BTreeMap<String, u64>>);

impl Tally {
    pub(super) fn add(&mut self, row: &Row) {
        let hour = hour(row.at);
        let mut count = |what, value: &str| {
            let counts = self.0.entry((hour, what)).or_default();
            // A name is copied once in a batch.
            match counts.get_mut(value) {
                Some(count) => *count += 1,
                None => _ = counts.insert(value.to_owned(), 1),
            }
        };
        if let Some(verdict) = row.verdict.as_deref() {
            count(row.kind.as_str(), verdict);
            if verdict == Outcome::Delivered.as_str() && row.details.unfinished {
                count("unfinished", "");
            }
            let is_refused = [Outcome::Rejected, Outcome::Deferred].iter().any(|outcome| outcome.as_str() == verdict);
            if is_refused && row.kind != Kind::Connection {
                count("refused_by", row.decided_by.as_deref().or(row.upstream.as_deref()).unwrap_or("gate"));
            }
        }
        for violation in &row.violations {
            count("violation", violation);
        }
        let findings = &row.details.findings;
        for (n, finding) in findings.iter().enumerate() {
            if !findings.iter().take(n).any(|other| other.name == finding.name) {
                count("finding", &finding.name);
            }
        }
    }

    pub(super) fn into_statements(self) -> impl Iterator<Item = Statement> {
        let counts = self.0.into_iter().flat_map(|((hour, what), counts)| counts.into_iter().map(move |count| (hour, what, count)));
        counts.map(|(hour, what, (value, count))| {
            let statement = "INSERT INTO journal_hour VALUES (?1, ?2, ?3, ?4) \
                             ON CONFLICT (hour, what, value) DO UPDATE SET count = count + excluded.count";
            Statement::new(statement).with(hour).with(what).with(value).with(count)
        })
    }
}
