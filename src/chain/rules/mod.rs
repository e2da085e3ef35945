//! Policy over what the stages found: rules, in order, at the end of the message.
//!
//! ```toml
//! [[rule]]
//! name  = "dmarc"
//! when  = 'auth.dmarc == "fail" && auth.policy == "reject"'
//! then  = "reject"
//! reply = "550 5.7.26 rejected by the policy of {auth.from_domain}"
//! ```
//!
//! The first rule that holds and says something final ends them; `tag` is not final. A rule cannot
//! undo what a stage decided: the strictest verdict wins. `accept` ends the rules, so that an
//! exception can stand above the rule it is made from.

mod settings;
mod template;

pub use settings::read;
pub use template::Template;

use super::{Expression, Facts, Finding, ForRecipient, Hold, HoldClass, Mode, Pattern, Verdict, Vocabulary, finding};
use crate::{
    message::{Edit, Edits, HeaderBlock},
    smtp::{Address, Recipient, Refusal, Reply},
    telemetry::{Metrics, RuleMetrics},
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// All rules, in order.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    vocabulary: Vocabulary,
}

#[derive(Debug)]
pub struct Rule {
    name: Box<str>,
    /// Without one it always holds.
    when: Option<Expression>,
    then: Then,
    mode: Mode,
    listeners: Vec<Box<str>>,
    /// Empty: all.
    recipients: Vec<Pattern>,
    marks: Marks,
    metrics: OnceLock<Arc<RuleMetrics>>,
}

#[derive(Debug)]
enum Then {
    Accept,
    Tag,
    Quarantine(HoldClass, Template),
    /// Reply code, and text with its enhanced status code.
    Refuse(u16, Template),
    Discard,
}

/// What a message is marked with.
#[derive(Debug, Default)]
struct Marks {
    headers: Vec<(Box<str>, Template)>,
    subject_tag: Option<Box<str>>,
}

/// What the rules say of a message.
#[derive(Debug, Default, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// The rule whose verdict it is.
    pub by: Option<Box<str>>,
    pub recipients: Vec<(Address, ForRecipient)>,
    pub edits: Vec<Edit>,
    pub findings: Vec<Finding>,
}

impl Rule {
    fn applies_to(&self, listener: &str) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|own| &**own == listener)
    }
    fn is_for(&self, recipient: &Address) -> bool {
        self.recipients.is_empty() || self.recipients.iter().any(|pattern| pattern.is_address(Some(recipient)))
    }
    /// Whether it can do what it does for some recipients of a message and not for the others.
    fn divides(&self) -> bool {
        self.mode == Mode::Observe || (matches!(self.then, Then::Quarantine(..) | Then::Discard) && self.marks.is_empty())
    }
}

impl Marks {
    fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.subject_tag.is_none()
    }

    fn edits(&self, facts: &Facts<'_>, header: &HeaderBlock) -> Vec<Edit> {
        let add = |(name, value): &(Box<str>, Template)| Edit::AddHeader { name: name.clone(), value: value.fill(facts).into() };
        let mut edits: Vec<_> = self.headers.iter().map(add).collect();
        if let Some(tag) = &self.subject_tag {
            edits.extend(tagged(tag, header));
        }
        edits
    }
}

/// The subject with `tag` before it; `None` where it stands there already, as in a reply.
fn tagged(tag: &str, header: &HeaderBlock) -> Option<Edit> {
    let old = header.find("Subject").map(|field| field.for_edit()).unwrap_or_default();
    if memchr::memmem::find(&old, tag.trim().as_bytes()).is_some() {
        return None;
    }
    let value = [tag.trim_end().as_bytes(), b" ", &old].concat();
    Some(Edit::ReplaceHeader { name: "Subject".into(), nth: 1, value: value.into() })
}

