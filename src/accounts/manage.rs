//! What administrators do with accounts.
use super::{AccountError, Accounts, Enrolment, NewAccount, Refused, Role, random::octets, session::end_all, token::revoke_all};
use crate::audit::{Action, Actor, Event};
use crate::storage::{Statement, StorageError};
use crate::value::millis;
use std::time::SystemTime;
use webauthn_rs::prelude::Uuid;

impl Accounts {
    /// Makes an account, which waits for its enrolment.
    ///
    /// # Errors
    /// There is one of that name, it would be of no use, or it cannot be written.
    pub async fn add(&self, new: &NewAccount, by: &Actor) -> Result<Enrolment, AccountError> {
        let name = super::check_name(&new.name)?;
        let (roles, domains) = check_rights(&new.roles, &new.domains)?;
        let handle = Uuid::from_bytes(octets()?);
        let (enrolment, [old, code]) = Self::new_code(&name)?;
        let row = Statement::new(
            "INSERT INTO account (name, handle, roles, domains, created_at, created_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
             ON CONFLICT (name) DO NOTHING",
        );
        let row = row.with(&*name).with(handle.to_string()).with(&*roles).with(&*domains);
        let row = row.with(millis(SystemTime::now())).with(&*by.name).must_change();
        let event = Event::of(by, Action::AccountAdd).on(&name).with("roles", &*roles).with("domains", &*domains);
        match self.0.database.write(vec![row, old, code, event.statement()]).await {
            Ok(_) => Ok(enrolment),
            Err(StorageError::Unchanged) => Err(AccountError::Exists(name.into())),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets an account sign in no more, or again. Its sessions end, and its tokens are of no use.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be written.
    pub async fn disable(&self, name: &str, disabled: bool, by: &Actor) -> Result<(), AccountError> {
        let set = Statement::new("UPDATE account SET disabled = ?2 WHERE name = ?1").with(name).with(disabled).must_change();
        let action = if disabled { Action::AccountDisable } else { Action::AccountEnable };
        self.change(name, vec![set, end_all(name, None)], &Event::of(by, action).on(name)).await
    }

    /// Gives it other roles and domains. Its sessions end.
    ///
    /// # Errors
    /// There is none of that name, it would be of no use, or it cannot be written.
    pub async fn set_rights(&self, name: &str, roles: &[Role], domains: &[String], by: &Actor) -> Result<(), AccountError> {
        let (roles, domains) = check_rights(roles, domains)?;
        let set = Statement::new("UPDATE account SET roles = ?2, domains = ?3 WHERE name = ?1").must_change();
        let event = Event::of(by, Action::AccountRoles).on(name).with("roles", &*roles).with("domains", &*domains);
        self.change(name, vec![set.with(name).with(&*roles).with(&*domains), end_all(name, None)], &event).await
    }

    /// Takes password, second factors, recovery codes, sessions and tokens away, and gives a code to set new
    /// ones with: for somebody who has lost them.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be written.
    pub async fn reset(&self, name: &str, by: &Actor) -> Result<Enrolment, AccountError> {
        let (enrolment, [old, code]) = Self::new_code(name)?;
        let of = |sql: &'static str| Statement::new(sql).with(name);
        let batch = vec![
            of("UPDATE account SET password = NULL, totp = NULL, totp_step = 0 WHERE name = ?1").must_change(),
            of("DELETE FROM account_passkey WHERE account = ?1"),
            of("DELETE FROM account_recovery WHERE account = ?1"),
            end_all(name, None),
            revoke_all(name),
            old,
            code,
        ];
        self.change(name, batch, &Event::of(by, Action::AccountReset).on(name)).await?;
        Ok(enrolment)
    }

    /// `batch`, whose first statement fails where there is no such account, and what is told of it.
    pub(super) async fn change(&self, name: &str, mut batch: Vec<Statement>, event: &Event<'_>) -> Result<(), AccountError> {
        batch.push(event.statement());
        match self.0.database.write(batch).await {
            Ok(_) => Ok(()),
            Err(StorageError::Unchanged) => Err(AccountError::NoAccount(name.into())),
            Err(error) => Err(error.into()),
        }
    }
}

/// As rows have them.
fn check_rights(roles: &[Role], domains: &[String]) -> Result<(String, String), AccountError> {
    if roles.is_empty() {
        return Err(Refused::NoRole.into());
    }
    let mut domains = domains.iter().map(|domain| super::check_domain(domain)).collect::<Result<Vec<_>, _>>()?;
    domains.sort();
    domains.dedup();
    if domains.is_empty() && roles.iter().any(|role| role.is_within_domains()) {
        return Err(Refused::NoDomain.into());
    }
    let mut roles = roles.to_vec();
    roles.sort_unstable();
    roles.dedup();
    let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    let (roles, domains) = (roles.join(" "), domains.join(" "));
    if domains.len() > 4000 {
        return Err(Refused::ManyDomains.into());
    }
    Ok((roles, domains))
}
