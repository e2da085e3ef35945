//! One client's connection: octets in and out, each with a deadline.
//!
//! Two things keep it cheap. All sessions of a worker read into one buffer, from which each takes
//! what it got as a slice, so that an idle session holds none. And one timer serves a whole
//! session: it is armed for the earliest deadline so far and looked at only when it fires, so that
//! a deadline that is met costs nothing.
use super::tls::TlsStream;
use bytes::{Buf, BytesMut};
use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::{io::poll_read_buf, sync::WaitForCancellationFutureOwned};

/// Octets read at once.
const READ: usize = 64 << 10;
/// With less room than this a read would be a waste of a system call.
const ROOM: usize = 8 << 10;

thread_local! {
    /// Filled by whoever reads, who takes the filled part away; the rest serves the next.
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(TlsStream),
    /// In the middle of a handshake that failed.
    Gone,
}

/// What a read gave.
#[derive(Debug)]
pub(super) enum Read {
    Octets(BytesMut),
    /// The client has closed its side.
    End,
    TimedOut,
    /// The server is draining.
    Cancelled,
}

/// A stream and the session's timer.
#[derive(Debug)]
pub(super) struct Line {
    stream: Stream,
    timer: Pin<Box<Sleep>>,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Line {
    pub(super) fn new(stream: Stream, drain: WaitForCancellationFutureOwned, first: Instant) -> Self {
        Self { stream, timer: Box::pin(sleep_until(first)), drain: Box::pin(drain) }
    }

    /// Waits for octets until `deadline`; gives up on draining where `may_cancel`.
    ///
    /// # Errors
    /// The connection's.
    pub(super) async fn read(&mut self, deadline: Instant, may_cancel: bool) -> io::Result<Read> {
        poll_fn(|cx| {
            let read = BUFFER.with_borrow_mut(|buffer| {
                if buffer.capacity() < ROOM {
                    buffer.reserve(READ);
                }
                poll_read_buf(Pin::new(&mut self.stream), cx, buffer).map_ok(|n| (n, buffer.split()))
            })?;
            match read {
                Poll::Ready((0, _)) => Poll::Ready(Ok(Read::End)),
                Poll::Ready((_, octets)) => Poll::Ready(Ok(Read::Octets(octets))),
                Poll::Pending if may_cancel && self.drain.as_mut().poll(cx).is_ready() => Poll::Ready(Ok(Read::Cancelled)),
                Poll::Pending => self.expired(cx, deadline).map(|()| Ok(Read::TimedOut)),
            }
        })
        .await
    }

    /// Sends all of `octets` and empties it.
    ///
    /// # Errors
    /// The connection's; `TimedOut` where the client does not read for as long as `patience`.
    pub(super) async fn write(&mut self, octets: &mut BytesMut, patience: Duration) -> io::Result<()> {
        let mut deadline = None;
        poll_fn(|cx| {
            while octets.has_remaining() {
                match Pin::new(&mut self.stream).poll_write(cx, octets) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(n)) => octets.advance(n),
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                    Poll::Pending => return self.late(cx, &mut deadline, patience),
                }
            }
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => self.late(cx, &mut deadline, patience),
                ready => ready,
            }
        })
        .await
    }

    fn late(&mut self, cx: &mut Context<'_>, deadline: &mut Option<Instant>, patience: Duration) -> Poll<io::Result<()>> {
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
        self.expired(cx, deadline).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn expired(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Whether the client has sent something already (it should be waiting for the banner).
    pub(super) fn has_early_octets(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => {
                rustix::net::recv(stream, &mut [0; 1][..], rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT)
                    .is_ok_and(|(_, n)| n > 0)
            }
            Stream::Tls(_) | Stream::Gone => false,
        }
    }

    /// Takes the stream out for a handshake; `None` where it is TLS already. Until [`put`](Self::put)
    /// nothing can be read or written.
    pub(super) fn take_plain(&mut self) -> Option<TcpStream> {
        match std::mem::replace(&mut self.stream, Stream::Gone) {
            Stream::Plain(stream) => Some(stream),
            other => {
                self.stream = other;
                None
            }
        }
    }

    pub(super) fn put(&mut self, stream: Stream) {
        self.stream = stream;
    }

    /// Ends the connection. Where it is we who end it the client may still be sending, and closing
    /// on unread octets would take our last reply away from it (a reset overtakes what is unread at
    /// its side); so what it sends is dropped for a while first.
    pub(super) async fn close(mut self, patience: Duration, it_is_we: bool) {
        if !it_is_we && matches!(self.stream, Stream::Plain(_)) {
            return;
        }
        let until = Instant::now() + patience;
        let mut deadline = None;
        let said = poll_fn(|cx| match Pin::new(&mut self.stream).poll_shutdown(cx) {
            Poll::Pending => self.late(cx, &mut deadline, patience),
            ready => ready,
        });
        let mut left = if said.await.is_ok() && it_is_we { MOST_DROPPED } else { 0 };
        while left > 0 {
            let Ok(Read::Octets(octets)) = self.read(until, false).await else { break };
            left = left.saturating_sub(octets.len());
        }
    }
}

/// Octets of a client that is sent away which are read for politeness.
const MOST_DROPPED: usize = 1 << 20;

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Gone => gone(),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Gone => gone(),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) | Self::Gone => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}
