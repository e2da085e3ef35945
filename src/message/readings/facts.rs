//! What the fields of one part say, in every way they can be taken.
use super::{
    Anomaly, names,
    parameters::{Form, MAX_VALUES, Parameters, Value, main_value},
    section::{Field, MAX_VALUE, Name, View},
};

/// Boundaries of one multipart that are tried.
const MAX_BOUNDARIES: usize = 16;
/// Types of one part that are told, and octets of each.
const MAX_TYPES: usize = 8;
const LONGEST_TYPE: usize = 127;

/// A transfer encoding that some reader undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Base64,
    Quoted,
    Uuencode,
    Yenc,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Lower case, the first field's first; never empty.
    pub(super) types: Vec<Box<str>>,
    /// The first field's first; never empty.
    pub(super) encodings: Vec<Encoding>,
    /// The standard reading of the first field first.
    pub(super) boundaries: Vec<Vec<u8>>,
    pub(super) names: Vec<Box<str>>,
    /// More of something than is looked at.
    too_many: bool,
}

impl Facts {
    /// `default`: the type of a part that does not say.
    pub(super) fn of(view: &View, default: &str, notes: &mut Vec<(Anomaly, usize)>) -> Self {
        let mut facts = Self::default();
        let mut values = Vec::new();
        let called = |name: Name| view.fields.iter().filter(move |field| field.name == name);
        for field in called(Name::Disposition) {
            let parameters = Parameters::of(&field.value);
            values.extend(parameters.all("filename"));
            facts.too_many |= parameters.are_too_many();
        }
        for field in called(Name::Type) {
            let parameters = Parameters::of(&field.value);
            facts.add_type(field, &parameters, notes);
            values.extend(parameters.all("name"));
            facts.too_many |= parameters.are_too_many();
        }
        called(Name::Encoding).for_each(|field| facts.add_encoding(field, notes));
        facts.conflicts(view, notes);
        if facts.types.is_empty() {
            facts.types.push(default.into());
        }
        if facts.encodings.is_empty() {
            facts.encodings.push(Encoding::Identity);
        }
        facts.names = names::all(values.iter());
        let at = view.fields.first().map_or(view.body, |field| field.at);
        // Of what is not looked at, any could be what a reader takes: the last of a hundred.
        if facts.too_many
            || values.len() > MAX_VALUES
            || facts.names.len() >= names::MOST
            || view.fields.iter().any(|field| field.value.len() > MAX_VALUE)
        {
            notes.push((Anomaly::TooComplex, at));
        }
        if names::extensions(values.iter()).len() > 1 {
            notes.push((Anomaly::NameConflict, at));
        }
        if facts.names.iter().any(|name| names::is_deceptive(name)) {
            notes.push((Anomaly::NameDeceptive, at));
        }
        facts
    }

    /// Fields that say different things; that one is there twice with one meaning is harmless.
    fn conflicts(&self, view: &View, notes: &mut Vec<(Anomaly, usize)>) {
        let mut types = view.fields.iter().filter(|field| field.name == Name::Type);
        if let Some(first) = types.next()
            && let Some(other) = types.find(|field| !field.value.eq_ignore_ascii_case(&first.value))
        {
            let container = |kind: &str| kind.contains("multipart") || kind.starts_with("message");
            let contained = self.types.iter().any(|kind| container(kind));
            notes.push((if contained { Anomaly::TypeConflict } else { Anomaly::TypeRepeated }, other.at));
        }
        let mut encodings = view.fields.iter().filter(|field| field.name == Name::Encoding);
        let read = |field: &Field| exactly(&main_value(&field.value).to_ascii_lowercase());
        if let Some(first) = encodings.next()
            && let Some(other) = encodings.find(|field| read(field) != read(first))
        {
            notes.push((Anomaly::EncodingConflict, other.at));
        }
    }

    pub(super) fn is_multipart(&self) -> bool {
        self.types.iter().any(|kind| kind.contains("multipart"))
    }

