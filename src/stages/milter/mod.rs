//! Any milter: the filters that Sendmail and Postfix run, over their own protocol (version 6).
//!
//! ```toml
//! [[stage]]
//! name    = "opendkim"
//! type    = "milter"
//! address = "inet:127.0.0.1:8891"
//! ```
//!
//! A filter gets what Postfix would give it: connect, HELO, MAIL, RCPT, DATA, every header field, the
//! body in pieces of up to 64 KiB, with the same macros at the same steps. It has one connection for
//! each session, which serves all messages of that (one that the filter ended between two messages, as
//! when it is restarted, is opened anew); `SMFIC_QUIT_NC` is not used to carry it over to
//! another client, since not every filter knows it, and what one remembers of the last client would
//! be believed of the next.
//!
//! | file | knows |
//! | --- | --- |
//! | `wire` | packets and their lengths |
//! | `negotiation` | what both sides agree on |
//! | `macros` | what is said at which step |
//! | `session` | the order of things |
//! | `answer`, `reply` | what a filter says to a command |
//! | `changes` | what it asks for at the end of a message |

mod answer;
mod changes;
mod macros;
mod negotiation;
mod reply;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use super::{Kind, Surroundings, documented};
use crate::{
    chain::{Inspection, Known, Report, Stage, StageError, Type},
    dns::Resolver,
    message::{Client, budget::Budget},
    remote::Endpoint,
    value::{ByteSize, settings::Section},
};
use async_trait::async_trait;
use bytes::BytesMut;
use changes::Changes;
use negotiation::Actions;
use session::Session;
use std::{sync::Arc, time::Duration};

pub(super) const KIND: Kind = Kind {
    name: "milter",
    summary: "asks a milter, as Postfix and Sendmail do",
    settings: &[
        documented("address", "where it listens: \"inet:127.0.0.1:8891\", \"unix:/run/x.sock\"; \"inet:8891@127.0.0.1\" is understood too"),
        documented("read_only", "whether it may change nothing (false): then it runs at the same time as its neighbours"),
        documented("max_body", "octets of a body that it may put in place of the original (50MiB)"),
    ],
    findings: &[
        Known::new("milter.quarantine", Type::Text, "why a milter wants the message held"),
        Known::new("milter.reply", Type::Text, "what a milter wanted the client to hear at the end of the message"),
    ],
    build,
};

const MAX_BODY: ByteSize = ByteSize(50 << 20);

struct Milter {
    endpoint: Endpoint,
    read_only: bool,
    max_body: u64,
    /// For one answer; one that shows progress gets it again.
    timeout: Duration,
    hostname: Arc<str>,
    dns: Resolver,
}

fn build(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Stage>> {
    let endpoint = Endpoint::require(section, "address");
    let read_only = section.take_or("read_only", false);
    let max_body = section.take_or("max_body", MAX_BODY).0;
    let Surroundings { hostname, dns, timeout, .. } = surroundings.clone();
    Some(Box::new(Arc::new(Milter { endpoint: endpoint?, read_only, max_body, timeout, hostname, dns })))
}

#[async_trait]
impl Stage for Arc<Milter> {
    fn may_edit(&self) -> bool {
        !self.read_only
    }
    fn is_remote(&self) -> bool {
        true
    }
    fn keeps_time(&self) -> bool {
        true
    }
    async fn begin(&self, client: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Session::new(Self::clone(self), Arc::clone(client))))
    }
}

/// What a filter comes to that says these octets: its options first, then what it wants at the end of
/// a message. `None`: its last word is missing. It is how a session reads, without the session, for
/// whoever has octets to try; `max_body` is the setting, `memory` what a new body is counted in.
///
/// # Errors
/// It says something that is no answer, or asks for what it may not.
pub fn hear(octets: &[u8], max_body: u64, memory: &Budget) -> Result<Option<Report>, StageError> {
    let failed = |why: String| StageError::Failed(why.into());
    let mut read = BytesMut::from(octets);
    let Some(options) = wire::take_packet(&mut read).map_err(failed)? else { return Ok(None) };
    let agreed = negotiation::agree(&options, Actions::ALL).map_err(failed)?;
    let mut changes = Changes::new(agreed.actions, max_body, memory);
    while let Some(packet) = wire::take_packet(&mut read).map_err(failed)? {
        if let Some(said) = answer::said_at_end(&packet, &mut changes)? {
            return Ok(Some(answer::report(said, changes)));
        }
    }
    Ok(None)
}
