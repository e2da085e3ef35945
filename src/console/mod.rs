//! The console: where people review what is held, over HTTPS, in a browser or by programs.
//!
//! A request goes through `security::around`, which finds out who asks and shows what
//! went wrong, to a handler. How a page is added:
//!
//! 1. a template in `templates/` that extends `base.html`, with a field `frame: Frame`;
//! 2. a module in `pages/` with `pub(super) fn routes() -> Router<Console>`, merged in
//!    `pages::routes`; a handler takes [`Viewer`] (who is not signed in does not come that far) and
//!    [`Frame`], calls [`Viewer::need`] with the [`Permission`](crate::accounts::Permission) first, and
//!    returns `Result<Response, Error>` from [`page`];
//! 3. what changes something is a POST that takes [`Posted`] (which checks the form's token;
//!    the form has `<input type="hidden" name="csrf" value="{{ frame.csrf() }}">`), writes what
//!    [`Viewer::did`] into the audit in the same batch where it can, and answers with
//!    [`Flash::at`];
//! 4. its texts go into `text/en.toml` and `text/fr.toml`, its place into `layout::PLACES`, styles that
//!    no other page has into a file of its own in `assets/`, listed in `assets.rs`;
//! 5. a row in `tests/promises/console/pages.rs`, where each page is tried with each role, and
//!    photographed.
//!
//! A handler ends where its client goes away: what must not stop half way runs in a task of its own
//! (`tokio::spawn`), whose end the handler waits for.
//!
//! A page that shows a frame puts [`Frames`] into its response's extensions; what is shown in a frame
//! sets a `Content-Security-Policy` of its own.

mod api;
pub mod assets;
mod chart;
mod error;
mod facts;
mod flash;
mod form;
mod format;
mod health;
mod layout;
mod messages;
mod pages;
mod qr;
mod reasons;
mod said;
mod security;
mod server;
mod settings;
mod text;
mod viewer;
mod visitor;

pub use error::Error;
pub use flash::{Flash, see, set_cookie};
pub use form::{Fields, Posted};
pub use format::{Number, grouped};
pub use layout::{Frame, browser, day, moment, page};
pub use said::Said;
pub use security::{Frames, escape};
pub use server::{ConsoleError, Server};
pub use settings::{Settings, enrolment_link};
pub use text::Language;
pub use viewer::{HalfWay, Viewer};
pub use visitor::{Peer, Visitor};

use crate::accounts::{Accounts, Url};
use crate::audit::Audit;
use crate::gate::release::Releaser;
use crate::journal::Rows;
use crate::quarantine::Quarantine;
use crate::storage::Store;
use crate::telemetry::Metrics;
use crate::tls::challenge::Challenges;
use arc_swap::ArcSwap;
use axum::{Router, middleware, routing::get};
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// What the console is made from.
pub struct Parts {
    pub settings: Settings,
    /// The gate's name.
    pub hostname: Arc<str>,
    pub store: Store,
    pub quarantine: Quarantine,
    pub journal: Rows,
    pub metrics: Arc<Metrics>,
    /// Reads and releases what is held; another after a reload.
    pub releaser: Arc<ArcSwap<Releaser>>,
    /// What authorities are answered that ask here whose a name is.
    pub challenges: Challenges,
    /// Sets the metrics that are not counted as it happens.
    pub measure: Box<dyn Fn() + Send + Sync>,
}

/// What all handlers have: a handle, whose clones share.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    parts: Parts,
    accounts: Accounts,
    audit: Audit,
    url: Option<Url>,
    walks: Semaphore,
    exports: Arc<Semaphore>,
}

impl Console {
    fn new(parts: Parts, address: SocketAddr) -> Self {
        let database = &parts.store.database;
        let url = parts.settings.url(&parts.hostname, address);
        let accounts = Accounts::new(database.clone(), parts.settings.lifetimes, url.as_ref());
        let audit = Audit::new(database.clone());
        Self(Arc::new(Inner { parts, accounts, audit, url, walks: Semaphore::new(1), exports: Arc::new(Semaphore::new(1)) }))
    }

    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.0.audit
    }

    #[must_use]
    pub fn quarantine(&self) -> &Quarantine {
        &self.0.parts.quarantine
    }

    /// As the configuration is now.
    #[must_use]
    pub fn releaser(&self) -> Arc<Releaser> {
        self.0.parts.releaser.load_full()
    }

    #[must_use]
    pub fn journal(&self) -> &Rows {
        &self.0.parts.journal
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.parts.store
    }

    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.0.parts.metrics
    }

    /// How things stand now.
    #[must_use]
    fn health(&self) -> health::Health {
        (self.0.parts.measure)();
        health::Health::read(self.metrics())
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.parts.settings
    }

    /// How browsers reach it.
    #[must_use]
    pub fn url(&self) -> Option<&Url> {
        self.0.url.as_ref()
    }

    /// What a person opens to set up an account.
    fn enrolment_link(&self, code: &str) -> String {
        self.url().map_or_else(|| code.to_owned(), |url| enrolment_link(url, code))
    }

    /// What authenticators show beside the account's name.
    fn issuer(&self) -> String {
        format!("octroi {}", self.hostname())
    }

    /// Waits until nobody else walks the whole audit.
    async fn one_walk(&self) -> Option<SemaphorePermit<'_>> {
        self.0.walks.acquire().await.ok()
    }

    /// Waits until nobody else exports evidence.
    async fn one_export(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.exports).acquire_owned().await.ok()
    }

    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.0.parts.hostname
    }
}

/// Does `work` to its end. A handler is dropped when its client goes away, and a release that is cut
/// between the MTA's answer and our note of it would leave nobody knowing who has the message.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T, Error>> + Send + 'static) -> Result<T, Error> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

fn router(console: Console) -> Router {
    Router::new()
        .merge(pages::routes())
        .nest("/api/v1", api::routes())
        .route("/assets/{hash}/{name}", get(assets::serve))
        .fallback(async || Error::NotFound)
        .layer(middleware::from_fn_with_state(console.clone(), security::around))
        .with_state(console)
}
