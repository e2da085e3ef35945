//! Which upstream a recipient's mail goes to.
use super::settings::Route;
use crate::smtp::Address;
use std::{borrow::Cow, collections::HashMap};

/// Every domain with its first route, so that a thousand domains cost no more than one.
#[derive(Debug, Default)]
pub(super) struct Table {
    exact: HashMap<Box<str>, Hit>,
    /// By what stands behind `*.`.
    below: HashMap<Box<str>, Hit>,
}

#[derive(Debug, Clone, Copy)]
struct Hit {
    /// Place among the routes: the first that matches wins.
    rank: usize,
    target: usize,
}

impl Table {
    /// `place` knows the targets by name; a route to one that it does not know matches nothing.
    pub(super) fn new(routes: &[Route], place: impl Fn(&str) -> Option<usize>) -> Self {
        let mut table = Self::default();
        for (rank, route) in routes.iter().enumerate() {
            let Some(target) = place(&route.upstream) else { continue };
            for pattern in &route.domains {
                let pattern = pattern.to_lowercase();
                let (map, domain) = match pattern.strip_prefix("*.") {
                    Some(domain) => (&mut table.below, domain),
                    None => (&mut table.exact, &*pattern),
                };
                map.entry(domain.into()).or_insert(Hit { rank, target });
            }
        }
        table
    }

    /// The target of the first route that matches.
    pub(super) fn find(&self, recipient: &Address) -> Option<usize> {
        if self.exact.is_empty() && self.below.is_empty() {
            return None;
        }
        let domain = recipient.domain();
        let domain = if domain.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
            Cow::Owned(domain.to_lowercase())
        } else {
            Cow::Borrowed(domain)
        };
        let exact = self.exact.get(&*domain);
        let parents = domain.match_indices('.').filter_map(|(dot, _)| self.below.get(domain.get(dot + 1..)?));
        parents.chain(exact).min_by_key(|hit| hit.rank).map(|hit| hit.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(domains: &[&str], upstream: &str) -> Route {
        Route { domains: domains.iter().map(|d| (*d).into()).collect(), upstream: upstream.into() }
    }

    #[test]
    fn the_first_route_that_matches_wins() {
        let names = ["default", "exchange", "lists"];
        let routes = [
            route(&["special.example.com"], "lists"),
            route(&["Example.com", "*.example.com"], "exchange"),
            route(&["lists.example.com", "example.org"], "lists"),
            route(&["*.münchen.example"], "lists"),
        ];
        let table = Table::new(&routes, |name| names.iter().position(|n| *n == name));
        for (address, target) in [
            ("a@example.com", Some("exchange")),
            ("a@EXAMPLE.COM", Some("exchange")),
            ("a@sub.example.com", Some("exchange")),
            ("a@deep.sub.example.com", Some("exchange")),
            // The wildcard stands first.
            ("a@lists.example.com", Some("exchange")),
            ("a@special.example.com", Some("lists")),
            ("a@example.org", Some("lists")),
            // A wildcard is only what stands below.
            ("a@sub.example.org", None),
            ("a@notexample.com", None),
            ("a@com", None),
            ("a@mx.MÜNCHEN.example", Some("lists")),
            ("a@[192.0.2.1]", None),
            ("postmaster", None),
        ] {
            let address = Address::parse(address, true).unwrap();
            assert_eq!(table.find(&address).map(|n| names[n]), target, "{address}");
        }
    }
}
