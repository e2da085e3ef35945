//! Checking an archive, with nothing but the public key.
use super::{EvidenceError, MARK, SIGNATURE, statement};
use crate::value::hex;
use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ED25519, UnparsedPublicKey},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{Cursor, Read as _},
};
use zip::ZipArchive;

/// Octets that a file of the archive may unpack to.
const FILE: u64 = 1 << 30;

/// An archive that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub made_at: String,
    pub made_by: String,
    pub host: String,
    pub entries: Vec<String>,
    /// Those that more was done with than the archive has of the audit.
    pub audit_cut: Vec<String>,
    /// Files whose digests were compared.
    pub files: usize,
}

/// Checks that `octets` are an archive that was signed with the other half of `key`, and that all in
/// it is what its manifest says.
///
/// # Errors
/// What does not hold.
pub fn verify(octets: &[u8], key: &[u8; 32]) -> Result<Checked, EvidenceError> {
    let changed = |text: &str| EvidenceError::Changed(text.to_owned());
    let end = octets.len().checked_sub(MARK.len() + SIGNATURE).ok_or_else(|| changed("it is too short"))?;
    let (signed, comment) = octets.split_at_checked(end).ok_or_else(|| changed("it is too short"))?;
    let signature = comment.strip_prefix(MARK.as_bytes()).ok_or_else(|| changed("there is no signature at its end"))?;
    let signature = BASE64_STANDARD.decode(signature).map_err(|_| changed("its signature is none"))?;
    let verified = UnparsedPublicKey::new(&ED25519, key).verify(&statement(signed), &signature);
    verified.map_err(|_| changed("the signature is not of these octets and this key"))?;
    let mut archive = ZipArchive::new(Cursor::new(octets))?;
    let manifest: Value =
        serde_json::from_slice(&read(&mut archive, "manifest.json")?).map_err(|_| changed("its manifest cannot be read"))?;
    let text = |key: &str| manifest.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let listed = manifest.get("files").and_then(Value::as_array).ok_or_else(|| changed("its manifest lists no files"))?;
    let mut names = BTreeSet::from(["manifest.json".to_owned()]);
    for file in listed {
        let name = file.get("name").and_then(Value::as_str).ok_or_else(|| changed("its manifest cannot be read"))?;
        let found = read(&mut archive, name)?;
        let digest = hex(digest(&SHA256, &found).as_ref());
        if file.get("sha256").and_then(Value::as_str) != Some(&digest)
            || file.get("size").and_then(Value::as_u64) != Some(found.len() as u64)
        {
            return Err(EvidenceError::Changed(format!("{name} is not what the manifest says")));
        }
        names.insert(name.to_owned());
    }
    if archive.len() != names.len() || archive.file_names().any(|name| !name.is_ok_and(|name| names.contains(&*name))) {
        return Err(changed("there are files in it that the manifest does not list"));
    }
    let ids = |key: &str| {
        let ids = manifest.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect()
    };
    Ok(Checked {
        made_at: text("made_at"),
        made_by: text("made_by"),
        host: text("host"),
        entries: ids("entries"),
        audit_cut: ids("audit_cut"),
        files: listed.len(),
    })
}

fn read(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Vec<u8>, EvidenceError> {
    let mut file = archive.by_name(name)?;
    let mut octets = Vec::new();
    file.by_ref().take(FILE).read_to_end(&mut octets)?;
    Ok(octets)
}
