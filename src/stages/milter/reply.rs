//! What a filter wants the client to hear, in the words that Postfix would use.
use super::wire::Packet;
use crate::smtp::{Refusal, Reply, printable};

/// Lines of a reply, and characters of each, that are passed on.
const LINES: usize = 32;
const LONGEST: usize = 400;

pub(super) fn reject() -> Refusal {
    Refusal::permanent(50, "7.1", "Command rejected")
}
pub(super) fn tempfail() -> Refusal {
    Refusal::temporary(51, "7.1", "Service unavailable - try again later")
}
pub(super) fn shutdown() -> Refusal {
    Refusal::temporary(51, "7.0", "Service unavailable - try again later")
}

/// `550 5.7.1 no`, or lines of `550-5.7.1 no`. A filter doubles its percent signs; 421 and 521
/// announce that the connection is closed, which a filter cannot do here, so they become 451 and
/// 554.
///
/// # Errors
/// A sentence for the log: it is no refusal.
pub(super) fn custom(packet: &Packet) -> Result<Refusal, String> {
    let octets = packet.data.strip_suffix(b"\0").unwrap_or(&packet.data);
    let text = String::from_utf8_lossy(octets).replace("%%", "%");
    let wrong = || format!("it wants the client to hear {:?}", text.chars().take(LONGEST).collect::<String>());
    let mut code = None;
    let mut lines = Vec::new();
    for line in text.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty()).take(LINES) {
        let (digits, rest) = line.split_at_checked(3).ok_or_else(wrong)?;
        let own: u16 = digits.parse().ok().filter(|code| (400..600).contains(code)).ok_or_else(wrong)?;
        if *code.get_or_insert(own) != own || !(rest.is_empty() || rest.starts_with([' ', '-'])) {
            return Err(wrong());
        }
        // A client goes by either code (RFC 3463 §2).
        let class = rest.get(1..).and_then(|text| text.split_once('.')).map(|(class, _)| class);
        if class.is_some_and(|class| matches!(class, "2" | "4" | "5") && !digits.starts_with(class)) {
            return Err(wrong());
        }
        lines.push(printable(rest.get(1..).unwrap_or_default(), LONGEST));
    }
    let code = match code.ok_or_else(wrong)? {
        421 => 451,
        521 => 554,
        other => other,
    };
    Refusal::from_reply(Reply::new(code, lines.join("\n"))).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_reply_is_a_refusal_or_an_error() {
        let custom = |text: &'static str| custom(&Packet { command: b'y', data: Bytes::from_static(text.as_bytes()) });
        for (text, expected) in [
            ("550 5.7.1 no\0", "550 5.7.1 no"),
            ("550-5.7.1 a\r\n550 5.7.1 b\0", "550 5.7.1 a / 5.7.1 b"),
            ("451 4.7.1 100%% sure", "451 4.7.1 100% sure"),
            ("421 4.7.0 bye\0", "451 4.7.0 bye"),
            ("554\0", "554 "),
            ("550 5.7.1 n\u{e9}e\u{1b}[2J\0", "550 5.7.1 n?e?[2J"),
        ] {
            assert_eq!(custom(text).unwrap().to_string(), expected);
        }
        for wrong in ["", "\0", "250 2.0.0 ok\0", "55", "550 a\n551 b\0", "550 4.7.1 no\0", "5505.7.1 x\0", "abc def\0"] {
            assert!(custom(wrong).is_err(), "{wrong:?}");
        }
    }
}
