//! `[console]`.
use crate::accounts::{Lifetimes, Url};
use crate::gate::settings::{Settings as Gate, positive};
use crate::tls::CertificateFiles;
use crate::value::settings::{Placed, Section};
use std::{net::SocketAddr, time::Duration};

/// `[console]`: where people review what is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// What it shows: its own certificate, or the default one of `[tls]`; `None`: that is still to be
    /// obtained.
    pub certificate: Option<CertificateFiles>,
    /// How browsers reach it, without a path; `None`: at the hostname and the port.
    pub public_url: Option<Url>,
    pub lifetimes: Lifetimes,
}

impl Settings {
    /// Reads `[console]`, which needs to know what the gate is told.
    #[must_use]
    pub fn read(section: &mut Section<'_>, gate: &Gate) -> Self {
        section.otherwise("address", "nowhere");
        let address = section.take("address");
        for key in ["certificate", "private_key"] {
            section.otherwise(key, "the first of [tls]");
        }
        let own = section.has("certificate") | section.has("private_key");
        let certificate = if own { CertificateFiles::read(section) } else { gate.tls.certificates.first().cloned() };
        if let Some(at) = section.place("address").filter(|_| !own && certificate.is_none() && gate.tls.acme.is_none()) {
            let text = "`console.address`: the console answers over HTTPS only, and there is no certificate: set `certificate` and `private_key` here or in `[tls]`";
            section.complain_at(at, text);
        }
        section.otherwise(
            "public_url",
            &address.map_or_else(|| "none".to_owned(), |at: SocketAddr| format!("https://{}:{}", gate.hostname, at.port())),
        );
        let public_url = section.take_placed("public_url").and_then(|placed| public_url(section, placed));
        let lifetimes = Lifetimes {
            idle: positive(section, "idle", Duration::from_secs(15 * 60)),
            session: positive(section, "session", Duration::from_secs(8 * 3600)),
        };
        Self { address, certificate, public_url, lifetimes }
    }

    /// How browsers reach a console that listens at `address`.
    #[must_use]
    pub fn url(&self, hostname: &str, address: SocketAddr) -> Option<Url> {
        self.public_url.clone().or_else(|| Url::parse(&format!("https://{hostname}:{}/", address.port())).ok())
    }
}

/// What a person opens to set up an account.
#[must_use]
pub fn enrolment_link(console: &Url, code: &str) -> String {
    let mut link = console.clone();
    link.set_path("/enrol");
    link.query_pairs_mut().append_pair("code", code);
    link.into()
}

fn public_url(section: &Section<'_>, Placed { value, span }: Placed<String>) -> Option<Url> {
    match Url::parse(&value) {
        Ok(url) if url.scheme() == "https" && url.domain().is_some() && url.path() == "/" && url.query().is_none() => Some(url),
        _ => {
            section.complain_at(
                span,
                "`console.public_url`: expected https://, the name of a host (passkeys are bound to one, and not to an address), and a port where it is not 443",
            );
            None
        }
    }
}
