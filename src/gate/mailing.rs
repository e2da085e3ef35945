//! One message under way in a session: envelope, body, end.
use super::{
    conclude::{self, Ended, Placed, Way},
    received,
    session::{Session, by},
};
use crate::chain::{Decision, Verdict, runner::Question};
use crate::journal::{self, By, Entry, Fault, Phase};
use crate::message::{Envelope, HeaderBlock, HeaderEnd, HeaderError, Message, Spool, spool::SpoolError};
use crate::smtp::{
    Custody as _, Mail, Recipient, Refusal, Reply,
    data::Stains,
    server::{AboutMessage, AboutRecipient, Ending, Owed, Verb},
};
use crate::telemetry::Violation;
use crate::upstream::{Answer, Transaction, Upstream, UpstreamError};
use crate::value::Id;
use bytes::Bytes;
use std::{fmt, sync::Arc, time::SystemTime};
use tokio::time::Instant;

/// What a session knows of the message under way.
pub(super) struct Mailing {
    entry: Entry,
    mail: Box<Mail>,
    recipients: Vec<Recipient>,
    upstream: Option<Arc<Upstream>>,
    transaction: Option<Transaction>,
    /// When the client last had something to say in it.
    used: Instant,
    spool: Option<Spool>,
    header_end: Option<HeaderEnd>,
    /// Once it is complete.
    header: Option<Header>,
    octets: u64,
    /// It is given up; nothing of it is held any more.
    abandoned: bool,
}

/// The header section, and what of it may not pass.
struct Header {
    block: HeaderBlock,
    /// Without the fields in our name, where it has any.
    cleaned: Option<HeaderBlock>,
}

impl Mailing {
    pub(super) fn new(session: &journal::Session, id: Id, mail: Box<Mail>) -> Self {
        Self {
            entry: session.begin(id, &mail, now()),
            mail,
            recipients: Vec::new(),
            upstream: None,
            transaction: None,
            used: Instant::now(),
            spool: None,
            header_end: None,
            header: None,
            octets: 0,
            abandoned: false,
        }
    }

    /// Since when a transaction with the upstream is open and not used; `None` where none is open.
    pub(super) fn holds_upstream(&self) -> Option<Instant> {
        self.transaction.as_ref().map(|_| self.used)
    }

    fn upstream_name(&self) -> Option<Arc<str>> {
        self.upstream.as_ref().map(|upstream| Arc::clone(upstream.name()))
    }

    /// Lets the upstream go; the envelope is said again at the end.
    pub(super) async fn release(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            transaction.release().await;
        }
    }

    /// The transaction ended without a message that anybody answers for.
    pub(super) async fn give_up(mut self, refused: Option<&Refusal>) {
        self.release().await;
        if let Some(refusal) = refused {
            self.entry.received(self.octets, now());
            self.entry.refused(refusal, now());
        }
    }

    /// The session ended in the middle of it.
    pub(super) async fn lost(mut self) {
        self.release().await;
    }

    /// Drops what is held for a message that is given up already.
    pub(super) async fn abandon(&mut self) {
        self.release().await;
        self.abandoned = true;
        self.spool = None;
        self.header_end = None;
    }
}

impl Session {
    /// RCPT: the chain is asked, then the MTA itself, while the client waits.
    pub(super) async fn recipient(&mut self, recipient: Box<Recipient>, owed: Owed<AboutRecipient>) {
        if !self.inspections.is_empty()
            && let (Decision::Refuse(refusal), stage) = self.inspections.ask(Question::Recipient(&self.client, &recipient)).await
        {
            return self.refuse_recipient(owed, &recipient, &refusal, by(stage.as_deref()));
        }
        match self.ask_upstream(&recipient).await {
            Ok(Answer::Yes(reply)) => {
                if let Some(mailing) = &mut self.mailing {
                    self.inspections.accepted(&self.client, &recipient);
                    mailing.entry.recipient(&recipient);
                    mailing.recipients.push(*recipient);
                }
                self.smtp.accept_recipient(owed, &reply);
            }
            Ok(Answer::No(refusal)) => {
                let upstream = self.mailing.as_ref().and_then(Mailing::upstream_name);
                self.refuse_recipient(owed, &recipient, &refusal, upstream.as_deref().map_or(By::Gate, By::Upstream));
            }
            Err(error) => {
                tracing::warn!(id = %self.record.id(), "{error}");
                self.refuse_recipient(owed, &recipient, &error.refusal(), By::Gate);
            }
        }
    }

