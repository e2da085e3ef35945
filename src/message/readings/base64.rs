//! Base64 (RFC 2045 §6.8), as strict and as lenient as programs decode it.
use super::Anomaly;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// How a decoder takes what the standard does not foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Goes on after padding, as Thunderbird and Apple Mail do; skips what is no base64.
    GoOn,
    /// Padding is the end.
    StopAtPadding,
    /// Padding is skipped as if it were not there.
    SkipPadding,
    /// What is no base64 is the end.
    StopAtJunk,
    /// Lines in which anything is no base64 are left out.
    DropLines,
    /// Every line is decoded for itself.
    ByLine,
    /// `-` and `_` are digits (RFC 4648 §5).
    Url,
}

/// What a decoder could stumble over.
#[derive(Debug, Default)]
struct Survey {
    padded_inside: bool,
    junk: Option<usize>,
    /// The first line with junk is base64 otherwise, or lines of base64 follow it.
    amid: bool,
    url: bool,
    /// A line that is no multiple of four, with another after it.
    uneven: bool,
}

/// The octets, where there is nothing that two decoders could differ in.
pub(super) fn strict(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(encoded.len() / 4 * 3);
    let mut padded = false;
    for line in encoded.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        if padded {
            return None;
        }
        padded = line.ends_with(b"=");
        STANDARD.decode_vec(line, &mut octets).ok()?;
    }
    Some(octets)
}

/// The rules by which `encoded` reads differently, and what is odd about it.
pub(super) fn rules(encoded: &[u8]) -> (Vec<Rule>, Vec<(Anomaly, usize)>) {
    let survey = Survey::of(encoded);
    let (mut rules, mut notes) = (vec![Rule::GoOn], Vec::new());
    if survey.padded_inside {
        rules.extend([Rule::StopAtPadding, Rule::SkipPadding]);
    }
    if let Some(at) = survey.junk {
        rules.extend([Rule::StopAtJunk, Rule::DropLines]);
        notes.push((if survey.amid { Anomaly::Base64Junk } else { Anomaly::Base64Trailer }, at));
    }
    if survey.padded_inside && (survey.junk.is_none() || survey.amid) {
        notes.push((Anomaly::Base64Padding, 0));
    }
    if survey.url {
        rules.push(Rule::Url);
    }
    if survey.uneven {
        rules.push(Rule::ByLine);
        if survey.junk.is_none() {
            notes.push((Anomaly::Base64Uneven, 0));
        }
    }
    (rules, notes)
}

impl Survey {
    fn of(encoded: &[u8]) -> Self {
        let mut survey = Self::default();
        let (mut padded, mut odd, mut at) = (false, false, 0);
        for whole in encoded.split_inclusive(|octet| *octet == b'\n') {
            let line = whole.trim_ascii();
            let digits = line.iter().filter(|octet| digit(**octet, false).is_some()).count();
            let junk = line.iter().position(|octet| digit(*octet, false).is_none() && *octet != b'=');
            survey.url |= junk.is_some() && line.iter().any(|octet| matches!(octet, b'-' | b'_'));
            if let Some(junk) = junk.filter(|_| survey.junk.is_none()) {
                survey.junk = Some(at + junk);
                survey.amid = digits >= 8 && !line.contains(&b' ');
            } else if survey.junk.is_some() && junk.is_none() && digits >= 40 {
                survey.amid = true;
            }
            for octet in line {
                survey.padded_inside |= padded && digit(*octet, false).is_some();
                padded |= *octet == b'=';
            }
            // Only where another line follows does it matter.
            survey.uneven |= odd && !line.is_empty();
            odd |= line.len() % 4 != 0;
            at += whole.len();
        }
        survey
    }
}

impl Rule {
    pub(super) fn decode(self, encoded: &[u8]) -> Vec<u8> {
        let mut out = Quanta { octets: Vec::with_capacity(encoded.len() / 4 * 3 + 3), bits: 0, digits: 0 };
        let url = self == Self::Url;
        for line in encoded.split(|octet| *octet == b'\n') {
            let line = line.trim_ascii();
            if self == Self::DropLines && line.iter().any(|octet| digit(*octet, false).is_none() && *octet != b'=') {
                continue;
            }
            for octet in line {
                match (digit(*octet, url), octet) {
                    (Some(six), _) => out.push(six),
                    (None, b'=') => match self {
                        Self::SkipPadding => {}
                        Self::StopAtPadding => return out.end(),
                        _ => out.flush(),
                    },
                    (None, b' ' | b'\t' | b'\r') => {}
                    (None, _) if self == Self::StopAtJunk => return out.end(),
                    (None, _) => {}
                }
            }
            if self == Self::ByLine {
                out.flush();
            }
        }
        out.end()
    }
}

