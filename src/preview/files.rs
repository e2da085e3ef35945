//! What is attached, and how it leaves: in an archive with a password, so that nothing opens it by
//! accident and no scanner on the way takes it for an infection of whoever looks into it.
use super::visible;
use crate::message::Files;
use crate::value::hex;
use std::io::{Cursor, Write as _};
use zip::{AesMode, CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Files that are listed.
const LISTED: usize = 1000;
/// What people who handle malware use.
pub const PASSWORD: &str = "infected";

/// A file of a message: a part, or something inside one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// By which it is downloaded.
    pub place: usize,
    /// Archives and documents around it.
    pub depth: usize,
    pub name: String,
    /// Other names that some program would give it.
    pub also: Vec<String>,
    /// What it is, by its content; and what class of things that is.
    pub kind: &'static str,
    pub class: &'static str,
    /// What it claims to be.
    pub declared: String,
    pub size: u64,
    pub sha256: Option<String>,
    /// Its traits, such as `macro`, `encrypted`.
    pub flags: Vec<&'static str>,
    /// It is shown as text of the message, not as a file.
    pub is_body: bool,
}

/// All files of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub files: Vec<Attached>,
    /// More than are listed.
    pub more: usize,
    /// The limit of unpacking that was reached: what is beyond was not looked at.
    pub limit: Option<&'static str>,
}

impl Attached {
    /// It is there to be run, or to lead to what is.
    #[must_use]
    pub fn is_dangerous(&self) -> bool {
        matches!(self.class, "executable" | "script" | "shortcut" | "disk-image" | "onenote" | "help")
    }
}

impl Listing {
    pub(super) fn of(found: &Files) -> Self {
        let attached = |(place, file): (usize, &crate::unpack::File)| Attached {
            place,
            depth: file.depth,
            name: visible(file.name()),
            also: file.names.iter().skip(1).map(|name| visible(name)).collect(),
            kind: file.kind.name(),
            class: file.kind.class().name(),
            declared: visible(&file.declared),
            size: file.size,
            sha256: file.sha256.map(|digest| hex(&digest)),
            flags: file.flags.names().collect(),
            is_body: file.is_body,
        };
        // The parts of a document are nobody's to save; the text of the message is shown elsewhere.
        let (bodies, files): (Vec<_>, Vec<_>) =
            found.all().iter().enumerate().filter(|(_, file)| !file.is_part).partition(|(_, file)| file.is_body);
        let count = bodies.len() + files.len();
        Self {
            files: files.into_iter().chain(bodies).take(LISTED).map(attached).collect(),
            more: count.saturating_sub(LISTED),
            limit: found.exceeded().map(crate::unpack::Limit::as_str),
        }
    }
}

/// An archive of one file, AES-256, that opens with [`PASSWORD`]. Computes: for a thread that may.
///
/// # Errors
/// It cannot be written.
pub fn encrypted(name: &str, octets: &[u8]) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).with_aes_encryption(AesMode::Aes256, PASSWORD);
    writer.start_file(safe(name), options)?;
    writer.write_all(octets)?;
    Ok(writer.finish()?.into_inner())
}

/// A name that is one on any system, leads nowhere, and starts nothing.
fn safe(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ') { c } else { '_' };
    let name: String = name.chars().map(plain).take(100).collect();
    let name = name.trim_matches(['.', ' ']);
    if name.is_empty() { "attachment.bin".to_owned() } else { format!("{name}.bin") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn it_opens_with_the_password_and_not_without() {
        let archive = encrypted("../../a\u{202e}b.exe", b"MZ and more").unwrap();
        assert!(!archive.windows(2).any(|two| two == b"MZ"));
        let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
        assert!(archive.by_index(0).is_err());
        let mut file = archive.by_index_decrypt(0, PASSWORD.as_bytes()).unwrap();
        assert_eq!(file.name().unwrap(), "_.._a_b.exe.bin");
        let mut read = String::new();
        file.read_to_string(&mut read).unwrap();
        assert_eq!(read, "MZ and more");
    }
}
