//! ARC (RFC 8617): what others saw before they changed a message, and whether to believe them.
use super::{
    body::BodyHash,
    outcome::Outcome,
    signature::{self, is_host, words},
};
use crate::message::HeaderBlock;
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, arc,
    common::{crypto::Algorithm, headers::Header},
};
use tokio::time::{Instant, timeout_at};

const SEAL: &str = "ARC-Seal";
pub(super) const MESSAGE_SIGNATURE: &str = "ARC-Message-Signature";
const RESULTS: &str = "ARC-Authentication-Results";

/// Sets of one message; RFC 8617 §4.2.1 allows 50, of which every one costs a look-up.
const MOST: usize = 20;
/// As for DKIM.
const MOST_COMPARISONS: usize = 2_000_000;

/// A chain, and what became of it.
#[derive(Debug)]
pub(super) struct Chain {
    pub outcome: Outcome,
    pub why: &'static str,
    /// Who sealed, the last first, in lower case, and whether they saw DMARC pass.
    pub sealers: Vec<(String, bool)>,
}

impl Chain {
    fn new(outcome: Outcome, why: &'static str) -> Self {
        Self { outcome, why, sealers: Vec::new() }
    }

    /// Whether one who is trusted saw DMARC pass, and everybody who had the message since is trusted
    /// too: anybody else could have changed the message after that.
    pub(super) fn vouches(&self, trusted: &[Box<str>]) -> bool {
        let is_trusted = |sealer: &&(String, bool)| trusted.iter().any(|name| **name == *sealer.0);
        self.outcome == Outcome::Pass && self.sealers.iter().take_while(is_trusted).any(|(_, passed)| *passed)
    }
}

pub(super) async fn check(
    authenticator: Option<&MessageAuthenticator>,
    headers: &HeaderBlock,
    bodies: &[BodyHash],
    until: Instant,
) -> Chain {
    let mut message =
        AuthenticatedMessage { headers: signature::fields(headers), body_hashes: bodies.to_vec(), ..AuthenticatedMessage::default() };
    for field in headers.fields() {
        let read = if field.is(SEAL) {
            arc::Seal::parse(field.value).map(|seal| message.as_headers.push(Header::new(field.name, field.value, seal)))
        } else if field.is(MESSAGE_SIGNATURE) {
            arc::Signature::parse(field.value).map(|signature| message.ams_headers.push(Header::new(field.name, field.value, signature)))
        } else if field.is(RESULTS) {
            arc::Results::parse(field.value).map(|results| message.aar_headers.push(Header::new(field.name, field.value, results)))
        } else {
            continue;
        };
        if let Err(error) = read {
            return Chain::new(Outcome::Fail, words(&error));
        }
        if message.as_headers.len().max(message.ams_headers.len()).max(message.aar_headers.len()) > MOST {
            return Chain::new(Outcome::Fail, "too many sets");
        }
    }
    if message.as_headers.is_empty() && message.ams_headers.is_empty() {
        return Chain::new(Outcome::None, "");
    }
    message.as_headers.sort_by_key(|seal| seal.header.i);
    message.ams_headers.sort_by_key(|signature| signature.header.i);
    message.aar_headers.sort_by_key(|results| results.header.i);
    if let Some(why) = objection(&message) {
        return Chain::new(Outcome::Fail, why);
    }
    let Some(authenticator) = authenticator else { return Chain::new(Outcome::TempError, "no answer from DNS") };
    let Ok(output) = timeout_at(until, authenticator.verify_arc(&message)).await else {
        return Chain::new(Outcome::TempError, "no answer from DNS");
    };
    let (outcome, why) = match output.result() {
        DkimResult::Pass => (Outcome::Pass, ""),
        DkimResult::None => (Outcome::None, ""),
        DkimResult::TempError(error) => (Outcome::TempError, words(error)),
        // To ARC there is nothing between.
        DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => (Outcome::Fail, words(error)),
    };
    let sealers =
        output.sets().iter().rev().map(|set| (set.seal.header.d.to_ascii_lowercase(), says_dmarc_pass(set.results.value))).collect();
    Chain { outcome, why, sealers }
}

