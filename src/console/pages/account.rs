//! `/account`: what somebody does with his own account. What weighs asks for the password again.
use super::{
    enrol::RecoveryCodes,
    sign_in::{counted, refused},
};
use crate::accounts::{AccountError, Listed, NewToken, Passkey, Permission, Refused, Session, Token};
use crate::console::{
    Console, Error, Fields, Flash, Frame, Language, Posted, Said, Viewer, Visitor, page, qr::image, set_cookie, visitor::LANGUAGE,
};
use crate::telemetry::SignInResult;
use askama::Template;
use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use std::time::Duration;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/account", get(show))
        .route("/account/language", post(language))
        .route("/account/password", post(password))
        .route("/account/totp", get(new_totp).post(offer_totp))
        .route("/account/totp/confirm", post(confirm_totp))
        .route("/account/totp/remove", post(remove_totp))
        .route("/account/passkeys", post(add_passkey))
        .route("/account/passkeys/challenge", post(challenge))
        .route("/account/passkeys/remove", post(remove_passkey))
        .route("/account/recovery", post(recovery))
        .route("/account/sessions/end", post(end_sessions))
        .route("/account/tokens", post(add_token))
        .route("/account/tokens/revoke", post(revoke_token))
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    frame: Frame,
    viewer: Viewer,
    passkeys: Vec<Passkey>,
    sessions: Vec<Listed>,
    tokens: Vec<Token>,
    scopes: Vec<Permission>,
    can_passkeys: bool,
}

impl Account {
    /// It is the one that this is looked at with.
    fn is_this(&self, session: &Listed) -> bool {
        self.viewer.session.as_ref() == Some(&session.id)
    }
}

async fn show(State(console): State<Console>, viewer: Viewer, frame: Frame) -> Result<Response, Error> {
    let accounts = console.accounts();
    page(Account {
        passkeys: accounts.passkeys(viewer.name()).await?,
        sessions: accounts.sessions(viewer.name()).await?,
        tokens: accounts.tokens(Some(viewer.name())).await?,
        scopes: Permission::ALL.iter().copied().filter(|permission| viewer.may(*permission)).collect(),
        can_passkeys: accounts.has_passkeys(),
        frame: frame.at("account"),
        viewer,
    })
}

/// Done, and back to the page.
fn said(frame: &Frame, key: &str) -> Response {
    Flash::good(frame.t(key)).at("/account")
}

fn not_done(text: impl Into<String>) -> Response {
    Flash::bad(text).at("/account")
}

/// Whether the password in the form is his.
async fn is_he(console: &Console, viewer: &Viewer, fields: &Fields) -> Result<bool, Error> {
    let attempt = console.accounts().confirm(viewer.name(), fields.raw("password"), &viewer.actor).await?;
    Ok(counted(console, attempt, SignInResult::WrongPassword)?.is_some())
}

/// The session itself; a token has none and gets no further.
async fn session(console: &Console, visitor: &Visitor) -> Result<Session, Error> {
    let token = visitor.token.as_deref().ok_or(Error::SignIn)?;
    console.accounts().session(token).await?.ok_or(Error::SignIn)
}

async fn language(State(console): State<Console>, viewer: Viewer, Posted(fields): Posted) -> Result<Response, Error> {
    let language = Language::parse(fields.get("language")).ok_or_else(|| Error::Bad(Said::of("error.language")))?;
    console.accounts().set_language(viewer.name(), language.code()).await?;
    let mut response = Flash::good(language.t("account.language_set")).at("/account");
    set_cookie(&mut response, LANGUAGE, "", Some(0));
    Ok(response)
}

async fn password(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    if fields.raw("new") != fields.raw("again") {
        return Ok(not_done(frame.t("password.differ")));
    }
    if !is_he(&console, &viewer, &fields).await? {
        return Ok(not_done(frame.t("account.wrong_password")));
    }
    let spare = viewer.session.as_deref().unwrap_or_default();
    match console.accounts().change_password(viewer.name(), fields.raw("new"), spare, &viewer.actor).await {
        Err(AccountError::Weak(weak)) => Ok(not_done(Said::from(weak).to(frame.language))),
        other => other.map(|()| said(&frame, "account.password_changed")).map_err(Error::from),
    }
}

#[derive(Template)]
#[template(path = "totp.html")]
struct NewTotp {
    frame: Frame,
    image: String,
    secret: String,
    wrong: bool,
}

async fn offer_totp(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    if !is_he(&console, &viewer, &fields).await? {
        return Ok(not_done(frame.t("account.wrong_password")));
    }
    console.accounts().offer_totp(viewer.session.as_deref().ok_or(Error::SignIn)?).await?;
    Ok(crate::console::see("/account/totp"))
}

