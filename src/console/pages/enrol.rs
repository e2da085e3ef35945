//! `/enrol`: the first password and the first second factor, with a code from an administrator.
use super::sign_in::{counted, refused, visit};
use crate::accounts::{AccountError, Accounts, Attempt, Enrolled, Session, Stage};
use crate::console::{Console, Error, Fields, Frame, HalfWay, Posted, Said, Visitor, page, qr::image, see, set_cookie, visitor::SESSION};
use crate::telemetry::SignInResult;
use askama::Template;
use axum::{
    Json, Router,
    extract::{Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/enrol", get(ask).post(password))
        .route("/enrol/factor", get(factor))
        .route("/enrol/totp", post(totp))
        .route("/enrol/passkey", post(passkey))
        .route("/enrol/passkey/challenge", post(challenge))
}

#[derive(Debug, Deserialize)]
struct Code {
    #[serde(default)]
    code: String,
}

#[derive(Template)]
#[template(path = "enrol.html")]
struct AskPassword {
    frame: Frame,
    code: String,
    /// Whose code it is; `None`: nobody's.
    name: Option<String>,
    wrong: String,
}

#[derive(Template)]
#[template(path = "enrol_factor.html")]
struct AskFactor {
    frame: Frame,
    name: String,
    image: String,
    secret: String,
    passkeys: bool,
    wrong: bool,
}

/// What is shown once.
#[derive(Template)]
#[template(path = "recovery_codes.html")]
pub(super) struct RecoveryCodes {
    pub(super) frame: Frame,
    pub(super) codes: Vec<String>,
}

async fn ask(State(console): State<Console>, frame: Frame, Query(Code { code }): Query<Code>) -> Result<Response, Error> {
    let name = console.accounts().enrolment(&code).await?;
    page(AskPassword { frame, code, name, wrong: String::new() })
}

async fn password(State(console): State<Console>, visitor: Visitor, frame: Frame, fields: Fields) -> Result<Response, Error> {
    let code = fields.get("code").to_owned();
    let again = |frame: Frame, name, wrong| refused(AskPassword { frame, code: code.clone(), name, wrong });
    let name = console.accounts().enrolment(&code).await?;
    if fields.raw("password") != fields.raw("again") {
        let wrong = frame.t("password.differ").to_owned();
        return again(frame, name, wrong);
    }
    let attempt = match console.accounts().begin_enrolment(&code, fields.raw("password"), &visit(&visitor)).await {
        Err(AccountError::Weak(weak)) => {
            let wrong = Said::from(weak).to(frame.language);
            return again(frame, name, wrong);
        }
        other => other?,
    };
    match counted(&console, attempt, SignInResult::WrongPassword)? {
        Some(token) => {
            let mut response = see("/enrol/factor");
            set_cookie(&mut response, SESSION, &token, None);
            Ok(response)
        }
        None => again(frame, None, String::new()),
    }
}

async fn factor(State(console): State<Console>, frame: Frame, half_way: HalfWay) -> Result<Response, Error> {
    page(choice(&console, frame, &half_way.at(Stage::Enrolment)?, false)?)
}

fn choice(console: &Console, frame: Frame, session: &Session, wrong: bool) -> Result<AskFactor, Error> {
    let totp = Accounts::offered_totp(session).ok_or(Error::SignIn)?;
    let name = session.account.name.clone();
    let image = image(&totp.url(&console.issuer(), &name)?)?;
    Ok(AskFactor { frame, name, image, secret: super::grouped(totp.base32()), passkeys: console.accounts().has_passkeys(), wrong })
}

async fn totp(
    State(console): State<Console>,
    visitor: Visitor,
    frame: Frame,
    half_way: HalfWay,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    let session = half_way.at(Stage::Enrolment)?;
    let attempt = console.accounts().enrol_with_totp(&session, fields.get("code"), &visit(&visitor)).await?;
    done(&console, frame, &session, attempt)
}

async fn passkey(
    State(console): State<Console>,
    visitor: Visitor,
    frame: Frame,
    half_way: HalfWay,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    let session = half_way.at(Stage::Enrolment)?;
    let accounts = console.accounts();
    let attempt = accounts.enrol_with_passkey(&session, fields.raw("answer"), fields.get("label"), &visit(&visitor)).await?;
    done(&console, frame, &session, attempt)
}

async fn challenge(State(console): State<Console>, half_way: HalfWay, _: Posted) -> Result<Response, Error> {
    let session = half_way.at(Stage::Enrolment)?;
    Ok(Json(console.accounts().offer_passkey(&session).await?).into_response())
}

fn done(console: &Console, frame: Frame, session: &Session, attempt: Attempt<Enrolled>) -> Result<Response, Error> {
    match counted(console, attempt, SignInResult::WrongFactor)? {
        Some(Enrolled { token, recovery_codes }) => {
            console.metrics().signed_in(SignInResult::Done);
            let mut response = page(RecoveryCodes { frame, codes: recovery_codes })?;
            set_cookie(&mut response, SESSION, &token, None);
            Ok(response)
        }
        None => refused(choice(console, frame, session, true)?),
    }
}
