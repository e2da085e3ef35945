//! A worker: one thread, one event loop, its own listening sockets and upstream connections.
//!
//! Sessions never move between threads, so nothing on their way takes a contended lock or wakes
//! another core; the kernel spreads connections over the workers' sockets (`SO_REUSEPORT`).
use super::{
    admission::{Place, Refused},
    generation::{Generation, ListenerState},
    proxy, session,
    settings::{ListenAddress, TlsMode},
    stream::Stream,
    tls,
};
use crate::journal;
use crate::message::Client;
use crate::smtp::{Offer, Refusal};
use crate::telemetry::{ConnectionResult, HandshakeResult, ListenerMetrics};
use crate::upstream::Upstreams;
use bytes::BytesMut;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    runtime,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// After a failed accept (no descriptors left, mostly) the loop waits a little, or it would spin.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How long a refused client may take to read why.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What one worker's tasks share.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) gate: Arc<super::Shared>,
    /// No new sessions; those that are idle end.
    pub(super) drain: CancellationToken,
    /// All sessions end.
    pub(super) cut: CancellationToken,
    pub(super) sessions: TaskTracker,
    /// Its event loop, once it runs.
    pub(super) event_loop: OnceLock<runtime::Handle>,
}

/// An accepted connection: what held when it came, for as long as it stays.
pub(super) struct Accepted {
    pub(super) generation: Arc<Generation>,
    pub(super) listener: Arc<ListenerState>,
    _place: Place,
}

impl Accepted {
    pub(super) fn metrics(&self) -> &ListenerMetrics {
        &self.listener.metrics
    }
    pub(super) fn upstreams(&self, worker: &Worker) -> &Upstreams {
        self.generation.upstreams(worker.index)
    }
    pub(super) fn offer(&self, worker: &Worker, tls: bool) -> Arc<Offer> {
        self.listener.offer(&self.generation, self.upstreams(worker).capabilities(), tls)
    }
}

/// Runs a worker on this thread until its gate has drained.
pub(super) fn run(worker: &Arc<Worker>, sockets: Vec<(Arc<str>, std::net::TcpListener)>) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().max_blocking_threads(64).thread_name("octroi-io").build()?;
    let _ = worker.event_loop.set(runtime.handle().clone());
    runtime.block_on(async {
        for (name, socket) in sockets {
            match TcpListener::from_std(socket) {
                Ok(listener) => drop(worker.sessions.spawn(accept(Arc::clone(worker), name, listener))),
                Err(error) => tracing::error!("listener {name}: {error}"),
            }
        }
        worker.drain.cancelled().await;
        worker.sessions.close();
        tokio::select! {
            () = worker.sessions.wait() => {}
            () = worker.cut.cancelled() => {}
        }
    });
    runtime.shutdown_timeout(LAST_WORD);
    Ok(())
}

async fn accept(worker: Arc<Worker>, name: Arc<str>, listener: TcpListener) {
    let drained = worker.drain.clone().cancelled_owned();
    tokio::pin!(drained);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut drained => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                worker.sessions.spawn(connection(Arc::clone(&worker), Arc::clone(&name), stream, peer));
            }
            Err(error) => {
                tracing::warn!("listener {name}: accept: {error}");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    turn_away_the_rest(&worker, &name, &listener).await;
}

/// Whoever the kernel has let in already gets a word instead of a reset. A socket of systemd's is
/// left alone: who waits there is the next process's.
async fn turn_away_the_rest(worker: &Worker, name: &str, socket: &TcpListener) {
    let Some((_, listener)) = worker.gate.generation(name) else { return };
    if matches!(listener.settings.address, ListenAddress::Systemd(_)) {
        return;
    }
    let all = async {
        while let Ok(Ok((mut stream, _))) = timeout(Duration::from_millis(1), socket.accept()).await {
            listener.metrics.connection(ConnectionResult::Draining);
            if listener.settings.tls != TlsMode::Implicit {
                say(&mut stream, &shutting_down()).await;
            }
        }
    };
    let _ = timeout(LAST_WORD, all).await;
}

async fn connection(worker: Arc<Worker>, name: Arc<str>, mut stream: TcpStream, peer: SocketAddr) {
    let Some((generation, listener)) = worker.gate.generation(&name) else { return };
    let timeouts = &generation.settings.timeouts;
    let _ = stream.set_nodelay(true);
    let mut address = canonical(peer);
    let mut local = stream.local_addr().map_or(address, canonical);
    if listener.settings.proxy_protocol_from.iter().any(|network| network.contains(&address.ip())) {
        match proxy::read(&mut stream, timeouts.proxy_header).await {
            Ok(Some((source, destination))) => (address, local) = (canonical(source), canonical(destination)),
            Ok(None) => {}
            Err(error) => {
                return listener.journal.turned_away(&name, peer, ConnectionResult::BadProxyHeader, &error);
            }
        }
    }
    let limits = &generation.settings.limits;
    let place = match worker.gate.admission.admit(address.ip(), limits.connections, limits.connections_per_client) {
        Ok(place) => place,
        Err(refused) => return turn_away(&listener, stream, address, refused).await,
    };
    let mut client = Client { listener: Arc::clone(&name), address, local, tls: None, hello: None, account: None, mechanism: None };
    let mut record = journal::Session::open(&listener.journal, &Arc::new(client.clone()), std::time::Instant::now());
    let accepted = Accepted { generation: Arc::clone(&generation), listener, _place: place };
    let stream = if accepted.listener.settings.tls == TlsMode::Implicit {
        let Some(config) = generation.tls.config(&accepted.listener.settings) else {
            accepted.metrics().handshake(HandshakeResult::Failed);
            record.end(journal::End::HandshakeFailed);
            return record.error(&"there is no certificate yet");
        };
        match Box::pin(tls::accept(Arc::clone(config), stream, timeouts.tls_handshake, accepted.metrics())).await {
            Ok((stream, facts)) => {
                client.tls = Some(Arc::new(facts));
                Stream::Tls(stream)
            }
            Err(error) => {
                record.end(journal::End::HandshakeFailed);
                return record.error(&error);
            }
        }
    } else {
        Stream::Plain(stream)
    };
    drop(generation);
    let client = Arc::new(client);
    record.client(&client);
    session::run(worker, accepted, record, stream, client).await;
}

async fn turn_away(listener: &ListenerState, mut stream: TcpStream, address: SocketAddr, refused: Refused) {
    let (result, refusal) = match refused {
        Refused::TooMany => (ConnectionResult::TooMany, Refusal::temporary(21, "3.2", "too many connections, try again later")),
        Refused::TooManyFromClient => {
            (ConnectionResult::TooManyFromClient, Refusal::temporary(21, "7.0", "too many connections from your address"))
        }
    };
    listener.journal.turned_away(&listener.settings.name, address, result, &refusal);
    if listener.settings.tls != TlsMode::Implicit {
        say(&mut stream, &refusal).await;
    }
}

/// Says why, if the client reads it at once.
async fn say(stream: &mut TcpStream, refusal: &Refusal) {
    let mut out = BytesMut::new();
    refusal.reply().write_to(&mut out);
    let _ = timeout(LAST_WORD, async {
        stream.write_all(&out).await?;
        stream.shutdown().await
    })
    .await;
}

pub(super) fn shutting_down() -> Refusal {
    Refusal::temporary(21, "3.2", "shutting down, try again")
}

/// An IPv4 address that came through an IPv6 socket is an IPv4 address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
