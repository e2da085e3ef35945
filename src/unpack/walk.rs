//! From file to file: the loop, and what every file goes through.
use super::{
    File, Flag, Flags, Input, Kind, Limit, Limits, NoMemory, Unpacked,
    account::{Account, End, Stop, drain},
    detect::detect,
    kind::Class,
    open,
};
use aws_lc_rs::digest;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io::Read,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Characters of a name that are kept, from its end: what Windows bears, and the extension is there.
const NAME: usize = 255;
/// Names of one file; an archive may call the same octets anything any number of times.
const NAMES: usize = 8;
/// What a document is said to have when something inside it has.
const OF_DOCUMENTS: [Flag; 4] = [Flag::Macro, Flag::AutoExec, Flag::ExternalTemplate, Flag::EmbeddedObject];

/// The files found so far, and what may still be looked at.
pub(super) struct Walk<'a> {
    pub(super) account: Account<'a>,
    files: Vec<File>,
    /// Looked at already.
    inputs: usize,
    to_open: VecDeque<usize>,
    exceeded: Option<Limit>,
    /// Nothing more is opened.
    stopped: bool,
}

/// What an archive says about a file in it.
pub(super) struct Found {
    pub(super) names: Vec<String>,
    pub(super) octets: Bytes,
    pub(super) flags: Flags,
}

