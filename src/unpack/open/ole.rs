//! OLE compound files ([MS-CFB]): Office documents before 2007, VBA projects, embedded objects,
//! Outlook messages, installers.
use super::vba;
use crate::unpack::{
    Flag, Kind,
    account::Stop,
    detect::{le16, le32},
    walk::{Found, Walk},
};
use bytes::Bytes;
use std::{io::Cursor, path::PathBuf};

/// The class of installer databases, patches and transforms.
const INSTALLER: [u32; 3] = [0x000c_1084, 0x000c_1086, 0x000c_1082];

pub(super) fn open(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    let Ok(mut compound) = cfb::CompoundFile::open(Cursor::new(octets.clone())) else {
        walk.flag(at, Flag::Unreadable);
        return Ok(());
    };
    if INSTALLER.contains(&compound.root_entry().clsid().as_fields().0) {
        walk.refine(at, Kind::Msi);
        walk.flag(at, Flag::Unreadable);
        return Ok(());
    }
    let most = walk.account.limits.files.saturating_mul(2);
    let streams: Vec<(PathBuf, String)> = compound
        .walk()
        .take(most)
        .filter(|entry| entry.is_stream())
        .map(|entry| (entry.path().to_owned(), entry.name().to_owned()))
        .collect();
    for (path, name) in &streams {
        let Ok(stream) = compound.open_stream(path) else {
            walk.found(at, Found::closed(name.clone(), Flag::Unreadable))?;
            continue;
        };
        let full = path.to_string_lossy();
        let child = walk.stream(at, vec![full.trim_start_matches('/').to_owned()], stream, 0)?;
        let Some(octets) = walk.octets(child) else { continue };
        look_at(walk, at, child, name, &full, &octets)?;
    }
    Ok(())
}

/// What a stream says about the file it is in, and what is inside it.
fn look_at(walk: &mut Walk<'_>, at: usize, child: usize, name: &str, path: &str, octets: &Bytes) -> Result<(), Stop> {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "worddocument" => {
            walk.refine(at, Kind::Doc);
            // [MS-DOC] §2.5.2 fEncrypted.
            if le16(octets, 10).is_some_and(|flags| flags & 0x0100 != 0) {
                walk.flag(at, Flag::Encrypted);
            }
        }
        "workbook" | "book" => {
            walk.refine(at, Kind::Xls);
            for flag in workbook(octets) {
                walk.flag(at, flag);
            }
        }
        "powerpoint document" => walk.refine(at, Kind::Ppt),
        "__properties_version1.0" if path.matches('/').count() == 1 => walk.refine(at, Kind::Msg),
        "encryptedpackage" | "encryptedsummary" => walk.flag(at, Flag::Encrypted),
        "_vba_project" => walk.flag(at, Flag::Macro),
        "\u{1}ole10native" => {
            walk.flag(at, Flag::EmbeddedObject);
            if let Some((names, data)) = native(octets, 4) {
                walk.found(child, Found { names, octets: data, flags: Default::default() })?;
            }
        }
        "\u{1}ole" | "package" | "contents" => walk.flag(at, Flag::EmbeddedObject),
        _ => {}
    }
    // Modules lie in the storage VBA, whatever else its names; their source is where the project is
    // compiled from, unless it was taken out to hide.
    if path.to_ascii_lowercase().contains("/vba/")
        && let Some(source) = vba::source(octets, &mut walk.account)?
    {
        let flag = vba::runs_by_itself(&source).then_some(Flag::AutoExec);
        let module = walk.found(child, Found { names: vec![format!("{name}.vba")], octets: source.into(), flags: Flag::Macro.into() })?;
        walk.refine(module, Kind::Vba);
        walk.flag(at, Flag::Macro);
        for at in [module, at] {
            if let Some(flag) = flag {
                walk.flag(at, flag);
            }
        }
    }
    Ok(())
}

/// The records of a workbook's globals ([MS-XLS] §2.4): encryption, and sheets of Excel 4 macros.
fn workbook(octets: &[u8]) -> Vec<Flag> {
    const END_OF_GLOBALS: u16 = 0x0a;
    const FILE_PASS: u16 = 0x2f;
    const BOUND_SHEET: u16 = 0x85;
    let mut flags = Vec::new();
    let mut at = 0;
    while let (Some(record), Some(len)) = (le16(octets, at), le16(octets, at + 2)) {
        match record {
            END_OF_GLOBALS => break,
            FILE_PASS => flags.push(Flag::Encrypted),
            BOUND_SHEET if octets.get(at + 9) == Some(&1) => flags.push(Flag::Macro),
            _ => {}
        }
        at += 4 + usize::from(len);
    }
    flags
}

/// A file that was dropped into a document ([MS-OLEDS] §2.3.6, whose data is the packager's own):
/// its names and its octets. `at`: where the packager's data begins.
pub(super) fn native(octets: &Bytes, at: usize) -> Option<(Vec<String>, Bytes)> {
    /// An ANSI text up to its NUL.
    fn text(octets: &[u8], at: usize) -> Option<(String, usize)> {
        let rest = octets.get(at..)?;
        let len = memchr::memchr(0, rest.get(..rest.len().min(1024))?)?;
        Some((rest.get(..len)?.iter().map(|octet| char::from(*octet)).collect(), at + len + 1))
    }
    let (label, at) = text(octets, at + 2)?;
    let (path, at) = text(octets, at)?;
    let command = usize::try_from(le32(octets, at + 4)?).ok()?;
    let at = at.checked_add(8)?.checked_add(command)?;
    let len = usize::try_from(le32(octets, at)?).ok()?;
    let start = at + 4;
    if start > octets.len() {
        return None;
    }
    let file = path.rsplit(['\\', '/']).next().unwrap_or_default().to_owned();
    Some((vec![label, file], octets.slice(start..start.saturating_add(len).min(octets.len()))))
}
