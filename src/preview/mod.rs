//! What is in a message, for people: harmless to look at, and nothing hidden.
//!
//! Nothing here is asked of the network, and nothing that is shown can ask: text is text, HTML is
//! written anew from a few elements that cannot load, run or lead anywhere ([`html`]), links are
//! broken and stand beside what they were called, pictures are words. Characters that hide or turn
//! text are shown by their number ([`visible`]). All of it is bounded; what is cut off says so.
//!
//! What is shown is what a program that follows the standards shows. Where others would show
//! something else, [`Shown::differing`] says so: they were inspected as well.

mod charset;
pub mod files;
pub mod html;
mod links;
#[cfg(test)]
mod tests;
mod text;

pub use links::{defanged, defanged_host};
pub use text::visible;

use crate::message::{Content, Envelope, HeaderBlock, HeaderEnd, Message, MimeError, Reading};
use crate::smtp::{Mail, ReversePath};
use crate::unpack::Limits;
use std::sync::Arc;

/// Octets of a header section that are looked at.
const HEADERS: usize = 1 << 20;
/// Fields, and characters of one, that are shown.
const FIELDS: usize = 1000;
const FIELD: usize = 10_000;
/// Octets of text, and of HTML, that are shown.
const TEXT: usize = 512 << 10;
/// Parts of the tree that are shown.
const PARTS: usize = 1000;
/// Octets of a page of the source.
pub const SOURCE_PAGE: u64 = 64 << 10;

/// Why nothing can be shown. Texts are for whoever looks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PreviewError {
    #[error("its header section cannot be read: {0}")]
    Headers(Box<str>),
    #[error("it cannot be taken apart: {0}")]
    Structure(#[from] MimeError),
    #[error("it cannot be read: {0}")]
    Io(Box<str>),
}

/// A message that is looked at.
#[derive(Debug)]
pub struct Opened {
    message: Message,
}

/// What stands in the message for people to read.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Shown {
    /// All text parts, as text; of a message that has HTML only, the words of that.
    pub text: String,
    /// The text is what the HTML says: the message has none of its own.
    pub from_html: bool,
    /// Whether there is HTML to be shown.
    pub has_html: bool,
    /// There is more of it.
    pub cut: bool,
    /// Readings of parts that other programs than those that follow the standards have.
    pub differing: usize,
    /// What programs differ in, by name.
    pub anomalies: Vec<&'static str>,
}

/// A part of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Parts around it.
    pub depth: usize,
    pub content_type: String,
    pub name: Option<String>,
    /// Octets, transfer encoding and all.
    pub size: u64,
}

impl Opened {
    /// Opens a message, of which as much is unpacked as `limits` let.
    ///
    /// # Errors
    /// It has no header section that could be read.
    pub async fn new(content: Content, limits: Arc<Limits>) -> Result<Self, PreviewError> {
        let mut end = HeaderEnd::new(HEADERS, content.memory());
        let mut reader = content.reader(0);
        let headers = loop {
            let piece = reader.next().await.map_err(|error| PreviewError::Io(error.to_string().into()))?;
            let Some(piece) = piece else { break end.finish() };
            match end.push(&piece) {
                Ok(Some((block, _))) => break block,
                Ok(None) => {}
                Err(error) => return Err(PreviewError::Headers(error.to_string().into())),
            }
        };
        let envelope = Envelope { mail: Mail::new(ReversePath(None)), recipients: Vec::new() };
        Ok(Self { message: Message::new(envelope.into(), headers, content).with_unpack_limits(limits) })
    }

