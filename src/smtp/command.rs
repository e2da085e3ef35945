//! Command lines (RFC 5321 §4.1).
use super::{Domain, Mail, Offer, Recipient, Refusal};
use bytes::Bytes;

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
    /// # Errors
    /// A [`Mistake`], which knows its reply.
    pub fn parse(_line: &[u8], _offer: &Offer, _utf8: bool) -> Result<Self, Mistake> {
        Err(Mistake::UnknownVerb)
    }
}

impl Mistake {
    /// What the client is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal::permanent(0, "5.1", "command not known")
    }
}
