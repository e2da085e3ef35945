//! Parameters of structured fields (RFC 2045 §5.1, RFC 2231), read as several kinds of programs do.

/// What some reader takes for the value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) octets: Vec<u8>,
    /// The charset of RFC 2231 §4; without one, whatever the reader thinks.
    pub(super) charset: Option<String>,
    pub(super) form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `name=value`, read as the standard says.
    Plain,
    /// `name*=`, `name*0=`, `name*0*=`: RFC 2231.
    Extended,
    /// As a program reads it that does not know comments, quotes or semicolons.
    Crude,
}

/// Parameters of one field that are looked at.
const MAX_PARAMETERS: usize = 200;
/// Readings of one parameter; where there are more, one more is told.
pub(super) const MAX_VALUES: usize = 32;
/// Places where crude programs would find it.
const MAX_CRUDE: usize = 2 * MAX_VALUES;

/// The parameters of one field.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    value: &'a [u8],
    /// Name in lower case, and value.
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Parameters<'a> {
    /// `value`: unfolded.
    pub(super) fn of(value: &'a [u8]) -> Self {
        Self { value, pairs: standard(value) }
    }

    /// Whether there are more than are looked at.
    pub(super) fn are_too_many(&self) -> bool {
        self.pairs.len() >= MAX_PARAMETERS
    }

    /// Every reading of the parameter `name` (lower case), the standard's first.
    pub(super) fn all(&self, name: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        let mut add = |octets: Vec<u8>, charset: Option<String>, form: Form| {
            if all.len() <= MAX_VALUES && !all.iter().any(|other| other.octets == octets && other.charset == charset) {
                all.push(Value { octets, charset, form });
            }
        };
        let called = |(found, _): &&(Vec<u8>, Vec<u8>)| found == name.as_bytes();
        self.pairs.iter().filter(called).for_each(|(_, value)| add(value.clone(), None, Form::Plain));
        for (octets, charset) in self.extended(name) {
            add(octets, charset, Form::Extended);
        }
        for octets in crude(self.value, name) {
            add(octets, None, Form::Crude);
        }
        all
    }

    /// `name*` by itself, and the pieces `name*0`, `name*1*`, … put together.
    fn extended(&self, name: &str) -> Vec<(Vec<u8>, Option<String>)> {
        let mut all = Vec::new();
        let mut pieces: Vec<(u32, bool, &[u8])> = Vec::new();
        for (found, value) in &self.pairs {
            let Some(rest) = found.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"*")) else { continue };
            if rest.is_empty() {
                all.push(extended_value(value));
                continue;
            }
            let (number, encoded) = rest.strip_suffix(b"*").map_or((rest, false), |number| (number, true));
            if let Some(number) = str::from_utf8(number).ok().and_then(|number| number.parse().ok()) {
                pieces.push((number, encoded, value));
            }
        }
        let as_written = join(&pieces, false);
        pieces.sort_by_key(|(number, ..)| *number);
        all.extend(join(&pieces, false));
        all.extend(join(&pieces, true));
        all.extend(as_written);
        all
    }
}

/// RFC 2231 §3 and §4.1; `strictly`: up to the first number that is missing or there twice.
fn join(pieces: &[(u32, bool, &[u8])], strictly: bool) -> Option<(Vec<u8>, Option<String>)> {
    let (_, first_encoded, first) = pieces.first()?;
    let (mut octets, charset) = if *first_encoded { extended_value(first) } else { (first.to_vec(), None) };
    let mut next = pieces.first().map_or(0, |(number, ..)| *number);
    if strictly && next != 0 {
        return None;
    }
    for (number, encoded, value) in pieces.iter().skip(1) {
        next = next.saturating_add(1);
        if strictly && *number != next {
            break;
        }
        if *encoded { octets.extend(percent_decoded(value)) } else { octets.extend_from_slice(value) }
    }
    Some((octets, charset))
}

