//! A sentence for whoever asked, before it is known which language he reads: a key of the texts and
//! the values in it.
use super::text::Language;
use std::{borrow::Cow, fmt};

/// A sentence in all languages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    key: Cow<'static, str>,
    values: Vec<(&'static str, String)>,
}

impl Said {
    /// The text of `key`.
    #[must_use]
    pub fn of(key: impl Into<Cow<'static, str>>) -> Self {
        Self { key: key.into(), values: Vec::new() }
    }

    /// With a value in it, which is no markup.
    #[must_use]
    pub fn and(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.values.push((name, value.to_string()));
        self
    }

    /// One of a set of reasons, whose texts stand in `table` under their codes.
    pub(super) fn why(table: &str, code: &str, values: Vec<(&'static str, &str)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        Self { key: format!("{table}.{code}").into(), values }
    }

    /// In a language.
    #[must_use]
    pub fn to(&self, language: Language) -> String {
        let values: Vec<(&str, &dyn fmt::Display)> = self.values.iter().map(|(name, value)| (*name, value as &dyn fmt::Display)).collect();
        language.with(&self.key, &values)
    }
}

/// As the API says it.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to(Language::English))
    }
}
