//! `[upstream.NAME]`, `[[route]]` and the upstream's part of `[timeouts]`.
use super::tls::Tls;
use crate::tls::{self, Certificate, CertificateFiles};
use crate::value::settings::{Placed, Section, Setting};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use toml::de::DeValue;

/// More servers than that are one name in the DNS, or a load balancer.
const SERVERS: usize = 64;

/// One upstream as configured.
#[derive(Debug, Clone)]
pub struct Settings {
    pub name: Arc<str>,
    pub servers: Vec<Endpoint>,
    /// `None`: never.
    pub tls: Option<Tls>,
    pub identity: IdentityMode,
    /// Connections open at once, over all workers; a transaction waits for one, up to
    /// `timeouts.upstream_connect`. A session that has authenticated itself, or whose client the
    /// server has been told of for good, holds one to its end.
    pub connections: u32,
    /// How long a connection may stand unused. Below the 300 s of Postfix's `smtpd_timeout`, so that it
    /// is we who end it.
    pub idle: Duration,
}

/// Where mail for some domains goes; the first that matches wins, else `default`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `example.com`, or `*.example.com` for every name below it; lower case.
    pub domains: Vec<Box<str>>,
    pub upstream: Box<str>,
}

/// How long an upstream may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the SYN to the reply to EHLO, TLS included; also the wait for a free connection.
    pub connect: Duration,
    /// The reply to a command, and each piece of a body to be taken.
    pub command: Duration,
    /// The reply to the end of data (RFC 5321 §4.5.3.2.6 says ten minutes).
    pub end_of_data: Duration,
}

/// How the MTA learns who the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityMode {
    /// It does not: it sees octroi.
    #[default]
    None,
    /// Postfix's XCLIENT, before a transaction of another client than the connection's last; on a
    /// connection of the session's own where the server takes no second one.
    Xclient,
    /// A PROXY v2 header, on a connection of the session's own.
    ProxyV2,
}

/// `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Ip(IpAddr),
    /// Looked up at every connect.
    Name(Box<str>),
}

impl Settings {
    /// An upstream called `default` with nothing set but its servers: no TLS, no identity.
    #[must_use]
    pub fn plain(servers: Vec<Endpoint>) -> Self {
        let idle = Duration::from_secs(60);
        Self { name: "default".into(), servers, tls: None, identity: IdentityMode::None, connections: 100, idle }
    }
}

impl Endpoint {
    pub(super) fn host(&self) -> &Host {
        &self.host
    }
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether who connects there meets who listens at `address`, as far as that is known without asking:
    /// the same address, or one of this host's own.
    #[must_use]
    pub fn is_at(&self, address: SocketAddr) -> bool {
        let at = address.ip().to_canonical();
        let meets = |ip: IpAddr| {
            let ip = ip.to_canonical();
            let own = ip.is_loopback() || ip.is_unspecified();
            ip == at || (at.is_unspecified() && own && (at.is_ipv6() || ip.is_ipv4())) || (ip.is_unspecified() && at.is_loopback())
        };
        self.port == address.port()
            && match &self.host {
                Host::Ip(ip) => meets(*ip),
                Host::Name(name) => name.eq_ignore_ascii_case("localhost") && (at.is_loopback() || at.is_unspecified()),
            }
    }

    /// Reads `HOST:PORT`; IPv6 addresses stand in square brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => Host::Ip(IpAddr::V6(rest.strip_suffix(']')?.parse().ok()?)),
            None => match host.parse() {
                Ok(v4) => Host::Ip(IpAddr::V4(v4)),
                Err(_) => Host::Name(host_name(host)?.into()),
            },
        };
        Some(Self { host, port })
    }
}

/// Letters, digits, hyphens, underscores, dots; the last label no number, since `127.0.1` is a
/// mistyped address and no name.
fn host_name(text: &str) -> Option<&str> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
    };
    let last = text.rsplit('.').next()?;
    (text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Ip(ip) => write!(f, "{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl Setting for Endpoint {
    const EXPECTED: &'static str = "a host and port such as \"127.0.0.1:10025\", \"[::1]:25\" or \"mail.example.com:25\"";
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        Self::parse(text).ok_or_else(|| Some(format!("`{text}` is not {}", Self::EXPECTED)))
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), command: Duration::from_secs(60), end_of_data: Duration::from_secs(600) }
    }
}

impl Timeouts {
    /// Reads the upstream's keys of `[timeouts]`; the others are somebody else's.
    pub fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let mut take = |key, default: Duration| match section.take_placed_unless(key, &default) {
            Some(Placed { value: Duration::ZERO, span }) => {
                section.complain_at(span, format!("`{}`: a timeout of nothing lets nothing pass", section.path(key)));
                default
            }
            Some(Placed { value, .. }) => value,
            None => default,
        };
        Self {
            connect: take("upstream_connect", default.connect),
            command: take("upstream_command", default.command),
            end_of_data: take("upstream_final", default.end_of_data),
        }
    }
}

