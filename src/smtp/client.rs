//! The other side: replies read, commands written.
use super::{Capabilities, Mail, Recipient, Reply};
use bytes::BytesMut;

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
}

/// Takes replies out of what a server sends, however it is cut.
#[derive(Debug, Default)]
pub struct Replies {
    input: BytesMut,
}

impl Replies {
    /// Where the driver reads into.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }
    /// The next whole reply; `None` while more input is needed.
    pub fn next(&mut self) -> Option<Result<Reply, Garbage>> {
        None
    }
    /// Nothing is buffered that nobody asked for. Anything else after a reply, and before the next
    /// command, is a server out of step (or an injection before STARTTLS).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }
}

/// Appends `MAIL FROM:<…> …`, with the parameters the server knows.
pub fn write_mail(_out: &mut BytesMut, _mail: &Mail, _size: Option<u64>, _server: &Capabilities) {}
/// Appends `RCPT TO:<…> …`, with the parameters the server knows.
pub fn write_recipient(_out: &mut BytesMut, _recipient: &Recipient, _server: &Capabilities) {}
