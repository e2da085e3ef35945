//! What a hook says.
use super::usual;
use crate::{
    chain::{Hold, HoldClass, Verdict},
    message::Edit,
    smtp::{Mail, Recipient, Refusal, Reply},
};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    Discard,
    Reject,
    Quarantine,
}

#[derive(Debug)]
pub(super) struct Response {
    pub action: Action,
    refusal: Option<Refusal>,
    /// What it says of its reasons, on one line.
    message: Option<Box<str>>,
    pub edits: Vec<Edit>,
}

const ACTIONS: &[(&str, Action)] =
    &[("accept", Action::Accept), ("discard", Action::Discard), ("reject", Action::Reject), ("quarantine", Action::Quarantine)];
/// Characters of what the client is to hear.
const LONGEST: usize = 400;

impl Action {
    pub(super) fn as_str(self) -> &'static str {
        ACTIONS.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

impl Response {
    /// # Errors
    /// A sentence for the log: what came is no answer, or asks for what cannot be.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let response: Value = serde_json::from_slice(body).map_err(|error| format!("its answer is no JSON: {error}"))?;
        let name = response.get("action").and_then(Value::as_str).ok_or("its answer has no action")?;
        let action = ACTIONS.iter().find(|(own, _)| *own == name).map(|(_, action)| *action);
        let action = action.ok_or_else(|| format!("nobody knows its action {:?}", name.chars().take(40).collect::<String>()))?;
        let said = response.get("response").filter(|said| !said.is_null());
        let text = |key: &str| said.and_then(|said| said.get(key)).and_then(Value::as_str);
        let message = text("message").map(line);
        let refusal = match said.and_then(|said| said.get("status")).and_then(Value::as_u64) {
            Some(status) if action == Action::Reject => Some(refusal(status, text("enhancedStatus"), message.as_deref())?),
            _ => None,
        };
        let modifications = match response.get("modifications") {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(all)) => all,
            Some(_) => return Err("its modifications are no list".to_owned()),
        };
        let edits = modifications.iter().map(edit).collect::<Result<_, _>>()?;
        Ok(Self { action, refusal, message: message.map(Into::into), edits })
    }

    pub(super) fn refusal(&self) -> Refusal {
        self.refusal.clone().unwrap_or_else(usual)
    }

    pub(super) fn hold(&self) -> Verdict {
        let reason = self.message.clone().unwrap_or_else(|| "a hook asked for it".into());
        Verdict::Quarantine(Hold { class: HoldClass::Policy, reason })
    }
}

/// One line of printable ASCII.
fn line(text: &str) -> String {
    text.chars().take(LONGEST).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect()
}

/// 421 and 521 announce that the connection is closed, which is not for a hook to say here.
fn refusal(status: u64, enhanced: Option<&str>, message: Option<&str>) -> Result<Refusal, String> {
    let code = match status {
        421 => 451,
        521 => 554,
        400..=599 => u16::try_from(status).unwrap_or(550),
        _ => return Err(format!("it refuses with {status}")),
    };
    let class = code / 100;
    let is_ours = |enhanced: &&str| {
        let mut numbers = enhanced.split('.');
        numbers.next().and_then(|first| first.parse().ok()) == Some(class)
            && numbers.clone().count() == 2
            && numbers.all(|number| (1..=3).contains(&number.len()) && number.bytes().all(|octet| octet.is_ascii_digit()))
    };
    let enhanced = enhanced.filter(is_ours).map_or_else(|| format!("{class}.7.1"), str::to_owned);
    let text = message.unwrap_or("message refused");
    Refusal::from_reply(Reply::new(code, format!("{enhanced} {text}"))).ok_or_else(|| format!("it refuses with {status}"))
}

/// # Errors
/// It asks for something that is not known, or is not whole: what it wanted done would be done in
/// part.
fn edit(modification: &Value) -> Result<Edit, String> {
    let kind = modification.get("type").and_then(Value::as_str).ok_or("a modification without a type")?;
    let text = |key: &str| modification.get(key).and_then(Value::as_str).ok_or_else(|| format!("{kind} without {key}"));
    let name = || text("name").map(Into::into);
    let value = || text("value").map(|value| Box::from(value.trim_end_matches(['\r', '\n'])));
    let index = || modification.get("index").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
    let address = || {
        let address = text("value")?.trim();
        let path = if address.starts_with('<') { address.to_owned() } else { format!("<{address}>") };
        Ok::<_, String>(path + &parameters(modification.get("parameters")))
    };
    let wrong = || format!("{kind} with something that is no address");
    Ok(match kind {
        "changeFrom" => Edit::Sender(Box::new(Mail::read(&address()?).ok_or_else(wrong)?)),
        "addRecipient" => Edit::AddRecipient(Recipient::read(&address()?).ok_or_else(wrong)?),
        "deleteRecipient" => Edit::DeleteRecipient(Recipient::read(&address()?).ok_or_else(wrong)?.address),
        "replaceContents" => Edit::replace_body(text("value")?.as_bytes()),
        "addHeader" => Edit::AddHeader { name: name()?, value: value()? },
        // Counted as in the milter protocol, which this is made after.
        "insertHeader" => Edit::InsertHeader { at: index().unwrap_or(0).saturating_sub(1), name: name()?, value: value()? },
        "changeHeader" => Edit::ReplaceHeader { name: name()?, nth: index().unwrap_or(1), value: value()? },
        "deleteHeader" => Edit::DeleteHeader { name: name()?, nth: index().unwrap_or(1).max(1) },
        _ => return Err(format!("nobody knows the modification {:?}", kind.chars().take(40).collect::<String>())),
    })
}

fn parameters(parameters: Option<&Value>) -> String {
    let Some(Value::Object(parameters)) = parameters else { return String::new() };
    let parameter = |(keyword, value): (&String, &Value)| match value {
        Value::String(value) => format!(" {}={value}", keyword.to_ascii_uppercase()),
        Value::Number(value) => format!(" {}={value}", keyword.to_ascii_uppercase()),
        _ => format!(" {}", keyword.to_ascii_uppercase()),
    };
    parameters.iter().map(parameter).collect()
}
