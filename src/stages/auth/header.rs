//! `Authentication-Results` (RFC 8601 §2.2).
use super::{Results, outcome::Outcome};
use crate::message::{Client, Edit};
use std::fmt::Write as _;

const NAME: &str = "Authentication-Results";
/// A value that a sender chose is cut off here; no domain is longer.
const LONGEST: usize = 255;
/// Signatures that are told; the first are those that were verified.
const MOST: usize = 10;

/// Our results as an edit that puts them on top of what came (§4.1); only our own trace field will
/// stand above.
pub(super) fn edit(hostname: &str, client: &Client, results: &Results) -> Edit {
    let mut value = String::with_capacity(512);
    value.push_str(hostname);
    // Writing to a String does not fail.
    let _ = write(&mut value, client, results);
    Edit::InsertHeader { at: 0, name: NAME.into(), value: value.into() }
}

fn write(out: &mut String, client: &Client, results: &Results) -> std::fmt::Result {
    let Results { origin, dkim, dmarc, arc, .. } = results;
    begin(out, "iprev", origin.name.outcome, "")?;
    property(out, "policy.iprev", &client.address.ip().to_canonical().to_string())?;
    if let Some(name) = &origin.name.name {
        write!(out, " ({name})")?;
    }
    if let Some(hello) = &origin.hello {
        begin(out, "spf", hello.outcome, "")?;
        property(out, "smtp.helo", &hello.domain)?;
    }
    if !origin.null_sender || origin.hello.is_none() {
        begin(out, "spf", origin.sender.outcome, "")?;
        property(out, "smtp.mailfrom", &origin.sender.domain)?;
    }
    if dkim.is_empty() {
        begin(out, "dkim", Outcome::None, "")?;
    }
    for checked in dkim.iter().take(MOST) {
        begin(out, "dkim", checked.outcome, checked.why)?;
        if let Some(signature) = &checked.signature {
            property(out, "header.d", &signature.d)?;
            property(out, "header.s", &signature.s)?;
            if let Some(tag) = checked.tag() {
                property(out, "header.b", &tag)?;
            }
        }
    }
    if arc.outcome != Outcome::None {
        begin(out, "arc", arc.outcome, arc.why)?;
    }
    begin(out, "dmarc", dmarc.outcome, "")?;
    if let Some(policy) = dmarc.policy {
        write!(out, " policy.dmarc={policy}")?;
    }
    if !dmarc.domain.is_empty() {
        property(out, "header.from", &dmarc.domain)?;
    }
    Ok(())
}

/// A result on a line of its own; `why` are words of ours.
fn begin(out: &mut String, method: &str, outcome: Outcome, why: &str) -> std::fmt::Result {
    // The lines of an edit are divided by a bare LF.
    write!(out, ";\n\t{method}={}", outcome.as_str())?;
    if why.is_empty() { Ok(()) } else { write!(out, " ({why})") }
}

/// A value as it is where it can stand as a token (RFC 2045 §5.1), else in quotes; what could end
/// the line or the quotes is left out.
fn property(out: &mut String, name: &str, value: &str) -> std::fmt::Result {
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '!' | '#'..='\'' | '*' | '+' | '-' | '.' | '^'..='`' | '{'..='~');
    let clean: String = value.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).take(LONGEST).collect();
    if !clean.is_empty() && clean.chars().all(is_token) { write!(out, " {name}={clean}") } else { write!(out, " {name}=\"{clean}\"") }
}
