//! When a certificate is to be renewed: after two thirds of its life, as authorities ask for, and not
//! all of the world's at the same moment.
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use x509_parser::{extensions::GeneralName, prelude::*};

/// What is known of a certificate.
pub(super) struct Life {
    /// Seconds since 1970.
    begins: u64,
    ends: u64,
    names: Vec<String>,
    /// A number of its own, to part those that were obtained at the same time.
    lot: u8,
}

/// How long the certificate at `path` will do for `names`; nothing where there is none, or it is for
/// others.
pub(super) fn left(path: &Path, names: &[String]) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    read(path).filter(|life| life.is_for(names)).map_or(Duration::ZERO, |life| Duration::from_secs(life.renewal()).saturating_sub(now))
}

pub(super) fn read(path: &Path) -> Option<Life> {
    let der = CertificateDer::from_pem_file(path).ok()?;
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
        lot: der.last().copied().unwrap_or(0),
    })
}

impl Life {
    fn is_for(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
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
        let life = |lot| Life { begins: 1_000_000, ends: 1_000_000 + 90 * 86_400, names: vec!["mx.example.org".into()], lot };
        assert_eq!(life(0).renewal(), 1_000_000 + 60 * 86_400);
        assert_eq!(life(255).renewal(), 1_000_000 + 60 * 86_400 + 90 * 86_400 / 20);
        assert!(life(0).is_for(&["mx.example.org".into()]) && !life(0).is_for(&["mx.example.org".into(), "mail.example.org".into()]));
        let backwards = Life { ends: 0, ..life(3) };
        assert_eq!(backwards.renewal(), 1_000_000);
    }

    #[test]
    fn what_is_no_certificate_is_due() {
        assert!(left(Path::new("/nonexistent"), &[]).is_zero());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(left(file.path(), &[]).is_zero());
    }
}
