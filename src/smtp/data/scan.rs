//! The scanner under DATA and BDAT: what a line is, what must not stand in one, and what another
//! server could take for the end of data.
//!
//! A *line break* is CRLF, or a CR or LF on its own. NUL is transparent: there are servers that
//! drop it before they look. A line that holds a lone dot and nothing else is a look-alike of the
//! end of data unless the octets around the dot are exactly CRLF on both sides. That covers
//! `LF . LF`, `LF . CRLF`, `CRLF . LF`, `CR . CR`, `CR . LF`, `LF . CR`, `CR . CRLF`, `CRLF . CR`,
//! `CRLF . CR CRLF` and all of these with NULs in between; `CR CRLF . CRLF` holds the five octets
//! that are the end of data, and is the end (of a message with a bare CR).
//!
//! In DATA the rule is applied to the line as it stood on the wire (`.`), which is what the server
//! in front of us, or beside us, may have read, and to the text behind the stuffing (`..` on the
//! wire), which is what a server behind us would read if it got this text with less care. So what
//! BDAT does not bring in, DATA does not either.

use super::Stains;
use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr3;

const CRLF: &[u8] = b"\r\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Dot-stuffed, ended by `CRLF . CRLF`.
    Data,
    /// As it is, ended by count.
    Chunk,
    /// The same, and CR, LF and NUL may stand in it alone (RFC 3030 §3).
    Binary,
}

/// What the line at hand holds so far, NULs not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Start,
    Dot,
    TwoDots,
    Text,
}

/// What has to be done about the octet at a place, so that the text becomes canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    /// It is no part of the text.
    Drop,
    /// It becomes CRLF.
    Break,
    /// A CR at the end of the input: what it is, the next octet says.
    Hold,
    /// The CR of the end of data.
    End,
    /// There is no such octet: the input ends here.
    Done,
}

/// The state that is carried over a cut.
#[derive(Debug)]
pub(super) struct Scanner {
    mode: Mode,
    line: Line,
    /// What stands before the line (and its dot, if that is all it holds) is CRLF and nothing else.
    exact: bool,
    /// The last octet was a CR, and is not in the text yet.
    held: bool,
    stains: Stains,
    leading_dot: bool,
}

impl Scanner {
    pub(super) fn new(mode: Mode) -> Self {
        // The CRLF of the DATA or BDAT command stands before the first line (RFC 5321 §4.1.1.4).
        Self { mode, line: Line::Start, exact: true, held: false, stains: Stains::default(), leading_dot: false }
    }

    pub(super) fn stains(&self) -> Stains {
        self.stains
    }

    pub(super) fn has_leading_dot(&self) -> bool {
        self.leading_dot
    }

    pub(super) fn ends_with_crlf(&self) -> bool {
        // In binary text `Start` may be the doing of a bare LF or CR, which stayed what it was.
        !self.held && self.line == Line::Start && (self.exact || self.mode != Mode::Binary)
    }

    /// Takes up to `limit` octets: all of them, up to the end of data, or up to what a CR held
    /// back from before turned out to be. Gives the text they hold, and whether the data ended.
    pub(super) fn take(&mut self, input: &mut BytesMut, limit: usize) -> (Bytes, bool) {
        let limit = limit.min(input.len());
        match input.get(..limit).and_then(<[u8]>::first) {
            None => return (Bytes::new(), false),
            Some(&next) if self.held => return self.release(input, next),
            Some(_) => {}
        }
        let mut text = Text { input: &mut *input, from: 0, to: 0, grown: None };
        let mut at = 0;
        loop {
            let edit;
            (at, edit) = self.find(text.input.get(..limit).unwrap_or_default(), at);
            match edit {
                Edit::Drop => text.replace(at, b""),
                Edit::Break => text.replace(at, CRLF),
                Edit::Hold => {
                    text.replace(at, b"");
                    self.held = true;
                    return (text.finish(limit), false);
                }
                Edit::End => {
                    let body = text.finish(at);
                    input.advance(CRLF.len());
                    return (body, true);
                }
                Edit::Done => return (text.finish(limit), false),
            }
            at += 1;
        }
    }

