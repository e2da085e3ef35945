//! Passkeys (WebAuthn level 3). A challenge is kept in the session's row until it is answered, once.
use super::{
    AccountError, Accounts, Attempt, Enrolled, Failure, Method, Refused, Session, Stage, Visit,
    enrol::{Begun, begun},
};
use crate::audit::{Action, Actor, Event};
use crate::storage::{Statement, StorageError};
use crate::value::{millis, time};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::time::SystemTime;
use webauthn_rs::prelude::{Passkey as Credential, PasskeyAuthentication, PasskeyRegistration, Url, Uuid, Webauthn, WebauthnBuilder};

/// Of one account.
const MOST: usize = 20;
/// Octets of the name somebody gives one.
const LABEL: usize = 60;

/// A passkey in a list.
#[derive(Debug, Clone)]
pub struct Passkey {
    pub id: String,
    pub label: String,
    pub created_at: SystemTime,
    pub used_at: Option<SystemTime>,
}

/// The relying party, which passkeys are bound to.
#[derive(Debug)]
pub(super) struct Passkeys(Webauthn);

impl Passkeys {
    /// `None` where `url` has no name of a host.
    pub(super) fn new(url: &Url) -> Option<Self> {
        let builder = WebauthnBuilder::new(url.domain()?, url).ok()?.rp_name("octroi");
        builder.build().ok().map(Self)
    }
}

impl Accounts {
    /// Whether passkeys can be used at this console at all.
    #[must_use]
    pub fn has_passkeys(&self) -> bool {
        self.0.passkeys.is_some()
    }

