use crate::value::settings::{Placed, Section};

/// `[storage]`: what engines keep things. This version has one of each, so there is nothing to
/// remember of it; what it has not is told apart from what there never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings;

impl Settings {
    /// Reads `[storage]`.
    pub fn read(section: &mut Section<'_>) -> Self {
        engine(section, "database", "sqlite", "postgres://");
        engine(section, "blobs", "files", "s3://");
        engine(section, "shared_state", "memory", "redis://");
        Self
    }
}

fn engine(section: &mut Section<'_>, key: &'static str, embedded: &str, at_scale: &str) {
    let Some(Placed { value, span }) = section.take_placed::<String>(key) else { return };
    let path = section.path(key);
    if value.starts_with(at_scale) {
        section.complain_at(span, format!("`{path}`: `{at_scale}…` is not in this version of octroi; it has \"{embedded}\""));
    } else if value != embedded {
        section.complain_at(span, format!("`{path}`: expected \"{embedded}\""));
    }
}
