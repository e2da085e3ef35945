//! Signing in: the password, then the second factor.
use super::{AccountError, Accounts, Session, Stage, TotpSecret, Visit, account::check_name, recovery, throttle::Key};
use crate::audit::{Action, Audit, Event};
use crate::storage::{Statement, StorageError};
use crate::value::{millis, words};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Codes that a right password is good for.
const CODES: u64 = 5;
/// Who tries a name that nobody has. What was typed is not kept: people type passwords there.
const NOBODY: &str = "unknown";

words! {
    /// How somebody proved a second time who he is.
    Method {
        Totp = "totp",
        Passkey = "passkey",
        Recovery = "recovery",
        /// He has just set it.
        Enrolment = "enrolment",
    }
}

words! {
    /// What was wrong. Told to the audit, and to nobody who tries.
    Failure {
        Unknown = "unknown-account",
        Password = "password",
        Disabled = "disabled",
        Code = "code",
        /// A code that was right once.
        Replay = "code-used",
        Passkey = "passkey",
        Recovery = "recovery-code",
        Enrolment = "enrolment-code",
    }
}

/// What became of an attempt.
#[derive(Debug)]
pub enum Attempt<T> {
    /// To be tried again after so long; nothing was looked at.
    Wait(Duration),
    Wrong(Failure),
    Right(T),
}

