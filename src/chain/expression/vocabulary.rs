//! What a condition may speak of, and where its value comes from.
use crate::{
    chain::{Finding, Known, Type, finding},
    message::{Client, HeaderBlock},
    smtp::{Mail, Recipient},
};
use cel::{Context, Value, objects::Key};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

/// The variable that header fields are looked up in: `header["Subject"]` is the first one's value.
pub(super) const HEADER: &str = "header";
/// And all of them: `headers["Received"]` is a list.
pub(super) const HEADERS: &str = "headers";
/// Octets of a header field's value that a condition sees; what is longer was not written to be read.
const VALUE: usize = 16 << 10;

/// The names there are.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    known: Vec<Known>,
    /// Names of findings that no configured stage leaves, and the kind that would.
    absent: Vec<Known>,
    headers: bool,
}

/// Of the client and the envelope; known from MAIL on.
const SESSION: &[Known] = &[
    Known::new("listener", Type::Text, "the name of the listener"),
    Known::new("client.ip", Type::Text, "the client's address"),
    Known::new("client.helo", Type::Text, "the argument of HELO or EHLO"),
    Known::new("client.account", Type::Text, "the account it signed in to; \"\" where it did not, or the mechanism hides it"),
    Known::new("client.authenticated", Type::Flag, "it signed in"),
    Known::new("client.ja4", Type::Text, "the fingerprint of its TLS hello; \"\" in clear text"),
    Known::new("tls.on", Type::Flag, "the session is encrypted"),
    Known::new("tls.version", Type::Text, "\"TLSv1.3\""),
    Known::new("tls.cipher", Type::Text, "\"TLS_AES_256_GCM_SHA384\""),
    Known::new("tls.sni", Type::Text, "the server name the client asked for"),
    Known::new("tls.client", Type::Text, "the subject of the client's certificate, where it showed one that verifies"),
    Known::new("sender.address", Type::Text, "the reverse-path; \"\" is the null one"),
    Known::new("sender.domain", Type::Text, "its domain, in lower case"),
];

/// Of the message; known at its end.
const MESSAGE: &[Known] =
    &[Known::new("recipients", Type::Texts, "the recipients that were accepted"), Known::new("message.size", Type::Number, "octets")];

impl Vocabulary {
    /// Of a stage's `when`: client and sender.
    #[must_use]
    pub fn of_session() -> Self {
        Self { known: SESSION.to_vec(), absent: Vec::new(), headers: false }
    }

    /// Of a rule: everything, with the findings of the stages there are (`present`); `absent` are
    /// those of other kinds of stages.
    #[must_use]
    pub fn of_message(present: impl IntoIterator<Item = Known>, absent: impl IntoIterator<Item = Known>) -> Self {
        let mut known = [SESSION, MESSAGE, finding::FINDINGS].concat();
        known.extend(present);
        Self { known, absent: absent.into_iter().collect(), headers: true }
    }

    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Known> {
        self.known.iter().find(|known| known.name == name)
    }
    /// The kind of stage that would leave a finding of this name.
    pub(super) fn kind_of_absent(&self, name: &str) -> Option<&'static str> {
        self.absent.iter().find(|known| known.name == name)?.name.split('.').next()
    }
    pub(super) fn has_headers(&self) -> bool {
        self.headers
    }
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.known.iter().map(|known| known.name)
    }
    /// Whether names begin with `root` and a dot.
    pub(super) fn is_root(&self, root: &str) -> bool {
        let below = |known: &Known| known.name.split_once('.').is_some_and(|(first, _)| first == root);
        self.known.iter().chain(&self.absent).any(below)
    }
}

static OF_SESSION: LazyLock<Vocabulary> = LazyLock::new(Vocabulary::of_session);

/// What is known of a message, to evaluate conditions over. Made once for all of them.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub vocabulary: &'a Vocabulary,
    pub client: &'a Client,
    pub mail: &'a Mail,
    pub recipients: &'a [Recipient],
    pub size: u64,
    pub header: Option<&'a HeaderBlock>,
    pub findings: &'a [Finding],
}

