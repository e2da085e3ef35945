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
mod random;
mod role;
mod session;

pub use account::{Account, NewAccount, check_domain, check_name};
pub use random::{equal, token};
pub use role::{Permission, Rights, Role, Scope};
pub use session::{Session, Stage};
pub use webauthn_rs::prelude::Url;

use crate::storage::{Database, StorageError};
use std::{sync::Arc, time::Duration};

/// Why something could not be done with an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    #[error("there is no account {0}")]
    NoAccount(Box<str>),
    #[error("there is an account {0} already")]
    Exists(Box<str>),
    /// What somebody asks for is not possible; the text says why, and what would be.
    #[error("{0}")]
    Refused(Box<str>),
    #[error("this machine gives no random numbers")]
    NoRandomness,
    #[error("accounts: {0}")]
    Storage(#[from] StorageError),
}

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Without a request.
    pub idle: Duration,
    /// In all.
    pub session: Duration,
}

/// A handle; clones share.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    lifetimes: Lifetimes,
}

impl Accounts {
    #[must_use]
    pub fn new(database: Database, lifetimes: Lifetimes) -> Self {
        Self(Arc::new(Inner { database, lifetimes }))
    }
}
