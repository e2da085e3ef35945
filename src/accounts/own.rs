//! What people do with their own accounts. Each asks for the password again, so that a screen that
//! was left open is not enough.
use super::{
    AccountError, Accounts, Attempt, Failure, Refused, Session, TotpSecret, check_password, recovery, session::end_all,
    sign_in::now_seconds, throttle::Key, token::revoke_all,
};
use crate::audit::{Action, Actor, Event};
use crate::storage::Statement;
use std::time::Instant;

impl Accounts {
    /// Whether it is the account's password; counted as when signing in, but apart from that: whoever is
    /// signed in is not kept from ending other sessions by those who guess.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn confirm(&self, name: &str, password: &str, by: &Actor) -> Result<Attempt<()>, AccountError> {
        let key = Key::Again(name.to_owned());
        if let Err(wait) = self.0.throttle.begin(std::slice::from_ref(&key), Instant::now()) {
            return Ok(Attempt::Wait(wait));
        }
        let rows = self.0.database.read(Statement::new("SELECT password FROM account WHERE name = ?1").with(name)).await?;
        let kept = rows.first().map(|row| row.optional_text(0)).transpose()?.flatten();
        if !self.0.passwords.is_right(password, kept).await? {
            return self.wrong(Failure::Password, Event::of(by, Action::SignInFailed).on(name), Vec::new()).await;
        }
        self.0.throttle.clear(&key);
        Ok(Attempt::Right(()))
    }

    /// Another password. All other sessions end, and all tokens.
    ///
    /// # Errors
    /// It is too weak, or cannot be written.
    pub async fn change_password(&self, name: &str, password: &str, spare: &str, by: &Actor) -> Result<(), AccountError> {
        check_password(password, name)?;
        let hash = self.0.passwords.hash(password).await?;
        let set = Statement::new("UPDATE account SET password = ?2 WHERE name = ?1").with(name).with(hash).must_change();
        let batch = vec![set, end_all(name, Some(spare)), revoke_all(name)];
        self.change(name, batch, &Event::of(by, Action::PasswordChange).on(name)).await
    }

    /// A secret for an authenticator, to be confirmed with a code of it; kept in the session until then.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn offer_totp(&self, session: &str) -> Result<TotpSecret, AccountError> {
        let totp = TotpSecret::generate()?;
        let pending = serde_json::json!({ "totp": totp.base32() }).to_string();
        let set = Statement::new("UPDATE account_session SET pending = ?2 WHERE id = ?1").with(session).with(pending).must_change();
        self.0.database.write(vec![set]).await?;
        Ok(totp)
    }

    /// The secret that was offered in this session.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn pending_totp(&self, session: &str) -> Result<Option<TotpSecret>, AccountError> {
        let pending = self.pending(session).await?;
        Ok(pending.and_then(|pending| Some(TotpSecret::parse(pending.get("totp")?.as_str()?))))
    }

    /// Takes the authenticator that was offered, in the place of the one before; whether `code` was right.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn change_totp(&self, session: &str, name: &str, code: &str, by: &Actor) -> Result<bool, AccountError> {
        let Some(totp) = self.pending_totp(session).await? else { return Ok(false) };
        let Some(step) = totp.step(code, now_seconds())? else { return Ok(false) };
        let set = Statement::new("UPDATE account SET totp = ?2, totp_step = ?3 WHERE name = ?1").must_change();
        let done = Statement::new("UPDATE account_session SET pending = NULL WHERE id = ?1").with(session);
        let batch = vec![set.with(name).with(totp.base32()).with(step), done, end_all(name, Some(session))];
        self.change(name, batch, &Event::of(by, Action::TotpChange).on(name)).await?;
        Ok(true)
    }

    /// Does without the authenticator, where there is a passkey.
    ///
    /// # Errors
    /// There is none, or it cannot be written.
    pub async fn remove_totp(&self, name: &str, by: &Actor) -> Result<(), AccountError> {
        let set = Statement::new(
            "UPDATE account SET totp = NULL, totp_step = 0 WHERE name = ?1 AND totp IS NOT NULL \
             AND EXISTS (SELECT 1 FROM account_passkey WHERE account = ?1)",
        );
        self.change_factor(name, set.with(name), &Event::of(by, Action::TotpChange).on(name).with("removed", true)).await
    }

    /// New recovery codes in the place of the old, to be shown once.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn new_recovery_codes(&self, name: &str, by: &Actor) -> Result<Vec<String>, AccountError> {
        let codes = recovery::generate()?;
        let mut batch: Vec<_> = recovery::replace(name, &codes).collect();
        batch.push(Event::of(by, Action::RecoveryCodes).on(name).statement());
        self.0.database.write(batch).await?;
        Ok(codes)
    }

    /// The language the console speaks to him.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn set_language(&self, name: &str, language: &str) -> Result<(), AccountError> {
        let set = Statement::new("UPDATE account SET language = ?2 WHERE name = ?1").with(name).with(language);
        self.0.database.write(vec![set]).await?;
        Ok(())
    }

    /// Takes a second factor away, if one is left then.
    pub(super) async fn change_factor(&self, name: &str, set: Statement, event: &Event<'_>) -> Result<(), AccountError> {
        match self.change(name, vec![set.must_change()], event).await {
            Err(AccountError::NoAccount(_)) => Err(Refused::LastFactor.into()),
            other => other,
        }
    }

    /// What is under way in a session.
    pub(super) async fn pending(&self, session: &str) -> Result<Option<serde_json::Value>, AccountError> {
        let rows = self.0.database.read(Statement::new("SELECT pending FROM account_session WHERE id = ?1").with(session)).await?;
        let pending = rows.first().map(|row| row.optional_text(0)).transpose()?.flatten();
        Ok(pending.and_then(|pending| serde_json::from_str(&pending).ok()))
    }

    /// Whoever is at it: keeps what is under way in a session.
    pub(super) async fn set_pending(&self, session: &Session, pending: &serde_json::Value) -> Result<(), AccountError> {
        let set = Statement::new("UPDATE account_session SET pending = ?2 WHERE id = ?1").must_change();
        self.0.database.write(vec![set.with(&*session.id).with(pending.to_string())]).await?;
        Ok(())
    }
}
