//! What a server says it can do after EHLO: ours ([`Offer`]) and an upstream's ([`Capabilities`]).
use super::Reply;
use bytes::BytesMut;
use std::sync::Arc;

/// What an upstream's EHLO reply says. `Default` is a server that only knows HELO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The keyword was there: octets, 0 where there is no limit (RFC 1870).
    pub size: Option<u64>,
    pub pipelining: bool,
    pub eight_bit: bool,
    pub utf8: bool,
    pub chunking: bool,
    pub binary: bool,
    pub dsn: bool,
    pub enhanced_codes: bool,
    pub starttls: bool,
    pub require_tls: bool,
    /// Attributes after XCLIENT, upper case.
    pub xclient: Vec<Box<str>>,
    /// SASL mechanisms after AUTH, upper case.
    pub auth: Vec<Box<str>>,
    /// RCPTMAX of LIMITS (RFC 9422).
    pub recipients: Option<u32>,
}

impl Capabilities {
    /// Reads the 250 to EHLO.
    #[must_use]
    pub fn from_reply(_reply: &Reply) -> Self {
        Self::default()
    }
    /// What both can: for an upstream of several servers, and a listener of several upstreams.
    #[must_use]
    pub fn intersection(&self, _other: &Self) -> Self {
        self.clone()
    }
}

/// What our own EHLO says, made anew for every session from what octroi and the upstreams can both
/// keep. PIPELINING and CHUNKING are always offered: octroi keeps them whatever stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub hostname: Arc<str>,
    /// Octets.
    pub size: u64,
    pub recipients: u32,
    pub eight_bit: bool,
    pub utf8: bool,
    pub binary: bool,
    pub dsn: bool,
    pub enhanced_codes: bool,
    pub starttls: bool,
    pub require_tls: bool,
    /// Empty: no AUTH on this listener, or not yet (no TLS).
    pub auth: Vec<Box<str>>,
}

impl Offer {
    /// The reply to EHLO.
    pub fn write_to(&self, _out: &mut BytesMut) {}
}
