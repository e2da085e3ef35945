//! What is let through that would be held: a sender, for one recipient, past the one thing that held
//! him, and for a while.
//!
//! It undoes that one decision and nothing else: where another stage wants the message held, refused
//! or discarded, that is done. Nothing lets malware pass, nor what a stage could not finish with. A
//! name in an envelope is anybody's to write; where the message it was made from was authenticated
//! for its sender, so must be what it lets through.
use super::{By, Conflict, Entry, Quarantine, QuarantineError, Visible, Wrong, distinct, millis, time};
use crate::chain::{Finding, HoldClass, Value};
use crate::storage::{Row, Statement, StorageError};
use std::time::{Duration, SystemTime};

/// How long it lasts at most; it should be somebody's decision again after that.
const LONGEST: Duration = Duration::from_secs(45 * 86_400);
/// How long it lasts where nobody says.
const USUAL: Duration = Duration::from_secs(7 * 86_400);
/// How long the row of one that is over is kept.
pub(super) const REMEMBERED: Duration = Duration::from_secs(365 * 86_400);
/// Recipients of one message that are looked up.
const RECIPIENTS: usize = 1000;
/// Of one list.
const LISTED: u64 = 500;

/// What is to be allowed.
#[derive(Debug, Clone)]
pub struct Allow<'a> {
    /// The whole domain of the sender, not his address alone.
    pub domain: bool,
    /// Of the entry.
    pub recipients: &'a [String],
    /// Up to 45 days.
    pub lasts: Duration,
    pub by: By<'a>,
}

impl Allow<'_> {
    /// How long it lasts where nobody says.
    pub const USUAL: Duration = USUAL;
    /// At most.
    pub const LONGEST: Duration = LONGEST;

    /// Whether one may last so long.
    ///
    /// # Errors
    /// Not at all, or too long.
    pub fn check(lasts: Duration) -> Result<(), Wrong> {
        if lasts.is_zero() || lasts > LONGEST {
            return Err(Wrong::AllowanceTooLong { days: (LONGEST.as_secs() / 86_400).to_string().into() });
        }
        Ok(())
    }
}

/// One that there is, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    pub number: i64,
    /// What it was made from.
    pub entry: String,
    /// An address, or with `@` in front a domain.
    pub sender: String,
    pub recipient: String,
    pub class: String,
    pub decided_by: String,
    /// Only where SPF or DMARC pass for the sender.
    pub authenticated: bool,
    pub created_at: SystemTime,
    pub created_by: String,
    pub expires_at: SystemTime,
    /// How often something was let through, and when last.
    pub used: i64,
    pub used_at: Option<SystemTime>,
    pub revoked_by: Option<String>,
}

/// Why a message is about to be held.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    pub class: HoldClass,
    pub decided_by: &'a str,
    /// The reverse-path, in lower case.
    pub sender: &'a str,
    pub authenticated: bool,
}

const COLUMNS: &str =
    "number, entry, sender, recipient, class, decided_by, authenticated, created_at, created_by, expires_at, used, used_at, revoked_by";

impl Allowance {
    fn read(row: &Row) -> Result<Self, QuarantineError> {
        Ok(Self {
            number: row.integer(0)?,
            entry: row.text(1)?,
            sender: row.text(2)?,
            recipient: row.text(3)?,
            class: row.text(4)?,
            decided_by: row.text(5)?,
            authenticated: row.integer(6)? != 0,
            created_at: time(row.integer(7)?),
            created_by: row.text(8)?,
            expires_at: time(row.integer(9)?),
            used: row.integer(10)?,
            used_at: row.optional_integer(11)?.map(time),
            revoked_by: row.optional_text(12)?,
        })
    }

    /// Whether it lets anything through at `now`.
    #[must_use]
    pub fn holds(&self, now: SystemTime) -> bool {
        self.revoked_by.is_none() && self.expires_at > now
    }
}

