//! `[[listener]]`.
use super::Offered;
use crate::value::settings::{Section, Setting};
use ipnet::IpNet;
use std::{fmt, net::SocketAddr, sync::Arc};
use toml::de::DeValue;

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

/// Reads all `[[listener]]` below `root`.
pub(super) fn read(root: &mut Section<'_>, tls: &Offered) -> Vec<Listener> {
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

/// Settings of a listener that only mean something together with its `tls`.
struct Dependent {
    require_tls: bool,
    client_certificate: ClientCertificate,
    auth: Auth,
}

impl Listener {
    /// `earlier`: what stands above it, whose name and address it must not repeat.
    fn read(section: &mut Section<'_>, tls: &Offered, earlier: &[Self]) -> Option<Self> {
        let name = section.require_placed::<Name>("name");
        let address = section.require_placed::<ListenAddress>("address");
        let mode = TlsMode::read(section);
        let proxy_protocol_from = section.take_list_or_none("proxy_protocol_from");
        let words = [("off", ClientCertificate::Off), ("request", ClientCertificate::Request), ("require", ClientCertificate::Require)];
        let dependent = Dependent {
            require_tls: section.take_or("require_tls", false),
            client_certificate: section.choice("client_certificate", &words, ClientCertificate::Off),
            auth: section.choice("auth", &[("off", Auth::Off), ("forward", Auth::Forward)], Auth::Off),
        };
        match mode {
            Some(TlsMode::Off) => dependent.check_without_tls(section),
            Some(_) => dependent.check_with_tls(section, tls),
            // Told already; nothing can be said of what depends on it.
            None => {}
        }
        let (name, address) = (name?, address?);
        if earlier.iter().any(|other| *other.name == *name.value.0) {
            section.complain_at(name.span, format!("`listener.name`: there is a listener `{}` above", name.value.0));
        }
        if let Some(other) = earlier.iter().find(|other| other.address == address.value) {
            section.complain_at(address.span, format!("`listener.address`: the listener `{}` has the same", other.name));
        }
        let Dependent { require_tls, client_certificate, auth } = dependent;
        let tls = mode.unwrap_or_default();
        Some(Self { name: name.value.0.into(), address: address.value, tls, require_tls, proxy_protocol_from, client_certificate, auth })
    }
}

impl TlsMode {
    /// `None` where it is wrong and reported.
    fn read(section: &mut Section<'_>) -> Option<Self> {
        if !section.has("tls") {
            return Some(Self::default());
        }
        section.choice("tls", &[("off", Some(Self::Off)), ("starttls", Some(Self::StartTls)), ("implicit", Some(Self::Implicit))], None)
    }
}

impl Dependent {
    fn check_without_tls(&self, section: &mut Section<'_>) {
        if self.require_tls {
            complain(section, "require_tls", "with `tls = \"off\"` no mail could ever come in");
        }
        if self.client_certificate != ClientCertificate::Off {
            complain(section, "client_certificate", "there are none with `tls = \"off\"`");
        }
        if self.auth == Auth::Forward {
            complain(section, "auth", "passwords are taken over TLS only; set `tls` to \"starttls\" or \"implicit\"");
        }
    }

    fn check_with_tls(&self, section: &mut Section<'_>, tls: &Offered) {
        if !tls.certificates {
            complain(section, "tls", "there is no certificate: set `certificate` and `private_key` under `[tls]`, or `tls = \"off\"` here");
        }
        if self.client_certificate != ClientCertificate::Off && !tls.client_ca {
            complain(section, "client_certificate", "set `client_ca` under `[tls]`: who signs the clients' certificates");
        }
    }
}

/// At the place of `key`, or of the whole listener where it is left out.
fn complain(section: &mut Section<'_>, key: &'static str, text: &str) {
    let place = section.place(key).unwrap_or_else(|| section.span());
    section.complain_at(place, format!("`{}`: {text}", section.path(key)));
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
