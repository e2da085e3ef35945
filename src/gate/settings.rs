//! What the gate is told: listeners, TLS files, limits, timeouts.
//!
//! Every key, its default and its reason stand in `deploy/octroi.toml` as well; a test compares the
//! two. Whatever one setting demands of another is checked here, with its place, and so is whether
//! the certificates can be read.
mod listener;

pub use listener::{Auth, ClientCertificate, ListenAddress, Listener, TlsMode};

use crate::acme;
use crate::smtp::{Domain, data::BareNewline};
use crate::tls::{CertificateFiles, read_roots};
use crate::unpack;
use crate::upstream;
use crate::value::{
    ByteSize,
    settings::{Placed, Section, Setting},
    with_owner,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Everything the gate needs to know besides upstreams and stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name in the banner, in `Received` and in `Authentication-Results`.
    pub hostname: Arc<str>,
    /// The spool's files live below it.
    pub state_dir: PathBuf,
    /// Threads, each with its own event loop, listening sockets and upstream connections.
    pub workers: usize,
    pub tls: Tls,
    /// At least one.
    pub listeners: Vec<Listener>,
    pub limits: Limits,
    pub smtp: Smtp,
    pub timeouts: Timeouts,
    /// `[unpack]`.
    pub unpack: Arc<unpack::Limits>,
}

/// `[tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The first serves clients that ask for no name, or for one that none of them has.
    pub certificates: Vec<CertificateFiles>,
    /// Who signs the certificates that clients show.
    pub client_ca: Option<PathBuf>,
    /// Another one is obtained by octroi itself.
    pub acme: Option<acme::Settings>,
}

/// What `[tls]` says, as far as other settings depend on it.
struct Offered {
    /// Certificates; also wrong ones, of which nothing more has to be said.
    certificates: bool,
    client_ca: bool,
}

/// `[limits]`. Sizes in octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Offered as SIZE; beyond it `552 5.3.4`.
    pub message_size: u64,
    /// The header section of a message; beyond it `552 5.3.4`. It is always held in memory.
    pub header_size: u64,
    /// Of one transaction; beyond it `452 4.5.3`.
    pub recipients: u32,
    /// At once, over all listeners; beyond it `421`.
    pub connections: usize,
    /// At once from one IPv4 address or IPv6 /64.
    pub connections_per_client: usize,
    /// All message octets held in memory at once, over all sessions.
    pub memory: u64,
    /// And on disk.
    pub spool: u64,
    /// Of one message, in memory; what is beyond goes to disk.
    pub message_memory: u64,
    /// Commands of one session that may be answered with 5yz before it is closed with `421`.
    pub errors: u32,
    /// `Received` fields; a message with more goes in circles (RFC 5321 §6.3).
    pub hops: u32,
    /// Octets a second below which a body is too slow, measured over a minute. 0: any rate will do.
    pub minimum_rate: u64,
}

/// `[smtp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// What to do with an innocent LF that no CR precedes.
    pub bare_newline: BareNewline,
    /// How long the banner waits for clients that talk before they are greeted. Zero: not at all.
    pub greet_pause: Duration,
}

/// `[timeouts]`. None is zero but `hold`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Between two commands (RFC 5321 §4.5.3.2.7).
    pub client_command: Duration,
    /// Between two pieces of a body (RFC 5321 §4.5.3.2.5).
    pub client_data: Duration,
    pub tls_handshake: Duration,
    /// From accept to the end of the PROXY header.
    pub proxy_header: Duration,
    /// The chain's budget after the end of data.
    pub message: Duration,
    /// How long an upstream transaction is held while the body still arrives.
    pub hold: Duration,
    pub upstream: upstream::Timeouts,
    /// How long transactions under way may take after SIGTERM.
    pub drain: Duration,
}

