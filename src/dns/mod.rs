//! One caching resolver for the whole process, with time-outs of its own.
//!
//! All workers share it, and its cache. A connection to a server belongs to the runtime of the worker
//! that opened it and serves all; when that worker ends, which is when the process does, a lookup of
//! another that waits on it fails, and the next one opens a connection of its own.

#[cfg(test)]
mod tests;

use crate::value::settings::{Placed, Section};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
    system_conf::read_system_conf,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// The settings `[dns]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Empty: the system's.
    pub resolvers: Vec<SocketAddr>,
    /// For one server to answer.
    pub timeout: Duration,
    /// How often a server is asked again.
    pub attempts: usize,
    /// Answers that are remembered.
    pub cache: u64,
}

/// Looks names up; cheap to clone, all clones share the cache.
#[derive(Clone)]
pub struct Resolver(Result<TokioResolver, DnsError>);

/// The answer is not known: no server answered in time, or with a failure (RFC 8601's `temperror`).
#[derive(Debug, Clone, thiserror::Error)]
#[error("DNS: {0}")]
pub struct DnsError(pub Box<str>);

/// Names of one address that are looked at (RFC 7208 §4.6.4 has this number for `ptr`).
const NAMES: usize = 10;

impl Default for Settings {
    fn default() -> Self {
        Self { resolvers: Vec::new(), timeout: Duration::from_secs(2), attempts: 2, cache: 10_000 }
    }
}

impl Settings {
    #[must_use]
    pub fn read(section: &mut Section<'_>) -> Self {
        let usual = Self::default();
        let timeout = section.take_placed::<Duration>("timeout");
        if let Some(Placed { span, .. }) = timeout.as_ref().filter(|timeout| timeout.value.is_zero()) {
            section.complain_at(span.clone(), format!("`{}`: nobody can answer in no time", section.path("timeout")));
        }
        Self {
            resolvers: section.take_list("resolvers").unwrap_or(usual.resolvers),
            timeout: timeout.map_or(usual.timeout, |timeout| timeout.value),
            attempts: section.take_or("attempts", usual.attempts),
            cache: section.take_or("cache", usual.cache),
        }
    }
}

impl Resolver {
    /// Where it cannot be made, every lookup says so, and so does [`inner`](Self::inner).
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let (config, mut options) = if settings.resolvers.is_empty() {
            // As the C library has it: without a configuration there is a server on this machine.
            read_system_conf().unwrap_or_else(|_| (config(&[(Ipv4Addr::LOCALHOST, 53).into()]), ResolverOpts::default()))
        } else {
            (config(&settings.resolvers), ResolverOpts::default())
        };
        options.timeout = settings.timeout;
        options.attempts = settings.attempts;
        options.cache_size = settings.cache;
        // Names in mail are whole; to try the local domain behind them asks for other names.
        options.ndots = 0;
        let built = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options).build();
        Self(built.map_err(|error| DnsError(error.to_string().into())))
    }

    /// The resolver itself, for what speaks to it in its own terms.
    ///
    /// # Errors
    /// It could not be made.
    pub fn inner(&self) -> Result<&TokioResolver, DnsError> {
        self.0.as_ref().map_err(Clone::clone)
    }

    /// The client's name: what its address points to, if that points back (RFC 8601 §3, `iprev`).
    /// Without a dot at its end; `None` where it has none.
    ///
    /// # Errors
    /// It could not be found out.
    pub async fn confirmed_name(&self, address: IpAddr) -> Result<Option<Box<str>>, DnsError> {
        let resolver = self.inner()?;
        let address = address.to_canonical();
        let names = match resolver.reverse_lookup(address).await {
            Ok(names) => names,
            Err(error) if is_no(&error) => return Ok(None),
            Err(error) => return Err(DnsError(error.to_string().into())),
        };
        let mut unknown = None;
        let names = names.answers().iter().filter_map(|record| if let RData::PTR(name) = &record.data { Some(&name.0) } else { None });
        for name in names.take(NAMES) {
            // One family only: an answer for the other would hide that there was none for this.
            let kind = if address.is_ipv4() { RecordType::A } else { RecordType::AAAA };
            match resolver.lookup(name.clone(), kind).await {
                Ok(found) if found.answers().iter().any(|record| record.data.ip_addr() == Some(address)) => {
                    let name = name.to_ascii();
                    return Ok(Some(name.trim_end_matches('.').into()));
                }
                Ok(_) => {}
                Err(error) if is_no(&error) => {}
                Err(error) => unknown = Some(DnsError(error.to_string().into())),
            }
        }
        unknown.map_or(Ok(None), Err)
    }
}

/// There is no such name, or no such record; that is an answer.
fn is_no(error: &NetError) -> bool {
    error.is_nx_domain() || error.is_no_records_found()
}

fn config(servers: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let at = |mut connection: ConnectionConfig| {
            connection.port = address.port();
            connection
        };
        NameServerConfig::new(address.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())])
    };
    ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect())
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}
