//! Attachments: policy by what a file is, not by what it is called; and by every name that some
//! program would give it. Files in archives and documents are attachments too.
//!
//! ```toml
//! [[stage]]
//! name         = "attachments"
//! type         = "attachments"
//! refuse_types = ["executable", "script", "macro"]
//! tag_types    = ["html"]
//! encrypted    = "quarantine"
//! ```
//!
//! What is to be stripped is taken out, a note stands in its place (`note`), and the original is held
//! (`strip`).
//!
//! How much is unpacked is bounded by `[unpack]`. What is beyond cannot be judged, and `oversize`
//! says what that means.
mod mismatch;
mod names;
mod note;
mod policy;
mod settings;
mod strip;

use super::{Kind, Surroundings, documented};
use crate::{
    chain::{Decision, Finding, Hold, HoldClass, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    message::{Client, Edit, Files, Message, MimeError},
    smtp::{Mail, Refusal},
    unpack::{File, Flag},
    value::{Id, hex, settings::Section},
};
use async_trait::async_trait;
use policy::{Act, Judgement, Policy};
use std::{collections::BTreeSet, sync::Arc};

pub(super) const KIND: Kind = Kind {
    name: "attachments",
    summary: "refuses, holds, strips or tags mail by what is attached, inside archives and documents too",
    settings: &[
        documented("refuse_types", "kinds, classes and traits of files that are refused; a list of its own replaces the default"),
        documented("quarantine_types", "those that are held for a person to look at"),
        documented("strip_types", "those that a note takes the place of; the original is held"),
        documented("tag_types", "those that are delivered with a header field X-Octroi-Attachment"),
        documented("refuse_extensions", "ends of file names that are refused, in every reading of the name; replaces the default"),
        documented("quarantine_extensions", "those that are held"),
        documented("strip_extensions", "those that a note takes the place of"),
        documented("tag_extensions", "those that are tagged"),
        documented(
            "encrypted",
            "what a file means that needs a password: \"report\" (the default), \"tag\", \"strip\", \"quarantine\" or \"reject\"",
        ),
        documented("unreadable", "what one means that is damaged, or of a format that is not opened: the same words (\"report\")"),
        documented("oversize", "what it means that a limit of [unpack] was reached: the same words (\"quarantine\")"),
        documented("mismatch", "what it means that a file is not what its name and its declared type say: the same words (\"report\")"),
        documented("contact", "whom the note in place of an attachment says to ask; one line"),
    ],
    findings: &[
        Known::new("attachments.count", Type::Number, "attachments; what is inside them is not counted"),
        Known::new("attachments.files", Type::Number, "files, those inside archives counted, the parts of a document not"),
        Known::new("attachments.type", Type::Texts, "kinds and classes of all files, such as \"zip\", \"archive\", \"pe\", \"executable\""),
        Known::new("attachments.name", Type::Texts, "their names, with those of what they are in: \"invoice.zip/a.js\""),
        Known::new("attachments.extension", Type::Texts, "the ends of their names, in every reading, in lower case"),
        Known::new("attachments.sha256", Type::Texts, "their digests, in hexadecimal"),
        Known::new("attachments.flags", Type::Texts, "their traits, such as \"macro\", \"hidden\", \"name-bidi\""),
        Known::new("attachments.encrypted", Type::Flag, "one of them needs a password"),
        Known::new("attachments.unreadable", Type::Flag, "one of them could not be looked into"),
        Known::new("attachments.macro", Type::Flag, "one of them has macros"),
        Known::new(
            "attachments.limit",
            Type::Text,
            "the limit of [unpack] that was reached: \"size\", \"files\", \"depth\", \"ratio\", \"time\"",
        ),
        Known::new("attachments.stripped", Type::Texts, "what a note took the place of, and why: \"a.exe: executable\""),
        Known::new("attachments.mismatch", Type::Texts, "what is not what it says: \"a.jpg: pe, declared image/jpeg\""),
    ],
    build,
};

/// Header field of what is delivered with a word.
const FIELD: &str = "X-Octroi-Attachment";
/// Findings of one name, and characters of one text; a message may have thousands of files.
const MOST: usize = 50;
const LONGEST: usize = 200;
/// Fields, and characters of a name in a reply, where a line has 512 octets (RFC 5321 §4.5.3.1.5).
const FIELDS: usize = 10;
const SHOWN: usize = 120;

fn build(section: &mut Section<'_>, _: &Surroundings) -> Option<Box<dyn Stage>> {
    Some(Box::new(Arc::new(Policy::read(section))))
}

#[async_trait]
impl Stage for Arc<Policy> {
    fn may_edit(&self) -> bool {
        self.edits()
    }
    fn wants(&self) -> Wants {
        if self.strips() { Wants::MAIL | Wants::END_OF_MESSAGE } else { Wants::END_OF_MESSAGE }
    }
    /// A note says which entry of the quarantine has the original.
    fn reads_content_only(&self) -> bool {
        !self.strips()
    }
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Looking { policy: Self::clone(self), id: None }))
    }
}

struct Looking {
    policy: Arc<Policy>,
    id: Option<Id>,
}

