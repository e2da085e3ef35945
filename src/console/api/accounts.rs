use crate::accounts::Permission;
use crate::console::{Console, Error, Viewer};
use crate::value::rfc3339;
use axum::{Json, Router, extract::State, routing::get};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(list))]
struct Part;

pub(super) fn document() -> utoipa::openapi::OpenApi {
    Part::openapi()
}

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/accounts", get(list))
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
struct Account {
    name: String,
    roles: Vec<String>,
    domains: Vec<String>,
    /// It has a password and a second factor.
    enrolled: bool,
    disabled: bool,
    totp: bool,
    passkeys: i64,
    recovery_codes: i64,
    /// RFC 3339.
    created_at: String,
    created_by: String,
    signed_in_at: Option<String>,
}

/// All accounts
///
/// Needs `accounts.manage`.
#[utoipa::path(get, path = "/accounts", tag = "accounts", responses(
    (status = 200, description = "By name", body = Vec<Account>),
    (status = 401, description = "There is no such token", body = crate::console::api::Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = crate::console::api::Problem, content_type = "application/problem+json"),
))]
async fn list(State(console): State<Console>, viewer: Viewer) -> Result<Json<Vec<Account>>, Error> {
    viewer.need(Permission::AccountsManage)?;
    let accounts = console.accounts().list().await?.into_iter().map(|account| Account {
        name: account.name,
        roles: account.rights.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        domains: account.rights.domains,
        enrolled: account.enrolled,
        disabled: account.disabled,
        totp: account.has_totp,
        passkeys: account.passkeys,
        recovery_codes: account.recovery_codes,
        created_at: rfc3339(account.created_at),
        created_by: account.created_by,
        signed_in_at: account.signed_in_at.map(rfc3339),
    });
    Ok(Json(accounts.collect()))
}
