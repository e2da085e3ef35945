//! Message octets: the end of data is `CRLF . CRLF` and nothing else (RFC 5321 §4.1.1.4).
//!
//! The one place that decides where a message ends. A look-alike of the end of data never ends
//! one; the message that carries it is read to its real end, so that the dialogue stays in step,
//! and then refused.
//!
//! What a message is, whichever way it came: lines that end with CRLF. A bare LF or CR counts as a
//! line end in the text we hand on (and is a [stain](Stains)), NUL counts as nothing. So there is
//! one reading of it, ours, and no other server finds another in what it gets from us: neither a
//! bare CR or LF nor a NUL is left in it, and a line that begins with a dot is stuffed anew.
//!
//! | | DATA ([`Decoder`]) | BDAT ([`ChunkDecoder`]) | BDAT, BINARYMIME |
//! | --- | --- | --- | --- |
//! | ends by | `CRLF . CRLF` | count | count |
//! | dot in front of a line | taken off | stays | stays |
//! | bare LF, bare CR | become CRLF, stain | become CRLF, stain | stay |
//! | NUL | goes, stain | goes, stain | stays |
//! | look-alike | stain | stain | stain |

mod chunk;
#[cfg(test)]
mod reference;
mod scan;
mod stuffing;
#[cfg(test)]
mod tests;

use super::Refusal;
use bytes::{Bytes, BytesMut};
use scan::{Mode, Scanner};

pub use chunk::ChunkDecoder;
pub use stuffing::Stuffer;

/// What to do with a LF that no CR precedes, where it is no look-alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BareNewline {
    /// It becomes CRLF.
    #[default]
    Normalize,
    /// The message is refused.
    Reject,
}

/// What stands in a message that has no business there. The message is refused for any of them
/// but an innocent bare LF under [`BareNewline::Normalize`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stains {
    /// A sequence that another server could take for the end of data: an attack.
    pub look_alike: bool,
    pub bare_lf: bool,
    pub bare_cr: bool,
    pub nul: bool,
}

impl Stains {
    /// Why the message must not pass; `None` where it may.
    #[must_use]
    pub fn refusal(self, policy: BareNewline) -> Option<Refusal> {
        let why = match self {
            Self { look_alike: true, .. } => "the message holds what another server could take for its end",
            Self { nul: true, .. } => "the message holds a NUL",
            Self { bare_cr: true, .. } => "the message holds a CR without LF",
            Self { bare_lf: true, .. } if policy == BareNewline::Reject => "the message holds a LF without CR",
            _ => return None,
        };
        Some(Refusal::permanent(50, "5.2", why))
    }
}

/// What [`Decoder::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Message octets: dot-stuffing removed, line ends canonical. Never empty.
    Body(Bytes),
    /// The end of data; what is left in the input is the next command.
    End,
    /// All of the input is taken, and the end was not in it.
    More,
}

/// Takes DATA apart.
#[derive(Debug)]
pub struct Decoder {
    scanner: Scanner,
    /// The end has been read, and is said by the next call.
    ended: bool,
}

impl Decoder {
    /// A decoder for what follows the `354`. The text it gives is the same under every
    /// [policy](BareNewline), which decides only what becomes of its [stains](Self::stains).
    #[must_use]
    pub fn new() -> Self {
        Self { scanner: Scanner::new(Mode::Data), ended: false }
    }
    /// Takes what it can from `input`: in general all of it, as one [`Piece::Body`], which is the
    /// input itself and not a copy unless a bare LF or CR has to grow. To be called until it
    /// gives [`Piece::More`] or [`Piece::End`].
    pub fn next(&mut self, input: &mut BytesMut) -> Piece {
        if !self.ended {
            let limit = input.len();
            let (body, ended) = self.scanner.take(input, limit);
            self.ended = ended;
            if !body.is_empty() {
                return Piece::Body(body);
            }
        }
        if self.ended { Piece::End } else { Piece::More }
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
    /// Whether the text so far ends with a line end, or is empty. At [`Piece::End`] always.
    #[must_use]
    pub fn ends_with_crlf(&self) -> bool {
        self.scanner.ends_with_crlf()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}
