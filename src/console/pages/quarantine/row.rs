//! An entry as lists show it.
use crate::console::{Frame, Language, moment};
use crate::preview::visible;
use crate::quarantine::{Entry, Quarantine};
use serde_json::Value;
use std::time::SystemTime;

/// What a list shows of an entry.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub id: String,
    pub url: String,
    pub held_at: String,
    /// The author that a reader sees, or where there is none the sender.
    pub from: String,
    pub sender: String,
    /// The author is of another domain than the sender.
    pub differs: bool,
    pub to: String,
    /// Recipients beyond that.
    pub more: usize,
    pub subject: Option<String>,
    pub class: String,
    pub reason: String,
    /// `requested` where somebody asks for its release.
    pub state: String,
    pub legal_hold: bool,
    pub score: Option<String>,
    pub attachments: bool,
    pub size: String,
    /// The day it goes.
    pub expires: Option<String>,
    pub assigned: Option<String>,
}

impl Row {
    pub(super) fn of(entry: &Entry, asked: bool, quarantine: &Quarantine, url: String, language: Language) -> Self {
        let findings = findings(entry);
        let author = entry.header_from.as_deref().map(visible);
        let expires = (!entry.legal_hold).then(|| quarantine.expires(entry)).flatten();
        Self {
            id: entry.id.clone(),
            url,
            held_at: minute(entry.stored_at),
            sender: if entry.sender.is_empty() { "<>".to_owned() } else { visible(&entry.sender) },
            differs: differs(entry),
            from: author.unwrap_or_else(|| visible(&entry.sender)),
            to: entry.recipients.first().map_or_else(String::new, |recipient| visible(&recipient.address)),
            more: (entry.recipients.len() + entry.hidden).saturating_sub(1),
            subject: entry.subject.as_deref().map(visible).filter(|subject| !subject.trim().is_empty()),
            class: entry.class.clone(),
            reason: visible(&reason(entry, language)),
            state: if asked { "requested".to_owned() } else { entry.state.as_str().to_owned() },
            legal_hold: entry.legal_hold,
            score: score(&findings).map(|score| language.decimal(score, 1)),
            attachments: findings.iter().any(|(name, value)| name == "attachments.count" && value.as_i64().is_some_and(|count| count > 0)),
            size: language.octets(entry.size),
            expires: expires.map(|at| moment(&at).chars().take(10).collect()),
            assigned: entry.assigned.clone(),
        }
    }
}

/// Why it is held, in the words of who decided; where those are but his name, that.
fn reason(entry: &Entry, language: Language) -> String {
    match entry.decided_by.as_deref() {
        Some(by) if by == entry.reason => language.decider(by),
        _ => entry.reason.clone(),
    }
}

/// Names and values of what the stages found.
pub(super) fn findings(entry: &Entry) -> Vec<(String, Value)> {
    let all: Vec<Value> = serde_json::from_str(&entry.findings).unwrap_or_default();
    let one = |finding: Value| Some((finding.get("name")?.as_str()?.to_owned(), finding.get("value")?.clone()));
    all.into_iter().filter_map(one).collect()
}

/// What a filter for spam gives it.
fn score(findings: &[(String, Value)]) -> Option<f64> {
    let of = |wanted: &str| findings.iter().find(|(name, _)| name == wanted).and_then(|(_, value)| value.as_f64());
    of("rspamd.score").or_else(|| of("spamd.score")).or_else(|| of("exec.score"))
}

/// Whether the author that readers see is of another domain than the envelope's sender.
pub(super) fn differs(entry: &Entry) -> bool {
    let domain =
        |address: &str| address.trim().rsplit_once('@').map(|(_, domain)| domain.trim_end_matches(['>', ' ', '.']).to_ascii_lowercase());
    let Some(from) = &entry.header_from else { return false };
    // The last address in it is what readers follow; what stands before may be a name that looks like one.
    let address = from.rsplit_once('<').map_or(from.as_str(), |(_, rest)| rest.split('>').next().unwrap_or_default());
    match (domain(address), domain(&entry.sender)) {
        (Some(author), Some(sender)) => author != sender,
        _ => false,
    }
}

/// `2026-11-26 02:22`, UTC.
pub(super) fn minute(at: SystemTime) -> String {
    moment(&at).chars().take(16).collect()
}

/// What stands in a badge, and its colour.
pub(super) fn class_colour(class: &str) -> &'static str {
    match class {
        "malware" | "phishing" => "bad",
        "spam" | "policy" => "warning",
        _ => "",
    }
}

/// The same for states.
pub(super) fn state_colour(state: &str) -> &'static str {
    match state {
        "held" => "accent",
        "requested" => "warning",
        "released" => "good",
        "lost" => "bad",
        _ => "",
    }
}

impl Row {
    pub(super) fn class_colour(&self) -> &'static str {
        class_colour(&self.class)
    }
    pub(super) fn state_colour(&self) -> &'static str {
        state_colour(&self.state)
    }
    /// The subject, or that there is none.
    pub(super) fn title(&self, frame: &Frame) -> String {
        self.subject.clone().unwrap_or_else(|| frame.t("quarantine.no_subject").to_owned())
    }
}
