//! What a search has found, as CSV and as JSON (a row a line).
use crate::accounts::{Permission, Scope};
use crate::console::{
    Console, Error, Viewer,
    messages::{Filter, search},
};
use crate::journal::{PAGE, Row, render};
use axum::{
    Router,
    extract::{Query as Asked, State},
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};

/// Rows of one download; more are asked for with `octroi hunt`, or by a narrower search.
const ROWS: usize = 10_000;

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/messages.csv", get(csv)).route("/messages.json", get(json))
}

async fn csv(State(console): State<Console>, viewer: Viewer, Asked(filter): Asked<Filter>) -> Result<Response, Error> {
    let scope = viewer.need(Permission::MessagesRead)?;
    let text = all(&console, filter, &scope, render::csv_line(render::csv_names()), |row| render::csv_line(render::csv_cells(row))).await?;
    Ok(file("text/csv; charset=utf-8", "messages.csv", text))
}

async fn json(State(console): State<Console>, viewer: Viewer, Asked(filter): Asked<Filter>) -> Result<Response, Error> {
    let scope = viewer.need(Permission::MessagesRead)?;
    let text = all(&console, filter, &scope, String::new(), |row| format!("{}\n", render::json(row))).await?;
    Ok(file("application/x-ndjson", "messages.json", text))
}

async fn all(console: &Console, mut filter: Filter, scope: &Scope, mut text: String, line: fn(&Row) -> String) -> Result<String, Error> {
    for _ in 0..ROWS / usize::try_from(PAGE).unwrap_or(ROWS) {
        let found = search(console, &filter, scope, PAGE).await?.map_err(|field| Error::Bad(field.said()))?;
        let Some(last) = found.last().map(|seen| seen.row.key) else { break };
        filter.below = last.to_string();
        let count = found.len() as u64;
        text.extend(found.into_iter().map(|seen| line(&seen.into_row())));
        if count < PAGE {
            break;
        }
    }
    Ok(text)
}

fn file(kind: &'static str, name: &str, text: String) -> Response {
    let headers = [(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))];
    (headers, text).into_response()
}
