//! What of a header section and a body that spamd rewrote is taken over.
use super::dialogue::Fault;
use crate::message::{Edit, Field, FieldValue, HeaderBlock, Message};
use bytes::{Bytes, BytesMut};
use memchr::{memchr_iter, memmem};
use std::collections::{BTreeMap, BTreeSet};

/// Names of tests that are kept; a message hits some dozens.
const SYMBOLS: usize = 500;
/// The same for fields; SpamAssassin adds five to ten.
const FIELDS: usize = 100;
/// Octets of a test's name; SpamAssassin's own have at most 50.
const LONGEST: usize = 128;

/// The answer to `SYMBOLS`.
pub(super) fn symbols(octets: &[u8]) -> Result<Vec<Box<str>>, Fault> {
    let text = std::str::from_utf8(octets).map_err(|_| Fault::Garbled("the names of tests are no text"))?;
    let names = text.split([',', '\r', '\n']).map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<&str> = names.take(SYMBOLS).collect();
    if names.iter().any(|name| !is_symbol(name)) {
        return Err(Fault::Garbled("what should be names of tests is something else"));
    }
    Ok(names.into_iter().map(Into::into).collect())
}

fn is_symbol(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_')
}

/// The answer to `HEADERS` or `PROCESS`.
pub(super) struct Rewritten {
    headers: HeaderBlock,
    body: Bytes,
}

impl Rewritten {
    pub(super) fn read(octets: &Bytes) -> Self {
        // The empty line after the header section, whatever its line end.
        let end = memchr_iter(b'\n', octets).map(|at| at + 1).find(|at| {
            let rest = octets.get(*at..).unwrap_or_default();
            rest.starts_with(b"\r\n") || rest.starts_with(b"\n")
        });
        let end = end.unwrap_or(octets.len());
        let blank = if octets.get(end..).is_some_and(|rest| rest.starts_with(b"\r")) { 2 } else { 1 };
        Self { headers: HeaderBlock::new(octets.slice(..end)), body: octets.slice((end + blank).min(octets.len())..) }
    }

    /// From `tests=` of X-Spam-Status; none where the administrator of spamd gave it another form.
    pub(super) fn symbols(&self) -> Vec<Box<str>> {
        let Some(status) = self.headers.find("X-Spam-Status") else { return Vec::new() };
        let status = String::from_utf8_lossy(status.value);
        let words = status.split_ascii_whitespace().skip_while(|word| !word.starts_with("tests="));
        let tests = words.enumerate().take_while(|(n, word)| *n == 0 || !word.contains('=')).map(|(_, word)| word);
        let names = tests.flat_map(|word| word.strip_prefix("tests=").unwrap_or(word).split(','));
        names.filter(|name| is_symbol(name) && *name != "none").take(SYMBOLS).map(Into::into).collect()
    }

    /// The body in canonical form, where it is not the message's own.
    pub(super) async fn other_body(&self, message: &Message) -> Result<Option<Bytes>, Fault> {
        let mut rest = &*self.body;
        let mut pieces = message.content.reader(message.body_start());
        while let Some(piece) = pieces.next().await.map_err(Fault::Spool)? {
            match rest.strip_prefix(&*piece) {
                Some(further) => rest = further,
                None => return Ok(Some(canonical(&self.body))),
            }
        }
        Ok((!rest.is_empty()).then(|| canonical(&self.body)))
    }

