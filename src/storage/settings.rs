use crate::value::settings::{Placed, Section};
use std::time::Duration;

/// `[storage]`: what engines keep things, and how long they are asked. This version has one engine of
/// each, so there is nothing to remember of that; what it has not is told apart from what there never
/// is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a search may take.
    pub search_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { search_timeout: Duration::from_secs(10) }
    }
}

/// Nobody waits longer for a page; and while something is read, the log of the database cannot begin
/// anew.
const LONGEST: Duration = Duration::from_secs(300);

impl Settings {
    /// Reads `[storage]`.
    pub fn read(section: &mut Section<'_>) -> Self {
        engine(section, "database", "sqlite", "postgres://");
        engine(section, "blobs", "files", "s3://");
        engine(section, "shared_state", "memory", "redis://");
        let mut settings = Self::default();
        if let Some(Placed { value, span }) = section.take_placed_unless("search_timeout", &settings.search_timeout) {
            if value.is_zero() || value > LONGEST {
                section.complain_at(span, format!("`{}`: more than \"0s\", and up to \"5m\"", section.path("search_timeout")));
            }
            settings.search_timeout = value;
        }
        settings
    }
}

fn engine(section: &mut Section<'_>, key: &'static str, embedded: &str, at_scale: &str) {
    let Some(Placed { value, span }) = section.take_placed_unless(key, &embedded.to_owned()) else { return };
    let path = section.path(key);
    if value.starts_with(at_scale) {
        section.complain_at(span, format!("`{path}`: `{at_scale}…` is not in this version of octroi; it has \"{embedded}\""));
    } else if value != embedded {
        section.complain_at(span, format!("`{path}`: expected \"{embedded}\""));
    }
}
