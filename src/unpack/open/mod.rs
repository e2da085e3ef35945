//! Containers, a file per format. Each gives what it finds to the walk, and is stopped by it.
mod document;
mod hidden;
mod ole;
mod rtf;
mod seven_z;
mod stream;
mod tar;
mod vba;
mod zip;

use super::{Flag, Kind, account::Stop, kind::Class, walk::Walk};
use bytes::Bytes;

/// Whether [`open`] would find something in it.
pub(super) fn is_container(kind: Kind, octets: &[u8]) -> bool {
    match kind {
        Kind::Zip
        | Kind::SevenZ
        | Kind::Tar
        | Kind::Gzip
        | Kind::Bzip2
        | Kind::Xz
        | Kind::Zstd
        | Kind::Ole
        | Kind::Rtf
        | Kind::OneNote
        | Kind::Tnef
        | Kind::ActiveMime
        | Kind::Pdf
        | Kind::Pe => true,
        _ => !matches!(kind.class(), Class::Archive | Class::Text) && zip::ends_like_one(octets),
    }
}

/// Finds what is in the file at `at`.
pub(super) fn open(walk: &mut Walk<'_>, at: usize, kind: Kind, octets: &Bytes) -> Result<(), Stop> {
    match kind {
        Kind::Zip => zip::open(walk, at, octets)?,
        Kind::SevenZ => seven_z::open(walk, at, octets)?,
        Kind::Tar => tar::open(walk, at, octets)?,
        Kind::Gzip | Kind::Bzip2 | Kind::Xz | Kind::Zstd => stream::open(walk, at, kind, octets)?,
        Kind::Ole => ole::open(walk, at, octets)?,
        Kind::Rtf => rtf::open(walk, at, octets)?,
        Kind::OneNote => hidden::one_note(walk, at, octets)?,
        Kind::Tnef => hidden::tnef(walk, at, octets)?,
        Kind::ActiveMime => hidden::active_mime(walk, at, octets)?,
        Kind::Pdf => document::pdf(walk, at, octets)?,
        Kind::Pe => hidden::self_extracting(walk, at, octets)?,
        _ => {}
    }
    if kind != Kind::Zip && zip::ends_like_one(octets) {
        walk.flag(at, Flag::Polyglot);
        zip::open(walk, at, octets)?;
    }
    Ok(())
}