impl Rules {
    fn new(rules: Vec<Rule>, vocabulary: Vocabulary) -> Self {
        Self { rules, vocabulary }
    }
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Vec::new(), Vocabulary::of_session())
    }
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }
    pub(super) fn attach(&self, metrics: &Metrics) {
        for rule in &self.rules {
            // A chain is attached once; the second time nothing would change.
            let _ = rule.metrics.set(metrics.rule(&rule.name));
        }
    }

    /// Which rules that cannot divide a message are for this recipient: one bit each. Recipients
    /// that differ here belong into transactions of their own, since a client hears one answer for
    /// all recipients of a message (RFC 5321 §4.2.5).
    #[must_use]
    pub fn policy_of(&self, listener: &str, recipient: &Recipient) -> u64 {
        let dividing = self.rules.iter().filter(|rule| !rule.recipients.is_empty());
        let mut policy = 0;
        for (n, rule) in dividing.enumerate() {
            if !rule.divides() && rule.applies_to(listener) && rule.is_for(&recipient.address) {
                policy |= 1_u64.checked_shl(u32::try_from(n).unwrap_or(u32::MAX)).unwrap_or(0);
            }
        }
        policy
    }

    /// What they say; `facts.header` is the header section as edited so far.
    #[must_use]
    pub fn judge(&self, facts: &Facts<'_>) -> Judgement {
        let mut judgement = Judgement::default();
        let mut header = facts.header.cloned().unwrap_or_default();
        for rule in &self.rules {
            let concerned: Vec<&Recipient> = facts.recipients.iter().filter(|recipient| rule.is_for(&recipient.address)).collect();
            if !rule.applies_to(&facts.client.listener) || concerned.is_empty() {
                continue;
            }
            match rule.when.as_ref().map_or(Ok(true), |when| when.holds(facts)) {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    // Nobody knows what the administrator wanted with this message: later.
                    tracing::error!(rule = %rule.name, %error, "rule cannot be evaluated");
                    if rule.mode == Mode::Enforce {
                        judgement.verdict = Verdict::Refuse(Refusal::temporary(51, "7.1", "policy cannot be evaluated, try again later"));
                        judgement.by = Some(rule.name.clone());
                        return judgement;
                    }
                    continue;
                }
            }
            if let Some(metrics) = rule.metrics.get() {
                metrics.matches.inc();
            }
            if rule.mode == Mode::Observe {
                judgement.findings.push(Finding::text(finding::OBSERVED, format!("rule {}: {}", rule.name, rule.then.as_str())));
                continue;
            }
            judgement.findings.push(Finding::text(finding::RULE, rule.name.clone()));
            if !rule.marks.is_empty() {
                // The next one that marks sees this mark.
                let marks = Edits(rule.marks.edits(facts, &header));
                header = HeaderBlock::new(marks.apply(&header));
                judgement.edits.extend(marks.0);
            }
            let whole = concerned.len() == facts.recipients.len();
            let Some(verdict) = rule.then.verdict(facts) else { continue };
            match (whole, verdict) {
                (false, Verdict::Quarantine(hold)) => {
                    let held = concerned.iter().map(|recipient| (recipient.address.clone(), ForRecipient::Quarantine(hold.clone())));
                    judgement.recipients.extend(held);
                    // The others are still to be judged.
                    continue;
                }
                (false, Verdict::Discard) => {
                    judgement.recipients.extend(concerned.iter().map(|recipient| (recipient.address.clone(), ForRecipient::Discard)));
                    continue;
                }
                (_, Verdict::Deliver) => {}
                (_, verdict) => {
                    judgement.verdict = verdict;
                    judgement.by = Some(rule.name.clone());
                }
            }
            break;
        }
        judgement
    }
}

/// As `octroi check` shows them.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  rules, in order:")?;
        for rule in &self.rules {
            write!(f, "    {}: {}", rule.name, rule.then.as_str())?;
            if let Some(when) = &rule.when {
                write!(f, " when {}", when.text())?;
            }
            if !rule.recipients.is_empty() {
                write!(f, ", for some recipients")?;
            }
            if !rule.listeners.is_empty() {
                write!(f, ", on {}", rule.listeners.join(", "))?;
            }
            writeln!(f, "{}", if rule.mode == Mode::Observe { ", only observes" } else { "" })?;
        }
        Ok(())
    }
}

impl Then {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Tag => "tag",
            Self::Quarantine(..) => "quarantine",
            Self::Refuse(code, _) if *code >= 500 => "reject",
            Self::Refuse(..) => "tempfail",
            Self::Discard => "discard",
        }
    }

    /// `None` where the next rule is asked.
    fn verdict(&self, facts: &Facts<'_>) -> Option<Verdict> {
        Some(match self {
            Self::Tag => return None,
            Self::Accept => Verdict::Deliver,
            Self::Discard => Verdict::Discard,
            Self::Quarantine(class, reason) => Verdict::Quarantine(Hold { class: *class, reason: reason.fill(facts).into() }),
            Self::Refuse(code, text) => {
                let refusal = Refusal::from_reply(Reply::new(*code, text.fill(facts)));
                Verdict::Refuse(refusal.unwrap_or_else(|| Refusal::temporary(51, "7.1", "refused by policy")))
            }
        })
    }
}

#[cfg(test)]
mod tests;
