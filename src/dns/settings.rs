//! What stands in `[dns]`.
use crate::value::settings::{Placed, Section, Setting};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use toml::de::DeValue;

/// The settings `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whom to ask; none: whom the system asks.
    pub resolvers: Vec<SocketAddr>,
    /// For one attempt at a question, over all resolvers.
    pub timeout: Duration,
    /// How often a question that gets no answer is asked, at least 1.
    pub attempts: usize,
    /// Answers that a worker remembers.
    pub cache: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { resolvers: Vec::new(), timeout: Duration::from_secs(3), attempts: 2, cache: 2048 }
    }
}

impl Settings {
    #[must_use]
    pub fn read(section: &mut Section<'_>) -> Self {
        let usual = Self::default();
        section.otherwise("resolvers", "those of /etc/resolv.conf");
        let resolvers: Vec<Server> = section.take_list("resolvers").unwrap_or_default();
        let timeout = section.take_placed_unless("timeout", &usual.timeout);
        let timeout = at_least(section, "timeout", timeout, Duration::from_millis(1), "an answer takes time");
        let attempts = section.take_placed_unless("attempts", &usual.attempts);
        let attempts = at_least(section, "attempts", attempts, 1, "a question that is never asked has no answer");
        Self {
            resolvers: resolvers.into_iter().map(|Server(address)| address).collect(),
            timeout: timeout.unwrap_or(usual.timeout),
            attempts: attempts.unwrap_or(usual.attempts),
            cache: section.take_or("cache", usual.cache),
        }
    }

    /// The longest that one question can take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.timeout.saturating_mul(u32::try_from(self.attempts).unwrap_or(u32::MAX))
    }
}

fn at_least<T: PartialOrd>(section: &Section<'_>, key: &str, given: Option<Placed<T>>, least: T, why: &str) -> Option<T> {
    let Placed { value, span } = given?;
    if value < least {
        section.complain_at(span, format!("`{}`: {why}", section.path(key)));
    }
    Some(value)
}

/// A DNS server: an address, with port 53 where it says no other.
struct Server(SocketAddr);

impl Setting for Server {
    const EXPECTED: &'static str = "an address such as \"127.0.0.1\", \"192.0.2.53:5353\" or \"[2001:db8::53]:53\"";
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        let alone = text.parse().map(|address: IpAddr| SocketAddr::new(address, 53));
        text.parse().or(alone).map(Self).map_err(|_| Some(format!("`{text}` is not {}", Self::EXPECTED)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::settings::Problems;
    use toml::de::DeTable;

    fn read(text: &str) -> (Settings, Vec<(String, String)>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let problems = Problems::default();
        let settings = Settings::read(&mut Section::root(&table, problems.clone()).section("dns"));
        (settings, problems.take().into_iter().map(|problem| (text[problem.span].to_owned(), problem.text)).collect())
    }

    #[test]
    fn settings_are_read_and_have_defaults() {
        assert_eq!(read(""), (Settings::default(), vec![]));
        let (settings, found) =
            read("[dns]\nresolvers = [\"127.0.0.1\", \"::1\", \"127.0.0.1:5353\"]\ntimeout = \"1s\"\nattempts = 3\ncache = 0\n");
        assert_eq!(found, []);
        let resolvers = ["127.0.0.1:53", "[::1]:53", "127.0.0.1:5353"].map(|address| address.parse().unwrap()).to_vec();
        assert_eq!(settings, Settings { resolvers, timeout: Duration::from_secs(1), attempts: 3, cache: 0 });
        assert_eq!(settings.patience(), Duration::from_secs(3));
    }

    #[test]
    fn mistakes_are_told_with_their_places() {
        let (_, found) = read("[dns]\nresolvers = [\"127.0.0.1\", \"localhost\"]\ntimeout = \"0s\"\nattempts = 0\n");
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["\"localhost\"", "\"0s\"", "0"], "{found:#?}");
        assert!(found[0].1.starts_with("`dns.resolvers`: `localhost` is not an address such as"), "{found:#?}");
    }
}
