//! What is known of a message, or of what was refused before there was one, as it is kept.
use crate::chain::{Finding, StageTiming, Value};
use crate::storage::{self, Statement, StorageError};
use crate::value::millis;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Keys of one millisecond.
const PER_MILLISECOND: i64 = 4096;

/// And of one hour.
pub(super) const PER_HOUR: i64 = 3_600_000 * PER_MILLISECOND;

/// Statements that write a row.
pub(super) const OF_A_ROW: usize = 2;

/// What a row tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A message whose body had begun.
    Message,
    /// A command that was refused before there was a message.
    Command,
    /// A connection that was turned away before it became a session.
    Connection,
    /// What a client did that no mail client does, outside of a message.
    Violation,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Message, Self::Command, Self::Connection, Self::Violation];

    /// As it stands in rows, on the command line and in what that prints.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Command => "command",
            Self::Connection => "connection",
            Self::Violation => "violation",
        }
    }

    /// Whether it is without a message: anybody can cause it, as often as he likes.
    #[must_use]
    pub fn is_without_message(self) -> bool {
        self != Self::Message
    }

    /// The other way round.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A row. Texts that a client chose are bounded and on one line. Where addresses are hashed, what
/// stands for one begins with `#`.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its place: later rows have greater keys. Fits into a number of JavaScript's.
    pub key: i64,
    /// When it was settled.
    pub at: SystemTime,
    pub kind: Kind,
    /// Of a command or connection: `CONNECT`, `EHLO`, `STARTTLS`, `AUTH`, `MAIL`, `RCPT`, `DATA`.
    pub phase: Option<String>,
    pub listener: String,
    /// The session's id; none of a connection that became none.
    pub session: Option<String>,
    /// Our id of the message.
    pub message: Option<String>,
    /// The true client's IP address.
    pub client: String,
    pub port: u16,
    pub helo: Option<String>,
    /// Empty where it authenticated by a mechanism that does not show the account.
    pub account: Option<String>,
    /// The reverse-path, empty for the null one; `None` before MAIL.
    pub sender: Option<String>,
    /// Accepted ones; of a refused RCPT that one.
    pub recipients: Vec<String>,
    /// How many there were, also those that the row has no room for.
    pub nrcpt: u64,
    /// Decoded, the first field.
    pub header_from: Option<String>,
    /// Decoded, the first field.
    pub subject: Option<String>,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// Octets as received.
    pub size: u64,
    /// `delivered`, `quarantined`, `discarded`, `rejected`, `deferred`, `lost`; none of a violation.
    pub verdict: Option<String>,
    /// The stage, or `rule NAME`.
    pub decided_by: Option<String>,
    /// What the client did that no mail client does.
    pub violations: Vec<String>,
    pub upstream: Option<String>,
    /// What the client was told.
    pub reply: Option<String>,
    /// The upstream's.
    pub queue_id: Option<String>,
    /// What went wrong with us or behind us; of a violation, what it was.
    pub error: Option<String>,
    pub details: Details,
}

/// What is shown of a row and not sorted by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// RFC 3848: `ESMTPS` …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// How the account authenticated: the SASL mechanism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
    /// The address that the client connected to, and its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Found>,
    /// Findings that there is no room for.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_findings: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// It went on, or is held, without a stage having finished that was to.
    #[serde(skip_serializing_if = "is_false")]
    pub unfinished: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delays: Option<Delays>,
    /// Recipients that it is held for while others got it, or all of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub held: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Of URLs in the message's texts, lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Why attachments and hosts are not there, or not all: `incomplete` (its end never came, or was
    /// not looked at), `busy`, `late`, `too_large`, `too_many`, `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unexamined: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// `TLSv1.3`.
    pub version: String,
    pub cipher: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Subject of the client's certificate, where it showed one that verifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_subject: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub resumed: bool,
    /// The fingerprint of the client's hello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
}

/// A finding: a documented name, and a text, a number or a truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    pub name: Cow<'static, str>,
    pub value: serde_json::Value,
}

/// What a stage took and said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stage {
    pub stage: String,
    pub seconds: f64,
    /// `pass`, `refuse`, `discard`, `quarantine`, `edit`, `incomplete`.
    pub result: Cow<'static, str>,
    /// Why it did not finish: `late`, `failed` …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<Cow<'static, str>>,
    /// How much it found.
    #[serde(skip_serializing_if = "is_zero")]
    pub findings: u64,
}

/// Seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delays {
    /// From MAIL to the end of data.
    pub receive: f64,
    /// The chain after that.
    pub chain: f64,
    /// The upstream, or whatever followed the chain.
    pub deliver: f64,
    pub total: f64,
}

/// A file of a message, or inside one of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Every name that some program would give it; its kind where it has none.
    pub names: Vec<String>,
    /// The names of what it is in, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<String>,
    /// By its content: `pdf`, `zip` …
    pub kind: String,
    /// In hexadecimal; of what could be read of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Octets.
    pub size: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Seconds, to the microsecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)).as_secs_f64()
}

impl Found {
    pub(super) fn of(finding: &Finding, text: &dyn Fn(&str) -> String) -> Self {
        let value = match &finding.value {
            Value::Text(found) => text(found).into(),
            Value::Number(number) => (*number).into(),
            Value::Real(real) => serde_json::Number::from_f64(*real).map_or(serde_json::Value::Null, serde_json::Value::Number),
            Value::Flag(flag) => (*flag).into(),
        };
        Self { name: finding.name.into(), value }
    }

