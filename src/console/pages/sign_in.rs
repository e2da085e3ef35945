//! `/sign-in`: the password, then the second factor; and `/sign-out`.
use super::preferences::local;
use crate::accounts::{Account, Attempt, Session, Stage, Visit};
use crate::console::{Console, Error, Fields, Frame, HalfWay, Posted, Viewer, Visitor, escape, page, see, set_cookie, visitor::SESSION};
use crate::telemetry::SignInResult;
use askama::Template;
use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/sign-in", get(ask).post(password))
        .route("/sign-in/factor", get(factor))
        .route("/sign-in/totp", post(totp))
        .route("/sign-in/recovery", post(recovery))
        .route("/sign-in/passkey", post(passkey))
        .route("/sign-in/passkey/challenge", post(challenge))
        .route("/sign-out", post(sign_out))
}

/// Where to go afterwards.
#[derive(Debug, Deserialize)]
struct Onward {
    #[serde(default)]
    next: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct AskPassword {
    frame: Frame,
    next: String,
    wrong: bool,
    name: String,
}

#[derive(Template)]
#[template(path = "factor.html")]
struct AskFactor {
    frame: Frame,
    account: Account,
    next: String,
    wrong: bool,
}

async fn ask(frame: Frame, Query(Onward { next }): Query<Onward>) -> Result<Response, Error> {
    if frame.viewer.is_some() {
        return Ok(see(local(&next)));
    }
    page(AskPassword { frame, next, wrong: false, name: String::new() })
}

async fn password(State(console): State<Console>, visitor: Visitor, frame: Frame, fields: Fields) -> Result<Response, Error> {
    let (name, next) = (fields.get("name").to_owned(), fields.get("next").to_owned());
    let attempt = console.accounts().sign_in(&name, fields.raw("password"), &visit(&visitor)).await?;
    match counted(&console, attempt, SignInResult::WrongPassword)? {
        Some(token) => {
            let mut response = see(&format!("/sign-in/factor?next={}", escape(local(&next))));
            set_cookie(&mut response, SESSION, &token, None);
            Ok(response)
        }
        None => refused(AskPassword { frame, next, wrong: true, name }),
    }
}

async fn factor(frame: Frame, half_way: HalfWay, Query(Onward { next }): Query<Onward>) -> Result<Response, Error> {
    let account = half_way.at(Stage::Factor)?.account;
    page(AskFactor { frame, account, next, wrong: false })
}

async fn totp(
    State(console): State<Console>,
    visitor: Visitor,
    frame: Frame,
    half_way: HalfWay,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    let session = half_way.at(Stage::Factor)?;
    let attempt = console.accounts().sign_in_with_totp(&session, fields.get("code"), &visit(&visitor)).await?;
    second(&console, frame, session, &fields, attempt)
}

async fn recovery(
    State(console): State<Console>,
    visitor: Visitor,
    frame: Frame,
    half_way: HalfWay,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    let session = half_way.at(Stage::Factor)?;
    let attempt = console.accounts().sign_in_with_recovery(&session, fields.get("code"), &visit(&visitor)).await?;
    second(&console, frame, session, &fields, attempt)
}

async fn passkey(
    State(console): State<Console>,
    visitor: Visitor,
    frame: Frame,
    half_way: HalfWay,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    let session = half_way.at(Stage::Factor)?;
    let attempt = console.accounts().sign_in_with_passkey(&session, fields.raw("answer"), &visit(&visitor)).await?;
    second(&console, frame, session, &fields, attempt)
}

async fn challenge(State(console): State<Console>, half_way: HalfWay, _: Posted) -> Result<Response, Error> {
    let session = half_way.at(Stage::Factor)?;
    let challenge = console.accounts().ask_passkey(&session).await?.ok_or(Error::NotFound)?;
    Ok(Json(challenge).into_response())
}

/// Signed in, or once more.
fn second(console: &Console, frame: Frame, session: Session, fields: &Fields, attempt: Attempt<String>) -> Result<Response, Error> {
    let next = fields.get("next").to_owned();
    match counted(console, attempt, SignInResult::WrongFactor)? {
        Some(token) => {
            console.metrics().signed_in(SignInResult::Done);
            let mut response = see(local(&next));
            set_cookie(&mut response, SESSION, &token, None);
            Ok(response)
        }
        None => refused(AskFactor { frame, account: session.account, next, wrong: true }),
    }
}

/// The same page again, with the status of a refusal.
pub(super) fn refused(template: impl Template) -> Result<Response, Error> {
    let mut response = page(template)?;
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

/// What came of it, counted; `None`: it was wrong.
pub(super) fn counted<T>(console: &Console, attempt: Attempt<T>, wrong: SignInResult) -> Result<Option<T>, Error> {
    match attempt {
        Attempt::Right(value) => Ok(Some(value)),
        Attempt::Wrong(_) => {
            console.metrics().signed_in(wrong);
            Ok(None)
        }
        Attempt::Wait(wait) => {
            console.metrics().signed_in(SignInResult::Throttled);
            Err(Error::Throttled(wait.as_secs() + 1))
        }
    }
}

/// For the accounts.
pub(super) fn visit(visitor: &Visitor) -> Visit {
    Visit { client: visitor.client, agent: visitor.agent.clone() }
}

async fn sign_out(State(console): State<Console>, viewer: Viewer, _: Posted) -> Result<Response, Error> {
    if let Some(session) = &viewer.session {
        console.accounts().sign_out(session, &viewer.actor).await?;
    }
    let mut response = see("/sign-in");
    set_cookie(&mut response, SESSION, "", Some(0));
    Ok(response)
}
