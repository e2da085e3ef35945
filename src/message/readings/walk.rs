//! The walk over a message that follows every way.
use super::{
    Anomaly, Found, Reading, Readings,
    delimiters::{Cut, Hits, Kind, guess},
    facts::{Encoding, Facts},
    kept::{Kept, Seen},
    names,
    section::views,
};
use crate::message::{MimeError, budget::Share};
use bytes::Bytes;
use memchr::memchr_iter;
use std::{collections::HashSet, ops::Range};

/// Messages in messages, parts in parts. Honest mail has half a dozen.
const MAX_DEPTH: u32 = 100;
/// Parts in every way of reading together.
const MAX_PARTS: usize = 20_000;
const MAX_READINGS: usize = 10_000;
/// Delimiter lines of one multipart.
const MAX_DELIMITERS: usize = 20_000;
/// What may be spent, in octets looked at: honest mail takes ten times its size. Every octet may be
/// in that many readings; all of it takes a few seconds for the largest messages, and a few
/// milliseconds for those that are read in place.
const EFFORT: u64 = 4 << 20;
const EFFORT_PER_OCTET: u64 = 48;
/// What decoding an octet costs beside looking at one, comparing a line, and beginning a part.
pub(super) const DECODE: u64 = 4;
const COMPARE: u64 = 64;
const BEGIN: u64 = 1_000;
/// An octet of a field that MIME gives a meaning to, which is read a dozen times, and an encoded word
/// in it, whose end has to be looked for.
const FIELD: u64 = 16;
const WORD: u64 = 4_096;
/// Boundaries guessed where a multipart names none that occurs.
const GUESSES: usize = 4;

/// Octets that parts lie in: the message, or what was decoded from a part of it.
struct Source {
    octets: Bytes,
    /// Where the part that it was decoded from lies in the message; none for the message itself.
    origin: Option<u64>,
}

/// Something to be looked at.
#[derive(Clone)]
struct Task {
    source: usize,
    range: Range<usize>,
    depth: u32,
    role: Role,
    /// A reader that follows the standards comes here too.
    plain: bool,
    /// It stands in the message itself, where nobody has signed it: not in a message within.
    own: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    /// Header section and body; of this type where it does not say.
    Entity { default: &'static str },
    /// Text that belongs to no part.
    Aside,
}

/// A body, decoded in one way.
pub(super) struct Body {
    pub(super) source: usize,
    pub(super) range: Range<usize>,
    /// As it stands in the message, not decoded.
    pub(super) identity: bool,
    pub(super) plain: bool,
}

pub(super) struct Walk {
    sources: Vec<Source>,
    /// The next one last.
    tasks: Vec<Task>,
    /// What the task under way leads to, in order.
    found_tasks: Vec<Task>,
    seen: HashSet<(usize, usize, usize, Role)>,
    pub(super) kept: Kept,
    anomalies: Vec<Found>,
    parts: u64,
    effort: u64,
    pub(super) share: Share,
}

pub(super) type Step = Result<(), MimeError>;

fn complex<T>(text: &str) -> Result<T, MimeError> {
    Err(MimeError::TooComplex(text.into()))
}

impl Walk {
    /// `share`: what `octets` hold of the memory budget, and whatever is decoded will.
    pub(super) fn new(octets: Bytes, share: Share) -> Self {
        let effort = EFFORT + EFFORT_PER_OCTET * octets.len() as u64;
        Self {
            sources: vec![Source { octets, origin: None }],
            tasks: Vec::new(),
            found_tasks: Vec::new(),
            seen: HashSet::new(),
            kept: Kept::default(),
            anomalies: Vec::new(),
            parts: 0,
            effort,
            share,
        }
    }

