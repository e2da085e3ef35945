//! 7z.
use super::stream::{WINDOW, WINDOW_KIB};
use crate::unpack::{
    Flag,
    account::{Limit, Stop},
    detect::{le32, le64},
    walk::{Found, Walk},
};
use bytes::Bytes;
use sevenz_rust2::{Archive, BlockDecoder, Error, Password};
use std::io::Cursor;

/// Octets of a header, unpacked. The crate makes an entry for each octet, if the header says there
/// are so many.
const HEADER: u64 = 256 << 10;
/// What the crate's entry takes.
const ENTRY: u64 = size_of::<sevenz_rust2::ArchiveEntry>() as u64;
/// Decoders one behind the other in a block: a filter or two, a decompressor, a cipher.
const CODERS: usize = 6;

pub(super) fn open(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    let Some(header) = header_len(octets) else {
        walk.flag(at, Flag::Unreadable);
        return Ok(());
    };
    if header > HEADER {
        return Err(Stop::Limit(Limit::Files));
    }
    let held = header * (ENTRY + 1);
    walk.account.hold(held)?;
    let opened = open_archive(walk, at, octets);
    walk.account.release(held);
    opened
}

fn open_archive(walk: &mut Walk<'_>, at: usize, octets: &Bytes) -> Result<(), Stop> {
    let mut source = Cursor::new(octets.clone());
    let password = Password::empty();
    let limit = usize::try_from(WINDOW_KIB).unwrap_or(usize::MAX);
    let archive = match Archive::read_with_memory_limit(&mut source, &password, limit) {
        Ok(archive) => archive,
        Err(error) => {
            walk.flag(at, if is_password(&error) { Flag::Encrypted } else { Flag::Unreadable });
            return Ok(());
        }
    };
    for (file, entry) in archive.files.iter().enumerate() {
        let lonely = archive.stream_map.file_block_index.get(file).is_none_or(Option::is_none);
        if archive.is_file_encrypted(file) && entry.has_stream() {
            walk.found(at, Found::closed(entry.name(), Flag::Encrypted))?;
        } else if lonely && !entry.is_directory() {
            walk.found(at, Found::new(entry.name(), Bytes::new()))?;
        }
    }
    for (index, block) in archive.blocks.iter().enumerate() {
        let first = archive.stream_map.block_first_file_index.get(index).copied().unwrap_or(0);
        if archive.is_file_encrypted(first) {
            continue;
        }
        if block.coders.len() > CODERS {
            unreadable(walk, at, &archive, index, 0)?;
            continue;
        }
        let mut read = 0;
        let decoder = BlockDecoder::new_with_memory_limit(1, limit, index, &archive, &password, &mut source);
        let mut stopped = None;
        let done = decoder.for_each_entries(&mut |entry, reader| {
            if !entry.has_stream() {
                return Ok(true);
            }
            read += 1;
            match walk.stream(at, vec![entry.name().to_owned()], reader, WINDOW) {
                Ok(_) => Ok(true),
                Err(stop) => {
                    stopped = Some(stop);
                    // What is left would be read to its end otherwise.
                    Ok(false)
                }
            }
        });
        if let Some(stop) = stopped {
            return Err(stop);
        }
        if done.is_err() {
            unreadable(walk, at, &archive, index, read)?;
        }
    }
    Ok(())
}

/// The files of a block from the `read`th on cannot be had; their names can.
fn unreadable(walk: &mut Walk<'_>, at: usize, archive: &Archive, block: usize, read: usize) -> Result<(), Stop> {
    walk.flag(at, Flag::Unreadable);
    let blocks = archive.stream_map.file_block_index.iter();
    let files = archive.files.iter().zip(blocks).filter(|(entry, of)| **of == Some(block) && entry.has_stream());
    for (entry, _) in files.skip(read) {
        walk.found(at, Found::closed(entry.name(), Flag::Unreadable))?;
    }
    Ok(())
}

fn is_password(error: &Error) -> bool {
    matches!(error, Error::PasswordRequired | Error::MaybeBadPassword(_))
}

