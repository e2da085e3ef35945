//! The connection under a client's TLS, which looks at the first octets that pass: the client's hello
//! is told by nobody later.
use crate::tls::ja4::{self, Hello};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A connection and what was seen of the hello; once that is known nothing is kept but the result.
#[derive(Debug)]
pub(super) struct Heard {
    stream: TcpStream,
    hello: Seen,
}

#[derive(Debug)]
enum Seen {
    Some(Vec<u8>),
    All(Option<Box<str>>),
}

impl Heard {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, hello: Seen::Some(Vec::new()) }
    }

    /// The client's JA4, once; `None` where its hello was none.
    pub(super) fn take_ja4(&mut self) -> Option<Box<str>> {
        match std::mem::replace(&mut self.hello, Seen::All(None)) {
            Seen::All(ja4) => ja4,
            Seen::Some(_) => None,
        }
    }

    fn hear(&mut self, octets: &[u8]) {
        let Seen::Some(flight) = &mut self.hello else { return };
        flight.extend_from_slice(octets);
        self.hello = match ja4::of_flight(flight) {
            Hello::More if flight.len() < ja4::MOST => return,
            Hello::More | Hello::Nothing => Seen::All(None),
            Hello::Known(ja4) => Seen::All(Some(ja4.into())),
        };
    }
}

impl AsyncRead for Heard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let heard = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut heard.stream).poll_read(cx, buf);
        if matches!(heard.hello, Seen::Some(_)) {
            heard.hear(buf.filled().get(before..).unwrap_or_default());
        }
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, octets)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, octets)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
