//! Certificates that nobody else has signed.
use super::AcmeError;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What is shown until there is a certificate: good for encryption, and for nothing else. Its subject
/// says so to whoever looks at it.
///
/// # Errors
/// A name that cannot stand in a certificate.
pub fn placeholder(names: &[String]) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), AcmeError> {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, "octroi, no certificate yet");
    self_signed(names, |params| params.distinguished_name = subject)
}

/// The answer to an authority that asks about `name` (RFC 8737 §3). `digest`: SHA-256 of what only the
/// holder of our account's key can say.
pub(super) fn answer(name: &str, digest: &[u8]) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), AcmeError> {
    if digest.len() != 32 {
        return Err(AcmeError::Key("SHA-256 has 32 octets".to_owned()));
    }
    self_signed(&[name.to_owned()], |params| params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)])
}

fn self_signed(
    names: &[String],
    more: impl FnOnce(&mut CertificateParams),
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), AcmeError> {
    let wrong = |error: rcgen::Error| AcmeError::Key(error.to_string());
    let mut params = CertificateParams::new(names).map_err(wrong)?;
    more(&mut params);
    let key = KeyPair::generate().map_err(wrong)?;
    let certificate = params.self_signed(&key).map_err(wrong)?;
    Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::{oid_registry::asn1_rs::oid, parse_x509_certificate};

    #[test]
    fn an_answer_is_what_the_standard_wants() {
        let (certificate, _) = answer("mx.example.org", &[7; 32]).unwrap();
        let (_, certificate) = parse_x509_certificate(&certificate).unwrap();
        let identifier = certificate.get_extension_unique(&oid!(1.3.6.1.5.5.7.1.31)).unwrap().unwrap();
        assert!(identifier.critical);
        assert_eq!(identifier.value, [&[0x04, 32][..], &[7; 32]].concat(), "an OCTET STRING");
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        assert!(answer("mx.example.org", &[7; 31]).is_err());
    }

    #[test]
    fn a_placeholder_says_what_it_is() {
        let (certificate, _) = placeholder(&["mx.example.org".to_owned()]).unwrap();
        let (_, certificate) = parse_x509_certificate(&certificate).unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=octroi, no certificate yet");
        assert_eq!(certificate.subject(), certificate.issuer());
    }
}
