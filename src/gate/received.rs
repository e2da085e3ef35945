//! Trace: our `Received` (RFC 5321 §4.4), and what others left in the header section.
use crate::message::{Client, Field, HeaderBlock};
use crate::smtp::Recipient;
use crate::value::{Id, rfc5322};
use bytes::{Bytes, BytesMut};
use std::{
    fmt::{self, Write},
    net::IpAddr,
    time::SystemTime,
};

/// Our trace field for a message of `client`'s.
pub(super) fn received(hostname: &str, id: Id, client: &Client, utf8: bool, recipients: &[Recipient], at: SystemTime) -> Bytes {
    let trace = Trace {
        hello: client.hello.as_ref().map(|(domain, _)| domain.as_str()),
        address: client.address.ip(),
        tls: client.tls.as_ref().map(|tls| (tls.version, tls.cipher, tls.client_subject.is_some())),
        protocol: client.protocol(utf8),
    };
    trace.field(hostname, &id, recipients, at)
}

/// What a trace field says of where a message came from.
pub(super) struct Trace<'a> {
    pub hello: Option<&'a str>,
    pub address: IpAddr,
    /// Version, cipher, and whether the client's certificate was verified.
    pub tls: Option<(&'a str, &'a str, bool)>,
    /// RFC 3848.
    pub protocol: &'a str,
}

impl Trace<'_> {
    /// The field. The recipient stands in it only where there is one, so that nobody learns of the
    /// others (RFC 5321 §7.2).
    pub(super) fn field(&self, hostname: &str, id: &dyn fmt::Display, recipients: &[Recipient], at: SystemTime) -> Bytes {
        let mut out = BytesMut::with_capacity(384);
        // Writing to a BytesMut does not fail.
        let _ = self.write(&mut out, hostname, id, recipients, at);
        out.freeze()
    }

    fn write(&self, out: &mut BytesMut, hostname: &str, id: &dyn fmt::Display, recipients: &[Recipient], at: SystemTime) -> fmt::Result {
        write!(out, "Received: from {}", self.hello.unwrap_or("unknown"))?;
        match self.address.to_canonical() {
            IpAddr::V4(address) => write!(out, " ([{address}])")?,
            IpAddr::V6(address) => write!(out, " ([IPv6:{address}])")?,
        }
        if let Some((version, cipher, verified)) = self.tls {
            write!(out, "\r\n\t(using {version} with cipher {cipher}")?;
            out.write_str(if verified { "; client certificate verified)" } else { ")" })?;
        }
        write!(out, "\r\n\tby {hostname} (octroi) with {} id {id}", self.protocol)?;
        if let [only] = recipients
            && only.address.as_str().len() < 900
        {
            write!(out, "\r\n\tfor <{}>", only.address)?;
        }
        write!(out, "; {}\r\n", rfc5322(at))
    }
}

/// What a look over the header section shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look<'a> {
    /// `Received` fields (RFC 5321 §6.3).
    pub hops: u32,
    /// Fields that claim to be ours: `Authentication-Results`, and whatever we mark messages with.
    pub forged: bool,
    pub message_id: Option<Field<'a>>,
    pub subject: Option<Field<'a>>,
    pub from: Option<Field<'a>>,
}

/// One pass over all fields.
pub(super) fn look<'a>(headers: &'a HeaderBlock, hostname: &str) -> Look<'a> {
    let mut look = Look::default();
    for field in headers.fields() {
        match field.name.len() {
            4 if field.name.eq_ignore_ascii_case(b"From") => look.from = look.from.or(Some(field)),
            7 if field.name.eq_ignore_ascii_case(b"Subject") => look.subject = look.subject.or(Some(field)),
            8 if field.name.eq_ignore_ascii_case(b"Received") => look.hops += 1,
            10 if field.name.eq_ignore_ascii_case(b"Message-ID") => look.message_id = look.message_id.or(Some(field)),
            22 => look.forged |= is_forged(&field, hostname),
            _ => look.forged |= is_mark(&field),
        }
    }
    look
}

/// The header section without the fields in our name: who stands behind us believes those, so nobody
/// else may write them (RFC 8601 §5).
pub(super) fn without_forged(headers: &HeaderBlock, hostname: &str) -> HeaderBlock {
    let mut kept = BytesMut::with_capacity(headers.as_bytes().len());
    for field in headers.fields().filter(|field| !is_mark(field) && !is_forged(field, hostname)) {
        kept.extend_from_slice(field.raw);
    }
    HeaderBlock::new(kept.freeze())
}

/// What octroi says of a message in the message itself begins like this, so nobody else's may.
const MARK: &[u8] = b"X-Octroi-";

fn is_mark(field: &Field<'_>) -> bool {
    field.name.get(..MARK.len()).is_some_and(|start| start.eq_ignore_ascii_case(MARK))
}

const RESULTS: &str = "Authentication-Results";

