//! Indicators of compromise, as people exchange them.
use super::{
    hide::Hide,
    links,
    query::{ADDRESSES, attachment, is_any_address, network, text},
    terms::{self, Expression, Of},
};
use ipnet::IpNet;
use std::{fmt, net::IpAddr};

/// What an indicator is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndicatorKind {
    /// Of a sender, recipient or author.
    Address,
    /// Of those, or of URLs, with all below it; or a file of that name.
    Domain,
    /// Of a client, alone or a network, or in URLs.
    Ip,
    /// Found by its host.
    Url,
    /// Of URLs, with all below it.
    Host,
    /// Of an attachment.
    Sha256,
    /// Of an attachment; `*` at its end stands for anything.
    File,
    /// All its words are in a subject, and what stands in quotes stands there so.
    Subject,
}

/// Why a text is no indicator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoIndicator {
    #[error("there is nothing to look for in it")]
    Empty,
    #[error("longer than {LONGEST} characters")]
    TooLong,
    #[error("an MD5 or SHA-1: the journal has SHA-256 of attachments")]
    OtherHash,
    #[error("no {0}")]
    NotOfKind(IndicatorKind),
}

/// Something to look for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Indicator {
    kind: IndicatorKind,
    /// Refanged; of a URL its host.
    value: String,
    /// A file by its looks, which may be a domain below a name that is known in a network of somebody's own.
    or_domain: Option<String>,
}

/// Characters of an indicator.
const LONGEST: usize = 2000;

/// Names below these are names, though nobody can register them (RFC 6761, RFC 7686).
const SPECIAL: [&str; 8] = ["example", "test", "invalid", "localhost", "local", "internal", "lan", "onion"];

impl IndicatorKind {
    pub const ALL: [Self; 8] = [Self::Address, Self::Domain, Self::Ip, Self::Url, Self::Host, Self::Sha256, Self::File, Self::Subject];

