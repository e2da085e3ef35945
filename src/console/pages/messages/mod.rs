//! `/messages`: what happened to every message, searched; `/messages/{key}`: to one of them.
mod explain;
mod filter;
mod seen;

use crate::accounts::{Permission, Scope};
use crate::console::{Console, Error, Frame, Viewer, page};
use crate::journal::{Query, Rows};
use askama::Template;
use axum::{
    Router,
    extract::{Path, Query as Asked, State},
    response::Response,
    routing::get,
};
use filter::{Filter, PAGE, SINCE, Unreadable, VERDICTS};
use seen::Seen;
use std::time::SystemTime;

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/messages", get(list)).route("/messages/{key}", get(one))
}

#[derive(Template)]
#[template(path = "messages.html")]
struct List {
    frame: Frame,
    filter: Filter,
    /// Where one page ends and the next begins.
    older: Option<String>,
    rows: Vec<Seen>,
    unreadable: Option<Unreadable>,
}

impl List {
    const SINCE: [(&str, u64); 5] = SINCE;
    const VERDICTS: [&str; 6] = VERDICTS;
}

async fn list(State(console): State<Console>, viewer: Viewer, frame: Frame, Asked(filter): Asked<Filter>) -> Result<Response, Error> {
    let scope = viewer.need(Permission::MessagesRead)?;
    let frame = frame.at("messages");
    let mut list = List { frame, older: None, rows: Vec::new(), unreadable: None, filter };
    let query = match list.filter.query(domains(&scope), SystemTime::now()) {
        Ok(query) => query,
        Err(unreadable) => {
            list.unreadable = Some(unreadable);
            return page(list);
        }
    };
    let mut found = console.journal().search(&query).await?;
    let more = found.len() as u64 > PAGE;
    found.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
    list.older = found.last().filter(|_| more).map(|row| list.filter.link(Some(row.key)));
    list.rows = found.into_iter().map(|row| Seen::new(row, &scope)).collect();
    page(list)
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    frame: Frame,
    seen: Seen,
    why: Vec<String>,
    /// There is an entry of the quarantine of it, for him to see.
    held: bool,
}

async fn one(State(console): State<Console>, viewer: Viewer, frame: Frame, Path(key): Path<String>) -> Result<Response, Error> {
    let scope = viewer.need(Permission::MessagesRead)?;
    let key = key.parse().map_err(|_| Error::NotFound)?;
    let row = visible(console.journal(), key, &scope).await?.ok_or(Error::NotFound)?;
    let why = explain::explain(&row, frame.language);
    let held = match row.message.as_deref().filter(|_| row.details.held > 0 && viewer.may(Permission::QuarantineRead)) {
        // Its entry has its id, but where it was held for several reasons.
        Some(message) => console.quarantine().entry(message).await.is_ok(),
        None => false,
    };
    page(Message { frame: frame.at("messages"), seen: Seen::new(row, &scope), why, held })
}

/// The row of that key, where it is for him to see. That is asked of the journal, which finds
/// recipients also where they are hashed.
async fn visible(rows: &Rows, key: i64, scope: &Scope) -> Result<Option<crate::journal::Row>, Error> {
    if *scope == Scope::Everybody {
        return Ok(rows.row(key).await?);
    }
    let query = Query { recipient_domains: domains(scope), below: key.checked_add(1), ..Query::new(1) };
    Ok(rows.search(&query).await?.into_iter().find(|row| row.key == key))
}

fn domains(scope: &Scope) -> Vec<String> {
    match scope {
        Scope::Domains(domains) => domains.clone(),
        Scope::Everybody | Scope::Nobody => Vec::new(),
    }
}
