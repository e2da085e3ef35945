use super::{Asked, limit, words};
use crate::accounts::Permission;
use crate::console::{
    Console, Error, Viewer,
    messages::{Filter, SINCE, Seen, VERDICTS, search, visible},
};
use crate::journal::render;
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{
    IntoParams, OpenApi,
    openapi::{
        KnownFormat, SchemaFormat,
        schema::{Object, OneOfBuilder, Schema},
    },
};

#[derive(OpenApi)]
#[openapi(paths(list, one))]
struct Part;

pub(super) fn document() -> utoipa::openapi::OpenApi {
    Part::openapi()
}

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/messages", get(list)).route("/messages/{key}", get(one))
}

/// What to find: rows that fit everything that is asked.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct Filters {
    /// Words that subject and addresses have, but of recipients only where all of them may be seen; one that ends with `*` is a beginning.
    q: String,
    /// An address, or `@` and a domain; `<>` is the null reverse-path.
    sender: String,
    /// An address, or `@` and a domain.
    recipient: String,
    /// An IP address or a network.
    #[param(schema_with = client)]
    client: String,
    /// `delivered`, `quarantined`, `rejected`, `deferred`, `discarded` or `lost`.
    #[param(schema_with = verdicts)]
    verdict: String,
    /// `message` (where it is left out), `command`, `connection`, `violation` or `all`.
    #[param(schema_with = kinds)]
    kind: String,
    /// A stage, or `rule NAME`.
    by: String,
    /// A finding's name, or `name=value`.
    finding: String,
    violation: String,
    /// The name of a file, which may end with `*`, or its SHA-256.
    attachment: String,
    /// A host of a link; what is below it is found too.
    host: String,
    /// Of a message or a session.
    id: String,
    /// `hour`, `day`, `week` (where it is left out), `month` or `all`.
    #[param(schema_with = periods)]
    since: String,
    /// Only rows before this one: the last `key` of the page before.
    below: Option<i64>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u64>,
}

/// What can be said of an address or a network in a pattern; compressed IPv6 networks are understood
/// too.
fn client() -> Schema {
    let format = |format| words::text().format(Some(SchemaFormat::KnownFormat(format)));
    let network = |pattern: &str| words::text().pattern(Some(pattern));
    let one = OneOfBuilder::new()
        .item(words::one_of([""]))
        .item(format(KnownFormat::Ipv4))
        .item(format(KnownFormat::Ipv6))
        .item(network(
            r"^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])$",
        ))
        .item(network(r"^([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$"))
        .build();
    Schema::OneOf(one)
}
fn verdicts() -> Object {
    words::one_of([""].into_iter().chain(VERDICTS))
}
fn kinds() -> Object {
    words::one_of(["", "message", "command", "connection", "violation", "all"])
}
fn periods() -> Object {
    words::one_of([""].into_iter().chain(SINCE.map(|(name, _)| name)))
}

/// What happened to messages, newest first
///
/// Needs `messages.read`. Recipients of domains that are not the account's are counted and not named.
#[utoipa::path(get, path = "/messages", tag = "messages", params(Filters), responses(
    (status = 200, description = "Rows, the newest first", body = Vec<Object>),
    (status = 400, description = "The query makes no sense", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 401, description = "There is no such token", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 422, description = "Too broad: ended after `[storage] search_timeout`", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Too many searches at once", body = crate::console::api::Problem, content_type = "application/problem+json"),
))]
async fn list(State(console): State<Console>, viewer: Viewer, Asked(asked): Asked<Filters>) -> Result<Json<Vec<Value>>, Error> {
    let scope = viewer.need(Permission::MessagesRead)?;
    let limit = limit(asked.limit, 100)?;
    let Filters { q, sender, recipient, client, verdict, kind, by, finding, violation, attachment, host, id, since, below, limit: _ } =
        asked;
    let below = below.map(|key| key.to_string()).unwrap_or_default();
    let filter = Filter { q, sender, recipient, client, verdict, kind, by, finding, violation, attachment, host, id, since, below };
    let found = search(&console, &filter, &scope, limit).await?;
    let found = found.map_err(|field| Error::Unreadable(format!("{}: not one of those that there are", field.0)))?;
    Ok(Json(found.into_iter().map(|seen| render::json(&seen.into_row())).collect()))
}

/// What happened to one message
///
/// Needs `messages.read`.
#[utoipa::path(get, path = "/messages/{key}", tag = "messages", params(("key" = i64, Path, description = "The row's key")), responses(
    (status = 200, description = "The row", body = Object),
    (status = 401, description = "There is no such token", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no such row, or not for this account", body = crate::console::api::Problem, content_type = "application/problem+json"),
))]
async fn one(State(console): State<Console>, viewer: Viewer, Path(key): Path<String>) -> Result<Json<Value>, Error> {
    let scope = viewer.need(Permission::MessagesRead)?;
    let key = key.parse().map_err(|_| Error::NotFound)?;
    let row = visible(&console, key, &scope).await?.ok_or(Error::NotFound)?;
    Ok(Json(render::json(&Seen::new(row, &scope).into_row())))
}