    pub(super) fn readings(mut self) -> Result<Readings, MimeError> {
        self.message(0, 0, true)?;
        self.queue();
        while let Some(task) = self.tasks.pop() {
            match task.role {
                Role::Entity { default } => self.entity(&task, default)?,
                Role::Aside => self.aside(&task)?,
            }
            self.queue();
        }
        if self.kept.len() == 0 {
            let all = self.octets(0, 0..usize::MAX);
            self.kept.push(Reading { content_type: "text/plain".into(), names: Vec::new(), octets: all, plain: true, places: None });
        }
        self.anomalies.sort_by_key(|found| (found.at, found.anomaly));
        Ok(Readings { readings: self.kept.into_vec(), anomalies: self.anomalies, parts: self.parts, share: self.share })
    }

    /// What was found is looked at next, in order.
    fn queue(&mut self) {
        self.tasks.extend(self.found_tasks.drain(..).rev());
    }

    pub(super) fn spend(&mut self, effort: u64) -> Step {
        match self.effort.checked_sub(effort) {
            Some(left) => {
                self.effort = left;
                Ok(())
            }
            None => complex("it reads differently in too many ways"),
        }
    }

    pub(super) fn hold(&mut self, octets: usize) -> Step {
        if self.share.grow(octets as u64) { Ok(()) } else { Err(MimeError::Full) }
    }

    pub(super) fn octets(&self, source: usize, range: Range<usize>) -> Bytes {
        let Some(source) = self.sources.get(source) else { return Bytes::new() };
        let end = range.end.min(source.octets.len());
        source.octets.slice(range.start.min(end)..end)
    }

    /// Where in the message the octet `at` of a source lies, or what that was decoded from.
    pub(super) fn origin(&self, source: usize, at: usize) -> u64 {
        self.sources.get(source).and_then(|source| source.origin).unwrap_or(at as u64)
    }

    pub(super) fn note(&mut self, source: usize, anomaly: Anomaly, at: usize) {
        let at = self.origin(source, at);
        match self.anomalies.iter_mut().find(|found| found.anomaly == anomaly) {
            Some(found) => found.at = found.at.min(at),
            None => self.anomalies.push(Found { anomaly, at }),
        }
    }

    fn add(&mut self, task: Task) -> Step {
        let Task { source, ref range, depth, role, .. } = task;
        if depth > MAX_DEPTH {
            return complex("too many levels");
        }
        if self.seen.len() >= MAX_PARTS {
            return complex("too many parts");
        }
        if self.seen.insert((source, range.start, range.end, role)) {
            self.spend(BEGIN)?;
            self.hold(2 * size_of::<Task>())?;
            self.found_tasks.push(task);
        }
        Ok(())
    }

    /// All of a source is a message; where it has line ends that some take for such, and some not,
    /// it is two.
    fn message(&mut self, source: usize, depth: u32, plain: bool) -> Step {
        let octets = self.octets(source, 0..usize::MAX);
        let role = Role::Entity { default: "text/plain" };
        self.add(Task { source, range: 0..octets.len(), depth, role, plain, own: depth == 0 })?;
        self.spend(octets.len() as u64)?;
        let bare = |at: &usize| octets.get(at + 1).is_some_and(|next| *next != b'\n' && *next != b'\r');
        let Some(first) = memchr_iter(b'\r', &octets).find(bare) else { return Ok(()) };
        self.note(source, Anomaly::BareCr, first);
        self.hold(2 * octets.len())?;
        self.spend(DECODE * octets.len() as u64)?;
        let mut ended = Vec::with_capacity(octets.len() + octets.len() / 8);
        for (at, octet) in octets.iter().enumerate() {
            ended.push(*octet);
            if *octet == b'\r' && bare(&at) {
                ended.push(b'\n');
            }
        }
        let origin = self.sources.get(source).and_then(|source| source.origin).or(Some(first as u64));
        let source = self.source(ended, origin);
        let range = 0..self.octets(source, 0..usize::MAX).len();
        self.add(Task { source, range, depth, role, plain: false, own: false })
    }

    pub(super) fn source(&mut self, octets: Vec<u8>, origin: Option<u64>) -> usize {
        self.sources.push(Source { octets: octets.into(), origin });
        self.sources.len() - 1
    }

