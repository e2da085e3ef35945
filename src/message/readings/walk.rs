//! The walk over a message that follows every way.
use super::{
    Anomaly, Found, Reading, Readings, base64,
    delimiters::{Cut, Hits, Kind, guess},
    embedded,
    facts::{Encoding, Facts},
    names, quoted,
    section::views,
};
use crate::message::{MimeError, budget::Share};
use bytes::Bytes;
use memchr::memchr_iter;
use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::BuildHasher,
    ops::Range,
};

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
const DECODE: u64 = 4;
const COMPARE: u64 = 64;
const BEGIN: u64 = 1_000;
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
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Role {
    /// Header section and body; of this type where it does not say.
    Entity { default: &'static str },
    /// Text that belongs to no part.
    Aside,
}

/// A body, decoded in one way.
struct Body {
    source: usize,
    range: Range<usize>,
    /// As it stands in the message, not decoded.
    identity: bool,
    plain: bool,
}

pub(super) struct Walk {
    sources: Vec<Source>,
    /// The next one last.
    tasks: Vec<Task>,
    /// What the task under way leads to, in order.
    found_tasks: Vec<Task>,
    seen: HashSet<(usize, usize, usize, Role)>,
    readings: Vec<Reading>,
    /// Readings by length, with the hash of their octets once a second has the length.
    by_length: HashMap<usize, Vec<(usize, Option<u64>)>>,
    hasher: RandomState,
    anomalies: Vec<Found>,
    parts: u64,
    effort: u64,
    share: Share,
}

type Step = Result<(), MimeError>;

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
            readings: Vec::new(),
            by_length: HashMap::new(),
            hasher: RandomState::new(),
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
        if self.readings.is_empty() {
            let all = self.octets(0, 0..usize::MAX);
            self.readings.push(Reading { content_type: "text/plain".into(), names: Vec::new(), octets: all, plain: true });
        }
        self.anomalies.sort_by_key(|found| (found.at, found.anomaly));
        Ok(Readings { readings: self.readings, anomalies: self.anomalies, parts: self.parts, _share: self.share })
    }

    /// What was found is looked at next, in order.
    fn queue(&mut self) {
        self.tasks.extend(self.found_tasks.drain(..).rev());
    }

    fn spend(&mut self, effort: u64) -> Step {
        match self.effort.checked_sub(effort) {
            Some(left) => {
                self.effort = left;
                Ok(())
            }
            None => complex("it reads differently in too many ways"),
        }
    }

    fn hold(&mut self, octets: usize) -> Step {
        if self.share.grow(octets as u64) { Ok(()) } else { Err(MimeError::Full) }
    }

    fn octets(&self, source: usize, range: Range<usize>) -> Bytes {
        let Some(source) = self.sources.get(source) else { return Bytes::new() };
        let end = range.end.min(source.octets.len());
        source.octets.slice(range.start.min(end)..end)
    }

    /// Where in the message the octet `at` of a source lies, or what that was decoded from.
    fn origin(&self, source: usize, at: usize) -> u64 {
        self.sources.get(source).and_then(|source| source.origin).unwrap_or(at as u64)
    }

    fn note(&mut self, source: usize, anomaly: Anomaly, at: usize) {
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
        self.add(Task { source, range: 0..octets.len(), depth, role, plain })?;
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
        self.add(Task { source, range, depth, role, plain: false })
    }

    fn source(&mut self, octets: Vec<u8>, origin: Option<u64>) -> usize {
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
            let facts = Facts::of(view, default, &mut notes);
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

    /// A body in every way that its transfer encoding can be undone.
    fn decoded(&mut self, source: usize, range: &Range<usize>, encoding: Encoding, plain: bool) -> Result<Vec<Body>, MimeError> {
        let encoded = self.octets(source, range.clone());
        let mut bodies = Vec::new();
        match encoding {
            Encoding::Identity => bodies.push(Body { source, range: range.clone(), identity: true, plain }),
            Encoding::Base64 => {
                if let Some(body) = self.decode(source, range, plain, |encoded| base64::strict(encoded))? {
                    return Ok(vec![body]);
                }
                let (rules, notes) = base64::rules(&encoded);
                notes.into_iter().for_each(|(anomaly, at)| self.note(source, anomaly, range.start + at));
                for (nth, rule) in rules.into_iter().enumerate() {
                    bodies.extend(self.decode(source, range, plain && nth == 0, |encoded| Some(rule.decode(encoded)))?);
                }
            }
            Encoding::Quoted => {
                self.spend(encoded.len() as u64)?;
                let (rules, notes) = quoted::rules(&encoded);
                notes.into_iter().for_each(|(anomaly, at)| self.note(source, anomaly, range.start + at));
                for (nth, rule) in rules.into_iter().enumerate() {
                    bodies.extend(self.decode(source, range, plain && nth == 0, |encoded| Some(rule.decode(encoded)))?);
                }
            }
            Encoding::Uuencode | Encoding::Yenc => {
                if let Some(file) = embedded::find(&encoded, 0) {
                    let octets = self.file(source, range.start, &file)?.0;
                    let origin = self.origin(source, range.start);
                    let length = octets.len();
                    let source = self.source(octets, Some(origin));
                    bodies.push(Body { source, range: 0..length, identity: false, plain });
                }
                bodies.push(Body { source, range: range.clone(), identity: true, plain: plain && bodies.is_empty() });
            }
        }
        Ok(bodies)
    }

    /// A source of its own, made by `decode`; nothing where that cannot.
    fn decode(
        &mut self,
        source: usize,
        range: &Range<usize>,
        plain: bool,
        decode: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<Option<Body>, MimeError> {
        let encoded = self.octets(source, range.clone());
        self.spend(DECODE * encoded.len() as u64)?;
        self.hold(encoded.len())?;
        let Some(octets) = decode(&encoded) else {
            self.share.give_back(encoded.len() as u64);
            return Ok(None);
        };
        self.share.give_back(encoded.len().saturating_sub(octets.capacity()) as u64);
        let origin = self.origin(source, range.start);
        let range = 0..octets.len();
        let source = self.source(octets, Some(origin));
        Ok(Some(Body { source, range, identity: false, plain }))
    }

    fn body(&mut self, task: &Task, facts: &Facts, body: &Body) -> Step {
        let multipart = facts.is_multipart();
        let cut = (multipart || !facts.boundaries.is_empty()) && self.multipart(task, facts, body)?;
        let octets = self.octets(body.source, body.range.clone());
        let mut first = true;
        for kind in &facts.types {
            let plain = body.plain && std::mem::take(&mut first);
            if kind.contains("multipart") {
                // One that nobody can cut is text to some; decoded from what it is not, it is nothing.
                if !cut && body.identity {
                    self.leaf(body.source, "text/plain", &facts.names, octets.clone(), plain)?;
                }
                continue;
            }
            if matches!(&**kind, "message/rfc822" | "message/global" | "message/news" | "message/partial") {
                self.nested(task, body, plain)?;
            }
            self.leaf(body.source, kind, &facts.names, octets.clone(), plain)?;
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
        self.add(Task { source: body.source, range: body.range.clone(), depth, role, plain })
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
        let digest = facts.types.iter().any(|kind| &**kind == "multipart/digest");
        let default = if digest { "message/rfc822" } else { "text/plain" };
        for Cut { pieces, plain } in cuts {
            for piece in pieces {
                let plain = plain && body.plain;
                let task = |role| Task { source: body.source, range: piece.range.clone(), depth: task.depth + 1, role, plain };
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
        let octets = self.octets(task.source, task.range.clone());
        self.leaf(task.source, "text/plain", &[], octets, false)
    }

    /// A part that is no container, and the files in it where it is text.
    fn leaf(&mut self, source: usize, kind: &str, names: &[Box<str>], octets: Bytes, plain: bool) -> Step {
        if octets.starts_with(&[0x78, 0x9f, 0x3e, 0x22]) || names.iter().any(|name| name.eq_ignore_ascii_case("winmail.dat")) {
            self.note(source, Anomaly::Tnef, 0);
        }
        if self.is_new(kind, names, &octets) {
            self.keep(kind, names.to_vec(), octets.clone(), plain)?;
            // What has a type of its own is shown by that; text, and what no reader knows, is searched.
            if kind.starts_with("text") || !kind.contains('/') || kind == "application/octet-stream" {
                self.files_in(source, &octets)?;
            }
        }
        Ok(())
    }

    fn files_in(&mut self, source: usize, text: &[u8]) -> Step {
        self.spend(2 * text.len() as u64)?;
        if let Some(at) = embedded::binhex(text) {
            self.note(source, Anomaly::Binhex, at);
        }
        let mut from = 0;
        while let Some(file) = embedded::find(text, from) {
            self.spend(text.len().saturating_sub(from) as u64)?;
            let (octets, used) = self.file(source, 0, &file)?;
            let (names, octets) = (names::plain(file.name), Bytes::from(octets));
            if self.is_new("application/octet-stream", &names, &octets) {
                self.keep("application/octet-stream", names, octets, false)?;
            }
            from = file.at + used + 1;
        }
        Ok(())
    }

    /// Decodes a file in the text that begins at `start` of `source`.
    fn file(&mut self, source: usize, start: usize, file: &embedded::Embedded<'_>) -> Result<(Vec<u8>, usize), MimeError> {
        let anomaly = if file.form == embedded::Form::Yenc { Anomaly::Yenc } else { Anomaly::Uuencode };
        self.note(source, anomaly, start + file.at);
        let most = file.most();
        self.spend(DECODE * most as u64)?;
        self.hold(most)?;
        let (octets, used) = file.decode();
        self.share.give_back(most.saturating_sub(octets.len()) as u64);
        Ok((octets, used))
    }

    /// Whether no reading is the same already; empty ones without a name tell nobody anything.
    fn is_new(&mut self, kind: &str, names: &[Box<str>], octets: &Bytes) -> bool {
        if octets.is_empty() && names.is_empty() {
            return false;
        }
        let Some(alike) = self.by_length.get_mut(&octets.len()) else { return true };
        let hash = self.hasher.hash_one(octets);
        let readings = &self.readings;
        for (at, known) in alike {
            let Some(other) = readings.get(*at) else { continue };
            let known = *known.get_or_insert_with(|| self.hasher.hash_one(&other.octets));
            if known == hash && *other.content_type == *kind && *other.names == *names && other.octets == *octets {
                return false;
            }
        }
        true
    }

    fn keep(&mut self, kind: &str, names: Vec<Box<str>>, octets: Bytes, plain: bool) -> Step {
        if self.readings.len() >= MAX_READINGS {
            return complex("too many readings");
        }
        self.hold(size_of::<Reading>() + kind.len() + names.iter().map(|name| 16 + name.len()).sum::<usize>())?;
        self.by_length.entry(octets.len()).or_default().push((self.readings.len(), None));
        self.readings.push(Reading { content_type: kind.into(), names, octets, plain });
        Ok(())
    }
}

/// What programs write before the first part for readers that do not know MIME.
fn is_notice(text: &[u8]) -> bool {
    text.len() < 200 && text.starts_with(b"This is a") && memchr::memmem::find(text, b"MIME").is_some()
}
