//! RTF: the objects in it, which are files in hexadecimal.
use super::ole;
use crate::unpack::{
    Flag,
    account::Stop,
    detect::le32,
    walk::{Found, Walk},
};
use bytes::Bytes;
use memchr::memmem;

const OLE: &[u8] = b"\xd0\xcf\x11\xe0";

pub(super) fn open(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    walk.account.hold(octets.len() as u64)?;
    let lower = octets.to_ascii_lowercase();
    let says = |word: &[u8]| memmem::find(&lower, word).is_some();
    if says(b"\\objupdate") || says(b"\\objautlink") {
        walk.flag(at, Flag::ObjectUpdate);
    }
    if says(b"\\*\\template http") || says(b"\\*\\template \\\\") || says(b"{\\*\\template\r\nhttp") {
        walk.flag(at, Flag::ExternalTemplate);
    }
    let mut from = 0;
    while let Some(found) = lower.get(from..).and_then(|rest| memmem::find(rest, b"\\objdata")) {
        from += found + b"\\objdata".len();
        walk.flag(at, Flag::EmbeddedObject);
        let (data, read) = hexadecimal(octets.get(from..).unwrap_or_default());
        from += read;
        walk.account.hold(data.len() as u64)?;
        object(walk, at, data.into())?;
    }
    walk.account.release(octets.len() as u64);
    Ok(())
}

/// An embedded object ([MS-OLEDS] §2.2.5), or whatever else is there.
fn object(walk: &mut Walk<'_>, at: usize, data: Bytes) -> Result<(), Stop> {
    let (class, native) = embedded(&data).unwrap_or_default();
    if class.eq_ignore_ascii_case("package")
        && let Some((names, file)) = ole::native(&native, 0)
    {
        walk.found(at, Found { names, octets: file, flags: Default::default() })?;
    } else if !native.is_empty() {
        walk.found(at, Found::new(class, native))?;
    } else if let Some(start) = memmem::find(&data, OLE) {
        walk.found(at, Found::new("", data.slice(start..)))?;
    } else if !data.is_empty() {
        walk.found(at, Found::new("", data))?;
    }
    Ok(())
}

/// Class name and native data.
fn embedded(data: &Bytes) -> Option<(String, Bytes)> {
    let mut at = 8;
    let mut class = String::new();
    // Class, topic and item, each with its length before it.
    for nth in 0..3 {
        let len = usize::try_from(le32(data, at)?).ok()?;
        let text = data.get(at + 4..at.checked_add(4)?.checked_add(len)?)?;
        if nth == 0 {
            class = text.iter().take_while(|octet| **octet != 0).map(|octet| char::from(*octet)).collect();
        }
        at += 4 + len;
    }
    let len = usize::try_from(le32(data, at)?).ok()?;
    let start = at + 4;
    let end = start.checked_add(len)?.min(data.len());
    (start <= end).then(|| (class, data.slice(start..end)))
}

/// The octets that hexadecimal digits stand for, up to the end of the group, past blanks, control
/// words and groups within, which readers skip as well; and how much was read.
fn hexadecimal(text: &[u8]) -> (Vec<u8>, usize) {
    let mut octets = Vec::new();
    let (mut high, mut depth, mut at) = (None, 0_usize, 0);
    while let Some(character) = text.get(at) {
        at += 1;
        match character {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            b'\\' => {
                at += text.get(at..).unwrap_or_default().iter().take_while(|next| next.is_ascii_alphanumeric() || **next == b'-').count()
            }
            digit if depth == 0 => {
                let Some(digit) = char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()) else { continue };
                match high.take() {
                    None => high = Some(digit),
                    Some(high) => octets.push(high << 4 | digit),
                }
            }
            _ => {}
        }
    }
    (octets, at)
}