    fn entity(&mut self, task: &Task, default: &'static str) -> Step {
        self.parts += u64::from(task.plain);
        let whole = self.octets(task.source, 0..usize::MAX);
        let mut notes = Vec::new();
        let views = views(&whole, task.range.clone(), &mut notes);
        let read = views.iter().map(|view| view.body.saturating_sub(task.range.start)).max().unwrap_or_default();
        self.spend(DECODE * read as u64)?;
        for (nth, view) in views.iter().enumerate() {
            self.spend(view.fields.iter().map(|field| FIELD * field.value.len() as u64 + WORD * names::encoded_words(&field.value)).sum())?;
            let facts = Facts::of(view, default, &mut notes);
            if notes.iter().any(|(anomaly, _)| *anomaly == Anomaly::TooComplex) {
                return complex("too many fields or parameters");
            }
            let plain = task.plain && nth == 0;
            self.part(task, &facts, view.body..task.range.end, plain)?;
        }
        notes.into_iter().for_each(|(anomaly, at)| self.note(task.source, anomaly, at));
        Ok(())
    }

    /// A part of which the header section is read.
    fn part(&mut self, task: &Task, facts: &Facts, range: Range<usize>, plain: bool) -> Step {
        let multipart = facts.is_multipart();
        if multipart && !facts.encodings.contains(&Encoding::Identity) {
            // RFC 2045 §6.4: nobody has to look for an encoding there; some do.
            self.note(task.source, Anomaly::EncodedMultipart, range.start);
            self.body(task, facts, &Body { source: task.source, range: range.clone(), identity: true, plain })?;
        }
        for (nth, encoding) in facts.encodings.iter().enumerate() {
            let plain = plain && nth == 0 && (!multipart || *encoding == Encoding::Identity);
            for body in self.decoded(task.source, &range, *encoding, plain)? {
                self.body(task, facts, &body)?;
            }
        }
        Ok(())
    }

    fn body(&mut self, task: &Task, facts: &Facts, body: &Body) -> Step {
        let multipart = facts.is_multipart();
        let place = || (task.own && task.source == 0).then(|| task.range.clone());
        let cut = (multipart || !facts.boundaries.is_empty()) && self.multipart(task, facts, body)?;
        let mut first = true;
        for kind in &facts.types {
            let plain = body.plain && std::mem::take(&mut first);
            if kind.contains("multipart") {
                // One that nobody can cut is text to some; decoded from what it is not, it is nothing.
                if !cut && body.identity {
                    self.leaf(body.source, &body.range, "text/plain", &facts.names, plain, place())?;
                }
                continue;
            }
            if matches!(&**kind, "message/rfc822" | "message/global" | "message/news" | "message/partial") {
                self.nested(task, body, plain)?;
            }
            self.leaf(body.source, &body.range, kind, &facts.names, plain, place())?;
        }
        Ok(())
    }

    fn nested(&mut self, task: &Task, body: &Body, plain: bool) -> Step {
        let depth = task.depth + 1;
        if body.source != task.source {
            self.note(body.source, Anomaly::EncodedMessage, 0);
            return self.message(body.source, depth, plain);
        }
        let role = Role::Entity { default: "text/plain" };
        self.add(Task { source: body.source, range: body.range.clone(), depth, role, plain, own: false })
    }

