//! Packets of the milter protocol: four octets of length, a command, its data (libmilter's
//! `mfdef.h`). Every length is checked before it is believed.
use crate::{chain::StageError, remote::Stream};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

/// The longest packet that is taken, command and data: replaced bodies come in pieces of 64 KiB,
/// and no header field is longer.
const LONGEST: usize = 256 << 10;
/// The longest piece of a body that is sent (`MILTER_CHUNK_SIZE`).
pub(super) const CHUNK: usize = 65_535;
/// Octets that are gathered before they are written, where no answer is waited for.
const GATHERED: usize = 64 << 10;
const QUIT: u8 = b'Q';

/// What the other side said, and its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    pub command: u8,
    pub data: Bytes,
}

/// A connection to a milter.
pub(super) struct Wire {
    stream: Stream,
    out: BytesMut,
    read: BytesMut,
    /// Somebody gave up in the middle of a write, or before the answer came.
    broken_off: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, out: BytesMut::new(), read: BytesMut::new(), broken_off: false }
    }

    /// Puts a packet into the queue; `data` writes what follows the command.
    pub(super) fn put(&mut self, command: u8, data: impl FnOnce(&mut BytesMut)) {
        write_packet(&mut self.out, command, data);
    }

    /// Whether enough is gathered for a write of its own.
    pub(super) fn is_full(&self) -> bool {
        self.out.len() >= GATHERED
    }

    /// # Errors
    /// The milter went away.
    pub(super) async fn flush(&mut self) -> Result<(), StageError> {
        let broken_off = std::mem::replace(&mut self.broken_off, true);
        self.write().await?;
        self.broken_off = broken_off;
        Ok(())
    }

    async fn write(&mut self) -> Result<(), StageError> {
        let out = self.out.split();
        if !out.is_empty() {
            self.stream.write_all(&out).await.map_err(|error| StageError::Failed(error.into()))?;
        }
        Ok(())
    }

    /// Whether nobody can go on with it: the milter ended the connection since, said something that
    /// nobody asked for, or still owes an answer that nobody waited for.
    pub(super) fn is_stale(&mut self) -> bool {
        let mut octet = [0];
        let mut unasked = ReadBuf::new(&mut octet);
        self.broken_off
            || !self.read.is_empty()
            || self.stream.as_mut().poll_read(&mut Context::from_waker(Waker::noop()), &mut unasked).is_ready()
    }

    /// # Errors
    /// The milter went away, said something that is no packet, or said it before it was asked: what
    /// is left over would be taken for the answer to the next question, and every answer for that to
    /// another one.
    pub(super) async fn next(&mut self) -> Result<Packet, StageError> {
        if !self.out.is_empty() && !self.read.is_empty() {
            return Err(StageError::Failed("it answered what it was not asked".into()));
        }
        if std::mem::replace(&mut self.broken_off, true) {
            return Err(StageError::Failed("nobody waited for its last answer".into()));
        }
        self.write().await?;
        loop {
            if let Some(packet) = take_packet(&mut self.read).map_err(|why| StageError::Failed(why.into()))? {
                self.broken_off = false;
                return Ok(packet);
            }
            match self.stream.read_buf(&mut self.read).await {
                Ok(0) => return Err(StageError::Failed("it closed the connection".into())),
                Ok(_) => {}
                Err(error) => return Err(StageError::Failed(error.into())),
            }
        }
    }
}

/// The milter is told, where that needs no waiting: some take an end without it for a failure.
impl Drop for Wire {
    fn drop(&mut self) {
        self.put(QUIT, |_| {});
        let said = self.stream.as_mut().poll_write(&mut Context::from_waker(Waker::noop()), &self.out);
        if let Poll::Ready(Err(error)) = said {
            tracing::debug!(%error, "the milter is gone already");
        }
    }
}

