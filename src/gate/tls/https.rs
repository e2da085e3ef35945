//! TLS for the console: one certificate, no client certificates, HTTP/1.1.
use super::{TlsError, provider};
use crate::telemetry::Metrics;
use crate::tls::{
    Certificate,
    challenge::{Challenges, PROTOCOL},
};
use arc_swap::ArcSwapOption;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

/// What handshakes of HTTPS need; the certificate can be exchanged. A handle; clones share.
#[derive(Clone)]
pub struct Https {
    certificate: Arc<Exchangeable>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct Exchangeable {
    current: ArcSwapOption<CertifiedKey>,
    challenges: Challenges,
}

impl ResolvesServerCert for Exchangeable {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.challenges.answer(&hello).unwrap_or_else(|| self.current.load_full())
    }
}

impl Https {
    /// With a certificate, whose expiry is given to `metrics`; without one no handshake succeeds until
    /// there is one, but those of authorities that have a question answered by `challenges`.
    ///
    /// # Errors
    /// The cryptography does not do TLS 1.2 and 1.3.
    pub fn new(certificate: Option<Certificate>, challenges: Challenges, metrics: &Metrics) -> Result<Self, TlsError> {
        let current = ArcSwapOption::new(certificate.map(|one| told(&one, metrics)));
        let certificate = Arc::new(Exchangeable { current, challenges });
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Exchangeable>::clone(&certificate);
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec(), PROTOCOL.to_vec()];
        Ok(Self { certificate, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Another certificate for handshakes from now on; connections that are open go on.
    pub fn exchange(&self, certificate: &Certificate, metrics: &Metrics) {
        self.certificate.current.store(Some(told(certificate, metrics)));
    }

    /// The stream under TLS; its handshake is done with the first read or write.
    #[must_use]
    pub fn accept(&self, stream: TcpStream) -> HttpsStream {
        HttpsStream(State::Handshake(Box::new(self.acceptor.accept(stream))))
    }
}

fn told(certificate: &Certificate, metrics: &Metrics) -> Arc<CertifiedKey> {
    metrics.certificates("console", [(certificate.files.certificate.to_string_lossy(), certificate.not_after)].into_iter());
    Arc::clone(certificate.key())
}

/// A connection whose handshake may be under way: who accepts connections waits for none of them.
pub struct HttpsStream(State);

enum State {
    Handshake(Box<Accept<TcpStream>>),
    Open(Box<TlsStream<TcpStream>>),
    Failed,
}

impl HttpsStream {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut TlsStream<TcpStream>>> {
        if let State::Handshake(accept) = &mut self.0 {
            match ready!(Pin::new(accept).poll(cx)) {
                // It has seen what it wanted to see, and nothing more is said (RFC 8737 §3).
                Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(PROTOCOL) => self.0 = State::Failed,
                Ok(stream) => self.0 = State::Open(Box::new(stream)),
                Err(error) => {
                    // It must not be polled again.
                    self.0 = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.0 {
            State::Open(stream) => Poll::Ready(Ok(stream)),
            State::Handshake(_) | State::Failed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for HttpsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(ready!(self.poll_open(cx))?).poll_read(cx, buffer)
    }
}

impl AsyncWrite for HttpsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(ready!(self.poll_open(cx))?).poll_write(cx, octets)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(ready!(self.poll_open(cx))?).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(stream).poll_shutdown(cx),
            // Nothing was said that would have to be ended.
            State::Handshake(_) | State::Failed => Poll::Ready(Ok(())),
        }
    }
}
