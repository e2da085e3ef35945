//! What is kept: the account (its key is the right to our certificates) and the certificate. Whoever
//! is not octroi reads neither.
use super::AcmeError;
use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// Puts `octets` at `path`, all of them or none, on the disk before it returns.
pub(super) fn put(path: &Path, octets: &[u8]) -> Result<(), AcmeError> {
    write(path, octets).map_err(|error| AcmeError::File(path.display().to_string(), error))
}

fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    // For nobody else's eyes from the first octet on.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(octets)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// `None` where there is none.
pub(super) fn get(path: &Path) -> Result<Option<Vec<u8>>, AcmeError> {
    match fs::read(path) {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AcmeError::File(path.display().to_string(), error)),
    }
}
