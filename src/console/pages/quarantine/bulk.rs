//! One decision about several entries. What cannot be taken back, or leaves the house, is said again
//! before it is done: with what it is about, on a page of its own, so that it needs no script.
use super::{decide::act, entry_for, query::Wanted, row::Row};
use crate::accounts::Permission;
use crate::audit::Action;
use crate::console::{Console, Error, Fields, Flash, Frame, Posted, Said, Viewer, page};
use crate::evidence::Exporter;
use crate::quarantine::Entry;
use crate::value::hex;
use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use std::collections::HashSet;
use tokio::{runtime::Handle, task::spawn_blocking};

/// Entries of one decision.
const MOST: usize = 200;

#[derive(Template)]
#[template(path = "quarantine/confirm.html")]
struct Confirm {
    frame: Frame,
    action: String,
    rows: Vec<Row>,
    /// Where the form goes, and where one gets out of it.
    target: String,
    back: String,
}

pub(super) async fn decide(
    State(console): State<Console>,
    viewer: Viewer,
    frame: Frame,
    wanted: Wanted,
    Posted(fields): Posted,
) -> Result<Response, Error> {
    let back = format!("/quarantine{}", wanted.query());
    let mut known = HashSet::new();
    let ids: Vec<String> = fields.all("id").filter(|id| known.insert(*id)).map(str::to_owned).collect();
    if ids.is_empty() {
        return Ok(Flash::bad(frame.t("quarantine.done.none_chosen")).at(&back));
    }
    if ids.len() > MOST {
        return Err(Error::Bad(Said::of("quarantine.done.too_many").and("most", MOST)));
    }
    let action = fields.get("action").to_owned();
    if action == "export" {
        return export(&console, &viewer, &ids).await;
    }
    if matches!(&*action, "release" | "delete" | "hold") && !fields.has("confirmed") {
        return confirm(&console, &viewer, frame, &action, &ids, &wanted, &back).await;
    }
    let (mut done, mut not) = (0_u64, Vec::new());
    for id in &ids {
        let only = Fields::default();
        match act(&console, &viewer, frame.language, &action, id, &only).await {
            Ok(flash) if flash.good => done += 1,
            Ok(flash) => not.push(flash.text),
            Err(Error::Forbidden) if done == 0 && not.is_empty() => return Err(Error::Forbidden),
            // What was done before it is told of in any case.
            Err(error) => not.push(format!("{id}: {}", error.sentence(frame.language))),
        }
    }
    let mut text = frame.language.count("quarantine.done.bulk", done);
    if not.is_empty() {
        return Ok(Flash::good(text).at(&back));
    }
    text.push_str(&format!(" {} {}", frame.language.count("quarantine.done.bulk_not", not.len() as u64), not.join(" ")));
    Ok(Flash::bad(text).at(&back))
}

/// The page that asks once more.
pub(super) async fn confirm(
    console: &Console,
    viewer: &Viewer,
    frame: Frame,
    action: &str,
    ids: &[String],
    wanted: &Wanted,
    target: &str,
) -> Result<Response, Error> {
    let permission = match action {
        "release" => Permission::QuarantineRelease,
        "hold" => Permission::QuarantineHold,
        _ => Permission::QuarantineDelete,
    };
    let mut rows = Vec::new();
    for id in ids {
        let entry = entry_for(console, viewer, permission, id).await?;
        rows.push(Row::of(&entry, false, console.quarantine(), format!("/quarantine/{id}{}", wanted.query()), frame.language));
    }
    // Of one that is not his alone it is said now, not after he has said yes.
    if let ([id], "delete") = (ids, action) {
        super::all_are_his(viewer, permission, &entry_for(console, viewer, permission, id).await?)?;
    }
    let back = if target.starts_with("/quarantine/") { target.to_owned() } else { format!("/quarantine{}", wanted.query()) };
    page(Confirm { action: action.to_owned(), rows, target: target.to_owned(), back, frame: frame.at("quarantine") })
}

/// Evidence of entries that are his, as a signed archive.
pub(super) async fn export(console: &Console, viewer: &Viewer, ids: &[String]) -> Result<Response, Error> {
    let mut entries = Vec::new();
    for id in ids {
        let entry = entry_for(console, viewer, Permission::QuarantineExport, id).await?;
        super::all_are_his(viewer, Permission::QuarantineExport, &entry)?;
        if entry.gone().is_some() {
            return Err(Error::Conflict(Said::of("quarantine.error.export_gone").and("id", id)));
        }
        entries.push(entry);
    }
    let archive = archive(console.clone(), viewer.name().to_owned(), entries).await?;
    let hash = hex(digest(&SHA256, &archive).as_ref());
    // It is made, and leaves when that is written down.
    for id in ids {
        console.audit().record(viewer.did(Action::Export).on(id).with("sha256", &*hash)).await?;
    }
    let name = format!("attachment; filename=\"octroi-evidence-{}.zip\"", ids.first().map_or("", String::as_str));
    Ok(([(header::CONTENT_TYPE, "application/zip".to_owned()), (header::CONTENT_DISPOSITION, name)], archive).into_response())
}

/// One after the other, since it is made in memory, and apart from the console's thread, which answers
/// others while it compresses.
async fn archive(console: Console, by: String, entries: Vec<Entry>) -> Result<Vec<u8>, Error> {
    let turn = console.one_export().await;
    let runtime = Handle::current();
    let making = spawn_blocking(move || {
        let _turn = turn;
        let releaser = console.releaser();
        let exporter = Exporter {
            quarantine: console.quarantine(),
            audit: console.audit(),
            journal: Some(console.journal()),
            spool: releaser.spool(),
            state_dir: releaser.state_dir(),
        };
        runtime.block_on(exporter.archive(&entries, &by, console.hostname()))
    });
    Ok(making.await.map_err(|error| Error::Internal(error.to_string()))??)
}
