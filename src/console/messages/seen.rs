//! A row as somebody sees it: recipients of others' domains are counted and not named.
use crate::accounts::Scope;
use crate::console::{Frame, moment};
use crate::journal::{Kind, Row};

pub(in crate::console) struct Seen {
    pub row: Row,
    /// Those he may see.
    pub recipients: Vec<String>,
    /// And how many there are besides.
    pub more: u64,
}

/// One step of a message's way.
pub(in crate::console) struct Step {
    /// `step.NAME` is its text; a stage's own name where it is one.
    pub name: String,
    pub is_stage: bool,
    pub seconds: f64,
    /// Where its bar begins and how long it is, in thousandths of the whole.
    pub from: u32,
    pub length: u32,
    /// `pass`, `refuse` … of a stage.
    pub result: String,
    pub incomplete: Option<String>,
}

impl Seen {
    pub(in crate::console) fn new(row: Row, scope: &Scope) -> Self {
        let is_seen = |address: &&String| *scope == Scope::Everybody || scope.covers(address);
        let recipients: Vec<_> = row.recipients.iter().filter(is_seen).cloned().collect();
        let more = row.nrcpt.max(row.recipients.len() as u64).saturating_sub(recipients.len() as u64);
        Self { row, recipients, more }
    }

    /// Recipients besides the first that is shown.
    pub(in crate::console) fn others(&self) -> u64 {
        (self.recipients.len() as u64 + self.more).saturating_sub(1)
    }

    pub(in crate::console) fn at(&self) -> String {
        moment(&self.row.at)
    }

    /// The row with nothing in it that is not for him.
    pub(in crate::console) fn into_row(self) -> Row {
        Row { recipients: self.recipients, ..self.row }
    }

    /// What the client did that no mail client does.
    pub(in crate::console) fn violations(&self) -> String {
        if self.row.violations.is_empty() { "–".to_owned() } else { self.row.violations.join(", ") }
    }

    /// What became of it, as a key of `verdict.…`.
    pub(in crate::console) fn fate(&self) -> &str {
        match (self.row.kind, self.row.verdict.as_deref()) {
            (Kind::Violation, _) => "violation",
            (Kind::Connection, _) => "turned_away",
            (_, Some(verdict)) => verdict,
            (_, None) => "lost",
        }
    }

    /// Good, to be looked at, bad: for the badge's colour.
    pub(in crate::console) fn tone(&self) -> &'static str {
        match self.fate() {
            "delivered" if self.row.details.unfinished => "warning",
            "delivered" => "good",
            "quarantined" | "deferred" => "warning",
            "rejected" | "violation" => "bad",
            _ => "neutral",
        }
    }

    /// Whether the author that people see is another than the one servers see.
    pub(in crate::console) fn differs(&self) -> bool {
        match (&self.row.header_from, &self.row.sender) {
            (Some(from), Some(sender)) if !sender.is_empty() => !from.to_lowercase().contains(&sender.to_lowercase()),
            _ => false,
        }
    }

    /// The way of the message, in order, with where its time went.
    pub(in crate::console) fn steps(&self) -> Vec<Step> {
        let Some(delays) = self.row.details.delays else { return Vec::new() };
        let total = delays.total.max(0.000_001);
        let step = |name: &str, from: f64, seconds: f64| Step {
            name: name.to_owned(),
            is_stage: false,
            seconds,
            from: share(from / total),
            length: share(seconds / total),
            result: String::new(),
            incomplete: None,
        };
        let mut steps = vec![step("receive", 0.0, delays.receive)];
        let chain_begins = delays.receive;
        // A stage works while the message arrives too: its time is shown from where the chain's end
        // says it was done, as far back as it took.
        let chain_ends = chain_begins + delays.chain;
        for stage in &self.row.details.stages {
            steps.push(Step {
                name: stage.stage.clone(),
                is_stage: true,
                seconds: stage.seconds,
                from: share((chain_ends - stage.seconds).max(0.0) / total),
                length: share(stage.seconds / total),
                result: stage.result.clone().into_owned(),
                incomplete: stage.incomplete.clone().map(std::borrow::Cow::into_owned),
            });
        }
        let last = if self.row.verdict.as_deref() == Some("delivered") { "deliver" } else { "answer" };
        steps.push(step(last, chain_ends, delays.deliver));
        steps
    }
}

impl Step {
    /// For people.
    pub(in crate::console) fn took(&self, frame: &Frame) -> String {
        frame.language.seconds(self.seconds)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
fn share(part: f64) -> u32 {
    (part.clamp(0.0, 1.0) * 1000.0).round() as u32
}
