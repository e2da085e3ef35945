//! What handlers return where they have nothing to show. It becomes a page, or a problem document
//! for programs (RFC 9457), in [`security::around`](super::security), which knows who asks.
use super::{
    layout::{Frame, page},
    said::Said,
    text::Language,
};
use crate::value::Id;
use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Why there is no answer. Its text for the reader gives nothing away; what is in
/// [`Internal`](Error::Internal) stands in the log under an id that the reader is given.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Who asks has to sign in first.
    #[error("not signed in")]
    SignIn,
    #[error("not allowed")]
    Forbidden,
    /// A form that did not come from this console, or from a session that is over.
    #[error("a request of another site")]
    CrossSite,
    #[error("not found")]
    NotFound,
    #[error("method not allowed")]
    Method,
    /// The request makes no sense; the text says why, to whoever sent it.
    #[error("{0}")]
    Bad(Said),
    /// The same of a program's, which is told in English what its library would tell.
    #[error("{0}")]
    Unreadable(String),
    /// It is not in a state in which this can be done; the text says why.
    #[error("{0}")]
    Conflict(Said),
    /// Too often; seconds until the next try.
    #[error("too many attempts")]
    Throttled(u64),
    /// There is no room for what would have to be written down; nothing was done.
    #[error("no space left: {0}")]
    Full(String),
    /// A search that would have had to look through too much.
    #[error("too broad")]
    TooBroad,
    /// Others are at it.
    #[error("too much at once")]
    Busy,
    #[error("{0}")]
    Internal(String),
}

/// Seconds after which what was busy may be tried again.
const AGAIN: u64 = 5;

impl Error {
    /// The status of HTTP.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::SignIn => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Bad(_) | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooBroad => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            // RFC 4918 §11.5.
            Self::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What is said: a heading and a sentence.
    fn words(&self, language: Language, id: &str) -> (&'static str, String) {
        match self {
            Self::SignIn => (language.t("error.sign_in"), language.t("error.sign_in_text").to_owned()),
            Self::Forbidden => (language.t("error.forbidden"), language.t("error.forbidden_text").to_owned()),
            Self::CrossSite => (language.t("error.cross_site"), language.t("error.cross_site_text").to_owned()),
            Self::NotFound => (language.t("error.not_found"), language.t("error.not_found_text").to_owned()),
            Self::Method => (language.t("error.method"), language.t("error.method_text").to_owned()),
            Self::Bad(said) => (language.t("error.bad"), said.to(language)),
            Self::Unreadable(text) => (language.t("error.bad"), text.clone()),
            Self::Conflict(said) => (language.t("error.conflict"), said.to(language)),
            Self::Throttled(seconds) => (language.t("error.throttled"), language.count("error.throttled_text", *seconds)),
            Self::TooBroad => (language.t("error.too_broad"), language.t("error.too_broad_text").to_owned()),
            Self::Busy => (language.t("error.busy"), language.t("error.busy_text").to_owned()),
            Self::Full(_) => (language.t("error.full"), language.t("error.full_text").to_owned()),
            Self::Internal(_) => (language.t("error.internal"), language.with("error.internal_text", &[("id", &id)])),
        }
    }

    /// Its sentence, where there is no page for it: in a list of what did not work. What is not for the
    /// reader goes to the log.
    pub(super) fn sentence(&self, language: Language) -> String {
        let id = Id::generate().to_string();
        self.log(&id);
        self.words(language, &id).1
    }

    fn log(&self, id: &str) {
        if let Self::Internal(text) | Self::Full(text) = self {
            tracing::error!(id, "console: {text}");
        }
    }

    /// The answer, as a page in `frame` or as a problem document.
    pub(super) fn show(&self, frame: Frame, is_api: bool) -> Response {
        let id = Id::generate().to_string();
        self.log(&id);
        let status = self.status();
        let (title, text) = self.words(if is_api { Language::English } else { frame.language }, &id);
        let mut response = if is_api {
            let problem = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": text });
            ([(header::CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
        } else {
            page(ErrorPage { frame, title, text, status: status.as_u16() }).unwrap_or_else(|_| text_of(status).into_response())
        };
        *response.status_mut() = status;
        if let Self::Throttled(seconds) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
        }
        if matches!(self, Self::Busy) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(AGAIN));
        }
        if is_api && matches!(self, Self::SignIn) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn text_of(status: StatusCode) -> String {
    status.to_string()
}

/// Marks a response as an error that is still to be shown.
#[derive(Debug, Clone)]
pub(super) struct Unshown(pub(super) Error);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Unshown(self));
        response
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    title: &'static str,
    text: String,
    status: u16,
}

impl From<askama::Error> for Error {
    fn from(error: askama::Error) -> Self {
        Self::Internal(format!("a template: {error}"))
    }
}
