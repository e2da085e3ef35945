//! Setting the first password and the first second factor, with a code from an administrator.
use super::{
    AccountError, Accounts, Attempt, Failure, Method, Session, Stage, TotpSecret, Visit, check_password,
    random::{fingerprint, token},
    recovery,
    session::{end_all, span},
    sign_in::now_seconds,
    throttle::Key,
    token::revoke_all,
};
use crate::audit::{Action, Actor, Event};
use crate::storage::{Statement, StorageError};
use crate::value::millis;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant, SystemTime};

/// How long a code can be used.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// A code that was just made; it is shown once.
#[derive(Debug, Clone)]
pub struct Enrolment {
    pub code: String,
    pub ends_at: SystemTime,
}

/// What an enrolment came to.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The session's cookie.
    pub token: String,
    /// Shown once.
    pub recovery_codes: Vec<String>,
}

/// What has been set so far, in the session's row; the account has nothing of it before the end.
#[derive(Serialize, Deserialize)]
pub(super) struct Begun {
    code: String,
    password: String,
    totp: String,
}

impl Accounts {
    /// A new code for an account, in the place of any before, and the statements that make it so.
    pub(super) fn new_code(name: &str) -> Result<(Enrolment, [Statement; 2]), AccountError> {
        let code = token()?;
        let now = SystemTime::now();
        let old = Statement::new("DELETE FROM account_enrolment WHERE account = ?1 OR ends_at <= ?2").with(name).with(millis(now));
        let new = Statement::new("INSERT INTO account_enrolment (hash, account, ends_at) VALUES (?1, ?2, ?3)");
        let new = new.with(fingerprint("enrolment", &code)).with(name).with(millis(now) + span(LIFE));
        Ok((Enrolment { code, ends_at: now + LIFE }, [old, new]))
    }