/// Octets of the header, unpacked: as the start header says, or, where the header is packed too, as
/// its coders say. `None` where it cannot be told.
fn header_len(octets: &[u8]) -> Option<u64> {
    const START: usize = 32;
    let (offset, len) = (usize::try_from(le64(octets, 12)?).ok()?, le64(octets, 20)?);
    let header = octets.get(START.checked_add(offset)?..)?;
    let header = header.get(..usize::try_from(len).ok()?)?;
    // kEncodedHeader: kPackInfo, kUnPackInfo { kFolder, kCodersUnPackSize }.
    if header.first() != Some(&0x17) {
        return Some(len);
    }
    let mut numbers = Numbers(header.get(1..)?);
    if numbers.octet()? != 0x06 {
        return None;
    }
    numbers.number()?;
    let streams = numbers.number()?;
    loop {
        match numbers.octet()? {
            0x00 => break,
            0x09 => (0..streams).try_for_each(|_| numbers.number().map(drop))?,
            0x0a => numbers.checksums(streams)?,
            _ => return None,
        }
    }
    if (numbers.octet()?, numbers.octet()?, numbers.number()?, numbers.octet()?) != (0x07, 0x0b, 1, 0) {
        return None;
    }
    let (mut inputs, mut outputs) = (0, 0);
    for _ in 0..numbers.number().filter(|coders| *coders <= CODERS as u64)? {
        let flags = numbers.octet()?;
        numbers.skip(usize::from(flags & 0x0f))?;
        let (ins, outs) = if flags & 0x10 != 0 { (numbers.number()?, numbers.number()?) } else { (1, 1) };
        (inputs, outputs) = (ins.checked_add(inputs)?, outs.checked_add(outputs)?);
        if flags & 0x20 != 0 {
            let len = numbers.number()?;
            numbers.skip(usize::try_from(len).ok()?)?;
        }
    }
    if !(1..=32).contains(&outputs) || inputs > 32 {
        return None;
    }
    for _ in 1..outputs {
        numbers.number()?;
        numbers.number()?;
    }
    let packed = inputs.checked_sub(outputs - 1)?;
    for _ in 0..if packed > 1 { packed } else { 0 } {
        numbers.number()?;
    }
    if numbers.octet()? != 0x0c {
        return None;
    }
    // The largest, whichever is the last in the chain.
    let mut largest = 0;
    for _ in 0..outputs {
        largest = largest.max(numbers.number()?);
    }
    Some(largest)
}

/// A reader of 7z's numbers.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
    fn skip(&mut self, octets: usize) -> Option<()> {
        self.0 = self.0.get(octets..)?;
        Some(())
    }
    /// The first octet's leading ones say how many octets follow.
    fn number(&mut self) -> Option<u64> {
        let first = self.octet()?;
        let more = first.leading_ones();
        let mut number = 0;
        for at in 0..more {
            number |= u64::from(self.octet()?) << (8 * at);
        }
        let high = if more < 7 { u64::from(first) & ((1 << (7 - more)) - 1) } else { 0 };
        Some(number | high.checked_shl(8 * more).unwrap_or(0))
    }
    /// All defined, or a bit for each; then four octets for each that is.
    fn checksums(&mut self, streams: u64) -> Option<()> {
        let streams = usize::try_from(streams).ok()?;
        let mut defined = streams;
        if self.octet()? == 0 {
            let bits = self.0.get(..streams.div_ceil(8))?;
            defined = bits.iter().map(|octet| octet.count_ones() as usize).sum();
            self.skip(bits.len())?;
        }
        self.skip(defined.checked_mul(4)?)
    }
}

/// Where an archive stands in a program that extracts itself.
pub(super) fn find(octets: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(octets, b"7z\xbc\xaf\x27\x1c\0").find(|at| {
        // The offset to the header and its length stay within the file.
        let end = le64(octets, at + 12)
            .zip(le64(octets, at + 20))
            .and_then(|(offset, len)| offset.checked_add(len)?.checked_add(*at as u64 + 32));
        end.is_some_and(|end| end <= octets.len() as u64) && le32(octets, at + 8).is_some()
    })
}
