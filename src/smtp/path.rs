//! Paths, mailboxes and domains (RFC 5321 §4.1.2, §4.1.3; RFC 6531 §3.3).
use memchr::memchr;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 5321 §4.5.3.1.2; of a local part as well, see [`Address::parse`].
const MAX_PART: usize = 255;
/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;

/// The argument of HELO or EHLO, as the client said it: a domain or an address literal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Domain(Box<str>);

/// A mailbox, as the client wrote it between `<` and `>`, source route taken off.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: Box<str>,
    /// Where the last `@` stands; the length of `text` for the one mailbox without a domain,
    /// `Postmaster` (RFC 5321 §4.1.1.3).
    at: usize,
}

/// Where failures are reported: a mailbox, or the null path `<>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReversePath(pub Option<Address>);

impl ReversePath {
    /// The address; empty for the null path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", Address::as_str)
    }
}

impl Domain {
    /// Reads the argument of HELO or EHLO. What hosts really call themselves is wider than the
    /// grammar: single labels, underscores, a dot at the end, an IPv6 literal without its tag, raw
    /// U-labels; all of them are harmless and taken.
    ///
    /// # Errors
    /// `None` where it is neither a domain nor an address literal, or longer than 255 octets
    /// (RFC 5321 §4.5.3.1.2).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let bare_ipv6 = || literal(text).is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok());
        (is_domain(name, true) || is_literal(text) || bare_ipv6()).then(|| Self(text.into()))
    }
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Address {
    /// Reads a mailbox without its angle brackets.
    ///
    /// Wider than the grammar in what existing mailboxes need and every MTA takes: dots at the
    /// ends of a local part or two in a row (Japanese carriers gave such addresses out), an
    /// underscore in a domain, a local part of more than 64 octets (bounce addresses with the
    /// recipient in them; by RFC 5321 §4.5.3.1 64 is what everybody must take, not where one must
    /// stop). Not wider where two servers could read two different mailboxes: no second `@`
    /// outside quotes, no blank or comment, no dot at the end of a domain, no sign that IDNA would
    /// make a dot or another letter of.
    ///
    /// # Errors
    /// `None` where the grammar of RFC 5321 §4.1.2 (with RFC 6531's where `utf8`) does not have
    /// it, or the local part or the domain is longer than 255 octets.
    #[must_use]
    pub fn parse(text: &str, utf8: bool) -> Option<Self> {
        let at = local_part_end(text, utf8)?;
        let valid = match text.get(at..)?.strip_prefix('@') {
            Some(domain) => is_domain(domain, utf8) || is_literal(domain),
            None => at == text.len() && text.eq_ignore_ascii_case("postmaster"),
        };
        valid.then(|| Self { text: text.into(), at })
    }
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// As written, quotes and all.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }
    /// As written; empty for `Postmaster`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }
    /// Whether both are one mailbox, as far as anybody but its host can tell: local parts are the
    /// host's to compare (RFC 5321 §2.4), domains are the same in any case.
    #[must_use]
    pub fn is_same_mailbox(&self, other: &Self) -> bool {
        self.local_part() == other.local_part() && self.domain().eq_ignore_ascii_case(other.domain())
    }
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
/// Without angle brackets; the null path prints as nothing.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |address| address.fmt(f))
    }
}

/// Where the local part ends: at its `@`, or with the text.
fn local_part_end(text: &str, utf8: bool) -> Option<usize> {
    let end = match text.strip_prefix('"') {
        Some(rest) => quoted_string_end(rest, utf8)? + 1,
        None => {
            let end = memchr(b'@', text.as_bytes()).unwrap_or(text.len());
            let local = text.get(..end)?;
            let is_dot_string = |octet: u8| is_atext(octet) || octet == b'.';
            let valid = local.bytes().all(|octet| is_dot_string(octet) || (utf8 && !octet.is_ascii()));
            (valid && (local.is_ascii() || local.chars().all(|c| c.is_ascii() || is_letter(c)))).then_some(end)?
        }
    };
    (1..=MAX_PART).contains(&end).then_some(end)
}

/// How long a quoted string is, given without its first quote, counted with its last.
fn quoted_string_end(text: &str, utf8: bool) -> Option<usize> {
    let mut escaped = false;
    for (n, c) in text.char_indices() {
        match c {
            ' '..='~' if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(n + 1),
            ' '..='~' => {}
            _ if utf8 && !escaped && is_letter(c) => {}
            _ => return None,
        }
    }
    None
}

/// RFC 5322 §3.2.3.
fn is_atext(octet: u8) -> bool {
    matches!(octet, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
}

/// UTF8-non-ascii (RFC 6531 §3.3) that has one reading only: no control, no blank, nothing that
/// normalisation turns into ASCII (full-width forms), no full stop of another script.
fn is_letter(c: char) -> bool {
    !c.is_ascii()
        && !c.is_control()
        && !c.is_whitespace()
        && !matches!(c, '\u{3002}' | '\u{ff00}'..='\u{ff65}' | '\u{2024}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A domain in the wide sense of [`Domain::parse`]; with U-labels where `utf8`.
pub(super) fn is_domain(text: &str, utf8: bool) -> bool {
    let (mut label, mut u_labels) = (0, false);
    for octet in text.bytes() {
        label = match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' if label < MAX_LABEL => label + 1,
            b'.' if label > 0 => 0,
            0x80.. if utf8 => {
                // How long it is as an A-label is not known here; the whole is bounded.
                u_labels = true;
                1
            }
            _ => return false,
        };
    }
    label > 0 && text.len() <= MAX_PART && (!u_labels || text.chars().all(|c| c.is_ascii() || is_letter(c)))
}

fn literal(text: &str) -> Option<&str> {
    text.strip_prefix('[')?.strip_suffix(']')
}

/// RFC 5321 §4.1.3. Of its General-address-literal only the one tag that is registered.
fn is_literal(text: &str) -> bool {
    literal(text).is_some_and(|inside| match inside.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<Ipv6Addr>().is_ok(),
        _ => inside.parse::<Ipv4Addr>().is_ok(),
    })
}

#[cfg(test)]
mod tests;
