//! `/api/v1`: the same for programs, with tokens.
//!
//! How an endpoint is added: a handler with `#[utoipa::path]` in a file here, which takes
//! [`Viewer`](super::Viewer), [`Asked`] for a query (so that what is wrong with it is answered as a
//! problem document), and calls `Viewer::need` first; its area's `routes()` and `document()` are
//! listed below. The document at `/api/v1/openapi.json` is made from the handlers themselves.

#![expect(unused_qualifications, reason = "utoipa's macro writes them")]

mod accounts;
mod allowances;
mod audit;
mod extract;
mod messages;
mod quarantine;
mod whoami;
mod words;

pub(in crate::console) use extract::Asked;
use extract::{Body, limit};

use super::{Console, Error};
use axum::{Json, Router, routing::get};
use std::sync::OnceLock;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .merge(accounts::routes())
        .merge(allowances::routes())
        .merge(audit::routes())
        .merge(messages::routes())
        .merge(quarantine::routes())
        .merge(whoami::routes())
        .route("/openapi.json", get(document))
        .fallback(async || Error::NotFound)
}

#[derive(OpenApi)]
#[openapi(
    info(title = "octroi", description = "What the console does, for programs. Tokens are made on the console's account page, or with `octroi user token add`."),
    servers((url = "/api/v1")),
    components(schemas(Problem)),
    modifiers(&Tokens),
    security(("token" = []))
)]
struct Frame;

/// What went wrong (RFC 9457).
#[derive(serde::Serialize, utoipa::ToSchema)]
#[schema(example = json!({ "type": "about:blank", "title": "Your account may not do this", "status": 403, "detail": "None of its roles includes it. An administrator can give you others." }))]
pub(in crate::console) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    detail: String,
}

/// That something was done.
#[derive(serde::Serialize, utoipa::ToSchema)]
struct Done {
    done: bool,
}

impl Done {
    const DONE: Self = Self { done: true };
}

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token; it begins with `octroi_`.")).build();
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

async fn document() -> Json<&'static Document> {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    Json(DOCUMENT.get_or_init(|| {
        let mut whole = Frame::openapi();
        for part in [accounts::document, allowances::document, audit::document, messages::document, quarantine::document, whoami::document]
        {
            whole.merge(part());
        }
        whole
    }))
}
