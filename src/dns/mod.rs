//! One caching resolver for the whole process, with time-outs of its own.
use crate::value::settings::Section;
use std::net::IpAddr;

/// The settings `[dns]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {}

/// Looks names up; cheap to clone, all clones share the cache.
#[derive(Debug, Clone)]
pub struct Resolver {}

/// The answer is not known: no server answered in time, or with a failure (RFC 8601's `temperror`).
#[derive(Debug, thiserror::Error)]
#[error("DNS: {0}")]
pub struct DnsError(pub Box<str>);

impl Settings {
    #[must_use]
    pub fn read(_section: &mut Section<'_>) -> Self {
        Self {}
    }
}

impl Resolver {
    #[must_use]
    pub fn new(_settings: &Settings) -> Self {
        Self {}
    }

    /// The client's name: what its address points to, if that points back (RFC 8601 §3, `iprev`).
    ///
    /// # Errors
    /// It could not be found out.
    pub async fn confirmed_name(&self, _address: IpAddr) -> Result<Option<Box<str>>, DnsError> {
        Ok(None)
    }
}
