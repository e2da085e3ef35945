//! Being signed in.
use super::{Account, AccountError, Accounts, random::fingerprint};
use crate::storage::Statement;
use crate::value::{millis, time, words};
use std::time::{Duration, SystemTime};

words! {
    /// How far somebody has come.
    Stage {
        /// An enrolment code was right: password and second factor are being set.
        Enrolment = "enrolment",
        /// The password was right: the second factor is awaited.
        Factor = "factor",
        Open = "open",
    }
}

/// A session, as its cookie found it.
#[derive(Debug, Clone)]
pub struct Session {
    /// To speak of it; of no use to sign in with.
    pub id: String,
    pub account: Account,
    pub stage: Stage,
    /// What forms of this session carry, and nobody else knows.
    pub csrf: String,
    pub created_at: SystemTime,
    pub ends_at: SystemTime,
}

/// How exact the time of the last request is kept: not each is worth a sync of the disk.
const SEEN: Duration = Duration::from_secs(30);

impl Accounts {
    /// The session that a cookie is for, which is used by that; `None` where there is none, or none
    /// any more.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn session(&self, token: &str) -> Result<Option<Session>, AccountError> {
        let id = fingerprint("session", token);
        let now = SystemTime::now();
        let statement = Statement::new(
            "SELECT account, stage, created_at, seen_at, ends_at FROM account_session WHERE id = ?1 AND ends_at > ?2 AND seen_at > ?3",
        );
        let idle = millis(now) - i64::try_from(self.0.lifetimes.idle.as_millis()).unwrap_or(i64::MAX);
        let rows = self.0.database.read(statement.with(&*id).with(millis(now)).with(idle)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let account = self.account(&row.text(0)?).await?;
        let Some(stage) = Stage::parse(&row.text(1)?) else { return Ok(None) };
        if account.disabled {
            return Ok(None);
        }
        if now.duration_since(time(row.integer(3)?)).is_ok_and(|since| since >= SEEN) {
            let seen = Statement::new("UPDATE account_session SET seen_at = ?2 WHERE id = ?1").with(&*id).with(millis(now));
            self.0.database.write(vec![seen]).await?;
        }
        let csrf = fingerprint("csrf", token);
        Ok(Some(Session { id, account, stage, csrf, created_at: time(row.integer(2)?), ends_at: time(row.integer(4)?) }))
    }
}
