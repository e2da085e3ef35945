//! What pages, downloads and the API share of the journal: who asks for what, and sees what of it.
mod filter;
mod seen;

pub(super) use filter::{Filter, SINCE, Unreadable, VERDICTS};
pub(super) use seen::Seen;

use super::{Console, Error, Viewer};
use crate::accounts::{Permission, Scope};
use crate::journal::{Query, Row};
use std::time::SystemTime;

/// The rows that `filter` asks for and that are in `scope`, newest first; `Err` names the field that
/// cannot be read.
pub(super) async fn search(console: &Console, filter: &Filter, scope: &Scope, limit: u64) -> Result<Result<Vec<Seen>, Unreadable>, Error> {
    let query = match filter.query(domains(scope), SystemTime::now(), limit) {
        Ok(query) => query,
        Err(unreadable) => return Ok(Err(unreadable)),
    };
    let rows = console.journal().search(&query).await?;
    Ok(Ok(rows.into_iter().map(|row| Seen::new(row, scope)).collect()))
}

/// The row of that key, where it is for him to see. That is asked of the journal, which finds
/// recipients also where they are hashed.
pub(super) async fn visible(console: &Console, key: i64, scope: &Scope) -> Result<Option<Row>, Error> {
    if *scope == Scope::Everybody {
        return Ok(console.journal().row(key).await?);
    }
    let query = Query { recipient_domains: domains(scope), below: key.checked_add(1), ..Query::new(1) };
    Ok(console.journal().search(&query).await?.into_iter().find(|row| row.key == key))
}

/// The key of the row of the message that has our id `id`, where the viewer may see it.
pub(super) async fn key_of(console: &Console, viewer: &Viewer, id: &str) -> Result<Option<i64>, Error> {
    let scope = viewer.scope(Permission::MessagesRead);
    if scope == Scope::Nobody {
        return Ok(None);
    }
    match console.journal().message(id).await? {
        Some(row) => Ok(visible(console, row.key, &scope).await?.map(|row| row.key)),
        None => Ok(None),
    }
}

fn domains(scope: &Scope) -> Vec<String> {
    match scope {
        Scope::Domains(domains) => domains.clone(),
        Scope::Everybody | Scope::Nobody => Vec::new(),
    }
}
