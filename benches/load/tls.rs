//! A certificate for everybody in the benchmark, and both ends of TLS 1.3.
//!
//! The client offers one cipher suite and one group, so that every server does the same arithmetic
//! (OpenSSL 3.0 knows no hybrid group, and octroi would take it if it were offered), and it never
//! resumes: each connection is a full handshake.

use crate::Outcome;
use std::sync::Arc;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, version};

/// A self-signed P-256 certificate for `localhost`.
pub(crate) struct Credentials {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

impl Credentials {
    /// `post_quantum`: the client offers X25519MLKEM768 first, for those who can.
    pub(crate) fn new(post_quantum: bool) -> Outcome<Self> {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let certificate = pair.cert.der().clone();
        let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der())?;
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)?;
        let mut groups = vec![aws_lc_rs::kx_group::X25519];
        if post_quantum {
            groups.insert(0, aws_lc_rs::kx_group::X25519MLKEM768);
        }
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
            kx_groups: groups,
            ..aws_lc_rs::default_provider()
        };
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        Ok(Self { certificate: pair.cert.pem(), key: pair.signing_key.serialize_pem(), server: Arc::new(server), client: Arc::new(client) })
    }
}
