//! tar: files as they are, one after the other.
use crate::unpack::{
    Flag,
    account::Stop,
    walk::{Found, Walk},
};
use bytes::Bytes;
use std::io::Cursor;

/// Octets of a name that are kept, the last.
const NAME: usize = 1024;

pub(super) fn open(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    let mut archive = tar::Archive::new(Cursor::new(octets.clone()));
    archive.set_ignore_zeros(true);
    let Ok(entries) = archive.entries_with_seek() else {
        walk.flag(at, Flag::Unreadable);
        return Ok(());
    };
    for entry in entries {
        let Ok(entry) = entry else {
            walk.flag(at, Flag::Unreadable);
            break;
        };
        if !entry.header().entry_type().is_file() && !entry.header().entry_type().is_gnu_sparse() {
            continue;
        }
        let name = entry.path_bytes();
        let name = String::from_utf8_lossy(name.get(name.len().saturating_sub(NAME)..).unwrap_or_default()).into_owned();
        let start = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX).min(octets.len());
        let end = usize::try_from(entry.size()).map_or(octets.len(), |size| start.saturating_add(size).min(octets.len()));
        let mut found = Found::new(name, octets.slice(start..end));
        if (end - start) as u64 != entry.size() {
            found.flags.set(Flag::Unreadable);
        }
        walk.found(at, found)?;
    }
    Ok(())
}
