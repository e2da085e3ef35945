//! Codes of an authenticator (TOTP, RFC 6238), each taken once.
use super::AccountError;
use totp_rs::{Builder, Secret, Totp};

/// What an authenticator is given. It shows nowhere but to its owner, once.
#[derive(Clone)]
pub struct TotpSecret {
    base32: String,
}

impl TotpSecret {
    /// A new one of 160 bits (RFC 4226 §4).
    pub(super) fn generate() -> Result<Self, AccountError> {
        let octets = super::random::octets::<20>()?;
        Ok(Self { base32: Secret::new(Box::new(octets)).to_base32() })
    }

    pub(super) fn parse(base32: &str) -> Self {
        Self { base32: base32.to_owned() }
    }

    /// For typing it off.
    #[must_use]
    pub fn base32(&self) -> &str {
        &self.base32
    }

    /// What QR codes for authenticators have in them.
    ///
    /// # Errors
    /// The names cannot stand in it.
    pub fn url(&self, issuer: &str, name: &str) -> Result<String, AccountError> {
        let builder = Builder::new().with_secret(self.secret()?).with_account_name(name.replace(':', "_"));
        let totp = builder.with_issuer(Some(issuer.replace(':', "_"))).build().map_err(|error| failed(&error))?;
        totp.to_url().map_err(|error| failed(&error))
    }

    /// The time step that `code` is of, where it is of this one, the one before or the one after
    /// (RFC 6238 §5.2). Taking it only once is the caller's.
    pub(super) fn step(&self, code: &str, seconds: u64) -> Result<Option<i64>, AccountError> {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        if code.len() != 6 || !code.bytes().all(|octet| octet.is_ascii_digit()) {
            return Ok(None);
        }
        Ok(self.totp()?.check(&code, seconds).and_then(|step| step.try_into().ok()))
    }

    fn secret(&self) -> Result<Secret, AccountError> {
        Secret::try_from_base32(&self.base32).map_err(|error| failed(&error))
    }

    fn totp(&self) -> Result<Totp, AccountError> {
        Builder::new().with_secret(self.secret()?).build().map_err(|error| failed(&error))
    }
}

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSecret")
    }
}

fn failed(error: &dyn std::fmt::Display) -> AccountError {
    AccountError::Failed(format!("TOTP: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard_and_of_the_present() {
        // RFC 6238 Appendix B, the last six digits of its eight.
        let secret = TotpSecret::parse("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(secret.step(code, seconds).unwrap(), Some((seconds / 30) as i64));
            assert_eq!(secret.step(code, seconds + 30).unwrap(), Some((seconds / 30) as i64));
            assert_eq!(secret.step(code, seconds + 90).unwrap(), None);
        }
        assert_eq!(secret.step(" 287 082", 59).unwrap(), Some(1));
        for wrong in ["", "28708", "2870820", "28708a", "٢٨٧٠٨٢", "-28708"] {
            assert_eq!(secret.step(wrong, 59).unwrap(), None);
        }
    }

    #[test]
    fn secrets_are_long_and_do_not_show() {
        let (one, other) = (TotpSecret::generate().unwrap(), TotpSecret::generate().unwrap());
        assert!(one.base32().len() == 32 && one.base32() != other.base32());
        assert_eq!(format!("{one:?}"), "TotpSecret");
        let url = one.url("octroi mx.example.org", "alice").unwrap();
        assert!(url.starts_with("otpauth://totp/octroi%20mx.example.org:alice?secret="), "{url}");
    }
}
