//! What a zip says about the files in it (APPNOTE.TXT 4.3).
use crate::unpack::detect::{le16, le32, le64};
use memchr::memmem;

const CENTRAL: &[u8] = b"PK\x01\x02";
const CENTRAL_LEN: usize = 46;
const LOCAL_LEN: usize = 30;
const END: &[u8] = b"PK\x05\x06";
const ZIP64_END: &[u8] = b"PK\x06\x06";
/// Extra field with the sizes that do not fit 32 bits (APPNOTE.TXT 4.5.3).
const ZIP64: u16 = 1;

/// A run of central headers.
pub(super) struct Directory {
    pub(super) at: usize,
    pub(super) entries: Vec<Entry>,
}

/// A file, as directory and local header have it.
#[derive(Debug)]
pub(super) struct Entry {
    /// That of the directory first, that of the local header where it is another.
    pub(super) names: Vec<String>,
    /// Where its local header stands; `None` where there is none.
    pub(super) header: Option<usize>,
    /// Where its octets begin.
    pub(super) data: usize,
    /// Every method that one of its headers states.
    pub(super) methods: Vec<u16>,
    /// Of how many headers say that it is encrypted, and how many there are.
    pub(super) encrypted: (u8, u8),
    /// The largest that one of its headers states; `None` where it comes after the octets.
    pub(super) packed: Option<u64>,
}

/// Headers of either kind have these.
struct Header {
    name: String,
    flags: u16,
    method: u16,
    packed: u64,
    offset: u64,
    end: usize,
}

impl Entry {
    /// An entry that only its local header at `at` speaks of.
    pub(super) fn alone(octets: &[u8], at: usize) -> Option<Self> {
        let local = local(octets, at)?;
        // Four octets may stand anywhere by chance.
        let is_sane = le16(octets, at + 4)? & 0xff <= 63 && !local.name.is_empty() && local.method <= 99;
        let mut entry = Self { names: Vec::new(), header: None, data: 0, methods: Vec::new(), encrypted: (0, 0), packed: None };
        entry.locate(at, local);
        is_sane.then_some(entry)
    }

    fn locate(&mut self, at: usize, local: Header) {
        self.header = Some(at);
        self.data = local.end;
        self.state(local);
    }

    fn state(&mut self, header: Header) {
        if !self.names.contains(&header.name) {
            self.names.push(header.name);
        }
        if !self.methods.contains(&header.method) {
            self.methods.push(header.method);
        }
        self.encrypted.0 += u8::from(header.flags & 1 != 0);
        self.encrypted.1 += 1;
        // Bit 3: sizes come after the octets, and are zero here.
        if header.packed != 0 || header.flags & 8 == 0 {
            self.packed = Some(self.packed.unwrap_or(0).max(header.packed));
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.packed == Some(0) && self.names.iter().all(|name| name.ends_with(['/', '\\']))
    }
}

/// Every directory, in the order they stand, with at most `most` entries in all.
pub(super) fn all(octets: &[u8], most: usize) -> Vec<Directory> {
    let mut directories = Vec::new();
    let (mut from, mut left) = (0, most);
    while let Some(found) = octets.get(from..).and_then(|rest| memmem::find(rest, CENTRAL)) {
        let start = from + found;
        let mut at = start;
        let mut headers = Vec::new();
        while left > 0
            && let Some(header) = central(octets, at)
        {
            left -= 1;
            at = header.end;
            headers.push(header);
        }
        from = at.max(start + CENTRAL.len());
        if headers.is_empty() {
            if left == 0 {
                break;
            }
            continue;
        }
        // Something may stand before the archive that its offsets do not count.
        let before = stated_start(octets, at).and_then(|stated| start.checked_sub(stated)).unwrap_or(0);
        let entries = headers.into_iter().map(|header| entry(octets, header, before)).collect();
        directories.push(Directory { at: start, entries });
    }
    directories
}

fn entry(octets: &[u8], central: Header, before: usize) -> Entry {
    let offset = usize::try_from(central.offset).unwrap_or(usize::MAX);
    let mut entry = Entry { names: Vec::new(), header: None, data: 0, methods: Vec::new(), encrypted: (0, 0), packed: None };
    entry.state(central);
    for at in [offset.saturating_add(before), offset] {
        if let Some(local) = local(octets, at) {
            entry.locate(at, local);
            break;
        }
    }
    entry
}

/// Where the end record behind a directory says that the directory starts.
fn stated_start(octets: &[u8], end: usize) -> Option<usize> {
    let record = octets.get(end..)?;
    let stated = if record.starts_with(END) {
        u64::from(le32(record, 16)?)
    } else if record.starts_with(ZIP64_END) {
        le64(record, 48)?
    } else {
        return None;
    };
    usize::try_from(stated).ok()
}

fn central(octets: &[u8], at: usize) -> Option<Header> {
    let header = octets.get(at..)?;
    if !header.starts_with(CENTRAL) {
        return None;
    }
    let [name, extra, comment] = [28, 30, 32].map(|at| le16(header, at).map(usize::from));
    let (name, extra) = (CENTRAL_LEN + name?, extra?);
    let zip64 = zip64(header.get(name..name + extra)?);
    let real =
        |stated: u32, nth: usize| if stated == u32::MAX { zip64.get(nth).copied().unwrap_or_else(|| stated.into()) } else { stated.into() };
    let (packed, size, offset) = (le32(header, 20)?, le32(header, 24)?, le32(header, 42)?);
    // The extra field has those that do not fit, in this order: size, packed, offset.
    let nth = usize::from(size == u32::MAX);
    Some(Header {
        name: text(header.get(CENTRAL_LEN..name)?),
        flags: le16(header, 8)?,
        method: le16(header, 10)?,
        packed: real(packed, nth),
        offset: real(offset, nth + usize::from(packed == u32::MAX)),
        end: at + name + extra + comment?,
    })
}

fn local(octets: &[u8], at: usize) -> Option<Header> {
    let header = octets.get(at..)?;
    if !header.starts_with(super::LOCAL) {
        return None;
    }
    let (name, extra) = (LOCAL_LEN + usize::from(le16(header, 26)?), usize::from(le16(header, 28)?));
    let zip64 = zip64(header.get(name..name + extra)?);
    let packed = le32(header, 18)?;
    Some(Header {
        name: text(header.get(LOCAL_LEN..name)?),
        flags: le16(header, 6)?,
        method: le16(header, 8)?,
        packed: if packed == u32::MAX { zip64.get(1).copied().unwrap_or_else(|| packed.into()) } else { packed.into() },
        offset: 0,
        end: at + name + extra,
    })
}

/// The numbers of the zip64 extra field.
fn zip64(mut extra: &[u8]) -> Vec<u64> {
    while let (Some(id), Some(len)) = (le16(extra, 0), le16(extra, 2)) {
        let Some(data) = extra.get(4..4 + usize::from(len)) else { break };
        if id == ZIP64 {
            return data.chunks_exact(8).take(3).filter_map(|number| le64(number, 0)).collect();
        }
        extra = extra.get(4 + data.len()..).unwrap_or_default();
    }
    Vec::new()
}

/// Octets of a name that are kept, the last: more than any file system takes.
const NAME: usize = 1024;

/// UTF-8 where it is; else every octet a character, since what matters of a name is ASCII.
fn text(name: &[u8]) -> String {
    let name = name.get(name.len().saturating_sub(NAME)..).unwrap_or_default();
    std::str::from_utf8(name).map_or_else(|_| name.iter().map(|octet| char::from(*octet)).collect(), str::to_owned)
}
