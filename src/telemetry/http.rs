//! `/metrics`, `/healthz` and `/readyz` over HTTP, on a thread of its own: a scrape takes nothing
//! from a worker, and a worker that is busy delays no scrape.
//!
//! It is meant for loopback or a management network, and still cannot be held open: connections are
//! few, each has a deadline for its request and a bound on its life.
use super::Metrics;
use crate::value::settings::Section;
use axum::{Router, extract::State, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, Sleep, sleep, sleep_until},
};

/// `[metrics]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen; `None`: nowhere.
    pub address: Option<SocketAddr>,
}

impl Settings {
    /// Reads `[metrics]`.
    #[must_use]
    pub fn read(section: &mut Section<'_>) -> Self {
        Self { address: section.take("address") }
    }
}

/// What the pages are made from.
pub struct Pages {
    pub metrics: Arc<Metrics>,
    /// Called before the metrics are rendered, to set what is not counted as it happens.
    pub refresh: Box<dyn Fn(&Metrics) + Send + Sync>,
    /// Why no mail can be taken now, a line each.
    pub ready: Box<dyn Fn() -> Result<(), Vec<String>> + Send + Sync>,
}

/// The running server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// Prometheus opens one, a person a few.
const CONNECTIONS: usize = 16;
/// For a request to be complete, counted from accept or from the last octet of the answer before.
const REQUEST: Duration = Duration::from_secs(10);
/// A connection that lives longer is closed between two requests or in the middle of one.
const LIFE: Duration = Duration::from_secs(300);

impl Server {
    /// Listens on `address` and starts the thread.
    ///
    /// # Errors
    /// The address is not to be had, or no thread is.
    pub fn start(address: SocketAddr, pages: Pages) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(async move {
                let served = async {
                    let listener = Guarded::new(TcpListener::from_std(listener)?);
                    axum::serve(listener, router(pages)).await
                };
                tokio::select! {
                    result = served => if let Err(e) = result { tracing::error!("metrics: {e}") },
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, _stop: stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(|| async { "octroi\n\n/metrics  for Prometheus\n/healthz  alive\n/readyz   able to take mail, or why not\n" }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .with_state(Arc::new(pages))
}

async fn metrics(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    (pages.refresh)(&pages.metrics);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], pages.metrics.render())
}

async fn readiness(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    match (pages.ready)() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n"),
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

/// A listener that has so many connections and no more.
struct Guarded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Guarded {
    fn new(listener: TcpListener) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS)) }
    }
}

impl axum::serve::Listener for Guarded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // Closed by nobody, so that this never fails.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { std::future::pending().await };
            match self.listener.accept().await {
                Ok((stream, peer)) => return (Connection::new(stream, place), peer),
                // Out of descriptors, most likely; at once again would only burn the processor.
                Err(_) => sleep(Duration::from_millis(500)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with a deadline.
struct Connection {
    stream: TcpStream,
    deadline: Pin<Box<Sleep>>,
    end: Instant,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
        let now = Instant::now();
        Self { stream, deadline: Box::pin(sleep_until(now + REQUEST)), end: now + LIFE, _place: place }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.deadline.as_mut().poll(cx).map(|()| io::ErrorKind::TimedOut.into())
    }

    /// An answer is going out, so a request was complete.
    fn restart(&mut self) {
        let deadline = (Instant::now() + REQUEST).min(self.end);
        self.deadline.as_mut().reset(deadline);
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(late) = self.poll_deadline(cx) {
            return Poll::Ready(Err(late));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(late) = self.poll_deadline(cx) {
            return Poll::Ready(Err(late));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, octets));
        self.restart();
        Poll::Ready(written)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::SpoolUse;
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    const SPOOL: SpoolUse = SpoolUse { used: 7, limit: 20, shortages: 3 };

    #[test]
    fn pages_say_how_things_stand_when_they_are_asked_for() {
        let metrics = Metrics::new().unwrap();
        let draining = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&draining);
        let pages = Pages {
            metrics,
            refresh: Box::new(|metrics| metrics.spool(SPOOL, SPOOL)),
            ready: Box::new(move || if flag.load(Ordering::Relaxed) { Err(vec!["draining".into()]) } else { Ok(()) }),
        };
        let server = Server::start("127.0.0.1:0".parse().unwrap(), pages).unwrap();
        let metrics = get(server.address(), "/metrics");
        assert!(metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.contains("octroi_spool_used_bytes{place=\"memory\"} 7"), "{metrics}");
        assert!(get(server.address(), "/healthz").ends_with("ok\n"));
        assert!(get(server.address(), "/").contains("/readyz"));
        assert!(get(server.address(), "/nothing").starts_with("HTTP/1.1 404"));
        assert!(get(server.address(), "/readyz").starts_with("HTTP/1.1 200"));
        draining.store(true, Ordering::Relaxed);
        let answer = get(server.address(), "/readyz");
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("draining\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_let_go() {
        use axum::serve::Listener;
        use tokio::io::AsyncReadExt;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut guarded = Guarded::new(listener);
        let _client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = guarded.accept().await;
        assert_eq!(guarded.places.available_permits(), CONNECTIONS - 1);
        let begun = Instant::now();
        let error = connection.read(&mut [0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= REQUEST);
        drop(connection);
        assert_eq!(guarded.places.available_permits(), CONNECTIONS);
    }
}
