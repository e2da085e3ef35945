//! Files that stand in text without MIME's help: uuencode and yEnc.
use memchr::memmem;

/// A file in text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Embedded<'a> {
    /// Where it begins in the text.
    pub(super) at: usize,
    pub(super) form: Form,
    /// As its first line says.
    pub(super) name: &'a [u8],
    /// From after the first line on.
    data: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Uuencode,
    /// `begin-base64`, as uuencode -m writes it.
    UuBase64,
    Yenc,
}

/// The first file in `text` from octet `from` on.
pub(super) fn find(text: &[u8], from: usize) -> Option<Embedded<'_>> {
    let uu = find_line(text, from, b"begin").filter_map(|at| uuencoded(text, at)).next();
    let y = find_line(text, from, b"=ybegin ").filter_map(|at| yencoded(text, at)).next();
    match (uu, y) {
        (Some(uu), Some(y)) => Some(if uu.at < y.at { uu } else { y }),
        (uu, y) => uu.or(y),
    }
}

/// Whether `text` has a BinHex file (RFC 1741 §3), and where.
pub(super) fn binhex(text: &[u8]) -> Option<usize> {
    memmem::find(text, b"(This file must be converted with BinHex")
}

/// Where lines begin with `word`.
fn find_line<'a>(text: &'a [u8], from: usize, word: &'static [u8]) -> impl Iterator<Item = usize> + 'a {
    let rest = text.get(from..).unwrap_or_default();
    memmem::find_iter(rest, word).map(move |at| from + at).filter(|at| *at == 0 || matches!(text.get(at - 1), Some(b'\n' | b'\r')))
}

/// The first line of `octets`, trimmed, and what follows it.
fn first_line(octets: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = memchr::memchr(b'\n', octets).and_then(|end| octets.split_at_checked(end + 1)).unwrap_or((octets, b""));
    (line.trim_ascii(), rest)
}

fn uuencoded(text: &[u8], at: usize) -> Option<Embedded<'_>> {
    let (line, data) = first_line(text.get(at..)?);
    let (form, rest) = match line.strip_prefix(b"begin-base64") {
        Some(rest) => (Form::UuBase64, rest),
        None => (Form::Uuencode, line.strip_prefix(b"begin")?),
    };
    if !rest.first().is_some_and(u8::is_ascii_whitespace) {
        return None;
    }
    // Outlook takes two blanks and no mode, too.
    let rest = rest.trim_ascii_start();
    let mode = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let name = rest.get(mode..)?.trim_ascii();
    let is_data = form == Form::UuBase64 || is_uu_start(first_line(data).0);
    is_data.then_some(Embedded { at, form, name, data })
}

fn yencoded(text: &[u8], at: usize) -> Option<Embedded<'_>> {
    let (line, data) = first_line(text.get(at..)?);
    let name = memmem::find(line, b"name=").and_then(|at| line.get(at + 5..)).unwrap_or_default();
    Some(Embedded { at, form: Form::Yenc, name: name.trim_ascii(), data })
}

impl Embedded<'_> {
    /// How many octets [`decode`](Self::decode) gives at most. uuencode may give thirty times what it
    /// takes, since blanks at the end of a line, which are zeros, may be missing.
    pub(super) fn most(&self) -> usize {
        match self.form {
            Form::Uuencode => uu_lines(self.data).filter_map(|(_, line)| uu_length(line)).sum(),
            Form::UuBase64 | Form::Yenc => self.data.len(),
        }
    }

    /// The file, and the octets of the text it took after its first line.
    pub(super) fn decode(&self) -> (Vec<u8>, usize) {
        match self.form {
            Form::Uuencode => uudecode(self.data),
            Form::UuBase64 => {
                let end = memmem::find(self.data, b"====").unwrap_or(self.data.len());
                (super::base64::Rule::GoOn.decode(self.data.get(..end).unwrap_or_default()), end)
            }
            Form::Yenc => ydecode(self.data),
        }
    }
}

/// The lines of a file, with the octets up to their ends; until `end`, or one that is no uuencode.
fn uu_lines(data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let whole = data.split_inclusive(|octet| *octet == b'\n').scan(0, |used, whole| {
        *used += whole.len();
        let line = whole.strip_suffix(b"\n").unwrap_or(whole);
        Some((*used, line.strip_suffix(b"\r").unwrap_or(line)))
    });
    whole.take_while(|(_, line)| line.trim_ascii() != b"end" && uu_length(line).is_some())
}