    /// As it stands on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Domain => "domain",
            Self::Ip => "ip",
            Self::Url => "url",
            Self::Host => "host",
            Self::Sha256 => "sha256",
            Self::File => "file",
            Self::Subject => "subject",
        }
    }

    /// The other way round.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for IndicatorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Indicator {
    /// What `text` is, by its looks. Defanged forms are understood: `hxxp://`, `[.]`, `(at)`.
    ///
    /// # Errors
    /// It is none.
    pub fn recognise(text: &str) -> Result<Self, NoIndicator> {
        let text = checked(text)?;
        let value = refang(text);
        let is_hexadecimal = value.bytes().all(|octet| octet.is_ascii_hexdigit());
        let kind = match value.len() {
            64 if is_hexadecimal => IndicatorKind::Sha256,
            32 | 40 if is_hexadecimal => return Err(NoIndicator::OtherHash),
            _ if ip(&value).is_some() => IndicatorKind::Ip,
            _ if is_meant_as_ip(&value) => return Err(NoIndicator::NotOfKind(IndicatorKind::Ip)),
            _ if value.contains("://") => IndicatorKind::Url,
            _ if value.contains(char::is_whitespace) => IndicatorKind::Subject,
            _ if value.starts_with('@') => IndicatorKind::Domain,
            _ if value.contains('@') => IndicatorKind::Address,
            _ if value.contains('/') && links::host(&format!("http://{value}")).is_some_and(|host| is_domain(&host)) => IndicatorKind::Url,
            _ if is_domain(&value) => IndicatorKind::Domain,
            _ if value.contains('.') => IndicatorKind::File,
            _ => IndicatorKind::Subject,
        };
        let or_domain = links::ascii(value.trim_start_matches("*.").trim_end_matches('.'));
        let or_domain = or_domain.filter(|name| kind == IndicatorKind::File && is_host(name));
        Ok(Self { or_domain, ..Self::of(kind, text)? })
    }

    /// `text` as one of that kind.
    ///
    /// # Errors
    /// It is none.
    pub fn of(kind: IndicatorKind, text: &str) -> Result<Self, NoIndicator> {
        let text = checked(text)?;
        let refanged = refang(text);
        let not = || NoIndicator::NotOfKind(kind);
        let host =
            |text: &str| links::ascii(text.trim_start_matches(['@', '*', '.']).trim_end_matches('.')).filter(|host| !host.is_empty());
        let value = match kind {
            IndicatorKind::Address => {
                let address = refanged.trim_start_matches("mailto:").trim_start_matches('<').trim_end_matches('>');
                Some(address.to_owned()).filter(|address| address.find('@').is_some_and(|at| at > 0 && at + 1 < address.len()))
            }
            IndicatorKind::Domain | IndicatorKind::Host => host(&refanged),
            IndicatorKind::Ip => ip(&refanged).map(|network| network.to_string()),
            IndicatorKind::Url => links::host(&refanged).or_else(|| links::host(&format!("http://{refanged}"))),
            IndicatorKind::Sha256 => Some(refanged).filter(|hash| hash.len() == 64 && hash.bytes().all(|octet| octet.is_ascii_hexdigit())),
            IndicatorKind::File => Some(text.to_owned()).filter(|name| name != "*"),
            IndicatorKind::Subject => Some(text.to_owned()).filter(|subject| terms::words(subject).next().is_some()),
        };
        Ok(Self { kind, value: value.ok_or_else(not)?, or_domain: None })
    }

    #[must_use]
    pub fn kind(&self) -> IndicatorKind {
        self.kind
    }

    /// Refanged; of a URL its host.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What it is searched as, for people.
    #[must_use]
    pub fn described(&self) -> &'static str {
        if self.or_domain.is_some() { "file or domain" } else { self.kind.as_str() }
    }

    pub(super) fn subject(&self) -> Option<&str> {
        (self.kind == IndicatorKind::Subject).then_some(&*self.value)
    }

    pub(super) fn expression(&self, hide: Option<&Hide>) -> Expression {
        let value = &*self.value;
        let host = || Expression::domain_and_below(Of::Host, value);
        let domain = |name: &str| {
            let (itself, below) = (format!("@{name}"), format!("@*.{name}"));
            let hosts = Expression::domain_and_below(Of::Host, name);
            vec![is_any_address(&ADDRESSES, &itself, hide), is_any_address(&ADDRESSES, &below, None), hosts, attachment(value)]
        };
        match self.kind {
            IndicatorKind::Address => is_any_address(&ADDRESSES, value, hide),
            IndicatorKind::Domain => Expression::any(domain(value)),
            IndicatorKind::Ip => match ip(value) {
                Some(found) if found.prefix_len() == found.max_prefix_len() => {
                    Expression::any(vec![network(found), Expression::is(Of::Host, &found.addr().to_string())])
                }
                Some(found) => network(found),
                None => Expression::is(Of::Client, value),
            },
            IndicatorKind::Url | IndicatorKind::Host => host(),
            IndicatorKind::Sha256 | IndicatorKind::File => match &self.or_domain {
                Some(name) => Expression::any(domain(name)),
                None => attachment(value),
            },
            IndicatorKind::Subject => Expression::all(text(&[Of::Subject], value)),
        }
    }
}

fn checked(text: &str) -> Result<&str, NoIndicator> {
    let text = text.trim();
    if text.is_empty() {
        return Err(NoIndicator::Empty);
    }
    if text.chars().count() > LONGEST { Err(NoIndicator::TooLong) } else { Ok(text) }
}

fn ip(text: &str) -> Option<IpNet> {
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    address.parse::<IpAddr>().ok().map(IpNet::from).or_else(|| address.parse().ok())
}

/// A name that somebody could have: under a suffix that is known.
fn is_domain(text: &str) -> bool {
    let Some(name) = links::ascii(text.trim_start_matches("*.").trim_end_matches('.')) else { return false };
    let Some((_, last)) = name.rsplit_once('.') else { return false };
    is_host(&name) && (SPECIAL.contains(&last) || psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known()))
}

/// A name that a host could have, below whatever suffix.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    name.contains('.') && name.split('.').all(is_label)
}

/// Somebody meant an address or a network: `198.51.100.300`, `192.0.2.1/33`, `192.0.2.*`, `192.0.2.1-9`.
/// To take it for the name of a file and find none would say that nobody came from there.
fn is_meant_as_ip(text: &str) -> bool {
    let (address, rest) = text.find(['/', '-', ':']).map_or((text, ""), |at| text.split_at(at));
    let is_octet = |group: &str| group == "*" || (1..=3).contains(&group.len()) && group.bytes().all(|octet| octet.is_ascii_digit());
    let is_rest = rest.bytes().all(|octet| octet.is_ascii_digit() || b"/-:.*".contains(&octet));
    let v4 = address.split('.').count() == 4 && address.split('.').all(is_octet) && is_rest;
    let v6 = || text.bytes().all(|octet| octet.is_ascii_hexdigit() || b":/.*".contains(&octet));
    v4 || (text.contains("::") || text.matches(':').count() >= 7) && v6()
}

