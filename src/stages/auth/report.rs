//! What the results mean: findings, and what is configured to follow from them.
use super::{
    Results,
    author::Authorship,
    header,
    origin::Origin,
    outcome::Outcome,
    settings::{Ambiguous, OnFail, Settings},
};
use crate::{
    chain::{Finding, Hold, HoldClass, Report, Verdict},
    message::Client,
    smtp::Refusal,
};
use mail_auth::dmarc::Policy;

/// What is refused before there is a message. The codes are those of RFC 7372 §3.
pub(super) fn at_mail(settings: &Settings, origin: &Origin) -> Option<Refusal> {
    let spf = |outcome| origin.outcomes().any(|other| other == outcome);
    let iprev = |outcome| settings.iprev_fail == OnFail::Reject && origin.name.outcome == outcome;
    if settings.spf_fail == OnFail::Reject && spf(Outcome::Fail) {
        Some(Refusal::permanent(50, "7.23", "the sender's domain does not let this host send (SPF)"))
    } else if iprev(Outcome::Fail) {
        Some(Refusal::permanent(50, "7.25", "this host's address has no name that points back to it"))
    } else if settings.tempfail && (spf(Outcome::TempError) || iprev(Outcome::TempError)) {
        // As RFC 7208 §8.6 has it. Reverse zones that nobody answers for are many: they count only
        // where the name does.
        Some(Refusal::temporary(51, "4.3", "DNS gives no answer about this host or sender, try again later"))
    } else {
        None
    }
}

/// Of a message whose client has signed in.
pub(super) fn of_author(settings: &Settings, authorship: &Authorship) -> Report {
    let mut report = Report { verdict: ambiguity(settings, authorship), ..Report::default() };
    report.findings.extend(authorship.doubts.iter().map(|doubt| Finding::text("auth.ambiguous", doubt.as_str())));
    if !authorship.domain().is_empty() {
        report.findings.push(Finding::text("auth.from_domain", bounded(authorship.domain())));
    }
    report
}

pub(super) fn of_message(settings: &Settings, client: &Client, authorship: &Authorship, results: &Results) -> Report {
    let mut report = of_author(settings, authorship);
    find(&mut report, results);
    report.verdict = report.verdict.or_stricter(policy(settings, results));
    if settings.add_header {
        report.edits.push(header::edit(&settings.hostname, client, results));
    }
    report
}

fn find(report: &mut Report, results: &Results) {
    let Results { origin, dkim, arc, arc_trusted, dmarc } = results;
    let best = dkim.iter().map(|checked| checked.outcome).min_by_key(|outcome| outcome.rank()).unwrap_or(Outcome::None);
    let mut text = |name, value: &str| report.findings.push(Finding::text(name, bounded(value)));
    text("auth.iprev", origin.name.outcome.as_str());
    text("auth.spf", origin.sender.outcome.as_str());
    text("auth.spf_domain", &origin.sender.domain);
    if let Some(hello) = &origin.hello {
        text("auth.spf_helo", hello.outcome.as_str());
    }
    text("auth.dkim", best.as_str());
    for signature in dkim.iter().filter(|checked| checked.outcome == Outcome::Pass).filter_map(|checked| checked.signature.as_ref()) {
        text("auth.dkim_domains", &signature.d);
    }
    text("auth.dmarc", dmarc.outcome.as_str());
    if let Some(policy) = dmarc.policy {
        text("auth.policy", &policy.to_string());
    }
    text("auth.dmarc_domain", &dmarc.domain);
    text("auth.arc", arc.outcome.as_str());
    report.findings.push(Finding::flag("auth.arc_trusted", *arc_trusted));
}

/// A domain is never longer; what only looks like one may be.
fn bounded(text: &str) -> String {
    text.chars().take(255).collect()
}

fn ambiguity(settings: &Settings, authorship: &Authorship) -> Verdict {
    let Some(doubt) = authorship.doubts.first() else { return Verdict::Deliver };
    let words = doubt.words();
    match settings.ambiguous {
        Ambiguous::Report => Verdict::Deliver,
        Ambiguous::Quarantine => {
            Verdict::Quarantine(Hold { class: HoldClass::Phishing, reason: format!("not plain who wrote it: {words}").into() })
        }
        // Said, since some program of a sender in good faith may have written it so.
        Ambiguous::Reject => Verdict::Refuse(Refusal::permanent(50, "7.1", &format!("message refused: {words}"))),
    }
}

fn policy(settings: &Settings, results: &Results) -> Verdict {
    let dmarc = &results.dmarc;
    if settings.tempfail && dmarc.outcome == Outcome::TempError {
        return Verdict::Refuse(Refusal::temporary(51, "4.3", "DNS gives no answer about the author's domain, try again later"));
    }
    if !settings.apply_policy || dmarc.outcome != Outcome::Fail || results.arc_trusted {
        return Verdict::Deliver;
    }
    match dmarc.policy {
        Some(Policy::Reject) => Verdict::Refuse(Refusal::permanent(50, "7.26", "refused by the policy of the author's domain (DMARC)")),
        Some(Policy::Quarantine) => {
            let reason = format!("{} asks for quarantine of what is not proven to be its own (DMARC)", bounded(&dmarc.domain));
            Verdict::Quarantine(Hold { class: HoldClass::Phishing, reason: reason.into() })
        }
        _ => Verdict::Deliver,
    }
}
