//! ClamAV's daemon: every message is streamed to it while it arrives.
//!
//! ```toml
//! [[stage]]
//! name    = "clamav"
//! type    = "clamd"
//! address = "unix:/run/clamav/clamd.ctl"
//! found   = "reject"
//! ```
//!
//! The daemon gets the octets of the message and takes them apart itself. Where programs would read
//! the message in different ways, it is given every part as each of them decodes it, too, so that it
//! need not know which one the recipient has.

mod wire;

use super::{Kind, Surroundings, act::Act, documented};
use crate::{
    chain::{Decision, Finding, Hold, HoldClass, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    message::{Client, HeaderBlock, Message},
    remote::Endpoint,
    smtp::Refusal,
    value::{
        ByteSize,
        settings::{Placed, Section},
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use wire::{Answer, Scan};

pub(super) const KIND: Kind = Kind {
    name: "clamd",
    summary: "streams messages to ClamAV's daemon while they arrive",
    settings: &[
        documented("address", "where clamd listens: \"unix:/run/clamav/clamd.ctl\", \"inet:127.0.0.1:3310\""),
        documented("found", "what a signature means: \"reject\" (the default), \"quarantine\", \"tempfail\", \"discard\" or \"report\""),
        documented("heuristics", "what one means whose name begins with Heuristics. or PUA.: the same words; without it, as `found`"),
        documented("max_size", "octets that are streamed (100MiB); keep it at or below clamd's StreamMaxLength. For more the stage fails"),
        documented("readings", "whether parts that programs read in different ways are scanned in every one of them (true)"),
    ],
    findings: &[Known::new("clamd.signature", Type::Text, "the name of the signature that was found")],
    build,
};

/// StreamMaxLength of ClamAV 1.x.
const MAX_SIZE: ByteSize = ByteSize(100 << 20);
/// Readings of one message that are scanned, beyond which it is too much to look at.
const READINGS: usize = 100;

#[derive(Debug)]
struct Clamd {
    endpoint: Endpoint,
    found: Act,
    heuristics: Act,
    max_size: u64,
    readings: bool,
}

fn build(section: &mut Section<'_>, _: &Surroundings) -> Option<Box<dyn Stage>> {
    let endpoint = Endpoint::require(section, "address");
    let found = section.choice("found", Act::WORDS, Act::Reject);
    let heuristics = section.choice("heuristics", Act::WORDS, found);
    let max_size = section.take_placed_unless("max_size", &MAX_SIZE);
    if let Some(Placed { span, .. }) = max_size.as_ref().filter(|size| size.value.0 == 0) {
        section.complain_at(span.clone(), format!("`{}`: nothing could be scanned", section.path("max_size")));
    }
    let max_size = max_size.map_or(MAX_SIZE, |size| size.value).0;
    let readings = section.take_or("readings", true);
    Some(Box::new(Arc::new(Clamd { endpoint: endpoint?, found, heuristics, max_size, readings })))
}

impl Clamd {
    fn report(&self, signature: &str) -> Report {
        let is_heuristic = ["Heuristics.", "PUA."].iter().any(|prefix| signature.starts_with(prefix));
        let verdict = match if is_heuristic { self.heuristics } else { self.found } {
            Act::Reject => Verdict::Refuse(Refusal::permanent(50, "7.1", &format!("malware found: {signature}"))),
            Act::Tempfail => Verdict::Refuse(Refusal::temporary(51, "7.1", &format!("malware found: {signature}"))),
            Act::Quarantine => Verdict::Quarantine(Hold { class: HoldClass::Malware, reason: format!("ClamAV found {signature}").into() }),
            Act::Discard => Verdict::Discard,
            Act::Report => Verdict::Deliver,
        };
        Report { verdict, findings: vec![Finding::text("clamd.signature", signature)], ..Report::default() }
    }

    fn too_large(&self) -> StageError {
        StageError::TooLarge(format!("more than {} octets", self.max_size).into())
    }

    /// The message once more, from its beginning.
    async fn scan_again(&self, message: &Message) -> Result<Answer, StageError> {
        let mut scan = Scan::new(&self.endpoint);
        let mut pieces = message.content.reader(0);
        while let Some(piece) = pieces.next().await.map_err(|error| StageError::Failed(error.into()))? {
            scan.send(&piece).await;
        }
        scan.finish().await
    }

    /// Every part as each program decodes it, where they differ.
    async fn scan_readings(&self, message: &Message) -> Result<Option<Box<str>>, StageError> {
        let readings = message.readings().await?;
        if readings.anomalies().is_empty() {
            // The daemon reads it as everybody does.
            return Ok(None);
        }
        let octets: u64 = readings.all().iter().map(|reading| reading.octets.len() as u64).sum();
        if readings.all().len() > READINGS || octets > self.max_size {
            return Err(StageError::TooLarge(format!("{} readings of {octets} octets", readings.all().len()).into()));
        }
        for reading in readings.all().iter().filter(|reading| !reading.octets.is_empty()) {
            let mut scan = Scan::new(&self.endpoint);
            scan.send(&reading.octets).await;
            if let Some(signature) = judge(scan.finish().await?)? {
                return Ok(Some(signature));
            }
        }
        Ok(None)
    }
}

/// The signature of an answer, if it has one.
fn judge(answer: Answer) -> Result<Option<Box<str>>, StageError> {
    match answer {
        Answer::Clean => Ok(None),
        Answer::Found(signature) => Ok(Some(signature)),
        Answer::TooLarge => Err(StageError::TooLarge("clamd's StreamMaxLength".into())),
    }
}

#[async_trait]
impl Stage for Arc<Clamd> {
    fn wants(&self) -> Wants {
        Wants::HEADERS | Wants::BODY | Wants::END_OF_MESSAGE
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn reads_content_only(&self) -> bool {
        true
    }
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Streaming { clamd: Self::clone(self), scan: None, octets: 0 }))
    }
}

struct Streaming {
    clamd: Arc<Clamd>,
    /// The connection that the message goes over. One for each message: a daemon that was restarted
    /// or has given up is noticed before anything is sent, and nothing of one is left for another.
    scan: Option<Scan>,
    octets: u64,
}

impl Streaming {
    async fn send(&mut self, octets: &[u8]) -> Result<(), StageError> {
        self.octets += octets.len() as u64;
        if self.octets > self.clamd.max_size {
            self.scan = None;
            return Err(self.clamd.too_large());
        }
        if let Some(scan) = &mut self.scan {
            scan.send(octets).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Inspection for Streaming {
    async fn headers(&mut self, headers: &HeaderBlock) -> Result<Decision, StageError> {
        self.octets = 0;
        self.scan = Some(Scan::new(&self.clamd.endpoint));
        self.send(headers.as_bytes()).await?;
        self.send(b"\r\n").await?;
        Ok(Decision::Go)
    }
    async fn body(&mut self, chunk: &Bytes) -> Result<Decision, StageError> {
        self.send(chunk).await?;
        Ok(Decision::Go)
    }
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let scan = self.scan.take().ok_or_else(|| StageError::Failed("the message did not begin".into()))?;
        let has_begun = scan.has_begun();
        let answer = match scan.finish().await {
            // It ended before the message did: a client that takes its time makes clamd give up
            // (ReadTimeout), and an operator may have restarted it.
            Err(StageError::Failed(error)) if has_begun => {
                tracing::debug!("clamd is asked again, since {error}");
                self.clamd.scan_again(message).await?
            }
            answer => answer?,
        };
        let mut signature = judge(answer)?;
        if signature.is_none() && self.clamd.readings {
            signature = self.clamd.scan_readings(message).await?;
        }
        Ok(signature.map_or_else(Report::default, |signature| self.clamd.report(&signature)))
    }
    fn abort(&mut self) {
        self.scan = None;
    }
}

#[cfg(test)]
mod tests;
