//! Releasing what is held: the original goes to the MTA, past the chain, and its answer is the
//! reviewer's.
use super::{
    StartError,
    generation::{Budgets, Setup, spool_directory},
    received::{self, Trace},
    settings::Settings,
};
use crate::audit::{Action, Actor, Event};
use crate::message::{Client, Content, HeaderEnd, spool};
use crate::quarantine::{Claim, Claimed, Entry, Quarantine, QuarantineError, Settlement, distinct};
use crate::smtp::{Custody as _, Domain, Recipient};
use crate::telemetry::Metrics;
use crate::unpack;
use crate::upstream::{self, Answer, Body, Outgoing, Seat, Upstream, Upstreams};
use bytes::Bytes;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Tells filters behind us that a person has looked at the message; what others write under this
/// name is taken out of every message.
const MARK: &str = "X-Octroi-Released";

/// What became of a release, for recipients of one upstream.
#[derive(Debug)]
pub struct Released {
    pub upstream: Arc<str>,
    pub recipients: Vec<String>,
    pub result: Result<String, NotReleased>,
    /// Why that stands neither in the entry nor in the audit yet, where it does not: until it does, the
    /// entry says that it is being released.
    pub unrecorded: Option<QuarantineError>,
}

/// Why somebody does not have it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReleased {
    /// The MTA's own words.
    #[error("refused: {0}")]
    Refused(String),
    #[error("{0}")]
    Unanswered(String),
    /// All of it was sent, or some, and no answer came.
    #[error("nobody knows whether it arrived: {0}")]
    Unknown(String),
}

/// A spool with budgets of its own, for who reads what is held.
///
/// # Errors
/// Its directory cannot be used.
pub fn spool(settings: &Settings) -> Result<spool::Settings, StartError> {
    Ok(Budgets::new(settings).spool(settings, spool_directory(settings)?))
}

/// What a releaser is made of, kept while the gate takes the configuration.
pub struct Recipe {
    settings: Settings,
    upstreams: Vec<upstream::Settings>,
    routes: Vec<upstream::Route>,
}

impl Recipe {
    #[must_use]
    pub fn of(setup: &Setup) -> Self {
        Self { settings: setup.settings.clone(), upstreams: setup.upstreams.clone(), routes: setup.routes.clone() }
    }

    /// # Errors
    /// The spool's directory cannot be used.
    pub fn make(self, metrics: &Arc<Metrics>) -> Result<Releaser, StartError> {
        Releaser::new(&self.settings, self.upstreams, &self.routes, metrics)
    }
}

/// Sends entries of the quarantine on.
pub struct Releaser {
    hostname: Arc<str>,
    header_size: usize,
    spool: spool::Settings,
    upstreams: Upstreams,
    unpack: Arc<unpack::Limits>,
    state_dir: PathBuf,
}

impl Releaser {
    /// With the upstreams of a configuration, and connections of its own to them.
    ///
    /// # Errors
    /// The spool's directory cannot be used.
    pub fn new(
        settings: &Settings,
        upstreams: Vec<upstream::Settings>,
        routes: &[upstream::Route],
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let shared = upstream::Shared::new(upstreams, routes, settings.timeouts.upstream, &settings.hostname, metrics);
        Ok(Self {
            hostname: Arc::clone(&settings.hostname),
            header_size: usize::try_from(settings.limits.header_size).unwrap_or(usize::MAX),
            spool: spool(settings)?,
            upstreams: Upstreams::for_worker(&shared),
            unpack: Arc::clone(&settings.unpack),
            state_dir: settings.state_dir.clone(),
        })
    }

    /// The content of an entry, which is what was stored.
    ///
    /// # Errors
    /// It is not there, is another, or there is no room for it.
    pub async fn content(&self, quarantine: &Quarantine, entry: &Entry) -> Result<Content, QuarantineError> {
        quarantine.content(entry, &self.spool).await
    }

    /// Where contents are read to.
    #[must_use]
    pub fn spool(&self) -> &spool::Settings {
        &self.spool
    }

    /// How much of attachments is unpacked.
    #[must_use]
    pub fn unpack_limits(&self) -> Arc<unpack::Limits> {
        Arc::clone(&self.unpack)
    }

    /// Where everything is kept.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Releases `entry`, as it was read, to the recipients that `claim` names; waits for the MTA. The
    /// audit has it twice, in the name of `who`: begun, in the same commit as the claim, and what
    /// became of it, in that of the outcome.
    ///
    /// # Errors
    /// Nothing was sent to anybody.
    pub async fn release(
        &self,
        quarantine: &Quarantine,
        entry: Entry,
        mut claim: Claim<'_>,
        who: &Actor,
    ) -> Result<Vec<Released>, QuarantineError> {
        // Before anything is claimed: what cannot be read is not sent.
        let content = quarantine.content(&entry, &self.spool).await?;
        let id = entry.id.clone();
        let begun = match claim.request {
            Some(request) => Event::of(who, Action::ReleaseApprove).with("asked_by", &*request.asked_by),
            None => Event::of(who, Action::Release).with("step", "begun"),
        };
        claim.by.record = Some(begun.on(&id).with("recipients", distinct(claim.recipients)).statement());
        let claimed = quarantine.claim(entry, claim).await?;
        let route = |recipient: &Recipient| Arc::clone(self.upstreams.route(&recipient.address).name());
        let mut all = Vec::new();
        for part in claimed.split_by(route) {
            let Some(first) = part.recipients.first() else { continue };
            let upstream = self.upstreams.route(&first.address);
            let result = self.send(&upstream, &part, &content).await;
            let recipients: Vec<_> = part.recipients.iter().map(|recipient| recipient.address.as_str().to_owned()).collect();
            let (action, reply) = match &result {
                Ok(reply) => (Action::Release, reply.clone()),
                Err(why) => (Action::ReleaseFailed, why.to_string()),
            };
            let event = Event::of(who, action).on(&id).with("recipients", recipients.clone()).with("reply", &*reply);
            let settlement = match &result {
                Ok(reply) => part.released(reply),
                Err(NotReleased::Unknown(why)) => part.unknown(why),
                Err(why) => part.not_released(&why.to_string()),
            };
            let unrecorded = record(quarantine, &id, settlement.with(event.statement())).await;
            all.push(Released { upstream: Arc::clone(upstream.name()), recipients, result, unrecorded });
        }
        Ok(all)
    }

