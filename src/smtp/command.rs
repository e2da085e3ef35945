//! Command lines (RFC 5321 §4.1).
use super::{Domain, Mail, Offer, Recipient, Refusal};
use bytes::Bytes;
use memchr::{memchr, memchr3};

/// A command the server knows, with its arguments read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Helo(Domain),
    Ehlo(Domain),
    Mail(Box<Mail>),
    Rcpt(Box<Recipient>),
    Data,
    /// RFC 3030 §2.
    Bdat {
        size: u64,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy(Box<str>),
    Expn,
    Help,
    Quit,
    StartTls,
    /// RFC 4954 §4; the initial response as it came, not decoded, never logged.
    Auth {
        mechanism: Box<str>,
        initial: Option<Bytes>,
    },
}

/// Why a line is no command: what the client is told, and what the metrics count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// Not a verb of this server: `500 5.5.1`.
    UnknownVerb,
    /// A verb of another protocol, or one that only a trusted peer may say (an HTTP request line,
    /// PROXY, XCLIENT, XFORWARD): the client is no mail client, and the connection ends.
    Forbidden,
    /// CR, LF or NUL inside the line (`500 5.5.2`).
    BadOctet,
    /// Arguments missing, malformed or not wanted: `501 5.5.4`, with what is wrong.
    Syntax(&'static str),
    /// Path malformed: `501 5.1.7` (sender) or `501 5.1.3` (recipient).
    Path { sender: bool },
    /// An ESMTP parameter nobody offered: `555 5.5.4` (RFC 5321 §4.1.1.11).
    Parameter(Box<str>),
    /// SIZE= above the limit: `552 5.3.4` (RFC 1870 §6.1).
    TooBig,
    /// A non-ASCII address without SMTPUTF8: `553 5.6.7` (RFC 6531 §3.5).
    NeedsUtf8 { sender: bool },
}

impl Command {
    /// Reads one line, given without its CRLF. `offer` says which extensions stand; a parameter of
    /// one that was not offered is a mistake. `utf8` says whether the transaction is SMTPUTF8 (it
    /// matters to RCPT; MAIL says it itself).
    ///
    /// Whether a command is in its place, and STARTTLS or AUTH offered at all, is not judged here.
    ///
    /// # Errors
    /// A [`Mistake`], which knows its reply.
    pub fn parse(line: &[u8], offer: &Offer, utf8: bool) -> Result<Self, Mistake> {
        // The first octets of a TLS handshake: the client took the port for one that begins so.
        if line.starts_with(b"\x16\x03") {
            return Err(Mistake::Forbidden);
        }
        if memchr3(b'\r', b'\n', 0, line).is_some() {
            return Err(Mistake::BadOctet);
        }
        let line = line.trim_ascii_end();
        let (verb, rest) = line.split_at(memchr(b' ', line).unwrap_or(line.len()));
        let rest = rest.trim_ascii_start();
        let mut name = [0; LONGEST_VERB];
        let name = name.get_mut(..verb.len()).ok_or(Mistake::UnknownVerb)?;
        name.copy_from_slice(verb);
        name.make_ascii_uppercase();
        match &*name {
            b"MAIL" => Mail::parse(arguments(rest, b"FROM:")?, offer).map(|mail| Self::Mail(Box::new(mail))),
            b"RCPT" => Recipient::parse(arguments(rest, b"TO:")?, offer, utf8).map(|recipient| Self::Rcpt(Box::new(recipient))),
            b"DATA" => nothing(rest, Self::Data),
            b"BDAT" => bdat(rest),
            b"RSET" => nothing(rest, Self::Rset),
            b"QUIT" => nothing(rest, Self::Quit),
            b"EHLO" => domain(rest).map(Self::Ehlo),
            b"HELO" => domain(rest).map(Self::Helo),
            b"STARTTLS" => nothing(rest, Self::StartTls),
            b"AUTH" => auth(rest),
            b"NOOP" => Ok(Self::Noop),
            b"HELP" => Ok(Self::Help),
            b"EXPN" => Ok(Self::Expn),
            b"VRFY" if rest.is_empty() => Err(Mistake::Syntax("VRFY who?")),
            b"VRFY" => text(rest).map(|who| Self::Vrfy(who.into())),
            b"GET" | b"POST" | b"HEAD" | b"PUT" | b"PATCH" | b"DELETE" | b"OPTIONS" | b"CONNECT" | b"PRI" => Err(Mistake::Forbidden),
            b"XCLIENT" | b"XFORWARD" | b"PROXY" => Err(Mistake::Forbidden),
            _ => Err(Mistake::UnknownVerb),
        }
    }
}

