//! Entries, as programs read them: on the command line, in the API, in evidence.
use super::{Allowance, Entry, Note, Recipient, Request};
use crate::value::rfc3339;
use serde_json::{Value, json};
use std::time::SystemTime;

impl Entry {
    /// All that is known of it, with those recipients that may be seen.
    #[must_use]
    pub fn json(&self) -> Value {
        let inner = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        json!({
            "id": self.id,
            "message": self.message,
            "state": self.state.as_str(),
            "changed_at": rfc3339(self.changed_at),
            "changed_by": self.changed_by,
            "legal_hold": self.legal_hold,
            "assigned": self.assigned,
            "class": self.class,
            "reason": self.reason,
            "decided_by": self.decided_by,
            "received_at": rfc3339(self.received_at),
            "stored_at": rfc3339(self.stored_at),
            "listener": self.listener,
            "client": inner(&self.client),
            "sender": self.sender,
            "mail": self.mail,
            "recipients": self.recipients.iter().map(recipient).collect::<Vec<_>>(),
            "hidden_recipients": self.hidden,
            "from": self.header_from,
            "subject": self.subject,
            "message_id": self.message_id,
            "size": self.size,
            "stored": self.stored,
            "sha256": self.sha256,
            "findings": inner(&self.findings),
            "stages": inner(&self.timings),
            "dialogue": self.dialogue,
        })
    }
}

fn recipient(recipient: &Recipient) -> Value {
    json!({
        "address": recipient.address,
        "rcpt": recipient.arguments,
        "state": recipient.state.as_str(),
        "attempts": recipient.attempts,
        "changed_at": rfc3339(recipient.changed_at),
        "changed_by": recipient.changed_by,
        "reply": recipient.reply,
    })
}

impl Entry {
    /// The same with what people have written down about it and asked for.
    #[must_use]
    pub fn json_with(&self, notes: &[Note], requests: &[Request]) -> Value {
        let mut json = self.json();
        if let Some(json) = json.as_object_mut() {
            json.insert("notes".to_owned(), notes.iter().map(Note::json).collect());
            json.insert("requests".to_owned(), requests.iter().map(Request::json).collect());
        }
        json
    }
}

impl Allowance {
    /// As programs read it, at `now`.
    #[must_use]
    pub fn json(&self, now: SystemTime) -> Value {
        json!({
            "number": self.number,
            "entry": self.entry,
            "sender": self.sender,
            "recipient": self.recipient,
            "class": self.class,
            "decided_by": self.decided_by,
            "authenticated": self.authenticated,
            "holds": self.holds(now),
            "created_at": rfc3339(self.created_at),
            "created_by": self.created_by,
            "expires_at": rfc3339(self.expires_at),
            "used": self.used,
            "used_at": self.used_at.map(rfc3339),
            "revoked_by": self.revoked_by,
        })
    }
}

impl Note {
    /// As programs read it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({ "at": rfc3339(self.at), "by": self.by, "text": self.text })
    }
}

impl Request {
    /// As programs read it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "asked_at": rfc3339(self.asked_at),
            "asked_by": self.asked_by,
            "recipients": self.recipients,
            "hidden_recipients": self.hidden,
            "again": self.again,
            "why": self.why,
            "state": self.state.as_str(),
            "decided_at": self.decided_at.map(rfc3339),
            "decided_by": self.decided_by,
        })
    }
}
