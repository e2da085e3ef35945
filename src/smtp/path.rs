//! Paths, mailboxes and domains (RFC 5321 §4.1.2, §4.1.3; RFC 6531 §3.3).
use std::fmt;

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

impl Domain {
    /// Reads the argument of HELO or EHLO.
    ///
    /// # Errors
    /// `None` where it is neither a domain nor an address literal, or longer than 255 octets
    /// (RFC 5321 §4.5.3.1.2).
    #[must_use]
    pub fn parse(_text: &str) -> Option<Self> {
        None
    }
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Address {
    /// Reads a mailbox without its angle brackets.
    ///
    /// # Errors
    /// `None` where the grammar of RFC 5321 §4.1.2 (with RFC 6531's where `utf8`) does not have
    /// it, or a part is too long (local part 64 octets, domain 255, §4.5.3.1).
    #[must_use]
    pub fn parse(_text: &str, _utf8: bool) -> Option<Self> {
        None
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
