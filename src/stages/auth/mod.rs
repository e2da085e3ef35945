//! Who a message is from: SPF, DKIM, DMARC, ARC, the client's name, and whether there is one author.
//!
//! ```toml
//! [[stage]]
//! type  = "auth"
//! dmarc = "policy"
//! ```
//!
//! The library behind it, mail-auth, is given our own reading of the header section and hashes of
//! the body made while it arrived; it is named in this folder and nowhere else.
mod arc;
mod author;
mod body;
mod dmarc;
mod doubt;
mod header;
mod mailboxes;
mod origin;
mod outcome;
mod report;
mod settings;
mod signature;
#[cfg(test)]
mod tests;

use super::{Kind, Surroundings};
use crate::{
    chain::{Decision, Inspection, Known, Report, Stage, StageError, Type, Wants},
    dns,
    message::{Client, HeaderBlock, Message},
    smtp::Mail,
    value::{Id, settings::Section},
};
use async_trait::async_trait;
use author::Authorship;
use body::Hashing;
use bytes::Bytes;
use doubt::Doubt;
use mail_auth::MessageAuthenticator;
use origin::{Name, Origin};
use settings::Settings;
use std::sync::Arc;
use tokio::time::Instant;

pub(super) const KIND: Kind = Kind {
    name: "auth",
    summary: "who a message is from: SPF, DKIM, DMARC, ARC, the client's name, and whether there is one author",
    settings: settings::DOCUMENTED,
    findings: &[
        Known::new("auth.iprev", Type::Text, "whether the client's address has a name that points back: pass, fail, temperror"),
        Known::new(
            "auth.spf",
            Type::Text,
            "of the reverse-path, or of HELO where that is null: pass, fail, softfail, neutral, none, temperror, permerror",
        ),
        Known::new("auth.spf_domain", Type::Text, "the domain that auth.spf speaks of"),
        Known::new("auth.spf_helo", Type::Text, "SPF of HELO, where that is a domain"),
        Known::new(
            "auth.dkim",
            Type::Text,
            "the best of all signatures: pass, fail, policy (one that does not count), neutral, none, temperror, permerror",
        ),
        Known::new("auth.dkim_domains", Type::Texts, "domains whose signature passes"),
        Known::new("auth.dmarc", Type::Text, "of the author's domain: pass, fail, none, temperror, permerror"),
        Known::new(
            "auth.policy",
            Type::Text,
            "what the author's domain asks for, its subdomains' policy and test mode taken into account: none, quarantine, reject; empty without a record",
        ),
        Known::new("auth.dmarc_domain", Type::Text, "the domain that auth.dmarc speaks of"),
        Known::new("auth.arc", Type::Text, "of the whole chain: pass, fail, none, temperror"),
        Known::new("auth.arc_trusted", Type::Flag, "trusted_sealers say that DMARC passed before they changed the message"),
        Known::new("auth.from_domain", Type::Text, "the author's domain as the grammar has it"),
        Known::new(
            "auth.ambiguous",
            Type::Texts,
            "why two readers could see different authors: several_froms, hidden_address, encoded_address and others",
        ),
    ],
    build,
};

fn build(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Stage>> {
    let settings = Settings::read(section, surroundings);
    Some(Box::new(Arc::new(Auth { settings, dns: surroundings.dns.clone() })))
}

struct Auth {
    settings: Settings,
    dns: dns::Resolver,
}

/// All there is to say of a message.
struct Results {
    origin: Origin,
    dkim: Vec<signature::Checked>,
    arc: arc::Chain,
    arc_trusted: bool,
    dmarc: dmarc::Dmarc,
}

#[async_trait]
impl Stage for Arc<Auth> {
    fn may_edit(&self) -> bool {
        self.settings.add_header
    }
    fn wants(&self) -> Wants {
        Wants::MAIL | Wants::HEADERS | Wants::BODY | Wants::END_OF_MESSAGE
    }
    async fn begin(&self, client: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Checking { auth: Self::clone(self), client: Arc::clone(client), name: None, origin: None, hashing: None }))
    }
}

/// One session.
struct Checking {
    auth: Arc<Auth>,
    client: Arc<Client>,
    /// Found out in this session's first transaction.
    name: Option<Name>,
    /// Of this transaction; none where the client has signed in: its network and its host are its
    /// own affair, and nobody publishes them.
    origin: Option<Origin>,
    hashing: Option<Hashing>,
}

#[async_trait]
impl Inspection for Checking {
    async fn mail(&mut self, client: &Arc<Client>, mail: &Mail, _: Id) -> Result<Decision, StageError> {
        self.abort();
        self.client = Arc::clone(client);
        if client.account.is_some() {
            return Ok(Decision::Go);
        }
        let Settings { hostname, dns_timeout, .. } = &self.auth.settings;
        let until = Instant::now() + *dns_timeout;
        let origin = Origin::of(client, mail, hostname, &self.auth.dns, self.name.take(), until).await;
        self.name = Some(origin.name.clone());
        let refusal = report::at_mail(&self.auth.settings, &origin);
        self.origin = Some(origin);
        Ok(refusal.map_or(Decision::Go, Decision::Refuse))
    }

    async fn headers(&mut self, headers: &HeaderBlock) -> Result<Decision, StageError> {
        self.hashing = self.origin.is_some().then(|| Hashing::of(headers));
        Ok(Decision::Go)
    }

    async fn body(&mut self, chunk: &Bytes) -> Result<Decision, StageError> {
        match self.hashing.as_mut().filter(|hashing| hashing.is_needed()) {
            Some(hashing) => {
                hashing.write(chunk);
                Ok(Decision::Go)
            }
            None => Ok(Decision::Done),
        }
    }

    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let mut authorship = Authorship::of(&message.headers);
        let (origin, hashing) = (self.origin.take(), self.hashing.take());
        let Some(origin) = origin else { return Ok(report::of_author(&self.auth.settings, &authorship)) };
        if origin.null_sender && authorship.looks_like(&origin.sender.domain) {
            authorship.doubts.insert(Doubt::LookAlike);
        }
        let bodies = hashing.map(Hashing::finish).unwrap_or_default();
        let until = Instant::now() + self.auth.settings.dns_timeout;
        let authenticator = self.auth.dns.here().ok().map(MessageAuthenticator);
        let authenticator = authenticator.as_ref();
        let (dkim, arc) = tokio::join!(
            Box::pin(signature::check(authenticator, &message.headers, &bodies, authorship.domain(), until)),
            Box::pin(arc::check(authenticator, &message.headers, &bodies, until)),
        );
        let dmarc = Box::pin(dmarc::check(authenticator, &authorship, &dkim, &origin, until)).await;
        let arc_trusted = arc.vouches(&self.auth.settings.trusted_sealers);
        let results = Results { origin, dkim, arc, arc_trusted, dmarc };
        Ok(report::of_message(&self.auth.settings, &self.client, &authorship, &results))
    }

    fn abort(&mut self) {
        self.origin = None;
        self.hashing = None;
    }
}