impl Accounts {
    /// The first half: a name and its password. What comes of it is a cookie for the second half.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn sign_in(&self, name: &str, password: &str, visit: &Visit) -> Result<Attempt<String>, AccountError> {
        // A name that cannot be one counts as one that nobody has.
        let name = check_name(name).unwrap_or_default();
        let of_client = Key::client(visit.client);
        let of_name = match self.begin_password(&name, of_client.as_ref(), visit).await? {
            Ok(of_name) => of_name,
            Err(wait) => return Ok(Attempt::Wait(wait)),
        };
        let statement = Statement::new("SELECT password, disabled FROM account WHERE name = ?1").with(&*name);
        let rows = self.0.database.read(statement).await?;
        let (kept, disabled) = match rows.first() {
            Some(row) => (row.optional_text(0)?, row.integer(1)? != 0),
            None => (None, false),
        };
        let is_right = self.0.passwords.is_right(password, kept).await?;
        let failure = match (rows.is_empty(), is_right, disabled) {
            (true, _, _) => Some(Failure::Unknown),
            (_, false, _) => Some(Failure::Password),
            (_, _, true) => Some(Failure::Disabled),
            _ => None,
        };
        if let Some(failure) = failure {
            let actor = visit.actor(if failure == Failure::Unknown { NOBODY } else { &name });
            return self.wrong(failure, Event::of(&actor, Action::SignInFailed), Vec::new()).await;
        }
        of_client.iter().for_each(|key| self.0.throttle.take_back(key));
        self.0.throttle.clear(&of_name);
        let (token, batch) = self.begin(&name, Stage::Factor, visit, None)?;
        self.0.database.write(batch).await?;
        Ok(Attempt::Right(token))
    }

    /// Begins an attempt with a password, or says how long to wait first; what it is counted as, beside its
    /// client. Who has signed in from there before waits for nobody's guesses but those from there.
    async fn begin_password(&self, name: &str, of_client: Option<&Key>, visit: &Visit) -> Result<Result<Key, Duration>, AccountError> {
        let begin = |key: Key| {
            let keys: Vec<_> = std::iter::once(&key).chain(of_client).cloned().collect();
            self.0.throttle.begin(&keys, Instant::now()).map(|()| key)
        };
        let Err(wait) = begin(Key::Name(name.to_owned())) else { return Ok(Ok(Key::Name(name.to_owned()))) };
        let known = Audit::new(self.0.database.clone()).signed_in_from(name).await?;
        Ok(Key::known(name, visit.client, &known).map_or(Err(wait), begin))
    }

    /// The second half with a code of an authenticator.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn sign_in_with_totp(&self, session: &Session, code: &str, visit: &Visit) -> Result<Attempt<String>, AccountError> {
        if let Some(wait) = self.factor_wait(session) {
            return Ok(Attempt::Wait(wait));
        }
        let name = &session.account.name;
        let rows = self.0.database.read(Statement::new("SELECT totp FROM account WHERE name = ?1").with(&**name)).await?;
        let secret = rows.first().map(|row| row.optional_text(0)).transpose()?.flatten();
        let step = match secret {
            Some(secret) => TotpSecret::parse(&secret).step(code, now_seconds())?,
            None => None,
        };
        let Some(step) = step else { return self.wrong_factor(session, Failure::Code, visit).await };
        // Where it was taken before, nothing is changed by this, and nobody is signed in.
        let take = Statement::new("UPDATE account SET totp_step = ?2 WHERE name = ?1 AND totp_step < ?2").with(&**name).with(step);
        self.open(session, Method::Totp, Failure::Replay, take.must_change(), visit).await
    }

    /// The second half with a recovery code, which is of no use any more after that.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn sign_in_with_recovery(&self, session: &Session, code: &str, visit: &Visit) -> Result<Attempt<String>, AccountError> {
        if let Some(wait) = self.factor_wait(session) {
            return Ok(Attempt::Wait(wait));
        }
        let take = Statement::new("DELETE FROM account_recovery WHERE account = ?1 AND hash = ?2");
        let take = take.with(&*session.account.name).with(recovery::hash(code)).must_change();
        self.open(session, Method::Recovery, Failure::Recovery, take, visit).await
    }

    /// How long to wait before another code.
    pub(super) fn factor_wait(&self, session: &Session) -> Option<Duration> {
        self.0.throttle.begin(&[Key::Factor(session.account.name.clone())], Instant::now()).err()
    }

    /// Signs in, if `proof` changes what it has to; otherwise it was `failure`.
    pub(super) async fn open(
        &self,
        session: &Session,
        method: Method,
        failure: Failure,
        proof: Statement,
        visit: &Visit,
    ) -> Result<Attempt<String>, AccountError> {
        let name = &session.account.name;
        // Another cookie than that of the first half: whoever had planted that has nothing of it.
        let (token, begin) = self.begin(name, Stage::Open, visit, None)?;
        let gone = Statement::new("DELETE FROM account_session WHERE id = ?1 AND stage = 'factor'").with(&*session.id).must_change();
        let seen = Statement::new("UPDATE account SET signed_in_at = ?2 WHERE name = ?1").with(&**name).with(millis(SystemTime::now()));
        let actor = visit.actor(name);
        let event = Event::of(&actor, Action::SignIn).on(name).with("method", method.as_str()).with("agent", &*visit.agent);
        let batch = [vec![proof, gone, seen], begin, vec![event.statement()]].concat();
        match self.0.database.write(batch).await {
            Ok(_) => {
                self.0.throttle.clear(&Key::Factor(name.clone()));
                Ok(Attempt::Right(token))
            }
            Err(StorageError::Unchanged) => self.wrong_factor(session, failure, visit).await,
            Err(error) => Err(error.into()),
        }
    }

    /// A wrong code: after a few the password has to be said again.
    pub(super) async fn wrong_factor(&self, session: &Session, failure: Failure, visit: &Visit) -> Result<Attempt<String>, AccountError> {
        let count = Statement::new("UPDATE account_session SET attempts = attempts + 1 WHERE id = ?1").with(&*session.id);
        let end = Statement::new("DELETE FROM account_session WHERE id = ?1 AND attempts >= ?2").with(&*session.id).with(CODES);
        let actor = visit.actor(&session.account.name);
        self.wrong(failure, Event::of(&actor, Action::SignInFailed).on(&session.account.name), vec![count, end]).await
    }

    pub(super) async fn wrong<T>(&self, failure: Failure, event: Event<'_>, mut batch: Vec<Statement>) -> Result<Attempt<T>, AccountError> {
        batch.push(event.with("reason", failure.as_str()).statement());
        self.0.database.write(batch).await?;
        Ok(Attempt::Wrong(failure))
    }
}

pub(super) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