/// Whether SPF passes for the envelope's sender, or DMARC for an author of the same domain.
pub fn is_authenticated(sender: &str, findings: &[Finding]) -> bool {
    let texts: Vec<(&str, &str)> = findings
        .iter()
        .filter_map(|finding| if let Value::Text(text) = &finding.value { Some((finding.name, &**text)) } else { None })
        .collect();
    authenticated(sender, &texts)
}

fn authenticated(sender: &str, texts: &[(&str, &str)]) -> bool {
    let Some((_, domain)) = sender.rsplit_once('@') else { return false };
    let of = |name: &str| texts.iter().find(|(is, _)| *is == name).map_or("", |(_, text)| *text);
    let passes = |result: &str, who: &str| of(result) == "pass" && of(who).eq_ignore_ascii_case(domain);
    passes("auth.spf", "auth.spf_domain") || passes("auth.dmarc", "auth.dmarc_domain") || passes("auth.dmarc", "auth.from_domain")
}

impl Entry {
    /// Whether its sender was who he said, by SPF or DMARC.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        let findings: Vec<serde_json::Value> = serde_json::from_str(&self.findings).unwrap_or_default();
        let text =
            |finding: &serde_json::Value| Some((finding.get("name")?.as_str()?.to_owned(), finding.get("value")?.as_str()?.to_owned()));
        let texts: Vec<_> = findings.iter().filter_map(text).collect();
        authenticated(&self.sender, &texts.iter().map(|(name, text)| (&**name, &**text)).collect::<Vec<_>>())
    }
}

impl Quarantine {
    /// Why nothing like `entry` can be let through; `None` where it can.
    #[must_use]
    pub fn why_not_allowed(&self, entry: &Entry) -> Option<Conflict> {
        let class = HoldClass::parse(&entry.class);
        if !matches!(class, Some(HoldClass::Phishing | HoldClass::Spam | HoldClass::Policy)) {
            return Some(Conflict::NeverAllowed);
        }
        if self.takes_two(&entry.class) {
            return Some(Conflict::AllowedByTwo);
        }
        if entry.sender.is_empty() {
            return Some(Conflict::NoSender);
        }
        entry.decided_by.is_none().then_some(Conflict::ForSomeOnly)
    }

