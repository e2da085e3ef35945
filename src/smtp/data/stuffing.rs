//! Dot-stuffing towards a server (RFC 5321 §4.5.2).
use bytes::BytesMut;
use memchr::memmem;

/// Where the text stands between two chunks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tail {
    #[default]
    LineStart,
    Cr,
    Line,
}

/// Sends text, chunk by chunk, as DATA wants it.
#[derive(Debug, Default)]
pub struct Stuffer {
    tail: Tail,
}

impl Stuffer {
    /// The slices of `chunk` to be written one after the other. Where a dot has to be doubled one
    /// slice ends with it and the next begins with it: nothing is copied, and text without such a
    /// dot is one slice. The text must be canonical, as the decoders give it.
    pub fn split<'a>(&mut self, chunk: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let tail = self.tail;
        self.tail = match (tail, chunk) {
            (_, []) => tail,
            (_, [.., b'\r', b'\n']) | (Tail::Cr, [b'\n']) => Tail::LineStart,
            (_, [.., b'\r']) => Tail::Cr,
            _ => Tail::Line,
        };
        let first = match (tail, chunk) {
            (Tail::LineStart, [b'.', ..]) => Some(0),
            (Tail::Cr, [b'\n', b'.', ..]) => Some(1),
            _ => None,
        };
        let dots = memmem::find_iter(chunk, b"\r\n.").map(|at| at + 2);
        let mut from = 0;
        first.into_iter().chain(dots).chain(Some(chunk.len())).filter_map(move |dot| {
            let slice = chunk.get(from..chunk.len().min(dot + 1))?;
            from = dot;
            (!slice.is_empty()).then_some(slice)
        })
    }

    /// Appends `chunk`, stuffed.
    pub fn write(&mut self, chunk: &[u8], out: &mut BytesMut) {
        self.split(chunk).for_each(|slice| out.extend_from_slice(slice));
    }

    /// What ends the data here: a line end where the text lacks it, and the dot.
    #[must_use]
    pub fn end(&self) -> &'static [u8] {
        match self.tail {
            Tail::LineStart => b".\r\n",
            Tail::Cr | Tail::Line => b"\r\n.\r\n",
        }
    }
}
