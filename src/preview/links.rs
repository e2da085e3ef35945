//! Addresses of the web, broken so that nothing makes a link of them and nobody follows one by a slip.
use linkify::{LinkFinder, LinkKind};

/// `hxxps://evil[.]example/path`. What is no address of the web has its first colon broken.
#[must_use]
pub fn defanged(url: &str) -> String {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once(':') else { return defanged_host(url) };
    let scheme = scheme.to_ascii_lowercase().replace("http", "hxxp");
    match rest.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (host, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
            format!("{scheme}://{}{path}", defanged_host(host))
        }
        None => format!("{scheme}[:]{rest}"),
    }
}

/// `evil[.]example`.
#[must_use]
pub fn defanged_host(host: &str) -> String {
    host.replace('.', "[.]")
}

/// A text in which every address is broken.
pub(super) fn defanged_text(text: &str) -> String {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    let mut shown = String::with_capacity(text.len());
    for span in finder.spans(text) {
        match span.kind() {
            Some(_) => shown.push_str(&defanged(span.as_str())),
            None => shown.push_str(span.as_str()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_is_an_address_any_more() {
        for (url, expected) in [
            ("https://evil.example/a.b?c=d", "hxxps://evil[.]example/a.b?c=d"),
            ("HTTP://user@evil.example:80", "hxxp://user@evil[.]example:80"),
            ("javascript:alert(1)", "javascript[:]alert(1)"),
            ("mailto:a@b.example", "mailto[:]a@b.example"),
            ("//evil.example", "//evil[.]example"),
            ("evil.example/x", "evil[.]example/x"),
        ] {
            assert_eq!(defanged(url), expected);
        }
        assert_eq!(defanged_text("see https://a.example/x, or not."), "see hxxps://a[.]example/x, or not.");
    }
}
