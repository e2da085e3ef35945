//! What is found, for people and for programs.
use super::{
    super::style::{Colour, Out, moment},
    Format, Found,
};
use crate::journal::{Kind, Row, render};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Recipients that a line names.
const NAMED: usize = 3;

pub(super) struct Printer<'a> {
    format: Format,
    out: &'a Out,
    /// All of it, where it is one document.
    collected: Vec<Value>,
    begun: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(format: Format, out: &'a Out) -> Self {
        Self { format, out, collected: Vec::new(), begun: false }
    }

    pub(super) fn print(&mut self, found: &Found) {
        match self.format {
            Format::Text => self.text(found),
            Format::Csv => self.csv(found),
            Format::Json => self.collected.push(json!({
                "indicator": found.indicator.value(),
                "kind": found.indicator.kind().as_str(),
                "more": found.more,
                "rows": found.rows.iter().map(render::json).collect::<Vec<_>>(),
            })),
        }
        self.begun = true;
    }

    pub(super) fn finish(self) {
        if self.format == Format::Json {
            self.out.line(Value::Array(self.collected));
        }
    }

    fn csv(&self, found: &Found) {
        if !self.begun {
            let names = ["indicator", "indicator_kind"].map(str::to_owned).into_iter().chain(render::csv_names());
            self.out.octets(render::csv_line(names).as_bytes());
        }
        for row in &found.rows {
            let indicator = [found.indicator.value(), found.indicator.kind().as_str()].map(str::to_owned);
            self.out.octets(render::csv_line(indicator.into_iter().chain(render::csv_cells(row))).as_bytes());
        }
    }

    fn text(&self, Found { indicator, rows, more }: &Found) {
        let out = self.out;
        if self.begun {
            out.line("");
        }
        let heading = out.paint(Colour::Bold, format_args!("{} ({})", plain(indicator.value()), indicator.described()));
        if rows.is_empty() {
            return out.line(format_args!("{heading}: nothing"));
        }
        let messages = rows.iter().filter(|row| row.kind == Kind::Message).count();
        let at_least = if *more { "at least " } else { "" };
        out.line(format_args!("{heading}: {at_least}{}, {}", count(messages, "message"), count(rows.len() - messages, "other event")));
        for (verdict, recipients) in recipients(rows) {
            let named: Vec<_> = recipients.iter().take(20).map(|recipient| plain(recipient)).collect();
            let others = recipients.len().saturating_sub(named.len());
            let others = if others > 0 { format!(" and {others} more") } else { String::new() };
            out.line(format_args!("  {} {}{others}", out.paint(colour(verdict), format_args!("{verdict:<11}")), named.join(", ")));
        }
        for row in rows {
            self.row(row);
        }
    }

    fn row(&self, row: &Row) {
        let verdict = row.verdict.as_deref().unwrap_or_else(|| row.kind.as_str());
        let verdict = self.out.paint(colour(verdict), format_args!("{verdict:<11}"));
        let mut named = row.recipients.iter().take(NAMED).map(|recipient| plain(recipient)).collect::<Vec<_>>().join(", ");
        if row.nrcpt > NAMED as u64 {
            named += &format!(" and {} more", row.nrcpt - NAMED as u64);
        }
        let sender = row.sender.as_deref().map_or_else(String::new, |sender| format!(" from <{}>", plain(sender)));
        let to = if named.is_empty() { String::new() } else { format!(" to {named}") };
        self.out.line(format_args!("  {}  {verdict} [{}]{sender}{to}", moment(row.at), row.client));
        let mut more = Vec::new();
        more.extend(row.subject.as_deref().map(|subject| format!("subject {:?}", plain(subject))));
        more.extend(row.violations.iter().map(|violation| format!("violation {violation}")));
        more.extend(row.decided_by.as_deref().map(|stage| format!("by {stage}")));
        more.extend(row.message.as_deref().map(|id| format!("id {id}")));
        more.extend(row.queue_id.as_deref().map(|id| format!("queue id {}", plain(id))));
        more.extend(row.reply.as_deref().filter(|_| row.queue_id.is_none()).map(|reply| format!("reply {:?}", plain(reply))));
        if !more.is_empty() {
            self.out.line(format_args!("    {}", self.out.paint(Colour::Dim, more.join(", "))));
        }
    }
}

/// Who got it, and who did not: every address once for each of what became of it.
fn recipients(rows: &[Row]) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut all = BTreeMap::<_, BTreeSet<_>>::new();
    for row in rows {
        if let Some(verdict) = row.verdict.as_deref().filter(|_| !row.recipients.is_empty()) {
            all.entry(verdict).or_default().extend(row.recipients.iter().map(String::as_str));
        }
    }
    all
}

fn colour(verdict: &str) -> Colour {
    match verdict {
        "delivered" => Colour::Red,
        "quarantined" | "deferred" => Colour::Yellow,
        "rejected" | "discarded" => Colour::Green,
        _ => Colour::Dim,
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Rows are on one line each and without what moves a cursor; direction marks are left to go.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect()
}
