//! The octets of one file in a zip.
use super::{
    super::stream::{BZIP2_WINDOW, DEFLATE_WINDOW, WINDOW, WINDOW_KIB, zstd_reader},
    directory::Entry,
};
use crate::unpack::{
    Flag,
    account::Stop,
    detect::{le16, le32},
    walk::{Found, Walk},
};
use bytes::Bytes;
use memchr::memmem;
use std::io::{Cursor, Read};

/// WinZip's AES: the real method stands in an extra field (APPNOTE.TXT, appendix E).
const AES: u16 = 99;
const STORED: u16 = 0;

/// Takes in the file of `entry`; gives its place, `None` where it came to nothing, and where its
/// octets end.
pub(super) fn open(walk: &mut Walk<'_>, parent: usize, octets: &Bytes, entry: &Entry) -> Result<(Option<usize>, usize), Stop> {
    let stated =
        entry.packed.and_then(|packed| usize::try_from(packed).ok()).map(|packed| entry.data.saturating_add(packed).min(octets.len()));
    let encrypted = entry.methods.contains(&AES) || entry.encrypted.0 == entry.encrypted.1;
    if encrypted {
        let mut found = Found::closed("", Flag::Encrypted);
        found.names.clone_from(&entry.names);
        let end = stated.unwrap_or_else(|| next_header(octets, entry.data));
        return Ok((Some(walk.found(parent, found)?), end));
    }
    let mut best: Option<usize> = None;
    let mut end = stated.unwrap_or(entry.data);
    for method in &entry.methods {
        // As much as there is, whatever the headers state: a decoder knows its end.
        let input = Cursor::new(octets.slice(entry.data.min(octets.len())..));
        let file = match method {
            &STORED => {
                let stored = stated.unwrap_or_else(|| next_header(octets, entry.data));
                end = end.max(stored);
                let mut found = Found::new("", octets.slice(entry.data.min(stored)..stored));
                found.names.clone_from(&entry.names);
                walk.found(parent, found)?
            }
            8 => {
                let mut decoder = flate2::bufread::DeflateDecoder::new(input);
                let file = walk.stream(parent, entry.names.clone(), &mut decoder, DEFLATE_WINDOW)?;
                end = end.max(entry.data.saturating_add(usize::try_from(decoder.total_in()).unwrap_or(0)));
                file
            }
            12 => walk.stream(parent, entry.names.clone(), bzip2::bufread::BzDecoder::new(input), BZIP2_WINDOW)?,
            14 => lzma(walk, parent, entry, input)?,
            93 => match zstd_reader(limited(input, stated, entry.data)) {
                Some(decoder) => walk.stream(parent, entry.names.clone(), decoder, WINDOW)?,
                None => closed(walk, parent, entry)?,
            },
            95 => {
                let decoder = lzma_rust2::XzReader::new_mem_limit(input, false, WINDOW_KIB);
                walk.stream(parent, entry.names.clone(), decoder, WINDOW)?
            }
            // Shrink, implode, deflate64 and the rest.
            _ => closed(walk, parent, entry)?,
        };
        best.get_or_insert(file);
        if !walk.has(file, Flag::Unreadable) {
            best = Some(file);
        }
    }
    // Said to be encrypted by one header of two, and not readable as if it were not.
    if entry.encrypted.0 > 0
        && let Some(file) = best.filter(|file| walk.has(*file, Flag::Unreadable))
    {
        walk.flag(file, Flag::Encrypted);
    }
    Ok((best, end))
}

fn closed(walk: &mut Walk<'_>, parent: usize, entry: &Entry) -> Result<usize, Stop> {
    let mut found = Found::closed("", Flag::Unreadable);
    found.names.clone_from(&entry.names);
    walk.found(parent, found)
}

fn limited(input: Cursor<Bytes>, stated: Option<usize>, data: usize) -> impl std::io::BufRead {
    let limit = stated.map_or(u64::MAX, |end| (end - data.min(end)) as u64);
    std::io::BufReader::new(input.take(limit))
}

/// Version of the SDK, length of the properties, the properties, the stream (APPNOTE.TXT 5.8.8).
fn lzma(walk: &mut Walk<'_>, parent: usize, entry: &Entry, mut input: Cursor<Bytes>) -> Result<usize, Stop> {
    let mut head = [0; 9];
    let read = input.read_exact(&mut head).is_ok();
    let dictionary = le32(&head, 5).unwrap_or(u32::MAX);
    if !read || le16(&head, 2) != Some(5) || u64::from(dictionary) > WINDOW {
        return closed(walk, parent, entry);
    }
    // With an end marker or without: to the end of what is there.
    let input = limited(input, entry.packed.and_then(|packed| usize::try_from(packed).ok()), 9);
    match lzma_rust2::LzmaReader::new_with_props(input, u64::MAX, head[4], dictionary, None) {
        Ok(decoder) => walk.stream(parent, entry.names.clone(), decoder, WINDOW),
        Err(_) => closed(walk, parent, entry),
    }
}

/// Where the next header, descriptor or directory begins: the end of octets whose number nobody
/// states.
fn next_header(octets: &[u8], from: usize) -> usize {
    let rest = octets.get(from..).unwrap_or_default();
    let next = memmem::find_iter(rest, b"PK")
        .find(|at| matches!(rest.get(at + 2..at + 4), Some(b"\x01\x02" | b"\x03\x04" | b"\x05\x06" | b"\x07\x08")));
    from.min(octets.len()) + next.unwrap_or(rest.len())
}
