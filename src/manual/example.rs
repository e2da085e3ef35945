//! Refuses messages by words in their subject.
//!
//! ```toml
//! [[stage]]
//! name  = "words"
//! type  = "subjects"
//! words = ["lottery", "inheritance"]
//! ```
use crate::{
    chain::{Finding, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    message::{Client, Message},
    smtp::Refusal,
    stages::{Documented, Kind, Surroundings},
    value::settings::Section,
};
use async_trait::async_trait;
use std::sync::Arc;

/// The row of the table.
pub(super) const KIND: Kind = Kind {
    name: "subjects",
    summary: "refuses messages by words in their subject",
    settings: &[Documented { name: "words", meaning: "words of which none may stand in a subject, in any case" }],
    findings: &[Known::new("subjects.word", Type::Text, "the first of the words that stands in the subject")],
    build,
};

/// What is configured, shared by all sessions.
struct Subjects {
    words: Vec<String>,
}

fn build(section: &mut Section<'_>, _: &Surroundings) -> Option<Box<dyn Stage>> {
    // What is missing or wrong is reported with its place by whoever reads it.
    let words: Vec<String> = section.require_list("words")?;
    let words = words.into_iter().map(|word| word.to_lowercase()).collect();
    Some(Box::new(Arc::new(Subjects { words })))
}

#[async_trait]
impl Stage for Arc<Subjects> {
    /// It is not woken up for anything else.
    fn wants(&self) -> Wants {
        Wants::END_OF_MESSAGE
    }
    /// Identical messages under way share its answer.
    fn reads_content_only(&self) -> bool {
        true
    }
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Watching(Self::clone(self))))
    }
}

/// One session under its eyes. It remembers nothing from one event to the next.
struct Watching(Arc<Subjects>);

#[async_trait]
impl Inspection for Watching {
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let mut report = Report::default();
        for field in message.headers.all("Subject") {
            let subject = String::from_utf8_lossy(field.value).to_lowercase();
            if let Some(word) = self.0.words.iter().find(|word| subject.contains(word.as_str())) {
                report.findings.push(Finding::text("subjects.word", word.as_str()));
                report.verdict = Verdict::Refuse(Refusal::permanent(50, "7.1", "refused by its subject"));
                break;
            }
        }
        Ok(report)
    }
}
