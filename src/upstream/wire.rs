//! One connection as a conversation: commands out, replies in, every wait with its end.
use super::{fault::Fault, pieces::Pieces, stream::Stream, timer::Timer};
use crate::smtp::{Refusal, Reply, client::Replies};
use crate::telemetry::{ReplyClass, UpstreamFault, UpstreamMetrics};
use bytes::{Buf, BytesMut};
use std::{
    future::{Future, poll_fn},
    hint::black_box,
    io::IoSlice,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    time::Instant,
};

/// Replies read ahead while we write. A server that has been asked a hundred times at most answers
/// with less.
const READ_AHEAD: usize = 256 * 1024;
/// Pieces of one system call.
const SLICES: usize = 64;

pub(super) struct Wire {
    stream: Stream,
    replies: Replies,
    timer: Timer,
    metrics: Arc<UpstreamMetrics>,
    /// Commands being composed.
    out: BytesMut,
    /// Commands sent whose replies have not been read.
    owed: usize,
    /// A write has begun and not ended: what the server has of it is unknown.
    torn: bool,
    /// 4yz and 5yz since [`forget_refusals`](Self::forget_refusals).
    refusals: u32,
}

impl Wire {
    /// Must be called on a tokio runtime, the one that polls `stream`.
    pub(super) fn new(stream: Stream, metrics: Arc<UpstreamMetrics>) -> Self {
        Self { stream, replies: Replies::default(), timer: Timer::new(), metrics, out: BytesMut::new(), owed: 0, torn: false, refusals: 0 }
    }
    /// For the TLS handshake. What was buffered in clear is dropped with the rest (RFC 3207 §4.2).
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }
    /// Where commands are composed for [`send`](Self::send).
    pub(super) fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }
    /// A reply is expected to what goes out by [`send_body`](Self::send_body).
    pub(super) fn expect_reply(&mut self) {
        self.owed += 1;
    }
    pub(super) fn owed(&self) -> usize {
        self.owed
    }
    /// No reply is owed, nothing is left that nobody asked for, and no write was cut short.
    pub(super) fn is_at_rest(&self) -> bool {
        self.owed == 0 && !self.torn && self.replies.is_empty()
    }
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }
    pub(super) fn refusals(&self) -> u32 {
        self.refusals
    }
    pub(super) fn forget_refusals(&mut self) {
        self.refusals = 0;
    }

    /// Looks, without a system call as long as the reactor has nothing new, whether the server has
    /// said something unasked or has gone.
    ///
    /// # Errors
    /// It has. The next reply would be taken for the answer to the next command, and in the end a
    /// message would be acknowledged that nobody has.
    pub(super) fn check_silence(&mut self) -> Result<(), Fault> {
        if !self.replies.is_empty() {
            return Err(Fault::surplus());
        }
        match self.poll_fill(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(())) => match self.replies.next() {
                Some(Ok(reply)) if reply.code() == 421 => Err(Fault::shutdown(&reply)),
                _ => Err(Fault::surplus()),
            },
            Poll::Ready(Err(fault)) => Err(fault),
        }
    }

    /// Sends what was composed: `commands` of them.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub(super) async fn send(&mut self, commands: usize, patience: Duration) -> Result<(), Fault> {
        if self.owed == 0 {
            self.check_silence()?;
        }
        let mut out = std::mem::take(&mut self.out);
        self.owed += commands;
        self.write(&mut &*out, patience, false).await?;
        out.clear();
        self.out = out;
        Ok(())
    }

    /// One command of one line, given without CRLF, and its reply.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`reply`](Self::reply).
    pub(super) async fn command(&mut self, line: &str, patience: Duration) -> Result<Reply, Fault> {
        self.out.extend_from_slice(line.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self.send(1, patience).await?;
        self.reply(patience).await
    }

    /// As [`command`](Self::command), for a line that holds a secret: no copy of it stays behind.
    ///
    /// # Errors
    /// As there; none of them shows the line.
    pub(super) async fn secret(&mut self, line: &[&[u8]], patience: Duration) -> Result<Reply, Fault> {
        self.check_silence()?;
        // Of its full size from the start: what grows leaves copies.
        let mut out = Wiped(BytesMut::with_capacity(line.iter().map(|part| part.len()).sum::<usize>() + 2));
        line.iter().chain(&[b"\r\n".as_slice()]).for_each(|part| out.0.extend_from_slice(part));
        self.owed += 1;
        self.write(&mut &*out.0, patience, false).await?;
        drop(out);
        self.reply(patience).await
    }

    /// The next reply: 2yz to 5yz.
    ///
    /// # Errors
    /// It does not come, is no SMTP, or is a 421.
    pub(super) async fn reply(&mut self, patience: Duration) -> Result<Reply, Fault> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(reply) = self.buffered_reply() {
                return reply;
            }
            poll_fn(|cx| match self.poll_fill(cx) {
                Poll::Pending => self.timer.poll_passed(cx, deadline).map(|()| Err(Fault::late("did not answer in time"))),
                filled => filled,
            })
            .await?;
        }
    }

    fn buffered_reply(&mut self) -> Option<Result<Reply, Fault>> {
        let reply = match self.replies.next()? {
            Ok(reply) => reply,
            Err(garbage) => return Some(Err(Fault::garbage(garbage))),
        };
        self.owed = self.owed.saturating_sub(1);
        let class = ReplyClass::of(reply.code());
        self.metrics.reply(class);
        if matches!(class, ReplyClass::Temporary | ReplyClass::Permanent) {
            self.refusals += 1;
        }
        Some(match reply.code() {
            421 => Err(Fault::shutdown(&reply)),
            200..=599 => Ok(reply),
            _ => Err(Fault::unexpected("a command", &reply)),
        })
    }

    /// Writes a piece of a message. A server may refuse in the middle of one, and a client that only
    /// writes would never know: the refusal is returned, and the connection is of no use any more.
    ///
    /// # Errors
    /// As [`send`](Self::send); a reply that is no refusal has no place here either.
    pub(super) async fn send_body(&mut self, pieces: &mut Pieces, patience: Duration) -> Result<Option<Refusal>, Fault> {
        if !pieces.has_remaining() {
            // All of it is out, and what the server says now is its answer.
            return Ok(None);
        }
        let heard = match poll_fn(|cx| Poll::Ready(self.poll_fill(cx))).await {
            Poll::Ready(filled) => filled.map(|()| true),
            Poll::Pending if !self.replies.is_empty() => Ok(true),
            Poll::Pending => self.write(pieces, patience, true).await,
        };
        match heard {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            // What it said before it closed may be there still.
            Err(fault) => {
                let _ = self.poll_fill(&mut Context::from_waker(Waker::noop()));
                if self.replies.is_empty() {
                    return Err(fault);
                }
            }
        }
        let reply = self.reply(patience).await?;
        match Refusal::from_reply(reply) {
            Some(refusal) => Ok(Some(refusal)),
            None => Err(Fault::surplus()),
        }
    }

    /// Writes all of it, each piece within `patience`. Replies that come meanwhile are read, since
    /// the server may wait for that before it takes more (RFC 2920 §3.1); with `heed` the first
    /// ends the writing, and `true` is returned.
    async fn write(&mut self, what: &mut impl Buf, patience: Duration, heed: bool) -> Result<bool, Fault> {
        self.torn = true;
        let mut deadline = Instant::now() + patience;
        let heard = poll_fn(|cx| {
            while what.has_remaining() {
                match self.poll_write(cx, what) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(Fault::closed())),
                    Poll::Ready(Ok(octets)) => {
                        what.advance(octets);
                        self.metrics.sent_bytes.inc_by(octets as u64);
                        if what.has_remaining() {
                            deadline = Instant::now() + patience;
                        }
                        continue;
                    }
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e.into())),
                    Poll::Pending => {}
                }
                match self.poll_fill(cx) {
                    Poll::Ready(Ok(())) if heed => return Poll::Ready(Ok(true)),
                    Poll::Ready(Ok(())) if self.replies.input().len() > READ_AHEAD => return Poll::Ready(Err(Fault::surplus())),
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                    Poll::Pending => return self.timer.poll_passed(cx, deadline).map(|()| Err(Fault::late("did not read in time"))),
                }
            }
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => self.timer.poll_passed(cx, deadline).map(|()| Err(Fault::late("did not read in time"))),
                flushed => flushed.map_ok(|()| false).map_err(Fault::from),
            }
        })
        .await?;
        self.torn = heard;
        Ok(heard)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, what: &impl Buf) -> Poll<std::io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = what.chunks_vectored(&mut slices);
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices.get(..filled).unwrap_or_default())
    }

    /// Reads whatever there is.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let input = self.replies.input();
        if input.capacity() - input.len() < 1024 {
            input.reserve(4096);
        }
        match ready!(pin!(self.stream.read_buf(input)).poll(cx)) {
            Ok(0) => Poll::Ready(Err(Fault::closed())),
            Ok(_) => Poll::Ready(Ok(())),
            Err(e) => Poll::Ready(Err(e.into())),
        }
    }

    /// Sends RSET if that can be done at once; whether it did. The reply is owed then.
    pub(super) fn try_reset(&mut self) -> bool {
        const RSET: &[u8] = b"RSET\r\n";
        if self.torn {
            return false;
        }
        let written = Pin::new(&mut self.stream).poll_write(&mut Context::from_waker(Waker::noop()), RSET);
        let sent = matches!(written, Poll::Ready(Ok(octets)) if octets == RSET.len());
        // Part of it, or an error, and nobody knows what the server will read.
        self.torn = !sent && !written.is_pending();
        self.owed += usize::from(sent);
        sent
    }

    /// Says QUIT if that can be done at once, and closes. Nobody waits for the 221.
    pub(super) fn quit(mut self) {
        if self.is_at_rest() {
            let cx = &mut Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut self.stream).poll_write(cx, b"QUIT\r\n");
            let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
        }
    }
}

/// Octets that are overwritten before their memory is given back.
struct Wiped(BytesMut);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.fill(0);
        // Otherwise the optimizer may leave out what nobody reads.
        black_box(&self.0);
    }
}

impl Fault {
    /// Counts it.
    pub(super) fn count(&self, metrics: &UpstreamMetrics) {
        if self.refusal.is_none() {
            metrics.fault(self.kind);
        }
    }
    /// A server lacks what it is configured to have.
    pub(super) fn unfit(text: &'static str) -> Self {
        Self::new(UpstreamFault::Capability, text)
    }
}
