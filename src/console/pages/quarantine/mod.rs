//! `/quarantine`: what is held, for those who decide about it.
//!
//! | file | shows |
//! | --- | --- |
//! | `list`, `query`, `row` | the list, as its address says |
//! | `bulk` | one decision about several, said again before it is done |
//! | `entry`, `why`, `history` | one entry: why it is held, what was found, what became of it |
//! | `content` | its HTML in a frame of its own, and its attachments |
//! | `decide` | what is done with one |
//! | `allowances` | what is let through |
//!
//! Metadata is for whoever may read (`quarantine.read`), content for reviewers (`quarantine.content`),
//! and every look at content is in the audit before it is shown.

mod allowances;
mod bulk;
mod content;
mod decide;
mod entry;
mod history;
mod list;
mod query;
mod row;
mod why;

pub(in crate::console) use decide::{free, released};
pub(in crate::console) use query::Wanted;

use crate::accounts::{Permission, Scope};
use crate::console::{Console, Error, Said, Viewer};
use crate::preview::Opened;
use crate::quarantine::{Entry, Visible};
use axum::{
    Router,
    routing::{get, post},
};

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/quarantine", get(list::show).post(bulk::decide))
        .route("/quarantine/allowances", get(allowances::show).post(allowances::revoke))
        .route("/quarantine/{id}", get(entry::show).post(decide::decide))
        .route("/quarantine/{id}/html", get(content::html))
        .route("/quarantine/{id}/files/{place}", post(content::file))
}

/// What a scope lets be seen.
pub(in crate::console) fn visible(scope: Scope) -> Visible {
    match scope {
        Scope::Everybody => Visible::All,
        Scope::Nobody => Visible::Domains(std::collections::BTreeSet::new()),
        Scope::Domains(domains) => Visible::Domains(domains.into_iter().map(|domain| domain.to_ascii_lowercase()).collect()),
    }
}

/// An entry that the viewer may do this with; what he may not see is not there.
pub(in crate::console) async fn entry_for(console: &Console, viewer: &Viewer, permission: Permission, id: &str) -> Result<Entry, Error> {
    let scope = viewer.need(permission)?;
    Ok(console.quarantine().visible(id, &visible(scope)).await?)
}

/// The content of an entry, opened.
pub(in crate::console) async fn open(console: &Console, entry: &Entry) -> Result<Opened, Error> {
    let releaser = console.releaser();
    let content = releaser.content(console.quarantine(), entry).await?;
    Ok(Opened::new(content, releaser.unpack_limits()).await?)
}

/// Of the recipients he may see those that he may decide for; an error where there are none.
pub(in crate::console) fn his_recipients(viewer: &Viewer, permission: Permission, entry: &Entry) -> Result<Vec<String>, Error> {
    let visible = visible(viewer.need(permission)?);
    let his: Vec<_> =
        entry.recipients.iter().map(|recipient| recipient.address.clone()).filter(|address| visible.covers(address)).collect();
    if his.is_empty() { Err(Error::Forbidden) } else { Ok(his) }
}

/// An error where one of these is not among his recipients.
pub(in crate::console) fn not_his(his: &[String], wanted: &[String]) -> Option<Error> {
    let stranger = wanted.iter().find(|address| !his.contains(&address.to_ascii_lowercase()))?;
    Some(Error::Conflict(Said::of("quarantine.error.not_his").and("address", stranger)))
}

/// An error where some of its recipients are not his: what is done to all of it is not his alone.
pub(in crate::console) fn all_are_his(viewer: &Viewer, permission: Permission, entry: &Entry) -> Result<(), Error> {
    let his = his_recipients(viewer, permission, entry)?;
    if his.len() < entry.recipients.len() + entry.hidden {
        return Err(Error::Conflict(Said::of("quarantine.error.for_others")));
    }
    Ok(())
}
