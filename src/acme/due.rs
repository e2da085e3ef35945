//! When a certificate is to be renewed: after two thirds of its life, as authorities ask for, and not
//! all of the world's at the same moment.
use super::Settings;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use x509_parser::{extensions::GeneralName, prelude::*};

/// Before the name of the authority in the file, where RFC 7468 §2 leaves room for it: a certificate
/// does not say which of an authority's addresses it came from, and one for trying things out is signed
/// by much the same name as one that the world trusts.
const PREAMBLE: &str = "Obtained by octroi from ";

/// What is known of a certificate.
pub(super) struct Life {
    /// Seconds since 1970.
    begins: u64,
    ends: u64,
    names: Vec<String>,
    /// The directory of the authority, where the file says so.
    authority: Option<String>,
    /// A number of its own, to part those that were obtained at the same time.
    lot: u8,
}

/// How long the certificate that is kept will do; nothing where there is none, or it is for other names
/// or of another authority.
pub(super) fn left(settings: &Settings) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let life = read(&settings.certificate()).filter(|life| life.is_for(&settings.names) && life.is_from(&settings.directory));
    life.map_or(Duration::ZERO, |life| Duration::from_secs(life.renewal()).saturating_sub(now))
}

/// What stands above a certificate of that authority.
pub(super) fn preamble(directory: &str) -> String {
    format!("{PREAMBLE}{directory}\n")
}

pub(super) fn read(path: &Path) -> Option<Life> {
    let text = fs::read_to_string(path).ok()?;
    let der = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let seconds = |time: ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0);
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Some(Life {
        begins: seconds(certificate.validity().not_before),
        ends: seconds(certificate.validity().not_after),
        names: names.collect(),
        authority: text.lines().next().and_then(|line| line.strip_prefix(PREAMBLE)).map(str::to_owned),
        lot: der.last().copied().unwrap_or(0),
    })
}

impl Life {
    fn is_for(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }

    /// One that somebody else put there may be from anywhere.
    fn is_from(&self, directory: &str) -> bool {
        self.authority.as_ref().is_none_or(|authority| authority == directory)
    }

    /// Two thirds, and up to a twentieth more.
    fn renewal(&self) -> u64 {
        let life = self.ends.saturating_sub(self.begins);
        self.begins + life / 3 * 2 + life / 20 * u64::from(self.lot) / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_after_two_thirds_of_its_life_and_a_little() {
        let life = |lot| Life {
            begins: 1_000_000,
            ends: 1_000_000 + 90 * 86_400,
            names: vec!["mx.example.org".into()],
            authority: Some("https://one.example/dir".into()),
            lot,
        };
        assert_eq!(life(0).renewal(), 1_000_000 + 60 * 86_400);
        assert_eq!(life(255).renewal(), 1_000_000 + 60 * 86_400 + 90 * 86_400 / 20);
        assert!(life(0).is_for(&["mx.example.org".into()]) && !life(0).is_for(&["mx.example.org".into(), "mail.example.org".into()]));
        assert!(life(0).is_from("https://one.example/dir") && !life(0).is_from("https://two.example/dir"));
        assert!(Life { authority: None, ..life(0) }.is_from("https://two.example/dir"));
        let backwards = Life { ends: 0, ..life(3) };
        assert_eq!(backwards.renewal(), 1_000_000);
    }

    #[test]
    fn the_file_says_what_is_in_it_and_where_it_is_from() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for nothing in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            fs::write(file.path(), nothing).unwrap();
            assert!(read(file.path()).is_none());
        }
        assert!(read(Path::new("/nonexistent")).is_none());
        let made = rcgen::generate_simple_self_signed(vec!["MX.example.org".to_owned()]).unwrap();
        let whole = format!("{}{}", preamble("https://one.example/dir"), made.cert.pem());
        for (text, authority) in [(made.cert.pem(), None), (whole, Some("https://one.example/dir".to_owned()))] {
            fs::write(file.path(), text).unwrap();
            let life = read(file.path()).unwrap();
            assert_eq!((life.names, life.authority), (vec!["mx.example.org".to_owned()], authority));
        }
    }
}