    /// The MTA's own reply to the final dot.
    async fn send(&self, upstream: &Arc<Upstream>, part: &Claimed, content: &Content) -> Result<String, NotReleased> {
        let unanswered = |error: &dyn std::fmt::Display| NotReleased::Unanswered(error.to_string());
        let (headers, from) = self.headers(content).await?;
        let origin = Origin::read(&part.entry);
        let trace = origin.trace(&self.hostname, part);
        let mark = Bytes::from(format!("{MARK}: {}\r\n", part.entry.id));
        let client = Arc::new(origin.client(&part.entry));
        let transaction = upstream.replay(&Seat::default(), &client, &part.mail, &part.recipients).await;
        let transaction = match transaction.map_err(|error| unanswered(&error))? {
            Answer::Yes(transaction) => transaction,
            Answer::No(refusal) => return Err(NotReleased::Refused(refusal.to_string())),
        };
        let body = Body::Content { content: content.clone(), from };
        let outgoing = Outgoing { prefix: vec![trace, mark, headers], body, leading_dot: true };
        match transaction.deliver(outgoing).await {
            Ok(Answer::Yes(accepted)) => Ok(accepted.reply().to_string()),
            Ok(Answer::No(refusal)) => Err(NotReleased::Refused(refusal.to_string())),
            Err(error) => Err(NotReleased::Unknown(error.to_string())),
        }
    }

    /// The header section without what others have written in our name, and where the rest begins.
    async fn headers(&self, content: &Content) -> Result<(Bytes, u64), NotReleased> {
        let mut end = HeaderEnd::new(self.header_size, content.memory());
        let mut reader = content.reader(0);
        let unreadable = |error: &dyn std::fmt::Display| NotReleased::Unanswered(format!("the message cannot be read back: {error}"));
        let block = loop {
            let Some(piece) = reader.next().await.map_err(|error| unreadable(&error))? else { break end.finish() };
            if let Some((block, _)) = end.push(&piece).map_err(|error| unreadable(&error))? {
                break block;
            }
        };
        let from = block.as_bytes().len() as u64;
        let kept = if received::look(&block, &self.hostname).forged {
            received::without_forged(&block, &self.hostname).as_bytes().clone()
        } else {
            block.as_bytes().clone()
        };
        Ok((kept, from))
    }
}

/// Writes down what became of a release, in the end; why not yet.
async fn record(quarantine: &Quarantine, entry: &str, settlement: Settlement) -> Option<QuarantineError> {
    let error = quarantine.settle(&settlement).await.err()?;
    tracing::error!(entry, "what became of its release could not be written down: {error}");
    if matches!(&error, QuarantineError::Storage(error) if error.leaves_nothing()) {
        quarantine.settle_later(settlement);
    }
    Some(error)
}

/// Where a message came from, as its entry has it.
struct Origin {
    address: SocketAddr,
    hello: Option<Domain>,
    protocol: String,
    tls: Option<(String, String)>,
}

impl Origin {
    fn read(entry: &Entry) -> Self {
        let facts: serde_json::Value = serde_json::from_str(&entry.client).unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let at = |pointer: &str| facts.pointer(pointer).and_then(text);
        Self {
            address: at("/address").and_then(|address| address.parse().ok()).unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into()),
            hello: at("/hello").and_then(|domain| Domain::parse(&domain)),
            protocol: at("/protocol").unwrap_or_else(|| "ESMTP".to_owned()),
            tls: at("/tls/version").zip(at("/tls/cipher")),
        }
    }

    /// Our `Received`, as it would have been: it came to us then, whenever it goes on.
    fn trace(&self, hostname: &str, part: &Claimed) -> Bytes {
        let trace = Trace {
            hello: self.hello.as_ref().map(Domain::as_str),
            address: self.address.ip(),
            tls: self.tls.as_ref().map(|(version, cipher)| (&**version, &**cipher, false)),
            protocol: &self.protocol,
        };
        trace.field(hostname, &part.entry.id, &part.recipients, part.entry.received_at)
    }

    /// For MTAs that are told who the client is.
    fn client(&self, entry: &Entry) -> Client {
        Client {
            listener: entry.listener.as_str().into(),
            address: self.address,
            local: self.address,
            tls: None,
            hello: self.hello.clone().map(|domain| (domain, true)),
            account: None,
            mechanism: None,
        }
    }
}
