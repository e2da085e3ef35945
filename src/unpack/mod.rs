//! What is inside: from the parts of a message to the tree of all files in them.
//!
//! ```text
//! inputs ─▶ detect (what is it, by content) ─▶ file ─▶ open, where it is a container ─▶ its files ─▶ detect …
//! ```
//!
//! Everything is bounded by [`Limits`], over all inputs together: what a bomb of any kind gets is
//! an answer ([`Unpacked::exceeded`]), never the time or the memory it asks for. What cannot be
//! looked into (encrypted, damaged, a format known by its signature only) is flagged, never skipped
//! in silence. The archive crates have panicked on hostile input before; that costs the one archive
//! its contents.
//!
//! Nothing here is asynchronous: what computes for milliseconds belongs on a thread that may.
mod account;
mod detect;
mod file;
mod kind;
mod open;
mod walk;

pub use account::{Limit, Limits, NoMemory};
pub use file::{File, Flag, Flags};
pub use kind::{Class, Kind};

use bytes::Bytes;

/// What to look into.
#[derive(Debug, Clone)]
pub struct Input {
    /// Every name that some reader would give it.
    pub names: Vec<Box<str>>,
    /// The media type it claims, lower case, without parameters; empty where it claims none.
    pub declared: Box<str>,
    /// It is shown as text, not saved as a file: what looks like a script there is prose.
    pub is_body: bool,
    pub octets: Bytes,
}

/// All files, parents before their children.
#[derive(Debug, Default)]
pub struct Unpacked {
    files: Vec<File>,
    exceeded: Option<Limit>,
}

impl Unpacked {
    #[must_use]
    pub fn all(&self) -> &[File] {
        &self.files
    }

    /// The first limit that ended the search, or a branch of it; what is beyond was not looked at.
    #[must_use]
    pub fn exceeded(&self) -> Option<Limit> {
        self.exceeded
    }

    /// The names on the way to `file`, outermost first: `["invoice.zip", "a.js"]`. A file without a
    /// name gives its kind.
    #[must_use]
    pub fn path<'a>(&'a self, file: &'a File) -> Vec<&'a str> {
        let mut path: Vec<_> = std::iter::successors(Some(file), |file| self.parent(file)).map(File::name).collect();
        path.reverse();
        path
    }

    /// The file that `file` was found in.
    #[must_use]
    pub fn parent(&self, file: &File) -> Option<&File> {
        file.parent.and_then(|parent| self.files.get(parent))
    }
}

/// Whether there is anything to open: without, [`unpack`] takes microseconds.
#[must_use]
pub fn is_container(octets: &Bytes) -> bool {
    // All that is opened has a signature, at its start or at its end.
    open::is_container(detect::by_signature(octets).unwrap_or(Kind::Unknown), octets)
}

/// Looks into everything. `reserve` is asked before memory is taken, in octets; what it grants is
/// held until the caller drops the result.
///
/// # Errors
/// `reserve` said no.
pub fn unpack(
    inputs: impl IntoIterator<Item = Input>,
    limits: &Limits,
    reserve: &mut dyn FnMut(u64) -> bool,
) -> Result<Unpacked, NoMemory> {
    let mut walk = walk::Walk::new(limits, reserve);
    for input in inputs {
        walk.root(input)?;
    }
    Ok(walk.finish())
}

#[cfg(test)]
mod tests;
