//! Where a header section ends, and what is in it, as several kinds of programs see it.
use super::Anomaly;
use memchr::memchr;
use std::ops::Range;

/// A field that MIME gives a meaning to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Type,
    Encoding,
    Disposition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Name,
    /// Where it begins.
    pub(super) at: usize,
    /// Unfolded and trimmed.
    pub(super) value: Vec<u8>,
}

/// One way to see the section: these fields, and the body from there on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) fields: Vec<Field>,
    pub(super) body: usize,
}

/// Fields of one part that are looked at.
const MAX_FIELDS: usize = 32;
/// Octets of a field's value that are looked at; a longer one has one more here.
pub(super) const MAX_VALUE: usize = 8 << 10;

/// The views of the entity at `range` of `octets`, the standard's first.
pub(super) fn views(octets: &[u8], range: Range<usize>, notes: &mut Vec<(Anomaly, usize)>) -> Vec<View> {
    let mut reader = Reader { octets, at: range.start, end: range.end, fields: Vec::new(), raw: Vec::new(), early: Vec::new(), any: false };
    reader.section(notes);
    let mut views = vec![reader.view(reader.at)];
    // An empty line too early: some skip it, above all where nothing stands before it.
    if reader.next_is_field() {
        notes.push((Anomaly::HeaderInBody, reader.at));
        reader.section(&mut Vec::new());
        views.push(reader.view(reader.at));
    }
    views.append(&mut reader.early);
    views
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
    end: usize,
    fields: Vec<Field>,
    /// The values of `fields`, as they stand.
    raw: Vec<Range<usize>>,
    /// Views that end before the empty line.
    early: Vec<View>,
    /// There was a field of any name.
    any: bool,
}

impl<'a> Reader<'a> {
    fn view(&self, body: usize) -> View {
        let value = |range: &Range<usize>| unfolded(self.octets.get(range.clone()).unwrap_or_default());
        let fields = self.fields.iter().zip(&self.raw).map(|(field, raw)| Field { value: value(raw), ..field.clone() }).collect();
        View { fields, body }
    }

    fn rest(&self) -> &'a [u8] {
        self.octets.get(self.at..self.end).unwrap_or_default()
    }

    /// Reads up to the empty line, and beyond it.
    fn section(&mut self, notes: &mut Vec<(Anomaly, usize)>) {
        let start = self.at;
        let (mut blank, mut odd) = (false, false);
        // Whether a folded line would continue a field that is kept.
        let mut kept = false;
        while self.at < self.end {
            let rest = self.rest();
            let length = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let line = rest.get(..length).unwrap_or_default();
            let text = line.trim_ascii_end();
            let next = self.at + length;
            let folded = matches!(line, [b' ' | b'\t', ..]);
            if text.is_empty() && !folded {
                self.at = next;
                return;
            }
            if text.is_empty() {
                if !blank {
                    notes.push((Anomaly::HeaderBlankLine, self.at));
                    self.early.push(self.view(next));
                }
                blank = true;
            } else if folded && self.any {
                if kept && let Some(raw) = self.raw.last_mut() {
                    raw.end = next;
                }
            } else if let Some(colon) = colon(text) {
                self.any = true;
                kept = self.field(text, colon, next, notes);
            } else if !(self.at == start && is_envelope(text)) {
                kept = false;
                if !odd {
                    notes.push((Anomaly::HeaderLine, self.at));
                    self.early.push(self.view(self.at));
                }
                odd = true;
            }
            self.at = next;
        }
    }

    /// Keeps the field where it has a meaning.
    fn field(&mut self, text: &[u8], colon: usize, next: usize, notes: &mut Vec<(Anomaly, usize)>) -> bool {
        let (name, at) = (text.get(..colon).unwrap_or_default(), self.at);
        let Some(known) = known(name) else { return false };
        if self.fields.len() >= MAX_FIELDS {
            notes.push((Anomaly::TooComplex, at));
            return false;
        }
        if name.trim_ascii().iter().any(|octet| !octet.is_ascii_graphic()) {
            notes.push((Anomaly::FieldName, at));
        }
        self.fields.push(Field { name: known, at, value: Vec::new() });
        self.raw.push(at + colon + 1..next);
        true
    }

    /// What follows the section are fields again.
    fn next_is_field(&self) -> bool {
        let line = self.rest().split(|octet| *octet == b'\n').next().unwrap_or_default();
        let Some(colon) = colon(line) else { return false };
        let name = line.get(..colon).unwrap_or_default();
        known(name).is_some() || !self.any && name.len() > 1 && name.get(..8).is_some_and(|n| n.eq_ignore_ascii_case(b"content-"))
    }
}

