//! Compressed streams with one file inside: gzip, bzip2, xz, zstd.
use crate::unpack::{Flag, Kind, account::Stop, walk::Walk};
use bytes::Bytes;
use std::io::{Cursor, Read};

/// The most that a decoder's window may take, in KiB: what `xz -9` asks for, and `zstd --ultra` does.
pub(super) const WINDOW_KIB: u32 = (64 << 10) + 256;
pub(super) const WINDOW: u64 = (WINDOW_KIB as u64) << 10;
/// A decoder of bzip2 holds 4 octets for each of a block, and a block has 900 kB at most.
pub(super) const BZIP2_WINDOW: u64 = 4 << 20;
pub(super) const DEFLATE_WINDOW: u64 = 64 << 10;

pub(super) fn open(walk: &mut Walk<'_>, at: usize, kind: Kind, octets: &Bytes) -> Result<(), Stop> {
    let input = Cursor::new(octets.clone());
    let mut names = walk.inner_names(at);
    let opened = match kind {
        Kind::Gzip => {
            let decoder = flate2::bufread::MultiGzDecoder::new(input);
            if let Some(name) = decoder.header().and_then(|header| header.filename()) {
                names.insert(0, String::from_utf8_lossy(name).into_owned());
            }
            walk.stream(at, names, decoder, DEFLATE_WINDOW)
        }
        Kind::Bzip2 => walk.stream(at, names, bzip2::bufread::MultiBzDecoder::new(input), BZIP2_WINDOW),
        Kind::Xz => walk.stream(at, names, lzma_rust2::XzReader::new_mem_limit(input, true, WINDOW_KIB), WINDOW),
        Kind::Zstd => match zstd_reader(input) {
            Some(decoder) => walk.stream(at, names, decoder, WINDOW),
            None => {
                walk.flag(at, Flag::Unreadable);
                return Ok(());
            }
        },
        _ => return Ok(()),
    };
    let inner = opened?;
    if walk.has(inner, Flag::Unreadable) {
        walk.flag(at, Flag::Unreadable);
    }
    Ok(())
}

pub(super) fn zstd_reader(input: impl std::io::BufRead) -> Option<impl Read> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(input).ok()?;
    decoder.window_log_max(26).ok()?;
    Some(decoder)
}