/// The authserv-id stands before the first `;`, perhaps behind a comment, perhaps quoted, perhaps
/// followed by a version (RFC 8601 §2.2). Readers differ in how well they read that, so whatever any
/// of them could take for ours is: our name as the first word once comments are out, or anywhere
/// before the first `;`.
fn is_forged(field: &Field<'_>, hostname: &str) -> bool {
    if !field.is(RESULTS) {
        return false;
    }
    let value = String::from_utf8_lossy(field.value);
    let ours = |word: &str| word.trim_end_matches('.').eq_ignore_ascii_case(hostname);
    let in_a_name = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let before = value.split(';').next().unwrap_or_default();
    before.split(|c| !in_a_name(c)).any(ours) || without_comments(&value).split_whitespace().next().is_some_and(ours)
}

/// What stands before the first `;` outside comments and quoted strings, those and quotes left out
/// (RFC 5322 §3.2.1, §3.2.2).
fn without_comments(value: &str) -> String {
    let (mut plain, mut depth, mut quoted) = (String::with_capacity(64), 0_u32, false);
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let escaped = chars.next();
                plain.extend(escaped.filter(|_| depth == 0));
            }
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => depth -= 1,
            ';' if !quoted && depth == 0 => break,
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TlsFacts;
    use crate::smtp::{Address, Domain};
    use std::sync::Arc;

    fn block(text: &str) -> HeaderBlock {
        HeaderBlock::new(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn the_trace_says_who_how_and_when() {
        let client = Client {
            listener: "mx".into(),
            address: "192.0.2.7:4711".parse().unwrap(),
            local: "192.0.2.1:25".parse().unwrap(),
            tls: Some(Arc::new(TlsFacts {
                version: "TLSv1.3",
                cipher: "TLS_AES_256_GCM_SHA384",
                sni: None,
                client_subject: None,
                resumed: false,
                ja4: None,
            })),
            hello: Domain::parse("client.example.net").map(|d| (d, true)),
            account: None,
            mechanism: None,
        };
        let id = Id::generate();
        let recipient = Recipient::new(Address::parse("b@example.org", false).unwrap());
        let at = SystemTime::UNIX_EPOCH;
        let field = received("mx.example.org", id, &client, false, &[recipient], at);
        assert_eq!(
            String::from_utf8_lossy(&field),
            format!(
                "Received: from client.example.net ([192.0.2.7])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384)\r\n\tby mx.example.org (octroi) with ESMTPS id {id}\r\n\tfor <b@example.org>; Thu, 01 Jan 1970 00:00:00 +0000\r\n"
            )
        );
    }

    #[test]
    fn results_in_our_name_are_found_however_they_are_written() {
        for (value, forged) in [
            (" mx.example.org; dmarc=pass", true),
            ("MX.Example.ORG 1; spf=pass", true),
            (" (a ; comment) mx.example.org; none", true),
            (" \"mx.example.org\"; none", true),
            ("\r\n\tmx.example.org.; none", true),
            (" mx.example.org", true),
            (" (\\)) mx.example.org; dmarc=pass", true),
            (" (a; \\)) mx.example.org; dmarc=pass", true),
            (" (a ( b ; c)) \"mx\\.example.org\"; none", true),
            (" (mx.example.org; dmarc=pass", true),
            (" other.example.org; dmarc=pass", false),
            (" xmx.example.org; dmarc=pass", false),
        ] {
            let text = format!("From: a@example.net\r\nAuthentication-Results:{value}\r\nTo: b@example.org\r\n");
            let headers = block(&text);
            assert_eq!(look(&headers, "mx.example.org").forged, forged, "{value}");
            let kept = without_forged(&headers, "mx.example.org");
            assert_eq!(kept.as_bytes().len() < text.len(), forged, "{value}");
        }
    }

    #[test]
    fn marks_of_ours_are_nobody_elses() {
        let headers = block("X-Octroi-Incomplete: none\r\nA: b\r\nx-octroi-Released: 1\r\nX-OCTROI-INCOMPLETE: x\r\nX-Octroy-A: b\r\n");
        assert!(look(&headers, "mx.example.org").forged);
        assert_eq!(without_forged(&headers, "mx.example.org").as_bytes(), "A: b\r\nX-Octroy-A: b\r\n");
    }

    #[test]
    fn as_many_of_them_as_fit_in_take_no_time() {
        let marks: String = (0..50_000).map(|n| format!("X-Octroi-{n:x}:\r\n")).collect();
        let results = "Authentication-Results: mx.example.org; none\r\n".repeat(10_000);
        let headers = block(&format!("{marks}A: b\r\n{results}"));
        let started = std::time::Instant::now();
        assert_eq!(without_forged(&headers, "mx.example.org").as_bytes(), "A: b\r\n");
        // A look at all fields for each would be minutes.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[test]
    fn hops_are_counted_and_names_found() {
        let headers = block("Received: a\r\n\tb\r\nreceived: c\r\nMessage-Id: <1@x>\r\nSubject: hi\r\n");
        let look = look(&headers, "mx.example.org");
        assert_eq!((look.hops, look.message_id.unwrap().value, look.subject.unwrap().value), (2, &b" <1@x>\r\n"[..], &b" hi\r\n"[..]));
    }
}
