//! `/api/v1`: the same for programs, with tokens.
use super::{Console, Error, Viewer};
use axum::{Json, Router, routing::get};
use serde::Serialize;

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/whoami", get(whoami)).fallback(async || Error::NotFound)
}

/// Who the token is for.
#[derive(Debug, Serialize)]
struct WhoAmI {
    name: String,
}

async fn whoami(viewer: Viewer) -> Json<WhoAmI> {
    Json(WhoAmI { name: viewer.account.name })
}
