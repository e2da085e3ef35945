//! The console's accounts: who may sign in, how, and what for.
//!
//! An account is made by an administrator, who hands over a code; with it the person sets a password
//! and a second factor, which is never left out: a passkey (WebAuthn) or codes of an authenticator
//! (TOTP, RFC 6238). Every change of an account and its entry in the audit are one transaction.
//!
//! ```text
//! add ─▶ enrolment code ─▶ password ─▶ TOTP or passkey ─▶ recovery codes, signed in
//! sign in: password ─▶ TOTP code, passkey or recovery code ─▶ session
//! ```

mod account;
mod enrol;
mod error;
mod manage;
mod own;
mod passkey;
mod password;
mod random;
mod recovery;
mod role;
mod session;
mod sign_in;
#[cfg(test)]
mod tests;
mod throttle;
mod token;
mod totp;

pub use account::{Account, NewAccount, check_domain, check_name};
pub use enrol::{Enrolled, Enrolment};
pub use error::{AccountError, Refused};
pub use passkey::Passkey;
pub use password::{WeakPassword, check_password};
pub use random::equal;
pub use recovery::suggest_password;
pub use role::{Permission, Rights, Role, Scope};
pub use session::{Listed, Session, Stage, Visit};
pub use sign_in::{Attempt, Failure, Method};
pub use token::{NewToken, Shown, Token};
pub use totp::TotpSecret;
pub use webauthn_rs::prelude::Url;

use crate::storage::{Database, StorageError};
use passkey::Passkeys;
use password::Passwords;
use std::{sync::Arc, time::Duration};
use throttle::Throttle;

/// It is good to know, and its lack turns nobody away.
fn noted(what: &str, written: Result<Vec<usize>, StorageError>) {
    if let Err(error) = written {
        tracing::warn!("{what} could not be written down: {error}");
    }
}

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without a request.
    pub idle: Duration,
    /// In all.
    pub session: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { idle: Duration::from_secs(15 * 60), session: Duration::from_secs(8 * 3600) }
    }
}

/// A handle; clones share.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    lifetimes: Lifetimes,
    passwords: Passwords,
    throttle: Throttle,
    /// `None` where nobody signs in, as on the command line, or where the console has no name.
    passkeys: Option<Passkeys>,
}

impl Accounts {
    /// The accounts in `database`. `url`: where the console is, which passkeys are bound to.
    #[must_use]
    pub fn new(database: Database, lifetimes: Lifetimes, url: Option<&Url>) -> Self {
        let passkeys = url.and_then(Passkeys::new);
        Self(Arc::new(Inner { database, lifetimes, passwords: Passwords::default(), throttle: Throttle::default(), passkeys }))
    }
}
