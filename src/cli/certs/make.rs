//! A certificate authority for one certificate.
use crate::cli::Failure;
use jiff::{Span, Timestamp, civil::Date, tz::Offset};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// What was made.
#[derive(Debug)]
pub(in crate::cli) struct Files {
    pub(in crate::cli) authority: PathBuf,
    pub(in crate::cli) certificate: PathBuf,
    pub(in crate::cli) private_key: PathBuf,
}

/// Makes a certificate for `names` in `directory`; with `force`, over one that is there.
pub(in crate::cli) fn make(directory: &Path, names: &[String], force: bool) -> Result<Files, Failure> {
    let files =
        Files { authority: directory.join("ca.pem"), certificate: directory.join("fullchain.pem"), private_key: directory.join("key.pem") };
    if let Some(there) = [&files.authority, &files.certificate, &files.private_key].into_iter().find(|file| file.exists())
        && !force
    {
        return Err(Failure(format!("{} is there already; --force replaces it", there.display())));
    }
    let today = Offset::UTC.to_datetime(Timestamp::now()).date();
    let authority = CertifiedIssuer::self_signed(authority_parameters(today)?, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = leaf_parameters(names, today)?.signed_by(&key, &authority)?;
    fs::create_dir_all(directory).map_err(|e| Failure::of(directory.display(), e))?;
    write(&files.authority, &authority.pem(), 0o644)?;
    write(&files.certificate, &(certificate.pem() + &authority.pem()), 0o644)?;
    write(&files.private_key, &key.serialize_pem(), 0o600)?;
    Ok(files)
}

fn authority_parameters(today: Date) -> Result<CertificateParams, Failure> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.distinguished_name.push(DnType::CommonName, "octroi development authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    good_for_a_year(&mut parameters, today)?;
    Ok(parameters)
}

fn leaf_parameters(names: &[String], today: Date) -> Result<CertificateParams, Failure> {
    let mut parameters = CertificateParams::new(names).map_err(|e| Failure::of(names.join(", "), e))?;
    if let Some(name) = names.first() {
        parameters.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    good_for_a_year(&mut parameters, today)?;
    Ok(parameters)
}

/// From yesterday, since clocks differ.
fn good_for_a_year(parameters: &mut CertificateParams, today: Date) -> Result<(), Failure> {
    let at = |date: Date| date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs());
    parameters.not_before = at(today.checked_sub(Span::new().days(1))?);
    parameters.not_after = at(today.checked_add(Span::new().days(365))?);
    Ok(())
}

/// Writes a file that has `mode` from its first moment: a key that can be read for an instant has
/// been read.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let wrong = |e| Failure::of(path.display(), e);
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(wrong(e)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn certificates_are_made_once_and_their_key_is_nobody_elses() {
        let directory = tempfile::tempdir().unwrap();
        let certs = directory.path().join("certs");
        let names = ["mx.example.org".to_owned(), "127.0.0.1".to_owned()];
        let files = make(&certs, &names, false).unwrap();
        let key = fs::read(&files.private_key).unwrap();
        assert_eq!(fs::metadata(&files.private_key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make(&certs, &names, false).unwrap_err().0.ends_with("--force replaces it"));
        assert_eq!(fs::read(&files.private_key).unwrap(), key);
        make(&certs, &names, true).unwrap();
        assert_ne!(fs::read(&files.private_key).unwrap(), key);
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(make(directory.path(), &["bücher".to_owned()], false).is_err());
    }
}