/// Octets out of six bits at a time.
struct Quanta {
    octets: Vec<u8>,
    bits: u32,
    digits: u8,
}

impl Quanta {
    fn push(&mut self, six: u8) {
        self.bits = self.bits << 6 | u32::from(six);
        self.digits += 1;
        if self.digits == 4 {
            let [_, octets @ ..] = self.bits.to_be_bytes();
            self.octets.extend_from_slice(&octets);
            (self.bits, self.digits) = (0, 0);
        }
    }
    /// What is left of a quantum that ends early; a single digit is less than an octet.
    fn flush(&mut self) {
        let [first, second, ..] = (self.bits << (32 - 6 * u32::from(self.digits.max(1)))).to_be_bytes();
        match self.digits {
            2 => self.octets.push(first),
            3 => self.octets.extend_from_slice(&[first, second]),
            _ => {}
        }
        (self.bits, self.digits) = (0, 0);
    }
    fn end(mut self) -> Vec<u8> {
        self.flush();
        self.octets
    }
}

fn digit(octet: u8, url: bool) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        b'-' if url => Some(62),
        b'_' if url => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(encoded: &str) -> Vec<(Rule, String)> {
        rules(encoded.as_bytes())
            .0
            .into_iter()
            .map(|rule| (rule, String::from_utf8_lossy(&rule.decode(encoded.as_bytes())).into()))
            .collect()
    }
    fn read(rule: Rule, encoded: &str) -> String {
        all(encoded).into_iter().find(|(found, _)| *found == rule).unwrap().1
    }

    #[test]
    fn what_is_well_formed_has_one_reading() {
        for (encoded, octets) in [("aGVsbG8=\r\n", "hello"), ("aGVs\r\nbG8h\r\n\r\n", "hello!"), ("", ""), (" aGVs \n", "hel")] {
            assert_eq!(strict(encoded.as_bytes()).unwrap(), octets.as_bytes());
            assert_eq!(Rule::GoOn.decode(encoded.as_bytes()), octets.as_bytes());
        }
        for odd in ["aGVsbG8", "aGVsbG8=\r\naGVs", "aGV*sbG8=", "aG\r\nVs", "aGVsb=G8"] {
            assert_eq!(strict(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn padding_inside_is_the_end_or_is_not() {
        let encoded = "aGVsbG8=IHdvcmxk";
        assert_eq!(read(Rule::GoOn, encoded), "hello world");
        assert_eq!(read(Rule::StopAtPadding, encoded), "hello");
        assert!(all(encoded).iter().any(|(rule, _)| *rule == Rule::SkipPadding));
        assert_eq!(rules(encoded.as_bytes()).1, [(Anomaly::Base64Padding, 0)]);
    }

    #[test]
    fn junk_is_skipped_or_is_the_end() {
        let encoded = "aGVs*bG8gd29ybGQ=";
        assert_eq!(read(Rule::GoOn, encoded), "hello world");
        assert_eq!(read(Rule::StopAtJunk, encoded), "hel");
        assert_eq!(read(Rule::DropLines, encoded), "");
        assert_eq!(rules(encoded.as_bytes()).1, [(Anomaly::Base64Junk, 4)]);
        assert_eq!(read(Rule::Url, "-_-_"), "\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn text_that_a_list_appends_is_told_from_junk() {
        let (rules, notes) = rules(b"aGVsbG8=\r\n_______\r\nA list for all\r\nhttp://example.org/list\r\n");
        assert_eq!(notes, [(Anomaly::Base64Trailer, 10)]);
        assert!(rules.contains(&Rule::StopAtPadding) && rules.contains(&Rule::StopAtJunk));
    }

    #[test]
    fn lines_of_odd_length_are_decoded_together_and_alone() {
        let encoded = "aGVsbG8\r\nd29ybGQ\r\n";
        assert_eq!(read(Rule::ByLine, encoded), "helloworld");
        assert_ne!(read(Rule::GoOn, encoded), "helloworld");
        assert_eq!(Rule::GoOn.decode(b"a"), b"");
    }
}
