//! Signatures made by somebody else's program: dkimpy, for DKIM and ARC.

use super::partners;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A key, and the programs that sign with it.
pub struct Signer {
    dir: TempDir,
    public: String,
    dkimsign: PathBuf,
    arcsign: PathBuf,
}

impl Signer {
    /// `None`, with a word, where the programs are missing.
    pub fn new() -> Option<Self> {
        let (openssl, dkimsign, arcsign) = (partners::find("openssl")?, partners::find("dkimsign")?, partners::find("arcsign")?);
        let dir = tempfile::Builder::new().prefix("octroi-signer-").tempdir().unwrap();
        let key = dir.path().join("key.pem");
        let made = partners::run(&openssl, ["genrsa", "-out", key.to_str().unwrap(), "2048"], b"");
        assert!(made.success, "{}", made.text);
        let public = partners::run(&openssl, ["rsa", "-in", key.to_str().unwrap(), "-pubout", "-out", "/dev/stdout"], b"").text;
        let public =
            public.lines().skip_while(|line| !line.starts_with("-----BEGIN")).skip(1).take_while(|line| !line.starts_with('-')).collect();
        Some(Self { dir, public, dkimsign, arcsign })
    }

    /// The record of the key for DNS.
    pub fn record(&self) -> String {
        format!("v=DKIM1; k=rsa; p={}", self.public)
    }

    /// `message` with a signature of `domain`, selector `s`, on top.
    pub fn dkim(&self, domain: &str, message: &[u8]) -> Vec<u8> {
        self.run(&self.dkimsign, &["s", domain], &[], message)
    }

    /// `message` with an ARC set of `domain` on top; `server`: whose Authentication-Results in it say
    /// what was seen.
    pub fn arc(&self, domain: &str, server: &str, message: &[u8]) -> Vec<u8> {
        self.run(&self.arcsign, &["s", domain], &[server], message)
    }

    fn run(&self, program: &Path, before: &[&str], after: &[&str], message: &[u8]) -> Vec<u8> {
        let key = self.dir.path().join("key.pem");
        let args = before.iter().copied().chain([key.to_str().unwrap()]).chain(after.iter().copied());
        let signed = partners::run(program, args, message);
        assert!(signed.success, "{}", signed.text);
        // What the program says of itself stands behind the message.
        let end = memchr::memmem::find(signed.text.as_bytes(), message).unwrap_or_else(|| panic!("{}", signed.text)) + message.len();
        signed.text[..end].into()
    }
}