/// STARTTLS, XFORWARD.
const LONGEST_VERB: usize = 8;

fn text(octets: &[u8]) -> Result<&str, Mistake> {
    str::from_utf8(octets).map_err(|_| Mistake::Syntax("neither ASCII nor UTF-8"))
}

/// What stands behind `FROM:` or `TO:`.
fn arguments<'a>(rest: &'a [u8], name: &[u8]) -> Result<&'a str, Mistake> {
    match rest.split_at_checked(name.len()) {
        Some((head, arguments)) if head.eq_ignore_ascii_case(name) => text(arguments),
        _ if name == b"TO:" => Err(Mistake::Syntax("RCPT TO:<address>")),
        _ => Err(Mistake::Syntax("MAIL FROM:<address>")),
    }
}

fn nothing(rest: &[u8], command: Command) -> Result<Command, Mistake> {
    if rest.is_empty() { Ok(command) } else { Err(Mistake::Syntax("no argument is taken here")) }
}

fn domain(rest: &[u8]) -> Result<Domain, Mistake> {
    Domain::parse(text(rest)?).ok_or(Mistake::Syntax("say your host name or [address]"))
}

/// RFC 3030 §2. A size that does not fit 64 bits is no size.
fn bdat(rest: &[u8]) -> Result<Command, Mistake> {
    const WRONG: Mistake = Mistake::Syntax("BDAT size [LAST]");
    let mut words = text(rest)?.split_ascii_whitespace();
    let digits = words.next().filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit())).ok_or(WRONG)?;
    let size = digits.parse().map_err(|_| WRONG)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(WRONG),
    };
    if words.next().is_none() { Ok(Command::Bdat { size, last }) } else { Err(WRONG) }
}

/// RFC 4954 §4; the mechanism (RFC 4422 §3.1) in upper case.
fn auth(rest: &[u8]) -> Result<Command, Mistake> {
    const WRONG: Mistake = Mistake::Syntax("AUTH mechanism [initial response]");
    let mut words = text(rest)?.split_ascii_whitespace();
    let is_mechanism =
        |word: &&str| word.len() <= 20 && word.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
    let mechanism = words.next().filter(is_mechanism).ok_or(WRONG)?;
    let is_base64 = |word: &str| word.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'='));
    let initial = match words.next() {
        Some(word) if !is_base64(word) => return Err(WRONG),
        word => word.map(|word| Bytes::copy_from_slice(word.as_bytes())),
    };
    if words.next().is_some() {
        return Err(WRONG);
    }
    Ok(Command::Auth { mechanism: mechanism.to_ascii_uppercase().into(), initial })
}

impl Mistake {
    /// What the client is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::UnknownVerb => Refusal::permanent(0, "5.1", "command not recognized"),
            Self::Forbidden => Refusal::permanent(21, "5.1", "this is a mail server; closing the connection"),
            Self::BadOctet => Refusal::permanent(0, "5.2", "CR, LF or NUL inside a command"),
            Self::Syntax(what) => Refusal::permanent(1, "5.4", what),
            Self::Path { sender: true } => Refusal::permanent(1, "1.7", "malformed sender address"),
            Self::Path { sender: false } => Refusal::permanent(1, "1.3", "malformed recipient address"),
            Self::Parameter(keyword) => {
                let keyword: String = keyword.chars().take(MAX_ECHO).collect();
                Refusal::permanent(55, "5.4", &format!("parameter not supported: {keyword}"))
            }
            Self::TooBig => Refusal::permanent(52, "3.4", "message larger than is taken here"),
            Self::NeedsUtf8 { sender: true } => Refusal::permanent(53, "6.7", "the sender address needs SMTPUTF8"),
            Self::NeedsUtf8 { sender: false } => Refusal::permanent(53, "6.7", "the recipient address needs SMTPUTF8"),
        }
    }
}

/// Characters of the client's own that it is told back.
const MAX_ECHO: usize = 32;

#[cfg(test)]
mod tests;
