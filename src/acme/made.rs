//! Certificates that nobody else has signed.
use super::AcmeError;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
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
