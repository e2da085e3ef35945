//! Why something could not be done.
use super::WeakPassword;
use crate::storage::StorageError;
use crate::value::reasons;

/// Why something could not be done with an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    #[error("there is no account {0}")]
    NoAccount(Box<str>),
    #[error("there is an account {0} already")]
    Exists(Box<str>),
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// What somebody asks for is not possible.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Too many passwords at once.
    #[error("too much to do at the moment")]
    Busy,
    #[error("this machine gives no random numbers")]
    NoRandomness,
    #[error("accounts: {0}")]
    Failed(Box<str>),
    #[error("accounts: {0}")]
    Storage(#[from] StorageError),
}

reasons! {
    /// What cannot be, and what would be.
    Refused {
        Name = "name": "the name of an account is 1 to 64 letters, digits and . - _ @ +, with a letter or a digit first",
        Domain { domain } = "domain": "`{domain}` is no domain of recipients, such as example.org, nor `*`",
        NoRole = "no_role": "an account has at least one role: reviewer, senior, auditor or administrator",
        NoDomain = "no_domain": "a reviewer or senior has at least one domain of recipients to look after; `*` is all of them",
        ManyDomains = "many_domains": "that many domains do not fit; `*` is all of them",
        LastFactor = "last_factor": "it is the last second factor, and one is needed",
        ManyPasskeys = "many_passkeys": "that many passkeys do not belong to one account; remove one first",
        NoPasskeys = "no_passkeys": "this console has no name that passkeys could be bound to; set `console.public_url`",
        NoScope = "no_scope": "a token has at least one scope",
        ScopeTooWide { account, scope } = "scope_too_wide": "{account} may not do {scope} itself",
        TokenLife = "token_life": "a token lives for at least a moment and at most a year",
        NoToken { id } = "no_token": "there is no token {id}",
    }
}