    /// Fields that begin with `X-Spam-` are spamd's alone: those in the message are a sender's claims
    /// and go. With `subject` its subject is taken as well, and with another body the fields that say
    /// how to read it.
    pub(super) fn edits(&self, own: &HeaderBlock, subject: bool, body: Option<Bytes>) -> Vec<Edit> {
        let is_spams = |field: &Field<'_>| begins(field.name, "X-Spam-");
        let is_replaced = |field: &Field<'_>| subject && field.is("Subject") || body.is_some() && says_how_to_read(field);
        // Either side may have as many of these fields as fit in, and with as many names.
        let name_of = |field: &Field<'_>| field.name.to_ascii_lowercase();
        let mut to_write: BTreeSet<_> = self.headers.fields().filter(is_replaced).map(|field| name_of(&field)).collect();
        let (mut edits, mut gone, mut kept) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        for field in own.fields().filter(|field| is_spams(field) || is_replaced(field)) {
            let name = name_of(&field);
            if !is_spams(&field) && to_write.contains(&name) {
                kept.entry(name).or_insert((field.value, 0)).1 += 1;
            } else if !gone.contains(&name) {
                edits.push(Edit::DeleteHeader { name: text(&name), nth: 0 });
                gone.insert(name);
            }
        }
        // Above all others: what stands below a signature's own field is covered by it at most.
        let marks = self.headers.fields().filter(is_spams).take(FIELDS).enumerate();
        edits.extend(marks.map(|(at, field)| Edit::InsertHeader { at, name: text(field.name), value: value(&field) }));
        for field in self.headers.fields().filter(is_replaced) {
            let name = name_of(&field);
            let (old, count) = kept.get(&name).map_or((None, 0), |(old, count)| (Some(*old), *count));
            // Only the first of a name counts.
            if to_write.remove(&name) && old != Some(field.value) {
                edits.extend((2..=count).rev().map(|nth| Edit::DeleteHeader { name: text(field.name), nth }));
                edits.push(Edit::ReplaceHeader { name: text(field.name), nth: 1, value: value(&field) });
            }
        }
        edits.extend(body.map(Edit::ReplaceBody));
        edits
    }
}

/// Fields that belong to a body.
fn says_how_to_read(field: &Field<'_>) -> bool {
    field.is("MIME-Version") || begins(field.name, "Content-")
}

fn begins(name: &[u8], with: &str) -> bool {
    name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
}

fn text(octets: &[u8]) -> Box<str> {
    String::from_utf8_lossy(octets).into()
}

/// As an edit has it: without the blank after the colon and the last line end; lines divided by LF.
fn value(field: &Field<'_>) -> FieldValue {
    field.for_edit().into()
}