impl Settings {
    /// Reads the gate's part of the root table; mistakes go where `root` collects them. What is
    /// returned is of use only where there are none.
    #[must_use]
    pub fn read(root: &mut Section<'_>) -> Self {
        let hostname = read_hostname(root);
        let state_dir = read_state_dir(root);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = at_least_one(root, "workers", cores);
        let (tls, offered) = Tls::read(root, &hostname, &state_dir);
        let listeners = listener::read(root, &offered);
        let limits = Limits::read(&mut root.section("limits"));
        let smtp = Smtp::read(&mut root.section("smtp"));
        let timeouts = Timeouts::read(&mut root.section("timeouts"));
        let unpack = unpack::Limits::read(&mut root.section("unpack")).into();
        Self { hostname, state_dir, workers, tls, listeners, limits, smtp, timeouts, unpack }
    }
}

fn read_hostname(root: &mut Section<'_>) -> Arc<str> {
    let Some(Placed { value, span }) = root.require_placed::<String>("hostname") else { return Arc::from("") };
    let literal = value.starts_with('[');
    if literal || !value.contains('.') || !value.is_ascii() || Domain::parse(&value).is_none() {
        root.complain_at(span, format!("`hostname`: `{value}` is not the full name of a host, such as \"mx.example.org\""));
    }
    value.into()
}

/// Also tries whether big messages could be put there. One that is still to be made is fine; by whom
/// is not known here (systemd's `StateDirectory=` makes it as root).
fn read_state_dir(root: &mut Section<'_>) -> PathBuf {
    let usual = PathBuf::from("/var/lib/octroi");
    let Some(Placed { value, span }) = root.take_placed_unless("state_dir", &usual) else { return usual };
    if !value.is_absolute() {
        // The service and the commands are not started in the same folder, and nobody but a shell knows `~`.
        root.complain_at(span, "`state_dir`: write the whole path, such as \"/var/lib/octroi\"");
        return value;
    }
    if value.exists()
        && let Err(error) = tempfile::tempfile_in(&value)
    {
        // Without the name that was tried.
        let why = with_owner(&value, &error.kind().into());
        root.complain_at(span, format!("`state_dir`: {why}"));
    }
    value
}

impl Tls {
    fn read(root: &mut Section<'_>, hostname: &str, state_dir: &Path) -> (Self, Offered) {
        let mut section = root.section("tls");
        let acme = section.has("acme").then(|| acme::Settings::read(&mut section.section("acme"), hostname, state_dir));
        let client_ca = section.take_placed::<PathBuf>("client_ca").map(|Placed { value, span }| {
            if let Err(error) = read_roots(&value) {
                section.complain_at(span, format!("`tls.client_ca`: {error}"));
            }
            value
        });
        let offered =
            Offered { certificates: section.has("certificate") | section.has("private_key"), client_ca: section.has("client_ca") };
        let own = offered.certificates;
        let offered = Offered { certificates: own || acme.is_some(), ..offered };
        let several = section.is_list("certificate");
        let mut certificates: Vec<_> = if several {
            section.sections("certificate").iter_mut().filter_map(CertificateFiles::read).collect()
        } else if own {
            CertificateFiles::read(&mut section).into_iter().collect()
        } else {
            Vec::new()
        };
        if several && section.has("private_key") {
            section.complain("`tls.private_key`: with several certificates each `[[tls.certificate]]` has its own");
        }
        // Where there is none yet listeners make do without, until there is.
        if let Some(certificate) = acme.as_ref().map(acme::Settings::certificate).filter(|path| acme::is_there(path)) {
            certificates.push(CertificateFiles { private_key: certificate.clone(), certificate });
        }
        (Self { certificates, client_ca, acme }, offered)
    }

    /// All files it names.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let pairs = self.certificates.iter().flat_map(|files| [&files.certificate, &files.private_key]);
        let mut files: Vec<PathBuf> = pairs.chain(&self.client_ca).cloned().collect();
        files.extend(self.acme.as_ref().map(acme::Settings::certificate).filter(|path| !files.contains(path)));
        files
    }
}

