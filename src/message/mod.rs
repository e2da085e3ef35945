//! A message: envelope, header block, content. Immutable once spooled.
//!
//! Nothing here names a socket or a clock.

pub mod budget;
mod client;
mod edit;
mod header;
mod mime;
pub mod spool;

pub use client::{Client, TlsFacts};
pub use edit::{Edit, Edits};
pub use header::{Field, HeaderBlock};
pub use mime::MimeView;
pub use spool::{Content, Spool};

use crate::smtp::{Mail, Recipient};
use std::sync::{Arc, OnceLock};

/// Who sends, and to whom; recipients are those the upstream has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub mail: Mail,
    pub recipients: Vec<Recipient>,
}

/// What the stages inspect: byte for byte what the upstream receives, before edits. Clones share.
#[derive(Debug, Clone)]
pub struct Message {
    pub envelope: Arc<Envelope>,
    pub headers: HeaderBlock,
    /// All octets, header block first.
    pub content: Content,
    mime: Arc<OnceLock<MimeView>>,
}

impl Message {
    #[must_use]
    pub fn new(envelope: Arc<Envelope>, headers: HeaderBlock, content: Content) -> Self {
        Self { envelope, headers, content, mime: Arc::default() }
    }
}
