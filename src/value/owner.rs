//! Whose a file is, for somebody at a shell who may not use it.
use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

/// `error` happened to what is at `path`; where somebody else may use that, with whom.
#[must_use]
pub fn with_owner(path: &Path, error: &io::Error) -> String {
    let text = format!("{}: {error}", path.display());
    if error.kind() != io::ErrorKind::PermissionDenied {
        return text;
    }
    // Of what may not be looked at, the folder that may.
    let owner = path.ancestors().find_map(|path| fs::metadata(path).ok()).map(|found| found.uid());
    match owner {
        Some(owner) if owner != rustix::process::geteuid().as_raw() => format!("{text}: run this as its owner, {}", name(owner)),
        _ => text,
    }
}

/// As the machine's own list has it, else the number.
fn name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.filter_map(|fields| Some(((*fields.first()?).to_owned(), fields.get(2)?.parse::<u32>().ok()?)));
    found.into_iter().find(|(_, own)| *own == uid).map_or_else(|| format!("uid {uid}"), |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_names_where_the_machine_knows_them() {
        assert_eq!(name(0), "root");
        assert_eq!(name(4_000_000_007), "uid 4000000007");
    }

    #[test]
    fn only_who_is_somebody_else_is_told_whose_it_is() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let (own, missing) = (tempfile::tempdir().unwrap(), io::Error::from(io::ErrorKind::NotFound));
        assert!(!with_owner(own.path(), &denied).contains("owner"));
        assert!(!with_owner(Path::new("/nowhere/at/all"), &missing).contains("owner"));
        let told = with_owner(Path::new("/proc/1/nowhere/at/all"), &denied);
        assert_eq!(told.ends_with("run this as its owner, root"), !rustix::process::geteuid().is_root(), "{told}");
    }
}