    fn refuse_recipient(&mut self, owed: Owed<AboutRecipient>, recipient: &Recipient, refusal: &Refusal, by: By<'_>) {
        let mail = self.mailing.as_ref().map(|mailing| &*mailing.mail);
        self.record.refused(Phase::Recipient, refusal, by, mail, Some(recipient));
        self.smtp.refuse(owed, refusal);
    }

    /// An envelope command got no further than to the protocol.
    pub(super) fn refused(&self, verb: Verb, address: &str, refusal: &Refusal) {
        if verb == Verb::Mail {
            return self.record.refused_as_written(Phase::Mail, refusal, Some(address), None);
        }
        let sender = self.mailing.as_ref().map(|mailing| mailing.mail.reverse_path.as_str());
        self.record.refused_as_written(Phase::Recipient, refusal, sender, Some(address));
    }

    async fn ask_upstream(&mut self, recipient: &Recipient) -> Result<Answer<Reply>, UpstreamError> {
        let upstream = self.accepted.upstreams(&self.worker).route(&recipient.address);
        let Some(mailing) = &mut self.mailing else {
            return Ok(Answer::No(Refusal::temporary(51, "3.0", "no transaction is under way")));
        };
        if mailing.upstream.as_ref().is_some_and(|other| !Arc::ptr_eq(other, &upstream)) {
            if !mailing.recipients.is_empty() {
                // One route a transaction, so that no message is ever half delivered; the client
                // sends the rest again (RFC 5321 §4.5.3.1.10).
                return Ok(Answer::No(Refusal::temporary(52, "5.3", "send to this recipient in another transaction")));
            }
            mailing.release().await;
        }
        mailing.entry.upstream(upstream.name());
        mailing.upstream = Some(Arc::clone(&upstream));
        let Mailing { transaction, mail, recipients, .. } = mailing;
        let answer = upstream.recipient(transaction, &self.seat, &self.client, mail, recipients, recipient).await;
        mailing.used = Instant::now();
        answer
    }

    /// A piece of the message: to the spool, and to every stage of the first segment.
    pub(super) async fn body(&mut self, chunk: Bytes) {
        let generation = Arc::clone(&self.accepted.generation);
        let limits = &generation.settings.limits;
        let Some(mailing) = &mut self.mailing else { return };
        if mailing.abandoned {
            return;
        }
        if mailing.octets == 0 {
            mailing.entry.receiving();
        }
        mailing.octets += chunk.len() as u64;
        let mut to_stages = None;
        if mailing.header.is_none() {
            let limit = usize::try_from(limits.header_size).unwrap_or(usize::MAX);
            let end = mailing.header_end.get_or_insert_with(|| HeaderEnd::new(limit, &generation.spool.memory));
            match end.push(&chunk) {
                Ok(None) => {}
                Ok(Some((block, body))) => {
                    if let Err(refusal) = self.header(block).await {
                        return self.spoil(refusal).await;
                    }
                    to_stages = Some(chunk.slice(body.min(chunk.len())..));
                }
                Err(error) => {
                    if matches!(error, HeaderError::TooLong { .. }) {
                        self.violation(Violation::HeaderTooLong, &error);
                    }
                    return self.spoil(error.refusal()).await;
                }
            }
        } else {
            to_stages = Some(chunk.clone());
        }
        if let Some(piece) = to_stages
            && !piece.is_empty()
            && self.inspections.wants_body()
        {
            self.inspections.body(&piece).await;
        }
        let Some(mailing) = &mut self.mailing else { return };
        let spool = mailing.spool.get_or_insert_with(|| Spool::new(&generation.spool));
        if let Err(error) = spool.push(chunk).await {
            self.no_room(&error).await;
        }
    }

