//! What is around every page.
use super::{
    Console,
    assets::{Assets, assets},
    error::Error,
    flash::Flash,
    format::Number,
    text::Language,
    viewer::Viewer,
    visitor::{Theme, Visitor},
};
use crate::accounts::Permission;
use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{Html, IntoResponse, Response},
};
use std::time::SystemTime;

/// What templates need to know of the visit; `base.html` wants it as `frame`. An extractor.
#[derive(Debug, Clone)]
pub struct Frame {
    pub language: Language,
    pub theme: Option<Theme>,
    pub viewer: Option<Viewer>,
    pub flash: Option<Flash>,
    pub assets: &'static Assets,
    /// Where to come back to after changing language or theme.
    pub target: String,
    /// The entry of the navigation that is shown as the present one.
    pub here: &'static str,
}

/// An entry of the navigation.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The name in [`Frame::at`], and `nav.NAME` of its text.
    pub name: &'static str,
    pub path: &'static str,
    /// Who may not do this does not see it.
    pub needs: Permission,
}

/// The navigation, in order.
const PLACES: &[Place] = &[
    Place { name: "overview", path: "/overview", needs: Permission::OverviewRead },
    Place { name: "messages", path: "/messages", needs: Permission::MessagesRead },
    Place { name: "audit", path: "/audit", needs: Permission::AuditRead },
    Place { name: "accounts", path: "/accounts", needs: Permission::AccountsManage },
];

impl Frame {
    pub(super) fn new(visitor: &Visitor, viewer: Option<Viewer>) -> Self {
        Self {
            language: visitor.language,
            theme: visitor.theme,
            flash: visitor.flash.clone(),
            viewer,
            assets: assets(),
            target: visitor.target.clone(),
            here: "",
        }
    }

    /// The same with `place` marked in the navigation.
    #[must_use]
    pub fn at(mut self, place: &'static str) -> Self {
        self.here = place;
        self
    }

    /// A text in the visitor's language.
    #[must_use]
    pub fn t(&self, key: &str) -> &'static str {
        self.language.t(key)
    }

    /// The text of a key that is put together: `{prefix}.{name}`.
    #[must_use]
    pub fn t2(&self, prefix: &str, name: &str) -> &'static str {
        self.language.t(&format!("{prefix}.{name}"))
    }

    /// A text for a number.
    #[must_use]
    pub fn count(&self, key: &str, n: impl Number) -> String {
        self.language.count(key, n.get())
    }

    /// The entries of the navigation that are for him.
    #[must_use]
    pub fn places(&self) -> Vec<Place> {
        let may = |place: &&Place| self.viewer.as_ref().is_some_and(|viewer| viewer.may(place.needs));
        PLACES.iter().filter(may).copied().collect()
    }

    /// Whether somebody has chosen dark.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.theme == Some(Theme::Dark)
    }

    /// What forms carry.
    #[must_use]
    pub fn csrf(&self) -> &str {
        self.viewer.as_ref().map_or("", |viewer| &viewer.csrf)
    }
}

impl FromRequestParts<Console> for Frame {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Error> {
        let visitor = Visitor::from_request_parts(parts, console).await?;
        Ok(Self::new(&visitor, parts.extensions.get::<Viewer>().cloned()))
    }
}

/// A page.
///
/// # Errors
/// The template cannot be rendered.
pub fn page(template: impl Template) -> Result<Response, Error> {
    Ok(Html(template.render()?).into_response())
}

/// `2026-11-26 02:22:22`, in UTC as in the log.
#[must_use]
pub fn moment(at: SystemTime) -> String {
    let text = crate::value::rfc3339(at);
    text.get(..19).map_or_else(|| text.clone(), |seconds| seconds.replace('T', " "))
}
