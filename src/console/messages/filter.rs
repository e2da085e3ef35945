//! What is asked of the journal, as it stands in the address of the page.
use crate::console::Said;
use crate::journal::{Kind, Query};
use serde::Deserialize;
use std::time::{Duration, SystemTime};

/// The fields of the form; all of them texts, so that whatever stands in an address is answered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Filter {
    pub q: String,
    pub sender: String,
    pub recipient: String,
    pub client: String,
    pub verdict: String,
    pub kind: String,
    pub by: String,
    pub finding: String,
    pub violation: String,
    pub attachment: String,
    pub host: String,
    pub id: String,
    /// One of [`SINCE`], or empty for the default.
    pub since: String,
    /// The key of the last row of the page before.
    pub below: String,
}

/// How far back one looks, in hours; 0 is all there is.
pub(in crate::console) const SINCE: [(&str, u64); 5] = [("hour", 1), ("day", 24), ("week", 7 * 24), ("month", 30 * 24), ("all", 0)];
/// What is looked through where nothing is chosen.
const DEFAULT: &str = "week";

pub(in crate::console) const VERDICTS: [&str; 6] = ["delivered", "quarantined", "rejected", "deferred", "discarded", "lost"];

/// A field that cannot be read: its name in the form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) struct Unreadable(pub &'static str);

impl Unreadable {
    pub(in crate::console) fn is_client(self) -> bool {
        self.0 == "client"
    }

    pub(in crate::console) fn said(self) -> Said {
        Said::of(if self.is_client() { "messages.wrong.client" } else { "messages.wrong.other" })
    }
}

impl Filter {
    /// The period that is chosen.
    pub(in crate::console) fn since(&self) -> &str {
        SINCE.iter().map(|(name, _)| *name).find(|name| *name == self.since).unwrap_or(DEFAULT)
    }

    pub(in crate::console) fn has_verdict(&self, verdict: &str) -> bool {
        self.verdict == verdict
    }
    pub(in crate::console) fn has_kind(&self, kind: &str) -> bool {
        self.kind == kind
    }
    pub(in crate::console) fn has_since(&self, since: &str) -> bool {
        self.since() == since
    }

    /// Whether something is asked beyond what the plain page shows.
    pub(in crate::console) fn is_open(&self) -> bool {
        [&self.kind, &self.client, &self.by, &self.finding, &self.violation, &self.attachment, &self.host, &self.id]
            .iter()
            .any(|field| !field.is_empty())
    }

    /// The query, for recipients of `domains` only where there are some.
    pub(super) fn query(&self, domains: Vec<String>, now: SystemTime, limit: u64) -> Result<Query, Unreadable> {
        let some = |text: &str| Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
        let is_one =
            |text: &str, known: &[&str], name| if text.is_empty() || known.contains(&text) { Ok(()) } else { Err(Unreadable(name)) };
        is_one(&self.since, &SINCE.map(|(name, _)| name), "since")?;
        is_one(&self.verdict, &VERDICTS, "verdict")?;
        is_one(&self.kind, &["message", "command", "connection", "violation", "all"], "kind")?;
        if !self.below.is_empty() && self.below.parse::<i64>().is_err() {
            return Err(Unreadable("below"));
        }
        let hours = SINCE.iter().find(|(name, _)| *name == self.since()).map_or(0, |(_, hours)| *hours);
        let client = match self.client.trim() {
            "" => None,
            text => Some(network(text).ok_or(Unreadable("client"))?),
        };
        let finding = some(&self.finding).map(|text| match text.split_once('=') {
            Some((name, value)) => (name.trim().to_owned(), some(value)),
            None => (text, None),
        });
        // What was refused before there was a message has no verdict, and so is found by its kind.
        let kind = if self.kind == "all" { None } else { Kind::parse(&self.kind).or(Some(Kind::Message)) };
        Ok(Query {
            after: (hours > 0).then(|| now.checked_sub(Duration::from_secs(hours * 3600))).flatten(),
            kind: kind.filter(|_| self.id.trim().is_empty()),
            client,
            sender: some(&self.sender).map(|sender| if sender == "<>" { String::new() } else { sender }),
            recipient: some(&self.recipient),
            recipient_domains: domains,
            id: some(&self.id),
            verdicts: some(&self.verdict).into_iter().collect(),
            finding,
            decided_by: some(&self.by),
            violation: some(&self.violation),
            attachment: some(&self.attachment),
            host: some(&self.host),
            text: some(&self.q),
            below: self.below.parse().ok(),
            ..Query::new(limit)
        })
    }

    /// The address of the page that begins below `key`; `None`: of the first.
    pub(in crate::console) fn link(&self, key: Option<i64>) -> String {
        let below = key.map(|key| key.to_string()).unwrap_or_default();
        let fields = [
            ("q", &self.q),
            ("sender", &self.sender),
            ("recipient", &self.recipient),
            ("client", &self.client),
            ("verdict", &self.verdict),
            ("kind", &self.kind),
            ("by", &self.by),
            ("finding", &self.finding),
            ("violation", &self.violation),
            ("attachment", &self.attachment),
            ("host", &self.host),
            ("id", &self.id),
            ("since", &self.since),
            ("below", &below),
        ];
        let pairs: Vec<_> = fields
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", crate::console::escape(value)))
            .collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// An address or a network.
fn network(text: &str) -> Option<ipnet::IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(ipnet::IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_means_what_it_says() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let filter = Filter { sender: " <> ".into(), finding: "auth.dmarc = fail".into(), client: "192.0.2.7".into(), ..Filter::default() };
        let query = filter.query(vec!["example.org".into()], now, 50).unwrap();
        assert_eq!(query.sender.as_deref(), Some(""));
        assert_eq!(query.finding, Some(("auth.dmarc".into(), Some("fail".into()))));
        assert_eq!(query.client.unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(query.kind, Some(Kind::Message));
        assert_eq!(query.recipient_domains, ["example.org"]);
        assert_eq!(now.duration_since(query.after.unwrap()).unwrap().as_secs(), 7 * 86_400);
        assert_eq!(Filter { client: "nowhere".into(), ..Filter::default() }.query(vec![], now, 50), Err(Unreadable("client")));
        assert_eq!(Filter { since: "ever".into(), ..Filter::default() }.query(vec![], now, 50), Err(Unreadable("since")));
        assert_eq!(Filter { below: "x".into(), ..Filter::default() }.query(vec![], now, 50), Err(Unreadable("below")));
        assert!(Filter { since: "all".into(), ..Filter::default() }.query(vec![], now, 50).unwrap().after.is_none());
    }

    #[test]
    fn what_is_asked_survives_a_turn_of_the_page() {
        let filter = Filter { q: "a&b=c d".into(), below: "7".into(), ..Filter::default() };
        assert_eq!(filter.link(Some(12)), "?q=a%26b%3Dc%20d&below=12");
        assert_eq!(filter.link(None), "?q=a%26b%3Dc%20d");
        assert_eq!(Filter::default().link(None), "");
    }
}
