//! What a stage's report comes to: its result for the books, and what of it counts. That a stage
//! which only observes changes nothing is seen to here.
use super::{State, Watch};
use crate::{
    chain::{
        Configured, Finding, Hold, HoldClass, Mode, OnError, Report, Verdict,
        finding::{INCOMPLETE, OBSERVED},
        runner::StageTiming,
    },
    message::Edit,
    telemetry::{Incomplete, StageResult},
};

impl Watch {
    /// What a report comes to: its result for the books, and what of it counts. The transaction is
    /// over for this stage.
    pub(in crate::chain) fn settle(&mut self, configured: &Configured, mut report: Report) -> (Report, Option<StageTiming>) {
        let transaction = std::mem::take(&mut self.transaction);
        let incomplete = match self.state {
            _ if transaction.poisoned => Some(Incomplete::Poisoned),
            State::Failed(why) if !transaction.excluded => Some(why),
            _ => None,
        };
        if incomplete.is_none() && transaction.called {
            configured.breaker.succeeded(&configured.name);
        }
        let result = match (&report.verdict, incomplete) {
            (_, Some(_)) => StageResult::Incomplete,
            (Verdict::Refuse(_), None) => StageResult::Refuse,
            (Verdict::Discard, None) => StageResult::Discard,
            (Verdict::Quarantine(_), None) => StageResult::Quarantine,
            (Verdict::Deliver, None) if report.edits.is_empty() => StageResult::Pass,
            (Verdict::Deliver, None) => StageResult::Edit,
        };
        report.findings.extend(self.observed.iter().cloned());
        report.findings.extend(transaction.observed);
        if let Some(why) = incomplete {
            report.findings.push(named(INCOMPLETE, configured, why.as_str()));
            report.verdict = unfinished(configured, why);
            report.recipients.clear();
            report.hold_original = None;
            if configured.mode == Mode::Observe {
                report.verdict = Verdict::Deliver;
            }
        } else if configured.mode == Mode::Observe {
            match &report.verdict {
                Verdict::Deliver => {}
                Verdict::Discard => report.findings.push(named(OBSERVED, configured, "discard")),
                Verdict::Quarantine(hold) => report.findings.push(named(OBSERVED, configured, &format!("quarantine: {}", hold.reason))),
                Verdict::Refuse(refusal) => report.findings.push(named(OBSERVED, configured, &format!("refuse: {refusal}"))),
            }
            if !report.edits.is_empty() {
                report.findings.push(named(OBSERVED, configured, &format!("{} edits", report.edits.len())));
            }
            if !report.recipients.is_empty() {
                let what = format!("other fates for {} recipients", report.recipients.len());
                report.findings.push(named(OBSERVED, configured, &what));
            }
            if let Some(hold) = report.hold_original.take() {
                report.findings.push(named(OBSERVED, configured, &format!("hold the original: {}", hold.reason)));
            }
            report.verdict = Verdict::Deliver;
            report.edits.clear();
            report.recipients.clear();
        } else if !report.edits.is_empty() {
            sift(configured, &mut report);
        }
        let timing = (transaction.called || incomplete.is_some()).then(|| StageTiming {
            stage: configured.name.clone(),
            took: transaction.clock.took,
            calls: transaction.clock.calls,
            incomplete,
            result,
            findings: report.findings.len(),
        });
        (report, timing)
    }
}

/// What a message comes to that a stage has not finished with.
fn unfinished(configured: &Configured, why: Incomplete) -> Verdict {
    match (configured.on_error, configured.on_error.refusal()) {
        (_, Some(refusal)) => Verdict::Refuse(refusal),
        (OnError::Quarantine, None) => {
            let reason = format!("{} could not inspect it ({})", configured.name, why.as_str());
            Verdict::Quarantine(Hold { class: HoldClass::Incomplete, reason: reason.into() })
        }
        (_, None) => Verdict::Deliver,
    }
}

/// Edits that cannot be applied, or that the stage has no business to ask for, are left out.
fn sift(configured: &Configured, report: &mut Report) {
    let before = report.edits.len();
    if configured.stage.may_edit() {
        report.edits.retain(Edit::is_valid);
    } else {
        report.edits.clear();
    }
    if report.edits.len() < before {
        let dropped = before - report.edits.len();
        tracing::warn!(stage = %configured.name, dropped, may_edit = configured.stage.may_edit(), "edits left out");
    }
}

pub(super) fn named(name: &'static str, configured: &Configured, what: &str) -> Finding {
    Finding::text(name, format!("{}: {what}", configured.name))
}
