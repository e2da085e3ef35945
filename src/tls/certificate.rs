//! Certificates and their keys: how they are read, and whether the two belong together.
use crate::value::settings::{Placed, Section};
use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    sign::{CertifiedKey, SigningKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// A certificate chain and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    pub private_key: PathBuf,
}

impl CertificateFiles {
    /// Also opens them: a certificate that cannot be read, or that its key does not fit, is a
    /// mistake with a place like any other. Each is looked at even where the other is missing.
    pub(crate) fn read(section: &mut Section<'_>) -> Option<Self> {
        let certificate = section.require_placed::<PathBuf>("certificate");
        let private_key = section.require_placed::<PathBuf>("private_key");
        let mut whole = true;
        let mut look = |key, placed: &Option<Placed<PathBuf>>, look_at: fn(&Path) -> Result<(), FileError>| {
            if let Some(Placed { value, span }) = placed
                && let Err(error) = look_at(value)
            {
                whole = false;
                section.complain_at(span.clone(), format!("`{}`: {error}", section.path(key)));
            }
        };
        look("certificate", &certificate, |path| read_chain(path).map(drop));
        look("private_key", &private_key, |path| read_key(path).map(drop));
        let (certificate, private_key) = (certificate?, private_key?);
        let files = Self { certificate: certificate.value, private_key: private_key.value };
        // What is left is that they do not belong together, which the key is told.
        if whole && let Err(error) = Certificate::load(&files) {
            section.complain_at(private_key.span, format!("`{}`: {error}", section.path("private_key")));
        }
        Some(files)
    }
}

/// What is wrong with a file; the administrator's to mend.
#[derive(Debug, thiserror::Error)]
#[error("{}: {text}", path.display())]
pub struct FileError {
    path: PathBuf,
    text: String,
}

fn wrong(path: &Path, text: impl ToString) -> FileError {
    FileError { path: path.to_owned(), text: text.to_string() }
}

/// One certificate as it is served.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub files: CertificateFiles,
    /// The names it is for, lower case; a wildcard as `*.example.org`.
    pub names: Vec<String>,
    pub issuer: String,
    /// Seconds since 1970.
    pub not_after: i64,
    key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads a chain and its key, and checks that they belong together.
    ///
    /// # Errors
    /// The file and what is wrong with it.
    pub fn load(files: &CertificateFiles) -> Result<Self, FileError> {
        let chain = read_chain(&files.certificate)?;
        let (names, issuer, not_after) = {
            let leaf = leaf(&files.certificate, &chain)?;
            (names_of(&leaf), leaf.issuer().to_string(), leaf.validity().not_after.timestamp())
        };
        let key = CertifiedKey::new(chain, read_key(&files.private_key)?);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(wrong(&files.private_key, format!("not the key of {}", files.certificate.display()))),
        }
        Ok(Self { files: files.clone(), names, issuer, not_after, key: Arc::new(key) })
    }

    /// What handshakes need of it.
    #[must_use]
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

/// What handshakes need of a certificate that was made here, and is in no file.
///
/// # Errors
/// TLS has no such keys.
pub fn made_here(certificate: CertificateDer<'static>, key: &PrivateKeyDer<'_>) -> Result<Arc<CertifiedKey>, rustls::Error> {
    Ok(Arc::new(CertifiedKey::new(vec![certificate], aws_lc_rs::sign::any_supported_type(key)?)))
}

/// A chain whose first certificate makes sense.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let chain = read_certificates(path)?;
    leaf(path, &chain)?;
    Ok(chain)
}

fn leaf<'a>(path: &Path, chain: &'a [CertificateDer<'_>]) -> Result<X509Certificate<'a>, FileError> {
    let leaf = chain.first().ok_or_else(|| wrong(path, "no certificate in it"))?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|e| wrong(path, e))?;
    Ok(leaf)
}

/// The authorities of a PEM file.
///
/// # Errors
/// The file, and what is wrong with it.
pub fn read_roots(path: &Path) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|e| wrong(path, e))?;
    }
    if roots.is_empty() {
        return Err(wrong(path, "no certificate in it"));
    }
    Ok(roots)
}

/// A private key of a kind that TLS has.
fn read_key(path: &Path) -> Result<Arc<dyn SigningKey>, FileError> {
    let key = PrivateKeyDer::from_pem_file(path).map_err(|e| wrong(path, pem_error(&e, "private key")))?;
    aws_lc_rs::sign::any_supported_type(&key).map_err(|e| wrong(path, e))
}

/// All certificates of a PEM file.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| wrong(path, pem_error(&e, "certificate")))?.collect();
    chain.map_err(|e| wrong(path, pem_error(&e, "certificate")))
}

fn pem_error(error: &rustls_pki_types::pem::Error, wanted: &str) -> String {
    match error {
        rustls_pki_types::pem::Error::Io(e) => format!("cannot be read: {e}"),
        rustls_pki_types::pem::Error::NoItemsFound => format!("no {wanted} in it"),
        other => other.to_string(),
    }
}

/// Subject alternative names; the common name only where there are none (RFC 6125 §6.4.4).
fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        names.extend(certificate.subject().iter_common_name().filter_map(|cn| cn.as_str().ok()).map(str::to_ascii_lowercase));
    }
    names
}
