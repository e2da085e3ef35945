//! Tables, for people (Markdown) and for programs (JSON), from the same cells.

use std::fmt::Write as _;

/// One value of a table.
pub(crate) enum Cell {
    Text(String),
    /// A number and how many decimals people are shown.
    Number(f64, usize),
    Nothing,
}

impl Cell {
    pub(crate) fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    pub(crate) fn number(number: impl Into<Option<f64>>, decimals: usize) -> Self {
        number.into().filter(|number| number.is_finite()).map_or(Self::Nothing, |number| Self::Number(number, decimals))
    }

    fn markdown(&self) -> String {
        match self {
            Self::Text(text) => text.replace('|', "\\|"),
            Self::Number(number, decimals) => format!("{number:.decimals$}"),
            Self::Nothing => "–".to_owned(),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Number(number, _) => number.to_string(),
            Self::Nothing => "null".to_owned(),
        }
    }
}

/// A table with its title.
pub(crate) struct Table {
    pub(crate) title: String,
    /// For each column its key in JSON and its heading.
    pub(crate) columns: Vec<(&'static str, &'static str)>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Table {
    /// As Markdown, with its title in bold.
    pub(crate) fn markdown(&self) -> String {
        let headings: Vec<_> = self.columns.iter().map(|(_, heading)| *heading).collect();
        let mut text = format!("**{}**\n\n| {} |\n|", self.title, headings.join(" | "));
        for column in 0..self.columns.len() {
            let numbers = self.rows.iter().filter_map(|row| row.get(column)).any(|cell| matches!(cell, Cell::Number(..)));
            text.push_str(if numbers { " ---: |" } else { " --- |" });
        }
        text.push('\n');
        for row in &self.rows {
            let cells: Vec<_> = row.iter().map(Cell::markdown).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }

    fn json(&self) -> String {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                let fields = self.columns.iter().zip(row).map(|((key, _), cell)| format!("{}: {}", quoted(key), cell.json()));
                format!("    {{{}}}", fields.collect::<Vec<_>>().join(", "))
            })
            .collect();
        format!("  {{\"title\": {}, \"rows\": [\n{}\n  ]}}", quoted(&self.title), rows.join(",\n"))
    }
}

/// The whole result as one JSON object: `machine` and `troubles` are lists of strings.
pub(crate) fn json(machine: &[String], tables: &[Table], troubles: &[String]) -> String {
    let strings = |list: &[String]| list.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ");
    let tables: Vec<_> = tables.iter().map(Table::json).collect();
    format!(
        "{{\n\"machine\": [{}],\n\"troubles\": [{}],\n\"tables\": [\n{}\n]\n}}",
        strings(machine),
        strings(troubles),
        tables.join(",\n")
    )
}

/// A JSON string (RFC 8259 §7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