    fn add_type(&mut self, field: &Field, parameters: &Parameters<'_>, notes: &mut Vec<(Anomaly, usize)>) {
        let main = main_value(&field.value);
        let kind: String = String::from_utf8_lossy(&main).to_ascii_lowercase().chars().take(LONGEST_TYPE).collect();
        let kind = kind.trim();
        let is_token =
            |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet));
        let well_formed = kind.split_once('/').is_some_and(|(main, sub)| is_token(main) && is_token(sub));
        let mut kinds = vec![kind.to_owned()];
        let written = field.value.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
        if well_formed && !written.eq_ignore_ascii_case(&main) {
            notes.push((Anomaly::TypeMalformed, field.at));
        }
        if !well_formed {
            notes.push((Anomaly::TypeMalformed, field.at));
            // Whoever looks for a word finds it anywhere; who does not takes it for text (RFC 2045 §5.2).
            let value = String::from_utf8_lossy(&field.value).to_ascii_lowercase();
            for (word, meant) in [("multipart", "multipart/mixed"), ("message/rfc822", "message/rfc822")] {
                if value.contains(word) {
                    kinds.push(meant.into());
                }
            }
            kinds.push("text/plain".into());
        }
        for kind in kinds.into_iter().filter(|kind| !kind.is_empty()) {
            if !self.types.iter().any(|known| **known == *kind) {
                self.too_many |= self.types.len() >= MAX_TYPES;
                self.types.push(kind.into());
            }
        }
        charset(parameters, kind, field.at, notes);
        special(kind, field.at, notes);
        let boundaries = parameters.all("boundary");
        if kind.contains("multipart") || boundaries.iter().any(|value| value.form == Form::Plain) {
            self.add_boundaries(&boundaries, field.at, notes);
        }
    }

    fn add_boundaries(&mut self, values: &[Value], at: usize, notes: &mut Vec<(Anomaly, usize)>) {
        let of = |form| values.iter().filter(move |value| value.form == form);
        if of(Form::Plain).count() > 1 {
            notes.push((Anomaly::BoundaryConflict, at));
        }
        if of(Form::Extended).count() > 0 {
            notes.push((Anomaly::BoundaryExtended, at));
        }
        if values.is_empty() {
            notes.push((Anomaly::BoundaryMissing, at));
        } else if of(Form::Crude).count() > 0 || !of(Form::Plain).next().is_some_and(|value| is_boundary(&value.octets)) {
            notes.push((Anomaly::BoundaryMalformed, at));
        }
        for value in values {
            self.add_boundary(&value.octets);
            self.add_boundary(value.octets.trim_ascii());
        }
    }

    fn add_boundary(&mut self, boundary: &[u8]) {
        if !self.boundaries.iter().any(|known| known == boundary) {
            self.too_many |= self.boundaries.len() >= MAX_BOUNDARIES;
            self.boundaries.push(boundary.to_vec());
        }
    }

    fn add_encoding(&mut self, field: &Field, notes: &mut Vec<(Anomaly, usize)>) {
        let main = main_value(&field.value).to_ascii_lowercase();
        let found = match exactly(&main) {
            Some(encoding) if main.eq_ignore_ascii_case(field.value.trim_ascii()) => vec![encoding],
            exact => {
                let mut found: Vec<Encoding> = exact.into_iter().collect();
                found.extend(within(&field.value));
                // Scripts write the semicolon of the field before it.
                let semicolon = field.value.trim_ascii().strip_suffix(b";").is_some_and(|value| value.eq_ignore_ascii_case(&main));
                let unknown = found.is_empty() || exact.is_some() && semicolon;
                notes.push((if unknown { Anomaly::EncodingUnknown } else { Anomaly::EncodingMalformed }, field.at));
                found.push(Encoding::Identity);
                found
            }
        };
        for encoding in found {
            if !self.encodings.contains(&encoding) {
                self.encodings.push(encoding);
            }
        }
    }
}

fn exactly(value: &[u8]) -> Option<Encoding> {
    match value {
        b"7bit" | b"8bit" | b"binary" | b"" => Some(Encoding::Identity),
        b"base64" => Some(Encoding::Base64),
        b"quoted-printable" => Some(Encoding::Quoted),
        b"x-uuencode" | b"uuencode" | b"x-uue" | b"uue" => Some(Encoding::Uuencode),
        b"x-yenc" | b"yenc" => Some(Encoding::Yenc),
        _ => None,
    }
}

