use crate::{
    chain::Configured,
    stages::{Documented, Surroundings, documented},
    value::settings::{Placed, Section},
};
use std::{sync::Arc, time::Duration};

pub(super) const DOCUMENTED: &[Documented] = &[
    documented(
        "spf_fail",
        "what SPF's `fail` of the sender or of HELO means: \"report\" (the default) or \"reject\", at MAIL (550 5.7.23)",
    ),
    documented(
        "iprev_fail",
        "what it means if the client's address has no name that points back: \"report\" (the default) or \"reject\", at MAIL (550 5.7.25)",
    ),
    documented(
        "dmarc",
        "\"report\" (the default), or \"policy\": what the author's domain asks for is done, reject (550 5.7.26) or quarantine",
    ),
    documented("trusted_sealers", "domains whose ARC seal is believed when it says that DMARC passed before the message was changed"),
    documented(
        "ambiguous",
        "what becomes of a message of which two readers could see different authors: \"reject\" (the default, 550 5.7.1), \"quarantine\" or \"report\"",
    ),
    documented("temperror", "what it means if DNS gives no answer: \"accept\" (the default) or \"tempfail\" (451 4.4.3)"),
    documented("dns_timeout", "for all look-ups at MAIL, and for all after the end of data (8s); what is not known by then is `temperror`"),
    documented("add_header", "whether the results are put into the message as Authentication-Results (true)"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFail {
    Report,
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ambiguous {
    Reject,
    Quarantine,
    Report,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub hostname: Arc<str>,
    pub spf_fail: OnFail,
    pub iprev_fail: OnFail,
    pub apply_policy: bool,
    /// In lower case.
    pub trusted_sealers: Vec<Box<str>>,
    pub ambiguous: Ambiguous,
    pub tempfail: bool,
    pub dns_timeout: Duration,
    pub add_header: bool,
}

impl Settings {
    pub(super) fn read(section: &mut Section<'_>, surroundings: &Surroundings) -> Self {
        let on_fail = [("report", OnFail::Report), ("reject", OnFail::Reject)];
        let ambiguous = [("reject", Ambiguous::Reject), ("quarantine", Ambiguous::Quarantine), ("report", Ambiguous::Report)];
        Self {
            hostname: Arc::clone(&surroundings.hostname),
            spf_fail: section.choice("spf_fail", &on_fail, OnFail::Report),
            iprev_fail: section.choice("iprev_fail", &on_fail, OnFail::Report),
            apply_policy: section.choice("dmarc", &[("report", false), ("policy", true)], false),
            trusted_sealers: trusted(section),
            ambiguous: section.choice("ambiguous", &ambiguous, Ambiguous::Reject),
            tempfail: section.choice("temperror", &[("accept", false), ("tempfail", true)], false),
            dns_timeout: dns_timeout(section),
            add_header: section.take_or("add_header", true),
        }
    }
}

fn trusted(section: &mut Section<'_>) -> Vec<Box<str>> {
    let names: Vec<Placed<String>> = section.take_or("trusted_sealers", Vec::new());
    for Placed { value, span } in &names {
        if !super::signature::is_host(value) {
            section.complain_at(span.clone(), format!("`{}`: `{value}` is no domain", section.path("trusted_sealers")));
        }
    }
    names.into_iter().map(|name| name.value.to_ascii_lowercase().into()).collect()
}

/// The stage must have said `temperror` before its own time is over, or it is late, and that means
/// something else.
fn dns_timeout(section: &mut Section<'_>) -> Duration {
    let timeout = section.take("timeout").unwrap_or(Configured::TIMEOUT);
    let usual = timeout / 5 * 4;
    let Some(Placed { value, span }) = section.take_placed_unless("dns_timeout", &usual) else { return usual };
    if value.is_zero() || value >= timeout {
        let text = format!("`{}`: must be more than nothing and less than the stage's `timeout`, {timeout:?}", section.path("dns_timeout"));
        section.complain_at(span, text);
    }
    value
}