    /// The passkeys of an account.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn passkeys(&self, name: &str) -> Result<Vec<Passkey>, AccountError> {
        let statement = Statement::new("SELECT id, label, created_at, used_at FROM account_passkey WHERE account = ?1 ORDER BY created_at");
        let rows = self.0.database.read(statement.with(name)).await?;
        let read = rows.iter().map(|row| {
            let used_at = row.optional_integer(3)?.map(time);
            Ok(Passkey { id: row.text(0)?, label: row.text(1)?, created_at: time(row.integer(2)?), used_at })
        });
        Ok(read.collect::<Result<_, StorageError>>()?)
    }

    /// What `navigator.credentials.create` is to be given, for an enrolment or one more passkey.
    ///
    /// # Errors
    /// There are no passkeys here, or too many; or it cannot be written.
    pub async fn offer_passkey(&self, session: &Session) -> Result<Value, AccountError> {
        let account = &session.account;
        let known = self.credentials(&account.name).await?;
        if known.len() >= MOST {
            return Err(Refused::ManyPasskeys.into());
        }
        let handle = Uuid::parse_str(&account.handle).map_err(|error| failed(&error))?;
        let exclude = known.iter().map(|credential| credential.cred_id().clone()).collect();
        let begun = self.webauthn()?.start_passkey_registration(handle, &account.name, &account.name, Some(exclude));
        let (challenge, state) = begun.map_err(|error| failed(&error))?;
        let mut pending = self.pending(&session.id).await?.unwrap_or_else(|| json!({}));
        if let Some(pending) = pending.as_object_mut() {
            pending.insert("registration".to_owned(), serde_json::to_value(&state).map_err(|error| failed(&error))?);
        }
        self.set_pending(session, &pending).await?;
        serde_json::to_value(challenge).map_err(|error| failed(&error))
    }

    /// Adds a passkey to an account; whether the authenticator's answer was right.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn add_passkey(&self, session: &Session, answer: &str, label: &str, by: &Actor) -> Result<bool, AccountError> {
        let Some(credential) = self.registered(session, answer).await? else { return Ok(false) };
        let done = Statement::new("UPDATE account_session SET pending = NULL WHERE id = ?1").with(&*session.id);
        let name = &session.account.name;
        let event = Event::of(by, Action::PasskeyAdd).on(name).with("label", shortened(label));
        self.keep_passkey(name, vec![row(name, label, &credential)?, done], &event).await
    }

    /// `batch`, whose first statement keeps a passkey; `false` where it is somebody's already.
    pub(super) async fn keep_passkey(&self, name: &str, batch: Vec<Statement>, event: &Event<'_>) -> Result<bool, AccountError> {
        match self.change(name, batch, event).await {
            Ok(()) => Ok(true),
            Err(AccountError::NoAccount(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends an enrolment with a passkey.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn enrol_with_passkey(
        &self,
        session: &Session,
        answer: &str,
        label: &str,
        visit: &Visit,
    ) -> Result<Attempt<Enrolled>, AccountError> {
        let Some(begun): Option<Begun> = begun(session) else { return Ok(Attempt::Wrong(Failure::Enrolment)) };
        let Some(credential) = self.registered(session, answer).await? else { return Ok(Attempt::Wrong(Failure::Passkey)) };
        let factor = vec![row(&session.account.name, label, &credential)?];
        self.enrolled(session, &begun, factor, Method::Passkey, visit).await
    }

    /// Takes a passkey away, if a second factor is left then.
    ///
    /// # Errors
    /// None is, there is no such passkey, or it cannot be written.
    pub async fn remove_passkey(&self, name: &str, id: &str, by: &Actor) -> Result<(), AccountError> {
        let gone = Statement::new(
            "DELETE FROM account_passkey WHERE id = ?2 AND account = ?1 AND (EXISTS (SELECT 1 FROM account WHERE name = ?1 AND totp IS NOT NULL) \
             OR EXISTS (SELECT 1 FROM account_passkey WHERE account = ?1 AND id <> ?2))",
        );
        self.change_factor(name, gone.with(name).with(id), &Event::of(by, Action::PasskeyRemove).on(name)).await
    }

    /// What `navigator.credentials.get` is to be given, half way; `None` where the account has none.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn ask_passkey(&self, session: &Session) -> Result<Option<Value>, AccountError> {
        let known = self.credentials(&session.account.name).await?;
        if session.stage != Stage::Factor || known.is_empty() || !self.has_passkeys() {
            return Ok(None);
        }
        let (challenge, state) = self.webauthn()?.start_passkey_authentication(&known).map_err(|error| failed(&error))?;
        self.set_pending(session, &json!({ "authentication": state })).await?;
        serde_json::to_value(challenge).map(Some).map_err(|error| failed(&error))
    }

    /// The second half of signing in with a passkey.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn sign_in_with_passkey(&self, session: &Session, answer: &str, visit: &Visit) -> Result<Attempt<String>, AccountError> {
        if let Some(wait) = self.factor_wait(session) {
            return Ok(Attempt::Wait(wait));
        }
        let state = self.taken::<PasskeyAuthentication>(session, "authentication").await?;
        let answer = serde_json::from_str(answer).ok();
        let (Some(state), Some(answer)) = (state, answer) else { return self.wrong_factor(session, Failure::Passkey, visit).await };
        let Ok(result) = self.webauthn()?.finish_passkey_authentication(&answer, &state) else {
            return self.wrong_factor(session, Failure::Passkey, visit).await;
        };
        let name = &session.account.name;
        let mut known = self.credentials(name).await?;
        let used = known.iter_mut().find_map(|credential| credential.update_credential(&result).map(|_| &*credential));
        let Some(used) = used else { return self.wrong_factor(session, Failure::Passkey, visit).await };
        let credential = serde_json::to_string(used).map_err(|error| failed(&error))?;
        let note = Statement::new("UPDATE account_passkey SET credential = ?3, used_at = ?4 WHERE id = ?2 AND account = ?1").must_change();
        let note = note.with(&**name).with(id(used)).with(credential).with(millis(SystemTime::now()));
        self.open(session, Method::Passkey, Failure::Passkey, note, visit).await
    }

    fn webauthn(&self) -> Result<&Webauthn, AccountError> {
        Ok(self.0.passkeys.as_ref().map(|Passkeys(webauthn)| webauthn).ok_or(Refused::NoPasskeys)?)
    }

    async fn credentials(&self, name: &str) -> Result<Vec<Credential>, AccountError> {
        let rows = self.0.database.read(Statement::new("SELECT credential FROM account_passkey WHERE account = ?1").with(name)).await?;
        rows.iter().map(|row| serde_json::from_str(&row.text(0)?).map_err(|error| failed(&error))).collect()
    }

    /// The credential that an authenticator has made for the challenge of this session.
    async fn registered(&self, session: &Session, answer: &str) -> Result<Option<Credential>, AccountError> {
        let Some(state) = self.taken::<PasskeyRegistration>(session, "registration").await? else { return Ok(None) };
        let Ok(answer) = serde_json::from_str(answer) else { return Ok(None) };
        Ok(self.webauthn()?.finish_passkey_registration(&answer, &state).ok())
    }

    /// A challenge that is under way, which is over with that: none is answered twice.
    async fn taken<T: serde::de::DeserializeOwned>(&self, session: &Session, what: &str) -> Result<Option<T>, AccountError> {
        let Some(mut pending) = self.pending(&session.id).await? else { return Ok(None) };
        let before = pending.to_string();
        let Some(state) = pending.as_object_mut().and_then(|pending| pending.remove(what)) else { return Ok(None) };
        let set = Statement::new("UPDATE account_session SET pending = ?2 WHERE id = ?1 AND pending = ?3").must_change();
        match self.0.database.write(vec![set.with(&*session.id).with(pending.to_string()).with(before)]).await {
            Ok(_) => Ok(serde_json::from_value(state).ok()),
            Err(StorageError::Unchanged) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn id(credential: &Credential) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(credential.cred_id())
}

fn row(name: &str, label: &str, credential: &Credential) -> Result<Statement, AccountError> {
    let json = serde_json::to_string(credential).map_err(|error| failed(&error))?;
    Ok(kept(name, label, &id(credential), &json))
}

/// Nothing of its batch is done where there is one of that id, whosever it is: the credential id is the
/// authenticator's choice (WebAuthn level 3 §7.1, step 26).
pub(super) fn kept(name: &str, label: &str, id: &str, json: &str) -> Statement {
    let new = "INSERT INTO account_passkey (id, account, label, credential, created_at) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT (id) DO NOTHING";
    let new = Statement::new(new).with(id).with(name).with(shortened(label)).with(json);
    new.with(millis(SystemTime::now())).must_change()
}

fn shortened(label: &str) -> &str {
    let label = label.trim();
    if label.is_empty() { "passkey" } else { label.get(..label.floor_char_boundary(LABEL)).unwrap_or_default() }
}

fn failed(error: &dyn std::fmt::Display) -> AccountError {
    AccountError::Failed(format!("a passkey: {error}").into())
}