    /// Lets through what is like `entry`; one allowance for each recipient.
    ///
    /// # Errors
    /// That cannot be allowed, or the database cannot be written to.
    pub async fn allow(&self, entry: &Entry, allow: Allow<'_>) -> Result<(), QuarantineError> {
        if let Some(why) = self.why_not_allowed(entry) {
            return Err(why.into());
        }
        Allow::check(allow.lasts)?;
        let wanted = distinct(allow.recipients);
        let known = |address: &String| entry.recipients.iter().any(|recipient| recipient.address == *address);
        if wanted.is_empty() || !wanted.iter().all(known) {
            return Err(Wrong::AllowanceForOthers.into());
        }
        let sender = match entry.sender.rsplit_once('@') {
            Some((_, domain)) if allow.domain => format!("@{domain}"),
            _ => entry.sender.clone(),
        };
        let now = SystemTime::now();
        let authenticated = entry.is_authenticated();
        let one = |recipient: &String| {
            Statement::new(
                "INSERT INTO quarantine_allowance (entry, sender, recipient, class, decided_by, authenticated, created_at, created_by, expires_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )
            .with(&*entry.id)
            .with(&*sender)
            .with(&**recipient)
            .with(&*entry.class)
            .with(entry.decided_by.as_deref())
            .with(authenticated)
            .with(millis(now))
            .with(allow.by.name)
            .with(millis(now + allow.lasts))
        };
        let rows: Vec<_> = wanted.iter().map(one).collect();
        self.0.database.write(rows.into_iter().chain(allow.by.record).collect()).await?;
        Ok(())
    }

    /// For which of `recipients` (in lower case) a message that is about to be held is let through,
    /// by the number of what lets it.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn allowed(&self, cause: Cause<'_>, recipients: &[String]) -> Result<Vec<(String, i64)>, QuarantineError> {
        let Some((_, domain)) = cause.sender.rsplit_once('@') else { return Ok(Vec::new()) };
        if recipients.is_empty() || recipients.len() > RECIPIENTS || self.takes_two(cause.class.as_str()) {
            return Ok(Vec::new());
        }
        let places: Vec<_> = (0..recipients.len()).map(|n| format!("?{}", n + 7)).collect();
        let statement = Statement::new(format!(
            "SELECT recipient, min(number) FROM quarantine_allowance WHERE recipient IN ({}) AND decided_by = ?1 AND expires_at > ?2 \
             AND class = ?3 AND sender IN (?4, ?5) AND authenticated <= ?6 AND revoked_at IS NULL GROUP BY recipient",
            places.join(", ")
        ));
        let statement = statement
            .with(cause.decided_by)
            .with(millis(SystemTime::now()))
            .with(cause.class.as_str())
            .with(cause.sender)
            .with(format!("@{domain}"))
            .with(cause.authenticated);
        let rows = self.0.database.read(recipients.iter().fold(statement, |statement, address| statement.with(&**address))).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.integer(1)?))).collect()
    }

    /// Counts what these have let through.
    ///
    /// # Errors
    /// The database cannot be written to.
    pub async fn allowance_used(&self, numbers: &[i64]) -> Result<(), QuarantineError> {
        let one = |number: &i64| {
            Statement::new("UPDATE quarantine_allowance SET used = used + 1, used_at = ?2 WHERE number = ?1")
                .with(*number)
                .with(millis(SystemTime::now()))
        };
        self.0.database.write(numbers.iter().map(one).collect()).await?;
        Ok(())
    }

    /// Those that there are and were, for recipients that may be seen, the latest first; 500 at most.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn allowances(&self, visible: &Visible) -> Result<Vec<Allowance>, QuarantineError> {
        let domains: Vec<_> = match visible {
            Visible::All => Vec::new(),
            Visible::Domains(domains) if domains.is_empty() => return Ok(Vec::new()),
            Visible::Domains(domains) => domains.iter().map(|domain| format!("@{domain}")).collect(),
        };
        let each: Vec<_> = (0..domains.len()).map(|n| format!("substr(recipient, -length(?{0})) = ?{0}", n + 2)).collect();
        let condition = if each.is_empty() { String::new() } else { format!("WHERE {}", each.join(" OR ")) };
        let sql = format!("SELECT {COLUMNS} FROM quarantine_allowance {condition} ORDER BY number DESC LIMIT ?1");
        let statement = domains.into_iter().fold(Statement::new(sql).with(LISTED), Statement::with);
        self.0.database.read(statement).await?.iter().map(Allowance::read).collect()
    }

    /// The one of that number.
    ///
    /// # Errors
    /// There is none that may be seen, or the database cannot be read.
    pub async fn allowance(&self, number: i64, visible: &Visible) -> Result<Allowance, QuarantineError> {
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM quarantine_allowance WHERE number = ?1")).with(number);
        let rows = self.0.database.read(statement).await?;
        let found = rows.first().map(Allowance::read).transpose()?.filter(|allowance| visible.covers(&allowance.recipient));
        found.ok_or(QuarantineError::NoAllowance(number))
    }

    /// Ends one before its time.
    ///
    /// # Errors
    /// It is over, or it cannot be written.
    pub async fn revoke<'a>(&self, allowance: &Allowance, by: impl Into<By<'a>>) -> Result<(), QuarantineError> {
        let statement = Statement::new(
            "UPDATE quarantine_allowance SET revoked_at = ?2, revoked_by = ?3 WHERE number = ?1 AND revoked_at IS NULL AND expires_at > ?2",
        );
        let by = by.into();
        let statement = statement.with(allowance.number).with(millis(SystemTime::now())).with(by.name).must_change();
        match self.0.database.write([statement].into_iter().chain(by.record).collect()).await {
            Ok(_) => Ok(()),
            Err(StorageError::Unchanged) => Err(Conflict::AllowanceOver.into()),
            Err(error) => Err(error.into()),
        }
    }
}
