//! What a filter answers to a command, and what its last word makes of a message.
use super::{changes::Changes, reply, wire::Packet};
use crate::{
    chain::{Finding, Report, StageError, Verdict},
    smtp::Refusal,
};

/// What a filter answers to a command.
#[derive(Debug)]
pub(super) enum Said {
    Continue,
    Accept,
    Discard,
    Skip,
    Refuse(Refusal),
}

const PROGRESS: u8 = b'p';

/// What a packet says that answers a command; `None`: that the answer takes its time.
///
/// # Errors
/// It is no answer, or the filter says that it cannot go on.
pub(super) fn said(packet: &Packet) -> Result<Option<Said>, StageError> {
    if packet.command != b'y' && !packet.data.is_empty() {
        // As Postfix does: of one that says more than there is to say, nobody knows what it means.
        let text = format!("its answer {:?} has {} octets of data", char::from(packet.command), packet.data.len());
        return Err(StageError::Failed(text.into()));
    }
    Ok(Some(match packet.command {
        PROGRESS => return Ok(None),
        b'c' => Said::Continue,
        b'a' => Said::Accept,
        b'd' => Said::Discard,
        b's' => Said::Skip,
        b'r' => Said::Refuse(reply::reject()),
        b't' => Said::Refuse(reply::tempfail()),
        // It is for this client to hear that it should come again later.
        b'4' => Said::Refuse(reply::shutdown()),
        b'y' => Said::Refuse(reply::custom(packet).map_err(|why| StageError::Failed(why.into()))?),
        b'f' => return Err(StageError::Failed("it says that it cannot go on".into())),
        other => return Err(StageError::Failed(format!("it answered {:?}, which is no answer", char::from(other)).into())),
    }))
}

/// The same at the end of a message, where changes may come before the last word.
///
/// # Errors
/// As [`said`]; or it asks for a change that was not agreed upon, that cannot be read, or that is too
/// much.
pub(super) fn said_at_end(packet: &Packet, changes: &mut Changes) -> Result<Option<Said>, StageError> {
    match changes.take(packet) {
        Some(taken) => taken.map(|()| None).map_err(|why| StageError::Failed(why.into())),
        None => said(packet),
    }
}

/// What the last word, and the changes before it, make of a message.
pub(super) fn report(said: Said, mut changes: Changes) -> Report {
    let mut report = Report::default();
    if let Some(hold) = changes.hold.take() {
        report.findings.push(Finding::text("milter.quarantine", hold.reason.clone()));
        report.verdict = Verdict::Quarantine(hold);
    }
    match said {
        Said::Continue | Said::Accept | Said::Skip => report.edits = changes.into_edits(),
        Said::Discard => report.verdict = report.verdict.or_stricter(Verdict::Discard),
        Said::Refuse(refusal) => {
            report.findings.push(Finding::text("milter.reply", refusal.to_string()));
            report.verdict = Verdict::Refuse(refusal);
        }
    }
    report
}
