//! The console's own thread: whoever reviews takes nothing from a worker, and a worker that is busy
//! keeps nobody from reviewing.
use super::{Console, Parts, router, visitor::Peer};
use crate::gate::release::Releaser;
use crate::gate::tls::{Https, HttpsStream, TlsError};
use crate::telemetry::{
    Metrics,
    guard::{Bounds, Guarded},
};
use crate::tls::{Certificate, FileError};
use arc_swap::ArcSwap;
use axum::{extract::connect_info::Connected, serve::IncomingStream};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;

/// A browser opens six, and keeps them; behind one address sit several people.
const BOUNDS: Bounds = Bounds {
    connections: 256,
    of_one: 48,
    silent: Duration::from_secs(10),
    request: Duration::from_secs(30),
    life: Duration::from_secs(3600),
};

/// Why there is no console; the administrator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("console: {0}")]
    Tls(#[from] TlsError),
    #[error("console: {0}")]
    Certificate(#[from] FileError),
    #[error("console: {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
}

/// The running console; dropping it stops it.
pub struct Server {
    address: SocketAddr,
    https: Https,
    releaser: Arc<ArcSwap<Releaser>>,
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Listens on `address` and starts the thread.
    ///
    /// # Errors
    /// The address or the certificate is not to be had, or no thread is.
    pub fn start(address: SocketAddr, parts: Parts) -> Result<Self, ConsoleError> {
        let failed = |error| ConsoleError::Listen { address, error };
        let certificate = Self::certificate(&parts.settings)?;
        if certificate.is_none() {
            tracing::warn!("console: no certificate yet: it answers nobody until [tls.acme] has obtained the first");
        }
        let https = Https::new(certificate, parts.challenges.clone(), &parts.metrics)?;
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let wrap = https.clone();
        let releaser = Arc::clone(&parts.releaser);
        let thread = std::thread::Builder::new().name("console".into()).spawn(move || {
            runtime.block_on(async move {
                let console = Console::new(parts, address);
                let ended = CancellationToken::new();
                tokio::spawn(console.audit().clone().tend(ended.clone()));
                let _ended = ended.drop_guard();
                let served = async {
                    let listener = Guarded::new(TcpListener::from_std(listener)?, BOUNDS, move |stream| wrap.accept(stream));
                    axum::serve(listener, router(console).into_make_service_with_connect_info::<Peer>()).await
                };
                tokio::select! {
                    result = served => if let Err(e) = result { tracing::error!("console: {e}") },
                    _ = stopped => {}
                }
            });
        });
        thread.map_err(failed)?;
        Ok(Self { address, https, releaser, _stop: stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Releases go these ways from now on.
    pub fn release_with(&self, releaser: Releaser) {
        self.releaser.store(Arc::new(releaser));
    }

    /// What a console of these settings shows; read before a reload changes anything. `None`: there is
    /// none yet. What makes do elsewhere does not here: whoever is asked for a password has to be able to
    /// see whom it goes to.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn certificate(settings: &super::Settings) -> Result<Option<Certificate>, ConsoleError> {
        Ok(settings.certificate.as_ref().map(Certificate::load).transpose()?)
    }

    /// It shows this one from now on.
    pub fn show(&self, certificate: &Certificate, metrics: &Metrics) {
        self.https.exchange(certificate, metrics);
    }
}

impl<W> Connected<IncomingStream<'_, Guarded<W>>> for Peer
where
    W: Fn(tokio::net::TcpStream) -> HttpsStream + Send + 'static,
{
    fn connect_info(stream: IncomingStream<'_, Guarded<W>>) -> Self {
        Self { address: *stream.remote_addr(), work: stream.io().work() }
    }
}
