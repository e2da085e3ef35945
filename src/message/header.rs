//! The header section, octet for octet (RFC 5322 §2.2).
use bytes::Bytes;
use memchr::{memchr, memchr_iter};

/// The header section as it came in: every field with its line end, without the empty line that
/// closes it. Clones share.
#[derive(Debug, Clone, Default)]
pub struct HeaderBlock {
    octets: Bytes,
}

/// One field, folded lines and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// As written, without the colon; empty where the line is no field at all.
    pub name: &'a [u8],
    /// What follows the colon, folding and last line end still in it.
    pub value: &'a [u8],
    /// All of it.
    pub raw: &'a [u8],
}

/// The fields of a block in order; reads every octet once and copies none.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl HeaderBlock {
    /// `octets`: whole lines with CRLF, without the closing empty line.
    #[must_use]
    pub fn new(octets: Bytes) -> Self {
        Self { octets }
    }
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.octets
    }
    /// All fields; a line that is none (no colon, a space in the name, a fold that continues
    /// nothing) becomes one without a name, so that nothing in the block goes unseen.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields { rest: &self.octets }
    }
    /// The fields called `name`, in any case (RFC 5322 §1.2.2), in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Field<'a>> {
        self.fields().filter(move |field| field.is(name))
    }
    /// The first field called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Field<'_>> {
        self.fields().find(|field| field.is(name))
    }
    /// How many fields are called `name`.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.fields().filter(|field| field.is(name)).count()
    }
}

impl<'a> Field<'a> {
    fn read(raw: &'a [u8]) -> Self {
        let nameless = Self { name: b"", value: raw, raw };
        let Some((name, value)) = memchr(b':', raw).and_then(|colon| raw.split_at_checked(colon)) else { return nameless };
        // A space before the colon is obsolete (RFC 5322 §4.5), yet most readers allow it; not to
        // see such a field as what it is would hide it from every stage.
        let name = name.trim_ascii_end();
        if is_field_name(name) { Self { name, value: value.get(1..).unwrap_or_default(), raw } } else { nameless }
    }

    /// Whether it is called `name`, in any case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        !self.name.is_empty() && self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value as an [`Edit`](super::Edit) has one: without blanks at its ends, its lines divided by
    /// LF.
    #[must_use]
    pub fn for_edit(&self) -> Vec<u8> {
        let value = self.value.trim_ascii();
        let followed = |at: usize| value.get(at + 1) == Some(&b'\n');
        value.iter().enumerate().filter(|(at, octet)| **octet != b'\r' || !followed(*at)).map(|(_, octet)| *octet).collect()
    }

    /// The value on one line, fit for a log: unfolded (RFC 5322 §2.2.3), trimmed, at most `max`
    /// characters (an ellipsis says that there was more), and with `?` for whatever could end the
    /// line or move the cursor of a terminal, since the sender chose it.
    #[must_use]
    pub fn for_log(&self, max: usize) -> String {
        let value = self.value.trim_ascii();
        // A character has at most four octets: what lies beyond is not even looked at.
        let near = value.get(..max.saturating_mul(4).saturating_add(4)).unwrap_or(value);
        let text = String::from_utf8_lossy(near);
        let mut shown = String::with_capacity(text.len().min(max));
        let mut left = max;
        for c in text.chars().filter(|c| !matches!(c, '\r' | '\n')) {
            if left == 0 {
                shown.push('…');
                break;
            }
            left -= 1;
            shown.push(match c {
                '\t' => ' ',
                c if c.is_control() || turns_text(c) => '?',
                c => c,
            });
        }
        shown
    }
}

/// `ftext`: printable ASCII but the colon (RFC 5322 §3.6.8).
pub(super) fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|octet| matches!(octet, 33..=57 | 59..=126))
}

/// Line and paragraph separators, and the marks that turn the direction of text around.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        // A line that begins with a blank continues the one before (RFC 5322 §2.2.3); the last line
        // of a message that was cut off has no line end.
        let end = memchr_iter(b'\n', self.rest)
            .map(|line_feed| line_feed + 1)
            .find(|next| !matches!(self.rest.get(*next), Some(b' ' | b'\t')))
            .unwrap_or(self.rest.len());
        let (raw, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(Field::read(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] = b"Received: by a\r\n\tfrom b;\r\n now\r\nSUBJECT : hello\r\nno field\r\nX-Empty:\r\nsubject:again\r\n";

    fn block(octets: &'static [u8]) -> HeaderBlock {
        HeaderBlock::new(Bytes::from_static(octets))
    }

    #[test]
    fn fields_are_found_whole_and_in_any_case() {
        let headers = block(BLOCK);
        let names: Vec<_> = headers.fields().map(|field| field.name).collect();
        assert_eq!(names, [&b"Received"[..], b"SUBJECT", b"", b"X-Empty", b"subject"]);
        assert_eq!(headers.find("received").unwrap().value, b" by a\r\n\tfrom b;\r\n now\r\n");
        assert_eq!(headers.find("Subject").unwrap().value, b" hello\r\n");
        assert_eq!(headers.count("Subject"), 2);
        assert_eq!(headers.all("subject").last().unwrap().raw, b"subject:again\r\n");
        assert_eq!(headers.find("x-empty").unwrap().value, b"\r\n");
        assert_eq!(headers.find(""), None, "a line that is no field has no name to be found by");
    }

    #[test]
    fn nothing_in_the_block_goes_unseen() {
        for octets in [BLOCK, b"", b" folded: first\r\nA: b\r\n", b"cut: off\r\n here", b"\r\n", b":no name\r\n", b"From x@y  1 :\r\n"] {
            let all: Vec<u8> = block(octets).fields().flat_map(|field| field.raw.to_vec()).collect();
            assert_eq!(all, octets);
        }
        for malformed in [&b" folded: first\r\n"[..], b":no name\r\n", b"From x@y  1 :\r\n", b"\xff: x\r\n"] {
            let headers = block(malformed);
            assert_eq!(headers.fields().map(|field| field.name.len()).collect::<Vec<_>>(), [0], "{malformed:?}");
        }
    }

    #[test]
    fn a_value_for_the_log_stays_on_its_line() {
        let headers = block(b"Subject: a\r\n\tb\x1b[2J\xff\xe2\x80\xaec\r\nLong: 123456789\r\n");
        assert_eq!(headers.find("subject").unwrap().for_log(100), "a b?[2J\u{fffd}?c");
        assert_eq!(headers.find("long").unwrap().for_log(9), "123456789");
        assert_eq!(headers.find("long").unwrap().for_log(4), "1234…");
    }
}