/// What was written so that nobody clicks on it, as it was.
fn refang(text: &str) -> String {
    let mut plain = text.to_owned();
    for (open, close) in [("[", "]"), ("(", ")"), ("{", "}")] {
        for (inside, meant) in
            [(".", "."), ("dot", "."), ("DOT", "."), (":", ":"), ("://", "://"), ("@", "@"), ("at", "@"), ("AT", "@"), ("/", "/")]
        {
            plain = plain.replace(&format!("{open}{inside}{close}"), meant);
        }
    }
    let scheme = plain.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let meant = match scheme.as_str() {
        "hxxp" | "hxxx" | "htxp" | "meow" => "http",
        "hxxps" | "htxps" => "https",
        "fxp" => "ftp",
        _ => return plain,
    };
    plain.replace_range(..scheme.len(), meant);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_are_recognised_by_their_looks() {
        use IndicatorKind::*;
        let hash = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        for (text, kind, value) in [
            ("bob@evil.example", Address, "bob@evil.example"),
            ("<bob(at)evil[.]example>", Address, "bob@evil.example"),
            ("@evil.example", Domain, "evil.example"),
            ("Evil[.]example.", Domain, "evil.example"),
            ("*.evil.co.uk", Domain, "evil.co.uk"),
            ("münchen.de", Domain, "xn--mnchen-3ya.de"),
            ("192.0.2.1", Ip, "192.0.2.1/32"),
            ("192[.]0[.]2[.]0/24", Ip, "192.0.2.0/24"),
            ("2001:db8::/32", Ip, "2001:db8::/32"),
            ("hxxps[:]//www[.]evil[.]example/path?x", Url, "www.evil.example"),
            ("evil.example/login.php", Url, "evil.example"),
            (hash, Sha256, hash),
            ("invoice.pdf", File, "invoice.pdf"),
            ("invoice_4711.docm", File, "invoice_4711.docm"),
            ("mail.corp", File, "mail.corp"),
            ("invoice.zip", Domain, "invoice.zip"),
            ("Your invoice, urgent", Subject, "Your invoice, urgent"),
            ("Rechnung", Subject, "Rechnung"),
        ] {
            let found = Indicator::recognise(text).unwrap();
            assert_eq!((found.kind, found.value.as_str()), (kind, value), "{text}");
        }
        for (text, error) in [
            (" ", NoIndicator::Empty),
            ("d41d8cd98f00b204e9800998ecf8427e", NoIndicator::OtherHash),
            ("127.0.0.1/33", NoIndicator::NotOfKind(Ip)),
            ("198.51.100.300", NoIndicator::NotOfKind(Ip)),
            ("127[.]0[.]0[.]*", NoIndicator::NotOfKind(Ip)),
            ("127.0.0.0-127.0.0.255", NoIndicator::NotOfKind(Ip)),
            ("2001:db8::/129", NoIndicator::NotOfKind(Ip)),
            ("...", NoIndicator::NotOfKind(Subject)),
        ] {
            let found = Indicator::recognise(text);
            assert!(found == Err(error.clone()) || text == "...", "{text}: {found:?}");
        }
        assert_eq!(Indicator::of(Ip, "evil.example"), Err(NoIndicator::NotOfKind(Ip)));
        assert_eq!(Indicator::of(Subject, "evil.example").unwrap().value(), "evil.example");
    }

    proptest! {
        #[test]
        fn any_text_is_an_indicator_or_an_error(text in "\\PC{0,60}|[\\]\\[(){}.:/@hx* -]{0,20}") {
            if let Ok(found) = Indicator::recognise(&text) {
                found.expression(None);
                prop_assert!(!found.value.is_empty());
            }
            for kind in IndicatorKind::ALL {
                if let Ok(found) = Indicator::of(kind, &text) {
                    found.expression(None);
                }
            }
        }
    }
}
