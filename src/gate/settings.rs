//! What the gate is told: listeners, TLS files, limits, timeouts.
//!
//! Every key, its default and its reason stand in `deploy/octroi.toml` as well; a test compares the
//! two. Whatever one setting demands of another is checked here, with its place; what the file
//! system says (is the certificate there, does the key fit?) is checked by whoever opens it.
use crate::smtp::{Domain, data::BareNewline};
use crate::upstream;
use crate::value::{
    ByteSize,
    settings::{Placed, Section, Setting},
};
use ipnet::IpNet;
use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use toml::de::DeValue;

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
}

/// `[tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The first serves clients that ask for no name, or for one that none of them has.
    pub certificates: Vec<CertificateFiles>,
    /// Who signs the certificates that clients show.
    pub client_ca: Option<PathBuf>,
}

/// A certificate chain and its key, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    pub private_key: PathBuf,
}

/// `[[listener]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// In metrics, in the log, and in `stage.listeners`.
    pub name: Arc<str>,
    pub address: ListenAddress,
    pub tls: TlsMode,
    /// Mail is taken only over TLS: `530 5.7.0` before STARTTLS (RFC 3207 §4).
    pub require_tls: bool,
    /// Networks whose PROXY header is believed and required. Empty: a PROXY header is garbage.
    pub proxy_protocol_from: Vec<IpNet>,
    pub client_certificate: ClientCertificate,
    pub auth: Auth,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A socket of our own, one for each worker (`SO_REUSEPORT`).
    Ip(SocketAddr),
    /// A socket that systemd holds open, by its `FileDescriptorName=`; shared by all workers.
    Systemd(Box<str>),
}

/// When a listener speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsMode {
    Off,
    /// After STARTTLS (RFC 3207).
    #[default]
    StartTls,
    /// From the first octet (RFC 8314 §3).
    Implicit,
}

/// Whether clients are asked for a certificate of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificate {
    #[default]
    Off,
    /// One that is shown must verify; none is fine.
    Request,
    /// No handshake without one.
    Require,
}

/// What becomes of AUTH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auth {
    /// Not offered.
    #[default]
    Off,
    /// Offered over TLS, answered by the upstream.
    Forward,
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
        let state_dir = root.take_or("state_dir", PathBuf::from("/var/lib/octroi"));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = at_least_one(root, "workers", cores);
        let tls = Tls::read(root);
        let listeners = read_listeners(root, &tls);
        let limits = Limits::read(&mut root.section("limits"));
        let smtp = Smtp::read(&mut root.section("smtp"));
        let timeouts = Timeouts::read(&mut root.section("timeouts"));
        Self { hostname, state_dir, workers, tls, listeners, limits, smtp, timeouts }
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

impl Tls {
    fn read(root: &mut Section<'_>) -> Self {
        let mut section = root.section("tls");
        let client_ca = section.take("client_ca");
        let several = section.is_list("certificate");
        let certificates = if several {
            section.sections("certificate").iter_mut().filter_map(CertificateFiles::read).collect()
        } else if section.has("certificate") || section.has("private_key") {
            CertificateFiles::read(&mut section).into_iter().collect()
        } else {
            Vec::new()
        };
        if several && section.has("private_key") {
            section.complain("`tls.private_key`: with several certificates each `[[tls.certificate]]` has its own");
        }
        Self { certificates, client_ca }
    }

    /// All files it names.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let pairs = self.certificates.iter().flat_map(|files| [&files.certificate, &files.private_key]);
        pairs.chain(&self.client_ca).cloned().collect()
    }
}

impl CertificateFiles {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let certificate = section.require("certificate");
        let private_key = section.require("private_key");
        Some(Self { certificate: certificate?, private_key: private_key? })
    }
}

fn read_listeners(root: &mut Section<'_>, tls: &Tls) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    let mut sections = root.sections("listener");
    if sections.is_empty() {
        root.complain("`listener` is missing: nothing would listen; write at least one `[[listener]]`");
    }
    for section in &mut sections {
        let Some(listener) = Listener::read(section, tls, &listeners) else { continue };
        listeners.push(listener);
    }
    listeners
}

