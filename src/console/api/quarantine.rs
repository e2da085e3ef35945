//! The quarantine for programs: the same decisions, by the same code.
use super::{Asked, Body, Done, Problem, limit, words};
use crate::accounts::Permission;
use crate::audit::Action;
use crate::console::pages::quarantine::{Wanted, entry_for, free, released, visible};
use crate::console::{Console, Error, Viewer};
use crate::quarantine::{Cursor, Entry};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, OpenApi, ToSchema, openapi::schema::Object};

#[derive(OpenApi)]
#[openapi(paths(list, entry, raw, release, delete, hold, lift, note, assign))]
struct Part;

pub(super) fn document() -> utoipa::openapi::OpenApi {
    Part::openapi()
}

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/quarantine", get(list))
        .route("/quarantine/{id}", get(entry).delete(delete))
        .route("/quarantine/{id}/raw", get(raw))
        .route("/quarantine/{id}/release", post(release))
        .route("/quarantine/{id}/hold", post(hold).delete(lift))
        .route("/quarantine/{id}/notes", post(note))
        .route("/quarantine/{id}/assignment", axum::routing::put(assign))
}

/// What to list; what is not said does not matter.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct Filters {
    /// `held` (where nothing is said), `released`, `lost`, `deleted`, `all`.
    #[param(schema_with = states)]
    state: Option<String>,
    /// `malware`, `phishing`, `spam`, `policy`, `incomplete`.
    #[param(schema_with = classes)]
    class: Option<String>,
    /// Words in subject, author or sender.
    q: Option<String>,
    /// An address, or with `@` in front a domain.
    from: Option<String>,
    to: Option<String>,
    /// Days, such as `2026-11-30`, both included.
    #[param(schema_with = words::day)]
    after: Option<String>,
    #[param(schema_with = words::day)]
    before: Option<String>,
    /// The name of a finding.
    finding: Option<String>,
    /// A stage, or `rule NAME`.
    by: Option<String>,
    /// An account, `me` or `nobody`.
    assigned: Option<String>,
    /// Under legal hold.
    hold: Option<bool>,
    /// Somebody asks for its release.
    asked: Option<bool>,
    /// `time` (where nothing is said), `size`, `sender`.
    #[param(schema_with = sorts)]
    sort: Option<String>,
    /// `asc` or `desc`.
    #[param(schema_with = directions)]
    dir: Option<String>,
    /// Go on here: `next` of the page before.
    #[param(schema_with = place)]
    at: Option<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u64>,
}

fn place() -> Object {
    words::text().pattern(Some(r"^([A-Za-z0-9]{1,32}(\..*)?)?$")).build()
}
fn states() -> Object {
    words::one_of(["", "held", "released", "lost", "deleted", "all"])
}
fn classes() -> Object {
    words::one_of(["", "malware", "phishing", "spam", "policy", "incomplete"])
}
fn sorts() -> Object {
    words::one_of(["", "time", "size", "sender"])
}
fn directions() -> Object {
    words::one_of(["", "asc", "desc"])
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
struct Found {
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Value>,
    /// Where the next page begins.
    next: Option<String>,
    /// The page is not full and yet there may be more: `next` looks further.
    unfinished: bool,
}

/// What is held
///
/// Needs `quarantine.read`; of each entry those recipients are shown that the token may see.
#[utoipa::path(get, path = "/quarantine", tag = "quarantine", params(Filters), responses(
    (status = 200, description = "In the order asked for, the newest first where none is", body = Found),
    (status = 400, description = "The query makes no sense", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 422, description = "Too broad: ended after `[storage] search_timeout`", body = Problem, content_type = "application/problem+json"),
    (status = 503, description = "Too many searches at once", body = Problem, content_type = "application/problem+json"),
))]
async fn list(State(console): State<Console>, viewer: Viewer, Asked(query): Asked<Filters>) -> Result<Json<Found>, Error> {
    let seen = visible(viewer.need(Permission::QuarantineRead)?);
    let limit = limit(query.limit, 50)?;
    let cursor = match query.at.as_deref() {
        None | Some("") => None,
        Some(text) => Some(Cursor::parse(text).ok_or_else(|| Error::Unreadable("at: that is no place in a list".into()))?),
    };
    if !matches!(query.dir.as_deref(), None | Some("" | "asc" | "desc")) {
        return Err(Error::Unreadable("dir: `asc` or `desc`".into()));
    }
    let (filter, order) = query.wanted().filter(seen, viewer.name())?;
    let page = console.quarantine().page(&filter, order, cursor.as_ref(), limit).await?;
    let next = page.next.map(|next| next.to_string());
    Ok(Json(Found { entries: page.entries.iter().map(Entry::json).collect(), next, unfinished: page.unfinished }))
}

