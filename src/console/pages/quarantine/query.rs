//! A list as it stands in an address: what is in it finds the same list again, from a bookmark or in
//! somebody else's browser.
use crate::chain::HoldClass;
use crate::console::{Error, Said, day, escape};
use crate::quarantine::{Assigned, Cursor, Filter, Order, Sort, State, Visible};
use axum::{extract::FromRequestParts, http::request::Parts};
use std::time::Duration;

/// What an address may say, in the order in which it is written.
pub(super) const KEYS: [&str; 14] =
    ["state", "class", "q", "from", "to", "after", "before", "finding", "by", "assigned", "hold", "asked", "sort", "dir"];
/// Characters of a value.
const VALUE: usize = 300;

/// The parameters of a list. An extractor: what is no parameter of it is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::console) struct Wanted(Vec<(&'static str, String)>);

impl Wanted {
    fn read(query: &str) -> Self {
        let pairs: Vec<(String, String)> = serde_urlencoded(query);
        let value = |key: &&'static str| {
            let (_, value) = pairs.iter().find(|(name, _)| name == key)?;
            let value: String = value.trim().chars().filter(|c| !c.is_control()).take(VALUE).collect();
            (!value.is_empty()).then_some((*key, value))
        };
        Self(KEYS.iter().filter_map(value).collect())
    }

    /// Empty where it is not said.
    pub(super) fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(name, _)| *name == key).map_or("", |(_, value)| value)
    }

    /// The same with another value; with an empty one without.
    pub(in crate::console) fn with(&self, key: &'static str, value: &str) -> Self {
        let mut pairs: Vec<_> = self.0.iter().filter(|(name, _)| *name != key).cloned().collect();
        if !value.is_empty() {
            pairs.push((key, value.to_owned()));
        }
        pairs.sort_by_key(|(name, _)| KEYS.iter().position(|key| key == name));
        Self(pairs)
    }

    /// `?a=b&c=d`, or nothing.
    pub(super) fn query(&self) -> String {
        let pairs: Vec<_> = self.0.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }

    /// The same with more behind it.
    pub(super) fn query_and(&self, key: &str, value: &str) -> String {
        let query = self.query();
        format!("{query}{}{key}={}", if query.is_empty() { '?' } else { '&' }, escape(value))
    }

    /// What is asked for beyond state and class.
    pub(super) fn is_narrow(&self) -> bool {
        self.0.iter().any(|(key, _)| !matches!(*key, "state" | "class" | "sort" | "dir" | "q"))
    }

    /// Anything that leaves something out.
    pub(super) fn is_filtered(&self) -> bool {
        self.0.iter().any(|(key, _)| !matches!(*key, "sort" | "dir" | "state"))
    }

    /// The filter for somebody called `name`, who may see `visible`.
    pub(in crate::console) fn filter(&self, visible: Visible, name: &str) -> Result<(Filter, Order), Error> {
        // A form sends none of these: somebody has written the address.
        let bad = |what: &str| Error::Bad(Said::of("error.value").and("value", self.get(what)).and("name", what));
        let text = |key: &str| Some(self.get(key)).filter(|value| !value.is_empty()).map(str::to_owned);
        let state = match self.get("state") {
            "" => Some(State::Held),
            "all" => None,
            word => Some(State::parse(word).ok_or_else(|| bad("state"))?),
        };
        let class = match self.get("class") {
            "" => None,
            word => Some(HoldClass::parse(word).ok_or_else(|| bad("class"))?),
        };
        let at = |key: &'static str| match self.get(key) {
            "" => Ok(None),
            word => day(word).map(Some).ok_or_else(|| Error::Bad(Said::of("error.date").and("value", word))),
        };
        let assigned = match self.get("assigned") {
            "" => None,
            "nobody" => Some(Assigned::Nobody),
            "me" => Some(Assigned::To(name.to_owned())),
            other => Some(Assigned::To(other.to_owned())),
        };
        let sort = match self.get("sort") {
            "" | "time" => Sort::Time,
            "size" => Sort::Size,
            "sender" => Sort::Sender,
            _ => return Err(bad("sort")),
        };
        let filter = Filter {
            visible,
            class,
            state,
            sender: text("from"),
            recipient: text("to"),
            text: text("q"),
            after: at("after")?,
            // With that day.
            before: at("before")?.map(|day| day + Duration::from_secs(86_400)),
            finding: text("finding"),
            decided_by: text("by"),
            assigned,
            legal_hold: !self.get("hold").is_empty(),
            asked: !self.get("asked").is_empty(),
        };
        Ok((filter, Order { sort, ascending: self.get("dir") == "asc" }))
    }
}

/// The parameters of a query, percent-encoding undone; at most a hundred.
pub(super) fn serde_urlencoded(query: &str) -> Vec<(String, String)> {
    axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&format!("/?{query}").parse().unwrap_or_default())
        .map_or_else(|_| Vec::new(), |pairs| pairs.0.into_iter().take(100).collect())
}

impl<S: Sync> FromRequestParts<S> for Wanted {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

/// A parameter that is none of the list's.
pub(super) struct Extra(Vec<(String, String)>);

impl Extra {
    pub(super) fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }
    pub(super) fn cursor(&self) -> Result<Option<Cursor>, Error> {
        match self.get("at") {
            "" => Ok(None),
            text => Cursor::parse(text).map(Some).ok_or_else(|| Error::Bad(Said::of("error.address"))),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Extra {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        Ok(Self(serde_urlencoded(parts.uri.query().unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_the_same_as_its_list() {
        let wanted = Wanted::read("state=all&class=malware&q=a+b%26c&to=%40example.org&nothing=x&sort=size&dir=asc&assigned=me");
        assert_eq!(Wanted::read(wanted.query().trim_start_matches('?')), wanted);
        let (filter, order) = wanted.filter(Visible::All, "anna").unwrap();
        assert_eq!((filter.state, filter.class, filter.text.as_deref()), (None, Some(HoldClass::Malware), Some("a b&c")));
        assert_eq!((filter.recipient.as_deref(), filter.assigned), (Some("@example.org"), Some(Assigned::To("anna".into()))));
        assert_eq!(order, Order { sort: Sort::Size, ascending: true });
        assert_eq!(wanted.with("class", "").with("q", "x").get("q"), "x");
        let (filter, _) = Wanted::default().filter(Visible::All, "anna").unwrap();
        assert_eq!(filter.state, Some(State::Held), "what is to be looked at comes first");
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for query in ["state=x", "class=x", "sort=x", "after=yesterday", "before=2026-13-01"] {
            assert!(matches!(Wanted::read(query).filter(Visible::All, "x"), Err(Error::Bad(_))), "{query}");
        }
    }
}
