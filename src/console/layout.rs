//! What is around every page.
use super::{
    Console,
    assets::{Assets, assets},
    error::Error,
    flash::Flash,
    format::Number,
    said::Said,
    text::Language,
    viewer::{HalfWay, Viewer},
    visitor::{Theme, Visitor},
};
use crate::accounts::Permission;
use crate::value::time;
use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{Html, IntoResponse, Response},
};
use std::time::{Duration, SystemTime};

/// What templates need to know of the visit; `base.html` wants it as `frame`. An extractor.
#[derive(Debug, Clone)]
pub struct Frame {
    pub language: Language,
    pub theme: Option<Theme>,
    pub viewer: Option<Viewer>,
    /// What forms carry, of whoever is signed in or half way.
    csrf: String,
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
    Place { name: "quarantine", path: "/quarantine", needs: Permission::QuarantineRead },
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
            csrf: viewer.as_ref().map_or_else(String::new, |viewer| viewer.csrf.clone()),
            viewer,
            assets: assets(),
            target: visitor.page.clone(),
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

    /// Who decided, a stage or a rule.
    #[must_use]
    pub fn decider(&self, by: &str) -> String {
        self.language.decider(by)
    }

    /// How old something is.
    #[must_use]
    pub fn age(&self, age: &Duration) -> String {
        self.language.age(*age)
    }

    /// A sentence.
    #[must_use]
    pub fn say(&self, said: &Said) -> String {
        said.to(self.language)
    }

    /// A size.
    #[must_use]
    pub fn octets(&self, count: impl Number) -> String {
        self.language.octets(count)
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
        &self.csrf
    }
}

impl FromRequestParts<Console> for Frame {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Error> {
        let visitor = Visitor::from_request_parts(parts, console).await?;
        let mut frame = Self::new(&visitor, parts.extensions.get::<Viewer>().cloned());
        if let Some(HalfWay(session)) = parts.extensions.get() {
            frame.csrf.clone_from(&session.csrf);
        }
        Ok(frame)
    }
}

/// A page.
///
/// # Errors
/// The template cannot be rendered.
pub fn page(template: impl Template) -> Result<Response, Error> {
    Ok(Html(template.render()?).into_response())
}

/// The beginning of a day in UTC, as fields for dates have it: `2026-11-26`.
#[must_use]
pub fn day(text: &str) -> Option<SystemTime> {
    let date: jiff::civil::Date = text.parse().ok()?;
    Some(time(jiff::tz::Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?.as_millisecond()))
}

/// What browser and system a `User-Agent` is of, as far as people care.
#[must_use]
pub fn browser(agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| names.iter().find(|(word, _)| agent.contains(word)).map(|(_, name)| *name);
    let browser = first(&[("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser}, {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => agent.chars().take(60).collect(),
    }
}

/// `2026-11-26 02:22:22`, in UTC as in the log.
#[must_use]
pub fn moment(at: &SystemTime) -> String {
    let text = crate::value::rfc3339(*at);
    text.get(..19).map_or_else(|| text.clone(), |seconds| seconds.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Permission, Role};
    use crate::audit::Action;

    #[test]
    fn every_word_that_is_shown_has_a_text() {
        let words = Role::ALL.iter().flat_map(|role| [("role", role.as_str()), ("role_text", role.as_str())]);
        let words = words.chain(Permission::ALL.iter().map(|permission| ("permission", permission.as_str())));
        let words = words.chain(Action::ALL.iter().map(|action| ("action", action.as_str())));
        let words = words.chain(PLACES.iter().map(|place| ("nav", place.name)));
        for (prefix, word) in words {
            for (language, _) in Language::ALL {
                assert_ne!(language.t(&format!("{prefix}.{word}")), "…", "{prefix}.{word}");
            }
        }
    }

    #[test]
    fn days_and_browsers_are_read() {
        assert_eq!(day("2026-11-26").as_ref().map(moment).as_deref(), Some("2026-11-26 00:00:00"));
        assert_eq!(day("26.11.2026"), None);
        let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36";
        assert_eq!((browser(agent), browser("curl/8")), ("Chrome, Linux".into(), "curl/8".into()));
    }
}
