//! The account name in an AUTH exchange, where its mechanism shows it.
use base64::{Engine, engine::general_purpose::STANDARD};
use std::sync::Arc;

/// Longer names are not shown: nobody reads them, and they come from a stranger.
const LONGEST: usize = 255;

/// The account in the client's first line of an exchange; nothing else is taken out of that line,
/// and what it was decoded into is wiped.
pub(super) fn shown(mechanism: &str, line: &[u8]) -> Option<Arc<str>> {
    let mut decoded = STANDARD.decode(line).ok()?;
    let account = find(mechanism, &decoded)
        .filter(|name| !name.is_empty() && name.len() <= LONGEST)
        .and_then(|name| std::str::from_utf8(name).ok())
        .filter(|name| !name.contains(char::is_control))
        .map(Arc::from);
    decoded.fill(0);
    account
}

fn find<'a>(mechanism: &str, decoded: &'a [u8]) -> Option<&'a [u8]> {
    match mechanism {
        // authzid NUL authcid NUL password (RFC 4616)
        "PLAIN" => decoded.split(|octet| *octet == 0).nth(1),
        "LOGIN" => Some(decoded),
        // user=NAME ^A auth=…
        "XOAUTH2" => decoded.split(|octet| *octet == 1).find_map(|part| part.strip_prefix(b"user=")),
        // n,a=NAME,^A … (RFC 7628 §3.1)
        "OAUTHBEARER" => decoded.split(|octet| *octet == b',').find_map(|part| part.strip_prefix(b"a=")),
        // n,,n=NAME,r=… (RFC 5802 §5.1)
        _ if mechanism.starts_with("SCRAM-") => decoded.split(|octet| *octet == b',').find_map(|part| part.strip_prefix(b"n=")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_and_nothing_else_is_seen() {
        for (mechanism, line, expected) in [
            ("PLAIN", &b"\0alice\0secret"[..], Some("alice")),
            ("PLAIN", b"admin\0alice\0secret", Some("alice")),
            ("PLAIN", b"secret", None),
            ("LOGIN", b"alice", Some("alice")),
            ("XOAUTH2", b"user=alice@example.org\x01auth=Bearer secret\x01\x01", Some("alice@example.org")),
            ("OAUTHBEARER", b"n,a=alice@example.org,\x01auth=Bearer secret\x01\x01", Some("alice@example.org")),
            ("SCRAM-SHA-256", b"n,,n=alice,r=rOprNGfwEbeRWgbNEkqO", Some("alice")),
            ("CRAM-MD5", b"alice 0123456789abcdef", None),
            ("LOGIN", b"a\nb", None),
        ] {
            assert_eq!(shown(mechanism, STANDARD.encode(line).as_bytes()).as_deref(), expected, "{mechanism}");
        }
        assert_eq!(shown("PLAIN", b"no base64!"), None);
        assert_eq!(shown("LOGIN", b"*"), None);
    }
}
