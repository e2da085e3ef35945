//! File names: every one that some program would show or save a part under.
use super::parameters::{Form, Value, percent_decoded};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use encoding_rs::Encoding;
use std::collections::BTreeSet;

/// Characters of a name that are kept; no file system takes longer ones.
const LONGEST: usize = 255;
/// Names of one part.
pub(super) const MOST: usize = 24;
/// Octets of a value that are looked at: encoded words take a dozen for a character.
const MAX_VALUE: usize = 4 << 10;

/// All names that `values` can be read as, without doubles.
pub(super) fn all<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for text in values.flat_map(texts) {
        for name in spellings(&text) {
            let name: Box<str> = name.chars().take(LONGEST).collect::<String>().into();
            if !name.is_empty() && names.len() < MOST && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// One name, as it stands in a file's first line in text.
pub(super) fn plain(octets: &[u8]) -> Vec<Box<str>> {
    all([Value { octets: octets.to_vec(), charset: None, form: Form::Plain }].iter())
}

/// Encoded words in a value, or what looks like them.
pub(super) fn encoded_words(value: &[u8]) -> u64 {
    memchr::memmem::find_iter(value, b"=?").count() as u64
}

/// The extensions that programs which follow a standard would see.
pub(super) fn extensions<'a>(values: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    let last = |value: &Value| {
        let text = texts(value).pop()?;
        let (_, extension) = text.trim_end_matches(['.', ' ', '\0']).rsplit_once('.')?;
        // Not the rest of a sentence, nor of a version.
        let is_one = (1..=5).contains(&extension.len())
            && extension.bytes().all(|octet| octet.is_ascii_alphanumeric())
            && extension.bytes().any(|octet| octet.is_ascii_alphabetic());
        is_one.then(|| extension.to_ascii_lowercase())
    };
    values.filter(|value| value.form != Form::Crude).filter_map(last).collect()
}

/// Whether a reviewer would not see what a name ends in: cut off or deleted (NUL, BS, DEL), or turned
/// around (RLO, LRO). Charsets need other control characters, and languages other marks.
pub(super) fn is_deceptive(name: &str) -> bool {
    name.contains(['\0', '\u{8}', '\u{7f}', '\u{202d}', '\u{202e}'])
}

/// A value in characters, then with whatever may be encoded in it decoded; the last is what a
/// standard-minded reader would show.
fn texts(value: &Value) -> Vec<String> {
    let octets = value.octets.get(..MAX_VALUE).unwrap_or(&value.octets);
    let text = to_text(octets, value.charset.as_deref());
    let mut all = Vec::new();
    if value.form != Form::Extended && text.contains('%') {
        all.push(to_text(&percent_decoded(octets), None));
    }
    let words = text.contains("=?").then(|| decode_words(&text));
    all.push(text);
    all.extend(words);
    all
}

/// As it is, and as file systems and programs in C would take it.
fn spellings(text: &str) -> Vec<String> {
    let mut all = vec![text.to_owned()];
    if text.contains('\0') {
        all.push(text.split('\0').next().unwrap_or_default().to_owned());
        all.push(text.replace('\0', ""));
    }
    for n in 0..all.len() {
        let Some(name) = all.get(n).cloned() else { break };
        if let Some((_, last)) = name.rsplit_once(['/', '\\', ':']) {
            all.push(last.to_owned());
        }
        all.push(name.trim_end_matches(['.', ' ']).trim_start().to_owned());
    }
    all
}

fn to_text(octets: &[u8], charset: Option<&str>) -> String {
    match charset.and_then(|label| Encoding::for_label(label.as_bytes())) {
        Some(encoding) => encoding.decode_without_bom_handling(octets).0.into_owned(),
        None => String::from_utf8_lossy(octets).into_owned(),
    }
}

