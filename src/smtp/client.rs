//! The other side: replies read, commands written.
use super::{BodyType, Capabilities, Mail, Recipient, Reply, Ret};
use bytes::{Buf, BytesMut};
use memchr::memchr;
use std::fmt::Write as _;

/// Octets of a reply line, without its CRLF. RFC 5321 §4.5.3.1.5 has 512 with it; servers that
/// quote long addresses or policies pass that.
const MAX_LINE: usize = 2048;
/// Lines of a reply. EHLO is answered with some twenty.
const MAX_LINES: usize = 128;

/// Why the server's octets are not SMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Garbage {
    #[error("a reply line that does not begin with three digits")]
    NoCode,
    #[error("a multi-line reply whose codes differ")]
    CodesDiffer,
    #[error("a reply line of more than {0} octets")]
    LineTooLong(usize),
    #[error("a reply of more than {0} lines")]
    TooManyLines(usize),
    /// A server that ends its lines so cannot be told from one that repeats a LF somebody slipped
    /// into a command; taken for a line end it would make two replies of one, and the answer to
    /// one message the answer to another (RFC 5321 §2.3.8 forbids it).
    #[error("a reply line with a LF that no CR precedes")]
    BareNewline,
}

/// Takes replies out of what a server sends, however it is cut.
#[derive(Debug, Default)]
pub struct Replies {
    input: BytesMut,
    /// Octets of the input in which no LF has been found.
    searched: usize,
    /// The reply under way: its code, and how many lines have been read into `text`.
    code: u16,
    lines: usize,
    text: String,
    garbage: Option<Garbage>,
}

impl Replies {
    /// Where the driver reads into: it appends, and takes nothing away.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// The next whole reply; `None` while more input is needed. After a [`Garbage`] nothing the
    /// server says can be matched to a command any more, and the same comes again at every call.
    #[expect(clippy::should_implement_trait, reason = "None is not the end, and a driver that iterates would miss that")]
    pub fn next(&mut self) -> Option<Result<Reply, Garbage>> {
        if self.garbage.is_none() {
            match self.reply() {
                Ok(reply) => return reply.map(Ok),
                Err(garbage) => self.garbage = Some(garbage),
            }
        }
        self.garbage.map(Err)
    }

    /// Nothing is buffered that nobody asked for. Anything else after a reply, and before the next
    /// command, is a server out of step (or an injection before STARTTLS).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.lines == 0 && self.garbage.is_none()
    }

    fn reply(&mut self) -> Result<Option<Reply>, Garbage> {
        while let Some(lf) = self.input.get(self.searched..).and_then(|new| memchr(b'\n', new)) {
            let end = std::mem::take(&mut self.searched) + lf + 1;
            let line = self.input.get(..end).unwrap_or_default();
            let line = parse_line(line.strip_suffix(b"\r\n").ok_or(Garbage::BareNewline)?)?;
            match self.lines {
                0 => self.code = line.code,
                MAX_LINES => return Err(Garbage::TooManyLines(MAX_LINES)),
                _ if line.code != self.code => return Err(Garbage::CodesDiffer),
                _ => self.text.push('\n'),
            }
            self.lines += 1;
            self.text.push_str(&String::from_utf8_lossy(line.text));
            let last = line.last;
            self.input.advance(end);
            if last {
                self.lines = 0;
                return Ok(Some(Reply::new(self.code, std::mem::take(&mut self.text))));
            }
        }
        self.searched = self.input.len();
        // The CR may be there already.
        if self.searched > MAX_LINE + 1 { Err(Garbage::LineTooLong(MAX_LINE)) } else { Ok(None) }
    }
}

struct Line<'a> {
    code: u16,
    /// It ends its reply.
    last: bool,
    text: &'a [u8],
}

fn parse_line(line: &[u8]) -> Result<Line<'_>, Garbage> {
    if line.len() > MAX_LINE {
        return Err(Garbage::LineTooLong(MAX_LINE));
    }
    let [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else { return Err(Garbage::NoCode) };
    let code = [a, b, c].iter().fold(0, |code, &digit| code * 10 + u16::from(digit - b'0'));
    match rest {
        // Servers leave the blank out where there is no text; RFC 5321 §4.2 lets them.
        [] => Ok(Line { code, last: true, text: rest }),
        [b' ', text @ ..] => Ok(Line { code, last: true, text }),
        [b'-', text @ ..] => Ok(Line { code, last: false, text }),
        _ => Err(Garbage::NoCode),
    }
}