    /// The value as rules and the log write it.
    #[must_use]
    pub fn text(&self) -> String {
        self.value.as_str().map_or_else(|| self.value.to_string(), str::to_owned)
    }
}

impl Details {
    fn to_json(&self) -> String {
        // What a message usually has: to grow into it takes as long as to write it.
        let mut json = Vec::with_capacity(1024);
        let written = serde_json::to_writer(&mut json, self).is_ok();
        String::from_utf8(json).ok().filter(|_| written).unwrap_or_else(|| "{}".to_owned())
    }
}

impl From<&StageTiming> for Stage {
    fn from(timing: &StageTiming) -> Self {
        Self {
            stage: timing.stage.to_string(),
            seconds: seconds(timing.took),
            result: timing.result.as_str().into(),
            incomplete: timing.incomplete.map(|why| why.as_str().into()),
            findings: timing.findings as u64,
        }
    }
}

/// The least key of a time; those of all later ones are greater.
pub(super) fn first_key(at: SystemTime) -> i64 {
    millis(at).saturating_mul(PER_MILLISECOND)
}

/// The key after `last`, for a row settled at `at`: of its own millisecond where the clock goes
/// forward, and where it was set back by more than a moment too.
pub(super) fn next_key(last: i64, at: SystemTime) -> i64 {
    /// Rows are settled on several threads and come out of order by a moment.
    const MOMENT: i64 = 10_000 * PER_MILLISECOND;
    let first = first_key(at);
    if last >= first && last - first < MOMENT { last + 1 } else { first + last.rem_euclid(PER_MILLISECOND) }
}

pub(super) const COLUMNS: &str = "row.key, row.at, row.kind, row.phase, row.listener, row.session, row.message, row.client, row.port, \
    row.helo, row.account, row.sender, row.recipients, row.nrcpt, row.header_from, row.subject, row.message_id, row.size, row.verdict, \
    row.decided_by, row.violation, row.upstream, row.reply, row.queue_id, row.error, row.details";

impl Row {
    /// Writes it, and what it is found by; both have the key as their first parameter.
    pub(super) fn into_statements(self, terms: String) -> [Statement; OF_A_ROW] {
        let details = self.details.to_json();
        let row = Statement::new(
            "INSERT INTO journal_row VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
             ?21, ?22, ?23, ?24, ?25, ?26)",
        )
        .with_room(26)
        .with(self.key)
        .with(millis(self.at))
        .with(self.kind.as_str())
        .with(self.phase)
        .with(self.listener)
        .with(self.session)
        .with(self.message)
        .with(self.client)
        .with(i64::from(self.port))
        .with(self.helo)
        .with(self.account)
        .with(self.sender)
        .with(self.recipients.join("\n"))
        .with(self.nrcpt)
        .with(self.header_from)
        .with(self.subject)
        .with(self.message_id)
        .with(self.size)
        .with(self.verdict)
        .with(self.decided_by)
        .with((!self.violations.is_empty()).then(|| self.violations.join(" ")))
        .with(self.upstream)
        .with(self.reply)
        .with(self.queue_id)
        .with(self.error)
        .with(details);
        [row, Statement::new("INSERT INTO journal_term (rowid, terms) VALUES (?1, ?2)").with(self.key).with(terms)]
    }

    /// Of a row of [`COLUMNS`].
    pub(super) fn read(row: &storage::Row) -> Result<Self, StorageError> {
        let number = |column| row.integer(column).map(|number| u64::try_from(number).unwrap_or(0));
        let unknown = |what: &str| StorageError::Failed(format!("journal: a row has {what}").into());
        Ok(Self {
            key: row.integer(0)?,
            at: UNIX_EPOCH + Duration::from_millis(number(1)?),
            kind: Kind::parse(&row.text(2)?).ok_or_else(|| unknown("a kind of its own"))?,
            phase: row.optional_text(3)?,
            listener: row.text(4)?,
            session: row.optional_text(5)?,
            message: row.optional_text(6)?,
            client: row.text(7)?,
            port: u16::try_from(number(8)?).unwrap_or(0),
            helo: row.optional_text(9)?,
            account: row.optional_text(10)?,
            sender: row.optional_text(11)?,
            recipients: row.text(12)?.lines().map(str::to_owned).collect(),
            nrcpt: number(13)?,
            header_from: row.optional_text(14)?,
            subject: row.optional_text(15)?,
            message_id: row.optional_text(16)?,
            size: number(17)?,
            verdict: row.optional_text(18)?,
            decided_by: row.optional_text(19)?,
            violations: row.optional_text(20)?.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            upstream: row.optional_text(21)?,
            reply: row.optional_text(22)?,
            queue_id: row.optional_text(23)?,
            error: row.optional_text(24)?,
            details: serde_json::from_str(&row.text(25)?).map_err(|error| unknown(&format!("details that are none: {error}")))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_follow_the_clock_and_no_two_are_one() {
        let at = |seconds, millis| UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis);
        let now = at(1_800_000_000, 0);
        let first = next_key(0, now);
        assert_eq!(first, first_key(now));
        assert_eq!(next_key(first, now), first + 1);
        assert_eq!(next_key(first + 1, at(1_800_000_000, 1)), first_key(at(1_800_000_000, 1)) + 1);
        assert_eq!(next_key(first, at(1_799_999_999, 900)), first + 1, "another thread's, a moment ago");
        let back = next_key(first + 7, at(1_700_000_000, 0));
        assert_eq!(back, first_key(at(1_700_000_000, 0)) + 7, "the clock was set back");
        assert!(first_key(at(2_100_000_000, 0)) < 1 << 53);
    }
}