    /// Whether it could be cut into parts.
    fn multipart(&mut self, task: &Task, facts: &Facts, body: &Body) -> Result<bool, MimeError> {
        let whole = self.octets(body.source, 0..usize::MAX);
        let mut notes = Vec::new();
        let mut hits = self.hits(&whole, &body.range, &facts.boundaries)?;
        let mut cuts = hits.cuts(&whole, &body.range, facts.boundaries.len(), &mut notes);
        if hits.is_empty() && body.identity {
            if !facts.boundaries.is_empty() {
                notes.push((Anomaly::BoundaryUnused, body.range.start));
            }
            let guesses = guess(&whole, &body.range, GUESSES);
            hits = self.hits(&whole, &body.range, &guesses)?;
            cuts = hits.cuts(&whole, &body.range, guesses.len(), &mut Vec::new());
            cuts.iter_mut().for_each(|cut| cut.plain = false);
        }
        let pieces: usize = cuts.iter().map(|cut| cut.pieces.len()).sum();
        self.spend(COMPARE * pieces as u64)?;
        let sealed = facts.types.iter().any(|kind| matches!(&**kind, "multipart/signed" | "multipart/encrypted"));
        let own = task.own && body.source == task.source && !sealed;
        let digest = facts.types.iter().any(|kind| &**kind == "multipart/digest");
        let default = if digest { "message/rfc822" } else { "text/plain" };
        for Cut { pieces, plain } in cuts {
            for piece in pieces {
                let plain = plain && body.plain;
                let task = |role| Task { source: body.source, range: piece.range.clone(), depth: task.depth + 1, role, plain, own };
                if piece.kind != Kind::Aside {
                    self.add(task(Role::Entity { default }))?;
                }
                let text = whole.get(piece.range.clone()).unwrap_or_default().trim_ascii();
                if piece.kind != Kind::Part && !text.is_empty() && !is_notice(text) {
                    self.add(task(Role::Aside))?;
                }
            }
        }
        notes.into_iter().for_each(|(anomaly, at)| self.note(body.source, anomaly, at));
        Ok(!hits.is_empty())
    }

    fn hits(&mut self, octets: &[u8], range: &Range<usize>, boundaries: &[Vec<u8>]) -> Result<Hits, MimeError> {
        self.spend(range.len() as u64)?;
        let Some(hits) = Hits::find(octets, range, boundaries, MAX_DELIMITERS) else { return complex("too many delimiters") };
        self.spend(COMPARE * hits.compared)?;
        Ok(hits)
    }

    /// Preambles and what follows the end are shown by some, and searched for files by others.
    fn aside(&mut self, task: &Task) -> Step {
        self.leaf(task.source, &task.range, "text/plain", &[], false, None)
    }

    /// A part that is no container, and the files in it where it is text.
    fn leaf(
        &mut self,
        source: usize,
        range: &Range<usize>,
        kind: &str,
        names: &[Box<str>],
        plain: bool,
        place: Option<Range<usize>>,
    ) -> Step {
        let octets = self.octets(source, range.clone());
        if octets.starts_with(&[0x78, 0x9f, 0x3e, 0x22]) || names.iter().any(|name| name.eq_ignore_ascii_case("winmail.dat")) {
            self.note(source, Anomaly::Tnef, range.start);
        }
        match self.kept.find(kind, names, &octets) {
            Seen::New => self.keep(kind, names.to_vec(), octets.clone(), plain, place)?,
            Seen::Known(at) => {
                self.hold(size_of::<Range<usize>>())?;
                self.kept.also_at(at, place);
                return Ok(());
            }
            Seen::Nothing => return Ok(()),
        }
        // What has a type of its own is shown by that; text, and what no reader knows, is searched.
        if kind.starts_with("text") || !kind.contains('/') || kind == "application/octet-stream" {
            self.files_in(source, range.start, &octets)?;
        }
        Ok(())
    }

    pub(super) fn keep(&mut self, kind: &str, names: Vec<Box<str>>, octets: Bytes, plain: bool, place: Option<Range<usize>>) -> Step {
        if self.kept.len() >= MAX_READINGS {
            return complex("too many readings");
        }
        self.hold(size_of::<Reading>() + kind.len() + names.iter().map(|name| 16 + name.len()).sum::<usize>())?;
        let places = place.map(|place| vec![place]);
        self.kept.push(Reading { content_type: kind.into(), names, octets, plain, places });
        Ok(())
    }
}

/// What programs write before the first part for readers that do not know MIME.
fn is_notice(text: &[u8]) -> bool {
    text.len() < 200 && text.starts_with(b"This is a") && memchr::memmem::find(text, b"MIME").is_some()
}