/// `charset'language'text` with percent escapes; text alone where the quotes are missing.
fn extended_value(value: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut parts = value.splitn(3, |octet| *octet == b'\'');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_), Some(text)) => (percent_decoded(text), Some(String::from_utf8_lossy(charset).into_owned())),
        _ => (percent_decoded(value), None),
    }
}

/// Escapes that are none stand as they are.
pub(super) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let hex = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'%', [high, low, beyond @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                octets.push(hex(*high).unwrap_or_default() << 4 | hex(*low).unwrap_or_default());
                rest = beyond;
            }
            _ => octets.push(*first),
        }
    }
    octets
}

/// A scanner over one field.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.0 = self.0.trim_ascii_start();
            if self.0.first() != Some(&b'(') {
                return;
            }
            self.skip_comment();
        }
    }

    /// RFC 5322 §3.2.2; one that never closes goes to the end.
    fn skip_comment(&mut self) {
        let (mut depth, mut escaped) = (0u32, false);
        for (at, octet) in self.0.iter().enumerate() {
            match octet {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.0 = self.0.get(at + 1..).unwrap_or_default();
                return;
            }
        }
        self.0 = b"";
    }

    /// Until one of `ends`, without comments and blanks around.
    fn word(&mut self, ends: &[u8]) -> Vec<u8> {
        let mut word = Vec::new();
        while let Some((first, rest)) = self.0.split_first() {
            match first {
                b'(' => self.skip_comment(),
                octet if ends.contains(octet) => break,
                octet => {
                    word.push(*octet);
                    self.0 = rest;
                }
            }
        }
        word.truncate(word.trim_ascii_end().len());
        word
    }

    /// A quoted string, its first quote still ahead (RFC 5322 §3.2.4).
    fn quoted(&mut self) -> Vec<u8> {
        let mut value = Vec::new();
        let mut escaped = false;
        for (at, octet) in self.0.iter().enumerate().skip(1) {
            match octet {
                _ if escaped => {
                    value.push(*octet);
                    escaped = false;
                }
                b'\\' => escaped = true,
                b'"' => {
                    self.0 = self.0.get(at + 1..).unwrap_or_default();
                    return value;
                }
                _ => value.push(*octet),
            }
        }
        self.0 = b"";
        value
    }
}

/// As the standard says, as far as that goes.
fn standard(value: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut scanner = Scanner(value);
    let mut pairs = Vec::new();
    // The type, or the disposition.
    scanner.word(b";");
    while !scanner.0.is_empty() && pairs.len() < MAX_PARAMETERS {
        scanner.0 = scanner.0.get(1..).unwrap_or_default();
        scanner.skip_blanks_and_comments();
        let name = scanner.word(b"=;").to_ascii_lowercase();
        if scanner.0.first() != Some(&b'=') {
            continue;
        }
        scanner.0 = scanner.0.get(1..).unwrap_or_default();
        scanner.skip_blanks_and_comments();
        let value = if scanner.0.first() == Some(&b'"') { scanner.quoted() } else { scanner.word(b";") };
        if !name.is_empty() {
            pairs.push((name, value));
        }
        scanner.word(b";");
    }
    pairs
}

/// The content of a field without comments, up to its first semicolon.
pub(super) fn main_value(value: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner(value);
    scanner.skip_blanks_and_comments();
    scanner.word(b";")
}

