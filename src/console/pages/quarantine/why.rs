//! "Why was this held?", in plain words: from what decided, and from what was found. Where nothing
//! that is known here was found, it is not made up.
use super::row::findings;
use crate::console::Language;
use crate::preview::visible;
use crate::quarantine::Entry;
use serde_json::Value;

/// Sentences of one kind that are shown; a message with a thousand findings is told by fewer.
const SENTENCES: usize = 40;
/// Characters of a value.
const VALUE: usize = 200;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    /// Who decided, and as what it is held.
    pub headline: String,
    /// What who decided said himself; empty where that is nothing.
    pub said: String,
    /// What was found.
    pub points: Vec<String>,
    /// SPF, DKIM and the like, each with its result in words and a colour.
    pub identity: Vec<Identity>,
}

/// What is known of who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub name: &'static str,
    pub text: String,
    pub colour: &'static str,
}

/// Findings that say something to people, and the sentence that says it: `quarantine.found.…`.
pub(super) const KNOWN: &[(&str, &str)] = &[
    ("clamd.signature", "clamd_signature"),
    ("yara.rule", "yara_rule"),
    ("yara.place", "yara_place"),
    ("attachments.mismatch", "attachments_mismatch"),
    ("attachments.encrypted", "attachments_encrypted"),
    ("attachments.unreadable", "attachments_unreadable"),
    ("attachments.macro", "attachments_macro"),
    ("attachments.limit", "attachments_limit"),
    ("mime.anomaly", "mime_anomaly"),
    ("auth.ambiguous", "auth_ambiguous"),
    ("spamd.score", "spamd_score"),
    ("rspamd.score", "rspamd_score"),
    ("rspamd.action", "rspamd_action"),
    ("rspamd.symbols", "rspamd_symbols"),
    ("milter.quarantine", "milter_quarantine"),
    ("milter.reply", "milter_reply"),
    ("http.action", "http_action"),
    ("http.message", "http_message"),
    ("exec.score", "exec_score"),
    ("exec.finding", "exec_finding"),
    ("rule.matched", "rule_matched"),
    ("stage.incomplete", "stage_incomplete"),
    ("stage.observed", "stage_observed"),
];

/// Traits of attachments that say something: `quarantine.flag.…`.
pub(super) const FLAGS: &[&str] = &[
    "encrypted",
    "hidden",
    "polyglot",
    "auto-exec",
    "external-template",
    "embedded-object",
    "object-update",
    "pdf-javascript",
    "pdf-launch",
    "pdf-embedded-file",
    "html-smuggling",
    "svg-script",
    "name-bidi",
];

const RESULTS: &[&str] = &["pass", "fail", "softfail", "neutral", "none", "temperror", "permerror", "policy"];

pub(super) fn why(entry: &Entry, language: Language) -> Why {
    let found = findings(entry);
    let class = language.t(&format!("quarantine.class.{}", entry.class));
    let headline = match entry.decided_by.as_deref().map(|by| (by.strip_prefix("rule "), by)) {
        Some((Some(rule), _)) => language.with("quarantine.why.rule", &[("rule", &visible(rule)), ("class", &class)]),
        Some((None, stage)) => language.with("quarantine.why.stage", &[("stage", &visible(stage)), ("class", &class)]),
        None => language.with("quarantine.why.nobody", &[("class", &class)]),
    };
    // That it applied is said already.
    let decided = entry.decided_by.as_deref().and_then(|by| by.strip_prefix("rule "));
    let is_said = |(name, value): &&(String, Value)| name == "rule.matched" && value.as_str() == decided && decided.is_some();
    let mut points: Vec<String> =
        found.iter().filter(|finding| !is_said(finding)).filter_map(|(name, value)| sentence(name, value, language)).collect();
    let flags = found.iter().filter(|(name, _)| name == "attachments.flags").filter_map(|(_, value)| value.as_str());
    points.extend(flags.filter(|flag| FLAGS.contains(flag)).map(|flag| language.t(&format!("quarantine.flag.{flag}")).to_owned()));
    points.dedup();
    points.truncate(SENTENCES);
    Why {
        headline,
        said: entry.decided_by.as_ref().filter(|by| **by == entry.reason).map_or_else(|| visible(&entry.reason), |_| String::new()),
        points,
        identity: identity(&found, language),
    }
}

fn sentence(name: &str, value: &Value, language: Language) -> Option<String> {
    let (_, key) = KNOWN.iter().find(|(known, _)| *known == name)?;
    // What was looked for and is not there says nothing.
    if *value == Value::Bool(false) {
        return None;
    }
    Some(language.with(&format!("quarantine.found.{key}"), &[("value", &shown(value, language))]))
}

