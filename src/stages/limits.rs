//! Refuses by envelope, by size and by the number of parts.
//!
//! ```toml
//! [[stage]]
//! name              = "limits"
//! type              = "limits"
//! refuse_hello      = ["localhost", "*.dynamic.example.net"]
//! refuse_senders    = ["@bad.example", "*.bad.example", "someone@example.com"]
//! refuse_recipients = ["former.employee@example.org"]
//! recipients        = 100
//! message_size      = "10MiB"
//! header_fields     = 500
//! header_size       = "64KiB"
//! parts             = 200
//! reply             = "550 5.7.1 not accepted here; see https://example.org/mail"
//! ```
//!
//! The envelope is refused at MAIL and RCPT, a client by its HELO at MAIL too: a refused HELO is
//! what many clients answer with another one.
use super::{Kind, Surroundings, documented};
use crate::{
    chain::{Decision, Finding, Inspection, Known, Pattern, Report, Stage, StageError, Type, Verdict, Wants, settings},
    message::{Client, Message, MimeError},
    smtp::{Mail, Recipient, Refusal},
    value::{
        ByteSize, Id,
        settings::{Placed, Section},
    },
};
use async_trait::async_trait;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "limits",
    summary: "refuses by envelope, by size and by the number of parts",
    settings: &[
        documented("refuse_hello", "host names in HELO or EHLO: \"host.example.org\", \"*.example.org\", \"[192.0.2.1]\""),
        documented("refuse_senders", "reverse-paths: \"user@example.org\", \"@example.org\", \"*.example.org\", \"<>\""),
        documented("refuse_recipients", "recipients, in the same form"),
        documented("recipients", "recipients of one transaction; for more the client is told to send again (452 4.5.3)"),
        documented("message_size", "octets of a message, also as announced with SIZE"),
        documented("header_fields", "fields of the header section"),
        documented("header_size", "octets of the header section"),
        documented("parts", "MIME parts, the message itself, containers and nested messages counted"),
        documented("reply", "what is said instead of the usual texts, such as \"550 5.7.1 not accepted here\""),
    ],
    findings: &[
        Known::new("limits.message_size", Type::Number, "octets of the message, where `message_size` is set"),
        Known::new("limits.header_fields", Type::Number, "fields of its header section, where `header_fields` is set"),
        Known::new("limits.header_size", Type::Number, "octets of its header section, where `header_size` is set"),
        Known::new("limits.parts", Type::Number, "its MIME parts, where `parts` is set and they can be counted"),
    ],
    build,
};

#[derive(Debug, Default)]
struct Limits {
    hello: Vec<Pattern>,
    senders: Vec<Pattern>,
    recipients: Vec<Pattern>,
    count: Option<u64>,
    message_size: Option<u64>,
    header_fields: Option<u64>,
    header_size: Option<u64>,
    parts: Option<u64>,
    reply: Option<Refusal>,
}

fn build(section: &mut Section<'_>, _: &Surroundings) -> Option<Box<dyn Stage>> {
    let told = section.mistakes();
    let limits = Limits {
        hello: settings::patterns(section, "refuse_hello", Pattern::host),
        senders: settings::patterns(section, "refuse_senders", Pattern::address),
        recipients: settings::patterns(section, "refuse_recipients", Pattern::address),
        count: number(section, "recipients"),
        message_size: size(section, "message_size"),
        header_fields: number(section, "header_fields"),
        header_size: size(section, "header_size"),
        parts: number(section, "parts"),
        reply: section.take("reply"),
    };
    section.otherwise("reply", "what the reason is");
    // A setting that is wrong is there all the same.
    if limits.wants() == Wants::NOTHING && section.mistakes() == told {
        section.complain("this stage limits nothing: give it at least one of its settings");
    }
    Some(Box::new(Arc::new(limits)))
}

fn number(section: &mut Section<'_>, key: &'static str) -> Option<u64> {
    let Placed { value, span } = section.take_placed(key)?;
    positive(section, key, value, span)
}

fn size(section: &mut Section<'_>, key: &'static str) -> Option<u64> {
    let Placed { value: ByteSize(value), span } = section.take_placed(key)?;
    positive(section, key, value, span)
}

fn positive(section: &Section<'_>, key: &str, value: u64, span: std::ops::Range<usize>) -> Option<u64> {
    if value == 0 {
        section.complain_at(span, format!("`{}`: nothing could pass; leave it out to have no limit", section.path(key)));
    }
    Some(value)
}