/// Reads all `[upstream.NAME]` and `[[route]]` below `root`. Certificates that TLS is to trust are
/// read too, so that a wrong file is a mistake with its place.
pub fn read(root: &mut Section<'_>) -> (Vec<Settings>, Vec<Route>) {
    let sections = root.named_sections("upstream");
    // Also of those with mistakes: a route to one of them is no second mistake, nor is any where
    // nobody knows what there is.
    let known: Option<Vec<Box<str>>> = sections.as_ref().map(|all| all.iter().map(|(name, _)| name.value.clone()).collect());
    let sections = sections.unwrap_or_default().into_iter();
    let upstreams = sections.filter_map(|(name, section)| upstream(&name.value, section?)).collect();
    if known.as_ref().is_some_and(|known| !known.iter().any(|name| &**name == "default")) {
        root.complain("`[upstream.default]` is missing: where does mail go that no route matches?");
    }
    let routes = root.sections("route").into_iter().filter_map(|section| route(section, known.as_deref())).collect();
    (upstreams, routes)
}

fn upstream(name: &str, mut section: Section<'_>) -> Option<Settings> {
    let servers = section.require_list::<Endpoint>("addresses");
    if servers.as_ref().is_some_and(|servers| servers.is_empty() || servers.len() > SERVERS) {
        section.complain(format!("`{}`: name at least one server, and at most {SERVERS}", section.path("addresses")));
    }
    let tls = tls(&mut section);
    let identity = section.choice(
        "identity",
        &[("none", IdentityMode::None), ("xclient", IdentityMode::Xclient), ("proxy-v2", IdentityMode::ProxyV2)],
        IdentityMode::None,
    );
    let connections = section.take_placed_unless::<u32>("connections", &100);
    if let Some(Placed { value: 0, span }) = &connections {
        section.complain_at(span.clone(), format!("`{}`: no mail passes without a connection", section.path("connections")));
    }
    let idle = section.take_or("idle", Duration::from_secs(60));
    let connections = connections.map_or(100, |placed| placed.value);
    Some(Settings { name: name.into(), servers: servers?, tls, identity, connections, idle })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TlsMode {
    Off,
    Opportunistic,
    Required,
}

fn tls(section: &mut Section<'_>) -> Option<Tls> {
    let words = [("off", TlsMode::Off), ("opportunistic", TlsMode::Opportunistic), ("required", TlsMode::Required)];
    let mode = section.choice("tls", &words, TlsMode::Opportunistic);
    if mode == TlsMode::Required {
        section.otherwise("ca", "those that the system trusts");
        section.otherwise("server_name", "the host in `addresses`");
    }
    let ca = section.take_placed::<PathBuf>("ca");
    let name = section.take_placed::<String>("server_name");
    let shows = section.has("certificate") | section.has("private_key");
    if mode != TlsMode::Required {
        // Whoever writes these expects the certificate to be checked, or ours to be asked for. With a
        // server that has no TLS today neither would be, and what it refuses then is refused for good.
        for key in ["ca", "server_name", "certificate", "private_key"] {
            if let Some(span) = section.place(key) {
                section.complain_at(span, format!("`{}` means something only with tls = \"required\"", section.path(key)));
            }
        }
        return if mode == TlsMode::Opportunistic { Tls::opportunistic().map_err(|e| section.complain(e)).ok() } else { None };
    }
    let name = name.and_then(|Placed { value, span }| match tls::server_name(&value) {
        Some(name) => Some(name),
        None => {
            section.complain_at(span, format!("`{}`: `{value}` is neither a host name nor an address", section.path("server_name")));
            None
        }
    });
    let (roots, span) = match ca {
        Some(Placed { value, span }) => (tls::pinned(&value).map_err(|why| format!("`{}`: {why}", section.path("ca"))), span),
        None => (tls::system().map_err(|why| format!("`{}`: {why}; name a `ca`", section.path("tls"))), section.span()),
    };
    let tls = roots.and_then(|roots| Tls::required(roots, name)).map_err(|text| section.complain_at(span, text)).ok();
    if !shows {
        return tls;
    }
    let files = CertificateFiles::read(section)?;
    // What is wrong with them has been told.
    Some(tls?.showing(Certificate::load(&files).ok()?))
}

fn route(mut section: Section<'_>, known: Option<&[Box<str>]>) -> Option<Route> {
    let domains = section.require_list::<Pattern>("domains");
    let upstream = match section.take_placed::<Box<str>>("upstream") {
        Some(Placed { value, span })
            if let Some(known) = known
                && !known.contains(&value) =>
        {
            let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
            section.complain_at(span, format!("`{}`: there is no [upstream.{value}], only {}", section.path("upstream"), known.join(", ")));
            None
        }
        Some(placed) => Some(placed.value),
        None => section.require::<Box<str>>("upstream"),
    };
    Some(Route { domains: domains?.into_iter().map(|pattern| pattern.0).collect(), upstream: upstream? })
}

/// A domain, or `*.` and a domain.
struct Pattern(Box<str>);

impl Setting for Pattern {
    const EXPECTED: &'static str = "a domain such as \"example.com\" or \"*.example.com\"";
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        let domain = text.strip_prefix("*.").unwrap_or(text);
        let literal = domain.starts_with('[') && domain.ends_with(']') && domain.len() == text.len();
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '@' | '/' | ':' | '<' | '>');
        let name = !domain.is_empty() && domain.split('.').all(|label| !label.is_empty() && !label.contains(odd));
        if !literal && !name {
            return Err(Some(format!("`{text}` is not {}", Self::EXPECTED)));
        }
        Ok(Self(text.to_lowercase().into()))
    }
}
