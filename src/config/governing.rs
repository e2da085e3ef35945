//! The settings that decide what is kept and who may decide, for the audit.
use super::{Config, explain::Explained};
use serde_json::{Map, Value};
use std::path::Path;

/// The tables they stand in, with all below.
const TABLES: [&str; 2] = ["console", "quarantine"];

impl Config {
    /// What `[quarantine]` and `[console]` say, as it would be written, defaults too; by its names, as
    /// `quarantine.malware.keep`.
    #[must_use]
    pub fn governing(&self) -> Map<String, Value> {
        let is_of =
            |path: &str| TABLES.iter().any(|table| path.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
        let explained = Explained { path: Path::new(""), config: self };
        let tables = self.asked.iter().filter(|table| is_of(&table.path));
        let values = tables.flat_map(|table| explained.values(table).map(|(name, value)| (format!("{}.{name}", table.path), value.into())));
        values.collect()
    }
}
