//! `/accounts`: for administrators.
use crate::accounts::{Account, AccountError, Enrolment, Listed, NewAccount, Permission, Role, Token};
use crate::console::{Console, Error, Fields, Flash, Frame, Posted, Said, Viewer, escape, moment, page};
use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/accounts", get(list).post(add))
        .route("/accounts/{name}", get(show))
        .route("/accounts/{name}/roles", post(roles))
        .route("/accounts/{name}/disable", post(disable))
        .route("/accounts/{name}/enable", post(enable))
        .route("/accounts/{name}/reset", post(reset))
        .route("/accounts/{name}/sessions/end", post(end_sessions))
        .route("/accounts/{name}/tokens/revoke", post(revoke_token))
}

#[derive(Template)]
#[template(path = "accounts.html")]
struct List {
    frame: Frame,
    accounts: Vec<Account>,
}

#[derive(Template)]
#[template(path = "accounts_one.html")]
struct One {
    frame: Frame,
    account: Account,
    sessions: Vec<Listed>,
    tokens: Vec<Token>,
    /// It is the administrator's own.
    own: bool,
}

/// Shown once, to be handed over.
#[derive(Template)]
#[template(path = "enrolment.html")]
struct HandOver {
    frame: Frame,
    name: String,
    text: String,
    link: String,
    until: String,
}

async fn list(State(console): State<Console>, viewer: Viewer, frame: Frame) -> Result<Response, Error> {
    viewer.need(Permission::AccountsManage)?;
    page(List { frame: frame.at("accounts"), accounts: console.accounts().list().await? })
}

async fn show(State(console): State<Console>, viewer: Viewer, frame: Frame, Path(name): Path<String>) -> Result<Response, Error> {
    viewer.need(Permission::AccountsManage)?;
    let account = console.accounts().account(&name).await?;
    let sessions = console.accounts().sessions(&name).await?;
    let tokens = console.accounts().tokens(Some(&name)).await?;
    page(One { frame: frame.at("accounts"), own: account.name == viewer.name(), account, sessions, tokens })
}

fn rights(fields: &Fields) -> (Vec<Role>, Vec<String>) {
    let roles = fields.all("role").filter_map(Role::parse).collect();
    let domains = fields.get("domains").split([' ', ',', '\n', '\r', '\t']).filter(|domain| !domain.is_empty()).map(str::to_owned);
    (roles, domains.collect())
}

async fn add(State(console): State<Console>, viewer: Viewer, frame: Frame, Posted(fields): Posted) -> Result<Response, Error> {
    viewer.need(Permission::AccountsManage)?;
    let (roles, domains) = rights(&fields);
    let new = NewAccount { name: fields.get("name").to_owned(), roles, domains };
    match console.accounts().add(&new, &viewer.actor).await {
        Ok(enrolment) => hand_over(&console, frame, new.name.to_ascii_lowercase(), &enrolment),
        Err(error) => not_done(&frame, error, "/accounts"),
    }
}

fn hand_over(console: &Console, frame: Frame, name: String, enrolment: &Enrolment) -> Result<Response, Error> {
    let link = console.enrolment_link(&enrolment.code);
    let text = frame.language.with("enrolment.text", &[("name", &name)]);
    let until = frame.language.with("enrolment.until", &[("until", &moment(&enrolment.ends_at))]);
    page(HandOver { frame: frame.at("accounts"), name, text, link, until })
}

/// What was asked for cannot be: said on the page where it was asked, where there is one.
fn not_done(frame: &Frame, error: AccountError, back: &str) -> Result<Response, Error> {
    match error.into() {
        Error::Conflict(why) => Ok(Flash::bad(why.to(frame.language)).at(back)),
        error => Err(error),
    }
}

/// Back to the account.
fn said(name: &str, flash: Flash) -> Response {
    flash.at(&format!("/accounts/{}", escape(name)))
}

/// Nobody takes away what he stands on.
fn not_own(viewer: &Viewer, name: &str) -> Result<(), Error> {
    if viewer.name() == name { Err(Error::Conflict(Said::of("accounts.own"))) } else { Ok(()) }
}

async fn roles(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    Path(name): Path<String>,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    viewer.need(Permission::AccountsManage)?;
    not_own(&viewer, &name)?;
    let (roles, domains) = rights(&fields);
    match console.accounts().set_rights(&name, &roles, &domains, &viewer.actor).await {
        Ok(()) => Ok(said(&name, Flash::good(frame.t("accounts.roles_changed")))),
        Err(error) => not_done(&frame, error, &format!("/accounts/{}", escape(&name))),
    }
}

async fn disable(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    Path(name): Path<String>,
    _: Posted,
) -> Result<Response, Error> {
    viewer.need(Permission::AccountsManage)?;
    not_own(&viewer, &name)?;
    console.accounts().disable(&name, true, &viewer.actor).await?;
    Ok(said(&name, Flash::good(frame.t("accounts.was_disabled"))))
}

async fn enable(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    Path(name): Path<String>,
    _: Posted,
) -> Result<Response, Error> {
    viewer.need(Permission::AccountsManage)?;
    console.accounts().disable(&name, false, &viewer.actor).await?;
    Ok(said(&name, Flash::good(frame.t("accounts.was_enabled"))))
}

async fn reset(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    Path(name): Path<String>,
    _: Posted,
) -> Result<Response, Error> {
    viewer.need(Permission::AccountsManage)?;
    not_own(&viewer, &name)?;
    let enrolment = console.accounts().reset(&name, &viewer.actor).await?;
    hand_over(&console, frame, name, &enrolment)
}

async fn end_sessions(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    Path(name): Path<String>,
    _: Posted,
) -> Result<Response, Error> {
    viewer.need(Permission::AccountsManage)?;
    console.accounts().end_sessions(&name, None, viewer.session.as_deref().unwrap_or_default(), &viewer.actor).await?;
    Ok(said(&name, Flash::good(frame.t("account.sessions_ended"))))
}

async fn revoke_token(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    Path(name): Path<String>,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    viewer.need(Permission::AccountsManage)?;
    match console.accounts().revoke_token(fields.get("id"), Some(&name), &viewer.actor).await {
        Ok(()) => Ok(said(&name, Flash::good(frame.t("account.token_revoked")))),
        Err(error) => not_done(&frame, error, &format!("/accounts/{}", escape(&name))),
    }
}