    /// Whose code this is, while it can be used.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn enrolment(&self, code: &str) -> Result<Option<String>, AccountError> {
        let statement = Statement::new(
            "SELECT account FROM account_enrolment JOIN account ON name = account WHERE hash = ?1 AND ends_at > ?2 AND disabled = 0",
        );
        let rows = self.0.database.read(statement.with(fingerprint("enrolment", code)).with(millis(SystemTime::now()))).await?;
        Ok(rows.first().map(|row| row.text(0)).transpose()?)
    }

    /// Begins with a code and a password; what comes of it is a cookie for the rest.
    ///
    /// # Errors
    /// The password is too weak, or it cannot be known.
    pub async fn begin_enrolment(&self, code: &str, password: &str, visit: &Visit) -> Result<Attempt<String>, AccountError> {
        let of_client = Key::client(visit.client);
        if let Err(wait) = self.0.throttle.begin(of_client.as_slice(), Instant::now()) {
            return Ok(Attempt::Wait(wait));
        }
        let Some(name) = self.enrolment(code).await? else {
            let actor = visit.actor("unknown");
            return self.wrong(Failure::Enrolment, Event::of(&actor, Action::SignInFailed), Vec::new()).await;
        };
        of_client.iter().for_each(|key| self.0.throttle.take_back(key));
        check_password(password, &name)?;
        let begun = Begun {
            code: fingerprint("enrolment", code),
            password: self.0.passwords.hash(password).await?,
            totp: TotpSecret::generate()?.base32().to_owned(),
        };
        let pending = serde_json::to_string(&begun).map_err(|error| AccountError::Failed(error.to_string().into()))?;
        let (token, batch) = self.begin(&name, Stage::Enrolment, visit, Some(pending))?;
        self.0.database.write(batch).await?;
        Ok(Attempt::Right(token))
    }

    /// The secret that an enrolment offers its authenticator; `None` where `session` is none.
    #[must_use]
    pub fn offered_totp(session: &Session) -> Option<TotpSecret> {
        Some(TotpSecret::parse(&begun(session)?.totp))
    }

    /// Ends an enrolment with a code of the authenticator.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn enrol_with_totp(&self, session: &Session, code: &str, visit: &Visit) -> Result<Attempt<Enrolled>, AccountError> {
        if let Some(wait) = self.factor_wait(session) {
            return Ok(Attempt::Wait(wait));
        }
        let Some(begun) = begun(session) else { return Ok(Attempt::Wrong(Failure::Enrolment)) };
        let Some(step) = TotpSecret::parse(&begun.totp).step(code, now_seconds())? else { return Ok(Attempt::Wrong(Failure::Code)) };
        let factor = Statement::new("UPDATE account SET totp = ?2, totp_step = ?3 WHERE name = ?1");
        let factor = factor.with(&*session.account.name).with(&*begun.totp).with(step).must_change();
        self.enrolled(session, &begun, vec![factor], Method::Totp, visit).await
    }

    /// Ends an enrolment: password, `factor`, recovery codes and a session, or nothing of it.
    pub(super) async fn enrolled(
        &self,
        session: &Session,
        begun: &Begun,
        factor: Vec<Statement>,
        method: Method,
        visit: &Visit,
    ) -> Result<Attempt<Enrolled>, AccountError> {
        let name = &*session.account.name;
        let codes = recovery::generate()?;
        let spent = Statement::new("DELETE FROM account_enrolment WHERE hash = ?1 AND account = ?2 AND ends_at > ?3").must_change();
        let spent = spent.with(&*begun.code).with(name).with(millis(SystemTime::now()));
        let password = Statement::new("UPDATE account SET password = ?2, signed_in_at = ?3 WHERE name = ?1 AND disabled = 0").must_change();
        let password = password.with(name).with(&*begun.password).with(millis(SystemTime::now()));
        let (token, begin) = self.begin(name, Stage::Open, visit, None)?;
        let actor = visit.actor(name);
        let event = |action| Event::of(&actor, action).on(name).with("method", method.as_str()).statement();
        let mut batch = vec![spent, password, end_all(name, None)];
        batch.extend(factor);
        batch.extend(recovery::replace(name, &codes));
        batch.extend(begin);
        batch.extend([event(Action::AccountEnrol), event(Action::SignIn)]);
        match self.0.database.write(batch).await {
            Ok(_) => {
                self.0.throttle.clear(&Key::Factor(name.to_owned()));
                Ok(Attempt::Right(Enrolled { token, recovery_codes: codes }))
            }
            // Somebody else has used the code meanwhile, or it was taken back.
            Err(StorageError::Unchanged) => Ok(Attempt::Wrong(Failure::Enrolment)),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets a password and an authenticator at once, for who has no browser at hand. Sessions and tokens
    /// there were end.
    ///
    /// # Errors
    /// The password is too weak, or it cannot be written.
    pub async fn enrol_locally(&self, name: &str, password: &str, by: &Actor) -> Result<TotpSecret, AccountError> {
        check_password(password, name)?;
        let (hash, totp) = (self.0.passwords.hash(password).await?, TotpSecret::generate()?);
        let set = Statement::new("UPDATE account SET password = ?2, totp = ?3, totp_step = 0 WHERE name = ?1").must_change();
        let spent = Statement::new("DELETE FROM account_enrolment WHERE account = ?1").with(name);
        let event = Event::of(by, Action::AccountEnrol).on(name).with("method", Method::Totp.as_str());
        let ended = [end_all(name, None), revoke_all(name)];
        let mut batch = vec![set.with(name).with(hash).with(totp.base32()), spent];
        batch.extend(ended.into_iter().chain([event.statement()]));
        self.0.database.write(batch).await?;
        Ok(totp)
    }
}

pub(super) fn begun(session: &Session) -> Option<Begun> {
    serde_json::from_str(session.pending.as_deref().filter(|_| session.stage == Stage::Enrolment)?).ok()
}