impl<'a> Facts<'a> {
    /// What is known at MAIL.
    #[must_use]
    pub fn of_session(client: &'a Client, mail: &'a Mail) -> Self {
        Self { vocabulary: &OF_SESSION, client, mail, recipients: &[], size: 0, header: None, findings: &[] }
    }
}

impl Facts<'_> {
    /// As text, for a reply or a header field; "" where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        match self.value(name) {
            Value::String(text) => text.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(real) => real.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::List(items) => {
                let text = |item: &Value| if let Value::String(text) = item { text.to_string() } else { String::new() };
                items.iter().map(text).collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        }
    }

    pub(super) fn value(&self, name: &str) -> Value {
        let text = |text: Option<&str>| Value::from(text.unwrap_or_default());
        let tls = self.client.tls.as_deref();
        let sender = self.mail.reverse_path.0.as_ref();
        match name {
            "listener" => text(Some(&self.client.listener)),
            "client.ip" => Value::from(self.client.address.ip().to_canonical().to_string()),
            "client.helo" => text(self.client.hello.as_ref().map(|(domain, _)| domain.as_str())),
            "client.account" => text(self.client.account.as_deref()),
            "client.authenticated" => Value::Bool(self.client.account.is_some()),
            "client.ja4" => text(tls.and_then(|tls| tls.ja4.as_deref())),
            "tls.on" => Value::Bool(tls.is_some()),
            "tls.version" => text(tls.map(|tls| tls.version)),
            "tls.cipher" => text(tls.map(|tls| tls.cipher)),
            "tls.sni" => text(tls.and_then(|tls| tls.sni.as_deref())),
            "tls.client" => text(tls.and_then(|tls| tls.client_subject.as_deref())),
            "sender.address" => text(sender.map(|sender| sender.as_str())),
            "sender.domain" => Value::from(sender.map(|sender| sender.domain().to_ascii_lowercase()).unwrap_or_default()),
            "recipients" => Value::from(self.recipients.iter().map(|recipient| recipient.address.as_str()).collect::<Vec<_>>()),
            "message.size" => Value::Int(i64::try_from(self.size).unwrap_or(i64::MAX)),
            _ => self.finding(name),
        }
    }

    /// What stages left under this name: the last one, or all where there may be several.
    fn finding(&self, name: &str) -> Value {
        let mut left = self.findings.iter().filter(|finding| finding.name == name).map(|finding| &finding.value);
        let value = |value: &finding::Value| match value {
            finding::Value::Text(text) => Value::from(&**text),
            finding::Value::Number(number) => Value::Int(*number),
            finding::Value::Real(real) => Value::Float(*real),
            finding::Value::Flag(flag) => Value::Bool(*flag),
        };
        let kind = self.vocabulary.find(name).map_or(Type::Text, |known| known.kind);
        if kind == Type::Texts {
            return Value::List(Arc::new(left.map(value).collect()));
        }
        left.next_back().map(value).unwrap_or_else(|| match kind {
            Type::Text | Type::Texts => Value::from(""),
            Type::Number => Value::Int(0),
            Type::Real => Value::Float(0.0),
            Type::Flag => Value::Bool(false),
        })
    }

    pub(super) fn headers(&self, fields: &[Box<str>], context: &mut Context<'_, '_>) {
        let Some(block) = self.header.filter(|_| !fields.is_empty()) else { return };
        let (mut first, mut all) = (HashMap::new(), HashMap::new());
        for name in fields {
            let values: Vec<Value> = block.all(name).map(|field| Value::from(field.for_log(VALUE))).collect();
            let key = Key::String(Arc::new(name.to_string()));
            first.insert(key.clone(), values.first().cloned().unwrap_or_else(|| Value::from("")));
            all.insert(key, Value::List(Arc::new(values)));
        }
        context.add_variable_from_value(HEADER, first);
        context.add_variable_from_value(HEADERS, all);
    }
}
