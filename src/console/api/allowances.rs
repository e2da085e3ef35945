//! What is let through, for programs.
use super::{Body, Problem, words};
use crate::accounts::Permission;
use crate::console::pages::quarantine::{entry_for, his_recipients, not_his, visible};
use crate::console::{Console, Error, Viewer};
use crate::gate::allow::{Wanted, allow, revoke};
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::{delete, get},
};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;
use utoipa::{OpenApi, ToSchema, openapi::schema::Object};

#[derive(OpenApi)]
#[openapi(paths(list, add, end))]
struct Part;

pub(super) fn document() -> utoipa::openapi::OpenApi {
    Part::openapi()
}

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/allowances", get(list).post(add)).route("/allowances/{number}", delete(end))
}

fn senders() -> Object {
    words::one_of(["address", "domain"])
}

/// Allowances.
#[derive(Debug, Serialize, ToSchema)]
struct Allowances {
    #[schema(value_type = Vec<Object>)]
    allowances: Vec<serde_json::Value>,
}

/// What is let through, and was
///
/// Needs `quarantine.read`; those for recipients that the token may see, the latest first, 500 at most.
#[utoipa::path(get, path = "/allowances", tag = "allowances", responses(
    (status = 200, description = "The allowances; `holds` says whether one lets anything through now", body = Allowances),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(console): State<Console>, viewer: Viewer) -> Result<Json<Allowances>, Error> {
    let seen = visible(viewer.need(Permission::QuarantineRead)?);
    let now = SystemTime::now();
    let allowances = console.quarantine().allowances(&seen).await?;
    Ok(Json(Allowances { allowances: allowances.iter().map(|allowance| allowance.json(now)).collect() }))
}

/// What is to be let through.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAllowance {
    /// The id of the entry that it is made from.
    entry: String,
    /// Its sender's `address` alone (where nothing is said), or his whole `domain`.
    #[serde(default)]
    #[schema(schema_with = senders)]
    sender: Sender,
    /// For which of its recipients; nobody named: for all that are the token's to decide about.
    #[serde(default)]
    recipients: Vec<String>,
    /// For how many days.
    #[serde(default = "Wanted::usual_days")]
    #[schema(minimum = 1, maximum = 45)]
    days: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sender {
    #[default]
    Address,
    Domain,
}

/// Lets through what is like an entry: past the stage or rule that held it, for its recipients
///
/// Needs `quarantine.release`. One allowance for each recipient. It does not release the entry itself.
#[utoipa::path(post, path = "/allowances", tag = "allowances", request_body = NewAllowance, responses(
    (status = 200, description = "It is let through from now on", body = super::Done),
    (status = 400, description = "The body makes no sense", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is no entry that the token may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Nothing like it can be let through, or not for these recipients", body = Problem, content_type = "application/problem+json"),
))]
async fn add(State(console): State<Console>, viewer: Viewer, Body(new): Body<NewAllowance>) -> Result<Json<super::Done>, Error> {
    let entry = entry_for(&console, &viewer, Permission::QuarantineRelease, &new.entry).await?;
    let his = his_recipients(&viewer, Permission::QuarantineRelease, &entry)?;
    if let Some(stranger) = not_his(&his, &new.recipients) {
        return Err(stranger);
    }
    let recipients = if new.recipients.is_empty() { his } else { new.recipients };
    let wanted = Wanted { domain: new.sender == Sender::Domain, recipients, days: new.days };
    allow(console.quarantine(), &entry, &wanted, &viewer.actor).await?;
    Ok(Json(super::Done::DONE))
}

/// Ends one before its time
///
/// Needs `quarantine.release`.
#[utoipa::path(delete, path = "/allowances/{number}", tag = "allowances", params(("number" = i64, Path, description = "The allowance's number")), responses(
    (status = 200, description = "It lets nothing through any more", body = super::Done),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that the token may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json"),
))]
async fn end(State(console): State<Console>, viewer: Viewer, Path(number): Path<String>) -> Result<Json<super::Done>, Error> {
    let seen = visible(viewer.need(Permission::QuarantineRelease)?);
    let number = number.parse().map_err(|_| Error::NotFound)?;
    revoke(console.quarantine(), number, &seen, &viewer.actor).await?;
    Ok(Json(super::Done::DONE))
}
