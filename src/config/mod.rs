//! The configuration: every module reads its own part, and all mistakes come at once.
//!
//! `deploy/octroi.toml` documents every key; a test holds the two together.

mod explain;
mod governing;
mod places;
mod report;
mod schema;
#[cfg(test)]
mod tests;
mod warnings;

pub use explain::Explained;
pub use report::Report;
pub use schema::schema;

use crate::chain::{self, Chain, Vocabulary};
use crate::value::ByteSize;
use crate::value::settings::{Problem, Problems, Section, asked::Table};

use crate::{console, dns, gate, journal, quarantine, stages, stages::Surroundings, storage, telemetry, upstream};
use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    string::FromUtf8Error,
    time::Duration,
};
use toml::de::DeTable;

/// Everything a configuration says, checked as far as that goes without asking anybody else.
pub struct Config {
    pub gate: gate::Setup,
    pub metrics: telemetry::http::Settings,
    pub console: console::Settings,
    pub log: telemetry::log::Settings,
    pub traces: telemetry::traces::Settings,
    /// The text it was read from.
    pub source: String,
    /// What was asked of it.
    pub asked: Vec<Table>,
}

/// More is no configuration; somebody has named the wrong file.
const LARGEST: u64 = 4 << 20;

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Report> {
        let unreadable = |error| Report::unreadable(path.to_owned(), error);
        let mut octets = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(LARGEST + 1).read_to_end(&mut octets).map_err(unreadable)?;
        if octets.len() as u64 > LARGEST {
            return Err(unreadable(io::Error::other(format!("too large for a configuration: more than {}", ByteSize(LARGEST)))));
        }
        let text = String::from_utf8(octets).map_err(|error| not_text(path, &error))?;
        Self::parse(path, text)
    }

    /// Reads `text`, which is called `path` in what is said of it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(path: &Path, text: String) -> Result<Self, Report> {
        let (table, syntax) = DeTable::parse_recoverable(&text);
        let problems = Problems::default();
        let mut config = Self::read(&mut Section::root(&table, problems.clone()));
        let asked = problems.tables();
        let mut read = problems.take();
        read.extend(places::conflicts(&config, &asked, &text));
        let problems = merge(syntax.iter().map(|error| syntax_problem(error, &text)).collect(), read, &text);
        if !problems.is_empty() {
            return Err(Report::new(path.to_owned(), text, problems));
        }
        config.source = text;
        config.asked = asked;
        Ok(config)
    }

    fn read(root: &mut Section<'_>) -> Self {
        let settings = gate::settings::Settings::read(root);
        let (upstreams, routes) = upstream::settings::read(root);
        let dns = dns::Resolver::new(&dns::Settings::read(&mut root.section("dns")));
        let listeners = settings.listeners.iter().map(|listener| Box::from(&*listener.name)).collect();
        let surroundings = Surroundings { hostname: settings.hostname.as_ref().into(), dns, listeners, timeout: Duration::from_secs(10) };
        let configured = stages::read(root, &surroundings);
        let of = |kind: &stages::Kind| configured.iter().any(|stage| stage.kind == kind.name);
        let (present, absent): (Vec<_>, Vec<_>) = stages::KINDS.iter().partition(|kind| of(kind));
        let findings = |kinds: &[&stages::Kind]| kinds.iter().flat_map(|kind| kind.findings).copied().collect::<Vec<_>>();
        let vocabulary = Vocabulary::of_message(findings(&present), findings(&absent));
        let rules = chain::rules::read(root, vocabulary, &surroundings.listeners);
        let chain = Chain::new(configured, settings.timeouts.message).with_rules(rules);
        let storage = storage::Settings::read(&mut root.section("storage"));
        let quarantine = quarantine::Settings::read(&mut root.section("quarantine"));
        let journal = journal::Settings::read(&mut root.section("journal"));
        let gate = gate::Setup { settings, chain, upstreams, routes, storage, quarantine, journal };
        let metrics = telemetry::http::Settings::read(&mut root.section("metrics"));
        let console = console::Settings::read(&mut root.section("console"), &gate.settings);
        let log = telemetry::log::Settings::read(&mut root.section("log"));
        let traces = telemetry::traces::Settings::read(&mut root.section("traces"));
        Self { gate, metrics, console, log, traces, source: String::new(), asked: Vec::new() }
    }
}

/// Where a file is no text, and what it is instead.
fn not_text(path: &Path, error: &FromUtf8Error) -> Report {
    let (octets, at) = (error.as_bytes(), error.utf8_error().valid_up_to());
    if octets.starts_with(&[0xff, 0xfe]) || octets.starts_with(&[0xfe, 0xff]) {
        return Report::unreadable(path.to_owned(), io::Error::other("UTF-16, and not UTF-8 text: save it as UTF-8"));
    }
    let octet = octets.get(at).copied().unwrap_or_default();
    let text = format!("not UTF-8 text: the octet 0x{octet:02X}; save the file as UTF-8");
    // What comes before is the same in both.
    Report::new(path.to_owned(), String::from_utf8_lossy(octets).into_owned(), vec![Problem { span: at..at + 1, text }])
}

/// What TOML itself says.
fn syntax_problem(error: &toml::de::Error, text: &str) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let mut message = error.message().to_owned();
    if message.starts_with("duplicate key") && text.get(span.clone()).is_some_and(|key| key.contains("certificate")) {
        message += "; write several certificates as `[[tls.certificate]]` tables, the default first, and none in `[tls]` itself";
    }
    if message.starts_with("invalid ")
        && !message.contains("in quotes")
        && let Some(word) = bare_word(text, span.start)
    {
        message += &format!("; a text is written in quotes: \"{word}\"");
    }
    Problem { span, text: message }
}

/// The value without quotes at `at`, where that would not be a number, a date or a flag.
fn bare_word(text: &str, at: usize) -> Option<&str> {
    let ends = |c: char| c.is_whitespace() || "=,[]{}\"'#".contains(c);
    let (before, after) = text.split_at(text.floor_char_boundary(at));
    let from = before.rfind(ends).map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
    let to = after.find(ends).map_or(text.len(), |end| before.len() + end);
    let is_value = text.get(..from)?.trim_end().ends_with(['=', ',', '[']);
    text.get(from..to).filter(|word| is_value && word.chars().any(char::is_alphanumeric))
}

/// Only the first syntax error of a line is told, the others are its echoes; and so is what such a
/// line seems to say, and what seems to be missing because of it.
fn merge(mut syntax: Vec<Problem>, mut read: Vec<Problem>, text: &str) -> Vec<Problem> {
    if !syntax.is_empty() {
        let line = |at: usize| text.get(..text.floor_char_boundary(at)).unwrap_or_default().matches('\n').count();
        syntax.sort_by_key(|problem| problem.span.start);
        syntax.dedup_by_key(|problem| line(problem.span.start));
        read.retain(|problem| {
            let damaged = |error: &Problem| (line(error.span.start)..=line(error.span.end)).contains(&line(problem.span.start));
            !problem.text.contains(" is missing") && !syntax.iter().any(damaged)
        });
    }
    let mut all = syntax;
    all.append(&mut read);
    all.sort_by_key(|problem| problem.span.start);
    all
}