    async fn no_room(&mut self, error: &SpoolError) {
        if let Some(mailing) = &mut self.mailing {
            mailing.entry.error(Fault::Spool, error);
        }
        self.spoil(error.refusal()).await;
    }

    /// The message is given up: its rest is read and dropped, and the client told in time.
    async fn spoil(&mut self, refusal: Refusal) {
        if refusal.closes() {
            return self.end_with(refusal).await;
        }
        if let Some(mailing) = &mut self.mailing {
            mailing.abandon().await;
        }
        self.smtp.spoil(refusal);
    }

    /// The header section is complete: loops end here, forged results go, the stages see it.
    async fn header(&mut self, block: HeaderBlock) -> Result<(), Refusal> {
        let generation = Arc::clone(&self.accepted.generation);
        let hostname = &generation.settings.hostname;
        let look = received::look(&block, hostname);
        if let Some(mailing) = &mut self.mailing {
            let [message_id, subject, from] =
                [look.message_id, look.subject, look.from].map(|field| field.map(|field| field.for_log(TOLD)));
            mailing.entry.headers(message_id, subject, from);
        }
        if look.hops > generation.settings.limits.hops {
            self.violation(Violation::MailLoop, &format_args!("{} Received fields", look.hops));
            return Err(Refusal::permanent(54, "4.6", "too many hops, the message goes in circles"));
        }
        let mut cleaned = None;
        if look.forged {
            self.violation(Violation::ForgedResults, &"fields in our name");
            cleaned = Some(received::without_forged(&block, hostname));
        }
        if !self.inspections.is_empty() {
            let seen = cleaned.as_ref().unwrap_or(&block);
            if let (Decision::Refuse(refusal), stage) = self.inspections.ask(Question::Headers(seen)).await {
                let mut conclusion = self.inspections.give_up();
                if let Some(mailing) = &mut self.mailing {
                    mailing.entry.concluded(&mut conclusion, now());
                    mailing.entry.decided_by(stage);
                }
                return Err(refusal);
            }
        }
        if let Some(mailing) = &mut self.mailing {
            mailing.header = Some(Header { block, cleaned });
        }
        Ok(())
    }

