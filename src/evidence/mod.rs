//! Evidence: chosen entries of the quarantine, with what is known of them and what was done about
//! them, as one archive that shows any change to it.
//!
//! ```text
//! octroi-evidence-….zip
//!   README.txt                how to check it, also by hand
//!   manifest.json             who made it, when, where; size and SHA-256 of every file below
//!   entries/ID/message.eml    the octets as the client sent them
//!   entries/ID/entry.json     envelope, client, TLS, findings, stages, what became of it
//!   entries/ID/notes.json     what reviewers wrote down, and releases that were asked for
//!   entries/ID/journal.json   the journal's row of the message
//!   audit.json                who did what with them, each with its hash and the one before; where it
//!                             would be too long the oldest looks are missing, and `audit_cut` in the
//!                             manifest names the entries
//! (the comment of the archive) the signature over all octets before it
//! ```
//!
//! The signature (Ed25519, RFC 8032) covers the archive from its first octet to its comment, which is
//! the last thing in it: whatever is changed, added or cut off is seen. The key is made at first use
//! and stays below `state_dir`; to check an archive takes its public half and nothing else.

mod archive;
mod audited;
mod key;
#[cfg(test)]
mod tests;
mod verify;

pub use archive::Exporter;
pub use key::{SigningKey, read_public};
pub use verify::{Checked, verify};

use crate::quarantine::QuarantineError;
use crate::storage::StorageError;
use std::{io, path::Path};

/// What stands before the signature, in the comment of the archive.
const MARK: &str = "octroi-evidence-1 ed25519 ";
/// A signature in base64.
const SIGNATURE: usize = 88;
/// What is signed begins so, that a signature of ours is one of evidence and of nothing else.
const CONTEXT: &[u8] = b"octroi-evidence-1\n";

/// Why there is no evidence, or none that holds.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("archive: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Key(String),
    #[error("that is more than {} MiB: export fewer entries at once", archive::MOST >> 20)]
    TooLarge,
    /// It was changed, or is not what it says.
    #[error("it does not hold: {0}")]
    Changed(String),
}

impl EvidenceError {
    fn file(path: &Path, error: &io::Error) -> Self {
        Self::Key(crate::value::with_owner(path, error))
    }
}

/// What is signed of these octets.
fn statement(octets: &[u8]) -> Vec<u8> {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
    [CONTEXT, crate::value::hex(digest.as_ref()).as_bytes(), b"\n"].concat()
}