/// What is wrong with a chain before anybody is asked.
fn objection(message: &AuthenticatedMessage<'_>) -> Option<&'static str> {
    let newest = message.ams_headers.last().map(|signature| &signature.header)?;
    let is_named = |domain: &str, selector: &str| is_host(domain) && is_host(selector);
    if !is_named(&newest.d, &newest.s) || !message.as_headers.iter().all(|seal| is_named(&seal.header.d, &seal.header.s)) {
        return Some("no possible domain or selector");
    }
    let weak = |algorithm| algorithm == Algorithm::RsaSha1;
    if weak(newest.a) || message.as_headers.iter().any(|seal| weak(seal.header.a)) {
        return Some("SHA-1");
    }
    if newest.l != 0 {
        return Some("only a part of the body is signed");
    }
    if newest.h.len().saturating_mul(message.headers.len() + newest.h.len()) > MOST_COMPARISONS {
        return Some("too many signed fields");
    }
    // The library counts on it.
    let hashed = message.body_hashes.iter().any(|(form, _, _, _)| *form == newest.cb);
    if hashed { None } else { Some("not verified") }
}

/// Whether an `ARC-Authentication-Results` has `dmarc=pass` as a result of its own, not in a comment
/// or in quotes (RFC 8601 §2.2).
fn says_dmarc_pass(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value);
    let (mut plain, mut depth, mut quoted, mut escaped) = (String::with_capacity(text.len()), 0_usize, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if depth == 0 => {
                quoted = !quoted;
                plain.push('"');
            }
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            c if depth == 0 && !quoted => plain.push(c),
            _ => {}
        }
    }
    plain.split(';').any(|result| {
        let first: String = result.trim_start().chars().take_while(|c| !c.is_whitespace()).collect();
        first.eq_ignore_ascii_case("dmarc=pass")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_and_not_what_looks_like_one() {
        for (value, says) in [
            (" i=1; mx.example.org; dmarc=pass header.from=a.example", true),
            (" i=1; mx.example.org;\r\n\tspf=pass;\r\n\tDMARC=pass (p=reject)\r\n", true),
            (" i=1; mx.example.org; dmarc=fail (dmarc=pass)", false),
            (" i=1; mx.example.org; spf=fail reason=\"; dmarc=pass ;\"", false),
            (" i=1; mx.example.org; spf=fail reason=\"\\\"; dmarc=pass ;\"", false),
            (" i=1; mx.example.org; x-dmarc=pass", false),
            (" i=1; mx.example.org; dmarc=passed", false),
            (" i=1; mx.example.org; spf=pass (;(;) dmarc=pass ); none", false),
        ] {
            assert_eq!(says_dmarc_pass(value.as_bytes()), says, "{value}");
        }
    }

    #[test]
    fn only_an_unbroken_line_of_trusted_hands_vouches() {
        let trusted = ["list.example".into(), "forward.example".into()];
        let chain = |outcome, sealers: &[(&str, bool)]| Chain {
            outcome,
            why: "",
            sealers: sealers.iter().map(|(name, passed)| ((*name).to_owned(), *passed)).collect(),
        };
        assert!(chain(Outcome::Pass, &[("list.example", true)]).vouches(&trusted));
        assert!(chain(Outcome::Pass, &[("forward.example", false), ("list.example", true)]).vouches(&trusted));
        assert!(!chain(Outcome::Pass, &[("list.example", false)]).vouches(&trusted));
        assert!(!chain(Outcome::Pass, &[("evil.example", true)]).vouches(&trusted));
        assert!(!chain(Outcome::Pass, &[("evil.example", false), ("list.example", true)]).vouches(&trusted));
        assert!(!chain(Outcome::Fail, &[("list.example", true)]).vouches(&trusted));
    }
}
