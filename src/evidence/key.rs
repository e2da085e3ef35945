//! The key that evidence is signed with.
use super::EvidenceError;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// Below `state_dir`.
const FILE: &str = "evidence.key";
/// What stands before the 32 octets of a public key (SubjectPublicKeyInfo, RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// The private key of this installation.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The one below `state_dir`, which is made where there is none; readable by its owner alone.
    ///
    /// # Errors
    /// It cannot be read or made.
    pub fn open(state_dir: &Path) -> Result<Self, EvidenceError> {
        let path = state_dir.join(FILE);
        let read = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(state_dir, &path)?,
            other => other.map_err(|error| EvidenceError::file(&path, &error))?,
        };
        let pair = Ed25519KeyPair::from_pkcs8(&read).map_err(|error| EvidenceError::Key(format!("{}: {error}", path.display())))?;
        Ok(Self(pair))
    }

    fn make(state_dir: &Path, path: &Path) -> Result<Vec<u8>, EvidenceError> {
        let named = |error: &io::Error| EvidenceError::file(path, error);
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| EvidenceError::Key("no randomness".into()))?;
        if !state_dir.exists() {
            return Err(EvidenceError::Key(format!("{} is not there: octroi has not run with this `state_dir` yet", state_dir.display())));
        }
        // Without the name that was tried.
        let mut file = tempfile::NamedTempFile::new_in(state_dir).map_err(|error| named(&error.kind().into()))?;
        file.as_file().set_permissions(Permissions::from_mode(0o600)).map_err(|error| named(&error))?;
        crate::storage::adopt(file.path()).map_err(|error| named(&error))?;
        file.write_all(made.as_ref()).map_err(|error| named(&error))?;
        file.as_file().sync_all().map_err(|error| named(&error))?;
        match file.persist_noclobber(path) {
            // Another was there at the same moment: his is the one.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(named(&error.error)),
            Ok(_) => File::open(state_dir).and_then(|directory| directory.sync_all()).map_err(|error| named(&error))?,
        }
        fs::read(path).map_err(|error| named(&error))
    }

    /// Its public half, PEM, as `openssl` reads it too.
    #[must_use]
    pub fn public(&self) -> String {
        let der = [&SPKI[..], self.0.public_key().as_ref()].concat();
        format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(der))
    }

    pub(super) fn sign(&self, octets: &[u8]) -> Vec<u8> {
        self.0.sign(octets).as_ref().to_vec()
    }
}

/// The 32 octets of a public key in PEM.
///
/// # Errors
/// It is none of Ed25519.
pub fn read_public(pem: &str) -> Result<[u8; 32], EvidenceError> {
    let none = || EvidenceError::Key("that is no public key of Ed25519 in PEM; `octroi evidence key` prints one".into());
    let inside = pem.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(inside, _)| inside).ok_or_else(none)?;
    let dense: String = inside.chars().filter(|c| !c.is_whitespace()).collect();
    let der = BASE64_STANDARD.decode(dense).map_err(|_| none())?;
    der.strip_prefix(&SPKI).and_then(|key| key.try_into().ok()).ok_or_else(none)
}
