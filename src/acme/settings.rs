//! `[tls.acme]`.
use crate::value::settings::{Placed, Section};
use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Names of one certificate; Let's Encrypt takes as many.
const MOST_NAMES: usize = 100;

/// Where certificates come from, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Of the authority.
    pub directory: String,
    /// The authority's own certificate leads to one of these; `None`: to one that the system trusts.
    pub ca: Option<PathBuf>,
    /// `mailto:…`
    pub contact: Vec<String>,
    /// In lower case; at least one.
    pub names: Vec<String>,
    /// How the authority is shown that they are ours.
    pub challenge: Challenge,
    /// Where it finds our answer, as port 80 or 443 of those names.
    pub challenge_address: SocketAddr,
    /// Of account and certificate.
    pub folder: PathBuf,
}

/// How an authority is shown that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// By a file under it, over HTTP at port 80 (RFC 8555 §8.3).
    Http,
    /// By a certificate at port 443 (RFC 8737).
    TlsAlpn,
}

impl Challenge {
    /// Where the authority looks.
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::TlsAlpn => 443,
        }
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http-01",
            Self::TlsAlpn => "tls-alpn-01",
        })
    }
}

impl Settings {
    /// Reads the table, where it is there; mistakes go where the section collects them.
    /// `hostname`: the name of a certificate that says no other.
    pub fn read(section: &mut Section<'_>, hostname: &str, state_dir: &Path) -> Self {
        let agreed = section.require_placed::<bool>("terms_agreed");
        if let Some(Placed { value: false, span }) = agreed {
            let text = format!("`{}`: without your agreement to its terms an authority gives no certificate", section.path("terms_agreed"));
            section.complain_at(span, text);
        }
        let directory = section.take_placed_unless("directory", &LETS_ENCRYPT.to_owned());
        if let Some(Placed { value, span }) = directory.as_ref().filter(|directory| !is_url(&directory.value)) {
            section.complain_at(span.clone(), format!("`{}`: `{value}` is no URL that begins with https://", section.path("directory")));
        }
        section.otherwise("ca", "those that the system trusts");
        let ca = section.take_placed::<PathBuf>("ca").map(|Placed { value, span }| {
            if let Err(why) = crate::tls::pinned(&value) {
                section.complain_at(span, format!("`{}`: {why}", section.path("ca")));
            }
            value
        });
        let challenge = section.choice("challenge", &[("http-01", Challenge::Http), ("tls-alpn-01", Challenge::TlsAlpn)], Challenge::Http);
        let usual = SocketAddr::from((Ipv6Addr::UNSPECIFIED, challenge.port()));
        Self {
            directory: directory.map_or_else(|| LETS_ENCRYPT.to_owned(), |directory| directory.value),
            ca,
            contact: contact(section),
            names: names(section, hostname),
            challenge,
            challenge_address: section.take_or("challenge_address", usual),
            folder: state_dir.join("acme"),
        }
    }

    /// Whether who listens at `console` under TLS hears the authority's question.
    #[must_use]
    pub fn is_asked_at(&self, console: SocketAddr) -> bool {
        let same = |a: SocketAddr, b: SocketAddr| a.ip().to_canonical() == b.ip().to_canonical();
        let everywhere = |address: SocketAddr| address.ip().is_unspecified();
        let at = self.challenge_address;
        self.challenge == Challenge::TlsAlpn && at.port() == console.port() && (same(at, console) || everywhere(at) || everywhere(console))
    }

    /// Certificates and key, in one file.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }
}

/// It also stands on a line of its own in the file of the certificate.
fn is_url(text: &str) -> bool {
    text.starts_with("https://") && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn contact(section: &mut Section<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for Placed { value, span } in section.take_or::<Vec<Placed<String>>>("contact", Vec::new()) {
        let address = value.strip_prefix("mailto:").unwrap_or(&value);
        if address.contains('@') && address.is_ascii() && !address.contains(|c: char| c.is_whitespace() || c.is_control()) {
            all.push(format!("mailto:{address}"));
        } else {
            section.complain_at(span, format!("`{}`: `{value}` is no mail address", section.path("contact")));
        }
    }
    all
}

fn names(section: &mut Section<'_>, hostname: &str) -> Vec<String> {
    let usual = vec![hostname.to_ascii_lowercase()];
    section.holds_without("names", &usual);
    let Some(place) = section.place("names") else {
        let _ = section.take::<Vec<String>>("names");
        return usual;
    };
    let Some(given) = section.take::<Vec<Placed<String>>>("names") else { return usual };
    if given.is_empty() || given.len() > MOST_NAMES {
        section.complain_at(place, format!("`{}`: one name at least, and {MOST_NAMES} at most", section.path("names")));
    }
    let mut names = Vec::new();
    for Placed { value, span } in given {
        let label =
            |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        // The way to show that a wildcard is ours is not spoken (RFC 8555 §8.4).
        if value.contains('.') && value.len() <= 253 && value.split('.').all(label) {
            names.push(value.to_ascii_lowercase());
        } else {
            section.complain_at(span, format!("`{}`: `{value}` is no full name of a host; wildcards need DNS-01", section.path("names")));
        }
    }
    names
}