impl Filters {
    fn wanted(&self) -> Wanted {
        let yes = |flag: Option<bool>| if flag == Some(true) { "1" } else { "" };
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        [
            ("state", text(&self.state)),
            ("class", text(&self.class)),
            ("q", text(&self.q)),
            ("from", text(&self.from)),
            ("to", text(&self.to)),
            ("after", text(&self.after)),
            ("before", text(&self.before)),
            ("finding", text(&self.finding)),
            ("by", text(&self.by)),
            ("assigned", text(&self.assigned)),
            ("hold", yes(self.hold).to_owned()),
            ("asked", yes(self.asked).to_owned()),
            ("sort", text(&self.sort)),
            ("dir", text(&self.dir)),
        ]
        .into_iter()
        .fold(Wanted::default(), |wanted, (key, value)| wanted.with(key, &value))
    }
}

/// One entry
///
/// Needs `quarantine.read`.
#[utoipa::path(get, path = "/quarantine/{id}", tag = "quarantine", params(("id" = String, Path, description = "The entry's id")), responses(
    (status = 200, description = "All that is known of it", body = Object),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that the token may see", body = Problem, content_type = "application/problem+json"),
))]
async fn entry(State(console): State<Console>, viewer: Viewer, Path(id): Path<String>) -> Result<Json<Value>, Error> {
    let entry = entry_for(&console, &viewer, Permission::QuarantineRead, &id).await?;
    let notes = console.quarantine().notes(&entry.id).await?;
    let mut requests = console.quarantine().requests(&entry.id).await?;
    let seen = visible(viewer.need(Permission::QuarantineRead)?);
    requests.iter_mut().for_each(|request| request.show_to(&seen));
    Ok(Json(entry.json_with(&notes, &requests)))
}

/// The message, octet for octet as the client sent it
///
/// Needs `quarantine.content`; the audit has each time.
#[utoipa::path(get, path = "/quarantine/{id}/raw", tag = "quarantine", params(("id" = String, Path, description = "The entry's id")), responses(
    (status = 200, description = "The octets", content_type = "application/octet-stream"),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that the token may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Its content is gone", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "There is no room to write it down; nothing was done", body = Problem, content_type = "application/problem+json"),
))]
async fn raw(State(console): State<Console>, viewer: Viewer, Path(id): Path<String>) -> Result<Response, Error> {
    let entry = entry_for(&console, &viewer, Permission::QuarantineContent, &id).await?;
    if let Some(why) = entry.gone() {
        return Err(Error::Conflict((&why).into()));
    }
    console.audit().record(viewer.did(Action::Download).on(&entry.id).with("what", "source")).await?;
    let content = console.releaser().content(console.quarantine(), &entry).await?;
    let mut octets = Vec::new();
    let mut reader = content.reader(0);
    while let Some(piece) = reader.next().await.map_err(|error| Error::Internal(error.to_string()))? {
        octets.extend_from_slice(&piece);
    }
    let name = format!("attachment; filename=\"{}.eml\"", entry.id);
    Ok(([(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, name)], octets).into_response())
}

/// A release.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Release {
    /// To whom; nobody named: to all who do not have it.
    recipients: Vec<String>,
    /// Also to those who have it, or perhaps have it.
    again: bool,
}

/// What became of a release, for the recipients of one upstream.
#[derive(Debug, Serialize, ToSchema)]
struct Released {
    upstream: String,
    recipients: Vec<String>,
    released: bool,
    /// The mail server's own words, or why it is not released.
    reply: String,
    queue_id: Option<String>,
    /// Whether that stands in the entry and in the audit. Where there was no room for it, the entry
    /// says that it is being released until it does.
    recorded: bool,
}

/// Sends it on to the mail server, and says what that answers
///
/// Needs `quarantine.release`. What two people have to want is answered with 409: the second is a
/// person, in the console.
#[utoipa::path(post, path = "/quarantine/{id}/release", tag = "quarantine", params(("id" = String, Path, description = "The entry's id")), request_body = Release, responses(
    (status = 200, description = "What became of it; it may have been refused", body = Vec<Released>),
    (status = 400, description = "The body makes no sense", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that the token may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "Somebody else was there first, or it takes two", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "There is no room to write it down; nothing was done", body = Problem, content_type = "application/problem+json"),
))]
async fn release(
    State(console): State<Console>,
    viewer: Viewer,
    Path(id): Path<String>,
    Body(wanted): Body<Release>,
) -> Result<Json<Vec<Released>>, Error> {
    let parts = released(&console, &viewer, &id, wanted.recipients, wanted.again).await?;
    let part = |part: crate::gate::release::Released| Released {
        upstream: part.upstream.to_string(),
        released: part.result.is_ok(),
        recorded: part.unrecorded.is_none(),
        queue_id: part.result.as_ref().ok().and_then(|reply| crate::journal::queue_id(reply)).map(str::to_owned),
        reply: part.result.unwrap_or_else(|why| why.to_string()),
        recipients: part.recipients,
    };
    Ok(Json(parts.into_iter().map(part).collect()))
}

