//! `/messages`: what happened to every message, searched; `/messages/{key}`: to one of them;
//! `/messages.csv` and `/messages.json`: what was found, to take along.
mod explain;
mod export;

use crate::accounts::Permission;
use crate::console::{
    Console, Error, Frame, Viewer,
    messages::{Filter, SINCE, Seen, Unreadable, VERDICTS, search, visible},
    page,
    pages::quarantine::entry_for,
};
use askama::Template;
use axum::{
    Router,
    extract::{Path, Query as Asked, State},
    response::Response,
    routing::get,
};

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/messages", get(list)).route("/messages/{key}", get(one)).merge(export::routes())
}

/// Rows of a page.
const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "messages.html")]
struct List {
    frame: Frame,
    filter: Filter,
    /// Where one page ends and the next begins.
    older: Option<String>,
    rows: Vec<Seen>,
    unreadable: Option<Unreadable>,
    /// Why nothing was looked for to its end.
    unfinished: Option<String>,
}

impl List {
    const SINCE: [(&str, u64); 5] = SINCE;
    const VERDICTS: [&str; 6] = VERDICTS;

    fn is_client_wrong(&self) -> bool {
        self.unreadable.is_some_and(|field| field.is_client())
    }
}

async fn list(State(console): State<Console>, viewer: Viewer, frame: Frame, Asked(filter): Asked<Filter>) -> Result<Response, Error> {
    let scope = viewer.need(Permission::MessagesRead)?;
    let mut list = List { frame: frame.at("messages"), older: None, rows: Vec::new(), unreadable: None, unfinished: None, filter };
    match search(&console, &list.filter, &scope, PAGE as u64 + 1).await {
        Ok(Ok(rows)) => list.rows = rows,
        Ok(Err(unreadable)) => list.unreadable = Some(unreadable),
        // Said below the form, which is where it is narrowed.
        Err(error @ (Error::TooBroad | Error::Busy)) => list.unfinished = Some(error.sentence(list.frame.language)),
        Err(error) => return Err(error),
    }
    let more = list.rows.len() > PAGE;
    list.rows.truncate(PAGE);
    list.older = list.rows.last().filter(|_| more).map(|seen| list.filter.link(Some(seen.row.key)));
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
    let row = visible(&console, key, &scope).await?.ok_or(Error::NotFound)?;
    let why = explain::explain(&row, frame.language);
    let held = match row.message.as_deref().filter(|_| row.details.held > 0) {
        // Its entry has its id; where it was held for several reasons, the first of them.
        Some(message) => entry_for(&console, &viewer, Permission::QuarantineRead, message).await.is_ok(),
        None => false,
    };
    page(Message { frame: frame.at("messages"), seen: Seen::new(row, &scope), why, held })
}
