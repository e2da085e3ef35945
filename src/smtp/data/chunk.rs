//! BDAT: content by count (RFC 3030 §2).
use super::Stains;
use super::scan::{Mode, Scanner};
use bytes::{Bytes, BytesMut};

/// Takes the content of BDAT chunks. One decoder serves all chunks of a message, so that what is
/// cut over two of them is seen as what it is.
///
/// No octet sequence ends anything here, and a dot in front of a line is a dot. But what comes by
/// count may go on by DATA, here or further on, and so the same rules hold as for DATA.
///
/// Under BINARYMIME a bare CR or LF and NUL are content. Look-alikes are stains there too: a
/// server that turns such a message over to DATA is wrong and exists. Random octets hold one in
/// about 3 MiB, so whoever offers BINARYMIME must weigh that.
#[derive(Debug)]
pub struct ChunkDecoder {
    scanner: Scanner,
}

impl ChunkDecoder {
    /// A decoder for the chunks of one message; `binary` where MAIL said `BODY=BINARYMIME`.
    #[must_use]
    pub fn new(binary: bool) -> Self {
        Self { scanner: Scanner::new(if binary { Mode::Binary } else { Mode::Chunk }) }
    }
    /// Takes what it can from `input`, at most `remaining` octets of it, which is counted down:
    /// what is left in the input then is the next command. To be called until either is used up;
    /// the text may be empty, but then one of them is.
    pub fn next(&mut self, input: &mut BytesMut, remaining: &mut u64) -> Bytes {
        let before = input.len();
        let limit = usize::try_from(*remaining).unwrap_or(usize::MAX);
        let (text, _) = self.scanner.take(input, limit);
        *remaining -= (before - input.len()) as u64;
        text
    }
    /// The last chunk is over. Gives the text that was still held back: what a CR at the very end
    /// becomes.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.scanner.finish()
    }
    #[must_use]
    pub fn stains(&self) -> Stains {
        self.scanner.stains()
    }
    /// Whether a line of the message begins with a dot, and DATA towards the upstream has to stuff.
    #[must_use]
    pub fn has_leading_dot(&self) -> bool {
        self.scanner.has_leading_dot()
    }
    /// Whether the text so far ends with CRLF, or is empty. Where not, DATA towards the upstream
    /// has to add one.
    #[must_use]
    pub fn ends_with_crlf(&self) -> bool {
        self.scanner.ends_with_crlf()
    }
}