/// Appends `MAIL FROM:<…> …`, with the parameters the server knows; `size` is what is going to be
/// sent, octets. A parameter that it does not know is left out: what may not be left out
/// (SMTPUTF8, BINARYMIME, REQUIRETLS) the caller has to ask [`Capabilities`] about before.
pub fn write_mail(out: &mut BytesMut, mail: &Mail, size: Option<u64>, server: &Capabilities) {
    // Cannot fail: a BytesMut grows.
    let _ = write!(out, "MAIL FROM:<{}>", mail.reverse_path);
    if let Some(size) = size.filter(|_| server.size.is_some()) {
        let _ = write!(out, " SIZE={size}");
    }
    out.extend_from_slice(match mail.body {
        Some(BodyType::SevenBit) if server.eight_bit => b" BODY=7BIT",
        Some(BodyType::EightBitMime) if server.eight_bit => b" BODY=8BITMIME",
        Some(BodyType::BinaryMime) if server.binary => b" BODY=BINARYMIME",
        _ => b"",
    });
    if mail.utf8 && server.utf8 {
        out.extend_from_slice(b" SMTPUTF8");
    }
    if server.dsn {
        out.extend_from_slice(match mail.ret {
            Some(Ret::Full) => b" RET=FULL",
            Some(Ret::Headers) => b" RET=HDRS",
            None => b"",
        });
        write_parameter(out, b" ENVID=", mail.envid.as_deref());
    }
    if !server.auth.is_empty() {
        write_parameter(out, b" AUTH=", mail.auth.as_deref());
    }
    if mail.require_tls && server.require_tls {
        out.extend_from_slice(b" REQUIRETLS");
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `RCPT TO:<…> …`, with the parameters the server knows.
pub fn write_recipient(out: &mut BytesMut, recipient: &Recipient, server: &Capabilities) {
    out.extend_from_slice(b"RCPT TO:<");
    out.extend_from_slice(recipient.address.as_str().as_bytes());
    out.extend_from_slice(b">");
    if server.dsn {
        write_parameter(out, b" NOTIFY=", recipient.notify.as_deref());
        write_parameter(out, b" ORCPT=", recipient.orcpt.as_deref());
    }
    out.extend_from_slice(b"\r\n");
}

/// The path and every parameter of MAIL as texts of their own, as milters get them.
#[must_use]
pub fn mail_arguments(mail: &Mail) -> Vec<String> {
    let mut out = BytesMut::new();
    write_mail(&mut out, mail, mail.size, &everything());
    arguments(&out, "MAIL FROM:", &format!("<{}>", mail.reverse_path))
}

/// The path and every parameter of RCPT, in the same way.
#[must_use]
pub fn recipient_arguments(recipient: &Recipient) -> Vec<String> {
    let mut out = BytesMut::new();
    write_recipient(&mut out, recipient, &everything());
    arguments(&out, "RCPT TO:", &format!("<{}>", recipient.address))
}

/// A path may have blanks in it, a parameter has none.
fn arguments(line: &[u8], before: &str, path: &str) -> Vec<String> {
    let rest = line.get(before.len() + path.len()..).unwrap_or_default();
    let parameters = String::from_utf8_lossy(rest);
    [path.to_owned()].into_iter().chain(parameters.split_ascii_whitespace().map(str::to_owned)).collect()
}

/// A server that knows every parameter.
fn everything() -> Capabilities {
    Capabilities {
        size: Some(0),
        eight_bit: true,
        utf8: true,
        binary: true,
        dsn: true,
        require_tls: true,
        auth: vec!["PLAIN".into()],
        ..Capabilities::default()
    }
}

fn write_parameter(out: &mut BytesMut, name: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        out.extend_from_slice(name);
        out.extend_from_slice(value.as_bytes());
    }
}

#[cfg(test)]
mod tests;
