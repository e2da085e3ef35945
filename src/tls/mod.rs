//! TLS towards servers that we ask something of: whom is trusted, and how one is connected to.
//! Certificates of our own. And what a client's own hello tells of it ([`ja4`]).
//!
//! TLS 1.2 and 1.3 only, which is all rustls has (RFC 8996).
mod certificate;
pub mod challenge;
pub mod ja4;

pub use certificate::{Certificate, CertificateFiles, FileError, made_here, read_roots};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::ServerName;
use std::{fmt, io, path::Path, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A client's configuration that still wants to know whom to trust, and the cryptography it uses.
///
/// # Errors
/// The cryptography does not do TLS 1.2 and 1.3.
pub fn builder() -> Result<(Arc<CryptoProvider>, ConfigBuilder<ClientConfig, WantsVerifier>), String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    Ok((provider, builder.map_err(|e| format!("TLS: {e}"))?))
}

/// A name as it stands in certificates: of a host, or an address.
#[must_use]
pub fn server_name(text: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(text.to_owned()).ok()
}

/// The certificates of a PEM file, and no others.
///
/// # Errors
/// The file, and what is wrong with it.
pub fn pinned(path: &Path) -> Result<RootCertStore, String> {
    read_roots(path).map_err(|error| error.to_string())
}

/// The certificates that the operating system trusts.
///
/// # Errors
/// It trusts none.
pub fn system() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err("the system trusts no certificate authority".to_owned()) } else { Ok(roots) }
}

/// The way to one HTTPS server. Its connections resume each other's sessions.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    /// To the server whose certificate leads to one of `roots` and bears the name (or address) `host`.
    ///
    /// # Errors
    /// `host` is neither, or the cryptography does not do TLS 1.2 and 1.3.
    pub fn https(roots: RootCertStore, host: &str) -> Result<Self, String> {
        let name = server_name(host).ok_or_else(|| format!("`{host}` is no name that could stand in a certificate"))?;
        let mut config = builder()?.1.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), name })
    }

    /// The handshake. It has no time-out of its own: the caller's deadline ends it.
    ///
    /// # Errors
    /// It is not that server, or the connection broke.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), stream).await
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.name).finish()
    }
}
