//! A listener for HTTP that cannot be held open: connections are few, each has a deadline for its
//! request and a bound on its life.
use crate::value::network;
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, sleep_until},
};

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Open at once.
    pub connections: usize,
    /// Of those, from one IPv4 address or IPv6 /64; from this machine as many as there are.
    pub of_one: usize,
    /// For the first octets of the first request, counted from accept.
    pub silent: Duration,
    /// For a request to be complete, counted from accept or from the last octet of the answer before;
    /// a handshake of TLS is part of the first. Does not count while it is [worked on](Work).
    pub request: Duration,
    /// A connection that lives longer is closed between two requests or in the middle of one.
    pub life: Duration,
}

/// A listener that has so many connections and no more. `wrap` puts TLS around them, or nothing.
pub struct Guarded<W> {
    listener: TcpListener,
    places: Arc<Semaphore>,
    peers: Peers,
    bounds: Bounds,
    wrap: W,
}

impl<W> Guarded<W> {
    pub fn new(listener: TcpListener, bounds: Bounds, wrap: W) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(bounds.connections)), peers: Peers::default(), bounds, wrap }
    }
}

impl<S, W> axum::serve::Listener for Guarded<W>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    W: Fn(TcpStream) -> S + Send + 'static,
{
    type Io = Connection<S>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection<S>, SocketAddr) {
        loop {
            // Closed by nobody, so that this never fails.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { std::future::pending().await };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // One who has all he may have is let go at once: his others would be everybody's.
                    let Some(counted) = self.peers.count(peer.ip(), self.bounds.of_one) else { continue };
                    return (Connection::new((self.wrap)(stream), self.bounds, (place, counted)), peer);
                }
                // Out of descriptors, most likely; at once again would only burn the processor.
                Err(_) => sleep(Duration::from_millis(500)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Requests of one connection that are worked on: who waits for our answer is not late. A handle;
/// clones share.
#[derive(Debug, Clone, Default)]
pub struct Work(Arc<AtomicUsize>);

/// Work on one request; ends when it is dropped.
#[must_use]
pub struct Begun(Work);

impl Work {
    /// Begins with a request.
    pub fn begin(&self) -> Begun {
        self.0.fetch_add(1, Ordering::Relaxed);
        Begun(self.clone())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Work(count) = &self.0;
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connections by peer.
#[derive(Debug, Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of a peer's connections; ends when it is dropped.
struct Counted(Peers, IpAddr);

impl Peers {
    /// `None` where there are `most` already.
    fn count(&self, peer: IpAddr, most: usize) -> Option<Counted> {
        let most = if peer.to_canonical().is_loopback() { usize::MAX } else { most };
        let peer = network(peer);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&peer).copied().unwrap_or(0);
        (count < most).then(|| {
            open.insert(peer, count + 1);
            Counted(self.clone(), peer)
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Self(Peers(open), peer) = self;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(peer)),
        }
    }
}

/// A connection with a deadline.
pub struct Connection<S> {
    stream: S,
    work: Work,
    deadline: Pin<Box<Sleep>>,
    request: Duration,
    begun: Instant,
    is_silent: bool,
    end: Instant,
    _place: (OwnedSemaphorePermit, Counted),
}

impl<S> Connection<S> {
    fn new(stream: S, Bounds { silent, request, life, .. }: Bounds, place: (OwnedSemaphorePermit, Counted)) -> Self {
        let begun = Instant::now();
        let deadline = Box::pin(sleep_until(begun + silent.min(request)));
        Self { stream, work: Work::default(), deadline, request, begun, is_silent: true, end: begun + life, _place: place }
    }

    /// To say that a request of this connection is worked on.
    #[must_use]
    pub fn work(&self) -> Work {
        self.work.clone()
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.deadline.as_mut().poll(cx));
        let Work(count) = &self.work;
        if count.load(Ordering::Relaxed) > 0 && Instant::now() < self.end {
            self.restart();
            // Polled, so that it wakes us.
            ready!(self.deadline.as_mut().poll(cx));
        }
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    /// An answer is going out, so a request was complete.
    fn restart(&mut self) {
        let deadline = (Instant::now() + self.request).min(self.end);
        self.deadline.as_mut().reset(deadline);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(late) = self.poll_deadline(cx) {
            return Poll::Ready(Err(late));
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        if self.is_silent && buffer.filled().len() > before {
            self.is_silent = false;
            let deadline = (self.begun + self.request).min(self.end);
            self.deadline.as_mut().reset(deadline);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
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

    const BOUNDS: Bounds = Bounds {
        connections: 16,
        of_one: 4,
        silent: Duration::from_secs(3),
        request: Duration::from_secs(10),
        life: Duration::from_secs(300),
    };

    #[test]
    fn nobody_has_all_the_places_but_this_machine() {
        let (peers, address) = (Peers::default(), |text: &str| text.parse::<IpAddr>().unwrap());
        let mut open: Vec<_> = (0..9).filter_map(|n| peers.count(address(&format!("2001:db8::{n}")), BOUNDS.of_one)).collect();
        assert_eq!(open.len(), BOUNDS.of_one);
        assert!(peers.count(address("2001:db8:0:1::1"), BOUNDS.of_one).is_some());
        open.pop();
        assert!(peers.count(address("2001:db8::5"), BOUNDS.of_one).is_some());
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            open.extend((0..99).map(|_| peers.count(address(here), BOUNDS.of_one).unwrap()));
        }
        drop(open);
        assert!(peers.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_begun_a_request_has_the_time_for_it() {
        use axum::serve::Listener;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut guarded = Guarded::new(listener, BOUNDS, |stream| stream);
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = guarded.accept().await;
        client.write_all(b"GET").await.unwrap();
        let begun = Instant::now();
        assert_eq!(connection.read(&mut [0; 16]).await.unwrap(), 3);
        assert_eq!(connection.read(&mut [0; 16]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((BOUNDS.request - BOUNDS.silent..=BOUNDS.request + BOUNDS.silent).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_let_go() {
        use axum::serve::Listener;
        use tokio::io::AsyncReadExt;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut guarded = Guarded::new(listener, BOUNDS, |stream| stream);
        let _client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = guarded.accept().await;
        assert_eq!(guarded.places.available_permits(), BOUNDS.connections - 1);
        let begun = Instant::now();
        let error = connection.read(&mut [0; 16]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((BOUNDS.silent..BOUNDS.request).contains(&begun.elapsed()));
        drop(connection);
        assert_eq!(guarded.places.available_permits(), BOUNDS.connections);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_us_is_not_late_but_has_an_end() {
        use axum::serve::Listener;
        use tokio::io::AsyncReadExt;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut guarded = Guarded::new(listener, BOUNDS, |stream| stream);
        let _client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = guarded.accept().await;
        let (begun, work) = (Instant::now(), connection.work().begin());
        let waited = tokio::time::timeout(3 * BOUNDS.request, connection.read(&mut [0; 16])).await;
        assert!(waited.is_err(), "{waited:?}");
        drop(work);
        assert_eq!(connection.read(&mut [0; 16]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() <= 5 * BOUNDS.request);
        let _client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = guarded.accept().await;
        let (begun, _work) = (Instant::now(), connection.work().begin());
        assert_eq!(connection.read(&mut [0; 16]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((BOUNDS.life..2 * BOUNDS.life).contains(&begun.elapsed()));
    }
}
