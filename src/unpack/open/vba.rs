//! The source of VBA modules ([MS-OVBA]).
use crate::unpack::{
    account::{Account, Stop},
    detect::le16,
};
use memchr::memmem;

/// Every module's source begins with `Attribute`, whose first nine characters stand as they are
/// behind the first flag byte of the compressed container.
const BEGINNING: &[u8] = b"\0Attribut\0e";
const CHUNK: usize = 4096;
/// Of one module.
const LONGEST: usize = 4 << 20;

/// The source in a module stream; `None` where there is none.
pub(super) fn source(stream: &[u8], account: &mut Account<'_>) -> Result<Option<Vec<u8>>, Stop> {
    // Signature byte, two octets of chunk header, then the flags.
    let Some(start) = memmem::find(stream, BEGINNING).and_then(|at| at.checked_sub(3)) else { return Ok(None) };
    let Some(container) = stream.get(start..).filter(|container| container.first() == Some(&1)) else { return Ok(None) };
    let most = container.len().saturating_mul(CHUNK / 2).min(LONGEST);
    account.hold(most as u64)?;
    let source = decompress(container, most);
    account.release((most - source.len().min(most)) as u64);
    Ok((!source.is_empty()).then_some(source))
}

/// [MS-OVBA] §2.4.1.3. What is damaged ends it; what came before is there.
pub(super) fn decompress(container: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 1;
    while out.len() < most
        && let Some(header) = le16(container, at)
    {
        let len = usize::from(header & 0x0fff) + 3;
        let end = (at + len).min(container.len());
        let Some(chunk) = container.get(at + 2..end) else { break };
        if header >> 12 & 0b111 != 0b011 {
            break;
        }
        if header & 0x8000 == 0 {
            out.extend_from_slice(chunk);
        } else if !chunk_into(chunk, &mut out) {
            break;
        }
        at += len;
    }
    out.truncate(most);
    out
}

/// A compressed chunk: a byte of flags for eight tokens each, a literal octet or a copy of what
/// came before in the chunk. `false`: it is damaged.
fn chunk_into(chunk: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut tokens = chunk.iter().copied();
    while let Some(flags) = tokens.next() {
        for bit in 0..8 {
            let Some(first) = tokens.next() else { return true };
            if flags & 1 << bit == 0 {
                out.push(first);
                continue;
            }
            let Some(second) = tokens.next() else { return true };
            let token = u16::from_le_bytes([first, second]);
            let done = out.len() - start;
            // As many bits as the offset needs at this place, 4 at least (§2.4.1.3.19.1).
            let offset_bits = (usize::BITS - done.saturating_sub(1).leading_zeros()).clamp(4, 12);
            let len = usize::from(token & (0xffff >> offset_bits)) + 3;
            let offset = usize::from(token >> (16 - offset_bits)) + 1;
            if offset > done || done + len > CHUNK {
                return false;
            }
            for _ in 0..len {
                let Some(octet) = out.get(out.len() - offset).copied() else { return false };
                out.push(octet);
            }
        }
    }
    true
}

/// Whether the host runs it without being asked, by the names of its procedures.
pub(super) fn runs_by_itself(source: &[u8]) -> bool {
    const NAMES: [&str; 18] = [
        "autoexec",
        "autoopen",
        "autonew",
        "autoclose",
        "autoexit",
        "auto_open",
        "auto_close",
        "auto_activate",
        "auto_exec",
        "document_open",
        "document_new",
        "document_close",
        "workbook_open",
        "workbook_activate",
        "workbook_beforeclose",
        "workbook_close",
        "_onconnecting",
        "_layout(",
    ];
    let lower = source.to_ascii_lowercase();
    NAMES.iter().any(|name| memmem::find(&lower, name.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        // [MS-OVBA] §3.2.1 and §3.2.2.
        let literal = [
            0x01, 0x19, 0xb0, 0x00, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x00, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70,
            0x00, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x2e,
        ];
        assert_eq!(decompress(&literal, 100), b"abcdefghijklmnopqrstuv.");
        let normal = [
            0x01, 0x2f, 0xb0, 0x00, 0x23, 0x61, 0x61, 0x61, 0x62, 0x63, 0x64, 0x65, 0x82, 0x66, 0x00, 0x70, 0x61, 0x67, 0x68, 0x69, 0x6a,
            0x01, 0x38, 0x08, 0x61, 0x6b, 0x6c, 0x00, 0x30, 0x6d, 0x6e, 0x6f, 0x70, 0x06, 0x71, 0x02, 0x70, 0x04, 0x10, 0x72, 0x73, 0x74,
            0x75, 0x76, 0x10, 0x77, 0x78, 0x79, 0x7a, 0x00, 0x3c,
        ];
        assert_eq!(decompress(&normal, 100), b"#aaabcdefaaaaghijaaaaaklaaamnopqaaaaaaaaaaaarstuvwxyzaaa");
        assert_eq!(decompress(&normal, 10).len(), 10);
        let most = [0x01, 0x03, 0xb0, 0x02, 0x61, 0x45, 0x00];
        assert_eq!(decompress(&most, 100), b"a".repeat(73));
    }

    #[test]
    fn what_is_damaged_ends_it() {
        for damaged in [&[][..], &[1], &[1, 0, 0], &[1, 3, 0xb0, 0x01, 0xff, 0xff], &[1, 0xff, 0xbf, 0xff, 0xff, 0xff]] {
            assert_eq!(decompress(damaged, 100), b"");
        }
    }
}
