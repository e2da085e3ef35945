//! TLS towards clients: certificates by name, client certificates, reloading.
//!
//! TLS 1.2 and 1.3 only, which is all rustls has (RFC 8996).

mod https;

pub use https::{Https, HttpsStream};

use super::hello::Heard;
use super::settings::{CertificateFiles, ClientCertificate, Settings, TlsMode};
use crate::message::TlsFacts;
use crate::telemetry::{HandshakeResult, ListenerMetrics, Metrics};
use rustls::{
    ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::{CertifiedKey, SigningKey},
};
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// Why a certificate cannot be served; the administrator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: {text}", path.display())]
    File { path: PathBuf, text: String },
    #[error("client certificates: {0}")]
    Verifier(String),
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

fn wrong(path: &Path, text: impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), text: text.to_string() }
}

/// One certificate as it is served.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub files: CertificateFiles,
    /// The names it is for, lower case; a wildcard as `*.example.org`.
    pub names: Vec<String>,
    pub issuer: String,
    /// Seconds since 1970.
    pub not_after: i64,
    key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads a chain and its key, and checks that they belong together.
    ///
    /// # Errors
    /// The file and what is wrong with it.
    pub fn load(files: &CertificateFiles) -> Result<Self, TlsError> {
        let chain = read_chain(&files.certificate)?;
        let (names, issuer, not_after) = {
            let leaf = leaf(&files.certificate, &chain)?;
            (names_of(&leaf), leaf.issuer().to_string(), leaf.validity().not_after.timestamp())
        };
        let key = CertifiedKey::new(chain, read_key(&files.private_key)?);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(wrong(&files.private_key, format!("not the key of {}", files.certificate.display()))),
        }
        Ok(Self { files: files.clone(), names, issuer, not_after, key: Arc::new(key) })
    }
}

/// A chain whose first certificate makes sense.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = read_certificates(path)?;
    leaf(path, &chain)?;
    Ok(chain)
}

fn leaf<'a>(path: &Path, chain: &'a [CertificateDer<'_>]) -> Result<X509Certificate<'a>, TlsError> {
    let leaf = chain.first().ok_or_else(|| wrong(path, "no certificate in it"))?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|e| wrong(path, e))?;
    Ok(leaf)
}

/// A private key of a kind that TLS has.
pub(super) fn read_key(path: &Path) -> Result<Arc<dyn SigningKey>, TlsError> {
    let key = PrivateKeyDer::from_pem_file(path).map_err(|e| wrong(path, pem_error(&e, "private key")))?;
    aws_lc_rs::sign::any_supported_type(&key).map_err(|e| wrong(path, e))
}

/// All certificates of a PEM file.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| wrong(path, pem_error(&e, "certificate")))?.collect();
    chain.map_err(|e| wrong(path, pem_error(&e, "certificate")))
}

fn pem_error(error: &rustls::pki_types::pem::Error, wanted: &str) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(e) => format!("cannot be read: {e}"),
        rustls::pki_types::pem::Error::NoItemsFound => format!("no {wanted} in it"),
        other => other.to_string(),
    }
}

/// Subject alternative names; the common name only where there are none (RFC 6125 §6.4.4).
fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        names.extend(certificate.subject().iter_common_name().filter_map(|cn| cn.as_str().ok()).map(str::to_ascii_lowercase));
    }
    names
}

/// Picks a certificate by the name the client asks for (RFC 6066 §3); the first where it asks for
/// none, or for one that none has: a mail client sooner takes a wrong name than none.
#[derive(Debug)]
struct ByName {
    names: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            self.names.get(&name).or_else(|| {
                let (_, parent) = name.split_once('.')?;
                self.names.get(&format!("*.{parent}"))
            })
        });
        Some(Arc::clone(found.unwrap_or(&self.default)))
    }
}

/// What handshakes need, for each way to ask for client certificates.
#[derive(Debug, Default)]
pub struct ServerTls {
    off: Option<Arc<ServerConfig>>,
    request: Option<Arc<ServerConfig>>,
    require: Option<Arc<ServerConfig>>,
}

