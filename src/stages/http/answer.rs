//! What a hook says. It is read strictly: a hook that is misunderstood has not looked at the mail.
use crate::{
    message::{Edit, FieldValue},
    remote::http,
    smtp::{Mail, Recipient, Refusal, Reply, is_enhanced, printable},
};
use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    Discard,
    Quarantine,
    Reject(Refusal),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub action: Action,
    /// The text it gave; on one line of ASCII.
    pub message: Option<Box<str>>,
    pub edits: Vec<Edit>,
}

/// Changes of one answer: more of them would be work for others, not for a message.
const MOST_EDITS: usize = 1000;
/// Characters of a text that is passed on.
const LONGEST: usize = 400;

impl Answer {
    /// # Errors
    /// A sentence for the log: this is no answer to the question.
    pub(super) fn parse(answer: &http::Answer) -> Result<Self, String> {
        if !answer.status.is_success() {
            return Err(format!("it answered {}", answer.status));
        }
        let answer: Map<String, Value> =
            serde_json::from_slice(&answer.body).map_err(|error| format!("its answer is no JSON object: {error}"))?;
        let reply = match answer.get("response") {
            None | Some(Value::Null) => None,
            Some(Value::Object(reply)) => Some(reply),
            Some(_) => return Err("its `response` is no object".to_owned()),
        };
        let message = reply.map(|reply| text(reply, "message")).transpose()?.flatten().map(shown);
        let action = match answer.get("action").and_then(Value::as_str).ok_or("its answer has no `action`")? {
            "accept" => Action::Accept,
            "discard" => Action::Discard,
            "quarantine" => Action::Quarantine,
            "reject" => Action::Reject(refusal(reply, message.as_deref())?),
            other => return Err(format!("nobody knows its action `{}`", shown(other))),
        };
        let edits = match answer.get("modifications") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(all)) if all.len() > MOST_EDITS => return Err(format!("it wants more than {MOST_EDITS} modifications")),
            Some(Value::Array(all)) => all.iter().map(edit).collect::<Result<_, _>>()?,
            Some(_) => return Err("its `modifications` are no list".to_owned()),
        };
        Ok(Self { action, message, edits })
    }
}

/// What the client is to hear. 421 and 521 close the connection (RFC 5321 §3.8, RFC 7504 §3), which
/// is what `disconnect` asks for, and nothing else.
fn refusal(reply: Option<&Map<String, Value>>, message: Option<&str>) -> Result<Refusal, String> {
    let given = |key| reply.and_then(|reply| reply.get(key)).filter(|value| !value.is_null());
    let status = match given("status") {
        None => 550,
        Some(status) => {
            status.as_u64().filter(|code| (400..600).contains(code)).ok_or("it rejects with a `status` that is no 4yz or 5yz")?
        }
    };
    let disconnect = match given("disconnect") {
        None => false,
        Some(disconnect) => disconnect.as_bool().ok_or("its `disconnect` is neither true nor false")?,
    };
    let temporary = status < 500;
    let code = match (disconnect, temporary) {
        (true, true) => 421,
        (true, false) => 521,
        (false, true) if status == 421 => 451,
        (false, false) if status == 521 => 554,
        (false, _) => u16::try_from(status).unwrap_or(550),
    };
    let class = if temporary { "4" } else { "5" };
    let enhanced = match given("enhancedStatus").or_else(|| given("enhanced_status")) {
        None => format!("{class}.7.1"),
        Some(enhanced) => enhanced
            .as_str()
            .filter(|enhanced| is_enhanced(enhanced, class))
            .ok_or_else(|| format!("its `enhancedStatus` is none that goes with {status}"))?
            .to_owned(),
    };
    let usual = if temporary { "refused for now by policy, try again later" } else { "refused by policy" };
    let message = message.filter(|message| !message.trim().is_empty()).unwrap_or(usual);
    Refusal::from_reply(Reply::new(code, format!("{enhanced} {message}"))).ok_or_else(|| format!("it rejects with {code}"))
}

fn shown(text: &str) -> Box<str> {
    printable(text.trim(), LONGEST).into()
}

fn edit(modification: &Value) -> Result<Edit, String> {
    let wanted = modification.as_object().ok_or("a modification is no object")?;
    let kind = text(wanted, "type")?.ok_or("a modification has no `type`")?;
    let needed = |key: &'static str| text(wanted, key)?.ok_or_else(|| format!("`{}` has no `{key}`", shown(kind)));
    let name = || needed("name").map(Box::<str>::from);
    let value = || needed("value").map(FieldValue::from);
    // Counted from 1 among the fields of that name, or among all; 0 is the same place.
    let index = || match wanted.get("index") {
        None | Some(Value::Null) => Ok(1),
        Some(index) => index.as_u64().map(|index| usize::try_from(index).unwrap_or(usize::MAX).max(1)).ok_or("an `index` is no number"),
    };
    let edit = match kind {
        "addHeader" => Edit::InsertHeader { at: 0, name: name()?, value: value()? },
        "insertHeader" => Edit::InsertHeader { at: index()? - 1, name: name()?, value: value()? },
        "changeHeader" => Edit::ReplaceHeader { nth: index()?, name: name()?, value: value()? },
        "deleteHeader" => Edit::DeleteHeader { nth: index()?, name: name()? },
        "replaceContents" => Edit::replace_body(needed("value")?.as_bytes()),
        "changeFrom" => {
            let mail = Mail::read(&path(wanted, needed("value")?)?).ok_or("`changeFrom` has no address, or parameters of none")?;
            Edit::Sender(Box::new(mail))
        }
        "addRecipient" => {
            let read = Recipient::read(&path(wanted, needed("value")?)?);
            Edit::AddRecipient(read.ok_or("`addRecipient` has no address, or parameters of none")?)
        }
        "deleteRecipient" => {
            let read = Recipient::read(&path(wanted, needed("value")?)?);
            Edit::DeleteRecipient(read.ok_or("`deleteRecipient` has no address")?.address)
        }
        other => return Err(format!("nobody knows its modification `{}`", shown(other))),
    };
    if edit.is_valid() { Ok(edit) } else { Err(format!("`{kind}` has a `name` that no header field can have")) }
}

/// An address with or without its brackets, and parameters: as behind `MAIL FROM:`.
fn path(wanted: &Map<String, Value>, address: &str) -> Result<String, String> {
    let address = address.trim();
    let mut path = if address.starts_with('<') { address.to_owned() } else { format!("<{address}>") };
    let parameters = match wanted.get("parameters") {
        None | Some(Value::Null) => return Ok(path),
        Some(Value::Object(parameters)) => parameters,
        Some(_) => return Err("its `parameters` are no object".to_owned()),
    };
    for (keyword, value) in parameters {
        path = match value {
            Value::Null => format!("{path} {keyword}"),
            Value::String(value) => format!("{path} {keyword}={value}"),
            _ => return Err("one of its `parameters` is neither text nor null".to_owned()),
        };
    }
    Ok(path)
}

/// A text, where there is one.
fn text<'a>(object: &'a Map<String, Value>, key: &'static str) -> Result<Option<&'a str>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("its `{key}` is no text")),
    }
}