/// Deletes it: the content is gone at once
///
/// Needs `quarantine.delete` for all of its recipients.
#[utoipa::path(delete, path = "/quarantine/{id}", tag = "quarantine", params(("id" = String, Path, description = "The entry's id")), responses(
    (status = 200, description = "It is gone", body = Done),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that the token may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is under legal hold, held for others too, or gone already", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "There is no room to write it down; nothing was done", body = Problem, content_type = "application/problem+json"),
))]
async fn delete(State(console): State<Console>, viewer: Viewer, Path(id): Path<String>) -> Result<Json<Done>, Error> {
    free(&console, &viewer, "delete", &id, "").await?;
    Ok(Json(Done::DONE))
}

/// Puts it under legal hold
///
/// Needs `quarantine.hold`.
#[utoipa::path(post, path = "/quarantine/{id}/hold", tag = "quarantine", params(("id" = String, Path, description = "The entry's id")), responses(
    (status = 200, description = "It is under legal hold", body = Done),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that the token may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is deleted", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "There is no room to write it down; nothing was done", body = Problem, content_type = "application/problem+json"),
))]
async fn hold(State(console): State<Console>, viewer: Viewer, Path(id): Path<String>) -> Result<Json<Done>, Error> {
    free(&console, &viewer, "hold", &id, "").await?;
    Ok(Json(Done::DONE))
}

/// Lifts the legal hold
///
/// Needs `quarantine.hold` for all of its recipients.
#[utoipa::path(delete, path = "/quarantine/{id}/hold", tag = "quarantine", params(("id" = String, Path, description = "The entry's id")), responses(
    (status = 200, description = "It is under legal hold no more", body = Done),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that the token may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is held for others too, or deleted", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "There is no room to write it down; nothing was done", body = Problem, content_type = "application/problem+json"),
))]
async fn lift(State(console): State<Console>, viewer: Viewer, Path(id): Path<String>) -> Result<Json<Done>, Error> {
    free(&console, &viewer, "lift", &id, "").await?;
    Ok(Json(Done::DONE))
}

/// A note.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewNote {
    /// Of 4000 characters at most.
    text: String,
}

/// Adds a note, which stays
///
/// Needs `quarantine.note`.
#[utoipa::path(post, path = "/quarantine/{id}/notes", tag = "quarantine", params(("id" = String, Path, description = "The entry's id")), request_body = NewNote, responses(
    (status = 200, description = "It is kept", body = Done),
    (status = 400, description = "The body makes no sense", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that the token may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It has as many as there may be", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "There is no room to write it down; nothing was done", body = Problem, content_type = "application/problem+json"),
))]
async fn note(
    State(console): State<Console>,
    viewer: Viewer,
    Path(id): Path<String>,
    Body(note): Body<NewNote>,
) -> Result<Json<Done>, Error> {
    free(&console, &viewer, "note", &id, &note.text).await?;
    Ok(Json(Done::DONE))
}

/// An assignment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Assignment {
    /// An account, `me` or `nobody`.
    to: String,
}

/// Says whose it is to look
///
/// Needs `quarantine.note`.
#[utoipa::path(put, path = "/quarantine/{id}/assignment", tag = "quarantine", params(("id" = String, Path, description = "The entry's id")), request_body = Assignment, responses(
    (status = 200, description = "It is his", body = Done),
    (status = 400, description = "The body makes no sense", body = Problem, content_type = "application/problem+json"),
    (status = 401, description = "There is no such token", body = Problem, content_type = "application/problem+json"),
    (status = 403, description = "The token may not do this", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "There is none that the token may see", body = Problem, content_type = "application/problem+json"),
    (status = 409, description = "It is deleted, or not for him to see", body = Problem, content_type = "application/problem+json"),
    (status = 507, description = "There is no room to write it down; nothing was done", body = Problem, content_type = "application/problem+json"),
))]
async fn assign(
    State(console): State<Console>,
    viewer: Viewer,
    Path(id): Path<String>,
    Body(to): Body<Assignment>,
) -> Result<Json<Done>, Error> {
    free(&console, &viewer, "assign", &id, &to.to).await?;
    Ok(Json(Done::DONE))
}