impl Limits {
    fn wants(&self) -> Wants {
        let when = |condition: bool, event| if condition { event } else { Wants::NOTHING };
        when(!self.hello.is_empty() || !self.senders.is_empty() || self.message_size.is_some(), Wants::MAIL)
            | when(self.count.is_some(), Wants::MAIL | Wants::RECIPIENT)
            | when(!self.recipients.is_empty(), Wants::RECIPIENT)
            | when(
                self.message_size.is_some() || self.header_fields.is_some() || self.header_size.is_some() || self.parts.is_some(),
                Wants::END_OF_MESSAGE,
            )
    }

    /// The configured reply, else the usual one.
    fn refuse(&self, code: u8, status: &str, text: &str) -> Refusal {
        self.reply.clone().unwrap_or_else(|| Refusal::permanent(code, status, text))
    }

    fn mail(&self, client: &Client, mail: &Mail) -> Decision {
        let hello = client.hello.as_ref().map(|(domain, _)| domain.as_str());
        let sender = mail.reverse_path.0.as_ref();
        if hello.is_some_and(|hello| self.hello.iter().any(|pattern| pattern.is_host(hello))) {
            Decision::Refuse(self.refuse(50, "7.1", "client not accepted here"))
        } else if self.senders.iter().any(|pattern| pattern.is_address(sender)) {
            Decision::Refuse(self.refuse(50, "7.1", "sender not accepted here"))
        } else if mail.size.zip(self.message_size).is_some_and(|(announced, limit)| announced > limit) {
            // RFC 1870 §6.1.
            Decision::Refuse(self.refuse(52, "3.4", "message too big"))
        } else {
            Decision::Go
        }
    }

    async fn message(&self, message: &Message) -> Result<Report, StageError> {
        let mut report = Report::default();
        let header = message.headers.as_bytes().len() as u64;
        let too_long = || self.refuse(52, "3.4", "header section too long");
        measure(
            &mut report,
            "limits.message_size",
            self.message_size,
            || message.content.len(),
            || self.refuse(52, "3.4", "message too big"),
        );
        measure(&mut report, "limits.header_fields", self.header_fields, || message.headers.fields().count() as u64, too_long);
        measure(&mut report, "limits.header_size", self.header_size, || header, too_long);
        // A message that is refused already is not worth parsing.
        if self.parts.is_some() && report.verdict == Verdict::Deliver {
            let too_many = || self.refuse(54, "6.0", "too many MIME parts");
            match message.mime().await {
                Ok(view) => measure(&mut report, "limits.parts", self.parts, || view.parts().len() as u64, too_many),
                Err(MimeError::TooComplex(_)) => report.verdict = Verdict::Refuse(too_many()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(report)
    }
}

/// Notes what is measured, and refuses what is above the limit.
fn measure(report: &mut Report, name: &'static str, limit: Option<u64>, value: impl FnOnce() -> u64, refusal: impl FnOnce() -> Refusal) {
    let Some(limit) = limit else { return };
    let value = value();
    report.findings.push(Finding::number(name, value));
    if value > limit && report.verdict == Verdict::Deliver {
        report.verdict = Verdict::Refuse(refusal());
    }
}

#[async_trait]
impl Stage for Arc<Limits> {
    fn wants(&self) -> Wants {
        Limits::wants(self)
    }
    async fn begin(&self, _: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Counting { limits: Self::clone(self), recipients: 0 }))
    }
}

struct Counting {
    limits: Arc<Limits>,
    /// That this stage let through in this transaction, whatever the upstream said of them.
    recipients: u64,
}

#[async_trait]
impl Inspection for Counting {
    async fn mail(&mut self, client: &Arc<Client>, mail: &Mail, _: Id) -> Result<Decision, StageError> {
        self.recipients = 0;
        Ok(self.limits.mail(client, mail))
    }
    async fn recipient(&mut self, recipient: &Recipient) -> Result<Decision, StageError> {
        if self.limits.recipients.iter().any(|pattern| pattern.is_address(Some(&recipient.address))) {
            return Ok(Decision::Refuse(self.limits.refuse(50, "7.1", "recipient not accepted here")));
        }
        if self.limits.count.is_some_and(|limit| self.recipients >= limit) {
            // RFC 5321 §4.5.3.1.10: the client sends the rest in another transaction.
            return Ok(Decision::Refuse(Refusal::temporary(52, "5.3", "too many recipients")));
        }
        self.recipients += 1;
        Ok(Decision::Go)
    }
    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        self.limits.message(message).await
    }
}

#[cfg(test)]
mod tests;
