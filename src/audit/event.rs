use super::{
    Action,
    chain::{BEGINNING, LONGEST},
};
use crate::storage::Statement;
use crate::value::millis;
use serde_json::{Map, Value};
use std::{fmt, net::IpAddr, time::SystemTime};

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name of an account, `uid 1000` on the command line, or `octroi` itself.
    pub name: String,
    /// Where it came from, over the network.
    pub client: Option<IpAddr>,
    /// The id of the token that a program showed: then it need not have been the person.
    pub token: Option<String>,
}

impl Actor {
    #[must_use]
    pub fn new(name: impl Into<String>, client: Option<IpAddr>) -> Self {
        Self { name: name.into(), client, token: None }
    }

    /// Whoever runs the command line.
    #[must_use]
    pub fn local() -> Self {
        Self::new(format!("uid {}", rustix::process::getuid().as_raw()), None)
    }

    /// What is done because it is configured so, or is time.
    #[must_use]
    pub fn itself() -> Self {
        Self::new("octroi", None)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Something that happened, to be written into the audit.
#[derive(Debug, Clone)]
#[must_use]
pub struct Event<'a> {
    actor: &'a Actor,
    action: Action,
    object: Option<&'a str>,
    detail: Map<String, Value>,
}

impl<'a> Event<'a> {
    pub fn of(actor: &'a Actor, action: Action) -> Self {
        let token = actor.token.iter().map(|token| ("token".to_owned(), token.clone().into()));
        Self { actor, action, object: None, detail: token.collect() }
    }

    /// What it was done to: the id of an entry, the name of an account.
    pub fn on(mut self, object: &'a str) -> Self {
        self.object = Some(object);
        self
    }

    /// What else is to be known of it. Never content, never a secret.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }

    /// The statement that appends it, for the batch of what it tells of. Where an earlier statement
    /// of the batch undoes all of it, this is undone too.
    pub fn statement(&self) -> Statement {
        Statement::new(
            "INSERT INTO audit (sequence, at, actor, client, action, object, detail, previous, hash) \
             SELECT s, ?1, ?2, ?3, ?4, ?5, ?6, p, sha256_of(s, ?1, ?2, ?3, ?4, ?5, ?6, p) FROM (SELECT \
             coalesce((SELECT sequence FROM audit ORDER BY sequence DESC LIMIT 1), 0) + 1 AS s, \
             coalesce((SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1), ?7) AS p)",
        )
        .with(millis(SystemTime::now()))
        .with(shortened(&self.actor.name))
        .with(self.actor.client.map(|client| client.to_canonical().to_string()))
        .with(self.action.as_str())
        .with(self.object.map(shortened))
        .with(self.text())
        .with(BEGINNING)
        .must_change()
    }

    fn text(&self) -> String {
        let text = Value::Object(self.detail.clone()).to_string();
        if text.len() <= LONGEST {
            return text;
        }
        // Half an object would be none.
        serde_json::json!({ "shortened": shortened(&text) }).to_string()
    }
}

/// Rows stay small whatever somebody sends.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()
}