    /// The header fields in order: name and value, with what is invisible made visible.
    #[must_use]
    pub fn headers(&self) -> Vec<(String, String)> {
        let field = |field: crate::message::Field<'_>| {
            let raw = if field.name.is_empty() { field.raw } else { field.value };
            let value = String::from_utf8_lossy(raw.get(..raw.len().min(FIELD)).unwrap_or_default()).replace("\r\n", "\n");
            (visible(&String::from_utf8_lossy(field.name)), visible(value.trim()))
        };
        self.message.headers.fields().take(FIELDS).map(field).collect()
    }

    /// The header section itself.
    #[must_use]
    pub fn header_block(&self) -> &HeaderBlock {
        &self.message.headers
    }

    /// What there is to read.
    ///
    /// # Errors
    /// It cannot be taken apart within the bounds.
    pub async fn shown(&self) -> Result<Shown, PreviewError> {
        let readings = self.message.readings().await?;
        let mut shown = Shown {
            differing: readings.all().iter().filter(|reading| !reading.plain).count(),
            anomalies: readings.anomalies().iter().map(|found| found.anomaly.as_str()).collect(),
            ..Shown::default()
        };
        let whole = self.octets().await?;
        let body = |kind: &str| readings.all().iter().filter(move |reading| is_body(reading, kind)).collect::<Vec<_>>();
        shown.has_html = !body("text/html").is_empty();
        let mut texts = Vec::new();
        for reading in body("text/plain") {
            texts.push(charset::decode(reading, &whole, TEXT, &mut shown.cut));
        }
        if texts.iter().all(|text| text.trim().is_empty()) && shown.has_html {
            shown.from_html = true;
            for reading in body("text/html") {
                let document = charset::decode(reading, &whole, TEXT, &mut shown.cut);
                texts.push(html::words(&document, &mut shown.cut));
            }
        }
        let all = texts.join("\n\n──────────\n\n");
        shown.cut |= all.len() > TEXT;
        shown.text = links::defanged_text(&visible(text::up_to(&all, TEXT)));
        Ok(shown)
    }

    /// The HTML as a document of its own, for a frame that can do nothing; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be taken apart within the bounds.
    pub async fn html(&self) -> Result<Option<String>, PreviewError> {
        let readings = self.message.readings().await?;
        let whole = self.octets().await?;
        let mut cut = false;
        let parts: Vec<_> = readings.all().iter().filter(|reading| is_body(reading, "text/html")).collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let documents: Vec<_> = parts.into_iter().map(|reading| charset::decode(reading, &whole, TEXT, &mut cut)).collect();
        let cleaned = tokio::task::spawn_blocking(move || {
            let mut cleaned: Vec<_> = documents.iter().map(|document| html::cleaned(document, &mut cut)).collect();
            if cut {
                cleaned.push("<p><span class=\"gone\">…</span></p>".to_owned());
            }
            html::document(&cleaned.join("<hr>"))
        });
        Ok(Some(cleaned.await.map_err(|error| PreviewError::Io(error.to_string().into()))?))
    }

    /// The parts, as a program that follows the standards finds them; a thousand at most.
    ///
    /// # Errors
    /// It cannot be taken apart within the bounds.
    pub async fn tree(&self) -> Result<Vec<Node>, PreviewError> {
        let view = self.message.mime().await?;
        let node = |part: &crate::message::Part| Node {
            depth: part.depth,
            content_type: visible(&part.content_type),
            name: part.file_name.as_deref().map(visible),
            size: part.body.end.saturating_sub(part.body.start),
        };
        Ok(view.parts().iter().take(PARTS).map(node).collect())
    }

    /// Everything attached, and what is inside.
    ///
    /// # Errors
    /// It cannot be taken apart within the bounds.
    pub async fn files(&self) -> Result<files::Listing, PreviewError> {
        Ok(files::Listing::of(self.message.files().await?))
    }

    /// The octets of the file at this place of the listing.
    ///
    /// # Errors
    /// It cannot be taken apart within the bounds.
    pub async fn file(&self, place: usize) -> Result<Option<(String, bytes::Bytes)>, PreviewError> {
        let files = self.message.files().await?;
        Ok(files.all().get(place).map(|file| (file.name().to_owned(), file.octets.clone())))
    }

    /// The source from octet `from` on, as text on which nothing hides; and where the next page begins.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn source(&self, from: u64) -> Result<(String, Option<u64>), PreviewError> {
        let content = &self.message.content;
        let end = from.saturating_add(SOURCE_PAGE).min(content.len());
        let octets = content.slice(from..end).await.map_err(|error| PreviewError::Io(error.to_string().into()))?;
        let text = visible(&String::from_utf8_lossy(&octets).replace("\r\n", "\n"));
        Ok((text, (end < content.len()).then_some(end)))
    }

    async fn octets(&self) -> Result<bytes::Bytes, PreviewError> {
        // Header sections of parts only are looked at in it: what lies beyond tells no charset.
        let most = 8 << 20;
        self.message.content.slice(0..most).await.map_err(|error| PreviewError::Io(error.to_string().into()))
    }
}

/// What is shown, and not saved.
fn is_body(reading: &Reading, kind: &str) -> bool {
    reading.plain && reading.names.is_empty() && &*reading.content_type == kind
}
