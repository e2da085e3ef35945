//! Taking a message in.
use super::{PATIENCE, Quarantine, QuarantineError, millis};
use crate::chain::{Finding, Hold, StageTiming, Value};
use crate::message::{Client, Content, Field, HeaderBlock, words};
use crate::smtp::{
    Custody, Mail, Recipient, Reply,
    client::{mail_arguments, recipient_arguments},
};
use crate::storage::{Statement, StorageError};
use crate::value::Id;
use serde_json::json;
use std::time::{Instant, SystemTime};

/// Characters of a header field, a greeting or a finding that a row has.
const SHOWN: usize = 1000;
/// Findings of one entry; a message that causes more is told well enough by these.
const FINDINGS: usize = 1000;

/// A message that is to be held, and all that is known of it.
#[derive(Debug)]
pub struct Held<'a> {
    /// The message's own, or where several entries are made of one, another.
    pub id: Id,
    pub message: Id,
    pub hold: &'a Hold,
    /// The stage, or `rule NAME`.
    pub decided_by: Option<&'a str>,
    pub client: &'a Client,
    pub mail: &'a Mail,
    /// For whom it is held.
    pub recipients: &'a [&'a Recipient],
    /// As the client sent it.
    pub headers: &'a HeaderBlock,
    /// As the client sent it: nothing that we take out of messages is taken out.
    pub content: &'a Content,
    pub findings: &'a [Finding],
    pub timings: &'a [StageTiming],
    /// When its last octet came.
    pub received_at: SystemTime,
    /// What was said in the session, a line each, without secrets.
    pub dialogue: &'a str,
}

/// Blob and row are on disk. Made in this module and nowhere else.
#[derive(Debug)]
pub struct Committed {
    id: Id,
}

impl Committed {
    /// The entry's.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }
}

impl Custody for Committed {
    /// In the words of any other acceptance: whoever tries what passes here learns nothing.
    fn reply(&self) -> Reply {
        Reply::new(250, format!("2.0.0 {} ok", self.id))
    }
}

impl Quarantine {
    /// Stores a message. Once this returns, it is on disk: its content synced, the directory of
    /// that synced, its row committed.
    ///
    /// # Errors
    /// It is not stored; the client keeps it. (After a deadline or a fault of the disk an entry may
    /// turn up nevertheless, as a message may be there twice after a lost reply.)
    pub async fn keep(&self, held: Held<'_>) -> Result<Committed, QuarantineError> {
        let started = Instant::now();
        let kept = match tokio::time::timeout(PATIENCE, self.store(&held)).await {
            Ok(stored) => stored,
            Err(_) => Err(QuarantineError::Late),
        };
        match kept {
            Ok(()) => {
                self.0.metrics.quarantine_stored(held.hold.class.as_str(), started.elapsed());
                Ok(Committed { id: held.id })
            }
            Err(error) => {
                self.0.metrics.quarantine_failure(error.failure());
                Err(error)
            }
        }
    }

    async fn store(&self, held: &Held<'_>) -> Result<(), QuarantineError> {
        let key = held.id.to_string();
        let mut blob = self.0.blobs.writer(&key)?;
        let mut reader = held.content.reader(0);
        while let Some(piece) = reader.next().await.map_err(|error| QuarantineError::Spool(error.to_string().into()))? {
            blob.write(piece).await?;
        }
        let blob = blob.keep().await?;
        let class = held.hold.class;
        let quota = self.0.settings.load().of(class).size;
        let mut batch = vec![
            Statement::new(
                "UPDATE quarantine_usage SET entries = entries + 1, stored = stored + ?2 WHERE class = ?1 AND stored + ?2 <= ?3",
            )
            .with(class.as_str())
            .with(blob.stored)
            .with(quota)
            .must_change(),
            row(held, &key, &blob),
            Statement::new("INSERT INTO quarantine_dialogue (entry, text) VALUES (?1, ?2)").with(&*key).with(held.dialogue),
        ];
        let recipients = held.recipients.iter().zip(0_i64..);
        batch.extend(recipients.map(|(recipient, position)| {
            Statement::new(
                "INSERT INTO quarantine_recipient (entry, position, address, arguments, state, changed_at) VALUES (?1, ?2, ?3, ?4, 'held', ?5)",
            )
            .with(&*key)
            .with(position)
            .with(recipient.address.as_str().to_ascii_lowercase())
            .with(recipient_arguments(recipient).join(" "))
            .with(millis(SystemTime::now()))
        }));
        match self.0.database.write(batch).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // Where it may have been committed after all the caretaker finds out.
                if error.leaves_nothing()
                    && let Err(error) = self.0.blobs.delete(&key).await
                {
                    tracing::warn!(entry = key, "a content without an entry stays for now: {error}");
                }
                Err(if error == StorageError::Unchanged { QuarantineError::NoRoom(class.as_str()) } else { error.into() })
            }
        }
    }

    /// Takes an entry back that nobody shall have: the message it is of is still the client's.
    ///
    /// # Errors
    /// It stays.
    pub async fn withdraw(&self, committed: Committed) -> Result<(), QuarantineError> {
        let key = committed.id.to_string();
        let entry = |sql: &'static str| Statement::new(sql).with(&*key);
        let batch = vec![
            entry(
                "UPDATE quarantine_usage SET entries = entries - 1, \
                 stored = stored - (SELECT stored FROM quarantine_entry WHERE id = ?1) \
                 WHERE class = (SELECT class FROM quarantine_entry WHERE id = ?1 AND state <> 'deleted')",
            ),
            entry("DELETE FROM quarantine_entry WHERE id = ?1"),
        ];
        self.0.database.write(batch).await?;
        self.0.blobs.delete(&key).await?;
        Ok(())
    }
}

