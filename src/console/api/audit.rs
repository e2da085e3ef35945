use super::{Asked, limit};
use crate::accounts::Permission;
use crate::audit::{Filter, Record};
use crate::console::{Console, Error, Viewer};
use crate::value::rfc3339;
use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(list))]
struct Part;

pub(super) fn document() -> utoipa::openapi::OpenApi {
    Part::openapi()
}

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/audit", get(list))
}

/// What to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct Filters {
    /// The name of an account, or `uid 0` on the command line.
    actor: Option<String>,
    /// A word such as `sign-in`.
    action: Option<String>,
    /// The id of an entry, or the name of an account.
    object: Option<String>,
    /// Only rows before this one: the last `sequence` of the page before.
    below: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
}

/// A row of the audit.
#[derive(Debug, Serialize, ToSchema)]
struct Row {
    sequence: i64,
    /// RFC 3339.
    at: String,
    actor: String,
    client: Option<String>,
    action: String,
    object: Option<String>,
    #[schema(value_type = Object)]
    detail: serde_json::Value,
    /// The hash of the row before.
    previous: String,
    hash: String,
}

/// The audit, newest first
///
/// Needs `audit.read`.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Filters), responses(
    (status = 200, description = "Rows, the newest first", body = Vec<Row>),
    (status = 400, description = "The query makes no sense", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 401, description = "There is no such token", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 422, description = "Too broad: ended after `[storage] search_timeout`", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Too many searches at once", body = crate::console::api::Problem, content_type = "application/problem+json"),
))]
async fn list(State(console): State<Console>, viewer: Viewer, Asked(query): Asked<Filters>) -> Result<Json<Vec<Row>>, Error> {
    viewer.need(Permission::AuditRead)?;
    let limit = limit(query.limit, 100)?;
    let Filters { actor, action, object, below, .. } = query;
    let rows = console.audit().list(&Filter { actor, action, object, below, limit, ..Filter::default() }).await?;
    Ok(Json(rows.into_iter().map(row).collect()))
}

fn row(record: Record) -> Row {
    Row {
        sequence: record.sequence,
        at: rfc3339(record.at),
        actor: record.actor,
        client: record.client,
        action: record.action,
        object: record.object,
        detail: serde_json::from_str(&record.detail).unwrap_or_default(),
        previous: record.previous,
        hash: record.hash,
    }
}
