//! Takes parts out of a message and puts a note in the place of each. The original is held.
//!
//! That is done where there is no doubt what is taken out: in a message that all programs cut the
//! same way, of a part that stands in the message itself. Anything else is held as a whole.
use super::{
    Act, FIELD, FIELDS, Judgement, LONGEST, MOST, Policy, conclude,
    note::{Note, Removed},
    path, tag,
};
use crate::{
    chain::{Finding, Hold, HoldClass, Report, StageError},
    message::{Anomaly, Edit, Files, Message, Readings},
    value::Id,
};
use bytes::{Bytes, BytesMut};
use std::{collections::BTreeMap, ops::Range};

/// What programs may take in different ways without cutting the message differently.
const HARMLESS: &[Anomaly] = &[Anomaly::Tnef, Anomaly::NameConflict, Anomaly::NameDeceptive, Anomaly::CharsetUtf7, Anomaly::CharsetWide];

/// Why something cannot be taken out.
type InTheWay = &'static str;

/// Takes out what `judgements` say; where that cannot be done the message is held.
///
/// # Errors
/// The message cannot be read, or there is no memory for another one.
pub(super) async fn strip(
    policy: &Policy,
    id: Option<Id>,
    message: &Message,
    files: &Files,
    judgements: &[Judgement],
    report: &mut Report,
) -> Result<(), StageError> {
    let readings = message.readings().await?;
    let removed = match removed(message, readings, judgements) {
        Ok(removed) => removed,
        Err(why) => {
            let judgements = judgements.iter().map(|judgement| match judgement.act {
                Act::Strip => Judgement { what: format!("{}; not taken out, {why}", judgement.what), ..judgement.clone() },
                _ => judgement.clone(),
            });
            conclude(judgements.collect(), report);
            return Ok(());
        }
    };
    tag(judgements, report);
    let notes = removed.iter().map(|(part, judgement)| note(files, *part, judgement));
    let notes: Vec<(Note, &Judgement)> = notes.map(|(what, judgement)| (Note::new(&what, id, &policy.contact), judgement)).collect();
    let places = || removed.keys().filter_map(|part| readings.all().get(*part)?.places.as_ref()).zip(&notes);
    let mut cuts: Vec<(Range<usize>, &Note)> =
        places().flat_map(|(places, (note, _))| places.iter().map(move |place| (place.clone(), note))).collect();
    cuts.sort_by_key(|(place, _)| place.start);
    match cuts.as_slice() {
        // The message is the part.
        [(place, note)] if place.start == 0 => report.edits.extend(note.instead_of_message()),
        _ => report.edits.push(Edit::ReplaceBody(cut(message, &cuts).await?)),
    }
    for (_, judgement) in notes.iter().take(FIELDS) {
        let value = format!("removed, {}; file=\"{}\"", judgement.what, judgement.name).into();
        report.edits.push(Edit::InsertHeader { at: 0, name: FIELD.into(), value });
    }
    report.findings.extend(notes.iter().take(MOST).map(|(_, judgement)| {
        let text = format!("{}: {}", judgement.name, judgement.what);
        Finding::text("attachments.stripped", text.chars().take(LONGEST).collect::<String>())
    }));
    if let Some((_, judgement)) = notes.first() {
        let reason = format!("original of a message that was delivered without {}: {}", judgement.name, judgement.what);
        report.hold_original = Some(Hold { class: HoldClass::Policy, reason: reason.into() });
    }
    Ok(())
}

/// The parts to be taken out, each with what was said of it first.
///
/// # Errors
/// Why that cannot be done with all of them.
fn removed<'j>(message: &Message, readings: &Readings, judgements: &'j [Judgement]) -> Result<BTreeMap<usize, &'j Judgement>, InTheWay> {
    if readings.anomalies().iter().any(|found| !HARMLESS.contains(&found.anomaly)) {
        return Err("programs could cut the message differently");
    }
    let body = usize::try_from(message.body_start()).unwrap_or(usize::MAX);
    let mut removed = BTreeMap::new();
    for judgement in judgements.iter().filter(|judgement| judgement.act == Act::Strip) {
        let part = judgement.part.ok_or("nobody knows which part it is")?;
        let places = readings.all().get(part).and_then(|reading| reading.places.as_deref());
        let places = places.filter(|places| !places.is_empty()).ok_or("it is in a message within, or signed")?;
        if !places.iter().all(|place| place.start == 0 || place.start >= body) {
            return Err("it begins in the header section");
        }
        removed.entry(part).or_insert(judgement);
    }
    Ok(removed)
}

/// What the note says of a part.
fn note<'j>(files: &Files, part: usize, judgement: &'j Judgement) -> (Removed, &'j Judgement) {
    let file = files.all().iter().find(|file| file.input == part && file.depth == 0);
    let removed = Removed {
        name: file.map(|file| path(files, file)).unwrap_or_default(),
        kind: file.map_or("", |file| file.kind.name()),
        declared: file.map(|file| file.declared.clone()).unwrap_or_default(),
        size: file.map_or(0, |file| file.size),
        sha256: file.and_then(|file| file.sha256),
        why: format!("{} ({})", judgement.what, judgement.name),
    };
    (removed, judgement)
}

/// The body with a note in each of the places, which are in order and do not overlap.
async fn cut(message: &Message, cuts: &[(Range<usize>, &Note)]) -> Result<Bytes, StageError> {
    let whole = message.whole().await?;
    let octets = whole.octets();
    let mut from = usize::try_from(message.body_start()).unwrap_or(usize::MAX);
    let gone: usize = cuts.iter().map(|(place, _)| place.len()).sum();
    let length = octets.len().saturating_sub(from + gone) + cuts.iter().map(|(_, note)| note.part().len()).sum::<usize>();
    let mut share = message.content.memory().share();
    if !share.grow(length as u64) {
        return Err(StageError::Failed("no memory for the message without its attachment".into()));
    }
    let mut body = BytesMut::with_capacity(length);
    for (place, note) in cuts {
        body.extend_from_slice(octets.get(from..place.start).unwrap_or_default());
        body.extend_from_slice(note.part().as_bytes());
        from = from.max(place.end);
    }
    body.extend_from_slice(octets.get(from..).unwrap_or_default());
    Ok(share.keep(body.freeze()))
}
