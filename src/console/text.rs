//! What the console says, in the languages there are: a file each, with the same keys.
use std::{collections::HashMap, sync::OnceLock};
use toml::de::DeTable;

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    English,
    French,
}

type Catalogue = HashMap<String, String>;

impl Language {
    /// All there are, with what they call themselves.
    pub const ALL: [(Self, &'static str); 2] = [(Self::English, "English"), (Self::French, "Français")];

    /// `en`, `fr`: for the `lang` attribute and in rows.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The other way round.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().map(|(language, _)| *language).find(|language| language.code() == code)
    }

    /// What a browser would like best of what there is (RFC 9110 §12.5.4).
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let mut best = (0.0, Self::English);
        for range in header.split(',').take(32) {
            let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
            let weight = weight.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse().ok()).unwrap_or(0.0);
            let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
            if let Some(language) = Self::parse(&primary).filter(|_| weight > best.0) {
                best = (weight, language);
            }
        }
        best.1
    }

    /// The text of a key that there may be.
    #[must_use]
    pub(super) fn find(self, key: &str) -> Option<&'static str> {
        self.catalogue().get(key).map(String::as_str)
    }

    /// The text of `key`. One that is missing shows its key; a test sees to it that none is.
    #[must_use]
    pub fn t(self, key: &str) -> &'static str {
        self.find(key).unwrap_or_else(|| missing(key))
    }

    /// The same with `{name}` replaced by values, which are not markup.
    #[must_use]
    pub fn with(self, key: &str, values: &[(&str, &dyn std::fmt::Display)]) -> String {
        // In one pass: what looks like the place of a value within a value is none.
        let (mut text, mut rest) = (String::new(), self.t(key));
        while let Some((before, from)) = rest.split_once('{') {
            text.push_str(before);
            let place = from.split_once('}').and_then(|(place, after)| Some((values.iter().find(|(name, _)| *name == place)?, after)));
            if let Some(((_, value), after)) = place {
                text.push_str(&value.to_string());
                rest = after;
            } else {
                text.push('{');
                rest = from;
            }
        }
        text.push_str(rest);
        text
    }

    /// Who decided: a stage by its name, a rule (`rule NAME`) as one.
    #[must_use]
    pub fn decider(self, by: &str) -> String {
        by.strip_prefix("rule ").map_or_else(|| by.to_owned(), |name| self.with("decider.rule", &[("name", &name)]))
    }

    /// The text for a number of things: `key.one` or `key.other`, with `{n}`. In French nothing is
    /// singular too.
    #[must_use]
    pub fn count(self, key: &str, n: u64) -> String {
        let singular = match self {
            Self::English => n == 1,
            Self::French => n < 2,
        };
        self.with(&format!("{key}.{}", if singular { "one" } else { "other" }), &[("n", &n)])
    }

    fn catalogue(self) -> &'static Catalogue {
        static ENGLISH: OnceLock<Catalogue> = OnceLock::new();
        static FRENCH: OnceLock<Catalogue> = OnceLock::new();
        match self {
            Self::English => ENGLISH.get_or_init(|| read_all(ENGLISH_SOURCES)),
            Self::French => FRENCH.get_or_init(|| read_all(FRENCH_SOURCES)),
        }
    }
}

/// The frame's, and each area's own.
const ENGLISH_SOURCES: &[&str] = &[include_str!("text/en.toml"), include_str!("text/quarantine_en.toml")];
const FRENCH_SOURCES: &[&str] = &[include_str!("text/fr.toml"), include_str!("text/quarantine_fr.toml")];

fn read_all(sources: &[&str]) -> Catalogue {
    sources.iter().flat_map(|source| read(source)).collect()
}

fn missing(key: &str) -> &'static str {
    tracing::warn!("the console has no text `{}`", key.escape_debug());
    "…"
}

/// Tables within tables become keys with dots.
fn read(source: &str) -> Catalogue {
    fn walk(table: &DeTable<'_>, prefix: &str, into: &mut Catalogue) {
        for (key, value) in table {
            let key = format!("{prefix}{}", key.get_ref());
            match value.get_ref() {
                toml::de::DeValue::Table(table) => walk(table, &format!("{key}."), into),
                value => {
                    if let Some(text) = value.as_str() {
                        into.insert(key, text.to_owned());
                    }
                }
            }
        }
    }
    let (table, _) = DeTable::parse_recoverable(source);
    let mut catalogue = Catalogue::new();
    walk(table.get_ref(), "", &mut catalogue);
    catalogue
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::BTreeSet,
        fs,
        path::{Path, PathBuf},
    };

    fn keys(language: Language) -> BTreeSet<&'static str> {
        language.catalogue().keys().map(String::as_str).collect()
    }

    #[test]
    fn both_languages_have_the_same_keys_and_the_same_values_in_their_texts() {
        for source in ENGLISH_SOURCES.iter().chain(FRENCH_SOURCES) {
            assert!(DeTable::parse_recoverable(source).1.is_empty());
        }
        let (english, french) = (keys(Language::English), keys(Language::French));
        let (no_french, no_english): (Vec<_>, Vec<_>) = (english.difference(&french).collect(), french.difference(&english).collect());
        assert!(no_french.is_empty() && no_english.is_empty(), "not French: {no_french:?}, not English: {no_english:?}");
        let places = |text: &str| {
            let mut places: Vec<_> =
                text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.to_owned()).collect();
            places.sort();
            places.dedup();
            places
        };
        for key in english {
            assert_eq!(places(Language::English.t(key)), places(Language::French.t(key)), "{key}");
        }
    }

    fn files(directory: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, into);
            } else {
                into.push(path);
            }
        }
    }

    /// What stands in `.t("…")`, `.with("…"`, `.count("…"` and `Said::of("…")` in templates and code.
    #[test]
    fn every_key_that_is_asked_for_is_there() {
        let mut all = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console"), &mut all);
        let english = keys(Language::English);
        let mut seen = 0;
        for path in all.iter().filter(|path| !path.ends_with("text.rs")) {
            let Ok(source) = fs::read_to_string(path) else { continue };
            for (call, ends) in [(".t(\"", &[""][..]), (".with(\"", &[""]), ("Said::of(\"", &[""]), (".count(\"", &[".one", ".other"])] {
                for rest in source.split(call).skip(1) {
                    let key = rest.split('"').next().unwrap();
                    // A key that is put together from parts is not looked at here.
                    if key.contains('.') && !key.contains('{') {
                        seen += 1;
                        for end in ends {
                            assert!(english.contains(&*format!("{key}{end}")), "{}: no text `{key}{end}`", path.display());
                        }
                    }
                }
            }
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn browsers_get_what_they_like_best() {
        for (header, language) in [
            ("", Language::English),
            ("de-DE, fr;q=0.5, en;q=0.4", Language::French),
            ("fr-CH, en;q=0.9", Language::French),
            ("en, fr", Language::English),
            ("fr;q=0, en;q=0.1", Language::English),
            ("fr;q=x", Language::English),
        ] {
            assert_eq!(Language::accepted(header), language, "{header}");
        }
        let told = Language::English.with("quarantine.conflict.has_it", &[("address", &"{by}"), ("by", &"{address}")]);
        assert!(told.starts_with("It has been released to {by} by {address}. "), "{told}");
        assert_eq!(
            (Language::French.count("sessions.count", 0), Language::English.count("sessions.count", 0)),
            ("0 session".into(), "0 sessions".into())
        );
    }
}
