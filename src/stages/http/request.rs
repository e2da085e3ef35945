//! What a hook is told.
use crate::{
    dns::Resolver,
    message::{Client, Message, Whole},
    smtp::{
        Mail, Recipient, ReversePath,
        client::{mail_arguments, recipient_arguments},
    },
    value::Id,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A session, as far as it is known.
pub(super) struct Session {
    pub client: Arc<Client>,
    /// Its confirmed name; `None`: not looked up yet.
    name: Option<Option<Box<str>>>,
    mail: Option<Mail>,
    id: Option<Id>,
    pub recipients: Vec<Recipient>,
}

impl Session {
    pub(super) fn new(client: &Arc<Client>) -> Self {
        Self { client: Arc::clone(client), name: None, mail: None, id: None, recipients: Vec::new() }
    }

    pub(super) fn begin(&mut self, client: &Arc<Client>, mail: &Mail, id: Id) {
        self.client = Arc::clone(client);
        (self.mail, self.id) = (Some(mail.clone()), Some(id));
        self.recipients.clear();
    }

    /// What cannot be found out is not told.
    pub(super) async fn find_name(&mut self, dns: &Resolver) {
        if self.name.is_none() {
            self.name = Some(dns.confirmed_name(self.client.address.ip()).await.ok().flatten());
        }
    }

    pub(super) fn request(&self, stage: &str, hostname: &str, message: Option<(&Message, Option<&Whole>)>) -> Vec<u8> {
        let mut request = Map::new();
        request.insert("context".to_owned(), self.context(stage, hostname));
        if let Some(mail) = &self.mail {
            request.insert("envelope".to_owned(), envelope(mail, &self.recipients));
        }
        if let Some((message, whole)) = message {
            request.insert("message".to_owned(), contents(message, whole));
        }
        // A map of texts and numbers can always be written.
        serde_json::to_vec(&request).unwrap_or_default()
    }

    fn context(&self, stage: &str, hostname: &str) -> Value {
        let client = &self.client;
        let hello = client.hello.as_ref().map(|(domain, _)| domain.as_str());
        let mut context = json!({
            "stage": stage,
            "client": {
                "ip": client.address.ip().to_canonical().to_string(),
                "port": client.address.port(),
                "ptr": self.name.as_ref().and_then(Option::as_deref),
                "helo": hello,
                "ehlo": hello,
            },
            "server": {
                "name": hostname,
                "ip": client.local.ip().to_canonical().to_string(),
                "port": client.local.port(),
                "listener": &*client.listener,
            },
            "protocol": { "version": 1 },
        });
        if let Some(object) = context.as_object_mut() {
            if let Some(account) = &client.account {
                object.insert("sasl".to_owned(), json!({ "login": &**account }));
            }
            if let Some(tls) = &client.tls {
                let tls = json!({ "version": tls.version, "cipher": tls.cipher, "certSubject": tls.client_subject.as_deref() });
                object.insert("tls".to_owned(), tls);
            }
            if let Some(id) = self.id {
                object.insert("queue".to_owned(), json!({ "id": id.to_string() }));
            }
        }
        context
    }
}

fn envelope(mail: &Mail, recipients: &[Recipient]) -> Value {
    let ReversePath(sender) = &mail.reverse_path;
    let from = sender.as_ref().map_or("", |sender| sender.as_str());
    let to: Vec<_> = recipients
        .iter()
        .map(|recipient| json!({ "address": recipient.address.as_str(), "parameters": parameters(&recipient_arguments(recipient)) }))
        .collect();
    json!({ "from": { "address": from, "parameters": parameters(&mail_arguments(mail)) }, "to": to })
}

/// What stands behind the path, by its keyword in lower case; a keyword alone is `true`.
fn parameters(arguments: &[String]) -> Value {
    let parameter = |argument: &String| match argument.split_once('=') {
        Some((keyword, value)) => (keyword.to_ascii_lowercase(), Value::from(value)),
        None => (argument.to_ascii_lowercase(), Value::from(true)),
    };
    Value::Object(arguments.iter().skip(1).map(parameter).collect())
}

/// JSON knows text only: octets that are no UTF-8 become U+FFFD.
fn contents(message: &Message, whole: Option<&Whole>) -> Value {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let fields = message.headers.fields().filter(|field| !field.name.is_empty());
    let headers: Vec<_> = fields.map(|field| json!([text(field.name), text(field.value)])).collect();
    let mut contents = json!({ "headers": headers, "size": message.content.len() });
    if let (Some(whole), Some(object)) = (whole, contents.as_object_mut()) {
        let start = usize::try_from(message.body_start()).unwrap_or(usize::MAX);
        object.insert("contents".to_owned(), Value::from(text(whole.octets().get(start..).unwrap_or_default())));
    }
    contents
}
