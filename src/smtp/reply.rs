//! Replies (RFC 5321 §4.2) with enhanced status codes (RFC 3463, RFC 2034).

use crate::value::settings::Setting;
use bytes::BytesMut;
use std::{borrow::Cow, fmt};
use toml::de::DeValue;

/// A reply as it stands on the wire, without its line ends: a code and one or more lines, each of
/// which carries its own enhanced status code where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    /// Lines divided by `\n`; no CR, no other control character but HT.
    text: Cow<'static, str>,
}

impl Reply {
    /// `text` may hold several lines, divided by `\n`. Whatever could end a line early on the wire
    /// (CR, NUL and the other controls) becomes `?`, since much of what stands in replies was said
    /// by somebody else.
    pub fn new(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        let control = |c: char| c.is_control() && c != '\n' && c != '\t';
        // Most have none, which the octets show sooner than the characters: C1 begins with C2.
        let suspect = text.bytes().any(|octet| (octet < b' ' && octet != b'\n') || octet == 0x7f || octet == 0xc2);
        let text = if suspect && text.contains(control) { Cow::Owned(text.replace(control, "?")) } else { text };
        Self { code, text }
    }

    /// The three digits.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Everything but the code; lines divided by `\n`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// 2yz.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        matches!(self.code, 200..=299)
    }

    /// Appends the reply as it goes over the wire, multi-line where it has several lines.
    pub fn write_to(&self, out: &mut BytesMut) {
        let mut lines = self.text.split('\n').peekable();
        let digits = [b'0' + (self.code / 100 % 10) as u8, b'0' + (self.code / 10 % 10) as u8, b'0' + (self.code % 10) as u8];
        while let Some(line) = lines.next() {
            out.extend_from_slice(&digits);
            out.extend_from_slice(if lines.peek().is_some() { b"-" } else { b" " });
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// On one line, as a log shows it.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        for (n, line) in self.text.split('\n').enumerate() {
            if n > 0 {
                f.write_str(" / ")?;
            }
            f.write_str(line)?;
        }
        Ok(())
    }
}

/// A reply that says no: 4yz or 5yz, nothing else can be put in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(Reply);

impl Refusal {
    /// "Later": `temporary(51, "3.0", "try again")` is `451 4.3.0 try again`. The first digit of
    /// both codes is set here, so that they cannot disagree.
    #[must_use]
    pub fn temporary(code: u8, status: &str, text: &str) -> Self {
        Self(Reply::new(400 + u16::from(code.min(99)), format!("4.{status} {text}")))
    }

    /// "Never": `permanent(50, "7.1", "not here")` is `550 5.7.1 not here`.
    #[must_use]
    pub fn permanent(code: u8, status: &str, text: &str) -> Self {
        Self(Reply::new(500 + u16::from(code.min(99)), format!("5.{status} {text}")))
    }

    /// Somebody else's refusal, word for word; `None` where `reply` is none.
    #[must_use]
    pub fn from_reply(reply: Reply) -> Option<Self> {
        matches!(reply.code, 400..=599).then_some(Self(reply))
    }

    /// 5yz.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.0.code >= 500
    }

    /// 421 and 521 announce that the connection is closed (RFC 5321 §3.8, RFC 7504).
    #[must_use]
    pub fn closes(&self) -> bool {
        matches!(self.0.code, 421 | 521)
    }

    #[must_use]
    pub fn reply(&self) -> &Reply {
        &self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `"550 5.7.1 not accepted here"`: RFC 5321 §4.2 and RFC 3463; the two codes must agree on the class.
impl Setting for Refusal {
    const EXPECTED: &'static str = "a reply in quotes, such as \"550 5.7.1 not accepted here\"";
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = String::read(value).map_err(|_| None)?;
        parse(&text).ok_or_else(|| {
            Some(format!(
                "`{text}` is no refusal: write a 4yz or 5yz code, the enhanced code of the same class, and a text, such as \"550 5.7.1 not accepted here\""
            ))
        })
    }
}

fn parse(text: &str) -> Option<Refusal> {
    let (code, rest) = text.split_once(' ')?;
    let (status, words) = rest.split_once(' ')?;
    let class = code.get(..1)?;
    let is_code = code.len() == 3 && code.bytes().all(|octet| octet.is_ascii_digit());
    let is_status = is_enhanced(status, class);
    // 421 and 521 announce that the connection is closed, which is not for policy to say.
    let ends = matches!(code, "421" | "521");
    let is_text = !words.trim().is_empty() && words.len() <= 400 && words.bytes().all(|octet| matches!(octet, b' '..=b'~'));
    if !(is_code && is_status && is_text) || ends {
        return None;
    }
    Refusal::from_reply(Reply::new(code.parse().ok()?, rest.to_owned()))
}

/// Whether it is an enhanced status code of that class, such as `5.7.1` of `5` (RFC 3463 §2).
#[must_use]
pub fn is_enhanced(text: &str, class: &str) -> bool {
    let mut numbers = text.split('.');
    numbers.next() == Some(class)
        && numbers.clone().count() == 2
        && numbers.all(|number| (1..=3).contains(&number.len()) && number.bytes().all(|octet| octet.is_ascii_digit()))
}

/// At most `max` characters of somebody else's text as a reply may have them: on one line, with `?`
/// for what is not printable ASCII.
#[must_use]
pub fn printable(text: &str, max: usize) -> String {
    text.chars().take(max).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// Proof that somebody answers for a message now (RFC 5321 §4.2.5): the only thing the `250` to
/// the end of data is made from. `tests/architecture.rs` lists the few files that may have one.
pub trait Custody {
    /// What the client is told; a 2yz.
    fn reply(&self) -> Reply;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_two_codes_that_agree() {
        for right in ["550 5.7.1 no", "451 4.7.0 later, please", "599 5.123.999 x"] {
            assert_eq!(parse(right).unwrap().to_string(), right);
        }
        for wrong in [
            "250 2.0.0 ok",
            "550 4.7.1 no",
            "550 no",
            "550 5.7 no",
            "550 5.7.1",
            "550 5.7.1 ",
            "421 4.7.0 bye",
            "5500 5.7.1 no",
            "550 5.7.1 a\r\nb",
            "55é 5.7.1 x",
            "",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