fn write_packet(out: &mut BytesMut, command: u8, data: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_u8(command);
    data(out);
    // Nothing that is sent comes near four gigabytes.
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// The first whole packet of `read`, if there is one.
pub(super) fn take_packet(read: &mut BytesMut) -> Result<Option<Packet>, String> {
    let Some(mut header) = read.get(..4) else { return Ok(None) };
    let length = header.get_u32() as usize;
    if length == 0 || length > LONGEST {
        return Err(format!("a packet of {length} octets"));
    }
    if read.len() < 4 + length {
        read.reserve(4 + length - read.len());
        return Ok(None);
    }
    read.advance(4);
    let command = read.get_u8();
    Ok(Some(Packet { command, data: read.split_to(length - 1).freeze() }))
}

impl Packet {
    /// The texts of the data, each of which ends with NUL; of one that is not ended, nobody knows
    /// what is missing.
    ///
    /// # Errors
    /// A sentence for the log.
    pub(super) fn texts(&self) -> Result<Vec<&[u8]>, String> {
        texts(&self.data)
    }

    /// A number, and the texts behind it.
    ///
    /// # Errors
    /// A sentence for the log.
    pub(super) fn number_and_texts(&self) -> Result<(u32, Vec<&[u8]>), String> {
        let (mut number, rest) = self.data.split_at_checked(4).ok_or("a number is missing")?;
        Ok((number.get_u32(), texts(rest)?))
    }
}

fn texts(data: &[u8]) -> Result<Vec<&[u8]>, String> {
    match data.split_last() {
        None => Ok(Vec::new()),
        Some((0, rest)) => Ok(rest.split(|octet| *octet == 0).collect()),
        Some(_) => Err("a text without its end".into()),
    }
}

/// Writes a text and the NUL that ends it; a NUL within it would end it early.
pub(super) fn put_text(out: &mut BytesMut, text: impl AsRef<[u8]>) {
    out.extend(text.as_ref().iter().filter(|octet| **octet != 0));
    out.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut octets = BytesMut::new();
        write_packet(&mut octets, b'L', |out| {
            put_text(out, "Sub\0ject");
            put_text(out, "x");
        });
        write_packet(&mut octets, b'E', |_| {});
        assert_eq!(octets, &b"\0\0\0\x0bLSubject\0x\0\0\0\0\x01E"[..]);
        let first = take_packet(&mut octets).unwrap().unwrap();
        assert_eq!((first.command, first.texts().unwrap()), (b'L', vec![&b"Subject"[..], b"x"]));
        assert_eq!(take_packet(&mut octets).unwrap().unwrap(), Packet { command: b'E', data: Bytes::new() });
        assert_eq!(take_packet(&mut octets).unwrap(), None);
    }

    #[test]
    fn lengths_are_not_believed() {
        for octets in [&[0, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff, b'c'], &[0, 4, 0, 1]] {
            assert!(take_packet(&mut octets.into()).is_err(), "{octets:?}");
        }
        let packet = |data: &'static [u8]| Packet { command: b'i', data: data.into() };
        assert!(packet(b"\0\0\0").number_and_texts().is_err());
        assert!(packet(b"\0\0\0\x02a").number_and_texts().is_err());
        assert_eq!(packet(b"\0\0\0\x02a\0\0").number_and_texts().unwrap(), (2, vec![&b"a"[..], b""]));
    }

    #[tokio::test]
    async fn an_answer_that_nobody_waited_for_is_not_the_next_one() {
        let (ours, mut theirs) = tokio::io::duplex(100);
        let mut wire = Wire::new(Box::pin(ours));
        wire.put(b'B', |_| {});
        assert!(!wire.is_stale());
        assert!(futures_util::FutureExt::now_or_never(wire.next()).is_none());
        theirs.write_all(b"\0\0\0\x01c").await.unwrap();
        wire.put(b'E', |_| {});
        assert!(wire.is_stale() && matches!(wire.next().await, Err(StageError::Failed(_))));
    }

    proptest! {
        #[test]
        fn packets_are_the_same_however_they_are_cut(octets in prop::collection::vec(any::<u8>(), 0..64), cut in 0_usize..64) {
            let all = |octets: &[u8]| {
                let mut read = BytesMut::from(octets);
                let mut packets = Vec::new();
                while let Ok(Some(packet)) = take_packet(&mut read) {
                    packets.push(packet);
                }
                packets
            };
            let mut read = BytesMut::new();
            let mut packets = Vec::new();
            for piece in [&octets[..cut.min(octets.len())], &octets[cut.min(octets.len())..]] {
                read.extend_from_slice(piece);
                while let Ok(Some(packet)) = take_packet(&mut read) {
                    packets.push(packet);
                }
            }
            prop_assert_eq!(packets, all(&octets));
        }
    }
}
