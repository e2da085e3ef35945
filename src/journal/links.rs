//! The hosts that a text points to.
//!
//! As browsers and mail programs read them (WHATWG URL): blanks and line ends inside a URL are
//! nothing, backslashes are slashes, percent and character references are decoded, what stands before
//! an `@` is no host.
use linkify::{LinkFinder, LinkKind};
use memchr::{memchr, memchr_iter, memmem};
use std::{borrow::Cow, collections::BTreeSet};

/// Octets of a text that are looked at; a link that nobody scrolls to is not clicked.
const TEXT: usize = 1 << 20;
/// Octets of a URL up to the end of its host.
const URL: usize = 1024;
/// RFC 1035 §2.3.4.
const HOST: usize = 253;
/// Octets of attributes' values that are looked at, times the octets of the text.
const VALUES: usize = 4;
/// Attributes of HTML that point elsewhere.
const ATTRIBUTES: [&[u8]; 8] = [b"href", b"src", b"action", b"formaction", b"background", b"poster", b"data", b"cite"];

/// Hosts, each once, in the order in which they were found.
#[derive(Debug)]
pub(super) struct Hosts {
    most: usize,
    found: Vec<String>,
    known: BTreeSet<String>,
    /// There was more to look at than is looked at.
    is_cut: bool,
}

impl Hosts {
    /// At most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, found: Vec::new(), known: BTreeSet::new(), is_cut: false }
    }

    /// Those that were found, and whether there was more to look at than is looked at.
    pub(super) fn finish(self) -> (Vec<String>, bool) {
        (self.found, self.is_cut)
    }

    /// Looks through a text.
    pub(super) fn look(&mut self, octets: &[u8], is_html: bool) {
        let octets = octets.get(..TEXT).unwrap_or(octets);
        if is_html {
            self.attributes(octets);
        }
        // What most texts lack is looked for first, and what most texts are is not looked at by characters.
        if memmem::find(octets, b"://").is_none() && !has_www(octets) {
            return;
        }
        let text = str::from_utf8(octets).map_or_else(|_| String::from_utf8_lossy(octets), Cow::Borrowed);
        let mut finder = LinkFinder::new();
        finder.kinds(&[LinkKind::Url]).url_must_have_scheme(false);
        for link in finder.links(&text) {
            if self.found.len() >= self.most {
                return;
            }
            let link = link.as_str();
            // Without a scheme only what people write so: everything else with a dot in it, file
            // names and sentences without blanks, would be a host too.
            if link.contains("://") || link.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www.")) {
                self.add(host(link));
            }
        }
    }

    /// `name = value` wherever a tag could have it: that it really is in one is not asked, since
    /// programs differ in where tags end.
    fn attributes(&mut self, html: &[u8]) {
        let mut rest = html;
        // One may begin within another, whose end is not agreed on; not at every octet of it.
        let mut left = html.len().saturating_mul(VALUES);
        while let Some(at) = memchr(b'=', rest) {
            let (before, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            let before = before.trim_ascii_end();
            let pointing = ATTRIBUTES.iter().any(|name| {
                before.len().checked_sub(name.len()).is_some_and(|start| {
                    before.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(name))
                        && start
                            .checked_sub(1)
                            .and_then(|before_it| before.get(before_it))
                            .is_none_or(|octet| !octet.is_ascii_alphanumeric())
                })
            });
            if pointing {
                let value = attribute(rest);
                let Some(less) = left.checked_sub(value.len()) else {
                    self.is_cut = true;
                    return;
                };
                left = less;
                self.add(host(&references(&String::from_utf8_lossy(value))));
            }
            if self.found.len() >= self.most {
                return;
            }
        }
    }

    fn add(&mut self, host: Option<String>) {
        if let Some(host) = host
            && self.found.len() < self.most
            && self.known.insert(host.clone())
        {
            self.found.push(host);
        }
    }
}

/// `www.`, in whatever case.
fn has_www(octets: &[u8]) -> bool {
    memchr_iter(b'.', octets)
        .any(|dot| dot.checked_sub(3).and_then(|from| octets.get(from..dot)).is_some_and(|w| w.eq_ignore_ascii_case(b"www")))
}

/// The value that follows a `=`, without its quotes.
fn attribute(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii_start();
    let near = value.get(..URL).unwrap_or(value);
    let (quote, inside) = match near.split_first() {
        Some((quote @ (b'"' | b'\''), inside)) => (Some(*quote), inside),
        _ => (None, near),
    };
    let ends = |octet: &u8| quote.map_or_else(|| octet.is_ascii_whitespace() || *octet == b'>', |quote| *octet == quote);
    let end = inside.iter().position(ends).unwrap_or(inside.len());
    inside.get(..end).unwrap_or(inside)
}

/// Character references that could hide a host: numeric ones, and those of its punctuation.
fn references(text: &str) -> String {
    let (mut decoded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('&') {
        decoded.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '#').unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        let c = match name {
            "colon" => Some(':'),
            "sol" => Some('/'),
            "bsol" => Some('\\'),
            "period" => Some('.'),
            "commat" => Some('@'),
            "amp" => Some('&'),
            "Tab" | "NewLine" => Some(' '),
            _ => name.strip_prefix('#').and_then(|number| {
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)
            }),
        };
        match c {
            Some(c) => {
                decoded.push(c);
                rest = rest.get(end..).unwrap_or_default();
                rest = rest.strip_prefix(';').unwrap_or(rest);
            }
            None => decoded.push('&'),
        }
    }
    decoded.push_str(rest);
    decoded
}

