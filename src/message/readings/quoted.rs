//! Quoted-printable (RFC 2045 §6.7), as strict and as lenient as programs decode it.
use super::Anomaly;
use memchr::{memchr, memchr_iter};

/// How a decoder takes what the standard does not foresee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Hexadecimal digits in any case, blanks after a soft break ignored, other escapes kept.
    Lenient,
    /// Upper case only, and a soft break is `=` and a line end; all else stands as it is.
    Strict,
    /// As lenient, but the `=` of an invalid escape is dropped.
    DropInvalid,
    /// As lenient, and blanks at the end of a line are dropped (RFC 2045 §6.7 rule 3).
    Trimmed,
}

/// The rules by which `encoded` reads differently, and what is odd about it.
pub(super) fn rules(encoded: &[u8]) -> (Vec<Rule>, Vec<(Anomaly, usize)>) {
    let (mut rules, mut odd) = (vec![Rule::Lenient], None);
    let (mut strict, mut invalid) = (false, false);
    for at in memchr_iter(b'=', encoded) {
        let rest = encoded.get(at + 1..).unwrap_or_default();
        let is_odd = match rest {
            [] | [b'\n', ..] | [b'\r', b'\n', ..] => false,
            [high, low, ..] if hex(*high).is_some() && hex(*low).is_some() => {
                let lower = high.is_ascii_lowercase() || low.is_ascii_lowercase();
                strict |= lower;
                lower
            }
            _ => {
                let blanks = soft_break(rest).is_some();
                strict |= blanks;
                invalid |= !blanks;
                true
            }
        };
        if is_odd && odd.is_none() {
            odd = Some(at);
        }
    }
    if strict {
        rules.push(Rule::Strict);
    }
    if invalid {
        rules.push(Rule::DropInvalid);
    }
    if encoded.split(|octet| *octet == b'\n').any(|line| has_trailing_blanks(line).is_some()) {
        rules.push(Rule::Trimmed);
    }
    (rules, odd.map(|at| (Anomaly::QuotedMalformed, at)).into_iter().collect())
}

/// The line without the blanks before its end, where there are any.
fn has_trailing_blanks(line: &[u8]) -> Option<&[u8]> {
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    text.ends_with(b" ").then_some(()).or_else(|| text.ends_with(b"\t").then_some(()))?;
    Some(text.trim_ascii_end())
}

/// How long a soft line break is after its `=`, with the blanks before the line end.
fn soft_break(rest: &[u8]) -> Option<usize> {
    let blanks = rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    match rest.get(blanks..).unwrap_or_default() {
        [] => Some(blanks),
        [b'\n', ..] => Some(blanks + 1),
        [b'\r', b'\n', ..] => Some(blanks + 2),
        _ => None,
    }
}

fn hex(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl Rule {
    pub(super) fn decode(self, encoded: &[u8]) -> Vec<u8> {
        let mut octets = Vec::with_capacity(encoded.len());
        if self != Self::Trimmed {
            self.decode_into(&mut octets, encoded);
            return octets;
        }
        for line in encoded.split_inclusive(|octet| *octet == b'\n') {
            let (text, end) = line.strip_suffix(b"\n").map_or((line, &b""[..]), |text| (text, &b"\n"[..]));
            match has_trailing_blanks(text) {
                Some(trimmed) => {
                    self.decode_into(&mut octets, trimmed);
                    if !trimmed.ends_with(b"=") {
                        octets.extend_from_slice(if text.ends_with(b"\r") { b"\r" } else { b"" });
                        octets.extend_from_slice(end);
                    }
                }
                None => self.decode_into(&mut octets, line),
            }
        }
        octets
    }

    fn decode_into(self, octets: &mut Vec<u8>, encoded: &[u8]) {
        let mut rest = encoded;
        while let Some(at) = memchr(b'=', rest) {
            octets.extend_from_slice(rest.get(..at).unwrap_or_default());
            let after = rest.get(at + 1..).unwrap_or_default();
            let (octet, used) = self.escape(after);
            octets.extend(octet);
            rest = after.get(used..).unwrap_or_default();
        }
        octets.extend_from_slice(rest);
    }

    /// What stands for `=` and what follows it, and how much of that is used up.
    fn escape(self, after: &[u8]) -> (Option<u8>, usize) {
        if let [high, low, ..] = after
            && let (Some(h), Some(l)) = (hex(*high), hex(*low))
            && !(self == Self::Strict && (high.is_ascii_lowercase() || low.is_ascii_lowercase()))
        {
            return (Some(h << 4 | l), 2);
        }
        match soft_break(after) {
            Some(length) if self != Self::Strict || !matches!(after, [b' ' | b'\t', ..]) => (None, length),
            _ => ((self != Self::DropInvalid).then_some(b'='), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(encoded: &str) -> Vec<(Rule, String)> {
        rules(encoded.as_bytes()).0.into_iter().map(|rule| (rule, String::from_utf8(rule.decode(encoded.as_bytes())).unwrap())).collect()
    }

    #[test]
    fn what_is_well_formed_has_one_reading() {
        assert_eq!(all("a=3Db =\r\nc=20\r\nd="), [(Rule::Lenient, "a=b c \r\nd".into())]);
        assert_eq!(all(""), [(Rule::Lenient, String::new())]);
    }

    #[test]
    fn what_is_malformed_has_one_for_every_kind_of_decoder() {
        assert_eq!(all("=4a"), [(Rule::Lenient, "J".into()), (Rule::Strict, "=4a".into())]);
        assert_eq!(all("=ZZ="), [(Rule::Lenient, "=ZZ".into()), (Rule::DropInvalid, "ZZ".into())]);
        let soft = all("a= \r\nb");
        assert_eq!(soft[0], (Rule::Lenient, "ab".into()));
        assert_eq!(soft[1], (Rule::Strict, "a= \r\nb".into()));
        assert_eq!(all("a \r\nb\t\n=41"), [(Rule::Lenient, "a \r\nb\t\nA".into()), (Rule::Trimmed, "a\r\nb\nA".into())]);
        assert_eq!(rules(b"ok=3D =4x").1, [(Anomaly::QuotedMalformed, 6)]);
    }
}
