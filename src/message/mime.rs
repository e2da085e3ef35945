//! The parsed view. mail-parser is named in this file and nowhere else.

/// What a message is made of. Made once, when a stage first asks.
#[derive(Debug, Clone, Default)]
pub struct MimeView {
    /// Parts, the root and all containers counted.
    pub parts: usize,
}
