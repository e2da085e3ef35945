use crate::accounts::Permission;
use crate::console::{Console, Error, Viewer};
use axum::{Json, Router, routing::get};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

#[derive(OpenApi)]
#[openapi(paths(whoami))]
struct Part;

pub(super) fn document() -> utoipa::openapi::OpenApi {
    Part::openapi()
}

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/whoami", get(whoami))
}

/// Who a token is for, and what it may do.
#[derive(Debug, Serialize, ToSchema)]
struct WhoAmI {
    account: String,
    /// Words such as `quarantine.read`.
    permissions: Vec<String>,
    /// Of recipients; `*` is all. What is done for domains ends there.
    domains: Vec<String>,
}

/// Who the token is for
#[utoipa::path(get, path = "/whoami", tag = "accounts", responses(
    (status = 200, description = "The account, and what the token may do", body = WhoAmI),
    (status = 401, description = "There is no such token", body = crate::console::api::Problem, content_type = "application/problem+json"),
))]
async fn whoami(viewer: Viewer) -> Result<Json<WhoAmI>, Error> {
    let permissions = Permission::ALL.iter().filter(|permission| viewer.may(**permission));
    Ok(Json(WhoAmI {
        account: viewer.name().to_owned(),
        permissions: permissions.map(|permission| permission.as_str().to_owned()).collect(),
        domains: viewer.account.rights.domains.clone(),
    }))
}