/// With CRLF for every line end, the last included. What goes to the upstream has no other (RFC 5321
/// §2.3.8); a bare one that spamd made could be read as the end of a message.
fn canonical(body: &Bytes) -> Bytes {
    let is_bare = |at: usize| at == 0 || body.get(at - 1) != Some(&b'\r');
    let lone_cr = |at: usize| body.get(at + 1) != Some(&b'\n');
    let is_canonical = body.ends_with(b"\r\n")
        && !memchr_iter(b'\n', body).any(is_bare)
        && !memchr_iter(b'\r', body).any(lone_cr)
        && memmem::find(body, b"\0").is_none();
    if is_canonical || body.is_empty() {
        return body.clone();
    }
    let mut out = BytesMut::with_capacity(body.len() + body.len() / 32);
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        out.extend(line.iter().filter(|octet| !matches!(octet, b'\r' | b'\n' | 0)));
        out.extend_from_slice(b"\r\n");
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::Edits, stages::tests::message};

    fn rewritten(text: &str) -> Rewritten {
        Rewritten::read(&Bytes::copy_from_slice(text.as_bytes()))
    }
    fn applied(own: &str, rewritten: &Rewritten, process: bool, body: Option<Bytes>) -> String {
        let own = HeaderBlock::new(own.to_owned().into());
        let edits = rewritten.edits(&own, process, body);
        String::from_utf8(Edits(edits).apply(&own).to_vec()).unwrap()
    }

    const OWN: &str = "X-Spam-Flag: NO\r\nFrom: a\r\nx-spam-score: -5\r\nSubject: hello\r\nContent-Type: text/html\r\n";
    const ANSWER: &str = "Received: from localhost\r\nFrom: someone else\r\nX-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=9.0 tests=A_1,\r\n\tB,C\r\n\
         \tautolearn=no\r\nSubject: [SPAM] hello\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\nnew\r\n";

    #[test]
    fn of_a_rewritten_header_section_only_the_marks_are_taken() {
        let marks = "X-Spam-Flag: YES\r\nX-Spam-Status: Yes, score=9.0 tests=A_1,\r\n\tB,C\r\n\tautolearn=no\r\n";
        let answer = rewritten(ANSWER);
        assert_eq!(applied(OWN, &answer, false, None), format!("{marks}From: a\r\nSubject: hello\r\nContent-Type: text/html\r\n"));
        assert_eq!(answer.symbols(), ["A_1".into(), "B".into(), "C".into()]);
        // With `process` the subject, and with another body what belongs to it.
        let subject = format!("{marks}From: a\r\nSubject: [SPAM] hello\r\nContent-Type: text/html\r\n");
        assert_eq!(applied(OWN, &answer, true, None), subject);
        let body = format!("{marks}From: a\r\nSubject: [SPAM] hello\r\nContent-Type: multipart/mixed; boundary=x\r\nMIME-Version: 1.0\r\n");
        assert_eq!(applied(OWN, &answer, true, Some("new\r\n".into())), body);
        let encoded = "Content-Transfer-Encoding: base64\r\nContent-Type: a/b\r\ncontent-type: c/d\r\n";
        let body = format!("{marks}Content-Type: multipart/mixed; boundary=x\r\nSubject: [SPAM] hello\r\nMIME-Version: 1.0\r\n");
        assert_eq!(applied(encoded, &answer, true, Some("new\r\n".into())), body, "an encoding of the old body does not stay");
    }

    #[test]
    fn as_many_names_as_fit_into_a_message_take_no_time() {
        let names = |prefix: &str| (0..60_000).map(|n| format!("{prefix}{n:x}:\r\n")).collect::<String>();
        let (own, answer) = (names("X-Spam-") + &names("Content-A"), rewritten(&(names("Content-A") + &names("Content-B"))));
        let started = std::time::Instant::now();
        let edited = applied(&own, &answer, true, Some("new\r\n".into()));
        // A look at all fields for each would be minutes.
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
        assert!(edited == names("Content-A") + &names("Content-B"));
    }

    #[test]
    fn names_of_tests_are_names() {
        assert_eq!(symbols(b"GTUBE,NO_RELAYS\r\n").unwrap(), ["GTUBE".into(), "NO_RELAYS".into()]);
        assert_eq!(symbols(b"").unwrap(), []);
        assert!(symbols(b"<html>").is_err() && symbols(b"\xff").is_err() && symbols("x".repeat(200).as_bytes()).is_err());
        assert_eq!(rewritten("X-Spam-Status: No, tests=none version=4\r\n").symbols(), []);
        assert_eq!(rewritten("X-Spam-Status: 7 points\r\n").symbols(), []);
    }

    #[tokio::test]
    async fn a_body_is_replaced_only_where_it_is_another() {
        let message = message("A: b\r\n", "hello\r\nyou\r\n");
        let other = async |text| rewritten(text).other_body(&message).await.unwrap();
        assert_eq!(other("A: b\r\n\r\nhello\r\nyou\r\n").await, None);
        assert_eq!(other("A: b\r\n\r\nhello\r\n").await.unwrap(), "hello\r\n");
        assert_eq!(other("A: b\r\n\r\nhello\r\nyou\r\nall\r\n").await.unwrap(), "hello\r\nyou\r\nall\r\n");
        assert_eq!(other("A: b\n\nhello\nyou\0 \r\r\n.\nall").await.unwrap(), "hello\r\nyou \r\n.\r\nall\r\n", "line ends are canonical");
        assert_eq!(other("A: b\r\n").await.unwrap(), "");
    }
}
