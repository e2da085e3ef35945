//! Dot-stuffing (RFC 5321 §4.5.2): the message as DATA carries it.
use super::pieces::Pieces;
use bytes::Bytes;
use memchr::memmem::Finder;

/// Doubles the dots that begin lines, and closes the message. Copies nothing.
pub(super) struct Stuffer {
    needle: Finder<'static>,
    /// The octet before the next; a message begins as if after a line end.
    last: u8,
    last_but_one: u8,
}

impl Stuffer {
    pub(super) fn new() -> Self {
        // After any LF, not only after CRLF: to a server that takes a bare LF for a line end, a dot
        // that is not doubled there could end the message.
        Self { needle: Finder::new(b"\n."), last: b'\n', last_but_one: b'\r' }
    }

    /// The next piece; with `scan` off, one that is known to have no line that begins with a dot.
    pub(super) fn push(&mut self, mut piece: Bytes, scan: bool, out: &mut Pieces) {
        let [.., last] = *piece else { return };
        let last_but_one = piece.len().checked_sub(2).and_then(|n| piece.get(n)).copied().unwrap_or(self.last);
        if scan {
            if self.last == b'\n' && piece.first() == Some(&b'.') {
                out.push(Bytes::from_static(b"."));
            }
            while let Some(at) = self.needle.find(&piece) {
                out.push(piece.split_to(at + 1));
                out.push(Bytes::from_static(b"."));
                // Past the dot, which stands.
                out.push(piece.split_to(1));
            }
        }
        out.push(piece);
        (self.last, self.last_but_one) = (last, last_but_one);
    }

    /// The end of data, on a line of its own.
    pub(super) fn finish(self, out: &mut Pieces) {
        let ended = self.last == b'\n' && self.last_but_one == b'\r';
        out.push(Bytes::from_static(if ended { b".\r\n" } else { b"\r\n.\r\n" }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    fn stuffed(pieces: &[&[u8]], scan: bool) -> Vec<u8> {
        let (mut stuffer, mut out) = (Stuffer::new(), Pieces::default());
        for piece in pieces {
            stuffer.push(Bytes::copy_from_slice(piece), scan, &mut out);
        }
        stuffer.finish(&mut out);
        let rest = out.remaining();
        out.copy_to_bytes(rest).to_vec()
    }

    #[test]
    fn dots_that_begin_lines_are_doubled_however_it_is_cut() {
        for (message, wire) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r", b"a\r\r\n.\r\n"),
            (b"a\n", b"a\n\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n.\r\n..\r\n", b"..\r\n..\r\n...\r\n.\r\n"),
            (b"a.b\r\n.c.\r\n", b"a.b\r\n..c.\r\n.\r\n"),
            (b"a\n.\nb\r\n", b"a\n..\nb\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(&[message], true), wire);
            for a in 0..=message.len() {
                for b in a..=message.len() {
                    assert_eq!(stuffed(&[&message[..a], &message[a..b], &message[b..]], true), wire, "{message:?} cut at {a}, {b}");
                }
            }
        }
    }

    #[test]
    fn what_is_known_to_have_no_such_dot_is_not_looked_at() {
        assert_eq!(stuffed(&[b"a\r\nb"], false), b"a\r\nb\r\n.\r\n");
    }
}
