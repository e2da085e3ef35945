//! Rows for other programs, and for those of people who open them there.
use super::row::{Attachment, Row};
use crate::value::rfc3339;
use serde_json::{Value, json};

/// A column of a file of rows , and the cell of a row in it.
type Column = (&'static str, fn(&Row) -> String);

const COLUMNS: [Column; 31] = [
    ("time", |row| rfc3339(row.at)),
    ("kind", |row| row.kind.as_str().to_owned()),
    ("phase", |row| text(row.phase.as_deref())),
    ("verdict", |row| text(row.verdict.as_deref())),
    ("decided_by", |row| text(row.decided_by.as_deref())),
    ("listener", |row| row.listener.clone()),
    ("client", |row| row.client.clone()),
    ("port", |row| row.port.to_string()),
    ("helo", |row| text(row.helo.as_deref())),
    ("tls", |row| row.details.tls.as_ref().map(|tls| tls.version.clone()).unwrap_or_default()),
    ("account", |row| text(row.account.as_deref())),
    ("sender", |row| text(row.sender.as_deref())),
    ("recipients", |row| row.recipients.join(" ")),
    ("nrcpt", |row| row.nrcpt.to_string()),
    ("from", |row| text(row.header_from.as_deref())),
    ("subject", |row| text(row.subject.as_deref())),
    ("message_id", |row| text(row.message_id.as_deref())),
    ("size", |row| row.size.to_string()),
    ("violations", |row| row.violations.join(" ")),
    ("findings", |row| joined(row.details.findings.iter().map(|found| format!("{}={}", found.name, found.text())))),
    ("stages", |row| joined(row.details.stages.iter().map(|stage| format!("{}={}", stage.stage, stage.seconds)))),
    ("upstream", |row| text(row.upstream.as_deref())),
    ("queue_id", |row| text(row.queue_id.as_deref())),
    ("reply", |row| text(row.reply.as_deref())),
    ("error", |row| text(row.error.as_deref())),
    ("attachments", |row| joined(row.details.attachments.iter().map(path))),
    ("sha256", |row| joined(row.details.attachments.iter().filter_map(|attachment| attachment.sha256.clone()))),
    ("hosts", |row| row.details.hosts.join(" ")),
    ("delay", |row| row.details.delays.map(|delays| delays.total.to_string()).unwrap_or_default()),
    ("id", |row| text(row.message.as_deref())),
    ("session", |row| text(row.session.as_deref())),
];

/// The names of the columns of a CSV file of rows: its first line.
#[must_use]
pub fn csv_names() -> Vec<String> {
    COLUMNS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// The cells of a row's line in it.
#[must_use]
pub fn csv_cells(row: &Row) -> Vec<String> {
    COLUMNS.iter().map(|(_, cell)| cell(row)).collect()
}

/// A line of a CSV file (RFC 4180), with its CRLF. What a spreadsheet would take for a formula, whoever wrote
/// it, has an apostrophe in front.
pub fn csv_line(cells: impl IntoIterator<Item = String>) -> String {
    let mut line = String::new();
    for (n, cell) in cells.into_iter().enumerate() {
        if n > 0 {
            line.push(',');
        }
        let is_formula = cell.trim_start().starts_with(['=', '+', '-', '@', '|', '%']) || cell.starts_with(['\t', '\r', '\n']);
        let cell = if is_formula { format!("'{cell}") } else { cell };
        if cell.contains(['"', ',', '\r', '\n', ';', '\'']) {
            line.push('"');
            line.push_str(&cell.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(&cell);
        }
    }
    line.push_str("\r\n");
    line
}

/// A row as JSON, with all there is. What it does not have is `null`.
#[must_use]
pub fn json(row: &Row) -> Value {
    let mut value = json!({
        "key": row.key,
        "time": rfc3339(row.at),
        "kind": row.kind.as_str(),
        "phase": row.phase,
        "listener": row.listener,
        "session": row.session,
        "id": row.message,
        "client": row.client,
        "port": row.port,
        "helo": row.helo,
        "account": row.account,
        "sender": row.sender,
        "recipients": row.recipients,
        "nrcpt": row.nrcpt,
        "from": row.header_from,
        "subject": row.subject,
        "message_id": row.message_id,
        "size": row.size,
        "verdict": row.verdict,
        "decided_by": row.decided_by,
        "violations": row.violations,
        "upstream": row.upstream,
        "reply": row.reply,
        "queue_id": row.queue_id,
        "error": row.error,
    });
    if let (Some(all), Ok(Value::Object(details))) = (value.as_object_mut(), serde_json::to_value(&row.details)) {
        all.extend(details);
    }
    value
}

/// `invoice.zip/a.js`: the name of a file, with those of what it is in.
#[must_use]
pub fn path(attachment: &Attachment) -> String {
    let name = attachment.names.first().map(String::as_str).unwrap_or_default();
    attachment.within.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("/")
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_are_quoted_and_no_formula_is_one() {
        let cells = ["a", "b,c", "say \"x\"", "=HYPERLINK(\"http://evil.example\")", " @SUM(1)", "-1+1", "+49", "two\r\nlines", ""];
        assert_eq!(
            csv_line(cells.map(str::to_owned)),
            "a,\"b,c\",\"say \"\"x\"\"\",\"'=HYPERLINK(\"\"http://evil.example\"\")\",\"' @SUM(1)\",\"'-1+1\",\"'+49\",\"two\r\nlines\",\r\n"
        );
    }

    /// A reader of RFC 4180.
    fn read(line: &str) -> Vec<String> {
        let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = line.strip_suffix("\r\n").unwrap().chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(std::mem::take(&mut cell)),
                c => cell.push(c),
            }
        }
        cells.push(cell);
        cells
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(cells in prop::collection::vec("\\PC{0,12}|[=+@\",;\r\n\t -]{0,6}", 1..6)) {
            let found = read(&csv_line(cells.clone()));
            prop_assert_eq!(found.len(), cells.len());
            for (found, cell) in found.iter().zip(&cells) {
                prop_assert!(found == cell || found.strip_prefix('\'') == Some(cell.as_str()));
                prop_assert!(!found.starts_with(['=', '+', '-', '@', '\t']));
            }
        }
    }
}