impl Listener {
    /// `earlier`: what stands above it, whose name and address it must not repeat.
    fn read(section: &mut Section<'_>, tls: &Tls, earlier: &[Self]) -> Option<Self> {
        let name = section.require_placed::<Name>("name");
        let address = section.require_placed::<ListenAddress>("address");
        let mode = section.choice(
            "tls",
            &[("off", TlsMode::Off), ("starttls", TlsMode::StartTls), ("implicit", TlsMode::Implicit)],
            TlsMode::StartTls,
        );
        let require_tls = section.take_placed::<bool>("require_tls");
        let proxy_protocol_from = section.take_or("proxy_protocol_from", Vec::new());
        let words = [("off", ClientCertificate::Off), ("request", ClientCertificate::Request), ("require", ClientCertificate::Require)];
        let client_certificate = section.choice("client_certificate", &words, ClientCertificate::Off);
        let auth = section.choice("auth", &[("off", Auth::Off), ("forward", Auth::Forward)], Auth::Off);

        let place = |section: &mut Section<'_>, key| section.place(key).unwrap_or_else(|| section.span());
        if mode != TlsMode::Off && tls.certificates.is_empty() {
            let at = place(section, "tls");
            section.complain_at(
                at,
                "`listener.tls` needs a certificate: set `certificate` and `private_key` under `[tls]`, or `tls = \"off\"` here",
            );
        }
        if mode == TlsMode::Off {
            if let Some(Placed { value: true, span }) = &require_tls {
                section.complain_at(span.clone(), "`listener.require_tls`: with `tls = \"off\"` no mail could ever come in");
            }
            if client_certificate != ClientCertificate::Off {
                let at = place(section, "client_certificate");
                section.complain_at(at, "`listener.client_certificate`: there are none with `tls = \"off\"`");
            }
            if auth == Auth::Forward {
                let at = place(section, "auth");
                section.complain_at(at, "`listener.auth`: passwords are taken over TLS only; set `tls` to \"starttls\" or \"implicit\"");
            }
        } else if client_certificate != ClientCertificate::Off && tls.client_ca.is_none() {
            let at = place(section, "client_certificate");
            section.complain_at(at, "`listener.client_certificate` needs `client_ca` under `[tls]`: who signs the clients' certificates");
        }
        let (name, address) = (name?, address?);
        if earlier.iter().any(|other| *other.name == *name.value.0) {
            section.complain_at(name.span, format!("`listener.name`: there is a listener `{}` above", name.value.0));
        }
        if let Some(other) = earlier.iter().find(|other| other.address == address.value) {
            section.complain_at(address.span, format!("`listener.address`: the listener `{}` has the same", other.name));
        }
        let require_tls = require_tls.is_some_and(|placed| placed.value);
        Some(Self {
            name: name.value.0.into(),
            address: address.value,
            tls: mode,
            require_tls,
            proxy_protocol_from,
            client_certificate,
            auth,
        })
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
    let Some(Placed { value, span }) = section.take_placed::<ByteSize>(key) else { return default };
    if value.0 == 0 {
        section.complain_at(span, format!("`{}`: nothing would fit into nothing", section.path(key)));
    }
    value.0
}

/// A number that is not zero.
fn at_least_one<T: Setting + PartialEq + From<u8>>(section: &mut Section<'_>, key: &'static str, default: T) -> T {
    let Some(Placed { value, span }) = section.take_placed::<T>(key) else { return default };
    if value == T::from(0) {
        section.complain_at(span, format!("`{}`: at least 1", section.path(key)));
    }
    value
}

/// A duration that is not zero.
fn positive(section: &mut Section<'_>, key: &'static str, default: Duration) -> Duration {
    let Some(Placed { value, span }) = section.take_placed::<Duration>(key) else { return default };
    if value.is_zero() {
        section.complain_at(span, format!("`{}`: nothing is done in no time", section.path(key)));
    }
    value
}

/// A word that can be a label in metrics and a key in the log.
struct Name(String);

impl Setting for Name {
    const EXPECTED: &'static str = "a name of letters, digits, `-` and `_`";
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let name = String::read(value)?;
        let fits = !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits { Ok(Self(name)) } else { Err(Some(format!("`{name}` is not {}", Self::EXPECTED))) }
    }
}

