//! What is around every request: who asks, whether another site made him ask, how errors look, and
//! the headers that keep a page from being more than a page.
use super::{
    Console,
    error::{Error, Unshown},
    flash::{see, set_cookie},
    layout::Frame,
    said::Said,
    viewer::{HalfWay, Viewer},
    visitor::{FLASH, Peer, SESSION, Visitor, is_safe},
};
use crate::accounts::Stage;
use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use std::time::Duration;
use tokio::time::timeout;

/// Nothing from elsewhere, nothing inline, shown in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// To be put into a response's extensions: this page shows frames, of this console alone.
#[derive(Debug, Clone, Copy)]
pub struct Frames;

/// Octets of a body that is read whole before its request is answered.
const WHOLE: usize = 64 << 10;
/// For that.
const PATIENCE: Duration = Duration::from_secs(30);

/// Around all requests.
pub(super) async fn around(State(console): State<Console>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    // Until the answer is there: a release waits for the mail server as long as that takes.
    let _work = parts.extensions.get::<ConnectInfo<Peer>>().map(|info| info.0.work.begin());
    let visitor = Visitor::read(&parts);
    let local = is_local(&parts.headers);
    let mut frame = Frame::new(&visitor, None);
    let asset = parts.uri.path().starts_with("/assets/");
    let is_get = is_safe(&parts.method);
    let known = if asset { Ok(()) } else { know(&console, &visitor, &mut parts.extensions).await };
    if let Some(viewer) = parts.extensions.get::<Viewer>() {
        frame.viewer = Some(viewer.clone());
        frame.language = viewer.account.language.as_deref().and_then(super::text::Language::parse).unwrap_or(frame.language);
    }
    let mut known_visitor = visitor.clone();
    known_visitor.language = frame.language;
    parts.extensions.insert(known_visitor);
    let refused = match known {
        Err(error) => Some(error),
        Ok(()) if !is_get && !visitor.is_api && visitor.cross_site => Some(Error::CrossSite),
        Ok(()) => None,
    };
    let body = whole(&parts.headers, body).await;
    let mut response = match (refused, body) {
        (Some(error), _) | (None, Err(error)) => error.into_response(),
        (None, Ok(body)) => next.run(Request::from_parts(parts, body)).await,
    };
    if is_rejection(&response) {
        response = Error::Bad(Said::of("error.unreadable")).into_response();
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && response.extensions().get::<Unshown>().is_none() {
        response = Error::Method.into_response();
    }
    if let Some(Unshown(error)) = response.extensions_mut().remove::<Unshown>() {
        response = match error {
            Error::SignIn if !visitor.is_api => sign_in(&visitor, is_get),
            error => error.show(frame, visitor.is_api),
        };
    } else if visitor.flash.is_some() && response.status() == StatusCode::OK && !asset {
        set_cookie(&mut response, FLASH, "", Some(0));
    }
    protect(&mut response, local);
    response
}

/// A small body, read before anything is answered: after an answer to half a request its connection
/// is closed, and with it the next request that is on its way there (RFC 9112 §9.5).
async fn whole(headers: &HeaderMap, body: Body) -> Result<Body, Error> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if !length.is_some_and(|length: usize| (1..=WHOLE).contains(&length)) {
        return Ok(body);
    }
    match timeout(PATIENCE, to_bytes(body, WHOLE)).await {
        Ok(Ok(octets)) => Ok(Body::from(octets)),
        Ok(Err(_)) => Err(Error::Bad(Said::of("error.form"))),
        Err(_) => Err(Error::Bad(Said::of("error.too_slow"))),
    }
}

/// What axum itself says of a path, a query or a form that it cannot read: a line of English, and no
/// page.
fn is_rejection(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_ours = response.extensions().get::<Unshown>().is_some();
    !is_ours && response.status().is_client_error() && response.status() != StatusCode::METHOD_NOT_ALLOWED && kind.starts_with("text/plain")
}

/// Finds out who asks, and leaves it with the request.
async fn know(console: &Console, visitor: &Visitor, extensions: &mut axum::http::Extensions) -> Result<(), Error> {
    if visitor.is_api {
        // Programs have tokens. Cookies count for nothing here, so that no other site's page can
        // use them.
        if let Some(token) = &visitor.bearer
            && let Some(shown) = console.accounts().of_token(token).await?
        {
            extensions.insert(Viewer::of_token(shown, visitor));
        }
        return Ok(());
    }
    let Some(token) = &visitor.token else { return Ok(()) };
    if let Some(session) = console.accounts().session(token).await? {
        if session.stage == Stage::Open {
            extensions.insert(Viewer::of(session, visitor));
        } else {
            extensions.insert(HalfWay(session));
        }
    }
    Ok(())
}

/// The way to sign in, and from there back.
fn sign_in(visitor: &Visitor, is_get: bool) -> Response {
    if is_get && visitor.cross_site && visitor.token.is_none() {
        // A link of another site was followed, with which the cookie does not come (SameSite=Strict).
        // It does come when the page, which is ours, loads itself.
        return Html("<!doctype html><meta http-equiv=\"refresh\" content=\"0\"><title>octroi</title>").into_response();
    }
    let next = if is_get && visitor.target != "/" { format!("?next={}", escape(&visitor.target)) } else { String::new() };
    let mut response = see(&format!("/sign-in{next}"));
    if visitor.token.is_some() {
        set_cookie(&mut response, SESSION, "", Some(0));
    }
    response
}

/// For the value of a query (RFC 3986 §2.3).
#[must_use]
pub fn escape(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") }).collect()
}

/// Names that other services of the machine have too: what is said of them must not bind those.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

fn protect(response: &mut Response, local: bool) {
    let policy = match response.extensions().get::<Frames>() {
        Some(Frames) => HeaderValue::from_str(&format!("{POLICY}; frame-src 'self'")).unwrap_or(HeaderValue::from_static(POLICY)),
        None => HeaderValue::from_static(POLICY),
    };
    let headers = response.headers_mut();
    // A page that has a policy of its own, such as a preview, is in a frame and says so.
    let own = headers.contains_key(header::CONTENT_SECURITY_POLICY);
    let mut set = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    let fixed = HeaderValue::from_static;
    set(header::CONTENT_SECURITY_POLICY, policy);
    if !own {
        set(header::X_FRAME_OPTIONS, fixed("DENY"));
    }
    set(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    set(header::REFERRER_POLICY, fixed("no-referrer"));
    set(HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin"));
    set(HeaderName::from_static("cross-origin-resource-policy"), fixed("same-origin"));
    set(
        HeaderName::from_static("permissions-policy"),
        fixed(
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)",
        ),
    );
    set(header::CACHE_CONTROL, fixed("no-store"));
    if !local {
        set(header::STRICT_TRANSPORT_SECURITY, fixed("max-age=31536000"));
    }
}
