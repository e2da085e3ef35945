//! Addresses that stand in no row, and are found all the same.
use crate::storage::StorageError;
use aws_lc_rs::{hmac, rand};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    ops::Range,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

/// Octets of the key.
const KEY: usize = 32;
/// Hexadecimal digits of a hash that rows have: 80 bits, so that no two addresses share one.
const SHOWN: usize = 20;
/// What a hash begins with, which no address does that is found in mail.
const MARK: char = '#';

/// A keyed hash (HMAC-SHA256). Without the key nobody can try addresses out; the key never leaves
/// `state_dir`, and a copy of the journal without it tells nothing.
#[derive(Debug, Clone)]
pub(super) struct Hide(hmac::Key);

impl Hide {
    /// The key at `path`; `None` where there is none. Blocks.
    ///
    /// # Errors
    /// It cannot be read, or is no key.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, StorageError> {
        match fs::read(path) {
            Ok(key) if key.len() == KEY => Ok(Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))),
            Ok(_) => Err(wrong(path, &"is no key of the journal")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(wrong(path, &error)),
        }
    }

    /// The key at `path`, which is made where there is none. Blocks.
    ///
    /// # Errors
    /// As [`open`](Self::open), or it cannot be written.
    pub(super) fn open_or_make(path: &Path) -> Result<Self, StorageError> {
        if let Some(hide) = Self::open(path)? {
            return Ok(hide);
        }
        let mut key = [0; KEY];
        rand::fill(&mut key).map_err(|_| wrong(path, &"no random octets"))?;
        // Whole or not at all: rows hashed with half a key are never found again.
        let directory = path.parent().unwrap_or_else(|| Path::new("."));
        let under_way = path.with_extension("new");
        let made = || {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&under_way)?;
            file.write_all(&key)?;
            file.sync_all()?;
            fs::rename(&under_way, path)?;
            File::open(directory)?.sync_all()
        };
        made().map_err(|error: io::Error| wrong(path, &error))?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// What stands for an address or an account, whatever its case.
    pub(super) fn address(&self, address: &str) -> String {
        self.hash("address", address)
    }

    /// What all addresses of a domain are found by.
    pub(super) fn domain(&self, domain: &str) -> String {
        self.hash("domain", domain)
    }

    fn hash(&self, what: &str, text: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{what}:{}", text.to_lowercase()).as_bytes());
        let digits = tag.as_ref().iter().flat_map(|octet| [octet >> 4, octet & 15]).filter_map(|digit| char::from_digit(digit.into(), 16));
        std::iter::once(MARK).chain(digits.take(SHOWN)).collect()
    }

    /// `text` with a hash in the place of every address in it.
    pub(super) fn scrub(&self, text: &str) -> String {
        let (mut scrubbed, mut at) = (String::with_capacity(text.len()), 0);
        for range in addresses(text) {
            scrubbed.push_str(text.get(at..range.start).unwrap_or_default());
            scrubbed.push_str(&self.address(text.get(range.clone()).unwrap_or_default()));
            at = range.end;
        }
        scrubbed.push_str(text.get(at..).unwrap_or_default());
        scrubbed
    }
}

/// How addresses stand in what leaves the journal: as in its rows.
#[derive(Debug, Clone)]
pub(super) enum Shown {
    Plain,
    Hashed(Arc<Hide>),
    /// They were to be hashed, and there is no key.
    Not,
}

impl Shown {
    /// An address or an account. The empty one (a bounce's) is nobody's.
    pub(super) fn address(&self, address: &str) -> Option<String> {
        match self {
            Self::Hashed(hide) if !address.is_empty() => Some(hide.address(address)),
            Self::Not if !address.is_empty() => None,
            _ => Some(address.to_owned()),
        }
    }

    /// A text in which addresses may stand.
    pub(super) fn text(&self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Hashed(hide) => hide.scrub(text),
            Self::Not => String::new(),
        }
    }
}

