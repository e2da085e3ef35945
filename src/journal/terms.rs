//! What a row is found by: words of a letter or two, a colon and a value, divided by blanks.
use super::hide::Hide;
use std::net::IpAddr;

/// What a term is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Kind,
    Listener,
    /// The address in hexadecimal, so that a network is a beginning of it.
    Client,
    Helo,
    Ja4,
    Account,
    Sender,
    /// The domain of an address, like all domains with its labels turned around, so that what is
    /// below it begins like it.
    SenderDomain,
    Recipient,
    RecipientDomain,
    From,
    FromDomain,
    MessageId,
    QueueId,
    Message,
    Session,
    Verdict,
    /// `name=value`.
    Finding,
    DecidedBy,
    Violation,
    Attachment,
    Sha256,
    Host,
    /// A word of the subject.
    Subject,
    /// A word of addresses, where they are not hashed; but of those of recipients.
    Word,
    /// A word of recipients, by which only who may see all of them finds a row.
    RecipientWord,
}

impl Of {
    fn prefix(self) -> &'static str {
        match self {
            Self::Kind => "k:",
            Self::Listener => "l:",
            Self::Client => "c:",
            Self::Helo => "e:",
            Self::Ja4 => "j:",
            Self::Account => "u:",
            Self::Sender => "s:",
            Self::SenderDomain => "sd:",
            Self::Recipient => "r:",
            Self::RecipientDomain => "rd:",
            Self::From => "f:",
            Self::FromDomain => "fd:",
            Self::MessageId => "m:",
            Self::QueueId => "q:",
            Self::Message => "i:",
            Self::Session => "g:",
            Self::Verdict => "v:",
            Self::Finding => "n:",
            Self::DecidedBy => "b:",
            Self::Violation => "y:",
            Self::Attachment => "a:",
            Self::Sha256 => "x:",
            Self::Host => "h:",
            Self::Subject => "t:",
            Self::Word => "w:",
            Self::RecipientWord => "wr:",
        }
    }
}

/// Characters of a value that are looked at, on both sides.
const LONGEST: usize = 250;
/// Words of a text.
const WORDS: usize = 60;
/// What is one word to a person, and is to the index.
const WORD: usize = 40;

/// The terms of one row.
#[derive(Debug)]
pub(super) struct Terms(String);

impl Default for Terms {
    /// With room for what a message usually has.
    fn default() -> Self {
        Self(String::with_capacity(1024))
    }
}

impl Terms {
    pub(super) fn add(&mut self, of: Of, value: &str) {
        self.add_parts(of, &[value]);
    }

    /// One term, of what stands in several places.
    pub(super) fn add_parts(&mut self, of: Of, parts: &[&str]) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        push(&mut self.0, of, parts);
    }

    pub(super) fn add_some(&mut self, of: Of, value: Option<&str>) {
        if let Some(value) = value {
            self.add(of, value);
        }
    }

    /// An address, its domain, and where it is not hidden its words.
    pub(super) fn address(&mut self, of: Of, of_domain: Of, address: &str, hide: Option<&Hide>) {
        let domain = domain_of(address);
        if let Some(hide) = hide {
            self.add(of, &hide.address(address));
            if let Some(domain) = domain {
                self.add(of_domain, &hide.domain(domain));
            }
            return;
        }
        self.add(of, address);
        if let Some(domain) = domain {
            self.add(of_domain, &turned(domain));
        }
    }

    pub(super) fn words(&mut self, of: Of, text: &str) {
        for word in words(text).take(WORDS) {
            self.add(of, word);
        }
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Without the blanks that divide terms, and what no index should see.
fn push(to: &mut String, of: Of, parts: &[&str]) {
    to.push_str(of.prefix());
    let mut room = LONGEST;
    for part in parts {
        let octets = part.as_bytes();
        // The usual: a row has some forty terms.
        if octets.len() <= room && octets.iter().all(|octet| matches!(octet, b'!'..=b'~')) {
            let at = to.len();
            to.push_str(part);
            if let Some(term) = to.get_mut(at..) {
                term.make_ascii_lowercase();
            }
            room -= octets.len();
            continue;
        }
        let (before, chars) = (room, part.chars().take(room));
        room = before - chars.clone().count();
        to.extend(chars.flat_map(char::to_lowercase).map(|c| if c == ' ' || c.is_control() { '_' } else { c }));
    }
}

/// What people take for words: letters and digits of any script.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    parts.filter(|word| !word.is_empty()).map(|word| word.char_indices().nth(WORD).and_then(|(end, _)| word.get(..end)).unwrap_or(word))
}