impl Limits {
    fn read(section: &mut Section<'_>) -> Self {
        let message_memory = size(section, "message_memory", 1 << 20);
        let memory = size(section, "memory", 512 << 20);
        let message_size = size(section, "message_size", 50 << 20);
        let header_size = size(section, "header_size", 1 << 20);
        let limits = Self {
            message_size,
            header_size,
            recipients: at_least_one(section, "recipients", 1000),
            connections: at_least_one(section, "connections", 10_000),
            connections_per_client: at_least_one(section, "connections_per_client", 50),
            memory,
            spool: size(section, "spool", 8 << 30),
            message_memory,
            errors: at_least_one(section, "errors", 20),
            hops: at_least_one(section, "hops", 50),
            minimum_rate: section.take_or("minimum_rate", ByteSize(100)).0,
        };
        if message_memory > memory {
            let at = section.place("message_memory").or_else(|| section.place("memory"));
            let text = format!(
                "`limits.message_memory` ({}) is more than `limits.memory` ({}), which all messages share",
                ByteSize(message_memory),
                ByteSize(memory)
            );
            section.complain_at(at.unwrap_or_else(|| section.span()), text);
        }
        if let Some(at) = section.place("recipients").filter(|_| limits.recipients < 100) {
            section.complain_at(at, "`limits.recipients`: every server takes at least 100 (RFC 5321 §4.5.3.1.8)");
        }
        if message_size > limits.spool {
            let at = section.place("message_size").or_else(|| section.place("spool"));
            let text = format!(
                "`limits.message_size` ({}) is more than `limits.spool` ({}), which all messages share",
                ByteSize(message_size),
                ByteSize(limits.spool)
            );
            section.complain_at(at.unwrap_or_else(|| section.span()), text);
        }
        limits
    }
}

impl Smtp {
    fn read(section: &mut Section<'_>) -> Self {
        let words = [("normalize", BareNewline::Normalize), ("reject", BareNewline::Reject)];
        Self {
            bare_newline: section.choice("bare_newline", &words, BareNewline::Normalize),
            greet_pause: section.take_or("greet_pause", Duration::ZERO),
        }
    }
}

impl Timeouts {
    fn read(section: &mut Section<'_>) -> Self {
        let mut seconds = |key, default| positive(section, key, Duration::from_secs(default));
        Self {
            client_command: seconds("client_command", 300),
            client_data: seconds("client_data", 180),
            tls_handshake: seconds("tls_handshake", 30),
            proxy_header: seconds("proxy_header", 5),
            message: seconds("message", 120),
            drain: seconds("drain", 30),
            hold: section.take_or("hold", Duration::from_secs(5)),
            upstream: upstream::Timeouts::read(section),
        }
    }
}

/// A size that is not zero.
fn size(section: &mut Section<'_>, key: &'static str, default: u64) -> u64 {
    let Some(Placed { value, span }) = section.take_placed_unless(key, &ByteSize(default)) else { return default };
    if value.0 == 0 {
        section.complain_at(span, format!("`{}`: nothing would fit into nothing", section.path(key)));
    }
    value.0
}

/// A number that is not zero.
fn at_least_one<T: Setting + PartialEq + From<u8>>(section: &mut Section<'_>, key: &'static str, default: T) -> T {
    let Some(Placed { value, span }) = section.take_placed_unless(key, &default) else { return default };
    if value == T::from(0) {
        section.complain_at(span, format!("`{}`: at least 1", section.path(key)));
    }
    value
}

/// A duration that is not zero.
pub(crate) fn positive(section: &mut Section<'_>, key: &'static str, default: Duration) -> Duration {
    let Some(Placed { value, span }) = section.take_placed_unless(key, &default) else { return default };
    if value.is_zero() {
        section.complain_at(span, format!("`{}`: nothing is done in no time", section.path(key)));
    }
    value
}

#[cfg(test)]
mod tests;