/// Encodings whose names stand anywhere in a value, whatever else is there.
fn within(value: &[u8]) -> Vec<Encoding> {
    let bare: Vec<u8> = value.iter().filter(|octet| octet.is_ascii_graphic()).map(u8::to_ascii_lowercase).collect();
    let has = |word: &[u8]| memchr::memmem::find(&bare, word).is_some();
    let mut found = Vec::new();
    for (words, encoding) in [
        (&[&b"base64"[..], b"b64"][..], Encoding::Base64),
        (&[b"quoted-printable", b"quotedprintable", b"quoted_printable"], Encoding::Quoted),
        (&[b"uue"], Encoding::Uuencode),
        (&[b"yenc"], Encoding::Yenc),
    ] {
        if words.iter().any(|word| has(word)) {
            found.push(encoding);
        }
    }
    found
}

/// RFC 2046 §5.1.1; quoted or not.
fn is_boundary(octets: &[u8]) -> bool {
    (1..=70).contains(&octets.len()) && !octets.ends_with(b" ") && octets.iter().all(|octet| matches!(octet, b' '..=b'~'))
}

fn charset(parameters: &Parameters<'_>, kind: &str, at: usize, notes: &mut Vec<(Anomaly, usize)>) {
    if !kind.starts_with("text") {
        return;
    }
    let label = |value: &Value| -> Vec<u8> {
        value.octets.iter().filter(|octet| octet.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
    };
    let labels: Vec<_> = parameters.all("charset").iter().map(label).collect();
    if labels.iter().any(|label| label.ends_with(b"utf7")) {
        notes.push((Anomaly::CharsetUtf7, at));
    }
    let wide = [&b"utf16"[..], b"utf32", b"ucs2", b"ucs4", b"iso10646", b"unicode"];
    if labels.iter().any(|label| wide.iter().any(|wide| label.starts_with(wide) && !label.ends_with(b"utf7") && !label.ends_with(b"utf8")))
    {
        notes.push((Anomaly::CharsetWide, at));
    }
}

/// Types that hold what nobody unpacks here.
fn special(kind: &str, at: usize, notes: &mut Vec<(Anomaly, usize)>) {
    let anomaly = match kind {
        "message/partial" => Anomaly::Partial,
        "message/external-body" => Anomaly::ExternalBody,
        "application/ms-tnef" | "application/vnd.ms-tnef" => Anomaly::Tnef,
        "application/mac-binhex40" | "application/mac-binhex" => Anomaly::Binhex,
        _ => return,
    };
    notes.push((anomaly, at));
}

#[cfg(test)]
mod tests {
    use super::super::section::views;
    use super::*;

    fn read(header: &str) -> (Facts, Vec<Anomaly>) {
        let text = format!("{header}\r\n\r\n");
        let mut notes = Vec::new();
        let facts = Facts::of(&views(text.as_bytes(), 0..text.len(), &mut Vec::new())[0], "text/plain", &mut notes);
        (facts, notes.into_iter().map(|(anomaly, _)| anomaly).collect())
    }
    fn encodings(value: &str) -> (Vec<Encoding>, Vec<Anomaly>) {
        let (facts, notes) = read(&format!("Content-Transfer-Encoding: {value}"));
        (facts.encodings, notes)
    }

    #[test]
    fn well_formed_fields_have_one_meaning() {
        let (facts, notes) = read(
            "Content-Type: Multipart/Mixed; boundary=\"a b\"; charset=x\r\nContent-Transfer-Encoding: 8BIT\r\n\
             Content-Disposition: attachment; filename=x.txt",
        );
        assert_eq!((&*facts.types, &*facts.encodings), (&["multipart/mixed".into()][..], &[Encoding::Identity][..]));
        assert_eq!((&*facts.boundaries[0], &*facts.names, notes), (&b"a b"[..], &["x.txt".into()][..], vec![]));
        let (facts, notes) = read("Subject: x");
        assert_eq!((&*facts.types[0], &*facts.encodings, notes), ("text/plain", &[Encoding::Identity][..], vec![]));
    }

    #[test]
    fn an_encoding_among_other_words_is_taken_and_is_not() {
        use Encoding::{Base64, Identity, Quoted};
        assert_eq!(encodings("base64"), (vec![Base64], vec![]));
        for value in ["base64 (x)", "(x) base64", "\"base64\"", "base64; x", "xbase64", "ba se64", "base64\0"] {
            assert_eq!(encodings(value), (vec![Base64, Identity], vec![Anomaly::EncodingMalformed]), "{value}");
        }
        assert_eq!(encodings("base64, quoted-printable").0, [Base64, Quoted, Identity]);
        assert_eq!(encodings("base64;"), (vec![Base64, Identity], vec![Anomaly::EncodingUnknown]));
        assert_eq!(encodings("8 bits"), (vec![Identity], vec![Anomaly::EncodingUnknown]));
        let (facts, notes) = read("Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64");
        assert_eq!((facts.encodings, notes), (vec![Identity, Base64], vec![Anomaly::EncodingConflict]));
    }

    #[test]
    fn types_and_boundaries_that_differ_are_all_kept() {
        let (facts, notes) = read("Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=a; boundary=b; boundary*0=c");
        assert_eq!(&*facts.types, ["text/plain".into(), "multipart/mixed".into()]);
        assert_eq!(facts.boundaries, [b"a", b"b", b"c"]);
        assert_eq!(notes, [Anomaly::BoundaryConflict, Anomaly::BoundaryExtended, Anomaly::TypeConflict]);
        let (facts, notes) = read("Content-Type: multipart mixed");
        assert!(facts.is_multipart());
        assert_eq!(notes, [Anomaly::TypeMalformed, Anomaly::BoundaryMissing]);
        for comment in ["multipart/mixed; boundary=(c)abc", "multipart/mixed; boundary=\"abc\"d", "multipart/mixed; boundary=abc d"] {
            assert_eq!(read(&format!("Content-Type: {comment}")).1, [Anomaly::BoundaryMalformed], "{comment}");
        }
        assert_eq!(read("Content-Type: text/(c)html").1, [Anomaly::TypeMalformed]);
        let (facts, notes) = read("Content-Type: multipart/mixed; boundary=\"abc \"");
        assert_eq!((facts.boundaries.len(), notes), (2, vec![Anomaly::BoundaryMalformed]));
    }

    #[test]
    fn fields_that_mean_the_same_are_no_conflict() {
        assert_eq!(read("Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 8bit").1, []);
        assert_eq!(read("Content-Type: text/plain\r\nContent-Type: TEXT/plain").1, []);
        assert_eq!(read("Content-Type: text/plain\r\nContent-Type: text/html").1, [Anomaly::TypeRepeated]);
    }

    #[test]
    fn more_than_is_looked_at_is_said_and_not_passed_over() {
        let many = |text: &str, count: usize| (0..count).map(|n| text.replace('#', &n.to_string())).collect::<String>();
        for header in [
            format!("Content-Type: multipart/mixed{}", many("; boundary=#", MAX_BOUNDARIES + 1)),
            format!("Content-Type: a/b{}", many("; name=#.exe", MAX_VALUES + 1)),
            format!("Content-Type: a/b{}", many("; x#=y", 200)),
            format!("Content-Type: a/b; name={}", "x".repeat(MAX_VALUE)),
            format!("{}X: y", many("Content-Type: a/#\r\n", MAX_TYPES + 1)),
        ] {
            assert!(read(&header).1.contains(&Anomaly::TooComplex), "{header:.100}");
        }
    }

    #[test]
    fn what_hides_content_is_noted() {
        for (value, anomaly) in [
            ("message/partial; id=x", Anomaly::Partial),
            ("application/ms-tnef", Anomaly::Tnef),
            ("text/html; charset=\"UTF-7\"", Anomaly::CharsetUtf7),
            ("text/html; charset=utf-16le", Anomaly::CharsetWide),
            ("a/b; name=x.txt; name*=''x.exe", Anomaly::NameConflict),
            ("a/b; name=\"x\u{202e}txt.exe\"", Anomaly::NameDeceptive),
        ] {
            assert_eq!(read(&format!("Content-Type: {value}")).1, [anomaly], "{value}");
        }
    }
}
