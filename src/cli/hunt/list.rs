//! The indicators that are asked for.
use super::{
    super::{Failure, style},
    Arguments,
};
use crate::journal::{Indicator, IndicatorKind};
use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// Octets of a list.
const LARGEST: u64 = 32 << 20;
/// What the first column of a list is called in lists that say so.
const HEADINGS: [&str; 9] = ["indicator", "indicators", "ioc", "value", "url", "domain", "ip", "sha256", "email"];

/// All of them, each once, in their order. One of a list that is none is told of and left out.
pub(super) fn read(arguments: &Arguments) -> Result<Vec<Indicator>, Failure> {
    let one = |text: &str| match arguments.kind {
        Some(kind) => Indicator::of(kind, text),
        None => Indicator::recognise(text),
    };
    let mut found = Vec::new();
    for text in &arguments.indicators {
        found.push(one(text).map_err(|error| Failure::of(text, error))?);
    }
    if let Some(path) = &arguments.list {
        let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let text = whole(path)?;
        for (n, line) in text.lines().enumerate() {
            let Some(text) = entry(line, is_csv) else { continue };
            if n == 0 && HEADINGS.iter().any(|heading| text.eq_ignore_ascii_case(heading)) {
                continue;
            }
            match one(&text) {
                Ok(indicator) => found.push(indicator),
                Err(error) => style::complain(&format!("{}:{}: {text}: {error}", path.display(), n + 1)),
            }
        }
    }
    let mut known = HashSet::new();
    found.retain(|indicator| known.insert(indicator.clone()));
    if found.is_empty() { Err(Failure("there is nothing to look for".to_owned())) } else { Ok(found) }
}

fn whole(path: &Path) -> Result<String, Failure> {
    let named = |error: io::Error| Failure::of(path.display(), error);
    let source: Box<dyn Read> = if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(named)?) };
    let mut octets = Vec::new();
    source.take(LARGEST + 1).read_to_end(&mut octets).map_err(named)?;
    if octets.len() as u64 > LARGEST {
        return Err(named(io::Error::other("too large for a list of indicators")));
    }
    let text = String::from_utf8_lossy(&octets);
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// What a line says. Of one that is no CSV for certain, the first column is taken where that is
/// something by itself; a subject may have a comma.
fn entry(line: &str, is_csv: bool) -> Option<String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let first = first_cell(line);
    let is_something =
        |text: &str| Indicator::recognise(text).is_ok_and(|found| !matches!(found.kind(), IndicatorKind::Subject | IndicatorKind::File));
    if is_csv || line.starts_with('"') || is_something(&first) {
        return Some(first).filter(|first| !first.is_empty());
    }
    // A comment behind it; a `#` inside a URL has no blank before it.
    let text = line.split_once(" #").map_or(line, |(before, _)| before.trim());
    Some(text.to_owned())
}

/// RFC 4180, with `;` and tabs as well.
fn first_cell(line: &str) -> String {
    if let Some(quoted) = line.strip_prefix('"') {
        let mut cell = String::new();
        let mut chars = quoted.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => break,
                c => cell.push(c),
            }
        }
        return cell.trim().to_owned();
    }
    let line = line.split_once(" #").map_or(line, |(before, _)| before);
    line.split([',', ';', '\t']).next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_sorts_of_lists_are_read() {
        for (line, is_csv, expected) in [
            ("evil.example", false, Some("evil.example")),
            ("  192.0.2.1 , seen twice", false, Some("192.0.2.1")),
            ("evil.example # c2", false, Some("evil.example")),
            ("hxxp://evil.example/#x", false, Some("hxxp://evil.example/#x")),
            ("\"Invoice, \"\"urgent\"\"\",high", false, Some("Invoice, \"urgent\"")),
            ("Invoice, urgent", false, Some("Invoice, urgent")),
            ("Invoice, urgent", true, Some("Invoice")),
            ("a@evil.example;phish", false, Some("a@evil.example")),
            ("# a comment", false, None),
            ("   ", false, None),
            (",x", true, None),
        ] {
            assert_eq!(entry(line, is_csv).as_deref(), expected, "{line}");
        }
    }
}
