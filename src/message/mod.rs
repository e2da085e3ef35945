//! A message: envelope, header block, content. Immutable once spooled.
//!
//! Nothing here names a socket or a clock.

pub mod budget;
mod client;
mod content;
mod draft;
mod edit;
mod field_value;
mod files;
mod header;
mod header_end;
mod mime;
pub mod readings;
pub mod spool;
pub mod words;

pub use client::{Client, TlsFacts};
pub use content::{Content, Reader};
pub use edit::{Edit, Edits, NewField, field_name};
pub use field_value::FieldValue;
pub use files::Files;
pub use header::{Field, Fields, HeaderBlock};
pub use header_end::{HeaderEnd, HeaderError};
pub use mime::{MimeError, MimeView, Part};
pub use readings::{Anomaly, Reading, Readings};
pub use spool::Spool;

use crate::smtp::{Mail, Recipient};
use crate::unpack;
use budget::Share;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use tokio::sync::OnceCell;

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
    mime: Arc<OnceCell<Result<MimeView, MimeError>>>,
    readings: Arc<OnceCell<Result<Readings, MimeError>>>,
    unpack: Arc<unpack::Limits>,
    files: Arc<OnceCell<Result<Files, MimeError>>>,
}

impl Message {
    #[must_use]
    pub fn new(envelope: Arc<Envelope>, headers: HeaderBlock, content: Content) -> Self {
        Self { envelope, headers, content, mime: Arc::default(), readings: Arc::default(), unpack: Arc::default(), files: Arc::default() }
    }

    /// The same message, of which [`files`](Self::files) unpacks as much as `limits` let it.
    #[must_use]
    pub fn with_unpack_limits(mut self, limits: Arc<unpack::Limits>) -> Self {
        self.unpack = limits;
        self
    }

    /// The octet of the content that the body begins at: after the empty line that closes the
    /// header section, or at the end where there is none.
    #[must_use]
    pub fn body_start(&self) -> u64 {
        (self.headers.as_bytes().len() as u64 + 2).min(self.content.len())
    }

    /// The message with `edits` applied, as the stages after an editing one see it. Shares with
    /// this one whatever did not change.
    #[must_use]
    pub fn edited(&self, edits: &Edits) -> Self {
        let mut edited = self.clone();
        if edits.change_envelope() {
            edited.envelope = Arc::new(edits.envelope(&self.envelope));
        }
        let body = edits.body_replacement();
        if edits.change_headers() || body.is_some() {
            edited.begin_with(HeaderBlock::new(edits.apply(&self.headers)), body);
        }
        edited
    }

    /// The message with another header section. Shares with this one whatever did not change.
    #[must_use]
    pub fn with_headers(&self, headers: HeaderBlock) -> Self {
        let mut edited = self.clone();
        edited.begin_with(headers, None);
        edited
    }

    fn begin_with(&mut self, headers: HeaderBlock, body: Option<&Bytes>) {
        let section = headers.as_bytes();
        let mut before = BytesMut::with_capacity(section.len() + 2 + body.map_or(0, Bytes::len));
        before.extend_from_slice(section);
        before.extend_from_slice(b"\r\n");
        before.extend_from_slice(body.map_or(b"", |body| body));
        let from = if body.is_some() { self.content.len() } else { self.body_start() };
        self.content = self.content.splice(before.freeze(), from);
        self.headers = headers;
        self.mime = Arc::default();
        self.readings = Arc::default();
        self.files = Arc::default();
    }

    /// What the message is made of. Parsed once for all stages, when the first one asks.
    ///
    /// # Errors
    /// There was no memory for it, the file could not be read, or the message is more than a
    /// parser should be asked to bear; said to every stage that asks.
    pub async fn mime(&self) -> Result<&MimeView, MimeError> {
        self.mime.get_or_init(|| mime::parse(&self.content)).await.as_ref().map_err(Clone::clone)
    }

    /// Every part decoded, in every way that some program would. Made once for all stages, when the
    /// first one asks.
    ///
    /// # Errors
    /// As [`mime`](Self::mime).
    pub async fn readings(&self) -> Result<&Readings, MimeError> {
        self.readings.get_or_init(|| readings::read(&self.content)).await.as_ref().map_err(Clone::clone)
    }

