//! zip, and what is one: OOXML, OpenDocument, JAR.
//!
//! Readers of zip differ: some go by the directory at the end, some by the first they find, some by
//! the headers before each file, and each kind has been used to show a scanner another archive than
//! the victim sees. So all of it is read: every directory, outermost first, and then every local
//! header that none of them covers. Where they disagree about a name, the file has both.
mod directory;
mod member;

use super::document;
use crate::unpack::{
    Flag,
    account::Stop,
    detect::le32,
    walk::{Found, Walk},
};
use bytes::Bytes;
use directory::Entry;
use memchr::memmem;
use std::{collections::HashMap, ops::Range};

const LOCAL: &[u8] = b"PK\x03\x04";
const END: &[u8] = b"PK\x05\x06";
/// The end record with the longest comment.
const LONGEST_END: usize = 22 + 0xffff;

/// Whether it ends with the record that readers look for first, whatever it begins with.
pub(super) fn ends_like_one(octets: &[u8]) -> bool {
    let tail = octets.len().saturating_sub(LONGEST_END);
    let Some(end) = octets.get(tail..).and_then(|tail| memmem::rfind(tail, END)).map(|at| tail + at) else { return false };
    // Four octets may stand anywhere by chance: a directory lies before its end, or is zip64's.
    let number = |at: usize| le32(octets, end + at).map(u64::from);
    let (Some(size), Some(start), true) = (number(12), number(16), end + 22 <= octets.len()) else { return false };
    start == u64::from(u32::MAX) || (size >= 46 && start + size <= end as u64)
}

/// What was opened of one archive.
struct Opened {
    /// By the place of the local header: the file that was made of it.
    files: HashMap<usize, usize>,
    /// Octets that belong to a file: what looks like a header there is contents.
    covered: Vec<Range<usize>>,
    names: document::Names,
    /// There was an entry, if only of a folder.
    any: bool,
}

pub(super) fn open(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    let most = walk.account.limits.files;
    let mut opened = Opened { files: HashMap::new(), covered: Vec::new(), names: document::Names::default(), any: false };
    let mut directories = directory::all(octets, most.saturating_add(1));
    // The one that readers see is the last.
    while let Some(directory) = directories.pop() {
        if opened.covers(directory.at) {
            continue;
        }
        for entry in directory.entries {
            opened.entry(walk, at, octets, &entry, false)?;
        }
    }
    let hidden = !opened.files.is_empty();
    let mut from = 0;
    while let Some(found) = octets.get(from..).and_then(|rest| memmem::find(rest, LOCAL)) {
        let header = from + found;
        from = header + LOCAL.len();
        if let Some(range) = opened.covered.iter().find(|range| range.contains(&header)) {
            from = from.max(range.end);
            continue;
        }
        walk.account.check_time()?;
        if let Some(entry) = Entry::alone(octets, header) {
            opened.entry(walk, at, octets, &entry, hidden)?;
        }
    }
    if !opened.any && !octets.starts_with(END) {
        walk.flag(at, Flag::Unreadable);
    }
    if let Some(kind) = opened.names.kind() {
        walk.refine(at, kind);
    }
    if opened.names.has_macros() {
        walk.flag(at, Flag::Macro);
    }
    Ok(())
}

impl Opened {
    fn covers(&self, at: usize) -> bool {
        self.covered.iter().any(|range| range.contains(&at))
    }

    fn entry(&mut self, walk: &mut Walk<'_>, parent: usize, octets: &Bytes, entry: &Entry, hidden: bool) -> Result<(), Stop> {
        self.any = true;
        for name in &entry.names {
            self.names.add(name);
        }
        if let Some(file) = entry.header.and_then(|header| self.files.get(&header)) {
            // One of many entries for the same octets: another name, no more work.
            for name in &entry.names {
                walk.name(*file, name);
            }
            return Ok(());
        }
        if entry.is_folder() {
            return Ok(());
        }
        let Some(header) = entry.header else {
            // It is in the directory and nowhere else.
            let name = entry.names.first().cloned().unwrap_or_default();
            walk.found(parent, Found::closed(name, Flag::Unreadable))?;
            return Ok(());
        };
        let (file, end) = member::open(walk, parent, octets, entry)?;
        let Some(file) = file else { return Ok(()) };
        if hidden {
            walk.flag(file, Flag::Hidden);
        }
        if entry.names.iter().any(|name| name.to_ascii_lowercase().ends_with(".rels"))
            && walk.octets(file).is_some_and(|octets| document::is_remote(&octets))
        {
            walk.flag(file, Flag::ExternalTemplate);
            walk.flag(parent, Flag::ExternalTemplate);
        }
        self.files.insert(header, file);
        self.covered.push(header..end.max(header + LOCAL.len()));
        Ok(())
    }
}
