//! What Rspamd says (<https://docs.rspamd.com/developers/protocol>), read with the eyes of somebody
//! who does not know who else may be listening at that port.
use crate::{
    message::Edit,
    smtp::{Mail, printable},
};
use hyper::StatusCode;
use serde_json::{Map, Value};

/// What it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Clean,
    Greylist,
    AddHeader,
    RewriteSubject,
    SoftReject,
    Reject,
    Quarantine,
    Discard,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub action: Action,
    pub score: f64,
    pub required_score: f64,
    /// Heaviest first.
    pub symbols: Vec<Box<str>>,
    pub subject: Option<Box<str>>,
    /// What the client is to hear; on one line of ASCII.
    pub message: Option<Box<str>>,
    pub edits: Vec<Edit>,
}

/// Symbols that are told.
const SYMBOLS: usize = 100;
/// Characters of a symbol's name, and of what the client is to hear.
const LONGEST: usize = 200;

const ACTIONS: &[(&str, Action)] = &[
    ("no action", Action::Clean),
    ("greylist", Action::Greylist),
    ("add header", Action::AddHeader),
    ("rewrite subject", Action::RewriteSubject),
    ("soft reject", Action::SoftReject),
    ("reject", Action::Reject),
    ("quarantine", Action::Quarantine),
    ("discard", Action::Discard),
];

impl Action {
    pub(super) fn as_str(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

impl Answer {
    /// # Errors
    /// A sentence for the log: this is no answer to the question.
    pub(super) fn parse(status: StatusCode, body: &[u8]) -> Result<Self, String> {
        let answer: Map<String, Value> = match serde_json::from_slice(body) {
            Ok(answer) => answer,
            Err(error) if status.is_success() => return Err(format!("its answer is no JSON: {error}")),
            Err(_) => return Err(format!("it answered {status}")),
        };
        if let Some(error) = answer.get("error").and_then(Value::as_str).filter(|_| !answer.contains_key("action")) {
            return Err(format!("it answered {status}: {}", printable(error, LONGEST)));
        }
        if !status.is_success() {
            return Err(format!("it answered {status}"));
        }
        let name = answer.get("action").and_then(Value::as_str).ok_or("its answer has no action")?;
        let action = ACTIONS.iter().find(|(own, _)| *own == name).map(|(_, action)| *action);
        let action = action.ok_or_else(|| format!("nobody knows its action {:?}", printable(name, LONGEST)))?;
        let number = |key: &str| answer.get(key).and_then(Value::as_f64).filter(|number| number.is_finite());
        let message = answer.get("messages").and_then(|messages| messages.get("smtp_message")).and_then(Value::as_str);
        Ok(Self {
            action,
            score: number("score").ok_or("its answer has no score")?,
            required_score: number("required_score").unwrap_or_default(),
            symbols: symbols(answer.get("symbols")),
            subject: answer.get("subject").and_then(Value::as_str).map(Into::into),
            message: message.map(|text| printable(text, LONGEST).into()),
            edits: edits(&answer),
        })
    }
}

fn symbols(symbols: Option<&Value>) -> Vec<Box<str>> {
    let Some(Value::Object(symbols)) = symbols else { return Vec::new() };
    let weight = |symbol: &Value| symbol.get("score").and_then(Value::as_f64).unwrap_or_default().abs();
    let mut weighed: Vec<_> = symbols.iter().map(|(name, symbol)| (name, weight(symbol))).collect();
    weighed.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    weighed.into_iter().take(SYMBOLS).map(|(name, _)| printable(name, LONGEST).into()).collect()
}

/// What it wants changed, in its milter's terms: fields removed, then added, then signed.
fn edits(answer: &Map<String, Value>) -> Vec<Edit> {
    let mut edits = Vec::new();
    let milter = answer.get("milter");
    let part = |name: &str| milter.and_then(|milter| milter.get(name)).and_then(Value::as_object);
    for (name, which) in part("remove_headers").into_iter().flatten() {
        for nth in each(which).filter_map(Value::as_i64) {
            // 0 is all of them; one that is counted from the end is not known here, so all go.
            edits.push(Edit::DeleteHeader { name: name.as_str().into(), nth: usize::try_from(nth).unwrap_or(0) });
        }
    }
    for (name, values) in part("add_headers").into_iter().flatten() {
        for value in each(values) {
            let (text, order) = match value {
                Value::String(text) => (Some(text.as_str()), None),
                other => (other.get("value").and_then(Value::as_str), other.get("order").and_then(Value::as_i64)),
            };
            let (Some(text), name) = (text, name.as_str().into()) else { continue };
            edits.push(match order.and_then(|order| usize::try_from(order).ok()) {
                // Counted from 1, with 0 the same place, as in the milter protocol.
                Some(order) => Edit::InsertHeader { at: order.saturating_sub(1), name, value: text.into() },
                None => Edit::AddHeader { name, value: text.into() },
            });
        }
    }
    for signature in answer.get("dkim-signature").into_iter().flat_map(each).filter_map(Value::as_str) {
        edits.push(Edit::InsertHeader { at: 0, name: "DKIM-Signature".into(), value: signature.into() });
    }
    if let Some(sender) = milter.and_then(|milter| milter.get("change_from")).and_then(Value::as_str) {
        edits.extend(Mail::read(&format!("<{sender}>")).map(|mail| Edit::Sender(Box::new(mail))));
    }
    edits
}

/// One, or each of a list.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(all) => all.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}
