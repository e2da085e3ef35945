//! What became of an entry: who looked at it, who decided what, what was written down.
use super::row::minute;
use crate::audit::{Audit, Filter, Record};
use crate::console::{Console, Error, Frame, Language, facts::facts};
use crate::preview::visible;
use crate::quarantine::{Entry, Visible};
use crate::storage::StorageError;
use serde_json::Value;
use std::{borrow::Cow, time::SystemTime};

/// Rows that are shown of what was done, and of who looked; the audit has all.
const SHOWN: usize = 200;

/// What the page tells.
pub(super) struct History {
    /// The newest first.
    pub events: Vec<Event>,
    /// There is more than that, and older.
    pub is_cut: bool,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub at: String,
    pub who: String,
    pub what: String,
    pub detail: String,
}

pub(super) async fn of(console: &Console, frame: &Frame, entry: &Entry, seen: &Visible) -> Result<History, Error> {
    let (records, is_cut) = recorded(console.audit(), &entry.id, SHOWN).await?;
    let mut events: Vec<(SystemTime, Event)> = Vec::new();
    for record in records {
        let (key, detail) = told(&record.action, &shown(&record.detail, seen), frame.language);
        let what = frame.language.t(&format!("quarantine.history.{key}")).to_owned();
        events.push((record.at, Event { at: minute(record.at), who: visible(&record.actor), what, detail }));
    }
    for note in console.quarantine().notes(&entry.id).await? {
        // The audit says that there is one; here is what it says.
        if let Some((_, event)) =
            events.iter_mut().find(|(at, event)| event.who == note.by && event.detail.is_empty() && near(*at, note.at))
        {
            event.detail = visible(&note.text);
        } else {
            let what = frame.t("quarantine.history.note").to_owned();
            events.push((note.at, Event { at: minute(note.at), who: note.by, what, detail: visible(&note.text) }));
        }
    }
    let stored = frame.t("quarantine.history.stored").to_owned();
    let by = entry.decided_by.as_deref().map_or_else(|| "octroi".to_owned(), |by| visible(&frame.language.decider(by)));
    events.push((entry.stored_at, Event { at: minute(entry.stored_at), who: by, what: stored, detail: String::new() }));
    events.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut told: Vec<Event> = Vec::new();
    for (_, event) in events {
        // Who goes through the tabs has looked at it once.
        match told.last_mut() {
            Some(last) if last.who == event.who && last.what == event.what && event.what == frame.t("quarantine.history.view") => {
                if !last.detail.split(", ").any(|tab| tab == event.detail) {
                    last.detail = format!("{}, {}", event.detail, last.detail);
                }
            }
            _ => told.push(event),
        }
    }
    Ok(History { events: told, is_cut })
}

/// The newest rows of what was done with an entry, and as many of who looked at it, so that looks push no
/// decision out; and whether there are older ones.
async fn recorded(audit: &Audit, id: &str, most: usize) -> Result<(Vec<Record>, bool), StorageError> {
    let (mut records, mut is_cut) = (Vec::new(), false);
    for looks in [false, true] {
        let filter = Filter { object: Some(id.to_owned()), looks: Some(looks), limit: most as u64 + 1, ..Filter::default() };
        let mut found = audit.list(&filter).await?;
        is_cut |= found.len() > most;
        found.truncate(most);
        records.append(&mut found);
    }
    records.sort_unstable_by_key(|record| std::cmp::Reverse(record.sequence));
    Ok((records, is_cut))
}

/// What an action is called here, and the facts of its record on one line.
fn told<'a>(action: &'a str, json: &str, language: Language) -> (&'a str, String) {
    let has = |name: &str| serde_json::from_str::<Value>(json).is_ok_and(|facts| facts.get(name).is_some());
    let facts = facts(json, language);
    match action {
        "view" => ("view", facts.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(", ")),
        "release" if has("step") => ("release-begun", String::new()),
        _ => (
            action,
            facts
                .iter()
                .map(|(name, value)| language.with("quarantine.history.fact", &[("name", &name), ("value", &value)]))
                .collect::<Vec<_>>()
                .join(" · "),
        ),
    }
}

/// The facts of a record with those recipients that may be seen. Where there are others, what a mail
/// server said to all of them is not told, nor is what was cut off somewhere.
fn shown<'a>(json: &'a str, seen: &Visible) -> Cow<'a, str> {
    if *seen == Visible::All {
        return json.into();
    }
    let mut detail: Value = serde_json::from_str(json).unwrap_or_default();
    let Some(facts) = detail.as_object_mut() else { return "{}".into() };
    facts.remove("shortened");
    let mut hidden = 0;
    if let Some(Value::Array(recipients)) = facts.get_mut("recipients") {
        let all = recipients.len();
        recipients.retain(|address| address.as_str().is_some_and(|address| seen.covers(&address.to_ascii_lowercase())));
        hidden = all - recipients.len();
    }
    if hidden > 0 {
        facts.remove("reply");
        facts.insert("others".to_owned(), hidden.into());
    }
    detail.to_string().into()
}

fn near(a: SystemTime, b: SystemTime) -> bool {
    a.duration_since(b).or_else(|error| Ok::<_, ()>(error.duration())).is_ok_and(|apart| apart.as_millis() < 50)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor};
    use crate::storage::{Access, Database, Schema};

    #[tokio::test]
    async fn looks_push_no_decision_out() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("octroi.db"), Schema::STATE, Access::Create).unwrap();
        let actor = Actor::new("alice", None);
        let row = |action| crate::audit::Event::of(&actor, action).on("id").statement();
        let looks = (0..5).map(|_| row(Action::View));
        database.write(std::iter::once(row(Action::Release)).chain(looks).collect()).await.unwrap();
        let audit = Audit::new(database);
        let told = async |most| {
            let (records, is_cut) = recorded(&audit, "id", most).await.unwrap();
            (records.iter().map(|record| record.sequence).collect::<Vec<_>>(), is_cut)
        };
        assert_eq!(told(3).await, (vec![6, 5, 4, 1], true));
        assert_eq!(told(5).await, (vec![6, 5, 4, 3, 2, 1], false));
    }

    #[test]
    fn recipients_of_others_are_counted_and_not_named() {
        let seen = Visible::Domains(["a.example".to_owned()].into());
        let whole = r#"{"recipients":["x@a.example","Y@b.example"],"reply":"250 to x and y@b.example"}"#;
        assert_eq!(shown(whole, &seen), r#"{"others":1,"recipients":["x@a.example"]}"#);
        assert_eq!(shown(whole, &Visible::All), whole);
        let his = r#"{"recipients":["X@A.example"],"reply":"250 ok"}"#;
        assert_eq!(shown(his, &seen), his);
        assert_eq!(shown(r#"{"shortened":"y@b.example"}"#, &seen), "{}");
        assert_eq!(shown("y@b.example", &seen), "{}");
    }
}