    /// Nothing comes any more: what is left of the text. The message ends here whatever it ends
    /// with, so a lone dot in front counts as if a line end followed it: whoever passes this on by
    /// DATA has to add one (RFC 3030 §2).
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.held).then(|| self.bare_cr());
        self.look_at_line(true);
        rest
    }

    /// What the CR at the end of the octets before was, now that `next` is known.
    fn release(&mut self, input: &mut BytesMut, next: u8) -> (Bytes, bool) {
        self.held = false;
        if next != b'\n' {
            return (self.bare_cr(), false);
        }
        input.advance(1);
        if self.is_end() {
            self.line = Line::Start;
            return (Bytes::new(), true);
        }
        self.line_break(true);
        (Bytes::from_static(CRLF), false)
    }

    fn bare_cr(&mut self) -> Bytes {
        self.stain(|stains| stains.bare_cr = true);
        self.line_break(false);
        Bytes::from_static(if self.mode == Mode::Binary { b"\r" } else { CRLF })
    }

    /// The next octet from `at` on about which something has to be done.
    fn find(&mut self, octets: &[u8], mut at: usize) -> (usize, Edit) {
        loop {
            if self.line == Line::Text {
                at = self.skip(octets, at);
            }
            let Some(&octet) = octets.get(at) else { return (at, Edit::Done) };
            match octet {
                b'\r' => match octets.get(at + 1) {
                    None => return (at, Edit::Hold),
                    Some(b'\n') if self.is_end() => {
                        self.line = Line::Start;
                        return (at, Edit::End);
                    }
                    Some(b'\n') => {
                        self.line_break(true);
                        at += 1;
                    }
                    Some(_) => {
                        self.stain(|stains| stains.bare_cr = true);
                        self.line_break(false);
                        if self.mode != Mode::Binary {
                            return (at, Edit::Break);
                        }
                    }
                },
                b'\n' => {
                    self.stain(|stains| stains.bare_lf = true);
                    self.line_break(false);
                    if self.mode != Mode::Binary {
                        return (at, Edit::Break);
                    }
                }
                0 => {
                    self.stain(|stains| stains.nul = true);
                    self.exact = false;
                    if self.mode != Mode::Binary {
                        return (at, Edit::Drop);
                    }
                }
                b'.' if self.dot() => return (at, Edit::Drop),
                b'.' => {}
                _ => self.line = Line::Text,
            }
            at += 1;
        }
    }

    /// From `at`, which stands inside a line, to where something wants a look. Nearly all of every
    /// message is passed over here.
    fn skip(&mut self, octets: &[u8], from: usize) -> usize {
        let before = |at: usize| at.checked_sub(1).and_then(|at| octets.get(at)).copied();
        let mut at = from + usize::from(octets.get(from).is_some_and(|octet| !matches!(octet, b'\r' | b'\n' | 0)));
        while is_ordinary(octets, at) {
            at += BLOCK;
        }
        // The last block may end with a CR, or with a line; what stands before `from` is neither.
        if before(at) == Some(b'\r') {
            at -= 1;
        }
        if before(at) == Some(b'\n') {
            (self.line, self.exact) = (Line::Start, true);
            return at;
        }
        ordinary(octets, at)
    }

    /// A dot that may be the first octet of its line; whether it was put there by stuffing
    /// (RFC 5321 §4.5.2: taken off in front of anything).
    fn dot(&mut self) -> bool {
        let data = self.mode == Mode::Data;
        let before = self.line;
        self.line = match before {
            Line::Start => Line::Dot,
            Line::Dot => Line::TwoDots,
            Line::TwoDots | Line::Text => Line::Text,
        };
        self.leading_dot |= before == if data { Line::Dot } else { Line::Start };
        data && before == Line::Start
    }

    /// A CRLF here ends the data.
    fn is_end(&self) -> bool {
        self.mode == Mode::Data && self.line == Line::Dot && self.exact
    }

    fn line_break(&mut self, exact: bool) {
        self.look_at_line(exact);
        self.line = Line::Start;
        self.exact = exact;
    }

    /// The line at hand is over; `exact` says that CRLF ends it.
    fn look_at_line(&mut self, exact: bool) {
        let lone_dot = self.line == Line::Dot || (self.line == Line::TwoDots && self.mode == Mode::Data);
        self.stains.look_alike |= lone_dot && !(exact && self.exact);
    }

    fn stain(&mut self, stain: impl FnOnce(&mut Stains)) {
        if self.mode != Mode::Binary {
            stain(&mut self.stains);
        }
    }
}

