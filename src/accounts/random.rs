//! What nobody can guess.
use super::AccountError;
use crate::value::hex;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
    rand,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// 256 bits, as a text for cookies, links and headers.
pub(super) fn token() -> Result<String, AccountError> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(octets::<32>()?))
}

pub(super) fn octets<const N: usize>() -> Result<[u8; N], AccountError> {
    let mut octets = [0; N];
    rand::fill(&mut octets).map_err(|_| AccountError::NoRandomness)?;
    Ok(octets)
}

/// What is kept of a secret that is itself as long as a key, so that no salt and no slowness is
/// needed. `purpose` keeps what is hashed for one thing from being of use for another.
pub(super) fn fingerprint(purpose: &str, secret: &str) -> String {
    hex(digest(&SHA256, format!("octroi {purpose}\0{secret}").as_bytes()).as_ref())
}

/// In a time that does not tell where they differ.
#[must_use]
pub fn equal(a: &str, b: &str) -> bool {
    verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}
