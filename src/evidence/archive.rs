//! Making an archive.
use super::{
    EvidenceError, MARK, SIGNATURE, SigningKey,
    audited::{self, Audited},
    statement,
};
use crate::audit::{self, Audit};
use crate::journal::{Rows, render};
use crate::message::spool;
use crate::quarantine::{Entry, Note, Quarantine, Request};
use crate::value::hex;
use crate::value::rfc3339;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    io::{Cursor, Write as _},
    path::Path,
    time::SystemTime,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Octets of the messages of one archive, which is made in memory.
pub(super) const MOST: u64 = 256 << 20;

const README: &str = "Evidence from the quarantine of octroi.\n\n\
    With octroi:  octroi evidence verify FILE --key PUBLIC.pem\n\n\
    The public key is not in here on purpose: get it from who made this, by another way\n\
    (octroi evidence key).\n\n\
    By hand: the comment of the archive, its last 114 octets, is \"octroi-evidence-1 ed25519 \" and a\n\
    signature in base64. What is signed is the line \"octroi-evidence-1\" and a line with the SHA-256, in\n\
    hexadecimal, of all octets of the file before that comment:\n\n\
    head -c -114 FILE | sha256sum | cut -d' ' -f1 | sed '1i octroi-evidence-1' > signed\n\
    tail -c 88 FILE | base64 -d > signature\n\
    openssl pkeyutl -verify -pubin -inkey PUBLIC.pem -rawin -in signed -sigfile signature\n\n\
    manifest.json has the size and SHA-256 of every file. The messages are as the client sent them and\n\
    may be dangerous: do not open them.\n";

/// What evidence is made from.
pub struct Exporter<'a> {
    pub quarantine: &'a Quarantine,
    pub audit: &'a Audit,
    /// What happened to the messages, where that is kept; rows of it go by age.
    pub journal: Option<&'a Rows>,
    /// Room to read messages in.
    pub spool: &'a spool::Settings,
    /// Where the key is.
    pub state_dir: &'a Path,
}

struct Archive {
    zip: ZipWriter<Cursor<Vec<u8>>>,
    files: Vec<Value>,
}

impl Archive {
    fn add(&mut self, name: &str, octets: &[u8]) -> Result<(), EvidenceError> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        self.zip.start_file(name, options)?;
        self.zip.write_all(octets)?;
        self.files.push(json!({ "name": name, "size": octets.len(), "sha256": hex(digest(&SHA256, octets).as_ref()) }));
        Ok(())
    }

    fn add_json(&mut self, name: &str, value: &Value) -> Result<(), EvidenceError> {
        let text = serde_json::to_string_pretty(value).map_err(|error| EvidenceError::Key(error.to_string()))?;
        self.add(name, text.as_bytes())
    }
}

impl Exporter<'_> {
    /// A signed archive of `entries`, each once, made by `by` on `host`.
    ///
    /// # Errors
    /// A message is not what was stored, all of them are too large, or there is no key.
    pub async fn archive(&self, entries: &[Entry], by: &str, host: &str) -> Result<Vec<u8>, EvidenceError> {
        let key = SigningKey::open(self.state_dir)?;
        let size: u64 = entries.iter().map(|entry| u64::try_from(entry.size).unwrap_or(0)).sum();
        if size > MOST {
            return Err(EvidenceError::TooLarge);
        }
        let mut archive = Archive { zip: ZipWriter::new(Cursor::new(Vec::new())), files: Vec::new() };
        archive.add("README.txt", README.as_bytes())?;
        let mut known = HashSet::new();
        let entries: Vec<&Entry> = entries.iter().filter(|entry| known.insert(&*entry.id)).collect();
        for &entry in &entries {
            let at = format!("entries/{}", entry.id);
            let message = self.message(entry).await?;
            archive.add(&format!("{at}/message.eml"), &message)?;
            archive.add_json(&format!("{at}/entry.json"), &entry.json())?;
            let (notes, requests) = (self.quarantine.notes(&entry.id).await?, self.quarantine.requests(&entry.id).await?);
            let said = json!({ "notes": notes.iter().map(Note::json).collect::<Vec<_>>(), "requests": requests.iter().map(Request::json).collect::<Vec<_>>() });
            archive.add_json(&format!("{at}/notes.json"), &said)?;
            if let Some(journal) = self.journal
                && let Some(row) = journal.message(&entry.message).await?
            {
                archive.add_json(&format!("{at}/journal.json"), &render::json(&row))?;
            }
        }
        let ids: Vec<_> = entries.iter().map(|entry| &*entry.id).collect();
        let audited = Audited::read(self.audit, &ids, audited::MOST).await?;
        archive.add_json("audit.json", &Value::from_iter(audited.rows.iter().map(record)))?;
        let manifest = json!({
            "format": "octroi-evidence-1",
            "made_at": rfc3339(SystemTime::now()),
            "made_by": by,
            "host": host,
            "octroi": env!("CARGO_PKG_VERSION"),
            "entries": ids,
            "audit_cut": audited.cut,
            "public_key": key.public(),
            "files": archive.files,
        });
        archive.add_json("manifest.json", &manifest)?;
        finish(archive.zip, &key)
    }

    async fn message(&self, entry: &Entry) -> Result<Vec<u8>, EvidenceError> {
        let content = self.quarantine.content(entry, self.spool).await?;
        let mut all = Vec::with_capacity(usize::try_from(content.len()).unwrap_or(0));
        let mut reader = content.reader(0);
        while let Some(piece) = reader.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

/// The archive with its signature in the place that was left for it.
fn finish(mut zip: ZipWriter<Cursor<Vec<u8>>>, key: &SigningKey) -> Result<Vec<u8>, EvidenceError> {
    zip.set_comment(format!("{MARK}{}", "=".repeat(SIGNATURE)))?;
    let mut octets = zip.finish()?.into_inner();
    octets.truncate(octets.len().saturating_sub(MARK.len() + SIGNATURE));
    let signature = BASE64_STANDARD.encode(key.sign(&statement(&octets)));
    octets.extend_from_slice(MARK.as_bytes());
    octets.extend_from_slice(signature.as_bytes());
    Ok(octets)
}

fn record(record: &audit::Record) -> Value {
    json!({
        "sequence": record.sequence,
        "at": rfc3339(record.at),
        "actor": record.actor,
        "client": record.client,
        "action": record.action,
        "object": record.object,
        "detail": serde_json::from_str::<Value>(&record.detail).unwrap_or_default(),
        "previous": record.previous,
        "hash": record.hash,
    })
}
