//! TLS towards an upstream (RFC 3207).
use crate::tls::{Certificate, builder};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    sign::SingleCertAndKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// How an upstream does TLS. Connections that share one of these resume each other's sessions.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(super) config: Arc<ClientConfig>,
    /// The certificate must verify, and nothing goes in clear.
    pub(super) required: bool,
    /// The name that must be in the certificate; `None`: the host's.
    pub(super) name: Option<ServerName<'static>>,
    /// What we show of ourselves where the server asks.
    certificate: Option<Certificate>,
}

impl Tls {
    /// Encrypted where the server offers it, whoever it is: Postfix's `may` (RFC 7435). That keeps
    /// out who only listens; whoever can change what passes could take the offer away as well.
    ///
    /// # Errors
    /// The cryptography does not do TLS 1.2 and 1.3.
    pub fn opportunistic() -> Result<Self, String> {
        let (provider, builder) = builder()?;
        let verifier = Arc::new(AnyCertificate(provider));
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Ok(Self { config: Arc::new(config), required: false, name: None, certificate: None })
    }

    /// Encrypted always, by a server whose certificate leads to one of `roots` and bears `name` (or
    /// the host's).
    ///
    /// # Errors
    /// The cryptography does not do TLS 1.2 and 1.3.
    pub fn required(roots: RootCertStore, name: Option<ServerName<'static>>) -> Result<Self, String> {
        let config = builder()?.1.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { config: Arc::new(config), required: true, name, certificate: None })
    }

    /// The same, showing a certificate of our own to a server that asks for one. It is shown once the
    /// server has shown its own, and that was the right one.
    #[must_use]
    pub fn showing(self, certificate: Certificate) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(certificate.key())));
        // A session that is resumed speaks for whoever began it.
        config.resumption = Resumption::default();
        Self { config: Arc::new(config), certificate: Some(certificate), ..self }
    }

    /// What is shown of ourselves.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }
}

/// Takes any certificate, but only from who holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
