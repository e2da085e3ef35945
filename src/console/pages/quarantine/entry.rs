//! One entry.
use super::{
    history::{self, History},
    open,
    query::{Extra, Wanted},
    row::{Row, class_colour, differs, findings, minute, state_colour},
    visible,
    why::{Why, why},
};
use crate::accounts::Permission;
use crate::audit::Action;
use crate::console::{Console, Error, Frame, Frames, Language, Said, Viewer, grouped, messages::key_of, moment, page};
use crate::preview::{self, files::Listing};
use crate::quarantine::{Conflict, Entry, Recipient, RecipientState, Request, RequestState};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use serde_json::Value;
use std::fmt::Display;

#[derive(Template)]
#[template(path = "quarantine/entry.html")]
struct Page {
    frame: Frame,
    row: Row,
    entry: Entry,
    facts: Vec<(&'static str, String)>,
    why: Why,
    stages: Vec<Stage>,
    findings: Vec<(String, String)>,
    recipients: Vec<To>,
    history: History,
    request: Option<Request>,
    denied: Option<Request>,
    /// What is shown of the content; `None` where it is not his to see.
    content: Option<Content>,
    tab: &'static str,
    tabs: Vec<(&'static str, String)>,
    /// The list it was opened from, and its neighbours there.
    list: String,
    before: Option<String>,
    after: Option<String>,
    /// Its row in the journal, where that is for him to see.
    journal: Option<i64>,
    /// Where its forms go.
    target: String,
    may: May,
    why_not_allowed: Option<Conflict>,
    takes_two: bool,
}

/// What the viewer may do with it, as it is now.
struct May {
    release: bool,
    approve: bool,
    delete: bool,
    note: bool,
    hold: bool,
    lift: bool,
    export: bool,
}

struct Stage {
    name: String,
    result: String,
    took: String,
    /// Of the longest, out of a hundred.
    share: u64,
    incomplete: Option<String>,
}

struct To {
    address: String,
    state: &'static str,
    colour: &'static str,
    /// Who released it, or tried to, and what the mail server said.
    told: Option<String>,
    /// It may be chosen for a release.
    open: bool,
    his: bool,
}

/// One tab's content.
enum Content {
    Text(preview::Shown),
    Html,
    Headers(Vec<(String, String)>),
    Structure(Vec<preview::Node>),
    Files(Listing),
    Source {
        text: String,
        next: Option<String>,
        first: bool,
    },
    /// Deleted, or lost.
    Gone,
    NoHtml,
    /// Why it cannot be shown.
    Not(Said),
}

const TABS: [&str; 6] = ["text", "html", "headers", "structure", "files", "source"];

pub(super) async fn show(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    Path(id): Path<String>,
    wanted: Wanted,
    extra: Extra,
) -> Result<Response, Error> {
    let seen = visible(viewer.need(Permission::QuarantineRead)?);
    let quarantine = console.quarantine();
    let entry = quarantine.visible(&id, &seen).await?;
    let tab = TABS.into_iter().find(|tab| *tab == extra.get("tab")).unwrap_or("text");
    let content_is_his = covers(&visible(viewer.scope(Permission::QuarantineContent)), &entry);
    let content = if content_is_his { Some(content(&console, &viewer, &entry, tab, &wanted, &extra).await?) } else { None };
    let mut requests = quarantine.requests(&entry.id).await?;
    requests.iter_mut().for_each(|request| request.show_to(&seen));
    let denied = requests.first().filter(|request| request.state == RequestState::Denied).cloned();
    let request = requests.into_iter().find(|request| request.state == RequestState::Pending);
    let (filter, order) = wanted.filter(seen.clone(), viewer.name())?;
    let (before, after) = quarantine.neighbours(&filter, order, &entry).await?;
    let url = |id: &str| format!("/quarantine/{id}{}", wanted.query());
    let why = why(&entry, frame.language);
    let mut response = page(Page {
        row: Row::of(&entry, request.is_some(), quarantine, url(&entry.id), frame.language),
        facts: facts(&frame, &entry),
        why,
        stages: stages(&entry, frame.language),
        findings: findings(&entry).into_iter().map(|(name, value)| (name, preview::visible(&plain(&value)))).collect(),
        recipients: recipients(&viewer, &entry, frame.language),
        history: history::of(&console, &frame, &entry, &seen).await?,
        may: may(&viewer, &entry, request.as_ref()),
        why_not_allowed: quarantine.why_not_allowed(&entry),
        takes_two: quarantine.takes_two(&entry.class),
        tabs: TABS.into_iter().map(|tab| (tab, format!("/quarantine/{}{}#content", entry.id, wanted.query_and("tab", tab)))).collect(),
        list: format!("/quarantine{}", wanted.query()),
        before: before.as_deref().map(url),
        after: after.as_deref().map(url),
        journal: key_of(&console, &viewer, &entry.message).await?,
        target: url(&entry.id),
        request,
        denied,
        content,
        tab,
        entry,
        frame: frame.at("quarantine"),
    })?;
    response.extensions_mut().insert(Frames);
    Ok(response)
}

fn covers(visible: &crate::quarantine::Visible, entry: &Entry) -> bool {
    entry.recipients.iter().any(|recipient| visible.covers(&recipient.address))
}

async fn content(
    console: &Console,
    viewer: &Viewer,
    entry: &Entry,
    tab: &'static str,
    wanted: &Wanted,
    extra: &Extra,
) -> Result<Content, Error> {
    if entry.gone().is_some() {
        return Ok(Content::Gone);
    }
    // Written down before anything is read: who cannot be named sees nothing.
    match console.audit().record(viewer.did(Action::View).on(&entry.id).with("what", tab)).await.map_err(Error::from) {
        Ok(()) => {}
        // All else is there to see, and to decide by.
        Err(Error::Full(_)) => return Ok(Content::Not(Said::of("error.full_text"))),
        Err(error) => return Err(error),
    }
    let opened = match open(console, entry).await {
        Ok(opened) => opened,
        Err(Error::Conflict(why)) => return Ok(Content::Not(why)),
        Err(error) => return Err(error),
    };
    let shown = match tab {
        "html" => opened.shown().await.map(|shown| if shown.has_html { Content::Html } else { Content::NoHtml }),
        "headers" => Ok(Content::Headers(opened.headers())),
        "structure" => opened.tree().await.map(Content::Structure),
        "files" => opened.files().await.map(Content::Files),
        "source" => {
            let from = extra.get("octet").parse().unwrap_or(0);
            let next = |next: u64| format!("/quarantine/{}{}&octet={next}#content", entry.id, wanted.query_and("tab", "source"));
            opened.source(from).await.map(|(text, at)| Content::Source { text, next: at.map(next), first: from == 0 })
        }
        _ => opened.shown().await.map(Content::Text),
    };
    match shown.map_err(Error::from) {
        Err(Error::Conflict(why)) => Ok(Content::Not(why)),
        other => other,
    }
}

fn may(viewer: &Viewer, entry: &Entry, request: Option<&Request>) -> May {
    use crate::quarantine::State;
    let his = |permission| covers(&visible(viewer.scope(permission)), entry);
    let there = entry.gone().is_none();
    let all = |permission| his(permission) && super::all_are_his(viewer, permission, entry).is_ok();
    May {
        release: there && his(Permission::QuarantineRelease),
        approve: there && his(Permission::QuarantineApprove) && request.is_some_and(|request| request.asked_by != viewer.name()),
        delete: entry.state != State::Deleted && !entry.legal_hold && all(Permission::QuarantineDelete),
        note: his(Permission::QuarantineNote),
        hold: entry.state != State::Deleted && !entry.legal_hold && his(Permission::QuarantineHold),
        lift: entry.legal_hold && all(Permission::QuarantineHold),
        export: there && his(Permission::QuarantineExport),
    }
}

fn facts(frame: &Frame, entry: &Entry) -> Vec<(&'static str, String)> {
    let client: Value = serde_json::from_str(&entry.client).unwrap_or_default();
    let at = |pointer: &str| client.pointer(pointer).and_then(Value::as_str).map(preview::visible);
    let tls = at("/tls/version").map(|version| format!("{version}, {}", at("/tls/cipher").unwrap_or_default()));
    let all = [
        ("held_at", Some(format!("{} UTC", moment(&entry.stored_at)))),
        ("author", entry.header_from.as_deref().map(preview::visible)),
        ("sender", Some(if entry.sender.is_empty() { "<>".to_owned() } else { preview::visible(&entry.mail) })),
        ("client", at("/address")),
        ("hello", at("/hello")),
        ("tls", Some(tls.unwrap_or_else(|| frame.t("quarantine.fact.no_tls").to_owned()))),
        ("account", at("/account")),
        ("listener", Some(entry.listener.clone())),
        ("message_id", entry.message_id.as_deref().map(preview::visible)),
        ("size", Some(size(frame, entry.size))),
        ("sha256", Some(entry.sha256.clone())),
        ("id", Some(entry.id.clone())),
    ];
    all.into_iter().filter_map(|(key, value)| Some((frame.t2("quarantine.fact", key), value?))).collect()
}

/// For people and, where that is another number, to the octet.
fn size(frame: &Frame, octets: i64) -> String {
    let exact = || format!(" ({} {})", grouped(octets), frame.t("quarantine.fact.octets"));
    format!("{}{}", frame.octets(octets), if octets < 1024 { String::new() } else { exact() })
}

fn stages(entry: &Entry, language: Language) -> Vec<Stage> {
    let timings: Vec<Value> = serde_json::from_str(&entry.timings).unwrap_or_default();
    let seconds = |timing: &Value| timing.get("seconds").and_then(Value::as_f64).unwrap_or(0.0).max(0.0);
    let longest = timings.iter().map(seconds).fold(0.001, f64::max);
    let text = |timing: &Value, key: &str| timing.get(key).and_then(Value::as_str).map(preview::visible);
    let stage = |timing: &Value| Stage {
        name: text(timing, "stage").unwrap_or_default(),
        result: text(timing, "result").unwrap_or_default(),
        took: language.seconds(seconds(timing)),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 100")]
        share: (seconds(timing) / longest * 100.0) as u64,
        incomplete: text(timing, "incomplete"),
    };
    timings.iter().map(stage).collect()
}

fn recipients(viewer: &Viewer, entry: &Entry, language: Language) -> Vec<To> {
    let scope = visible(viewer.scope(Permission::QuarantineRelease));
    let there = entry.gone().is_none();
    let to = |recipient: &Recipient| To {
        address: preview::visible(&recipient.address),
        state: recipient.state.as_str(),
        colour: match recipient.state {
            RecipientState::Held => "",
            RecipientState::Releasing => "warning",
            RecipientState::Released => "good",
        },
        told: told(recipient, language),
        open: there && recipient.state == RecipientState::Held && scope.covers(&recipient.address),
        his: scope.covers(&recipient.address),
    };
    entry.recipients.iter().map(to).collect()
}

/// Of one that is held still, that it was tried: what was answered must not look like a success.
fn told(recipient: &Recipient, language: Language) -> Option<String> {
    let by = preview::visible(recipient.changed_by.as_deref()?);
    let reply = recipient.reply.as_deref().map(preview::visible);
    let key = match (recipient.was_tried(), &reply) {
        (true, Some(_)) => "tried",
        (true, None) => "tried_unanswered",
        (false, Some(_)) => "answered",
        (false, None) => return None,
    };
    let at = minute(recipient.changed_at);
    let values: [(&str, &dyn Display); 3] = [("at", &at), ("by", &by), ("reply", &reply.unwrap_or_default())];
    Some(language.with(&format!("quarantine.recipient.{key}"), &values))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Page {
    /// He has asked for it himself.
    fn is_asker(&self) -> bool {
        let name = self.frame.viewer.as_ref().map(Viewer::name);
        self.request.as_ref().is_some_and(|request| name == Some(&request.asked_by))
    }
    fn dialogue(&self) -> Option<String> {
        self.entry.dialogue.as_deref().filter(|dialogue| !dialogue.is_empty()).map(preview::visible)
    }
    fn hidden(&self, recipients: usize) -> String {
        self.frame.count("quarantine.hidden", recipients)
    }
    fn differs(&self) -> bool {
        differs(&self.entry)
    }
    fn class_colour(&self) -> &'static str {
        class_colour(&self.entry.class)
    }
    fn state_colour(&self) -> &'static str {
        state_colour(&self.row.state)
    }
    fn open_recipients(&self) -> usize {
        self.recipients.iter().filter(|to| to.open).count()
    }
    /// Somebody has it, or perhaps has it.
    fn again(&self) -> bool {
        self.recipients.iter().any(|to| to.his && !to.open)
    }
}
