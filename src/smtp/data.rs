//! Message octets: the end of data is `CRLF . CRLF` and nothing else (RFC 5321 §4.1.1.4).
//!
//! The one place that decides where a message ends. A look-alike of the end of data never ends
//! one; the message that carries it is read to its real end, so that the dialogue stays in step,
//! and then refused.
use bytes::{Bytes, BytesMut};

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

/// What [`Decoder::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Message octets: dot-stuffing removed, line ends canonical.
    Body(Bytes),
    /// The end of data (or of the last chunk); what is left in the input is the next command.
    End,
    /// Not decidable yet.
    More,
}

/// Takes DATA apart.
#[derive(Debug, Default)]
pub struct Decoder {
    stains: Stains,
}

impl Decoder {
    #[must_use]
    pub fn new(_policy: BareNewline) -> Self {
        Self::default()
    }
    /// Takes what it can from `input`.
    pub fn next(&mut self, _input: &mut BytesMut) -> Piece {
        Piece::More
    }
    #[must_use]
    pub fn stains(&self) -> Stains {
        self.stains
    }
    /// Whether a line of the message begins with a dot, and DATA towards the upstream has to stuff.
    #[must_use]
    pub fn has_leading_dot(&self) -> bool {
        false
    }
}
