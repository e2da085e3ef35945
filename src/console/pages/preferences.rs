//! `/preferences`: language, and light or dark. A form like any other, so that it needs no script,
//! and kept in cookies, so that it needs no account.
use crate::console::{
    Console, Fields, Language,
    flash::{see, set_cookie},
    visitor::{LANGUAGE, THEME, Theme},
};
use axum::{Router, response::Response, routing::post};

/// Cookies of preferences last a year.
const YEAR: u64 = 365 * 86_400;

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/preferences", post(choose))
}

async fn choose(fields: Fields) -> Response {
    let mut response = see(local(fields.get("next")));
    if let Some(theme) = Theme::parse(fields.get("theme")) {
        set_cookie(&mut response, THEME, theme.as_str(), Some(YEAR));
    } else if fields.has("theme") {
        set_cookie(&mut response, THEME, "", Some(0));
    }
    if let Some(language) = Language::parse(fields.get("language")) {
        set_cookie(&mut response, LANGUAGE, language.code(), Some(YEAR));
    }
    response
}

/// A path of this console, and nothing that browsers take for another host (`//host`, `/\host`).
pub(in crate::console) fn local(path: &str) -> &str {
    let fine = path.starts_with('/') && !path[1..].starts_with(['/', '\\']) && !path.contains(|c: char| c.is_control());
    if fine { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn nobody_is_sent_to_another_host() {
        for path in ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\r\nb", "\\/x"] {
            assert_eq!(local(path), "/", "{path}");
        }
        assert_eq!(local("/quarantine?x=//y"), "/quarantine?x=//y");
    }
}
