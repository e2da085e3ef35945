//! The one style sheet, the one script, and the icon: in the binary, and under a name that changes
//! with what is in them, so that browsers keep them for good.
use crate::value::hex;
use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::OnceLock;

/// Parts of the style sheet, in order. Each area has its own.
const STYLES: &[&str] = &[
    include_str!("assets/base.css"),
    include_str!("assets/account.css"),
    include_str!("assets/overview.css"),
    include_str!("assets/quarantine.css"),
];
/// Parts of the script; each is a closed function.
const SCRIPTS: &[&str] = &[include_str!("assets/base.js"), include_str!("assets/quarantine.js")];
const ICON: &str = include_str!("assets/icon.svg");

/// Where each of them is.
#[derive(Debug)]
pub struct Assets {
    pub style: String,
    pub script: String,
    pub icon: String,
    files: [(&'static str, String); 3],
}

/// The assets of this binary.
pub fn assets() -> &'static Assets {
    static ASSETS: OnceLock<Assets> = OnceLock::new();
    ASSETS.get_or_init(|| {
        let (style, script) = (STYLES.join("\n"), SCRIPTS.join("\n"));
        let path = |name: &str, content: &str| {
            let hash = hex(digest(&SHA256, content.as_bytes()).as_ref());
            format!("/assets/{}/{name}", hash.get(..16).unwrap_or_default())
        };
        Assets {
            style: path("octroi.css", &style),
            script: path("octroi.js", &script),
            icon: path("icon.svg", ICON),
            files: [("text/css; charset=utf-8", style), ("text/javascript; charset=utf-8", script), ("image/svg+xml", ICON.to_owned())],
        }
    })
}

/// `/assets/{hash}/{name}`
pub(super) async fn serve(Path((hash, name)): Path<(String, String)>) -> Response {
    let assets = assets();
    let wanted = format!("/assets/{hash}/{name}");
    let found = [&assets.style, &assets.script, &assets.icon].into_iter().zip(&assets.files).find(|(path, _)| **path == wanted);
    match found {
        Some((_, (kind, content))) => {
            let headers = [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, content.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
