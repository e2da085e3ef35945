//! Mistakes of a configuration, shown where they are.
use crate::value::settings::Problem;
use std::{fmt, io, ops::Range, path::PathBuf};

/// Everything that is wrong with a configuration. Printed, each mistake has its place, its line and
/// a mark below what is meant:
///
/// ```text
/// octroi.toml:7:9: `listener.tls`: `startls` is none of "off", "starttls", "implicit"
///   7 | tls   = "startls"
///     |         ^^^^^^^^^
/// 1 mistake in octroi.toml
/// ```
#[derive(Debug)]
pub struct Report {
    /// As it was named on the command line.
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    Unreadable(io::Error),
    Problems { source: String, problems: Vec<Problem> },
}

/// Longer lines are shown in part.
const WIDTH: usize = 100;

impl Report {
    pub(super) fn unreadable(path: PathBuf, error: io::Error) -> Self {
        Self { path, fault: Fault::Unreadable(error) }
    }

    pub(super) fn new(path: PathBuf, source: String, problems: Vec<Problem>) -> Self {
        Self { path, fault: Fault::Problems { source, problems } }
    }

    /// How many mistakes there are.
    #[must_use]
    pub fn mistakes(&self) -> usize {
        match &self.fault {
            Fault::Unreadable(_) => 1,
            Fault::Problems { problems, .. } => problems.len(),
        }
    }
}

impl std::error::Error for Report {}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.fault {
            Fault::Unreadable(error) => write!(f, "{path}: {error}"),
            Fault::Problems { source, problems } => {
                for Problem { span, text } in problems {
                    let place = Place::of(source, span);
                    writeln!(f, "{path}:{}:{}: {text}", place.line, place.column)?;
                    place.show(f)?;
                }
                let mistakes = if problems.len() == 1 { "mistake" } else { "mistakes" };
                write!(f, "{} {mistakes} in {path}", problems.len())
            }
        }
    }
}

/// A place as people count: lines and columns from 1, columns in characters.
struct Place<'a> {
    line: usize,
    column: usize,
    /// The line, without its end.
    text: &'a str,
    /// Characters to mark.
    width: usize,
}

impl<'a> Place<'a> {
    fn of(source: &'a str, span: &Range<usize>) -> Self {
        let start = source.floor_char_boundary(span.start);
        let (before, after) = source.split_at(start);
        let line = before.matches('\n').count() + 1;
        let from = before.rfind('\n').map_or(0, |at| at + 1);
        let to = after.find('\n').map_or(source.len(), |at| start + at);
        let text = source.get(from..to).unwrap_or_default();
        let marked = source.get(start..source.floor_char_boundary(span.end).clamp(start, to)).unwrap_or_default();
        let column = source.get(from..start).unwrap_or_default().chars().count() + 1;
        Self { line, column, text: text.trim_end_matches('\r'), width: marked.trim_end().chars().count().max(1) }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A long line is cut on its left so far that the mark stands within the width.
        let skipped = (self.column + self.width.min(WIDTH / 2)).saturating_sub(WIDTH);
        let shown: String = self.text.chars().skip(skipped).take(WIDTH).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let number = self.line.to_string();
        let margin = number.len() + 2;
        let mark = "^".repeat(self.width.min(WIDTH));
        writeln!(f, "{number:>margin$} | {shown}")?;
        writeln!(f, "{:margin$} | {:indent$}{mark}", "", "", indent = self.column - 1 - skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, marked: &str, text: &str) -> String {
        let start = source.find(marked).unwrap();
        let problem = Problem { span: start..start + marked.len(), text: text.into() };
        Report::new("octroi.toml".into(), source.into(), vec![problem]).to_string()
    }

    #[test]
    fn the_mark_stands_below_what_is_meant() {
        assert_eq!(
            shown("a = 1\r\n\tnäme = \"x\"  # why\r\nb = 2\r\n", "\"x\"", "wrong"),
            "octroi.toml:2:9: wrong\n  2 |  näme = \"x\"  # why\n    |         ^^^\n1 mistake in octroi.toml"
        );
    }

    #[test]
    fn places_beyond_the_text_and_long_lines_are_shown_too() {
        let nowhere = Report::new("f".into(), "ü".into(), vec![Problem { span: 9..12, text: "wrong".into() }]);
        assert_eq!(nowhere.to_string(), "f:1:2: wrong\n  1 | ü\n    |  ^\n1 mistake in f");
        let long = format!("key = [{}\"bad\"]", "\"word\", ".repeat(1000));
        let report = shown(&long, "\"bad\"", "wrong");
        let lines: Vec<_> = report.lines().collect();
        assert!(lines[1].ends_with("\"bad\"]") && lines[2].ends_with("^^^^^"), "{report}");
        assert_eq!(lines[1].chars().count(), lines[2].chars().count() + 1);
        let several = shown("a = [\n1,\n]", "[\n1,\n]", "wrong");
        assert!(several.contains("  1 | a = [\n    |     ^\n"), "{several}");
    }
}
