//! Certificates and their keys: how they are read, and whether the two belong together.
use crate::value::settings::{Placed, Section};
use jiff::Timestamp;
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
    x509::X509Version,
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
    pub not_before: i64,
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
        let (names, issuer, valid) = {
            let leaf = leaf(&files.certificate, &chain)?;
            let validity = leaf.validity();
            (names_of(&leaf), leaf.issuer().to_string(), validity.not_before.timestamp()..validity.not_after.timestamp())
        };
        let key = CertifiedKey::new(chain, read_key(&files.private_key)?);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(wrong(&files.private_key, format!("not the key of {}", files.certificate.display())));
            }
            Err(error) => return Err(wrong(&files.certificate, error)),
        }
        Ok(Self { files: files.clone(), names, issuer, not_before: valid.start, not_after: valid.end, key: Arc::new(key) })
    }

    /// Why nobody believes it at `now` (seconds since 1970), whatever it is for.
    #[must_use]
    pub fn out_of_date(&self, now: i64) -> Option<String> {
        let why = match now {
            _ if now < self.not_before => format!("not valid before {}", date(self.not_before)),
            _ if now > self.not_after => format!("expired on {}", date(self.not_after)),
            _ => return None,
        };
        Some(wrong(&self.files.certificate, why).to_string())
    }

    /// Whether it is for that host; a wildcard is for one label (RFC 9525 §6.3).
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| *name == host || name.strip_prefix("*.").is_some_and(|name| Some(name) == parent))
    }

    /// What handshakes need of it.
    #[must_use]
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| "a date out of range".to_owned(), |at| at.strftime("%F %T UTC").to_string())
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
    // `openssl x509 -req` makes them so, where it is given no extensions.
    if leaf(path, &chain)?.version() != X509Version::V3 {
        return Err(wrong(path, "a version 1 certificate, which no client takes: make one of version 3, with a subjectAltName"));
    }
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
    let key = PrivateKeyDer::from_pem_file(path).map_err(|e| wrong(path, pem_error(&e, "private key")));
    let key = key.and_then(|key| aws_lc_rs::sign::any_supported_type(&key).map_err(|e| wrong(path, e)));
    key.map_err(|error| {
        if is_encrypted(path) { wrong(path, "encrypted: take the passphrase off, `openssl pkey -in FILE -out NEW`") } else { error }
    })
}

/// Whether a file that is no key is one under a passphrase (RFC 5958 §3, or what OpenSSL wrote before).
fn is_encrypted(path: &Path) -> bool {
    let text = std::fs::read(path).unwrap_or_default();
    [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| text.windows(mark.len()).any(|at| at == *mark))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_key_under_a_passphrase_is_told_from_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let said = |text: &str| {
            fs::write(&path, text).unwrap();
            read_key(&path).err().unwrap().to_string()
        };
        let block = |label: &str, head: &str| format!("-----BEGIN {label}-----\n{head}AAAA\n-----END {label}-----\n");
        for encrypted in
            [block("ENCRYPTED PRIVATE KEY", ""), block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n")]
        {
            assert!(said(&encrypted).contains("encrypted: take the passphrase off"), "{encrypted}");
        }
        assert!(said(&block("CERTIFICATE", "")).ends_with("no private key in it"));
        assert!(!said(&block("PRIVATE KEY", "")).contains("encrypted"));
    }

    #[test]
    fn a_certificate_of_version_1_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("certificate.pem");
        fs::write(&path, version_1()).unwrap();
        let said = read_chain(&path).err().unwrap().to_string();
        assert!(said.contains("a version 1 certificate"), "{said}");
    }

    /// One that was made, without what makes it version 3: the first field, and the extensions.
    fn version_1() -> String {
        let made = rcgen::generate_simple_self_signed(vec!["mx.example.org".into()]).unwrap();
        let der = made.cert.der().to_vec();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        let (_, body) = sequence(&der);
        let (tbs, _) = sequence(body);
        let (tbs_head, tbs_body) = (tbs.len() - sequence(tbs).1.len(), sequence(tbs).1);
        let rest = &body[tbs.len()..];
        assert!(tbs_head > 0 && tbs_body.starts_with(&[0xa0, 3, 2, 1, 2]) && !certificate.extensions().is_empty());
        let extensions = tbs_body.windows(1).enumerate().rev().filter(|(_, at)| at[0] == 0xa3);
        let at = extensions.map(|(at, _)| at).find(|at| element(&tbs_body[*at..]) == Some(tbs_body.len() - at)).unwrap();
        let tbs = wrapped(&tbs_body[5..at]);
        pem(&wrapped(&[tbs.as_slice(), rest].concat()))
    }

    /// The length of the element that `der` begins with.
    fn element(der: &[u8]) -> Option<usize> {
        Some(match *der.get(1)? {
            short @ ..=0x7f => 2 + usize::from(short),
            0x81 => 3 + usize::from(*der.get(2)?),
            0x82 => 4 + (usize::from(*der.get(2)?) << 8) + usize::from(*der.get(3)?),
            _ => return None,
        })
    }

    /// The element that `der` begins with, and what is in it.
    fn sequence(der: &[u8]) -> (&[u8], &[u8]) {
        let whole = &der[..element(der).unwrap()];
        let head = match whole[1] {
            0x81 => 3,
            0x82 => 4,
            _ => 2,
        };
        (whole, &whole[head..])
    }

    fn wrapped(body: &[u8]) -> Vec<u8> {
        let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[0x30, 0x82, high, low], body].concat()
    }

    fn pem(der: &[u8]) -> String {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
    }
}
