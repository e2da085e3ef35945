//! Names and addresses: one resolver with a cache and time-outs of its own.
//!
//! There is one for every worker, made when it first asks. hickory keeps its sockets' tasks on the
//! event loop that opened them: a resolver that workers shared would have one of them wait until
//! another comes round to it, and fail when that other one has drained and gone. So nothing on the
//! way of a session takes a lock that another worker holds, as everywhere in octroi; the price is
//! that each worker asks for itself what it does not know yet.
#[cfg(test)]
#[path = "../../tests/support/dns.rs"]
#[expect(dead_code, unreachable_pub, reason = "the tests of the binary need the rest")]
pub(crate) mod server;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::Settings;

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
    system_conf::read_system_conf,
};
use std::{
    cell::RefCell,
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};
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
}

/// The answer is not known: no server answered in time, or with a failure (RFC 8601's `temperror`).
#[derive(Debug, thiserror::Error)]
#[error("DNS: {0}")]
pub struct DnsError(pub Box<str>);

thread_local! {
    /// This worker's, one for each configuration that still has sessions.
    static HERE: RefCell<Vec<(Weak<Shared>, TokioResolver)>> = const { RefCell::new(Vec::new()) };
}

impl Resolver {
    /// Where no resolvers are configured, `/etc/resolv.conf` is read here and now. One that cannot be
    /// read is an error of every question, not of the configuration: most of it needs no DNS.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
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
        };
        Self(Arc::new(Shared { servers, settings: settings.clone() }))
    }

    /// The resolver of this worker, for what asks questions of its own. To be called, and used, on
    /// the worker's event loop.
    ///
    /// # Errors
    /// There is nobody to ask.
    pub fn here(&self) -> Result<TokioResolver, DnsError> {
        HERE.with_borrow_mut(|all| {
            if let Some((_, resolver)) = all.iter().find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(&self.0))) {
                return Ok(resolver.clone());
            }
            let resolver = self.0.build()?;
            all.retain(|(of, _)| of.strong_count() > 0);
            all.push((Arc::downgrade(&self.0), resolver.clone()));
            Ok(resolver)
        })
    }

    /// The longest that one question can take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.0.settings.patience()
    }

    /// The client's name: what its address points to, if that points back (RFC 8601 §3, `iprev`);
    /// the first of several that is a host name, without the final dot, in lower case: it can stand
    /// in a header field as it is. Takes no longer than one question may.
    ///
    /// # Errors
    /// It could not be found out. That one name behind the address cannot be found out is no error
    /// where another one points back.
    pub async fn confirmed_name(&self, address: IpAddr) -> Result<Option<Box<str>>, DnsError> {
        let address = address.to_canonical();
        let resolver = self.here()?;
        timeout(self.patience(), confirmed_name(&resolver, address)).await.unwrap_or_else(|_| Err(DnsError("no answer in time".into())))
    }
}

async fn confirmed_name(resolver: &TokioResolver, address: IpAddr) -> Result<Option<Box<str>>, DnsError> {
    let Some(pointers) = found(resolver.reverse_lookup(address).await)? else { return Ok(None) };
    let names = pointers.iter().filter_map(|data| if let RData::PTR(name) = data { Some(&name.0) } else { None });
    let mut unknown = None;
    for name in names.take(NAMES) {
        let called = name.to_lowercase().to_ascii();
        let called = called.trim_end_matches('.');
        // DNS would have any octets in a name, a `)` and a line end as well.
        if !called.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.')) || called.is_empty() {
            continue;
        }
        let points_back = match address {
            IpAddr::V4(_) => resolver.ipv4_lookup(name.clone()).await,
            IpAddr::V6(_) => resolver.ipv6_lookup(name.clone()).await,
        };
        match found(points_back) {
            Ok(addresses) if addresses.iter().flatten().any(|data| data.ip_addr() == Some(address)) => return Ok(Some(called.into())),
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