/// `www.example.org` as `org.example.www`; an IP address stays as it is.
pub(super) fn turned(domain: &str) -> String {
    let domain = domain.trim_matches('.');
    if domain.starts_with('[') || domain.parse::<IpAddr>().is_ok() {
        return domain.to_owned();
    }
    domain.rsplit('.').collect::<Vec<_>>().join(".")
}

pub(super) fn domain_of(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain).filter(|domain| !domain.is_empty())
}

/// An address as its family and 8 or 32 hexadecimal digits.
pub(super) fn hexadecimal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("4{:08x}", address.to_bits()),
        IpAddr::V6(address) => format!("6{:032x}", address.to_bits()),
    }
}

/// The same, in the language of FTS5, which asks for terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expression(String);

impl Expression {
    /// The term itself.
    pub(super) fn is(of: Of, value: &str) -> Self {
        let mut term = String::new();
        push(&mut term, of, &[value]);
        Self(format!("\"{}\"", term.replace('"', "\"\"")))
    }

    /// All terms that begin so.
    pub(super) fn begins(of: Of, value: &str) -> Self {
        Self(format!("{} *", Self::is(of, value).0))
    }

    /// A domain and all below it.
    pub(super) fn domain_and_below(of: Of, domain: &str) -> Self {
        let turned = turned(domain);
        Self::any(vec![Self::is(of, &turned), Self::begins(of, &format!("{turned}."))])
    }

    pub(super) fn any(of: Vec<Self>) -> Self {
        Self::join(of, " OR ")
    }

    pub(super) fn all(of: Vec<Self>) -> Self {
        Self::join(of, " AND ")
    }

    fn join(mut of: Vec<Self>, by: &str) -> Self {
        if of.len() == 1 {
            return of.remove(0);
        }
        let parts: Vec<_> = of.into_iter().map(|part| part.0).collect();
        Self(format!("({})", parts.join(by)))
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_end_their_term() {
        let mut terms = Terms::default();
        terms.add(Of::Attachment, "In voice\t\u{a0}\"1\".PDF");
        terms.add(Of::Verdict, "delivered");
        assert_eq!(terms.into_string(), "a:in_voice_\u{a0}\"1\".pdf v:delivered");
        assert_eq!(Expression::is(Of::Attachment, "a\" OR \"b").into_string(), "\"a:a\"\"_or_\"\"b\"");
    }

    #[test]
    fn domains_and_networks_are_beginnings() {
        assert_eq!(turned("www.Example.org."), "org.Example.www");
        assert_eq!((turned("192.0.2.1"), turned("[192.0.2.1]")), ("192.0.2.1".into(), "[192.0.2.1]".into()));
        assert_eq!(hexadecimal("192.0.2.1".parse().unwrap()), "4c0000201");
        assert_eq!(hexadecimal("::ffff:192.0.2.1".parse().unwrap()), "4c0000201");
        assert_eq!(hexadecimal("2001:db8::1".parse().unwrap()), "620010db8000000000000000000000001");
    }

    #[test]
    fn words_are_letters_and_digits() {
        assert_eq!(words("Re: Ihre Rechnung-4711, für Jörg!").collect::<Vec<_>>(), ["Re", "Ihre", "Rechnung", "4711", "für", "Jörg"]);
        assert_eq!(words(&"x".repeat(100)).map(str::len).collect::<Vec<_>>(), [WORD]);
    }
}