impl Setting for ListenAddress {
    const EXPECTED: &'static str = "an address and port such as \"0.0.0.0:25\" or \"[::]:25\", or \"systemd:NAME\"";
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        match text.strip_prefix("systemd:") {
            // systemd's own bound on FileDescriptorName= (sd_listen_fds(3)).
            Some(name) if name.is_empty() || name.len() > 255 || name.contains(':') => {
                Err(Some("`systemd:NAME` wants the FileDescriptorName= of a socket unit".into()))
            }
            Some(name) => Ok(Self::Systemd(name.into())),
            None => text.parse().map(Self::Ip).map_err(|_| Some(format!("`{text}` is not {}", Self::EXPECTED))),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::StartTls => "starttls",
            Self::Implicit => "implicit",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::settings::Problems;
    use toml::de::DeTable;

    fn read(text: &str) -> (Settings, Vec<(String, String)>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let problems = Problems::default();
        let settings = Settings::read(&mut Section::root(&table, problems.clone()));
        let found = problems.take().into_iter().map(|p| (text[p.span].to_owned(), p.text));
        (settings, found.collect())
    }

    #[test]
    fn what_is_left_out_is_as_documented() {
        let (settings, problems) =
            read("hostname = \"mx.example.org\"\n[[listener]]\nname = \"mx\"\naddress = \"[::]:25\"\ntls = \"off\"\n");
        assert_eq!(problems, []);
        assert_eq!(&*settings.hostname, "mx.example.org");
        assert_eq!(settings.listeners[0].address, ListenAddress::Ip("[::]:25".parse().unwrap()));
        assert_eq!(settings.limits.message_memory, 1 << 20);
        assert_eq!(settings.timeouts.client_data, Duration::from_secs(180));
        assert_eq!(settings.smtp.bare_newline, BareNewline::Normalize);
    }

    #[test]
    fn one_certificate_or_several() {
        let listener = "hostname = \"mx.example.org\"\n[[listener]]\nname = \"mx\"\naddress = \"systemd:smtp\"\n";
        let (one, problems) = read(&format!("{listener}[tls]\ncertificate = \"a.pem\"\nprivate_key = \"a.key\"\n"));
        assert_eq!(problems, []);
        assert_eq!(one.tls.certificates.len(), 1);
        assert_eq!(one.listeners[0].address, ListenAddress::Systemd("smtp".into()));
        let more = "[[tls.certificate]]\ncertificate = \"a.pem\"\nprivate_key = \"a.key\"\n[[tls.certificate]]\ncertificate = \"b.pem\"\n";
        let (_, problems) = read(&format!("{listener}{more}"));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].1.starts_with("`tls.certificate.private_key` is missing"), "{problems:?}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_told_with_their_place() {
        let (_, problems) = read(
            r#"hostname = "localhost"
[[listener]]
name = "mx"
address = "0.0.0.0:25"
[[listener]]
name = "mx"
address = "0.0.0.0:25"
tls = "off"
require_tls = true
client_certificate = "request"
auth = "forward"
[[listener]]
name = "a name"
address = "25"
tls = "off"
[limits]
memory = "1MiB"
message_memory = "2MiB"
recipients = 10
connections = 0
[timeouts]
client_data = "0s"
hold = "0s"
"#,
        );
        let places: Vec<_> = problems.iter().map(|(place, _)| place.as_str()).collect();
        let expected = [
            "\"localhost\"",
            "[[listener]]",
            "\"mx\"",
            "\"0.0.0.0:25\"",
            "true",
            "\"request\"",
            "\"forward\"",
            "\"a name\"",
            "\"25\"",
            "\"2MiB\"",
            "10",
            "0",
            "\"0s\"",
        ];
        assert_eq!(places, expected, "{problems:#?}");
    }
}
