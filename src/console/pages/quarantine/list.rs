//! The list.
use super::{
    query::{Extra, Wanted},
    row::Row,
    visible,
};
use crate::accounts::Permission;
use crate::chain::HoldClass;
use crate::console::{Console, Error, Frame, Viewer, page};
use crate::quarantine::{Count, State};
use askama::Template;
use axum::{extract::State as From, response::Response};

/// Entries of one page.
const PAGE: u64 = 50;

#[derive(Template)]
#[template(path = "quarantine/list.html")]
struct List {
    frame: Frame,
    wanted: Wanted,
    rows: Vec<Row>,
    states: Vec<Chip>,
    classes: Vec<Chip>,
    /// Where the next page is.
    next: Option<String>,
    /// Where the first is, where this is another.
    first: Option<String>,
    unfinished: bool,
    may_release: bool,
    may_delete: bool,
    may_note: bool,
    may_hold: bool,
    may_export: bool,
    may_allow: bool,
    columns: Vec<Column>,
}

/// One choice, with how many there are.
struct Chip {
    url: String,
    text: &'static str,
    count: Option<String>,
    chosen: bool,
}

/// A column that can be sorted by.
struct Column {
    name: &'static str,
    text: &'static str,
    url: Option<String>,
    /// `ascending`, `descending`.
    sorted: Option<&'static str>,
}

pub(super) async fn show(
    From(console): From<Console>,
    viewer: Viewer,
    frame: Frame,
    wanted: Wanted,
    extra: Extra,
) -> Result<Response, Error> {
    let seen = visible(viewer.need(Permission::QuarantineRead)?);
    let (filter, order) = wanted.filter(seen.clone(), viewer.name())?;
    let quarantine = console.quarantine();
    let cursor = extra.cursor()?;
    let found = quarantine.page(&filter, order, cursor.as_ref(), PAGE).await?;
    let ids: Vec<_> = found.entries.iter().map(|entry| entry.id.clone()).collect();
    let asked = quarantine.asked(&ids).await?;
    let url = |id: &str| format!("/quarantine/{id}{}", wanted.query());
    let rows =
        found.entries.iter().map(|entry| Row::of(entry, asked.contains(&entry.id), quarantine, url(&entry.id), frame.language)).collect();
    let counts = quarantine.counts(&seen).await?;
    let states = states(&frame, &wanted, &counts.states);
    let classes = classes(&frame, &wanted, &counts.classes);
    let next = found.next.map(|next| format!("/quarantine{}", wanted.query_and("at", &next.to_string())));
    let first = cursor.is_some().then(|| format!("/quarantine{}", wanted.query()));
    let columns = columns(&frame, &wanted);
    page(List {
        rows,
        states,
        classes,
        next,
        first,
        unfinished: found.unfinished,
        may_release: viewer.may(Permission::QuarantineRelease),
        may_delete: viewer.may(Permission::QuarantineDelete),
        may_note: viewer.may(Permission::QuarantineNote),
        may_hold: viewer.may(Permission::QuarantineHold),
        may_export: viewer.may(Permission::QuarantineExport),
        may_allow: viewer.may(Permission::QuarantineRead),
        columns,
        wanted,
        frame: frame.at("quarantine"),
    })
}

fn count(count: Count) -> String {
    format!("{}{}", count.entries, if count.or_more { "+" } else { "" })
}

fn states(frame: &Frame, wanted: &Wanted, counts: &[(State, Count)]) -> Vec<Chip> {
    let present = match wanted.get("state") {
        "" => "held",
        other => other,
    };
    let chip = |word: &'static str, of: Option<Count>| Chip {
        url: format!("/quarantine{}", wanted.with("state", if word == "held" { "" } else { word }).query()),
        text: frame.t2("quarantine.state", word),
        count: of.map(count),
        chosen: present == word,
    };
    let mut chips: Vec<_> = counts.iter().map(|(state, of)| chip(state.as_str(), Some(*of))).collect();
    chips.push(chip("all", None));
    chips
}

fn classes(frame: &Frame, wanted: &Wanted, counts: &[(HoldClass, Count)]) -> Vec<Chip> {
    let held = matches!(wanted.get("state"), "" | "held");
    let present = wanted.get("class");
    let chip = |word: &str, text: &'static str, of: Option<Count>| Chip {
        url: format!("/quarantine{}", wanted.with("class", word).query()),
        text,
        // What is counted is what is held.
        count: of.filter(|_| held).map(count),
        chosen: present == word,
    };
    let all = chip("", frame.t("quarantine.class.all"), None);
    let each = counts.iter().map(|(class, of)| chip(class.as_str(), frame.t2("quarantine.class", class.as_str()), Some(*of)));
    std::iter::once(all).chain(each).collect()
}

fn columns(frame: &Frame, wanted: &Wanted) -> Vec<Column> {
    let (sort, ascending) = (wanted.get("sort"), wanted.get("dir") == "asc");
    let present = if sort.is_empty() { "time" } else { sort };
    let column = |name: &'static str, by: Option<&'static str>| {
        let is_present = by == Some(present);
        // The other way round, where it is sorted so already; names begin with A, times and sizes with the most.
        let ascends = if is_present { !ascending } else { by == Some("sender") };
        let url = by.map(|by| {
            let wanted = wanted.with("sort", if by == "time" { "" } else { by }).with("dir", if ascends { "asc" } else { "" });
            format!("/quarantine{}", wanted.query())
        });
        let sorted = is_present.then_some(if ascending { "ascending" } else { "descending" });
        Column { name, text: frame.t2("quarantine.column", name), url, sorted }
    };
    vec![
        column("time", Some("time")),
        column("from", Some("sender")),
        column("subject", None),
        column("class", None),
        column("score", None),
        column("size", Some("size")),
        column("expires", None),
        column("state", None),
    ]
}