fn wrong(path: &Path, why: &dyn std::fmt::Display) -> StorageError {
    StorageError::Failed(format!("{}: {why}", path.display()).into())
}

/// Where addresses stand in a text: what is around a `@`, as far as it could be part of one. Rather
/// too much than too little: whoever hides them must not leave half of one.
pub(super) fn addresses(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('@') {
        let after = found.last().map_or(0, |last| last.end);
        let (Some(before), Some(behind)) = (text.get(after..at), text.get(at + 1..)) else { continue };
        let local = match before.strip_suffix('"') {
            Some(quoted) => quoted.len() - quoted.rfind('"').unwrap_or(quoted.len()) + 1,
            None => before.len() - before.trim_end_matches(is_local).len(),
        };
        let literal = behind.starts_with('[').then(|| behind.find(']')).flatten().map(|end| end + 1);
        let domain = literal.unwrap_or_else(|| {
            let all = behind.find(|c| !is_domain(c)).unwrap_or(behind.len());
            behind.get(..all).map_or(0, |domain| domain.trim_end_matches(['.', '-']).len())
        });
        if local > 0 && domain > 0 {
            found.push(at - local..at + 1 + domain);
        }
    }
    found
}

/// RFC 5321 §4.1.2, RFC 6531 §3.3.
fn is_local(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() && !c.is_whitespace() || "!#$%&'*+-/=?^_`{|}~.".contains(c)
}

fn is_domain(c: char) -> bool {
    c.is_alphanumeric() || !c.is_ascii() && !c.is_whitespace() || matches!(c, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hide() -> Hide {
        Hide(hmac::Key::new(hmac::HMAC_SHA256, &[7; KEY]))
    }

    #[test]
    fn addresses_are_found_in_what_servers_and_people_write() {
        for (text, expected) in [
            ("550 5.1.1 <bob@example.com>: unknown", vec!["bob@example.com"]),
            ("\"Bob, B.\" <bob@example.com>, carol+x@mail.example.org.", vec!["bob@example.com", "carol+x@mail.example.org"]),
            ("<\"b ob\"@example.com> a@[192.0.2.1]", vec!["\"b ob\"@example.com", "a@[192.0.2.1]"]),
            ("jörg@münchen.example", vec!["jörg@münchen.example"]),
            ("a@b@c.example", vec!["a@b"]),
            ("@example.org, x@ , @", vec![]),
        ] {
            let found: Vec<_> = addresses(text).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.key");
        assert!(Hide::open(&path).unwrap().is_none());
        let made = Hide::open_or_make(&path).unwrap();
        let again = Hide::open_or_make(&path).unwrap();
        assert_eq!(made.address("Bob@Example.com"), again.address("bob@example.com"));
        assert_ne!(made.address("bob@example.com"), made.domain("bob@example.com"));
        fs::write(&path, "short").unwrap();
        assert!(Hide::open(&path).is_err() && Hide::open_or_make(&path).is_err());
    }

    #[test]
    fn a_scrubbed_text_says_the_rest() {
        let hidden = hide().address("bob@example.com");
        assert_eq!(hide().scrub("550 <bob@example.com>: no"), format!("550 <{hidden}>: no"));
        assert_eq!(hidden.len(), SHOWN + 1);
    }

    proptest! {
        #[test]
        fn no_address_survives(before in "[ -~]{0,20}", local in "[a-z0-9.+]{1,10}", domain in "[a-z]{1,8}\\.example", after in "[ -~]{0,20}") {
            let text = format!("{before} <{local}@{domain}> {after}");
            let scrubbed = hide().scrub(&text);
            let address = format!("{local}@{domain}");
            prop_assert!(!scrubbed.contains(&address), "{scrubbed}");
        }

        #[test]
        fn any_text_can_be_scrubbed(text in "\\PC{0,80}") {
            hide().scrub(&text);
        }
    }
}