/// As programs read that look for `name=`: what follows up to a quote, a blank or a semicolon, with
/// and without the quotes.
fn crude(value: &[u8], name: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let name = name.as_bytes();
    let mut from = 0;
    while let Some(at) = value.get(from..).and_then(|rest| rest.windows(name.len()).position(|w| w.eq_ignore_ascii_case(name))) {
        from += at + name.len();
        let Some(after) = value.get(from..).map(<[u8]>::trim_ascii_start).and_then(|rest| rest.strip_prefix(b"=")) else { continue };
        let after = after.trim_ascii_start();
        let up_to = |ends: &[u8], text: &[u8]| text.iter().take_while(|octet| !ends.contains(octet)).copied().collect::<Vec<u8>>();
        match after.first() {
            Some(quote @ (b'"' | b'\'')) => {
                let inner = up_to(&[*quote], after.get(1..).unwrap_or_default());
                let all_of_it = up_to(b";", after).trim_ascii_end().to_vec();
                // Nobody keeps quotes that stand around a value; around a part of it, some do.
                let more = all_of_it.len() != inner.len() + 2 || all_of_it.last() != Some(quote);
                all.push(inner);
                all.extend(more.then_some(all_of_it));
            }
            _ => {
                all.push(up_to(b";", after).trim_ascii_end().to_vec());
                all.push(up_to(b" \t;,\"", after));
            }
        }
        if all.len() >= MAX_CRUDE {
            break;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(value: &str, name: &str) -> Vec<(Form, String)> {
        let values = Parameters::of(value.as_bytes()).all(name);
        values.into_iter().map(|value| (value.form, String::from_utf8(value.octets).unwrap())).collect()
    }
    fn texts(value: &str, name: &str) -> Vec<String> {
        all(value, name).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_well_formed_parameter_has_one_standard_reading_and_it_is_first() {
        for (value, expected) in [
            ("multipart/mixed; boundary=abc", "abc"),
            ("multipart/mixed; boundary=\"a b;c\"; x=y", "a b;c"),
            ("multipart/mixed; x=y; BOUNDARY = abc ; z", "abc"),
            ("multipart/mixed; boundary=\"a\\\"b\"", "a\"b"),
            ("multipart/mixed (c; boundary=no); boundary=(x)abc(y)", "abc"),
            ("multipart/mixed;;boundary=abc", "abc"),
        ] {
            let all = all(value, "boundary");
            assert_eq!(all[0], (Form::Plain, expected.into()), "{value}");
            assert!(all[1..].iter().all(|(form, _)| *form == Form::Crude), "{value}");
        }
    }

    #[test]
    fn parameters_given_twice_or_without_semicolons_are_all_there() {
        assert_eq!(texts("m; boundary=a; boundary=b", "boundary"), ["a", "b"]);
        assert_eq!(texts("multipart/mixed boundary=abc", "boundary"), ["abc"]);
        assert!(texts("m; boundary='abc'", "boundary").contains(&"abc".to_owned()));
        assert!(texts("m; boundary=\"abc\"def", "boundary").contains(&"\"abc\"def".to_owned()));
        assert_eq!(texts("m; boundary", "boundary"), Vec::<String>::new());
        assert_eq!(texts("m; boundary=\"", "boundary"), ["", "\""]);
        assert_eq!(texts("m; boundary=((", "boundary")[0], "");
    }

    #[test]
    fn the_forms_of_rfc_2231_are_put_together() {
        let value = "a; name*=utf-8'en'%C3%A9.txt";
        assert_eq!(
            Parameters::of(value.as_bytes()).all("name")[0],
            Value { octets: "é.txt".into(), charset: Some("utf-8".into()), form: Form::Extended }
        );
        assert_eq!(texts("a; name*1=\"b c\"; name*0*=us-ascii''%41; name*3=d", "name")[..2], ["Ab cd", "Ab c"]);
        assert!(texts("a; name*1=b; name*0=a", "name").contains(&"ba".to_owned()), "as written");
        assert_eq!(texts("a; name*=%zz%4", "name")[0], "%zz%4");
    }

    #[test]
    fn a_main_value_has_no_comments() {
        for (value, expected) in
            [(" (c) base64 (d)", "base64"), ("text/plain; a=b", "text/plain"), ("", ""), ("(", ""), ("a(b(c)d)e", "ae")]
        {
            assert_eq!(main_value(value.as_bytes()), expected.as_bytes());
        }
    }
}