/// Encoded words (RFC 2047 §2), which have no place in parameters and are written there all the same.
fn decode_words(text: &str) -> String {
    let (mut decoded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("=?") {
        let mut parts = after.splitn(3, '?');
        let word = match (parts.next(), parts.next(), parts.next()) {
            (Some(charset), Some(form), Some(tail)) => word_octets(form, tail.split("?=").next().unwrap_or_default())
                .map(|octets| (charset, octets, tail.split_once("?=").map_or("", |(_, beyond)| beyond))),
            _ => None,
        };
        // Blanks between two encoded words are not part of the text (RFC 2047 §6.2).
        if decoded.is_empty() || !before.trim().is_empty() {
            decoded.push_str(before);
        }
        match word {
            Some((charset, octets, beyond)) => {
                decoded.push_str(&to_text(&octets, charset.split('*').next()));
                rest = beyond;
            }
            None => {
                decoded.push_str("=?");
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

fn word_octets(form: &str, text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    match form {
        "B" | "b" => LENIENT.decode(text.trim()).ok(),
        "Q" | "q" => Some(super::quoted::Rule::Lenient.decode(text.replace('_', " ").as_bytes())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parameters::Parameters;
    use super::*;

    fn names(value: &str) -> Vec<String> {
        let values = Parameters::of(value.as_bytes()).all("filename");
        all(values.iter()).into_iter().map(Into::into).collect()
    }

    #[test]
    fn every_way_to_write_a_name_is_read() {
        for (value, expected) in [
            ("a; filename=x.exe", "x.exe"),
            ("a; filename*=utf-8''%e2%82%ac.exe", "€.exe"),
            ("a; filename*=iso-8859-1''%e9.exe", "é.exe"),
            ("a; filename*0=x.; filename*1=exe", "x.exe"),
            ("a; filename=\"=?utf-8?B?eC5leGU=?=\"", "x.exe"),
            ("a; filename=\"=?utf-8?Q?x?= =?utf-8?q?=2Eexe?=\"", "x.exe"),
            ("a; filename==?utf-8?B?eC5leGU?=", "x.exe"),
            ("a; filename=\"C:\\\\dir\\\\x.exe\"", "x.exe"),
            ("a; filename=\"../x.exe\"", "x.exe"),
            ("a; filename=\"x.exe. . \"", "x.exe"),
            ("a; filename=x%2Eexe", "x.exe"),
            ("a; filename=\"x.exe\0.txt\"", "x.exe"),
            ("a; filename=x.txt; filename=x.exe", "x.exe"),
            ("a filename=x.exe", "x.exe"),
        ] {
            assert!(names(value).contains(&expected.to_owned()), "{value}: {:?}", names(value));
        }
        assert_eq!(names("a; filename=x.exe"), ["x.exe"], "and no more than there are");
        assert_eq!(names("a; filename=\"\""), Vec::<String>::new());
    }

    #[test]
    fn names_are_bounded() {
        let long = names(&format!("a; filename={}", "é".repeat(1_000)));
        assert_eq!(long[0].chars().count(), LONGEST);
        let many: String = (0..100).map(|n| format!("; filename=n{n}")).collect();
        assert_eq!(names(&format!("a{many}")).len(), MOST);
    }

    #[test]
    fn extensions_that_differ_and_names_that_deceive_are_seen() {
        let count = |value: &str| extensions(Parameters::of(value.as_bytes()).all("filename").iter()).len();
        assert_eq!(count("a; filename=\"=?utf-8?B?eC5leGU=?=\"; filename*=utf-8''y.exe"), 1);
        assert_eq!(count("a; filename=y.txt; filename*=utf-8''y.exe"), 2);
        assert_eq!(count("a; filename=\"Report v1.2\"; filename*=utf-8''Report%20v1.2.pdf; filename*0=\"St. Mary\""), 1);
        assert!(is_deceptive("x\u{202e}txt.exe") && is_deceptive("x\0.txt") && !is_deceptive("é\u{200f}.txt"));
    }

    #[test]
    fn half_an_encoded_word_stands_as_it_is() {
        for text in ["=?", "=?utf-8", "=?utf-8?B", "=?utf-8?X?x?=", "=?utf-8?B?*?="] {
            assert_eq!(decode_words(text), text);
        }
        assert_eq!(decode_words("a =?utf-8?Q?b?= c"), "a b c");
    }
}
