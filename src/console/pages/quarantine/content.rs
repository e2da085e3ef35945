//! What leaves the pages: the HTML for its frame, and attachments in their archive.
use super::{entry_for, open};
use crate::accounts::Permission;
use crate::audit::Action;
use crate::console::{Console, Error, Posted, Viewer};
use crate::preview::{files, html};
use axum::{
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};

/// `/quarantine/{id}/html`: for the frame, under a policy of its own. The look is in the audit with
/// the page around it; opened by itself it is another.
pub(super) async fn html(State(console): State<Console>, viewer: Viewer, Path(id): Path<String>) -> Result<Response, Error> {
    let entry = entry_for(&console, &viewer, Permission::QuarantineContent, &id).await?;
    console.audit().record(viewer.did(Action::View).on(&entry.id).with("what", "html frame")).await?;
    let opened = open(&console, &entry).await?;
    let document = opened.html().await?.ok_or(Error::NotFound)?;
    let mut response = Html(document).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(html::POLICY));
    headers.insert("x-dns-prefetch-control", HeaderValue::from_static("off"));
    Ok(response)
}

/// `/quarantine/{id}/files/{place}`: one attachment, in an archive that opens with a password. A POST,
/// so that no link and no picture of another page makes anybody download it.
pub(super) async fn file(
    State(console): State<Console>,
    viewer: Viewer,
    Path((id, place)): Path<(String, usize)>,
    _: Posted,
) -> Result<Response, Error> {
    let entry = entry_for(&console, &viewer, Permission::QuarantineContent, &id).await?;
    let opened = open(&console, &entry).await?;
    let found = opened.file(place).await?;
    let (name, octets) = found.ok_or(Error::NotFound)?;
    let event = viewer.did(Action::Download).on(&entry.id).with("what", crate::preview::visible(&name));
    console.audit().record(event).await?;
    let archive = tokio::task::spawn_blocking(move || files::encrypted(&name, &octets)).await;
    let archive = archive.map_err(|error| Error::Internal(error.to_string()))?.map_err(|error| Error::Internal(error.to_string()))?;
    let name = format!("attachment; filename=\"{}-{place}.zip\"", entry.id);
    let headers = [(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, archive).into_response())
}
