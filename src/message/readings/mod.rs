//! What the programs that read mail could make of a message: the union of all readings.
//!
//! Where a message is well-formed, all programs read the same. Where it is not, the field has no
//! one answer: of two boundaries some take the first and some the last, at padding inside base64
//! some stop and some go on (CVE-2024-28054 is what becomes of a filter that knows one answer only).
//! So this reader does not choose. At every point at which programs are known to part it follows
//! each way, and notes the [`Anomaly`]; a payload is then found in whichever reading a victim's
//! program would choose.
//!
//! The walk is iterative, visits no stretch of octets twice in the same role, and is bounded in
//! levels, parts, readings, memory (the content's budget) and effort, which grows with the size of
//! the message alone. Beyond the bounds there are no readings, but an error.
//!
//! | file | knows |
//! | --- | --- |
//! | `section` | where a header section ends |
//! | `parameters`, `names`, `facts` | what its fields say |
//! | `delimiters` | where a multipart is cut |
//! | `base64`, `quoted`, `embedded` | transfer encodings, and files in text |
//! | `undo`, `walk`, `kept` | how these make readings |
use super::{
    Content, MimeError,
    budget::{Budget, Share},
    mime::{INLINE, caught, whole},
};
use bytes::Bytes;
use std::ops::Range;
use tokio::task::spawn_blocking;

mod anomaly;
mod base64;
mod delimiters;
mod embedded;
mod facts;
mod kept;
mod names;
mod parameters;
mod quoted;
mod section;
mod undo;
mod walk;

#[cfg(test)]
mod shapes;
#[cfg(test)]
mod tests;

pub use anomaly::{Anomaly, Found};

/// One leaf part as one kind of reader decodes it. Parts that all readers agree on have one.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Lower case, without parameters, as this reader takes it.
    pub content_type: Box<str>,
    /// Every file name that some reader would show or save it under; none where nobody would.
    pub names: Vec<Box<str>>,
    /// Decoded from its transfer encoding; not from its charset.
    pub octets: Bytes,
    /// It is what a reader gets that follows the standards; others may get something else.
    pub plain: bool,
    /// Where in the message the parts stand that it is of, header section and body, without the
    /// delimiters around them; `None` where one of them cannot be cut out there: it is in a message
    /// within, under a signature, or in no part at all.
    pub places: Option<Vec<Range<usize>>>,
}

/// All readings of a message, and what readers could differ in. Made once, when a stage first asks.
#[derive(Debug)]
pub struct Readings {
    readings: Vec<Reading>,
    anomalies: Vec<Found>,
    parts: u64,
    share: Share,
}

impl Readings {
    /// In the order of the message; at least one. No two have the same type, names and octets.
    #[must_use]
    pub fn all(&self) -> &[Reading] {
        &self.readings
    }
    /// What readers could differ in, each with the first place it was met, in the order of those.
    #[must_use]
    pub fn anomalies(&self) -> &[Found] {
        &self.anomalies
    }
    /// How many parts a reader finds that follows the standards; the message itself, containers and
    /// nested messages counted.
    #[must_use]
    pub fn parts(&self) -> u64 {
        self.parts
    }
    /// Octets of the memory budget that are theirs.
    pub(super) fn held(&self) -> u64 {
        self.share.octets()
    }
}

pub(super) async fn read(content: &Content) -> Result<Readings, MimeError> {
    let memory = content.memory().clone();
    let mut share = memory.share();
    let octets = whole(content, &mut share).await?;
    if octets.len() <= INLINE {
        return guarded(octets, share);
    }
    spawn_blocking(move || guarded(octets, share)).await.unwrap_or_else(|error| Err(MimeError::Panicked(error.to_string().into())))
}

fn guarded(octets: Bytes, share: Share) -> Result<Readings, MimeError> {
    caught(|| walk::Walk::new(octets, share).readings())?
}

/// The readings of `octets`, for tools that have no [`Message`](super::Message).
///
/// # Errors
/// As [`Message::readings`](super::Message::readings).
pub fn of(octets: impl Into<Bytes>, memory: &Budget) -> Result<Readings, MimeError> {
    guarded(octets.into(), memory.share())
}