fn row(held: &Held<'_>, key: &str, blob: &crate::storage::Kept) -> Statement {
    let field = |name| held.headers.find(name).map(|field| readable(&field));
    let now = millis(SystemTime::now());
    Statement::new(
        "INSERT INTO quarantine_entry (id, message, stored_at, received_at, class, reason, decided_by, state, changed_at, listener, client, \
         sender, mail, header_from, subject, message_id, size, stored, sha256, findings, timings) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'held', ?3, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
    )
    .with(key)
    .with(held.message.to_string())
    .with(now)
    .with(millis(held.received_at))
    .with(held.hold.class.as_str())
    .with(shortened(&held.hold.reason))
    .with(held.decided_by)
    .with(&*held.client.listener)
    .with(client(held.client, held.mail.utf8))
    .with(held.mail.reverse_path.as_str().to_ascii_lowercase())
    .with(mail_arguments(held.mail).join(" "))
    .with(field("From"))
    .with(field("Subject"))
    .with(field("Message-ID"))
    .with(blob.size)
    .with(blob.stored)
    .with(&*blob.sha256)
    .with(findings(held.findings))
    .with(timings(held.timings))
}

/// A field as people read it: its encoded words decoded, on one line, with nothing in it that moves a
/// terminal. So words of subjects are found in any script.
fn readable(field: &Field<'_>) -> String {
    let written = field.for_log(SHOWN);
    let Some(decoded) = words::decode(&written) else { return written };
    // What was encoded is looked at as what was not.
    let again = HeaderBlock::new(format!("X: {}\r\n", decoded.replace(['\r', '\n'], " ")).into());
    again.find("X").map_or(written, |field| field.for_log(SHOWN))
}

fn client(client: &Client, utf8: bool) -> String {
    let tls = client.tls.as_deref().map(|tls| {
        json!({
            "version": tls.version,
            "cipher": tls.cipher,
            "sni": tls.sni,
            "client_subject": tls.client_subject,
            "resumed": tls.resumed,
            "ja4": tls.ja4,
        })
    });
    json!({
        "address": client.address.to_string(),
        "local": client.local.to_string(),
        "hello": client.hello.as_ref().map(|(domain, _)| domain.as_str()),
        "protocol": client.protocol(utf8),
        "account": client.account.as_deref(),
        "tls": tls,
    })
    .to_string()
}

fn findings(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        let value = match &finding.value {
            Value::Text(text) => json!(shortened(text)),
            Value::Number(number) => json!(number),
            Value::Real(real) => json!(real),
            Value::Flag(flag) => json!(flag),
        };
        json!({ "name": finding.name, "value": value })
    };
    serde_json::Value::from_iter(findings.iter().take(FINDINGS).map(one)).to_string()
}

fn timings(timings: &[StageTiming]) -> String {
    let one = |timing: &StageTiming| {
        json!({
            "stage": timing.stage,
            "seconds": timing.took.as_secs_f64(),
            "result": timing.result.as_str(),
            "incomplete": timing.incomplete.map(|why| why.as_str()),
        })
    };
    serde_json::Value::from_iter(timings.iter().map(one)).to_string()
}

fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(SHOWN)).unwrap_or_default()
}