/// Octets that are looked at together.
const BLOCK: usize = 128;

/// Whether nothing in the block at `at` wants a look: every CR and LF is half of a CRLF, no dot
/// begins a line, and there is no NUL. One pass without a branch, which the compiler makes vectors
/// of: lines cost nothing, however short. A CR that ends the block is not judged. False where
/// there is no whole block with an octet before it.
fn is_ordinary(octets: &[u8], at: usize) -> bool {
    let block = |at| octets.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>);
    let Some((before, block)) = at.checked_sub(1).and_then(block).zip(block(at)) else { return false };
    let odd = |before: u8, octet: u8| (octet == 0) | ((octet == b'\n') != (before == b'\r')) | ((octet == b'.') & (before == b'\n'));
    before.iter().zip(block).fold(0, |dirt, (&before, &octet)| dirt | u8::from(odd(before, octet))) == 0
}

/// From `at`, which stands inside a line, to the next CR, LF or NUL that wants a look: one that is
/// not simply the line end in front of an ordinary line.
fn ordinary(octets: &[u8], mut at: usize) -> usize {
    while let Some(hit) = octets.get(at..).and_then(|rest| memchr3(b'\r', b'\n', 0, rest)) {
        at += hit;
        match octets.get(at..at + 3) {
            Some(&[b'\r', b'\n', next]) if next != b'.' && next != 0 => at += 2,
            _ => return at,
        }
    }
    octets.len()
}

/// The text in the making: in its place in the input as long as it does not grow.
struct Text<'a> {
    input: &'a mut BytesMut,
    /// What stands before this has been dealt with.
    from: usize,
    /// The text reaches up to here, if it has not grown.
    to: usize,
    grown: Option<BytesMut>,
}

impl Text<'_> {
    /// Puts `octets` in the place of the one at `at`.
    fn replace(&mut self, at: usize, octets: &[u8]) {
        if !octets.is_empty() && self.grown.is_none() {
            // Line after line may grow by an octet; lines are seldom shorter than 16.
            let mut grown = BytesMut::with_capacity(self.input.len() + self.input.len() / 16 + octets.len());
            grown.extend_from_slice(self.input.get(..self.to).unwrap_or_default());
            self.grown = Some(grown);
        }
        self.keep(at);
        self.from = at + 1;
        if let Some(grown) = &mut self.grown {
            grown.extend_from_slice(octets);
        }
    }

    /// What stands between the last replacement and `end` is text as it is.
    fn keep(&mut self, end: usize) {
        if let Some(grown) = &mut self.grown {
            grown.extend_from_slice(self.input.get(self.from..end).unwrap_or_default());
        } else if self.from == self.to {
            self.to = end;
        } else if self.from < end && end <= self.input.len() {
            self.input.copy_within(self.from..end, self.to);
            self.to += end - self.from;
        }
    }

    /// The text up to `end`, where the input is cut off.
    fn finish(mut self, end: usize) -> Bytes {
        self.keep(end);
        let mut taken = self.input.split_to(end.min(self.input.len()));
        match self.grown {
            Some(grown) => grown.freeze(),
            None => {
                taken.truncate(self.to);
                taken.freeze()
            }
        }
    }
}
