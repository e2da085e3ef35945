//! Passwords: argon2id, few at a time.
use super::AccountError;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash};
use std::{collections::BTreeSet, sync::OnceLock, time::Duration};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// Characters at least. It is one of two factors; NIST SP 800-63B §3.1.1.2 asks for 8 then.
const SHORTEST: usize = 12;
/// Octets at most: hashing must not become work that somebody else chooses.
const LONGEST: usize = 512;
/// Different characters at least.
const DIFFERENT: usize = 5;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hashes and compares. Each takes 19 MiB and some ten milliseconds (argon2's defaults, which are
/// OWASP's), so there are two at a time and no more.
#[derive(Debug)]
pub(super) struct Passwords {
    places: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { places: Semaphore::new(2) }
    }
}

impl Passwords {
    /// A PHC string with a salt of its own.
    pub(super) async fn hash(&self, password: &str) -> Result<String, AccountError> {
        let password = password.to_owned();
        self.work(move || hash(&password)).await?
    }

    /// Whether it is the password that `kept` is of. Without one to compare with it takes as long,
    /// and is not: nobody learns from the time which accounts there are.
    pub(super) async fn is_right(&self, password: &str, kept: Option<String>) -> Result<bool, AccountError> {
        if password.len() > LONGEST {
            return Ok(false);
        }
        let password = password.to_owned();
        self.work(move || {
            static NOBODYS: OnceLock<Result<String, AccountError>> = OnceLock::new();
            let is_somebodys = kept.is_some();
            let kept = match kept {
                Some(kept) => kept,
                None => NOBODYS.get_or_init(|| hash("a password that nobody has")).clone()?,
            };
            let parsed = PasswordHash::new(&kept).map_err(|error| failed(&error))?;
            let is_right = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
            Ok(is_right && is_somebodys)
        })
        .await?
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AccountError> {
        let place = timeout(PATIENCE, self.places.acquire()).await;
        let _place = place.map_err(|_| AccountError::Busy)?.map_err(|_| AccountError::Busy)?;
        spawn_blocking(work).await.map_err(|error| failed(&error))
    }
}

fn hash(password: &str) -> Result<String, AccountError> {
    Ok(Argon2::default().hash_password(password.as_bytes()).map_err(|error| failed(&error))?.to_string())
}

fn failed(error: &dyn std::fmt::Display) -> AccountError {
    AccountError::Failed(format!("a password could not be hashed: {error}").into())
}

/// Why a password is none for an account of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    #[error("a password has at least {SHORTEST} characters")]
    Short,
    #[error("a password has at most {LONGEST} octets")]
    Long,
    #[error("a password has at least {DIFFERENT} different characters")]
    Monotonous,
    #[error("a password does not contain the name of the account")]
    Name,
}

/// What everybody may choose as a password, and no more rules than that.
///
/// # Errors
/// What is wrong with it.
pub fn check_password(password: &str, name: &str) -> Result<(), WeakPassword> {
    let name = name.split('@').next().unwrap_or_default();
    if password.chars().count() < SHORTEST {
        Err(WeakPassword::Short)
    } else if password.len() > LONGEST {
        Err(WeakPassword::Long)
    } else if password.chars().collect::<BTreeSet<_>>().len() < DIFFERENT {
        Err(WeakPassword::Monotonous)
    } else if name.len() > 3 && password.to_lowercase().contains(name) {
        Err(WeakPassword::Name)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_one_is_right_and_nothing_else_is() {
        let passwords = Passwords::default();
        let kept = passwords.hash("correct horse battery").await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(kept, passwords.hash("correct horse battery").await.unwrap());
        assert_eq!(passwords.is_right("correct horse battery", Some(kept.clone())).await, Ok(true));
        assert_eq!(passwords.is_right("correct horse Battery", Some(kept)).await, Ok(false));
        assert_eq!(passwords.is_right("a password that nobody has", None).await, Ok(false));
        assert_eq!(passwords.is_right(&"x".repeat(1 << 20), None).await, Ok(false));
    }

    #[test]
    fn weak_ones_are_told_what_they_lack() {
        for (password, wrong) in [
            ("short", Err(WeakPassword::Short)),
            ("aaaaaaaaaaaaaaaa", Err(WeakPassword::Monotonous)),
            ("hello-Alice-2026", Err(WeakPassword::Name)),
            ("neuf lettres, été", Ok(())),
        ] {
            assert_eq!(check_password(password, "alice@example.org"), wrong, "{password}");
        }
        assert_eq!(check_password(&"abcdefgh".repeat(100), "bob"), Err(WeakPassword::Long));
    }
}
