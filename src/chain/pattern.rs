//! Patterns over addresses and host names.
use crate::smtp::Address;

/// Which addresses or host names are meant. Case does not matter, not even in local parts: to let
/// somebody pass because they wrote `SPAM@` would help nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// `<>`: the null reverse-path.
    Null,
    /// `user@example.org`.
    Mailbox { local: Box<str>, domain: Box<str> },
    /// `@example.org`; for a host name `example.org`.
    Domain(Box<str>),
    /// `@*.example.org` or `*.example.org`: all below, not the domain itself.
    Below(Box<str>),
}

impl Pattern {
    /// Of an address.
    ///
    /// # Errors
    /// A sentence that says what would have been right.
    pub(crate) fn address(text: &str) -> Result<Self, String> {
        if text == "<>" {
            return Ok(Self::Null);
        }
        let wrong =
            || format!("`{text}` is no pattern of addresses: write \"user@example.org\", \"@example.org\", \"*.example.org\" or \"<>\"");
        match text.rsplit_once('@') {
            Some(("", domain)) => Self::domain(domain).ok_or_else(wrong),
            Some((local, domain)) if is_literal(local) => match Self::domain(domain) {
                Some(Self::Domain(domain)) => Ok(Self::Mailbox { local: local.into(), domain }),
                _ => Err(wrong()),
            },
            None if text.starts_with("*.") => Self::domain(text).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    /// Of a host name or an address literal.
    ///
    /// # Errors
    /// A sentence that says what would have been right.
    pub(crate) fn host(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no pattern of host names: write \"host.example.org\", \"*.example.org\" or \"[192.0.2.1]\"");
        Self::domain(text).filter(|_| !text.contains('@')).ok_or_else(wrong)
    }

    fn domain(text: &str) -> Option<Self> {
        match text.strip_prefix("*.") {
            Some(domain) => is_literal(domain).then(|| Self::Below(domain.into())),
            None => is_literal(text).then(|| Self::Domain(text.into())),
        }
    }

    pub(crate) fn is_address(&self, address: Option<&Address>) -> bool {
        match (self, address) {
            (Self::Null, None) => true,
            (Self::Mailbox { local, domain }, Some(address)) => {
                local.eq_ignore_ascii_case(address.local_part()) && domain.eq_ignore_ascii_case(address.domain())
            }
            (Self::Domain(_) | Self::Below(_), Some(address)) => self.is_host(address.domain()),
            (Self::Null, Some(_)) | (_, None) => false,
        }
    }

    pub(crate) fn is_host(&self, host: &str) -> bool {
        // A dot at the end is the same name written to its root.
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Domain(domain) => domain.eq_ignore_ascii_case(host),
            Self::Below(domain) => host
                .len()
                .checked_sub(domain.len() + 1)
                .and_then(|dot| Some((host.get(..dot)?, host.get(dot..)?.strip_prefix('.')?)))
                .is_some_and(|(above, below)| !above.is_empty() && below.eq_ignore_ascii_case(domain)),
            Self::Null | Self::Mailbox { .. } => false,
        }
    }
}

/// A `*` anywhere else would look like a pattern and match nothing.
fn is_literal(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && !text.contains(|c: char| c == '*' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<Address> {
        (!text.is_empty()).then(|| Address::parse(text, false).unwrap())
    }

    #[test]
    fn a_pattern_matches_what_it_says() {
        let cases = [
            ("a@example.org", "A@Example.ORG", true),
            ("a@example.org", "b@example.org", false),
            ("@example.org", "b@EXAMPLE.org", true),
            ("@example.org", "b@sub.example.org", false),
            ("*.example.org", "b@sub.example.org", true),
            ("@*.example.org", "b@a.b.Example.org", true),
            ("*.example.org", "b@example.org", false),
            ("*.example.org", "b@badexample.org", false),
            ("<>", "", true),
            ("<>", "a@example.org", false),
            ("@example.org", "", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Pattern::address(pattern).unwrap().is_address(address(text).as_ref()), expected, "{pattern} {text}");
        }
        for (pattern, host, expected) in [
            ("localhost", "LOCALHOST", true),
            ("*.dyn.example", "1-2.dyn.example.", true),
            ("*.dyn.example", "dyn.example", false),
            ("*.dyn.example", "é.dyn.example", true),
            ("[192.0.2.1]", "[192.0.2.1]", true),
        ] {
            assert_eq!(Pattern::host(pattern).unwrap().is_host(host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn what_would_match_nothing_is_a_mistake() {
        for wrong in ["", "@", "example.org", "a*@example.org", "a@*.example.org", "*", "*.", "@*.", "a @example.org", "a@.example.org"] {
            assert!(Pattern::address(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "*", "*.*.org", "a@example.org", "h ost"] {
            assert!(Pattern::host(wrong).is_err(), "{wrong}");
        }
    }
}
