//! Being signed in.
use super::{
    Account, AccountError, Accounts,
    random::{fingerprint, token},
};
use crate::audit::{Action, Actor, Event};
use crate::storage::{Statement, StorageError};
use crate::value::{millis, time, words};
use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

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

/// From where somebody comes.
#[derive(Debug, Clone)]
pub struct Visit {
    pub client: IpAddr,
    /// The browser, as it calls itself; bounded by whoever makes this.
    pub agent: String,
}

impl Visit {
    pub(super) fn actor(&self, name: &str) -> Actor {
        Actor::new(name, Some(self.client))
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
    pub(super) pending: Option<String>,
}

/// A session in a list.
#[derive(Debug, Clone)]
pub struct Listed {
    pub id: String,
    pub created_at: SystemTime,
    pub seen_at: SystemTime,
    pub client: String,
    pub agent: String,
}

/// How exact the time of the last request is kept: not each is worth a sync of the disk.
const SEEN: Duration = Duration::from_secs(30);
/// For what comes before a session is open.
pub(super) const HALF_WAY: Duration = Duration::from_secs(10 * 60);

impl Accounts {
    /// The session that a cookie is for, which is used by that; `None` where there is none, or none
    /// any more.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn session(&self, token: &str) -> Result<Option<Session>, AccountError> {
        let id = fingerprint("session", token);
        let now = SystemTime::now();
        let idle = self.0.lifetimes.idle;
        let statement = Statement::new(
            "SELECT account, stage, created_at, seen_at, ends_at, pending FROM account_session \
             WHERE id = ?1 AND ends_at > ?2 AND seen_at > ?3",
        );
        let rows = self.0.database.read(statement.with(&*id).with(millis(now)).with(millis(now) - span(idle))).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let account = self.account(&row.text(0)?).await?;
        let Some(stage) = Stage::parse(&row.text(1)?) else { return Ok(None) };
        if account.disabled {
            return Ok(None);
        }
        if now.duration_since(time(row.integer(3)?)).is_ok_and(|since| since >= SEEN.min(idle / 4)) {
            let seen = Statement::new("UPDATE account_session SET seen_at = ?2 WHERE id = ?1").with(&*id).with(millis(now));
            super::noted("when a session was used last", self.0.database.write(vec![seen]).await);
        }
        Ok(Some(Session {
            id,
            account,
            stage,
            csrf: fingerprint("csrf", token),
            created_at: time(row.integer(2)?),
            ends_at: time(row.integer(4)?),
            pending: row.optional_text(5)?,
        }))
    }

    /// The open sessions of an account, the last used first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn sessions(&self, name: &str) -> Result<Vec<Listed>, AccountError> {
        let now = millis(SystemTime::now());
        let statement = Statement::new(
            "SELECT id, created_at, seen_at, client, agent FROM account_session \
             WHERE account = ?1 AND stage = 'open' AND ends_at > ?2 AND seen_at > ?3 ORDER BY seen_at DESC LIMIT 100",
        );
        let rows = self.0.database.read(statement.with(name).with(now).with(now - span(self.0.lifetimes.idle))).await?;
        let listed = rows.iter().map(|row| {
            Ok(Listed {
                id: row.text(0)?,
                created_at: time(row.integer(1)?),
                seen_at: time(row.integer(2)?),
                client: row.text(3)?,
                agent: row.text(4)?,
            })
        });
        Ok(listed.collect::<Result<_, StorageError>>()?)
    }

    /// Signs out.
    ///
    /// # Errors
    /// The session may still be open.
    pub async fn sign_out(&self, session: &str, actor: &Actor) -> Result<(), AccountError> {
        let gone = Statement::new("DELETE FROM account_session WHERE id = ?1").with(session);
        self.0.database.write(vec![gone, Event::of(actor, Action::SignOut).on(&actor.name).statement()]).await?;
        Ok(())
    }

    /// Ends a session of an account, or all but `spare`.
    ///
    /// # Errors
    /// They may still be open.
    pub async fn end_sessions(&self, name: &str, only: Option<&str>, spare: &str, by: &Actor) -> Result<usize, AccountError> {
        let gone = Statement::new("DELETE FROM account_session WHERE account = ?1 AND id <> ?2 AND (?3 IS NULL OR id = ?3)");
        let event = Event::of(by, Action::SessionEnd).on(name).with("all", only.is_none());
        let changed = self.0.database.write(vec![gone.with(name).with(spare).with(only), event.statement()]).await?;
        Ok(changed.first().copied().unwrap_or_default())
    }

    /// The row of a new session, and what its cookie is. What is over is removed on the way.
    pub(super) fn begin(
        &self,
        name: &str,
        stage: Stage,
        visit: &Visit,
        pending: Option<String>,
    ) -> Result<(String, Vec<Statement>), AccountError> {
        let token = token()?;
        let now = SystemTime::now();
        let life = if stage == Stage::Open { self.0.lifetimes.session } else { HALF_WAY };
        let old = Statement::new("DELETE FROM account_session WHERE ends_at <= ?1 OR seen_at <= ?2")
            .with(millis(now))
            .with(millis(now) - span(self.0.lifetimes.idle.max(HALF_WAY)));
        let new = Statement::new(
            "INSERT INTO account_session (id, account, stage, created_at, seen_at, ends_at, client, agent, pending) \
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8)",
        )
        .with(fingerprint("session", &token))
        .with(name)
        .with(stage.as_str())
        .with(millis(now))
        .with(millis(now) + span(life))
        .with(visit.client.to_string())
        .with(&*visit.agent)
        .with(pending);
        Ok((token, vec![old, new]))
    }
}

/// As rows have times.
pub(super) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// All sessions of an account, but for one, and whatever is under way for it.
pub(super) fn end_all(name: &str, spare: Option<&str>) -> Statement {
    Statement::new("DELETE FROM account_session WHERE account = ?1 AND id IS NOT ?2").with(name).with(spare)
}
