//! TLS-ALPN-01 (RFC 8737): an authority that wants to know whose a name is connects to its port 443 and
//! asks for the protocol `acme-tls/1`; what it is shown then says whose.
use super::made_here;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

/// What authorities ask for, and nobody else (§6.2).
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// Answers to authorities, by the names they ask about; empty but while an order is under way. A handle;
/// clones share.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<Mutex<HashMap<String, Arc<CertifiedKey>>>>);

impl Challenges {
    /// # Errors
    /// TLS has no such keys.
    pub fn add(&self, name: &str, certificate: CertificateDer<'static>, key: &PrivateKeyDer<'_>) -> Result<(), rustls::Error> {
        let answer = made_here(certificate, key)?;
        self.lock().insert(name.to_ascii_lowercase(), answer);
        Ok(())
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a hello, where that is an authority's: it asks for this protocol and no other (§3).
    /// Inside, `None`: the name is not being asked about.
    #[must_use]
    pub fn answer(&self, hello: &ClientHello<'_>) -> Option<Option<Arc<CertifiedKey>>> {
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(PROTOCOL) || protocols.next().is_some() {
            return None;
        }
        Some(hello.server_name().and_then(|name| self.lock().get(&name.to_ascii_lowercase()).cloned()))
    }

    /// Does handshakes with authorities, and with nobody else.
    ///
    /// # Errors
    /// The cryptography does not do TLS 1.2 and 1.3.
    pub fn acceptor(&self) -> Result<Acceptor, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Alone(self.clone())));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }
}

#[derive(Debug)]
struct Alone(Challenges);

impl ResolvesServerCert for Alone {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.answer(&hello).flatten()
    }
}

/// Answers authorities on connections that are made for it.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// One handshake, and the end. It has no time-out of its own: the caller's deadline ends it.
    ///
    /// # Errors
    /// Whoever it is asks for something else, or about a name that is none of ours.
    pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) -> io::Result<()> {
        self.0.accept(stream).await?.shutdown().await
    }
}
