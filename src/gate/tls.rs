//! TLS towards clients: certificates by name, client certificates, reloading.
//!
//! TLS 1.2 and 1.3 only, which is all rustls has (RFC 8996).

mod https;

pub use https::{Https, HttpsStream};

use super::hello::Heard;
use super::settings::{Auth, ClientCertificate, Listener, Settings, TlsMode};
use crate::acme;
use crate::message::TlsFacts;
use crate::telemetry::{HandshakeResult, ListenerMetrics, Metrics};
use crate::tls::{Certificate, FileError, made_here, read_roots};
use rustls::{
    ProtocolVersion, ServerConfig, ServerConnection, SupportedCipherSuite,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use std::{collections::HashMap, io, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why a certificate cannot be served; the administrator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("client certificates: {0}")]
    Verifier(String),
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("{0}")]
    Placeholder(#[from] acme::AcmeError),
}

/// Picks a certificate by the name the client asks for (RFC 6066 §3); the first where it asks for
/// none, or for one that none has: a mail client sooner takes a wrong name than none.
#[derive(Debug)]
struct ByName {
    names: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl ByName {
    fn new(certificates: &[Certificate], default: &Certificate) -> Self {
        let mut names = HashMap::new();
        for certificate in certificates {
            for name in &certificate.names {
                names.entry(name.clone()).or_insert_with(|| Arc::clone(certificate.key()));
            }
        }
        Self { names, default: Arc::clone(default.key()) }
    }

    fn only(default: Arc<CertifiedKey>) -> Self {
        Self { names: HashMap::new(), default }
    }
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
    /// The certificate is one that nobody can verify.
    placeholder: bool,
}

impl ServerTls {
    /// Reads all certificates of the configuration, and gives their expiry to `metrics`.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(settings: &Settings, metrics: &Metrics) -> Result<Self, TlsError> {
        let any = settings.listeners.iter().any(|listener| listener.tls != TlsMode::Off);
        let wanted = if any { &settings.tls.certificates[..] } else { &[] };
        let certificates: Vec<_> = wanted.iter().map(Certificate::load).collect::<Result<_, _>>()?;
        metrics.certificates("listeners", certificates.iter().map(|one| (one.files.certificate.to_string_lossy(), one.not_after)));
        let to_come = settings.tls.acme.as_ref().filter(|_| any && certificates.is_empty());
        metrics.tls_placeholder.set(to_come.is_some().into());
        let resolver = match (certificates.first(), to_come) {
            (Some(default), _) => ByName::new(&certificates, default),
            (None, Some(acme)) => ByName::only(placeholder(settings, acme)?),
            (None, None) => return Ok(Self::default()),
        };
        let asks = |how| settings.listeners.iter().any(|listener| listener.client_certificate == how);
        let resolver = Arc::new(resolver);
        let config = |how| server_config(how, settings, &resolver).map(Some);
        Ok(Self {
            off: config(ClientCertificate::Off)?,
            request: if asks(ClientCertificate::Request) { config(ClientCertificate::Request)? } else { None },
            require: if asks(ClientCertificate::Require) { config(ClientCertificate::Require)? } else { None },
            placeholder: to_come.is_some(),
        })
    }

    /// `None`: there is no TLS on this listener now.
    pub(super) fn config(&self, listener: &Listener) -> Option<&Arc<ServerConfig>> {
        if self.placeholder && !takes_placeholder(listener) {
            return None;
        }
        match listener.client_certificate {
            ClientCertificate::Off => self.off.as_ref(),
            ClientCertificate::Request => self.request.as_ref(),
            ClientCertificate::Require => self.require.as_ref(),
        }
    }
}

/// Whether a certificate is shown there that nobody can verify. Servers that hand in mail seldom look,
/// and would otherwise send it in clear (RFC 7435); those that do look would not have sent it in clear
/// either. Not where passwords are taken: a client that does not look gives its password to whoever
/// stands between, and one that does asks its user to get used to looking away.
fn takes_placeholder(listener: &Listener) -> bool {
    listener.auth == Auth::Off
}

/// Made anew each time: it is worth nothing, and so is keeping it.
fn placeholder(settings: &Settings, acme: &acme::Settings) -> Result<Arc<CertifiedKey>, TlsError> {
    let (certificate, key) = acme::placeholder(&acme.names)?;
    let names = |with: bool| {
        let listeners = settings.listeners.iter().filter(|one| one.tls != TlsMode::Off && takes_placeholder(one) == with);
        listeners.map(|one| &*one.name).collect::<Vec<_>>().join(" ")
    };
    tracing::warn!(
        self_signed = names(true),
        without_tls = names(false),
        "no certificate yet: listeners have a self-signed one, which nobody can verify, until [tls.acme] has obtained the first; \
         those that take passwords have no TLS until then"
    );
    Ok(made_here(certificate, &key)?)
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