    /// The whole message in one piece of memory, counted on the budget where it is not in one already.
    ///
    /// # Errors
    /// There was no memory for it, or the file could not be read.
    pub async fn whole(&self) -> Result<Whole, MimeError> {
        let mut share = self.content.memory().share();
        let octets = mime::whole(&self.content, &mut share).await?;
        Ok(Whole { octets, _share: share })
    }

    /// Octets of memory that are held, beside the content, by what somebody has asked for already.
    #[must_use]
    pub fn held(&self) -> u64 {
        let readings = self.readings.get().and_then(|readings| readings.as_ref().ok()).map_or(0, Readings::held);
        readings.saturating_add(self.found_files().map_or(0, Files::held))
    }

    /// The files, where somebody has [asked](Self::files) for them already.
    #[must_use]
    pub fn found_files(&self) -> Option<&Files> {
        self.files.get()?.as_ref().ok()
    }

    /// All files: every reading of every part, and what is inside of them. Unpacked once for all
    /// stages, when the first one asks.
    ///
    /// # Errors
    /// As [`mime`](Self::mime).
    pub async fn files(&self) -> Result<&Files, MimeError> {
        let find = || async { files::find(self.readings().await?, Arc::clone(&self.unpack), self.content.memory()).await };
        self.files.get_or_init(find).await.as_ref().map_err(Clone::clone)
    }
}

/// A message in one piece, and what it takes of the memory budget.
#[derive(Debug)]
pub struct Whole {
    octets: Bytes,
    _share: Share,
}

impl Whole {
    #[must_use]
    pub fn octets(&self) -> &Bytes {
        &self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::ReversePath;

    fn message(headers: &str, rest: &str) -> Message {
        let envelope = Envelope { mail: Mail::new(ReversePath(None)), recipients: vec![] };
        let content = Content::from_bytes(format!("{headers}{rest}"));
        Message::new(envelope.into(), HeaderBlock::new(headers.to_owned().into()), content)
    }
    async fn octets(message: &Message) -> Bytes {
        message.content.slice(0..u64::MAX).await.unwrap()
    }
    fn add() -> Edit {
        Edit::AddHeader { name: "X".into(), value: "y".into() }
    }

    #[tokio::test]
    async fn an_edited_message_reads_as_it_will_be_sent() {
        let original = message("A: b\r\n", "\r\nbody\r\n");
        let edited = original.edited(&Edits(vec![add()]));
        assert_eq!(octets(&edited).await, "A: b\r\nX: y\r\n\r\nbody\r\n");
        assert_eq!(edited.headers.as_bytes(), "A: b\r\nX: y\r\n");
        let replaced = edited.edited(&Edits(vec![Edit::ReplaceBody("new\r\n".into())]));
        assert_eq!(octets(&replaced).await, "A: b\r\nX: y\r\n\r\nnew\r\n");
        assert_eq!(replaced.content.slice(replaced.body_start()..u64::MAX).await.unwrap(), "new\r\n");
        assert_eq!(octets(&original).await, "A: b\r\n\r\nbody\r\n", "the original stays");
    }

    #[tokio::test]
    async fn another_header_section_stands_before_the_same_body() {
        let original = message("A: b\r\nC: d\r\n", "\r\nbody\r\n");
        let other = original.with_headers(HeaderBlock::new("C: d\r\n".into()));
        assert_eq!(octets(&other).await, "C: d\r\n\r\nbody\r\n");
        assert_eq!(other.content.slice(other.body_start()..u64::MAX).await.unwrap(), "body\r\n");
    }

    #[tokio::test]
    async fn a_message_that_is_all_header_can_be_edited() {
        let original = message("A: b\r\n", "");
        assert_eq!(original.body_start(), 6);
        assert_eq!(octets(&original.edited(&Edits(vec![add()]))).await, "A: b\r\nX: y\r\n\r\n");
    }

    #[tokio::test]
    async fn an_envelope_edit_leaves_the_content_alone() {
        let original = message("A: b\r\n", "\r\nbody\r\n");
        let edited = original.edited(&Edits(vec![Edit::Sender(Mail::new(ReversePath(None)).into())]));
        assert_eq!(edited.content.in_memory().unwrap()[0].as_ptr(), original.content.in_memory().unwrap()[0].as_ptr());
    }
}
