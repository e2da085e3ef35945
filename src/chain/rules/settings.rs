//! `[[rule]]` of the configuration.
use super::{Marks, Rule, Rules, Template, Then};
use crate::{
    chain::{HoldClass, Mode, Pattern, Vocabulary, settings},
    message::NewField,
    smtp::Refusal,
    value::settings::{Placed, Section},
};
use std::sync::OnceLock;

/// Rules for single recipients that can be told apart at RCPT.
const FOR_RECIPIENTS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Accept,
    Tag,
    Quarantine,
    Tempfail,
    Reject,
    Discard,
}

const WORDS: &[(&str, Option<Word>)] = &[
    ("accept", Some(Word::Accept)),
    ("tag", Some(Word::Tag)),
    ("quarantine", Some(Word::Quarantine)),
    ("tempfail", Some(Word::Tempfail)),
    ("reject", Some(Word::Reject)),
    ("discard", Some(Word::Discard)),
];

const CLASSES: &[(&str, HoldClass)] =
    &[("malware", HoldClass::Malware), ("phishing", HoldClass::Phishing), ("spam", HoldClass::Spam), ("policy", HoldClass::Policy)];

/// Reads all `[[rule]]` of the root table, in order. Mistakes go where `root` collects them; what is
/// returned is of use only where there are none.
pub fn read(root: &mut Section<'_>, vocabulary: Vocabulary, listeners: &[Box<str>]) -> Rules {
    let mut rules: Vec<Rule> = Vec::new();
    for mut section in root.sections("rule") {
        let Some(rule) = read_one(&mut section, &vocabulary, listeners) else { continue };
        if rules.iter().any(|other| other.name == rule.name) {
            section.complain(format!("two rules are called `{}`: give each a name of its own", rule.name));
        }
        if !rule.recipients.is_empty() && rules.iter().filter(|rule| !rule.recipients.is_empty()).count() >= FOR_RECIPIENTS {
            section.complain(format!("more than {FOR_RECIPIENTS} rules with `recipients`"));
        }
        rules.push(rule);
    }
    Rules::new(rules, vocabulary)
}

fn read_one(section: &mut Section<'_>, vocabulary: &Vocabulary, listeners: &[Box<str>]) -> Option<Rule> {
    let name = section.require_placed::<Box<str>>("name");
    if let Some(Placed { value, span }) = name.as_ref().filter(|name| !crate::chain::is_name(&name.value)) {
        let text = format!("`{}`: `{value}` must be 1 to 64 letters, digits, `.`, `_` or `-`", section.path("name"));
        section.complain_at(span.clone(), text);
    }
    let when = settings::when(section, vocabulary);
    let listeners = settings::listeners(section, listeners);
    section.otherwise("recipients", "all");
    let recipients = settings::patterns(section, "recipients", Pattern::address);
    let mode = section.choice("mode", &[("enforce", Mode::Enforce), ("observe", Mode::Observe)], Mode::Enforce);
    if !section.has("then") {
        section.complain(format!("`{}` is missing: what is to be done", section.path("then")));
    }
    let Some(word) = section.choice("then", WORDS, None) else {
        // Nobody knows which of these it should have had.
        for key in ["reply", "reason", "class", "add", "subject_tag"] {
            section.has(key);
        }
        return None;
    };
    let name = name?.value;
    let then = read_then(section, word, vocabulary, &name);
    let marks = read_marks(section, word, vocabulary);
    let marks = marks.unwrap_or_default();
    Some(Rule { name, when: when.ok()?, then: then?, mode, listeners, recipients, marks, metrics: OnceLock::new() })
}

fn read_then(section: &mut Section<'_>, word: Word, vocabulary: &Vocabulary, name: &str) -> Option<Then> {
    let permanent = word == Word::Reject;
    let usual = match word {
        Word::Reject => Some(Refusal::permanent(50, "7.1", &format!("refused by policy ({name})"))),
        Word::Tempfail => Some(Refusal::temporary(51, "7.1", &format!("refused for now by policy ({name})"))),
        _ => None,
    };
    let reply = match (section.take_placed::<Refusal>("reply"), &usual) {
        (Some(reply), None) => {
            section.complain_at(reply.span, format!("`{}` is what \"reject\" and \"tempfail\" say", section.path("reply")));
            None
        }
        (Some(reply), Some(_)) if reply.value.is_permanent() != permanent => {
            let (class, word) = if permanent { ("5yz", "reject") } else { ("4yz", "tempfail") };
            section.complain_at(reply.span, format!("`{}`: \"{word}\" needs a {class} reply", section.path("reply")));
            None
        }
        (Some(reply), Some(_)) => Some((reply.value, Some(reply.span))),
        (None, usual) => usual.clone().map(|usual| (usual, None)),
    };
    match (word, &usual) {
        (Word::Quarantine, _) => section.holds_without("reason", &format!("rule {name}")),
        (_, Some(usual)) => section.otherwise("reply", &format!("{} {}", usual.reply().code(), usual.reply().text())),
        _ => {}
    }
    let reason = section.take_placed::<String>("reason");
    let class = section.choice("class", CLASSES, HoldClass::Policy);
    if word != Word::Quarantine {
        for key in ["reason", "class"] {
            if let Some(span) = section.place(key) {
                section.complain_at(span, format!("`{}` is for \"quarantine\"", section.path(key)));
            }
        }
    }
    Some(match word {
        Word::Accept => Then::Accept,
        Word::Tag => Then::Tag,
        Word::Discard => Then::Discard,
        Word::Quarantine => {
            let reason = match reason {
                Some(Placed { value, span }) => template(section, "reason", &value, span, vocabulary)?,
                None => Template::parse(&format!("rule {name}"), vocabulary).ok()?,
            };
            Then::Quarantine(class, reason)
        }
        Word::Tempfail | Word::Reject => {
            let (reply, span) = reply?;
            let span = span.unwrap_or_else(|| section.span());
            let text = template(section, "reply", reply.reply().text(), span, vocabulary)?;
            Then::Refuse(reply.reply().code(), text)
        }
    })
}

fn read_marks(section: &mut Section<'_>, word: Word, vocabulary: &Vocabulary) -> Option<Marks> {
    let mut headers = Vec::new();
    for NewField { name, value } in section.take_list::<NewField>("add").unwrap_or_default() {
        let span = section.place("add").unwrap_or_else(|| section.span());
        headers.push((name, template(section, "add", &value, span, vocabulary)?));
    }
    let subject_tag = section.take_placed::<Box<str>>("subject_tag");
    if let Some(Placed { value, span }) = &subject_tag
        && (value.trim().is_empty() || value.len() > 64 || !value.bytes().all(|octet| matches!(octet, b' '..=b'~')))
    {
        section.complain_at(span.clone(), format!("`{}` must be 1 to 64 printable ASCII characters", section.path("subject_tag")));
    }
    let marks = Marks { headers, subject_tag: subject_tag.map(|tag| tag.value) };
    match (word, marks.is_empty()) {
        (Word::Tag, true) => section.complain("a rule that tags needs `add` or `subject_tag`"),
        (Word::Reject | Word::Tempfail | Word::Discard, false) => section.complain("nobody gets the message to see `add` or `subject_tag`"),
        _ => {}
    }
    Some(marks)
}

fn template(section: &Section<'_>, key: &str, text: &str, span: std::ops::Range<usize>, vocabulary: &Vocabulary) -> Option<Template> {
    let complain = |why| section.complain_at(span, format!("`{}`: {why}", section.path(key)));
    Template::parse(text, vocabulary).map_err(complain).ok()
}
