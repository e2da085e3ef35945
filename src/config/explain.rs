//! What is in effect, and where each of it comes from: the file, or a default.
use super::Config;
use crate::value::settings::asked::{Key, Shape, Table};
use std::{fmt, ops::Range, path::Path};

/// Characters of a value that are shown.
const WIDTH: usize = 100;
/// Where origins begin, if what stands before them is not longer.
const COLUMN: usize = 56;

/// The settings of a configuration with their origins, as `octroi check --explain` shows them.
pub struct Explained<'a> {
    /// As it was named on the command line.
    pub path: &'a Path,
    pub config: &'a Config,
}

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for table in &self.config.asked {
            let keys: Vec<&Key> = table.keys.iter().filter(|key| is_value(key)).collect();
            if keys.is_empty() {
                continue;
            }
            if !std::mem::take(&mut first) {
                writeln!(f)?;
            }
            if let Some(heading) = self.heading(table) {
                writeln!(f, "{heading}")?;
            }
            for key in keys {
                let (value, origin) = self.value(key);
                let text = format!("{} = {value}", key.name);
                writeln!(f, "{text:<COLUMN$}  {origin}")?;
            }
        }
        Ok(())
    }
}

/// Tables have lines of their own; one that may be either is shown where it is a value.
fn is_value(key: &Key) -> bool {
    !matches!(key.shape, Shape::Table | Shape::Tables | Shape::Named) && (key.shape != Shape::Any || key.span.is_some())
}

impl Explained<'_> {
    /// The names and values of a table.
    pub(super) fn values<'t>(&self, table: &'t Table) -> impl Iterator<Item = (&'t str, String)> {
        table.keys.iter().filter(|key| is_value(key)).map(|key| (key.name, self.value(key).0))
    }

    fn heading(&self, table: &Table) -> Option<String> {
        let (parent, key) = table.parent?;
        let shape = self.config.asked.get(parent)?.keys.iter().find(|own| own.name == key).map(|key| &key.shape);
        let many = shape == Some(&Shape::Tables);
        Some(if many { format!("[[{}]]", table.path) } else { format!("[{}]", table.path) })
    }

    fn value(&self, key: &Key) -> (String, String) {
        match (&key.span, &key.default) {
            (Some(span), _) => {
                let text = self.config.source.get(span.clone()).unwrap_or_default();
                // One that is written in the configuration is for nobody's eyes; where it stands is.
                let shown = if key.shape == Shape::Secret && !text.starts_with('{') { "(secret)".to_owned() } else { one_line(text) };
                (shown, format!("{}:{}", self.path.display(), self.line(span)))
            }
            (None, default) => {
                let words = key.otherwise.as_ref().map(|words| format!("({words})"));
                // Whole: unlike what is in the file, it can be read nowhere else.
                let value = words.or_else(|| default.clone()).unwrap_or_else(|| "(not set)".to_owned());
                (value, "default".to_owned())
            }
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let source = &self.config.source;
        source.get(..source.floor_char_boundary(span.start)).unwrap_or_default().matches('\n').count() + 1
    }
}

fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= WIDTH {
        return line;
    }
    let cut: String = line.chars().take(WIDTH).collect();
    format!("{cut} …")
}
