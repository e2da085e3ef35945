//! Why a message fared as it did, in plain words: what somebody is told who asks on the phone.
use crate::console::Language;
use crate::journal::{Kind, Row, Stage};

/// Seconds beyond which a delay is worth a sentence.
const SLOW: f64 = 2.0;

/// Sentences, the most important first. They quote what servers and stages said, and are no markup.
#[must_use]
pub(super) fn explain(row: &Row, language: Language) -> Vec<String> {
    let mut sentences = vec![fate(row, language)];
    if row.details.held > 0 && row.verdict.as_deref() != Some("quarantined") {
        sentences.push(language.count("why.held_for", row.details.held));
    }
    let unfinished: Vec<&Stage> = row.details.stages.iter().filter(|stage| stage.incomplete.is_some()).collect();
    if !unfinished.is_empty() {
        let why = |stage: &Stage| language.t(&format!("incomplete.{}", stage.incomplete.as_deref().unwrap_or_default()));
        let names: Vec<_> = unfinished.iter().map(|stage| format!("{} ({})", stage.stage, why(stage))).collect();
        let key = if row.details.unfinished { "why.unfinished" } else { "why.not_all_finished" };
        sentences.push(language.with(key, &[("stages", &names.join(", "))]));
    }
    sentences.extend(delay(row, language));
    sentences
}

fn fate(row: &Row, language: Language) -> String {
    let reply = row.reply.as_deref().unwrap_or("–");
    let by = row.decided_by.as_deref().map(|by| language.decider(by));
    let upstream = row.upstream.as_deref().unwrap_or("–");
    let violations = row.violations.join(", ");
    let said = |key: &str| language.with(key, &[("reply", &reply), ("by", &by.as_deref().unwrap_or("–")), ("upstream", &upstream)]);
    match (row.kind, row.verdict.as_deref()) {
        (Kind::Connection, _) => said("why.turned_away"),
        (Kind::Violation, _) => language.with("why.violation", &[("violation", &violations)]),
        (Kind::Command, _) if by.is_some() => said("why.command_by_stage"),
        (Kind::Command, _) if row.upstream.is_some() => said("why.command_by_upstream"),
        (Kind::Command, _) => said("why.command"),
        (_, Some("delivered")) => said("why.delivered"),
        (_, Some("quarantined")) => said("why.quarantined"),
        (_, Some("discarded")) => said("why.discarded"),
        (_, Some("rejected" | "deferred")) if !violations.is_empty() => {
            language.with("why.refused_violation", &[("violation", &violations), ("reply", &reply)])
        }
        (_, Some("rejected")) if by.is_some() => said("why.rejected_by_stage"),
        (_, Some("rejected")) => said("why.rejected_by_upstream"),
        (_, Some("deferred")) if by.is_some() => said("why.deferred_by_stage"),
        (_, Some("deferred")) => said("why.deferred"),
        _ => said("why.lost"),
    }
}

/// Where the time went, if it was noticeable.
fn delay(row: &Row, language: Language) -> Option<String> {
    let delays = row.details.delays.filter(|delays| delays.total >= SLOW)?;
    let seconds = |seconds: f64| language.decimal(seconds, 1);
    let total = seconds(delays.total);
    let slowest = row.details.stages.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Some(match slowest {
        Some(stage) if delays.chain * 2.0 >= delays.total => {
            language.with("why.slow_chain", &[("total", &total), ("stage", &stage.stage), ("seconds", &seconds(stage.seconds))])
        }
        _ if delays.deliver * 2.0 >= delays.total => {
            language.with("why.slow_upstream", &[("total", &total), ("seconds", &seconds(delays.deliver))])
        }
        _ => language.with("why.slow_client", &[("total", &total), ("seconds", &seconds(delays.receive))]),
    })
}
