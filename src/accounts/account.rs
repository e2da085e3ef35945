//! What is known of an account.
use super::{AccountError, Accounts, Permission, Refused, Rights, Role};
use crate::storage::{Row, Statement, StorageError};
use crate::value::time;
use std::time::SystemTime;

/// An account, without its secrets.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub rights: Rights,
    /// What authenticators know it by.
    pub handle: String,
    /// It was enrolled: it has a password and a second factor.
    pub enrolled: bool,
    pub disabled: bool,
    pub language: Option<String>,
    pub has_totp: bool,
    pub passkeys: i64,
    /// Recovery codes that were not used.
    pub recovery_codes: i64,
    pub created_at: SystemTime,
    pub created_by: String,
    pub signed_in_at: Option<SystemTime>,
}

/// An account that is to be made.
#[derive(Debug, Clone)]
pub struct NewAccount {
    pub name: String,
    pub roles: Vec<Role>,
    /// `*` for all.
    pub domains: Vec<String>,
}

const COLUMNS: &str = "name, roles, domains, handle, password IS NOT NULL, disabled, language, totp IS NOT NULL, \
    (SELECT count(*) FROM account_passkey WHERE account = name), (SELECT count(*) FROM account_recovery WHERE account = name), \
    created_at, created_by, signed_in_at";

impl Account {
    /// Whether he can sign in and do this for one of these addresses at least.
    #[must_use]
    pub fn looks_after<'a>(&self, permission: Permission, mut addresses: impl Iterator<Item = &'a str>) -> bool {
        let scope = self.rights.scope(permission);
        !self.disabled && addresses.any(|address| scope.covers(address))
    }

    fn read(row: &Row) -> Result<Self, StorageError> {
        let words = |text: String| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let roles = words(row.text(1)?).iter().filter_map(|word| Role::parse(word)).collect();
        Ok(Self {
            name: row.text(0)?,
            rights: Rights { roles, domains: words(row.text(2)?), only: None },
            handle: row.text(3)?,
            enrolled: row.integer(4)? != 0,
            disabled: row.integer(5)? != 0,
            language: row.optional_text(6)?,
            has_totp: row.integer(7)? != 0,
            passkeys: row.integer(8)?,
            recovery_codes: row.integer(9)?,
            created_at: time(row.integer(10)?),
            created_by: row.text(11)?,
            signed_in_at: row.optional_integer(12)?.map(time),
        })
    }
}

impl Accounts {
    /// All accounts, by name.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn list(&self) -> Result<Vec<Account>, AccountError> {
        let rows = self.0.database.read(Statement::new(format!("SELECT {COLUMNS} FROM account ORDER BY name"))).await?;
        Ok(rows.iter().map(Account::read).collect::<Result<_, _>>()?)
    }

    /// One account.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be read.
    pub async fn account(&self, name: &str) -> Result<Account, AccountError> {
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM account WHERE name = ?1")).with(name);
        let rows = self.0.database.read(statement).await?;
        Ok(Account::read(rows.first().ok_or_else(|| AccountError::NoAccount(name.into()))?)?)
    }
}

/// A name as accounts have it: lower case.
///
/// # Errors
/// It is none, and why.
pub fn check_name(name: &str) -> Result<String, AccountError> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | '@' | '+');
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() || name.len() > 64 || !name.chars().all(fine) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(Refused::Name.into());
    }
    Ok(name)
}

/// A recipient domain as accounts have it, or `*`.
///
/// # Errors
/// It is none, and why.
pub fn check_domain(domain: &str) -> Result<String, AccountError> {
    let domain = domain.trim().trim_start_matches('@').to_ascii_lowercase();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') || !c.is_ascii();
    if domain == "*" || (domain.contains('.') && domain.len() <= 253 && domain.chars().all(|c| fine(c) && !c.is_whitespace())) {
        return Ok(domain);
    }
    Err(Refused::Domain { domain: domain.escape_debug().to_string().into() }.into())
}
