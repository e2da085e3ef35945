//! Tokens, for programs.
use super::{
    Account, AccountError, Accounts, Permission, Refused,
    random::{fingerprint, token},
    session::span,
};
use crate::audit::{Action, Actor, Event};
use crate::storage::{Statement, StorageError};
use crate::value::{Id, millis, time};
use std::time::{Duration, SystemTime};

/// What stands before each, so that who finds one somewhere knows what it is.
const PREFIX: &str = "octroi_";
/// The longest life.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// How exact the time of the last use is kept.
const SEEN: Duration = Duration::from_secs(60);

/// Takes all tokens of an account back, for the batch of what ends its access: whoever has to be kept out
/// may have made himself one.
pub(super) fn revoke_all(name: &str) -> Statement {
    Statement::new("DELETE FROM account_token WHERE account = ?1").with(name)
}

/// A token that is to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    pub account: String,
    /// What it is for, in its owner's words.
    pub label: String,
    pub scopes: Vec<Permission>,
    pub life: Duration,
}

/// A token in a list.
#[derive(Debug, Clone)]
pub struct Token {
    pub id: String,
    pub account: String,
    pub label: String,
    pub scopes: String,
    pub created_at: SystemTime,
    pub ends_at: SystemTime,
    pub used_at: Option<SystemTime>,
}

/// A token that somebody shows, and whose it is, with what it may do.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its id.
    pub token: String,
    pub account: Account,
}

impl Accounts {
    /// Makes a token and returns it, to be shown once. What its account may not do it may not do
    /// either, whatever its scopes.
    ///
    /// # Errors
    /// It would be of no use, or cannot be written.
    pub async fn add_token(&self, new: &NewToken, by: &Actor) -> Result<String, AccountError> {
        let account = self.account(&new.account).await?;
        if new.scopes.is_empty() {
            return Err(Refused::NoScope.into());
        }
        if let Some(scope) = new.scopes.iter().find(|scope| !account.rights.may(**scope)) {
            return Err(Refused::ScopeTooWide { account: account.name.into(), scope: scope.as_str().into() }.into());
        }
        if new.life.is_zero() || new.life > LONGEST {
            return Err(Refused::TokenLife.into());
        }
        let scopes: Vec<_> = new.scopes.iter().map(|scope| scope.as_str()).collect();
        let (secret, id, now) = (format!("{PREFIX}{}", token()?), Id::generate().to_string(), millis(SystemTime::now()));
        let label = new.label.get(..new.label.floor_char_boundary(60)).unwrap_or_default();
        let row = Statement::new(
            "INSERT INTO account_token (id, hash, account, label, scopes, created_at, ends_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        );
        let row = row.with(&*id).with(fingerprint("token", &secret)).with(&*account.name).with(label);
        let row = row.with(scopes.join(" ")).with(now).with(now + span(new.life));
        let event = Event::of(by, Action::TokenAdd).on(&account.name).with("token", &*id).with("scopes", scopes.join(" "));
        self.0.database.write(vec![row, event.statement()]).await?;
        Ok(secret)
    }

    /// The tokens of an account, or all.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn tokens(&self, name: Option<&str>) -> Result<Vec<Token>, AccountError> {
        let statement = Statement::new(
            "SELECT id, account, label, scopes, created_at, ends_at, used_at FROM account_token \
             WHERE (?1 IS NULL OR account = ?1) AND ends_at > ?2 ORDER BY id LIMIT 1000",
        );
        let rows = self.0.database.read(statement.with(name).with(millis(SystemTime::now()))).await?;
        let read = rows.iter().map(|row| {
            Ok(Token {
                id: row.text(0)?,
                account: row.text(1)?,
                label: row.text(2)?,
                scopes: row.text(3)?,
                created_at: time(row.integer(4)?),
                ends_at: time(row.integer(5)?),
                used_at: row.optional_integer(6)?.map(time),
            })
        });
        Ok(read.collect::<Result<_, StorageError>>()?)
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// There is none of that id (and of `name`, where given), or it cannot be written.
    pub async fn revoke_token(&self, id: &str, name: Option<&str>, by: &Actor) -> Result<(), AccountError> {
        let gone = Statement::new("DELETE FROM account_token WHERE id = ?1 AND (?2 IS NULL OR account = ?2)").with(id).with(name);
        let event = Event::of(by, Action::TokenRevoke).on(id);
        match self.0.database.write(vec![gone.must_change(), event.statement()]).await {
            Ok(_) => Ok(()),
            Err(StorageError::Unchanged) => Err(Refused::NoToken { id: id.escape_debug().to_string().into() }.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whose token this is; `None` where it is nobody's, or nobody's any more.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn of_token(&self, secret: &str) -> Result<Option<Shown>, AccountError> {
        let now = SystemTime::now();
        let statement = Statement::new("SELECT id, account, scopes, used_at FROM account_token WHERE hash = ?1 AND ends_at > ?2");
        let rows = self.0.database.read(statement.with(fingerprint("token", secret)).with(millis(now))).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut account = self.account(&row.text(1)?).await?;
        if account.disabled {
            return Ok(None);
        }
        account.rights.only = Some(row.text(2)?.split_ascii_whitespace().filter_map(Permission::parse).collect());
        let (token, used) = (row.text(0)?, row.optional_integer(3)?.map(time));
        if used.is_none_or(|used| now.duration_since(used).is_ok_and(|since| since >= SEEN)) {
            let note = Statement::new("UPDATE account_token SET used_at = ?2 WHERE id = ?1").with(&*token).with(millis(now));
            super::noted("when a token was used last", self.0.database.write(vec![note]).await);
        }
        Ok(Some(Shown { token, account }))
    }
}