    /// The end of data: verdict, custody, answer.
    pub(super) async fn end_of_data(&mut self, ending: Ending, owed: Owed<AboutMessage>) {
        if self.mailing.as_ref().is_none_or(|mailing| mailing.abandoned) {
            // The protocol's machine says so itself; this is for the day it does not.
            return self.refuse_message(owed, &SpoolError::Full.refusal()).await;
        }
        let received_at = SystemTime::now();
        let policy = self.accepted.generation.settings.smtp.bare_newline;
        if let Some(mailing) = &mut self.mailing {
            mailing.entry.received(mailing.octets, now());
        }
        if let Some(refusal) = ending.stains.refusal(policy) {
            let (violation, detail) = violation(ending.stains);
            self.violation(violation, &detail);
            return self.refuse_message(owed, &refusal).await;
        }
        if self.mailing.as_ref().is_some_and(|mailing| mailing.header.is_none()) {
            // No empty line: all of it is header section.
            let end = self.mailing.as_mut().and_then(|mailing| mailing.header_end.take());
            let block = end.map(HeaderEnd::finish).unwrap_or_default();
            if let Err(refusal) = self.header(block).await {
                return self.refuse_message(owed, &refusal).await;
            }
        }
        let generation = Arc::clone(&self.accepted.generation);
        let spool = self.mailing.as_mut().and_then(|mailing| mailing.spool.take()).unwrap_or_else(|| Spool::new(&generation.spool));
        let content = match spool.finish().await {
            Ok(content) => content,
            Err(error) => {
                if let Some(mailing) = &mut self.mailing {
                    mailing.entry.error(Fault::Spool, &error);
                }
                return self.refuse_message(owed, &error.refusal()).await;
            }
        };
        let Some(mut mailing) = self.mailing.take() else {
            return self.smtp.refuse(owed, &Refusal::temporary(51, "3.0", "no transaction is under way"));
        };
        let Some(Header { block, cleaned }) = mailing.header.take() else {
            return self.smtp.refuse(owed, &Refusal::temporary(51, "3.0", "no message came"));
        };
        let envelope = Arc::new(Envelope { mail: *mailing.mail, recipients: std::mem::take(&mut mailing.recipients) });
        let received = Message::new(envelope, block, content).with_unpack_limits(Arc::clone(&generation.settings.unpack));
        let message = cleaned.map_or_else(|| received.clone(), |cleaned| received.with_headers(cleaned));
        let mut conclusion = self.inspections.conclude(&self.client, &message).await;
        mailing.entry.concluded(&mut conclusion, now());
        mailing.entry.content(conclusion.inspected.as_ref().unwrap_or(&message));
        let Some(upstream) = mailing.upstream.take() else {
            return self.smtp.refuse(owed, &Refusal::temporary(51, "3.0", "no way for the message"));
        };
        if conclusion.verdict != Verdict::Deliver
            && let Some(transaction) = mailing.transaction.take()
        {
            transaction.release().await;
        }
        self.dialogue.heard(&self.smtp.take_heard());
        let ended = Ended {
            id: mailing.entry.id(),
            hostname: &generation.settings.hostname,
            client: &self.client,
            message: &message,
            received: &received,
            received_at,
            leading_dot: ending.leading_dot,
            quarantine: &self.worker.gate.quarantine,
            entry: &mailing.entry,
            dialogue: &self.dialogue,
        };
        let way = Way { upstream: &upstream, transaction: mailing.transaction.take(), seat: &self.seat };
        match conclude::place(&ended, &conclusion, way).await {
            Placed::Delivered { custody, held } => {
                mailing.entry.held(held);
                mailing.entry.delivered(&custody.reply(), now());
                self.smtp.acknowledge(owed, &*custody);
            }
            Placed::Quarantined { custody, held } => {
                mailing.entry.held(held);
                mailing.entry.quarantined(&custody.reply(), now());
                self.smtp.acknowledge(owed, &custody);
            }
            Placed::Discarded(custody) => {
                mailing.entry.discarded(&custody.reply(), now());
                self.smtp.acknowledge(owed, &*custody);
            }
            Placed::Refused(refusal) => {
                mailing.entry.refused(&refusal, now());
                self.smtp.refuse(owed, &refusal);
            }
            Placed::NotStored(error) => {
                mailing.entry.error(Fault::Quarantine, &error);
                mailing.entry.refused(&error.refusal(), now());
                self.smtp.refuse(owed, &error.refusal());
            }
            Placed::Unanswered(error) => {
                mailing.entry.error(Fault::Upstream, &error);
                mailing.entry.refused(&error.refusal(), now());
                self.smtp.refuse(owed, &error.refusal());
            }
        }
    }

    async fn refuse_message(&mut self, owed: Owed<AboutMessage>, refusal: &Refusal) {
        self.inspections.abort();
        if let Some(mut mailing) = self.mailing.take() {
            mailing.release().await;
            mailing.entry.refused(refusal, now());
        }
        self.smtp.refuse(owed, refusal);
    }

    /// What the message carries that no mail client sends: to its record, and to the session's.
    fn violation(&mut self, violation: Violation, detail: &dyn fmt::Display) {
        match &mut self.mailing {
            Some(mailing) => {
                mailing.entry.violation(violation);
                self.record.violation_in_message(violation, detail);
            }
            None => self.record.violation(violation, detail),
        }
    }
}

/// Characters of a header field that the record of a message has, encoded as they are.
const TOLD: usize = 2000;

/// The journal's clock, which is the process's.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// The attack or fault that stains of this kind are counted as, and what the log says of it.
fn violation(stains: Stains) -> (Violation, &'static str) {
    match stains {
        Stains { look_alike: true, .. } => (Violation::Smuggling, "a look-alike of the end of data"),
        Stains { nul: true, .. } => (Violation::Nul, "NUL in a message"),
        Stains { bare_cr: true, .. } => (Violation::BareCr, "CR without LF in a message"),
        _ => (Violation::BareNewline, "LF without CR in a message"),
    }
}
