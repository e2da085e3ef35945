//! What a search has found, as CSV and as JSON (a row a line).
use crate::accounts::{Permission, Scope};
use crate::audit::Action;
use crate::console::{
    Console, Error, Viewer,
    messages::{Filter, search},
};
use crate::journal::{PAGE, Row, render};
use axum::{
    Router,
    extract::{Query as Asked, RawQuery, State},
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

/// Rows of one download; more are asked for with `octroi hunt`, or by a narrower search.
const ROWS: usize = 10_000;
/// Octets of what was searched for, as the audit keeps it.
const QUERY: usize = 1000;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/messages.csv", get(|console, viewer, query, filter| download(CSV, console, viewer, query, filter)))
        .route("/messages.json", get(|console, viewer, query, filter| download(JSON, console, viewer, query, filter)))
}

/// How a download is written.
struct Form {
    kind: &'static str,
    name: &'static str,
    head: fn() -> String,
    line: fn(&Row) -> String,
}

const CSV: Form = Form {
    kind: "text/csv; charset=utf-8",
    name: "messages.csv",
    head: || render::csv_line(render::csv_names()),
    line: |row| render::csv_line(render::csv_cells(row)),
};
const JSON: Form =
    Form { kind: "application/x-ndjson", name: "messages.json", head: String::new, line: |row| format!("{}\n", render::json(row)) };

async fn download(
    form: Form,
    State(console): State<Console>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
    Asked(filter): Asked<Filter>,
) -> Result<Response, Error> {
    let scope = viewer.need(Permission::MessagesRead)?;
    let (text, rows) = all(&console, filter, &scope, &form).await?;
    told(&console, &viewer, query, rows).await?;
    let headers = [(CONTENT_TYPE, form.kind.to_owned()), (CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", form.name))];
    Ok((headers, text).into_response())
}

/// Who takes so many rows away, and of what: before they leave.
async fn told(console: &Console, viewer: &Viewer, query: Option<String>, rows: usize) -> Result<(), Error> {
    let query = query.unwrap_or_default();
    let query = query.get(..query.floor_char_boundary(QUERY)).unwrap_or_default();
    Ok(console.audit().record(viewer.did(Action::Search).with("query", query).with("rows", rows)).await?)
}

async fn all(console: &Console, mut filter: Filter, scope: &Scope, form: &Form) -> Result<(String, usize), Error> {
    let (mut text, mut rows) = ((form.head)(), 0);
    for _ in 0..ROWS / usize::try_from(PAGE).unwrap_or(ROWS) {
        let found = search(console, &filter, scope, PAGE).await?.map_err(|field| Error::Bad(field.said()))?;
        let Some(last) = found.last().map(|seen| seen.row.key) else { break };
        filter.below = last.to_string();
        let count = found.len();
        rows += count;
        text.extend(found.into_iter().map(|seen| (form.line)(&seen.into_row())));
        if (count as u64) < PAGE {
            break;
        }
    }
    Ok((text, rows))
}