impl ServerTls {
    /// Reads all certificates of the configuration, and gives their expiry to `metrics`.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(settings: &Settings, metrics: &Metrics) -> Result<Self, TlsError> {
        let wanted =
            if settings.listeners.iter().all(|listener| listener.tls == TlsMode::Off) { &[][..] } else { &settings.tls.certificates };
        let certificates: Vec<_> = wanted.iter().map(Certificate::load).collect::<Result<_, _>>()?;
        metrics.certificates("listeners", certificates.iter().map(|one| (one.files.certificate.to_string_lossy(), one.not_after)));
        let Some(default) = certificates.first() else { return Ok(Self::default()) };
        let mut names = HashMap::new();
        for certificate in &certificates {
            for name in &certificate.names {
                names.entry(name.clone()).or_insert_with(|| Arc::clone(&certificate.key));
            }
        }
        let resolver = Arc::new(ByName { names, default: Arc::clone(&default.key) });
        let asks = |how| settings.listeners.iter().any(|listener| listener.client_certificate == how);
        let config = |how| server_config(how, settings, &resolver).map(Some);
        Ok(Self {
            off: config(ClientCertificate::Off)?,
            request: if asks(ClientCertificate::Request) { config(ClientCertificate::Request)? } else { None },
            require: if asks(ClientCertificate::Require) { config(ClientCertificate::Require)? } else { None },
        })
    }

    pub(super) fn config(&self, how: ClientCertificate) -> Option<&Arc<ServerConfig>> {
        match how {
            ClientCertificate::Off => self.off.as_ref(),
            ClientCertificate::Request => self.request.as_ref(),
            ClientCertificate::Require => self.require.as_ref(),
        }
    }
}

/// The authorities of a PEM file.
pub(super) fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|e| wrong(path, e))?;
    }
    if roots.is_empty() {
        return Err(wrong(path, "no certificate in it"));
    }
    Ok(roots)
}

/// The one cryptography provider.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn server_config(how: ClientCertificate, settings: &Settings, resolver: &Arc<ByName>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match how {
        ClientCertificate::Off => builder.with_no_client_auth(),
        ClientCertificate::Request | ClientCertificate::Require => {
            let path = settings.tls.client_ca.as_deref().ok_or_else(|| TlsError::Verifier("no `tls.client_ca`".into()))?;
            let roots = read_roots(path)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
            let verifier = if how == ClientCertificate::Request { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|e| TlsError::Verifier(e.to_string()))?)
        }
    };
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<ByName>::clone(resolver);
    let mut config = builder.with_cert_resolver(resolver);
    // Stateless resumption: tickets cost no memory here, and survive on any number of workers.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // One ticket is enough for a client that comes back; each is an encryption and 200 octets.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// A client's connection under TLS.
pub(super) type TlsStream = Box<tokio_rustls::server::TlsStream<Heard>>;

/// Why there is no TLS with a client.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("{0}")]
    Failed(#[from] io::Error),
    #[error("no handshake in time")]
    TimedOut,
}

/// The handshake, counted.
///
/// # Errors
/// Nothing more can be said on this connection.
pub(super) async fn accept(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    patience: Duration,
    metrics: &ListenerMetrics,
) -> Result<(TlsStream, TlsFacts), HandshakeError> {
    let error = match timeout(patience, TlsAcceptor::from(config).accept(Heard::new(stream))).await {
        Ok(Ok(mut stream)) => {
            let (heard, connection) = stream.get_mut();
            let facts = TlsFacts { ja4: heard.take_ja4(), ..facts(connection) };
            metrics.handshake(HandshakeResult::of(facts.version));
            return Ok((Box::new(stream), facts));
        }
        Ok(Err(error)) => HandshakeError::Failed(error),
        Err(_) => HandshakeError::TimedOut,
    };
    metrics.handshake(match error {
        HandshakeError::Failed(_) => HandshakeResult::Failed,
        HandshakeError::TimedOut => HandshakeResult::TimedOut,
    });
    Err(error)
}

/// What the log, `Received` and the upstream are told of a session's TLS.
fn facts(connection: &ServerConnection) -> TlsFacts {
    let client_subject = connection.peer_certificates().and_then(|chain| {
        let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
        Some(certificate.subject().to_string().into())
    });
    TlsFacts {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: connection.negotiated_cipher_suite().map_or("", cipher_name),
        sni: connection.server_name().map(Into::into),
        client_subject,
        resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        ja4: None,
    }
}

/// The names of the IANA registry, as Postfix writes those of TLS 1.3.
fn cipher_name(suite: SupportedCipherSuite) -> &'static str {
    let name = suite.suite().as_str().unwrap_or_default();
    match name.strip_prefix("TLS13_") {
        Some("AES_256_GCM_SHA384") => "TLS_AES_256_GCM_SHA384",
        Some("AES_128_GCM_SHA256") => "TLS_AES_128_GCM_SHA256",
        Some("CHACHA20_POLY1305_SHA256") => "TLS_CHACHA20_POLY1305_SHA256",
        _ => name,
    }
}
