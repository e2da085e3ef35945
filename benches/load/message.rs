//! The test message, known to both ends: the generator writes it and the sink recognises it.
//!
//! Every message carries a mark, `X-Load: RUN SEQUENCE LENGTH` in fixed-width decimals, as its first
//! header field, and ends with a line that repeats the sequence number. `LENGTH` counts the octets
//! from the mark to the end, after dot-unstuffing: what a proxy puts above (its `Received`) is not
//! in it, and a message that lost, gained or mixed up anything below does not add up.

use crate::Outcome;
use std::{fs, path::Path};

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

/// Messages, made once; only the mark and the tail differ from one to the next. One, over and over, or
/// many in turns.
pub(crate) struct Template {
    bodies: Vec<Body>,
    is_mail: bool,
}

/// What stands between the mark and the tail, as it goes over the wire.
struct Body {
    /// Octets of the message, mark and tail included, before dot-stuffing.
    size: usize,
    header: Vec<u8>,
    /// A line that begins with a dot, stuffed, so that unstuffing is part of what is measured and
    /// verified.
    dotted: Vec<u8>,
    /// Body lines that are sent over and over, so that a 50 MiB message needs no 50 MiB here.
    block: Vec<u8>,
    /// Octets of body taken from the block.
    repeated: usize,
    /// The last line of the body, which makes up the size.
    rest: Vec<u8>,
}

/// The line of the mark, with its CRLF.
const MARK_LINE: usize = MARK.len() + MARK_VALUE + 2;

impl Template {
    /// Messages of `size` octets (at least 1 KiB), header included, before dot-stuffing.
    pub(crate) fn new(size: usize) -> Self {
        let size = size.max(SMALLEST);
        let header = b"From: Load <load@client.example>\r\nTo: Sink <sink@example.org>\r\nSubject: load\r\n\
                       Date: Wed, 25 Nov 2026 02:22:22 +0000\r\nMIME-Version: 1.0\r\n\
                       Content-Type: text/plain; charset=us-ascii\r\n\r\n"
            .to_vec();
        let body = size.saturating_sub(MARK_LINE + header.len() + TAIL + LINE);
        let lines = (body / LINE).saturating_sub(1);
        let mut letters = Letters(1);
        let mut dotted = letters.line(LINE + 1);
        if let Some(start) = dotted.get_mut(..2) {
            start.copy_from_slice(b"..");
        }
        let block = (0..LINES_IN_BLOCK.min(lines)).flat_map(|_| letters.line(LINE)).collect();
        let rest = letters.line(body - lines * LINE);
        Self { bodies: vec![Body { size, header, dotted, block, repeated: lines * LINE, rest }], is_mail: false }
    }

    /// The messages in `directory` and below it, a file each, in the order of their names.
    ///
    /// # Errors
    /// There are none, or one cannot be read.
    pub(crate) fn of_mail(directory: &Path) -> Outcome<Self> {
        let (mut directories, mut files) = (vec![directory.to_owned()], Vec::new());
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))? {
                let entry = entry?;
                if entry.file_type()?.is_dir() { directories.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        files.sort();
        let bodies = files.iter().map(|file| Ok(Body::of_mail(&fs::read(file)?))).collect::<Outcome<Vec<_>>>()?;
        if bodies.is_empty() { Err(format!("{}: no file in it", directory.display()).into()) } else { Ok(Self { bodies, is_mail: true }) }
    }

    /// Whether the messages are somebody's, and may be such as are refused.
    pub(crate) fn is_mail(&self) -> bool {
        self.is_mail
    }

    #[expect(clippy::indexing_slicing, reason = "there is one at least, and a remainder is less")]
    fn body(&self, sequence: u32) -> &Body {
        &self.bodies[sequence as usize % self.bodies.len()]
    }

    /// Octets of message `sequence`.
    pub(crate) fn size(&self, sequence: u32) -> usize {
        self.body(sequence).size
    }

    /// The head of message `sequence` of run `run`: header and the first line of the body.
    pub(crate) fn head(&self, run: u32, sequence: u32, out: &mut Vec<u8>) {
        let body = self.body(sequence);
        out.extend_from_slice(MARK);
        out.extend_from_slice(format!("{run:010} {sequence:010} {:010}\r\n", body.size).as_bytes());
        out.extend_from_slice(&body.header);
        out.extend_from_slice(&body.dotted);
    }

    /// The body between head and foot, in pieces of at most a block.
    pub(crate) fn pieces(&self, sequence: u32) -> impl Iterator<Item = &[u8]> {
        let body = self.body(sequence);
        let mut left = body.repeated;
        std::iter::from_fn(move || {
            let piece = body.block.get(..left.min(body.block.len()))?;
            left -= piece.len();
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// What follows the pieces, with the end of data.
    pub(crate) fn foot(&self, sequence: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.body(sequence).rest);
        out.extend_from_slice(tail(sequence).as_bytes());
        out.extend_from_slice(b".\r\n");
    }
}

impl Body {
    /// A message from a file: with the line ends of the wire, without the line that a mailbox file puts
    /// above it, and with a body, since the tail has to stand in one.
    fn of_mail(octets: &[u8]) -> Self {
        let (mut size, mut block, mut has_body) = (MARK_LINE + TAIL, Vec::with_capacity(octets.len() + 256), false);
        let mut lines: Vec<&[u8]> = octets.split(|octet| *octet == b'\n').collect();
        // After the last line end there is no line.
        lines.pop_if(|line| line.is_empty());
        let is_envelope = lines.first().is_some_and(|line| line.starts_with(b"From "));
        for line in lines.into_iter().skip(usize::from(is_envelope)) {
            // A carriage return alone is refused, and rightly so.
            for line in line.strip_suffix(b"\r").unwrap_or(line).split(|octet| *octet == b'\r') {
                has_body |= line.is_empty();
                block.extend_from_slice(if line.starts_with(b".") { b"." } else { b"" });
                block.extend_from_slice(line);
                block.extend_from_slice(b"\r\n");
                size += line.len() + 2;
            }
        }
        if !has_body {
            block.extend_from_slice(b"\r\n");
            size += 2;
        }
        Self { size, header: Vec::new(), dotted: Vec::new(), repeated: block.len(), block, rest: Vec::new() }
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
