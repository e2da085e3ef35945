//! What the programs that read mail could make of a message: the union of all readings.
use super::{Content, MimeError, MimeView};
use crate::message::budget::Share;
use bytes::Bytes;

/// One leaf part as one kind of reader decodes it. Parts that all readers agree on have one.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Lower case, without parameters, as this reader takes it.
    pub content_type: Box<str>,
    /// Every file name that some reader would show or save it under; none where nobody would.
    pub names: Vec<Box<str>>,
    /// Decoded from its transfer encoding; not from its charset.
    pub octets: Bytes,
}

/// All readings of a message, and what readers could differ in. Made once, when a stage first asks.
#[derive(Debug)]
pub struct Readings {
    readings: Vec<Reading>,
    _share: Share,
}

impl Readings {
    /// In the order of the message.
    #[must_use]
    pub fn all(&self) -> &[Reading] {
        &self.readings
    }
}

pub(super) async fn read(content: &Content, view: &MimeView) -> Result<Readings, MimeError> {
    let mut share = content.memory().share();
    let mut readings = Vec::new();
    for part in view.parts().iter().filter(|part| !part.content_type.starts_with("multipart/")) {
        if !share.grow(part.body.end - part.body.start) {
            return Err(MimeError::Full);
        }
        let octets = content.slice(part.body.clone()).await.map_err(|error| MimeError::Io(error.to_string().into()))?;
        readings.push(Reading { content_type: part.content_type.clone(), names: part.file_name.iter().cloned().collect(), octets });
    }
    Ok(Readings { readings, _share: share })
}