#[async_trait]
impl Inspection for Looking {
    async fn mail(&mut self, _: &Arc<Client>, _: &Mail, id: Id) -> Result<Decision, StageError> {
        self.id = Some(id);
        Ok(Decision::Go)
    }

    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let policy = &*self.policy;
        match message.files().await {
            Ok(files) => {
                let (judgements, mut report) = (judged(policy, files), Report { findings: findings(files), ..Report::default() });
                if judgements.iter().map(|judgement| judgement.act).max() == Some(Act::Strip) {
                    strip::strip(policy, self.id, message, files, &judgements, &mut report).await?;
                } else {
                    conclude(judgements, &mut report);
                }
                Ok(report)
            }
            // Nothing can be said of what is attached, as with a bomb.
            Err(MimeError::TooComplex(_)) => {
                let mut report = Report { findings: vec![Finding::text("attachments.limit", "structure")], ..Report::default() };
                let (act, what, name) = (policy.oversize, "structure too complex".into(), "the message".into());
                conclude(vec![Judgement { act, what, name, part: None }], &mut report);
                Ok(report)
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn judged(policy: &Policy, files: &Files) -> Vec<Judgement> {
    let mut judgements = Vec::new();
    for file in files.all() {
        policy.judge(files, file, &mut judgements);
    }
    if let Some(limit) = files.exceeded() {
        let over = files.all().iter().find(|file| file.flags.has(Flag::Limit));
        let name = over.map_or_else(|| "the message".into(), |file| shown(&path(files, file)));
        let what = format!("more than can be looked into, {}", limit.as_str());
        judgements.push(Judgement { act: policy.oversize, what, name, part: over.map(|file| file.input) });
    }
    judgements
}

/// The strictest decides; of those, the first. All that tag are tagged. What was to be taken out and
/// cannot be is held.
fn conclude(judgements: Vec<Judgement>, report: &mut Report) {
    tag(&judgements, report);
    let strictest = judgements.into_iter().reduce(|strictest, other| if other.act > strictest.act { other } else { strictest });
    report.verdict = match strictest {
        Some(Judgement { act: Act::Refuse, what, name, .. }) => {
            Verdict::Refuse(Refusal::permanent(50, "7.1", &format!("attachment not accepted here: {name} ({what})")))
        }
        Some(Judgement { act: Act::Quarantine | Act::Strip, what, name, .. }) => {
            Verdict::Quarantine(Hold { class: HoldClass::Policy, reason: format!("attachment {name}: {what}").into() })
        }
        _ => Verdict::Deliver,
    };
}

fn tag(judgements: &[Judgement], report: &mut Report) {
    let tagged = judgements.iter().filter(|judgement| judgement.act == Act::Tag).take(FIELDS);
    let field = |judgement: &Judgement| Edit::InsertHeader {
        at: 0,
        name: FIELD.into(),
        value: format!("{}; file=\"{}\"", judgement.what, judgement.name).into(),
    };
    report.edits.extend(tagged.map(field));
}

/// `invoice.zip/a.js`.
fn path(files: &Files, file: &File) -> String {
    files.path(file).join("/")
}

/// In a reply and in a header field: printable ASCII, no quotes, and not too long. The end stays,
/// with the extension.
fn shown(name: &str) -> String {
    let shown: String = name.chars().map(|c| if matches!(c, ' '..='~') && !matches!(c, '"' | '\\') { c } else { '?' }).collect();
    match shown.len().checked_sub(SHOWN) {
        Some(beyond) if beyond > 0 => format!("...{}", shown.get(beyond..).unwrap_or_default()),
        _ => shown,
    }
}

fn findings(files: &Files) -> Vec<Finding> {
    // What a document is made of is no attachment; only what it says of the document is told.
    let attachments = || files.all().iter().filter(|file| !file.is_body && !file.is_part);
    let (mut words, mut traits, mut extensions) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut findings = Vec::new();
    let bounded = |text: String| text.chars().take(LONGEST).collect::<String>();
    for file in files.all() {
        traits.extend(file.flags.names());
        if file.is_body || file.is_part {
            continue;
        }
        words.extend([file.kind.name(), file.kind.class().name()]);
        for name in &file.names {
            let name = names::read(name);
            traits.extend(name.tricks.iter().copied());
            extensions.extend(name.extensions.into_iter().take(MOST.saturating_sub(extensions.len())));
        }
    }
    let total = attachments().count() as u64;
    if total > 0 {
        findings.push(Finding::number("attachments.count", attachments().filter(|file| file.depth == 0).count() as u64));
        findings.push(Finding::number("attachments.files", total));
    }
    findings.extend(words.into_iter().take(MOST).map(|word| Finding::text("attachments.type", word)));
    findings.extend(extensions.into_iter().take(MOST).map(|end| Finding::text("attachments.extension", bounded(end))));
    findings.extend(traits.iter().map(|word| Finding::text("attachments.flags", *word)));
    // The nearest to the message first: those a person sees, and everything inside where there is
    // room.
    let mut nearest: Vec<&File> = attachments().collect();
    nearest.sort_by_key(|file| file.depth);
    for file in nearest.iter().take(MOST) {
        findings.push(Finding::text("attachments.name", bounded(path(files, file))));
        if let Some(digest) = file.sha256 {
            findings.push(Finding::text("attachments.sha256", hex(&digest)));
        }
    }
    for (name, flag) in
        [("attachments.encrypted", Flag::Encrypted), ("attachments.unreadable", Flag::Unreadable), ("attachments.macro", Flag::Macro)]
    {
        if files.all().iter().any(|file| file.flags.has(flag)) {
            findings.push(Finding::flag(name, true));
        }
    }
    findings.extend(files.exceeded().map(|limit| Finding::text("attachments.limit", limit.as_str())));
    let mismatches = attachments().filter_map(|file| Some((file, mismatch::of(file)?))).take(MOST);
    findings.extend(mismatches.map(|(file, claim)| {
        Finding::text("attachments.mismatch", bounded(format!("{}: {}, {claim}", path(files, file), file.kind.name())))
    }));
    findings
}

#[cfg(test)]
mod tests;