async fn new_totp(State(console): State<Console>, viewer: Viewer, frame: Frame) -> Result<Response, Error> {
    page(offered(&console, &viewer, frame, false).await?)
}

async fn offered(console: &Console, viewer: &Viewer, frame: Frame, wrong: bool) -> Result<NewTotp, Error> {
    let session = viewer.session.as_deref().ok_or(Error::SignIn)?;
    let totp = console.accounts().pending_totp(session).await?.ok_or(Error::NotFound)?;
    let image = image(&totp.url(&console.issuer(), viewer.name())?)?;
    Ok(NewTotp { frame: frame.at("account"), image, secret: super::grouped(totp.base32()), wrong })
}

async fn confirm_totp(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    let session = viewer.session.as_deref().ok_or(Error::SignIn)?;
    if console.accounts().change_totp(session, viewer.name(), fields.get("code"), &viewer.actor).await? {
        return Ok(said(&frame, "account.totp_changed"));
    }
    refused(offered(&console, &viewer, frame, true).await?)
}

async fn remove_totp(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    if !is_he(&console, &viewer, &fields).await? {
        return Ok(not_done(frame.t("account.wrong_password")));
    }
    last_or(&frame, console.accounts().remove_totp(viewer.name(), &viewer.actor).await)
}

/// A second factor is gone, unless it was the last.
fn last_or(frame: &Frame, removed: Result<(), AccountError>) -> Result<Response, Error> {
    match removed {
        Err(AccountError::Refused(Refused::LastFactor)) => Ok(not_done(frame.t("account.last_factor"))),
        other => other.map(|()| said(frame, "account.factor_removed")).map_err(Error::from),
    }
}

async fn challenge(State(console): State<Console>, visitor: Visitor, viewer: Viewer, Posted(fields): Posted) -> Result<Response, Error> {
    if !is_he(&console, &viewer, &fields).await? {
        return Err(Error::Bad(Said::of("account.wrong_password")));
    }
    let session = session(&console, &visitor).await?;
    Ok(Json(console.accounts().offer_passkey(&session).await?).into_response())
}

async fn add_passkey(
    State(console): State<Console>,
    visitor: Visitor,
    viewer: Viewer,
    frame: Frame,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    let session = session(&console, &visitor).await?;
    let added = console.accounts().add_passkey(&session, fields.raw("answer"), fields.get("label"), &viewer.actor).await?;
    Ok(if added { said(&frame, "account.passkey_added") } else { not_done(frame.t("account.passkey_wrong")) })
}

async fn remove_passkey(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    if !is_he(&console, &viewer, &fields).await? {
        return Ok(not_done(frame.t("account.wrong_password")));
    }
    last_or(&frame, console.accounts().remove_passkey(viewer.name(), fields.get("id"), &viewer.actor).await)
}

async fn recovery(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    if !is_he(&console, &viewer, &fields).await? {
        return Ok(not_done(frame.t("account.wrong_password")));
    }
    let codes = console.accounts().new_recovery_codes(viewer.name(), &viewer.actor).await?;
    page(RecoveryCodes { frame: frame.at("account"), codes })
}

async fn end_sessions(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    let mine = viewer.session.as_deref().unwrap_or_default();
    let only = Some(fields.get("id")).filter(|id| !id.is_empty());
    console.accounts().end_sessions(viewer.name(), only, mine, &viewer.actor).await?;
    Ok(said(&frame, "account.sessions_ended"))
}

#[derive(Template)]
#[template(path = "token.html")]
struct Shown {
    frame: Frame,
    secret: String,
}

async fn add_token(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    if !is_he(&console, &viewer, &fields).await? {
        return Ok(not_done(frame.t("account.wrong_password")));
    }
    let scopes: Vec<_> = fields.all("scope").filter_map(Permission::parse).collect();
    let days: u64 = fields.get("days").parse().ok().filter(|days| (1..=366).contains(days)).unwrap_or(0);
    if scopes.is_empty() || days == 0 {
        return Ok(not_done(frame.t("account.token_needs")));
    }
    let new = NewToken {
        account: viewer.name().to_owned(),
        label: fields.get("label").to_owned(),
        scopes,
        life: Duration::from_secs(days * 86_400),
    };
    let secret = console.accounts().add_token(&new, &viewer.actor).await?;
    page(Shown { frame: frame.at("account"), secret })
}

async fn revoke_token(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    console.accounts().revoke_token(fields.get("id"), Some(viewer.name()), &viewer.actor).await?;
    Ok(said(&frame, "account.token_revoked"))
}