/// The host of a URL of the web, lower case, names outside ASCII in their ASCII form; `None` where it
/// points nowhere on a network.
pub(super) fn host(url: &str) -> Option<String> {
    let near = url.get(..url.floor_char_boundary(URL)).unwrap_or(url);
    // The usual is as it should be, and a message has many.
    let plain: Cow<'_, str> = if near.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\') {
        near.into()
    } else {
        near.chars().filter(|c| !c.is_whitespace() && !c.is_control()).map(|c| if c == '\\' { '/' } else { c }).collect()
    };
    let rest = match plain.split_once(':') {
        Some((scheme, rest)) if ["http", "https", "ftp", "ftps", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
            rest
        }
        _ if plain.starts_with("//") || plain.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("www.")) => &*plain,
        _ => return None,
    };
    let authority = rest.trim_start_matches('/');
    let authority = authority.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = percent_decoded(host);
    let host = match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next()?,
        None => host.split(':').next()?.trim_end_matches('.'),
    };
    let host = ascii(host)?;
    let fits =
        !host.is_empty() && host.len() <= HOST && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
    (fits && (host.contains('.') || host.contains(':'))).then_some(host)
}

/// The form in which names are looked up (RFC 5891); of what is none, itself.
pub(super) fn ascii(host: &str) -> Option<String> {
    if host.is_ascii() { Some(host.to_ascii_lowercase()) } else { idna::domain_to_ascii(host).ok() }
}

fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        let hex = after.first_chunk::<2>().and_then(|two| std::str::from_utf8(two).ok()).and_then(|two| u8::from_str_radix(two, 16).ok());
        if let (b'%', Some(value)) = (octet, hex) {
            octets.push(value);
            rest = after.get(2..).unwrap_or_default();
        } else {
            octets.push(octet);
        }
    }
    String::from_utf8_lossy(&octets).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hosts(text: &str, is_html: bool) -> Vec<String> {
        let mut hosts = Hosts::new(100);
        hosts.look(text.as_bytes(), is_html);
        hosts.finish().0
    }

    #[test]
    fn hosts_are_those_that_a_click_goes_to() {
        for (url, expected) in [
            ("http://www.Example.ORG/path", Some("www.example.org")),
            ("https://user:pass@evil.example:8443/?x#y", Some("evil.example")),
            ("https://bank.example@evil.example/", Some("evil.example")),
            ("http:\\\\evil.example\\x", Some("evil.example")),
            ("ht\ntp://ev\til.example", Some("evil.example")),
            ("HTTP:evil.example", Some("evil.example")),
            ("//evil.example/x", Some("evil.example")),
            ("http://%65vil.example", Some("evil.example")),
            ("http://evil.example./", Some("evil.example")),
            ("http://münchen.example", Some("xn--mnchen-3ya.example")),
            ("http://192.0.2.1/", Some("192.0.2.1")),
            ("http://[2001:db8::1]:80/", Some("2001:db8::1")),
            ("www.example.org", Some("www.example.org")),
            ("mailto:a@example.org", None),
            ("javascript:alert(1)", None),
            ("cid:part1@example.org", None),
            ("image.png", None),
            ("http://", None),
            ("http://localhost/", None),
        ] {
            assert_eq!(host(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn html_points_with_its_attributes_and_its_text() {
        let html = "<a HREF = 'http://one.example/x?a=b'>www.two.example</a><img src=//three.example/i.png>\
                    <a href=\"http&#58;//f&#x6f;ur.example\">x</a><base data-href=http://five.example/>\
                    <p style=\"background:url(http://six.example/y)\"> a.b=c file.exe";
        let mut found = hosts(html, true);
        found.sort();
        assert_eq!(found, ["five.example", "four.example", "one.example", "six.example", "three.example", "www.two.example"]);
    }

    #[test]
    fn text_is_read_as_people_write_it() {
        let text = "See http://one.example/a(b). or www.two.example, not report.pdf or a@three.example;\r\n<https://four.example>";
        assert_eq!(hosts(text, false), ["one.example", "www.two.example", "four.example"]);
        let many: String = (0..300).map(|n| format!("http://h{n}.example ")).collect();
        assert_eq!(hosts(&many, false).len(), 100);
    }

    #[test]
    fn attributes_in_attributes_are_looked_into_and_not_for_ever() {
        assert_eq!(hosts("<a href=/x?src=//one.example>", true), ["one.example"]);
        let many = format!("{}{}", "src=".repeat(5000), "//last.example");
        let mut found = Hosts::new(100);
        found.look(many.as_bytes(), true);
        assert_eq!(found.finish(), (vec![], true), "said, and not passed over");
        let usual = "<a href=\"https://www.example.org/a/path?with=a&query=too\">x</a>".repeat(300);
        let mut found = Hosts::new(100);
        found.look(usual.as_bytes(), true);
        assert_eq!(found.finish(), (vec!["www.example.org".into()], false));
    }

    proptest! {
        #[test]
        fn any_octets_can_be_looked_through(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            for is_html in [false, true] {
                let mut hosts = Hosts::new(10);
                hosts.look(&octets, is_html);
                for host in hosts.finish().0 {
                    prop_assert!(host.is_ascii() && host.len() <= HOST);
                }
            }
        }

        #[test]
        fn a_host_is_found_whatever_stands_around_it(before in "[a-z <>\"]{0,20}", name in "[a-z]{1,10}", after in "[/?#][ -~]{0,20}") {
            let text = format!("{before} <a href=\"https://{name}.example{after}\">");
            prop_assert!(hosts(&text, true).contains(&format!("{name}.example")), "{}", text);
        }
    }
}
