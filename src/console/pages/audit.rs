//! `/audit`: who did what.
use crate::accounts::Permission;
use crate::audit::{Action, Filter, Record};
use crate::console::{Console, Error, Flash, Frame, Posted, Viewer, day, escape, facts::facts, page};
use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use std::time::Duration;

/// Rows of a page.
const PAGE: usize = 100;
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/audit", get(list)).route("/audit/verify", post(verify))
}

/// What the address says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    actor: String,
    action: String,
    object: String,
    /// Days, both included.
    from: String,
    to: String,
    below: Option<i64>,
}

impl Asked {
    fn filter(&self) -> Filter {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Filter {
            actor: text(&self.actor),
            action: text(&self.action),
            object: text(&self.object),
            after: day(&self.from),
            before: day(&self.to).map(|day| day + DAY),
            below: self.below,
            limit: PAGE as u64 + 1,
            ..Filter::default()
        }
    }

    /// The same, further on.
    fn address(&self, below: i64) -> String {
        let pairs = [("actor", &self.actor), ("action", &self.action), ("object", &self.object), ("from", &self.from), ("to", &self.to)];
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={}&", escape(value)));
        format!("/audit?{}below={below}", pairs.collect::<String>())
    }

    fn is_filtered(&self) -> bool {
        [&self.actor, &self.action, &self.object, &self.from, &self.to].iter().any(|value| !value.is_empty())
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    asked: Asked,
    rows: Vec<Record>,
    older: Option<String>,
}

impl Page {
    /// The detail of a row, as names and values.
    fn pairs(&self, detail: &str) -> Vec<(String, String)> {
        facts(detail, self.frame.language)
    }

    /// What an action is called; one of a later version by its word.
    fn action(&self, word: &str) -> String {
        Action::parse(word).map_or_else(|| word.to_owned(), |action| self.frame.t2("action", action.as_str()).to_owned())
    }
}

async fn list(State(console): State<Console>, viewer: Viewer, frame: Frame, Query(asked): Query<Asked>) -> Result<Response, Error> {
    viewer.need(Permission::AuditRead)?;
    let mut rows = console.audit().list(&asked.filter()).await?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let older = rows.last().filter(|_| more).map(|last| asked.address(last.sequence));
    page(Page { frame: frame.at("audit"), asked, rows, older })
}

async fn verify(State(console): State<Console>, viewer: Viewer, frame: Frame, _: Posted) -> Result<Response, Error> {
    viewer.need(Permission::AuditRead)?;
    // A walk reads all of it: one at a time is enough.
    let _one = console.one_walk().await;
    let flash = match console.audit().verify(None).await.map_err(Error::from) {
        Ok(whole) => {
            let short = whole.head.get(..16).unwrap_or_default();
            Flash::good(frame.language.with("audit.whole", &[("n", &whole.rows), ("head", &short)]))
        }
        Err(Error::Conflict(why)) => Flash::bad(frame.language.with("audit.broken", &[("why", &why.to(frame.language))])),
        Err(error) => return Err(error),
    };
    Ok(flash.at("/audit"))
}
