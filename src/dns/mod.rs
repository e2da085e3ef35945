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
//! Names and addresses: one resolver with a cache and time-outs of its own.
//! There is one for every worker, made when it first asks. hickory keeps its sockets' tasks on the
//! event loop that opened them: a resolver that workers shared would have one of them wait until
//! another comes round to it, and fail when that other one has drained and gone. So nothing on the
//! way of a session takes a lock that another worker holds, as everywhere in octroi; the price is
//! that each worker asks for itself what it does not know yet.
mod settings;
pub use settings::Settings;
    config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    proto::rr::RData,
    cell::RefCell,
    net::IpAddr,
    sync::{Arc, Weak},
use tokio::time::timeout;
/// Names behind one address that are looked at; who has more has them for another reason than mail
/// (RFC 7208 §5.5 stops at ten).
const NAMES: usize = 10;
/// No answer is believed for longer, whatever it says of itself: keys and policies are withdrawn.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// And none that there is nothing: somebody may just be setting it up.
const LONGEST_NOTHING: Duration = Duration::from_secs(15 * 60);
/// Questions under way on one connection; hickory's default of 32 is soon reached by a busy gate.
const UNDER_WAY: usize = 1024;
/// Looks names up; cheap to clone. Clones share each worker's cache, and the cache goes with the
/// last of them: a configuration that is read anew begins with an empty one.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<Shared>);
#[derive(Debug)]
struct Shared {
    /// Whom to ask, or why nobody knows.
    servers: Result<ResolverConfig, Box<str>>,
    settings: Settings,

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
thread_local! {
    /// This worker's, one for each configuration that still has sessions.
    static HERE: RefCell<Vec<(Weak<Shared>, TokioResolver)>> = const { RefCell::new(Vec::new()) };
    /// Where no resolvers are configured, `/etc/resolv.conf` is read here and now. One that cannot be
    /// read is an error of every question, not of the configuration: most of it needs no DNS.
        let servers = match settings.resolvers.as_slice() {
            [] => system(),
            resolvers => Ok(ResolverConfig::from_parts(
                None,
                Vec::new(),
                resolvers
                    .iter()
                    .map(|address| {
                        let to = |protocol| {
                            let mut connection = ConnectionConfig::new(protocol);
                            connection.port = address.port();
                            connection
                        };
                        // Negative answers are believed: these are resolvers, not everybody's guesses.
                        NameServerConfig::new(address.ip(), true, vec![to(ProtocolConfig::Udp), to(ProtocolConfig::Tcp)])
                    })
                    .collect(),
            )),
        Self(Arc::new(Shared { servers, settings: settings.clone() }))
    /// The resolver of this worker, for what asks questions of its own. To be called, and used, on
    /// the worker's event loop.
    /// There is nobody to ask.
    pub fn here(&self) -> Result<TokioResolver, DnsError> {
        HERE.with_borrow_mut(|all| {
            if let Some((_, resolver)) = all.iter().find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(&self.0))) {
                return Ok(resolver.clone());
            let resolver = self.0.build()?;
            all.retain(|(of, _)| of.strong_count() > 0);
            all.push((Arc::downgrade(&self.0), resolver.clone()));
            Ok(resolver)
        })
    /// The longest that one question can take.
    pub fn patience(&self) -> Duration {
        self.0.settings.patience()
    /// The client's name: what its address points to, if that points back (RFC 8601 §3, `iprev`);
    /// the first of several, without the final dot, in lower case. Takes no longer than one question
    /// may.
    /// It could not be found out. That one name behind the address cannot be found out is no error
    /// where another one points back.
        let resolver = self.here()?;
        timeout(self.patience(), confirmed_name(&resolver, address)).await.unwrap_or_else(|_| Err(DnsError("no answer in time".into())))
    }
}

async fn confirmed_name(resolver: &TokioResolver, address: IpAddr) -> Result<Option<Box<str>>, DnsError> {
    let Some(pointers) = found(resolver.reverse_lookup(address).await)? else { return Ok(None) };
    let names = pointers.iter().filter_map(|data| if let RData::PTR(name) = data { Some(&name.0) } else { None });
    let mut unknown = None;
    for name in names.take(NAMES) {
        let points_back = match address {
            IpAddr::V4(_) => resolver.ipv4_lookup(name.clone()).await,
            IpAddr::V6(_) => resolver.ipv6_lookup(name.clone()).await,
        };
        match found(points_back) {
            Ok(addresses) if addresses.iter().flatten().any(|data| data.ip_addr() == Some(address)) => {
                return Ok(Some(name.to_lowercase().to_ascii().trim_end_matches('.').into()));
            }
            Ok(_) => {}
            Err(error) => unknown = Some(error),
        }
    }
    unknown.map_or(Ok(None), Err)
}

/// The data of an answer; `None` where there is surely nothing.
fn found(answer: Result<hickory_resolver::lookup::Lookup, NetError>) -> Result<Option<Vec<RData>>, DnsError> {
    match answer {
        Ok(lookup) => Ok(Some(lookup.answers().iter().map(|record| record.data.clone()).collect())),
        Err(error) if error.is_no_records_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl From<NetError> for DnsError {
    fn from(error: NetError) -> Self {
        Self(error.to_string().into())
    }
}

fn system() -> Result<ResolverConfig, Box<str>> {
    let (config, _) = read_system_conf().map_err(|error| format!("/etc/resolv.conf: {error}"))?;
    // Whatever is asked here is a full name: a search list would have `example.org` mean something
    // else in every network.
    Ok(ResolverConfig::from_parts(None, Vec::new(), config.into_parts().2))
}

impl Shared {
    fn build(&self) -> Result<TokioResolver, DnsError> {
        let servers = self.servers.clone().map_err(DnsError)?;
        let mut options = ResolverOpts::default();
        options.timeout = self.settings.timeout;
        // hickory counts those after the first.
        options.attempts = self.settings.attempts.saturating_sub(1);
        options.cache_size = self.settings.cache;
        options.positive_max_ttl = Some(LONGEST);
        options.negative_max_ttl = Some(LONGEST_NOTHING);
        options.max_active_requests = UNDER_WAY;
        // What others publish is in question, not what this host calls them.
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
            .with_options(options)
            .with_tls_config(no_tls()?)
            .build()?;
        Ok(resolver)
    }
}

/// hickory wants a TLS configuration, used or not, and the one it makes for itself reads the system's
/// certificates for each resolver and fails where there are none.
fn no_tls() -> Result<rustls::ClientConfig, DnsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DnsError(error.to_string().into()))?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}
