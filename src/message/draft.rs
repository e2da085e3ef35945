//! A header section under edits.
//!
//! Whoever sends a message chooses how many fields it has and what they are called, and stages answer
//! with an edit for each: 70,000 of both fit into a section of 1 MiB. So no edit looks through all
//! fields. Only an insertion costs what stands above its place.
use super::{HeaderBlock, edit::Edit};
use bytes::Bytes;
use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

#[derive(Default)]
pub(super) struct Draft<'a> {
    /// All there ever were, by number.
    pieces: Vec<Piece<'a>>,
    /// Their numbers from the top down, those that are gone among them.
    order: VecDeque<usize>,
    /// How many are not gone.
    live: usize,
    /// The names, in small letters, that edits count the fields of, and which of `groups` is theirs.
    names: HashMap<Vec<u8>, usize>,
    /// The numbers of the fields of one name from the top down, without those that are gone.
    groups: Vec<VecDeque<usize>>,
}

struct Piece<'a> {
    octets: Cow<'a, [u8]>,
    group: Option<usize>,
    gone: bool,
}

impl<'a> Draft<'a> {
    /// `edits`: those that will be applied; the names they count are looked for.
    pub(super) fn new(headers: &'a HeaderBlock, edits: impl Iterator<Item = &'a Edit>) -> Self {
        let mut draft = Self::default();
        for edit in edits {
            if let Edit::ReplaceHeader { name, .. } | Edit::DeleteHeader { name, .. } = edit {
                let next = draft.groups.len();
                if *draft.names.entry(name.as_bytes().to_ascii_lowercase()).or_insert(next) == next {
                    draft.groups.push(VecDeque::new());
                }
            }
        }
        for field in headers.fields() {
            draft.append(field.name, Cow::Borrowed(field.raw));
        }
        draft
    }

    /// `edit`: one that is about a header field; others change nothing here.
    pub(super) fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::AddHeader { name, value } => self.append(name.as_bytes(), write_field(name, value).into()),
            Edit::InsertHeader { at, name, value } => self.insert(*at, name.as_bytes(), write_field(name, value).into()),
            Edit::ReplaceHeader { name, nth, value } => self.replace(name, (*nth).max(1), write_field(name, value).into()),
            Edit::DeleteHeader { name, nth } => self.delete(name, *nth),
            Edit::ReplaceBody(_) | Edit::Sender(_) | Edit::AddRecipient(_) | Edit::DeleteRecipient(_) => {}
        }
    }

    fn group(&self, name: &[u8]) -> Option<usize> {
        if self.names.is_empty() { None } else { self.names.get(&name.to_ascii_lowercase()).copied() }
    }

    fn members(&mut self, group: Option<usize>) -> Option<&mut VecDeque<usize>> {
        self.groups.get_mut(group?)
    }

    /// A new piece, which has no place yet.
    fn take_in(&mut self, octets: Cow<'a, [u8]>, group: Option<usize>) -> usize {
        self.pieces.push(Piece { octets, group, gone: false });
        self.live += 1;
        self.pieces.len() - 1
    }

    fn append(&mut self, name: &[u8], octets: Cow<'a, [u8]>) {
        let group = self.group(name);
        let number = self.take_in(octets, group);
        self.order.push_back(number);
        if let Some(members) = self.members(group) {
            members.push_back(number);
        }
    }

    fn insert(&mut self, at: usize, name: &[u8], octets: Cow<'a, [u8]>) {
        if at >= self.live {
            return self.append(name, octets);
        }
        let group = self.group(name);
        let (mut place, mut above, mut namesakes) = (0, 0, 0);
        while above < at
            && let Some(piece) = self.order.get(place).and_then(|number| self.pieces.get(*number))
        {
            place += 1;
            above += usize::from(!piece.gone);
            namesakes += usize::from(!piece.gone && piece.group == group);
        }
        let number = self.take_in(octets, group);
        self.order.insert(place, number);
        if let Some(members) = self.members(group) {
            members.insert(namesakes, number);
        }
    }

    /// `nth`: from 1.
    fn replace(&mut self, name: &str, nth: usize, octets: Cow<'a, [u8]>) {
        let group = self.group(name.as_bytes());
        let number = self.members(group).and_then(|members| members.get(nth - 1).copied());
        match number.and_then(|number| self.pieces.get_mut(number)) {
            Some(piece) => piece.octets = octets,
            None => self.append(name.as_bytes(), octets),
        }
    }

    /// `nth`: from 1, or 0 for all.
    fn delete(&mut self, name: &str, nth: usize) {
        let group = self.group(name.as_bytes());
        let Some(members) = self.members(group) else { return };
        let gone = match nth.checked_sub(1) {
            None => std::mem::take(members),
            Some(index) => members.remove(index).into_iter().collect(),
        };
        self.live -= gone.len();
        for number in gone {
            if let Some(piece) = self.pieces.get_mut(number) {
                piece.gone = true;
            }
        }
    }

    /// The section as it is now, without the closing empty line.
    pub(super) fn finish(self) -> Bytes {
        let live = || self.order.iter().filter_map(|number| self.pieces.get(*number)).filter(|piece| !piece.gone);
        let mut block = Vec::with_capacity(live().map(|piece| piece.octets.len() + 2).sum());
        for piece in live() {
            block.extend_from_slice(&piece.octets);
            // Only the last line of a message that was cut off has no line end; what is put behind
            // it must not become part of it.
            if !block.ends_with(b"\r\n") {
                block.extend_from_slice(b"\r\n");
            }
        }
        block.into()
    }
}

/// `name: value`, folded where the value has line breaks. Whatever a value contains, this is one
/// field: each further line begins with a blank, no line consists of blanks only (RFC 5322 §3.2.2;
/// some readers end the header section there), and NUL and stray CR are left out.
pub(super) fn write_field(name: &str, value: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(name.len() + value.len() + 4);
    field.extend_from_slice(name.as_bytes());
    field.push(b':');
    for (n, line) in value.split(|octet| *octet == b'\n').enumerate() {
        let start = field.len();
        if n > 0 {
            field.extend_from_slice(b"\r\n");
        }
        let octets = line.iter().copied().filter(|octet| !matches!(octet, b'\r' | 0));
        if !octets.clone().next().is_none_or(|first| matches!(first, b' ' | b'\t')) {
            field.push(b' ');
        }
        field.extend(octets);
        if n > 0 && field.get(start..).is_none_or(|line| line.trim_ascii().is_empty()) {
            field.truncate(start);
        }
    }
    field.extend_from_slice(b"\r\n");
    field
}