/// Where the colon of a field stands; a name has no blanks in it but before the colon, or it is prose.
fn colon(line: &[u8]) -> Option<usize> {
    let colon = memchr(b':', line)?;
    let name = line.get(..colon)?;
    let is_name = !name.trim_ascii().is_empty() && (!name.trim_ascii().contains(&b' ') || known(name).is_some());
    is_name.then_some(colon)
}

/// Blanks and control characters anywhere in the name do not matter to some.
fn known(name: &[u8]) -> Option<Name> {
    // Most fields are none of these; the first letters tell.
    let first = name.iter().find(|octet| octet.is_ascii_graphic())?;
    if !first.eq_ignore_ascii_case(&b'c') || name.len() > 100 {
        return None;
    }
    let bare: Vec<u8> = name.iter().filter(|octet| octet.is_ascii_graphic()).map(u8::to_ascii_lowercase).collect();
    match &*bare {
        b"content-type" => Some(Name::Type),
        b"content-transfer-encoding" => Some(Name::Encoding),
        b"content-disposition" => Some(Name::Disposition),
        _ => None,
    }
}

/// The line that mailbox files put before each message.
fn is_envelope(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}

/// RFC 5322 §2.2.3. NUL stays, since names are cut off there.
fn unfolded(raw: &[u8]) -> Vec<u8> {
    let raw = raw.trim_ascii();
    raw.iter().filter(|octet| !matches!(octet, b'\r' | b'\n')).take(MAX_VALUE + 1).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(Vec<String>, &str)>, Vec<Anomaly>) {
        let mut notes = Vec::new();
        let views = views(text.as_bytes(), 0..text.len(), &mut notes);
        let values = |view: &View| view.fields.iter().map(|field| String::from_utf8(field.value.clone()).unwrap()).collect();
        (views.iter().map(|view| (values(view), &text[view.body..])).collect(), notes.into_iter().map(|(anomaly, _)| anomaly).collect())
    }

    #[test]
    fn a_well_formed_section_has_one_view() {
        for end in ["\r\n", "\n"] {
            let text =
                ["Subject: x", "Content-Type: a;", " b=c", "X: y", "\tz", "content-transfer-encoding : 7bit", "", "body: x"].join(end);
            assert_eq!(read(&text), (vec![(vec!["a; b=c".into(), "7bit".into()], "body: x")], vec![]));
        }
        for (text, body) in [("", ""), ("\r\nbody", "body"), ("A: b\r\n", ""), ("From x Mon\nA: b\n\nbody", "body")] {
            assert_eq!(read(text), (vec![(vec![], body)], vec![]));
        }
    }

    #[test]
    fn a_section_that_could_end_early_has_a_view_for_each_end() {
        let (views, notes) = read("Content-Type: a\r\n \t\r\nContent-Disposition: b\r\n\r\nbody");
        assert_eq!(views, [(vec!["a".into(), "b".into()], "body"), (vec!["a".into()], "Content-Disposition: b\r\n\r\nbody")]);
        assert_eq!(notes, [Anomaly::HeaderBlankLine]);
        let (views, notes) = read("Content-Type: a\r\nno field\r\nbody");
        assert_eq!(views, [(vec!["a".into()], ""), (vec!["a".into()], "no field\r\nbody")]);
        assert_eq!(notes, [Anomaly::HeaderLine]);
    }

    #[test]
    fn a_section_that_goes_on_after_an_empty_line_is_seen_both_ways() {
        let (views, notes) = read("A: b\r\n\r\nContent-Type: a\r\n\r\nbody");
        assert_eq!(views, [(vec![], "Content-Type: a\r\n\r\nbody"), (vec!["a".into()], "body")]);
        assert_eq!(notes, [Anomaly::HeaderInBody]);
        assert_eq!(read("\r\nNote: a text\r\n\r\nbody").0.len(), 1);
    }

    #[test]
    fn names_with_blanks_and_control_characters_are_known() {
        let (views, notes) = read("Content -Type: a\r\nContent-Type\0: b\r\n\r\n");
        assert_eq!(views[0].0, ["a", "b"]);
        assert_eq!(notes, [Anomaly::FieldName, Anomaly::FieldName]);
    }
}
