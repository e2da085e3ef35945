//! What a file is, by what is in it. Its name and its declared type are what its sender wants it to
//! be taken for; neither is looked at.
mod text;

use super::{Flag, Flags, Kind};
use memchr::memmem;

/// Where a signature may begin in a file that has something before it, such as a PDF.
const LEADING: usize = 1024;

/// A signature: at this octet, these.
type Magic = (usize, &'static [u8], Kind);

/// In order; the first that fits.
const MAGIC: &[Magic] = &[
    (0, b"\x7fELF", Kind::Elf),
    (0, b"\xfe\xed\xfa\xce", Kind::MachO),
    (0, b"\xfe\xed\xfa\xcf", Kind::MachO),
    (0, b"\xce\xfa\xed\xfe", Kind::MachO),
    (0, b"\xcf\xfa\xed\xfe", Kind::MachO),
    (0, b"dex\n", Kind::Dex),
    (0, b"\0asm", Kind::Wasm),
    (0, b"PK\x03\x04", Kind::Zip),
    (0, b"PK\x05\x06", Kind::Zip),
    (0, b"PK\x07\x08PK", Kind::Zip),
    (0, b"7z\xbc\xaf\x27\x1c", Kind::SevenZ),
    (0, b"\x1f\x8b", Kind::Gzip),
    (0, b"BZh", Kind::Bzip2),
    (0, b"\xfd7zXZ\0", Kind::Xz),
    (0, b"\x28\xb5\x2f\xfd", Kind::Zstd),
    (257, b"ustar", Kind::Tar),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind::Ole),
    (0, b"{\\rt", Kind::Rtf),
    (0, b"ActiveMime", Kind::ActiveMime),
    (0, b"\x78\x9f\x3e\x22", Kind::Tnef),
    (0, b"Rar!\x1a\x07", Kind::Rar),
    (0, b"RE~^", Kind::Rar),
    (7, b"**ACE**", Kind::Ace),
    (0, b"\x60\xea", Kind::Arj),
    (0, b"MSCF\0\0\0\0", Kind::Cab),
    (0, b"LZIP", Kind::Lzip),
    (0, b"\x1f\x9d", Kind::Compress),
    (0, b"xar!", Kind::Xar),
    (0x8001, b"CD001", Kind::Iso),
    (0x8001, b"BEA01", Kind::Udf),
    (0x8001, b"NSR0", Kind::Udf),
    (0, b"vhdxfile", Kind::Vhdx),
    (0, b"conectix", Kind::Vhd),
    (0, b"KDMV", Kind::Vmdk),
    (0, b"# Disk DescriptorFile", Kind::Vmdk),
    (0, b"QFI\xfb", Kind::Qcow),
    (0, b"ITSF\x03\0\0\0", Kind::Chm),
    // [MS-SHLLINK] §2.1: size of the header, then its class.
    (0, b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F", Kind::Lnk),
    // [MS-ONESTORE] §2.3.1 guidFileType: a section, a table of contents.
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3", Kind::OneNote),
    (0, b"\xa1\x2f\xff\x43\xd9\xef\x76\x4c\x9e\xe2\x10\xea\x57\x22\x76\x5f", Kind::OneNote),
    (0, b"\x89PNG\r\n\x1a\n", Kind::Png),
    (0, b"\xff\xd8\xff", Kind::Jpeg),
    (0, b"GIF87a", Kind::Gif),
    (0, b"GIF89a", Kind::Gif),
    (0, b"II*\0", Kind::Tiff),
    (0, b"MM\0*", Kind::Tiff),
    (8, b"WEBPVP8", Kind::Webp),
    (0, b"#@~^", Kind::EncodedScript),
];

/// Formats that are known, and not opened.
const UNREADABLE: &[Kind] = &[
    Kind::Rar,
    Kind::Ace,
    Kind::Arj,
    Kind::Cab,
    Kind::Lzh,
    Kind::Lzip,
    Kind::Compress,
    Kind::Xar,
    Kind::Iso,
    Kind::Udf,
    Kind::FatImage,
    Kind::Vhd,
    Kind::Vhdx,
    Kind::Vmdk,
    Kind::Qcow,
    Kind::Dmg,
    Kind::Chm,
];

/// The kind, and what is seen without opening it. `is_body`: it is shown as text, and a program in
/// it is a quotation.
pub(super) fn detect(octets: &[u8], is_body: bool) -> (Kind, Flags) {
    let mut flags = Flags::default();
    let kind = by_signature(octets).unwrap_or_else(|| {
        let (kind, seen) = text::detect(octets, is_body);
        flags.set(seen);
        kind
    });
    if UNREADABLE.contains(&kind) {
        flags.set(Flag::Unreadable);
    }
    if kind == Kind::Rar && rar_is_encrypted(octets) {
        flags.set(Flag::Encrypted);
    }
    (kind, flags)
}

/// The kind of what has a signature, or a header that can be checked.
pub(super) fn by_signature(octets: &[u8]) -> Option<Kind> {
    if octets.is_empty() {
        return Some(Kind::Empty);
    }
    if octets.starts_with(b"MZ") || octets.starts_with(b"ZM") {
        return program(octets);
    }
    if octets.starts_with(b"\xca\xfe\xba\xbe") {
        // A class file's version stands where a fat Mach-O counts its architectures.
        return Some(if be32(octets, 4)? < 0x20 { Kind::MachO } else { Kind::JavaClass });
    }
    let fits = |(at, magic, kind): &Magic| octets.get(*at..)?.starts_with(magic).then_some(*kind);
    let kind = MAGIC.iter().find_map(fits).filter(|kind| is_plausible(*kind, octets));
    kind.or_else(|| bitmap(octets)).or_else(|| lzh(octets)).or_else(|| disk(octets)).or_else(|| old_tar(octets)).or_else(|| pdf(octets))
}

/// Signatures of two or three octets say little by themselves.
fn is_plausible(kind: Kind, octets: &[u8]) -> bool {
    match kind {
        Kind::Gzip => octets.get(2) == Some(&8),
        Kind::Bzip2 => octets.get(3).is_some_and(|level| (b'1'..=b'9').contains(level)) && octets.len() >= 14,
        Kind::Arj => le16(octets, 2).is_some_and(|size| matches!(size, 30..=2600)),
        _ => true,
    }
}

/// `MZ` may begin a word; a program has a header.
fn program(octets: &[u8]) -> Option<Kind> {
    let header = usize::try_from(le32(octets, 0x3c).unwrap_or(0)).ok()?;
    if octets.get(header..).is_some_and(|rest| rest.starts_with(b"PE\0\0")) {
        return Some(Kind::Pe);
    }
    octets.get(..octets.len().min(64))?.contains(&0).then_some(Kind::DosExe)
}

fn bitmap(octets: &[u8]) -> Option<Kind> {
    (octets.starts_with(b"BM") && octets.get(6..10) == Some(&[0; 4])).then_some(Kind::Bmp)
}

/// `-lh5-` and its kin, behind size and checksum of the header.
fn lzh(octets: &[u8]) -> Option<Kind> {
    let method = octets.get(2..7)?;
    let known = method.starts_with(b"-lh") || method.starts_with(b"-lz") || method.starts_with(b"-pm");
    (known && method.ends_with(b"-")).then_some(Kind::Lzh)
}

/// Images of disks that say so at their end, or by a boot sector.
fn disk(octets: &[u8]) -> Option<Kind> {
    let last = octets.get(octets.len().checked_sub(512)?..)?;
    if last.starts_with(b"conectix") {
        return Some(Kind::Vhd);
    }
    if last.starts_with(b"koly") {
        return Some(Kind::Dmg);
    }
    let boots = octets.get(510..512) == Some(b"\x55\xaa") && matches!(octets.first(), Some(0xeb | 0xe9));
    let named = [(3, "NTFS    "), (3, "EXFAT   "), (54, "FAT"), (82, "FAT32")]
        .iter()
        .any(|(at, name)| octets.get(*at..).is_some_and(|rest| rest.starts_with(name.as_bytes())));
    (boots && named).then_some(Kind::FatImage)
}

/// Tar before POSIX has no signature, but a checksum.
fn old_tar(octets: &[u8]) -> Option<Kind> {
    let header = octets.get(..512)?;
    let name_ends = header.first() != Some(&0) && header.get(..100)?.contains(&0);
    let stated = std::str::from_utf8(header.get(148..156)?).ok()?;
    let stated = u32::from_str_radix(stated.trim_matches(['\0', ' ']), 8).ok()?;
    let sum: u32 = header.iter().enumerate().map(|(at, octet)| u32::from(if (148..156).contains(&at) { b' ' } else { *octet })).sum();
    (name_ends && sum == stated).then_some(Kind::Tar)
}

/// Readers look for it in the first kilobyte.
fn pdf(octets: &[u8]) -> Option<Kind> {
    let start = octets.get(..octets.len().min(LEADING))?;
    memmem::find(start, b"%PDF-").map(|_| Kind::Pdf)
}

/// Encrypted headers, or a first file that is encrypted.
fn rar_is_encrypted(octets: &[u8]) -> bool {
    if octets.get(6) == Some(&1) {
        // RAR 5: type of the first header, behind signature, checksum and size; 4 is encryption.
        let size = octets.iter().skip(12).take(3).take_while(|octet| **octet & 0x80 != 0).count() + 1;
        return octets.get(12 + size) == Some(&4);
    }
    let flags = |at: usize| le16(octets, at).unwrap_or(0);
    flags(10) & 0x80 != 0 || (octets.get(22) == Some(&0x74) && flags(23) & 4 != 0)
}

pub(super) fn le16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}
pub(super) fn le32(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}
pub(super) fn le64(octets: &[u8], at: usize) -> Option<u64> {
    octets.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}
fn be32(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests;
