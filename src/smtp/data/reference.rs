//! The rules of `smtp::data` once more, slow and plain, over a whole message at once: what the
//! tests and the fuzz targets hold the decoders against. Names nothing but `core`, so that both
//! can include it.

/// What a message is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) text: Vec<u8>,
    pub(crate) look_alike: bool,
    pub(crate) bare_lf: bool,
    pub(crate) bare_cr: bool,
    pub(crate) nul: bool,
    pub(crate) leading_dot: bool,
}

/// Reads DATA from behind the `354`: the message, and what follows it. `None` where it does not end.
pub(crate) fn data(wire: &[u8]) -> Option<(Reading, &[u8])> {
    let whole = [b"\r\n", wire].concat();
    let end = whole.windows(5).position(|octets| octets == b"\r\n.\r\n")?;
    Some((read(&whole[..end + 2], true), &wire[end + 3..]))
}

/// Reads the content of all chunks of a message.
pub(crate) fn chunks(content: &[u8], binary: bool) -> Reading {
    let reading = read(&[b"\r\n", content].concat(), false);
    match binary {
        false => reading,
        true => Reading { text: content.to_vec(), look_alike: reading.look_alike, ..Reading::default() },
    }
}

/// `whole` begins with the CRLF of the command.
fn read(whole: &[u8], stuffed: bool) -> Reading {
    let mut all = Reading::default();
    let mut start = 2;
    loop {
        let end = start + whole[start..].iter().position(|octet| b"\r\n".contains(octet)).unwrap_or(whole.len() - start);
        let (before, after) = (&whole[..start], &whole[end..]);
        let mut line: Vec<u8> = whole[start..end].iter().copied().filter(|&octet| octet != 0).collect();
        let nul = line.len() < end - start;
        let exact = before.ends_with(b"\r\n") && (after.starts_with(b"\r\n") || after.is_empty()) && !nul;
        all.nul |= nul;
        all.look_alike |= (line == b"." || (stuffed && line == b"..")) && !exact;
        if stuffed && line.starts_with(b".") {
            line.remove(0);
        }
        all.leading_dot |= line.starts_with(b".");
        all.text.extend(line);
        start = match after {
            [] => return all,
            [b'\r', b'\n', ..] => end + 2,
            [octet, ..] => {
                all.bare_cr |= *octet == b'\r';
                all.bare_lf |= *octet == b'\n';
                end + 1
            }
        };
        all.text.extend(b"\r\n");
    }
}