fn uudecode(data: &[u8]) -> (Vec<u8>, usize) {
    let (mut octets, mut used) = (Vec::new(), 0);
    for (end, line) in uu_lines(data) {
        used = end;
        let Some((digits, length)) = line.get(1..).zip(uu_length(line)) else { continue };
        let start = octets.len();
        for four in digits.get(..digits.len().min(length.div_ceil(3) * 4)).unwrap_or_default().chunks(4) {
            let bits = (0..4).fold(0u32, |bits, n| bits << 6 | u32::from(four.get(n).map_or(0, |digit| (digit - b' ') & 63)));
            let [_, three @ ..] = bits.to_be_bytes();
            octets.extend_from_slice(&three);
        }
        octets.resize(start + length, 0);
    }
    (octets, used)
}

/// How many octets a line holds, as its first character says. A checksum may follow the rest;
/// anything longer is text that looks like it.
fn uu_length(line: &[u8]) -> Option<usize> {
    let (first, data) = line.split_first()?;
    let is_digit = |octet: &u8| matches!(octet, b' '..=b'`');
    let length = usize::from(first.checked_sub(b' ')? & 63);
    (is_digit(first) && data.len() <= length.div_ceil(3) * 4 + 1 && data.iter().all(is_digit)).then_some(length)
}

/// Whether a line is what a file begins with, and not prose.
fn is_uu_start(line: &[u8]) -> bool {
    uu_length(line).is_some_and(|length| length > 0 && line.len() + 12 > length.div_ceil(3) * 4)
}

/// Until `=yend`; lines of `=ypart` left out.
fn ydecode(data: &[u8]) -> (Vec<u8>, usize) {
    let (mut octets, mut used) = (Vec::new(), 0);
    for whole in data.split_inclusive(|octet| *octet == b'\n') {
        used += whole.len();
        if whole.starts_with(b"=yend") {
            break;
        }
        if whole.starts_with(b"=ypart ") {
            continue;
        }
        let mut escaped = false;
        for octet in whole.iter().filter(|octet| !matches!(octet, b'\r' | b'\n')) {
            match (escaped, octet) {
                (false, b'=') => escaped = true,
                (true, octet) => {
                    octets.push(octet.wrapping_sub(64 + 42));
                    escaped = false;
                }
                (false, octet) => octets.push(octet.wrapping_sub(42)),
            }
        }
    }
    (octets, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuencoded_file_is_found_in_text() {
        let text = b"hello\r\nbegin 644 a b.txt\r\n#0V%T\r\n`\r\nend\r\nbye\r\n";
        let found = find(text, 0).unwrap();
        assert_eq!((found.at, found.form, found.name), (7, Form::Uuencode, &b"a b.txt"[..]));
        assert_eq!(found.decode().0, b"Cat");
        assert_eq!(find(text, 8), None);
        for prose in [
            &b"begin\r\n"[..],
            b"begin 1 project\r\nwith words that are none\r\n",
            b"we begin 644 x\r\n#0V%T\r\n",
            b"beginning 644 x\r\n#0V%T\r\n",
        ] {
            assert_eq!(find(prose, 0), None);
        }
    }

    #[test]
    fn blanks_cut_off_and_missing_ends_do_not_matter() {
        assert_eq!(uudecode(b"#0V%T\n").0, b"Cat");
        assert_eq!(uudecode(b"&0V%T\n").0, b"Cat\0\0\0");
        assert_eq!(uudecode(b"#0V%T\n\nrest").0, b"Cat");
        let short = find(b"begin 644 x\n#0V%T\nM\n#0V%T", 0).unwrap();
        assert_eq!((short.most(), short.decode().0.len()), (51, 51));
        let found = find(b"begin-base64 644 x\naGVsbG8=\n====\n", 0).unwrap();
        assert_eq!(found.decode().0, b"hello");
    }

    #[test]
    fn a_yenc_file_is_found_in_text() {
        let encoded: Vec<u8> = b"Cat\xd6"
            .iter()
            .flat_map(|octet| match octet.wrapping_add(42) {
                0 => vec![b'=', 64],
                other => vec![other],
            })
            .collect();
        let text = [&b"=ybegin line=128 size=4 name=x.bin\r\n=ypart begin=1 end=4\r\n"[..], &encoded, b"\r\n=yend size=4\r\nmore"].concat();
        let found = find(&text, 0).unwrap();
        assert_eq!((found.name, found.decode().0), (&b"x.bin"[..], b"Cat\xd6".to_vec()));
    }
}
