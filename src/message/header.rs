//! The header section, octet for octet (RFC 5322 §2.2).
use bytes::Bytes;

/// The header section as it came in: every field with its line end, without the empty line that
/// closes it. Clones share.
#[derive(Debug, Clone, Default)]
pub struct HeaderBlock {
    octets: Bytes,
}

/// One field, folded lines and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// As written, without the colon; empty where the line is no field at all.
    pub name: &'a [u8],
    /// What follows the colon, folding and last line end still in it.
    pub value: &'a [u8],
    /// All of it.
    pub raw: &'a [u8],
}

impl HeaderBlock {
    /// `octets`: whole lines with CRLF, without the closing empty line.
    #[must_use]
    pub fn new(octets: Bytes) -> Self {
        Self { octets }
    }
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.octets
    }
}