impl Found {
    pub(super) fn new(name: impl Into<String>, octets: impl Into<Bytes>) -> Self {
        Self { names: vec![name.into()], octets: octets.into(), flags: Flags::default() }
    }
    /// One whose octets cannot be had.
    pub(super) fn closed(name: impl Into<String>, why: Flag) -> Self {
        Self { flags: why.into(), ..Self::new(name, Bytes::new()) }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(limits: &'a Limits, reserve: &'a mut dyn FnMut(u64) -> bool) -> Self {
        Self {
            account: Account::new(limits, reserve),
            files: Vec::new(),
            inputs: 0,
            to_open: VecDeque::new(),
            exceeded: None,
            stopped: false,
        }
    }

    /// Looks at a part of the message and at everything in it.
    pub(super) fn root(&mut self, input: Input) -> Result<(), NoMemory> {
        self.account.begin(input.octets.len() as u64);
        let Input { names, declared, is_body, octets } = input;
        let names = names.into_iter().map(String::from).collect();
        self.add(None, Found { names, octets, flags: Flags::default() }, &declared, is_body);
        let done = self.open_all();
        self.inputs += 1;
        self.to_open.clear();
        match done {
            Err(Stop::NoMemory) => Err(NoMemory),
            Err(Stop::Limit(limit)) => {
                self.exceeded.get_or_insert(limit);
                self.stopped = true;
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn open_all(&mut self) -> Result<(), Stop> {
        while let Some(at) = self.to_open.pop_front() {
            let Some(file) = self.files.get(at) else { continue };
            let (kind, octets, depth) = (file.kind, file.octets.clone(), file.depth);
            if self.stopped {
                self.flag(at, Flag::Limit);
                continue;
            }
            if depth >= self.account.limits.depth {
                self.exceeded.get_or_insert(Limit::Depth);
                self.flag(at, Flag::Limit);
                continue;
            }
            let opened = catch_unwind(AssertUnwindSafe(|| open::open(self, at, kind, &octets)));
            match opened {
                Ok(Ok(())) => {}
                Ok(Err(stop)) => {
                    self.flag(at, Flag::Limit);
                    // That ends this branch only.
                    if stop != Stop::Limit(Limit::Depth) {
                        return Err(stop);
                    }
                    self.exceeded.get_or_insert(Limit::Depth);
                }
                Err(_) => self.flag(at, Flag::Unreadable),
            }
        }
        Ok(())
    }

    /// Takes in a file that was found in the one at `parent`; gives its place.
    pub(super) fn found(&mut self, parent: usize, found: Found) -> Result<usize, Stop> {
        self.account.check_time()?;
        if self.files.len() >= self.account.limits.files {
            return Err(Stop::Limit(Limit::Files));
        }
        // A document gives what is in its streams along with them.
        if self.files.get(parent).is_some_and(|parent| parent.depth >= self.account.limits.depth) {
            return Err(Stop::Limit(Limit::Depth));
        }
        Ok(self.add(Some(parent), found, "", false))
    }

    /// Reads a stream out of the file at `parent` and takes it in. One that a limit cuts off is
    /// taken in as far as it came.
    pub(super) fn stream(&mut self, parent: usize, names: Vec<String>, from: impl Read, window: u64) -> Result<usize, Stop> {
        let (octets, end) = drain(&mut self.account, from, window);
        let flags = match end {
            End::Whole => Flags::default(),
            End::Damaged => Flag::Unreadable.into(),
            End::Stopped(_) => Flag::Limit.into(),
        };
        let at = self.found(parent, Found { names, octets: octets.into(), flags })?;
        if let End::Stopped(stop) = end { Err(stop) } else { Ok(at) }
    }

    fn add(&mut self, parent: Option<usize>, found: Found, declared: &str, is_body: bool) -> usize {
        let Found { names, octets, flags } = found;
        let (kind, seen) = detect(&octets, is_body);
        let mut flags = flags;
        flags.set(seen);
        let depth = parent.and_then(|parent| self.files.get(parent)).map_or(0, |parent| parent.depth + 1);
        let input = parent.and_then(|parent| self.files.get(parent)).map_or(self.inputs, |parent| parent.input);
        let unread = octets.is_empty() && (flags.has(Flag::Encrypted) || flags.has(Flag::Unreadable));
        let at = self.files.len();
        if open::is_container(kind, &octets) {
            self.to_open.push_back(at);
        }
        self.files.push(File {
            names: Vec::new(),
            declared: declared.into(),
            is_body,
            kind: if unread { Kind::Unknown } else { kind },
            flags,
            is_part: false,
            size: octets.len() as u64,
            sha256: if unread { None } else { digest::digest(&digest::SHA256, &octets).as_ref().try_into().ok() },
            octets,
            depth,
            input,
            parent,
        });
        for name in names {
            self.name(at, &name);
        }
        at
    }

    /// Gives the file at `at` one more name.
    pub(super) fn name(&mut self, at: usize, name: &str) {
        let start = name.char_indices().rev().nth(NAME - 1).map_or(0, |(start, _)| start);
        let Some(name) = name.get(start..).filter(|name| !name.is_empty()) else { return };
        if let Some(file) = self.files.get_mut(at)
            && file.names.len() < NAMES
            && !file.names.iter().any(|other| **other == *name)
        {
            file.names.push(name.into());
        }
    }

    pub(super) fn flag(&mut self, at: usize, flag: Flag) {
        if let Some(file) = self.files.get_mut(at) {
            file.flags.set(flag);
        }
    }

    pub(super) fn has(&self, at: usize, flag: Flag) -> bool {
        self.files.get(at).is_some_and(|file| file.flags.has(flag))
    }

    pub(super) fn octets(&self, at: usize) -> Option<Bytes> {
        self.files.get(at).map(|file| file.octets.clone())
    }

    /// The names of the one file inside a compressed one: without `.gz`.
    pub(super) fn inner_names(&self, at: usize) -> Vec<String> {
        let names = self.files.get(at).map(|file| file.names.as_slice()).unwrap_or_default();
        let inner = |name: &str| match name.rsplit_once('.') {
            Some((stem, end)) if end.eq_ignore_ascii_case("tgz") || end.eq_ignore_ascii_case("tbz2") || end.eq_ignore_ascii_case("txz") => {
                format!("{stem}.tar")
            }
            Some((stem, _)) => stem.to_owned(),
            None => name.to_owned(),
        };
        names.iter().map(|name| inner(name)).collect()
    }

    /// What is inside tells more than the first octets did.
    pub(super) fn refine(&mut self, at: usize, kind: Kind) {
        if let Some(file) = self.files.get_mut(at) {
            file.kind = kind;
        }
    }

    pub(super) fn finish(mut self) -> Unpacked {
        let of_documents = OF_DOCUMENTS.into_iter().fold(Flags::default(), Flags::with);
        // Children stand behind their parents, so that one way back reaches all of them.
        for at in (0..self.files.len()).rev() {
            let Some((flags, parent)) = self.files.get(at).map(|file| (file.flags.common(of_documents), file.parent)) else { continue };
            let Some(parent) = parent.and_then(|parent| self.files.get_mut(parent)) else { continue };
            let kind = parent.kind;
            if matches!(kind.class(), Class::Document | Class::Other) {
                parent.flags.set(flags);
            }
            if let Some(file) = self.files.get_mut(at) {
                file.is_part = kind.has_parts() || (kind == Kind::Pdf && file.names.is_empty());
            }
        }
        Unpacked { files: self.files, exceeded: self.exceeded }
    }
}
