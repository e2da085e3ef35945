//! One transaction on one connection; delivering uses it up, dropping it resets it.
use super::{Accepted, Answer, UpstreamError};
use crate::message::Content;
use crate::smtp::{Recipient, Reply};
use bytes::Bytes;

/// What is sent: `prefix`, then `body`.
#[derive(Debug)]
pub struct Outgoing {
    /// Our Received and the header block as edited, with the empty line that closes it.
    pub prefix: Vec<Bytes>,
    pub body: Body,
    /// A line of it begins with a dot, so that DATA has to stuff (no scan is needed where not).
    pub leading_dot: bool,
}

/// What follows the header section.
#[derive(Debug)]
pub enum Body {
    /// The spooled content from octet `from` on.
    Content { content: Content, from: u64 },
    /// A body that a stage put in its place.
    Replaced(Bytes),
}

/// An open transaction. Dropped, it is reset, and its connection goes back to where it came from.
#[derive(Debug)]
pub struct Transaction {}

impl Transaction {
    /// One more RCPT.
    ///
    /// # Errors
    /// The connection is gone, and the transaction with it.
    pub async fn recipient(&mut self, _recipient: &Recipient) -> Result<Answer<Reply>, UpstreamError> {
        unreachable!()
    }
    /// RSET, and the connection goes back, without waiting for more than the write.
    pub async fn release(self) {}
    /// Hands the message over: BDAT where the server has CHUNKING, else DATA with fresh
    /// dot-stuffing. The connection goes back when the reply is there.
    ///
    /// # Errors
    /// The connection broke or the server did not answer; whether it has the message is unknown
    /// only where all of it had been sent (RFC 5321 §4.5.4, RFC 1047).
    pub async fn deliver(self, _outgoing: Outgoing) -> Result<Answer<Accepted>, UpstreamError> {
        unreachable!()
    }
}
