//! What a hook is told.
//!
//! Stalwart's names and forms: a header field is a pair of name and value, the value as it stands in
//! the message with its blank in front and its line end; a message's contents are its body. JSON
//! holds Unicode alone, so that octets which are no UTF-8 become U+FFFD.
use crate::{
    message::{Client, Envelope, HeaderBlock, Message, Reader},
    remote::http::Post,
    value::Id,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use std::{io, io::Write};
use tokio::task::yield_now;

/// When a hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Connect,
    Ehlo,
    Mail,
    Rcpt,
    Data,
}

impl Event {
    pub(super) const ALL: &[Self] = &[Self::Connect, Self::Ehlo, Self::Mail, Self::Rcpt, Self::Data];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Ehlo => "ehlo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
        }
    }
}

/// What it is asked about; the later the event, the more there is.
pub(super) struct Question<'a> {
    pub event: Event,
    pub client: &'a Client,
    pub id: Option<Id>,
    pub envelope: Option<&'a Envelope>,
    pub message: Option<&'a Message>,
}

/// What stands behind a message's contents.
const TAIL: &str = "\"}}";
/// Octets that are written as JSON at once; they can become six times as many.
const PIECE: usize = 64 << 10;

impl Question<'_> {
    /// `name`: the client's, where it is known. `contents`: whether a message's body is sent.
    ///
    /// # Errors
    /// The message could not be read.
    pub(super) async fn post(&self, path: &str, hostname: &str, name: Option<&str>, contents: bool) -> io::Result<Post> {
        let mut head = json!({ "context": self.context(hostname, name) });
        if let (Some(envelope), Some(all)) = (self.envelope, head.as_object_mut()) {
            all.insert("envelope".to_owned(), of_envelope(envelope));
        }
        let mut head = head.to_string();
        let Some(message) = self.message else { return Ok(Post::octets(path, head.into())) };
        // The contents come last, since they are not to be in memory: the object stays open.
        head.pop();
        let (fields, size) = (fields(&message.headers), message.content.len());
        head += &format!(",\"message\":{{\"headers\":{fields},\"serverHeaders\":[],\"size\":{size},\"contents\":\"");
        if !contents {
            head += TAIL;
            return Ok(Post::octets(path, head.into()));
        }
        // Read twice, because a length that is known is what the simplest of hooks can read.
        let mut length = (head.len() + TAIL.len()) as u64;
        let mut counted = Contents::of(message);
        while let Some(piece) = counted.next().await? {
            length += piece.len() as u64;
            yield_now().await;
        }
        let pieces = stream::unfold(Contents::of(message), async |mut contents| Some((contents.next().await.transpose()?, contents)));
        let all = stream::iter([Ok(Bytes::from(head))]).chain(pieces).chain(stream::iter([Ok(Bytes::from_static(TAIL.as_bytes()))]));
        Ok(Post::stream(path, length, all))
    }

    fn context(&self, hostname: &str, name: Option<&str>) -> Value {
        let Client { address, local, .. } = self.client;
        let mut context = json!({
            "stage": self.event.as_str(),
            "client": {
                "ip": address.ip().to_canonical().to_string(),
                "port": address.port(),
                "ptr": name,
                "helo": self.client.hello.as_ref().map(|(domain, _)| domain.as_str()),
                // Nobody counts them here, and readers of this form need a number.
                "activeConnections": 1,
            },
            "server": { "name": hostname, "port": local.port(), "ip": local.ip().to_canonical().to_string() },
            "protocol": { "version": 1 },
        });
        let mut add = |key: &str, value| context.as_object_mut().map(|all| all.insert(key.to_owned(), value));
        if let Some(account) = self.client.account.as_deref() {
            add("sasl", json!({ "login": account }));
        }
        if let Some(tls) = self.client.tls.as_deref() {
            let mut facts = json!({ "version": tls.version, "cipher": tls.cipher });
            if let (Some(subject), Some(facts)) = (tls.client_subject.as_deref(), facts.as_object_mut()) {
                facts.insert("certSubject".to_owned(), subject.into());
            }
            add("tls", facts);
        }
        if let Some(id) = self.id {
            add("queue", json!({ "id": id.to_string() }));
        }
        context
    }
}

fn of_envelope(envelope: &Envelope) -> Value {
    let sender = envelope.mail.reverse_path.as_str();
    let recipients: Vec<_> = envelope.recipients.iter().map(|recipient| json!({ "address": recipient.address.as_str() })).collect();
    json!({ "from": { "address": sender }, "to": recipients })
}

/// All of them; a line that is no field has no name.
fn fields(headers: &HeaderBlock) -> Value {
    let text = |octets| Value::from(String::from_utf8_lossy(octets));
    headers.fields().map(|field| Value::Array(vec![text(field.name), text(field.value)])).collect()
}

/// The body of a message as the inside of a JSON string, piece by piece.
struct Contents {
    reader: Reader,
    read: Bytes,
    escaper: Escaper,
    ended: bool,
}

impl Contents {
    fn of(message: &Message) -> Self {
        Self { reader: message.content.reader(message.body_start()), read: Bytes::new(), escaper: Escaper::default(), ended: false }
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut written = Vec::new();
        while written.is_empty() && !self.ended {
            if self.read.is_empty() {
                self.read = self.reader.next().await?.unwrap_or_default();
            }
            let piece = self.read.split_to(self.read.len().min(PIECE));
            self.ended = piece.is_empty();
            if self.ended { self.escaper.end(&mut written) } else { self.escaper.write(&piece, &mut written) }
        }
        Ok((!written.is_empty()).then(|| written.into()))
    }
}

/// Writes octets as the inside of a JSON string (RFC 8259 §7), wherever their pieces are cut.
#[derive(Default)]
struct Escaper {
    /// The beginning of a character that the last piece ended in; three octets at most.
    begun: Vec<u8>,
}

impl Escaper {
    fn write(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let joined = (!self.begun.is_empty()).then(|| [&std::mem::take(&mut self.begun), piece].concat());
        let mut chunks = joined.as_deref().unwrap_or(piece).utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            escape(chunk.valid(), out);
            let other = chunk.invalid();
            let may_go_on = chunks.peek().is_none() && str::from_utf8(other).is_err_and(|error| error.error_len().is_none());
            if may_go_on {
                self.begun = other.to_vec();
            } else if !other.is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.begun).is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn escape(text: &str, out: &mut Vec<u8>) {
    let special = |octet: &u8| *octet < b' ' || matches!(octet, b'"' | b'\\');
    let mut rest = text.as_bytes();
    while let Some((plain, &[octet, ref after @ ..])) = rest.iter().position(special).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain);
        match octet {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            // A vector takes everything that is written to it.
            other => write!(out, "\\u{other:04x}").unwrap_or_default(),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(pieces: &[&[u8]]) -> String {
        let (mut escaper, mut out) = (Escaper::default(), Vec::new());
        for piece in pieces {
            escaper.write(piece, &mut out);
        }
        escaper.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn octets_become_the_same_text_wherever_they_are_cut() {
        let octets = b"a \"b\" \\ \r\n\t\0\x1f\x7f \xc3\xa9 \xe2\x82\xac \xf0\x9f\x93\xa7 \xff \xe2\x82 \xc3\r\n\xf0\x9f\x93";
        let expected = String::from_utf8_lossy(octets);
        for one in 0..=octets.len() {
            for other in one..=octets.len() {
                let text = escaped(&[&octets[..one], &octets[one..other], &octets[other..]]);
                assert_eq!(serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap(), expected, "{one} {other}");
            }
        }
        assert_eq!(escaped(&[]), "");
    }
}
