//! The arguments of MAIL and RCPT: paths and their ESMTP parameters.
use super::{Address, ReversePath};

/// `BODY=` (RFC 6152, RFC 3030).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyType {
    SevenBit,
    EightBitMime,
    BinaryMime,
}

/// `RET=` (RFC 3461 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    Full,
    Headers,
}

/// What MAIL said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub reverse_path: ReversePath,
    /// `SIZE=`, octets (RFC 1870).
    pub size: Option<u64>,
    pub body: Option<BodyType>,
    /// `SMTPUTF8` (RFC 6531).
    pub utf8: bool,
    pub ret: Option<Ret>,
    /// `ENVID=`, still xtext: decoding it on the way is how a CRLF gets into a command.
    pub envid: Option<Box<str>>,
    /// `AUTH=`, still xtext (RFC 4954 §5).
    pub auth: Option<Box<str>>,
    /// `REQUIRETLS` (RFC 8689).
    pub require_tls: bool,
}

/// What RCPT said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub address: Address,
    /// `NOTIFY=`, as written, checked (RFC 3461 §4.1).
    pub notify: Option<Box<str>>,
    /// `ORCPT=`, still xtext, checked (RFC 3461 §4.2).
    pub orcpt: Option<Box<str>>,
}

impl Mail {
    /// A transaction without parameters.
    #[must_use]
    pub fn new(reverse_path: ReversePath) -> Self {
        Self { reverse_path, size: None, body: None, utf8: false, ret: None, envid: None, auth: None, require_tls: false }
    }
}
impl Recipient {
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, notify: None, orcpt: None }
    }
}
