//! `/metrics`, `/healthz` and `/readyz` over HTTP, on a thread of its own: a scrape takes nothing
//! from a worker, and a worker that is busy delays no scrape.
//!
//! It is meant for loopback or a management network, and still cannot be held open: connections are
//! few, each has a deadline for its request and a bound on its life.
use super::{
    Metrics,
    guard::{Bounds, Guarded},
};
use crate::value::settings::Section;
use axum::{Router, extract::State, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::oneshot};

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
        section.otherwise("address", "nowhere");
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
const BOUNDS: Bounds = Bounds {
    connections: 16,
    of_one: 16,
    silent: Duration::from_secs(10),
    request: Duration::from_secs(10),
    life: Duration::from_secs(300),
};

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
                    let listener = Guarded::new(TcpListener::from_std(listener)?, BOUNDS, |stream| stream);
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
}