fn shown(value: &Value, language: Language) -> String {
    let text = match value {
        Value::String(text) => visible(text),
        Value::Number(number) => {
            number.as_f64().filter(|_| number.is_f64()).map_or_else(|| number.to_string(), |real| language.decimal(real, 2))
        }
        other => other.to_string(),
    };
    match text.char_indices().nth(VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn identity(found: &[(String, Value)], language: Language) -> Vec<Identity> {
    let of = |wanted: &str| found.iter().find(|(name, _)| name == wanted).and_then(|(_, value)| value.as_str());
    let rows = [
        ("SPF", "auth.spf", "spf", "auth.spf_domain"),
        ("DKIM", "auth.dkim", "dkim", "auth.dkim_domains"),
        ("DMARC", "auth.dmarc", "dmarc", "auth.dmarc_domain"),
    ];
    let row = |(name, finding, key, domain): (&'static str, &str, &str, &str)| {
        let result = of(finding)?;
        let words = RESULTS.iter().find(|known| **known == result)?;
        let domain = of(domain).map_or_else(|| language.t("quarantine.auth.the_domain").to_owned(), visible);
        let text = language.with(&format!("quarantine.auth.{key}.{words}"), &[("domain", &domain)]);
        let colour = match *words {
            "pass" => "good",
            "fail" | "permerror" => "bad",
            "softfail" | "policy" | "temperror" => "warning",
            _ => "",
        };
        Some(Identity { name, text, colour })
    };
    rows.into_iter().filter_map(row).collect()
}

/// What every result of these three is called, for the test that there are words for it.
#[cfg(test)]
fn keys() -> Vec<String> {
    let found = KNOWN.iter().map(|(_, key)| format!("quarantine.found.{key}"));
    let flags = FLAGS.iter().map(|flag| format!("quarantine.flag.{flag}"));
    let auth = ["spf", "dkim", "dmarc"].iter().flat_map(|key| RESULTS.iter().map(move |result| format!("quarantine.auth.{key}.{result}")));
    let facts = ["held_at", "author", "sender", "client", "hello", "tls", "account", "listener", "message_id", "size", "sha256", "id"];
    let facts = facts.iter().map(|fact| format!("quarantine.fact.{fact}"));
    found.chain(flags).chain(auth).chain(facts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::HoldClass;
    use crate::quarantine::State;
    use std::time::SystemTime;

    pub(in super::super) fn entry(findings: &str) -> Entry {
        let now = SystemTime::now();
        Entry {
            id: "01X".into(),
            message: "01X".into(),
            stored_at: now,
            received_at: now,
            class: "malware".into(),
            reason: "found Eicar".into(),
            decided_by: Some("clamd".into()),
            state: State::Held,
            changed_at: now,
            changed_by: None,
            legal_hold: false,
            listener: "mx".into(),
            client: "{}".into(),
            sender: "a@example.net".into(),
            mail: "<a@example.net>".into(),
            header_from: None,
            subject: None,
            message_id: None,
            size: 1,
            stored: 1,
            sha256: String::new(),
            findings: findings.into(),
            timings: "[]".into(),
            assigned: None,
            recipients: Vec::new(),
            hidden: 0,
            dialogue: None,
        }
    }

    #[test]
    fn there_are_words_for_all_that_is_known_in_both_languages() {
        for (language, _) in Language::ALL {
            for key in keys() {
                assert_ne!(language.t(&key), "…", "{key}");
            }
            for class in HoldClass::ALL {
                assert_ne!(language.t(&format!("quarantine.class.{}", class.as_str())), "…");
            }
            for state in State::ALL {
                assert_ne!(language.t(&format!("quarantine.state.{}", state.as_str())), "…");
                assert_ne!(language.t(&format!("quarantine.is.{}", state.as_str())), "…");
            }
        }
    }

    #[test]
    fn the_answer_names_who_decided_and_what_was_found_and_makes_nothing_up() {
        let known = entry(
            r#"[{"name":"clamd.signature","value":"Eicar\u202e"},{"name":"attachments.encrypted","value":false},
                {"name":"auth.spf","value":"fail"},{"name":"auth.spf_domain","value":"example.net"},{"name":"nobody.knows","value":"x"}]"#,
        );
        let answer = why(&known, Language::English);
        assert!(answer.headline.contains("clamd") && answer.said == "found Eicar", "{answer:?}");
        assert_eq!(answer.points.len(), 1);
        assert!(answer.points[0].contains("Eicar⟨U+202E⟩"), "{answer:?}");
        assert_eq!((answer.identity.len(), answer.identity[0].colour), (1, "bad"));
        assert!(why(&entry("no JSON"), Language::French).points.is_empty());
    }
}
