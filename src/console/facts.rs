//! The facts of a record in the audit, in the reader's language. A name or a word of another version
//! stands as it was written.
use super::{layout::browser, text::Language};
use crate::preview::visible;
use serde_json::Value;

/// Names and values, in the order they were written in; values may be hostile and are made visible.
pub(super) fn facts(detail: &str, language: Language) -> Vec<(String, String)> {
    let detail: Value = serde_json::from_str(detail).unwrap_or_default();
    let one = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(agent) if name == "agent" => browser(agent),
            Value::Array(list) => list.iter().map(|value| word(name, value, language)).collect::<Vec<_>>().join(", "),
            value => word(name, value, language),
        };
        let name = language.find(&format!("fact.{name}")).map_or_else(|| name.clone(), str::to_owned);
        (name, visible(&text))
    };
    detail.as_object().into_iter().flatten().map(one).filter(|(_, value)| !value.is_empty()).collect()
}

/// A value; where it is a word of ours, what that means.
fn word(name: &str, value: &Value, language: Language) -> String {
    let table = match name {
        "roles" => Some("role"),
        "scopes" => Some("permission"),
        "domains" => Some(""),
        _ => None,
    };
    if let (Some(table), Value::String(list)) = (table, value) {
        let one = |word: &str| language.find(&format!("{table}.{word}")).unwrap_or(word).to_owned();
        return list.split(' ').map(one).collect::<Vec<_>>().join(", ");
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => return language.t(if *yes { "fact_word.yes" } else { "fact_word.no" }).to_owned(),
        other => other.to_string(),
    };
    let is_word = matches!(name, "what" | "step" | "method" | "reason" | "sender");
    let known = is_word.then(|| language.find(&format!("fact_word.{text}"))).flatten();
    known.map_or(text, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Failure, Method};

    #[test]
    fn facts_are_told_in_words_and_what_is_not_known_as_it_stands() {
        let detail = r#"{"what":"headers","recipients":["a@example.org","b@example.org"],"all":true,"roles":"senior auditor","domains":"a.example b.example","later":"x\u202e","agent":""}"#;
        let told = facts(detail, Language::French);
        let told: Vec<_> = told.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert!(told.contains(&("quoi", "en-têtes")) && told.contains(&("destinataires", "a@example.org, b@example.org")), "{told:?}");
        assert!(told.contains(&("toutes", "oui")) && told.contains(&("later", "x⟨U+202E⟩")), "{told:?}");
        assert!(told.contains(&("rôles", "Senior, Auditeur")) && told.contains(&("domaines", "a.example, b.example")), "{told:?}");
        assert_eq!(told.len(), 6, "what is empty is not told");
        assert!(facts("no JSON", Language::English).is_empty());
    }

    #[test]
    fn ways_to_sign_in_have_words() {
        let words = Method::ALL.iter().map(|word| word.as_str()).chain(Failure::ALL.iter().map(|word| word.as_str()));
        for word in words {
            for (language, _) in Language::ALL {
                assert!(language.find(&format!("fact_word.{word}")).is_some(), "{word}");
            }
        }
    }
}
