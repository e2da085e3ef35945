//! Smaller containers: OneNote, TNEF, ActiveMime, programs that extract themselves.
use super::{seven_z, stream::DEFLATE_WINDOW};
use crate::unpack::{
    Flag,
    account::Stop,
    detect::{le32, le64},
    walk::{Found, Walk},
};
use bytes::Bytes;
use memchr::memmem;
use std::io::Cursor;

/// [MS-ONESTORE] §2.6.13 FileDataStoreObject: its GUID, length, padding, data.
pub(super) fn one_note(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    const OBJECT: &[u8] = b"\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac";
    const HEADER: usize = 36;
    let mut from = 0;
    while let Some(found) = octets.get(from..).and_then(|rest| memmem::find(rest, OBJECT)) {
        let object = from + found;
        let start = (object + HEADER).min(octets.len());
        let len = le64(octets, object + OBJECT.len()).and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
        let end = start.saturating_add(len).min(octets.len());
        walk.found(at, Found::new("", octets.slice(start..end)))?;
        walk.flag(at, Flag::EmbeddedObject);
        from = end.max(object + OBJECT.len());
    }
    Ok(())
}

/// [MS-OXTNEF]: `winmail.dat`. Level, attribute, length, data, checksum, and so on.
pub(super) fn tnef(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    const TITLE: u32 = 0x0001_8010;
    const DATA: u32 = 0x0006_800f;
    const RENDERING: u32 = 0x0006_9002;
    let mut place = 6;
    let (mut title, mut data) = (String::new(), Bytes::new());
    while let (Some(attribute), Some(len)) = (le32(octets, place + 1), le32(octets, place + 5)) {
        let start = place + 9;
        let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len)).filter(|end| *end <= octets.len());
        let Some(end) = end else {
            walk.flag(at, Flag::Unreadable);
            break;
        };
        match attribute {
            // Another attachment begins.
            RENDERING if !data.is_empty() => {
                walk.found(at, Found::new(std::mem::take(&mut title), std::mem::take(&mut data)))?;
            }
            TITLE => title = octets.slice(start..end).iter().take_while(|octet| **octet != 0).map(|octet| char::from(*octet)).collect(),
            DATA => data = octets.slice(start..end),
            _ => {}
        }
        place = end + 2;
    }
    if !data.is_empty() {
        walk.found(at, Found::new(title, data))?;
    }
    Ok(())
}

/// Macros as Word 2000 put them into HTML: an OLE file, deflated, behind a header of this length.
pub(super) fn active_mime(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    let packed = [0x32, 0x22a].into_iter().find(|at| octets.get(*at) == Some(&0x78));
    let Some(packed) = packed else {
        walk.flag(at, Flag::Unreadable);
        return Ok(());
    };
    walk.stream(at, vec![], flate2::bufread::ZlibDecoder::new(Cursor::new(octets.slice(packed..))), DEFLATE_WINDOW)?;
    Ok(())
}

/// A program with an archive of 7z behind it. One with a zip is found by the zip's end.
pub(super) fn self_extracting(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    match seven_z::find(octets) {
        Some(start) => {
            walk.found(at, Found::new("", octets.slice(start..)))?;
            Ok(())
        }
        None => Ok(()),
    }
}
