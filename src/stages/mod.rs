//! The stages there are. To add one: a file, and its line in [`KINDS`].
//!
//! A file holds what the stage is for, its settings, the stage and its inspection, and its tests;
//! the line makes it known to the configuration, to `octroi check` and to the reference.
use crate::{
    chain::{self, Breaker, BreakerSettings, Configured, Known, Mode, OnError, Stage, Vocabulary},
    dns,
    value::settings::{Placed, Section, nearest},
};
use std::{sync::Arc, time::Duration};

mod act;
mod attachments;
mod auth;
mod clamd;
mod exec;
mod headers;
mod http;
mod limits;
pub mod milter;
mod mime;
mod rspamd;
mod spamd;
mod yara;

/// A kind of stage that the configuration can name.
pub struct Kind {
    /// What stands behind `type =`.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Its own settings, besides those that every stage has ([`COMMON`]).
    pub settings: &'static [Documented],
    /// What it finds out, under the names that rules will use.
    pub findings: &'static [Known],
    /// Reads its own settings; `None` where mistakes were reported.
    pub build: fn(&mut Section<'_>, &Surroundings) -> Option<Box<dyn Stage>>,
}

/// What the rest of the configuration gives every stage.
#[derive(Clone)]
pub struct Surroundings {
    /// Our name: authserv-id (RFC 8601 §2.5), the milter's macro `j`.
    pub hostname: Arc<str>,
    pub dns: dns::Resolver,
    /// Names of the listeners there are.
    pub listeners: Vec<Box<str>>,
    /// The time-out of the stage that is being read.
    pub timeout: Duration,
}

/// A name of the public contract and what it means.
pub struct Documented {
    pub name: &'static str,
    pub meaning: &'static str,
}

pub(crate) const fn documented(name: &'static str, meaning: &'static str) -> Documented {
    Documented { name, meaning }
}

/// All kinds, in the order of the alphabet.
pub static KINDS: &[Kind] = &[
    attachments::KIND,
    auth::KIND,
    clamd::KIND,
    exec::KIND,
    headers::KIND,
    http::KIND,
    limits::KIND,
    milter::KIND,
    mime::KIND,
    rspamd::KIND,
    spamd::KIND,
    yara::KIND,
];

/// The settings of every `[[stage]]`.
pub static COMMON: &[Documented] = &[
    documented("name", "what log, metrics and replies call it; letters, digits, `.`, `_` and `-`; without one, its type"),
    documented("type", "one of the kinds of stages"),
    documented("timeout", "how long one call may take (10s); after the end of data all stages share timeouts.message as well"),
    documented("on_error", "what its failure means: \"accept\", \"tempfail\" (the default), \"reject\" or \"quarantine\""),
    documented("mode", "\"enforce\" (the default), or \"observe\": it reports what it would have done and changes nothing"),
    documented("listeners", "names of the listeners it applies to; without them, all"),
    documented("when", "a condition over client and sender, asked at MAIL; where it does not hold the stage sees nothing of the message"),
    documented("breaker_failures", "failures in a row after which a stage that asks somebody else is left alone for a while (5; 0: never)"),
    documented("breaker_pause", "for how long (10s), doubled up to eightfold while it goes on failing"),
    documented(
        "poison_after",
        "failures on the same message after which the stage is not given it for an hour, as if it failed (3; 0: any number)",
    ),
];

/// Reads all `[[stage]]` of the root table, in order. Mistakes go where `root` collects them; what is
/// returned is of use only where there are none.
pub fn read(root: &mut Section<'_>, surroundings: &Surroundings) -> Vec<Configured> {
    let mut stages: Vec<Configured> = Vec::new();
    for mut section in root.sections("stage") {
        let Some(configured) = read_one(&mut section, surroundings) else { continue };
        if stages.iter().any(|other| other.name == configured.name) {
            section.complain(format!("two stages are called `{}`: give each a name of its own", configured.name));
        }
        stages.push(configured);
    }
    stages
}

fn read_one(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<Configured> {
    let name = section.take_placed::<Box<str>>("name");
    if let Some(Placed { value, span }) = name.as_ref().filter(|name| !chain::is_name(&name.value)) {
        let text = format!("`{}`: `{value}` must be 1 to 64 letters, digits, `.`, `_` or `-`", section.path("name"));
        section.complain_at(span.clone(), text);
    }
    let timeout = section.take_placed_unless("timeout", &surroundings.timeout);
    if let Some(timeout) = timeout.as_ref().filter(|timeout| timeout.value.is_zero()) {
        section.complain_at(timeout.span.clone(), format!("`{}`: a stage that has no time can only fail", section.path("timeout")));
    }
    let on_error = section.choice(
        "on_error",
        &[("accept", OnError::Accept), ("tempfail", OnError::Tempfail), ("reject", OnError::Reject), ("quarantine", OnError::Quarantine)],
        OnError::default(),
    );
    let mode = section.choice("mode", &[("enforce", Mode::Enforce), ("observe", Mode::Observe)], Mode::Enforce);
    let listeners = chain::settings::listeners(section, &surroundings.listeners);
    let when = chain::settings::when(section, &Vocabulary::of_session());
    let usual = BreakerSettings::default();
    let breaker = BreakerSettings {
        failures: section.take_or("breaker_failures", usual.failures),
        pause: section.take_or("breaker_pause", usual.pause),
    };
    let poison_after = section.take_or("poison_after", Configured::POISON_AFTER);

    let kind = section.require_placed::<String>("type").and_then(|kind| find(section, kind));
    let Some(kind) = kind else {
        // Nobody knows which other keys would be right.
        section.forgive();
        return None;
    };
    section.holds_without("name", &kind.name.to_owned());
    let timeout = timeout.map_or(surroundings.timeout, |timeout| timeout.value);
    let stage = (kind.build)(section, &Surroundings { timeout, ..surroundings.clone() })?;
    let name = name.map_or_else(|| kind.name.into(), |name| name.value);
    let mut configured = Configured::new(name, kind.name, stage);
    configured.timeout = timeout;
    configured.poison_after = poison_after;
    let breaker = Breaker::new(breaker);
    Some(Configured { on_error, mode, listeners, when: when.ok()?, breaker, ..configured })
}

fn find(section: &Section<'_>, named: Placed<String>) -> Option<&'static Kind> {
    let Placed { value, span } = named;
    let found = KINDS.iter().find(|kind| kind.name == value);
    if found.is_none() {
        let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        let hint =
            nearest(&value, &known).map_or_else(|| format!("there are: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
        section.complain_at(span, format!("`{}`: there is no stage of type `{value}`; {hint}", section.path("type")));
    }
    found
}

#[cfg(test)]
pub(crate) mod tests;
