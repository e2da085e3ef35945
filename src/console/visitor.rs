//! Whoever asks, signed in or not: what his request says of him, read once.
use super::{Console, error::Error, flash::Flash, text::Language};
use crate::telemetry::guard::Work;
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, Method, header, request::Parts},
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The peer of a connection, and that we work for it.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub work: Work,
}

/// Light or dark, where somebody has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

impl Theme {
    /// As it stands in the cookie and in the page.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The other way round.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Light, Self::Dark].into_iter().find(|theme| theme.as_str() == text)
    }
}

/// What a request says. An extractor; there always is one.
#[derive(Debug, Clone)]
pub struct Visitor {
    pub client: IpAddr,
    pub language: Language,
    /// `None`: as the browser prefers.
    pub theme: Option<Theme>,
    /// What the page before wants said.
    pub flash: Option<Flash>,
    /// The program, shortened.
    pub agent: String,
    /// Path and query.
    pub target: String,
    /// The same where it is a page that can be loaded again; else the start.
    pub page: String,
    /// A program: it is answered in JSON.
    pub is_api: bool,
    /// What a program shows.
    pub(super) bearer: Option<String>,
    /// The session's cookie.
    pub(super) token: Option<String>,
    /// The browser says that another site made it ask.
    pub(super) cross_site: bool,
}

/// Name of the session's cookie. `__Host-`: from this host alone, over HTTPS alone, for all paths
/// (RFC 6265bis §4.1.3.2).
pub(super) const SESSION: &str = "__Host-octroi";
pub(super) const THEME: &str = "__Host-octroi-theme";
pub(super) const LANGUAGE: &str = "__Host-octroi-language";
pub(super) const FLASH: &str = "__Host-octroi-flash";

/// Characters of a program's name that are kept.
const AGENT: usize = 200;

impl Visitor {
    pub(super) fn read(parts: &Parts) -> Self {
        let text = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let chosen = cookie(&parts.headers, LANGUAGE).and_then(|code| Language::parse(&code));
        let client = parts.extensions.get::<ConnectInfo<Peer>>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.address.ip());
        let agent = text(header::USER_AGENT);
        let target = parts.uri.path_and_query().map_or_else(|| "/".to_owned(), |target| target.as_str().to_owned());
        Self {
            client: client.to_canonical(),
            language: chosen.unwrap_or_else(|| Language::accepted(text(header::ACCEPT_LANGUAGE))),
            theme: cookie(&parts.headers, THEME).and_then(|theme| Theme::parse(&theme)),
            flash: cookie(&parts.headers, FLASH).and_then(|text| Flash::parse(&text)),
            agent: agent.get(..agent.floor_char_boundary(AGENT)).unwrap_or_default().to_owned(),
            page: if is_safe(&parts.method) { target.clone() } else { "/".to_owned() },
            target,
            is_api: parts.uri.path().starts_with("/api/"),
            bearer: text(header::AUTHORIZATION).strip_prefix("Bearer ").map(|token| token.trim().to_owned()),
            token: cookie(&parts.headers, SESSION),
            cross_site: cross_site(parts),
        }
    }
}

impl FromRequestParts<Console> for Visitor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Console) -> Result<Self, Error> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::read(parts)))
    }
}

/// Whether something other than this console made the browser ask. Browsers say so in
/// `Sec-Fetch-Site`, older ones in `Origin`; what is no browser says neither and has no cookies that
/// somebody could abuse.
fn cross_site(parts: &Parts) -> bool {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    match text("origin") {
        None => false,
        Some(origin) => origin.strip_prefix("https://") != text("host"),
    }
}

/// Methods that change nothing.
pub(super) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The value of a cookie (RFC 6265 §5.4).
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}
