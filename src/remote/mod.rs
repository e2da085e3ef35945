//! Other programs that are asked something, or told: where one listens, the way there, and HTTP.
pub mod http;

use crate::value::settings::{Placed, Section};
use std::{fmt, io, net::IpAddr, path::PathBuf, pin::Pin};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// Where the other side listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    Tcp { host: Box<str>, port: u16 },
    Unix(PathBuf),
}

/// A connection to either kind.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Send + Sync> Duplex for T {}
pub type Stream = Pin<Box<dyn Duplex>>;

/// How an address is written, for messages about mistakes.
const FORM: &str = "\"inet:HOST:PORT\" or \"unix:/PATH\"";

impl Endpoint {
    /// `inet:127.0.0.1:11332`, `tcp:[::1]:3310`, `127.0.0.1:783`, `unix:/run/clamav/clamd.ctl`,
    /// `/run/clamav/clamd.ctl`, and the milter's `inet:8891@127.0.0.1` and `local:/path`, so that
    /// what stands in the configuration that people have can be copied.
    ///
    /// # Errors
    /// A sentence that says what would have been right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address: write {FORM}");
        for prefix in ["unix:", "local:"] {
            if let Some(path) = text.strip_prefix(prefix) {
                return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
            }
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let rest = ["inet:", "inet6:", "tcp:"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        let (host, port) = match rest.split_once('@') {
            Some((port, host)) => (host, port),
            None => rest.rsplit_once(':').ok_or_else(wrong)?,
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_host = !host.is_empty()
            && (host.parse::<IpAddr>().is_ok() || host.bytes().all(|o| o.is_ascii_alphanumeric() || matches!(o, b'.' | b'-' | b'_')));
        match port.parse() {
            Ok(port) if port > 0 && is_host => Ok(Self::Tcp { host: host.into(), port }),
            _ => Err(wrong()),
        }
    }

    /// The setting `key`, which has to be there; `None` where a mistake was reported.
    pub fn require(section: &mut Section<'_>, key: &'static str) -> Option<Self> {
        let Placed { value, span } = section.require_placed::<String>(key)?;
        let complain = |why| section.complain_at(span, format!("`{}`: {why}", section.path(key)));
        Self::parse(&value).map_err(complain).ok()
    }

    /// # Errors
    /// Nobody listens there, or the name is not known. It has no time-out of its own: the caller's
    /// deadline ends it.
    pub async fn connect(&self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp { host, port } => {
                let stream = TcpStream::connect((&**host, *port)).await?;
                // Otherwise a reply's delayed ACK and Nagle's algorithm wait for each other.
                stream.set_nodelay(true)?;
                Box::pin(stream)
            }
            Self::Unix(path) => Box::pin(UnixStream::connect(path).await?),
        })
    }
}

impl Endpoint {
    /// As a URL and `Host` have it (RFC 3986 §3.2); a socket has no name.
    fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "inet:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "inet:{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form_that_people_have() {
        let tcp = |host: &str, port| Endpoint::Tcp { host: host.into(), port };
        for (text, expected) in [
            ("inet:127.0.0.1:8891", tcp("127.0.0.1", 8891)),
            ("inet:8891@127.0.0.1", tcp("127.0.0.1", 8891)),
            ("inet6:8891@::1", tcp("::1", 8891)),
            ("tcp:[::1]:3310", tcp("::1", 3310)),
            ("rspamd.example.org:11333", tcp("rspamd.example.org", 11333)),
            ("unix:/run/x", Endpoint::Unix("/run/x".into())),
            ("local:/run/x", Endpoint::Unix("/run/x".into())),
            ("/run/x", Endpoint::Unix("/run/x".into())),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint, expected, "{text}");
            assert_eq!(Endpoint::parse(&endpoint.to_string()).unwrap(), expected);
        }
        for wrong in ["", "unix:run/x", "inet:", "inet:host", "host:0", "host:70000", ":25", "http://x:1", "a b:1"] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }
}
