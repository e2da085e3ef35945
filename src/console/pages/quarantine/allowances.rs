//! What is let through, for how long, and an end to it.
use super::{row::minute, visible};
use crate::accounts::Permission;
use crate::console::{Console, Error, Flash, Frame, Posted, Viewer, page};
use crate::gate::allow;
use crate::quarantine::Allowance;
use askama::Template;
use axum::{extract::State, response::Response};
use std::time::SystemTime;

#[derive(Template)]
#[template(path = "quarantine/allowances.html")]
struct Page {
    frame: Frame,
    rows: Vec<Line>,
    may_revoke: bool,
}

struct Line {
    allowance: Allowance,
    holds: bool,
    created: String,
    expires: String,
    used: Option<String>,
}

pub(super) async fn show(State(console): State<Console>, viewer: Viewer, frame: Frame) -> Result<Response, Error> {
    let seen = visible(viewer.need(Permission::QuarantineRead)?);
    let now = SystemTime::now();
    let line = |allowance: Allowance| Line {
        holds: allowance.holds(now),
        created: minute(allowance.created_at),
        expires: minute(allowance.expires_at),
        used: allowance.used_at.map(minute),
        allowance,
    };
    let rows = console.quarantine().allowances(&seen).await?.into_iter().map(line).collect();
    page(Page { rows, may_revoke: viewer.may(Permission::QuarantineRelease), frame: frame.at("quarantine") })
}

pub(super) async fn revoke(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    let seen = visible(viewer.need(Permission::QuarantineRelease)?);
    let number: i64 = fields.get("number").parse().map_err(|_| Error::NotFound)?;
    let flash = match allow::revoke(console.quarantine(), number, &seen, &viewer.actor).await.map_err(Error::from) {
        Ok(_) => Flash::good(frame.t("quarantine.done.revoked")),
        Err(Error::Conflict(why)) => Flash::bad(why.to(frame.language)),
        Err(error) => return Err(error),
    };
    Ok(flash.at("/quarantine/allowances"))
}
