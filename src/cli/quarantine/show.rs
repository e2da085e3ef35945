//! Entries, as people and as programs read them.
use crate::cli::style::Out;
pub(super) use crate::cli::style::moment;
use crate::quarantine::{Entry, Note, Recipient, State};
use crate::value::ByteSize;
use serde_json::Value;

/// For people.
fn size(octets: i64) -> String {
    ByteSize(u64::try_from(octets).unwrap_or(0)).readable()
}

/// One of a list.
pub(super) fn line(entry: &Entry, out: &Out) {
    let more = entry.recipients.len().saturating_sub(1);
    let to = entry.recipients.first().map_or("", |recipient| &*recipient.address);
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    let sender = if entry.sender.is_empty() { "<>" } else { &*entry.sender };
    out.line(format_args!(
        "{}  {}  {:8} {:10} {sender} → {to}{more}  {}",
        entry.id,
        moment(entry.stored_at),
        entry.state.as_str(),
        entry.class,
        entry.subject.as_deref().unwrap_or("(no subject)"),
    ));
}

/// All that is known of one.
pub(super) fn entry(entry: &Entry, out: &Out) {
    let row = |name: &str, value: &str| row(out, name, value);
    out.heading(&entry.id);
    let hold = if entry.legal_hold { ", under legal hold" } else { "" };
    // What is held was held by what decided so, whoever has tried to release it since.
    let (at, by) = match entry.state {
        State::Held => (entry.stored_at, &entry.decided_by),
        State::Released | State::Lost | State::Deleted => (entry.changed_at, &entry.changed_by),
    };
    let by = by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
    row("state", &format!("{} since {}{by}{hold}", entry.state.as_str(), moment(at)));
    row("held as", &format!("{}: {}", entry.class, entry.reason));
    row("assigned to", entry.assigned.as_deref().unwrap_or("-"));
    row("decided by", entry.decided_by.as_deref().unwrap_or("-"));
    row("received", &moment(entry.received_at));
    row("stored", &format!("{}, {} ({} octets), {} on disk", moment(entry.stored_at), size(entry.size), entry.size, size(entry.stored)));
    row("sha256", &entry.sha256);
    row("listener", &entry.listener);
    row("client", &client(&entry.client));
    row("envelope from", &entry.mail);
    for recipient in &entry.recipients {
        row("envelope to", &format!("{}  {}", recipient.arguments, fate(recipient)));
    }
    for (name, value) in [("from", &entry.header_from), ("subject", &entry.subject), ("message-id", &entry.message_id)] {
        row(name, value.as_deref().unwrap_or("-"));
    }
    let findings: Value = serde_json::from_str(&entry.findings).unwrap_or_default();
    for finding in findings.as_array().into_iter().flatten() {
        let name = finding.get("name").and_then(Value::as_str).unwrap_or_default();
        row("found", &format!("{name} = {}", finding.get("value").unwrap_or(&Value::Null)));
    }
    let timings: Value = serde_json::from_str(&entry.timings).unwrap_or_default();
    for timing in timings.as_array().into_iter().flatten() {
        let text =
            |key: &str| timing.get(key).map_or_else(String::new, |value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let incomplete = timing.get("incomplete").and_then(Value::as_str).map_or_else(String::new, |why| format!(", {why}"));
        row("stage", &format!("{}: {} in {} ms{incomplete}", text("stage"), text("result"), milliseconds(timing)));
    }
    for line in entry.dialogue.iter().flat_map(|dialogue| dialogue.lines()) {
        row("session", line);
    }
}

/// What became of it for one recipient.
fn fate(recipient: &Recipient) -> String {
    let Recipient { state, reply, changed_at, changed_by, .. } = recipient;
    let Some(by) = changed_by else { return state.as_str().to_owned() };
    let tried = if recipient.was_tried() { "; release tried" } else { "" };
    let reply = reply.as_deref().map_or_else(String::new, |reply| format!(": {reply}"));
    format!("{}{tried} {} by {by}{reply}", state.as_str(), moment(*changed_at))
}

/// What reviewers have written down about it.
pub(super) fn notes(notes: &[Note], out: &Out) {
    for note in notes {
        for (n, line) in note.text.lines().enumerate() {
            let from = if n == 0 { format!("{} {}: ", moment(note.at), note.by) } else { "  ".to_owned() };
            row(out, if n == 0 { "note" } else { "" }, &format!("{from}{line}"));
        }
    }
}

fn row(out: &Out, name: &str, value: &str) {
    out.line(format_args!("  {name:<14}{value}"));
}

/// Address, name in HELO, protocol, TLS and account, as far as there are any.
fn client(evidence: &str) -> String {
    let client: Value = serde_json::from_str(evidence).unwrap_or_default();
    let text = |path: &str| client.pointer(path).and_then(Value::as_str);
    let hello = text("/hello").map(|hello| format!("HELO {hello}"));
    let tls = text("/tls/version").map(|version| format!("{version} with {}", text("/tls/cipher").unwrap_or("-")));
    let account = text("/account").map(|account| format!("signed in as {account}"));
    let ja4 = text("/tls/ja4").map(|ja4| format!("JA4 {ja4}"));
    let facts = [text("/address").map(str::to_owned), hello, text("/protocol").map(str::to_owned), tls, ja4, account];
    facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn milliseconds(timing: &Value) -> String {
    timing.get("seconds").and_then(Value::as_f64).map_or_else(|| "-".to_owned(), |seconds| format!("{:.1}", seconds * 1000.0))
}
