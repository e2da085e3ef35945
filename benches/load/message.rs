//! The test message, known to both ends: the generator writes it and the sink recognises it.
//!
//! Every message carries a mark, `X-Load: RUN SEQUENCE LENGTH` in fixed-width decimals, as its first
//! header field, and ends with a line that repeats the sequence number. `LENGTH` counts the octets
//! from the mark to the end, after dot-unstuffing: what a proxy puts above (its `Received`) is not
//! in it, and a message that lost, gained or mixed up anything below does not add up.

/// What the sink looks for.
pub(crate) const MARK: &[u8] = b"X-Load: ";
/// `RUN SEQUENCE LENGTH`, ten digits each.
pub(crate) const MARK_VALUE: usize = 32;
/// `end-of-load SEQUENCE CRLF`.
pub(crate) const TAIL: usize = 24;
const LINE: usize = 78;
const LINES_IN_BLOCK: usize = 6_400;
/// Nobody sends less than a header and a few lines.
const SMALLEST: usize = 1_024;

/// Who a message is: the measured run it belongs to, and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) run: u32,
    pub(crate) sequence: u32,
    pub(crate) length: u64,
}

impl Mark {
    /// Reads `RUN SEQUENCE LENGTH`; `None` if it is not one.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(value).ok()?.split(' ');
        let mark = Self { run: fields.next()?.parse().ok()?, sequence: fields.next()?.parse().ok()?, length: fields.next()?.parse().ok()? };
        fields.next().is_none().then_some(mark)
    }
}

/// The last line of message `sequence`.
pub(crate) fn tail(sequence: u32) -> String {
    format!("end-of-load {sequence:010}\r\n")
}

/// Messages of one size, made once; only the mark and the tail differ from one to the next.
pub(crate) struct Template {
    size: usize,
    header: String,
    /// A line that begins with a dot, stuffed as it goes over the wire, so that unstuffing is part
    /// of what is measured and verified.
    dotted: Vec<u8>,
    /// Body lines that are sent over and over, so that a 50 MiB message needs no 50 MiB here.
    block: Vec<u8>,
    /// Octets of body taken from the block.
    repeated: usize,
    /// The last line of the body, which makes up the size.
    rest: Vec<u8>,
}

impl Template {
    /// Messages of `size` octets (at least 1 KiB), header included, before dot-stuffing.
    pub(crate) fn new(size: usize) -> Self {
        let size = size.max(SMALLEST);
        let header = "From: Load <load@client.example>\r\nTo: Sink <sink@example.org>\r\nSubject: load\r\n\
                      Date: Wed, 25 Nov 2026 02:22:22 +0000\r\nMIME-Version: 1.0\r\n\
                      Content-Type: text/plain; charset=us-ascii\r\n\r\n"
            .to_owned();
        let mark = MARK.len() + MARK_VALUE + 2;
        let body = size.saturating_sub(mark + header.len() + TAIL + LINE);
        let lines = (body / LINE).saturating_sub(1);
        let mut letters = Letters(1);
        let mut dotted = letters.line(LINE + 1);
        if let Some(start) = dotted.get_mut(..2) {
            start.copy_from_slice(b"..");
        }
        let block = (0..LINES_IN_BLOCK.min(lines)).flat_map(|_| letters.line(LINE)).collect();
        let rest = letters.line(body - lines * LINE);
        Self { size, header, dotted, block, repeated: lines * LINE, rest }
    }

    /// Octets of one message.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The head of message `sequence` of run `run`: header and the first line of the body.
    pub(crate) fn head(&self, run: u32, sequence: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(MARK);
        out.extend_from_slice(format!("{run:010} {sequence:010} {:010}\r\n", self.size).as_bytes());
        out.extend_from_slice(self.header.as_bytes());
        out.extend_from_slice(&self.dotted);
    }

    /// The body between head and foot, in pieces of at most a block.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = self.repeated;
        std::iter::from_fn(move || {
            let piece = self.block.get(..left.min(self.block.len()))?;
            left -= piece.len();
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// What follows the pieces, with the end of data.
    pub(crate) fn foot(&self, sequence: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.rest);
        out.extend_from_slice(tail(sequence).as_bytes());
        out.extend_from_slice(b".\r\n");
    }
}

/// Text that is the same on every run and does not compress to nothing.
struct Letters(u32);

impl Letters {
    /// A line of `length` octets with its CRLF.
    fn line(&mut self, length: usize) -> Vec<u8> {
        let text = length.saturating_sub(2);
        let mut line = Vec::with_capacity(length);
        for _ in 0..text {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            line.push(b'a'.saturating_add(u8::try_from(self.0 >> 24).unwrap_or(0) % 26));
        }
        line.extend_from_slice(b"\r\n");
        line
    }
}
