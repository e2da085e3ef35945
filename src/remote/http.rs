//! One HTTP/1.1 exchange with whoever stands at an endpoint: in clear over loopback, a unix socket or
//! a network of one's own, or over TLS.
//!
//! Each exchange has a connection of its own. It is driven by the very future that waits for the
//! answer: dropping that closes it, and nothing of it outlives the call or belongs to another worker.
use super::Endpoint;
use crate::{
    tls::{self, Connector},
    value::settings::{Placed, Section},
};
use bytes::Bytes;
use futures_util::{
    Stream, TryStreamExt,
    future::{Either, select},
};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, StatusCode, Uri,
    body::Frame,
    client::conn::http1::handshake,
    header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    pin::pin,
};

/// Octets of an answer that are taken.
const LARGEST_ANSWER: usize = 4 << 20;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub endpoint: Endpoint,
    /// With its query.
    pub path: Box<str>,
    /// Over TLS.
    pub secure: bool,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        match &self.endpoint {
            Endpoint::Unix(socket) => write!(f, "{scheme}://unix:{}:{}", socket.display(), self.path),
            tcp => write!(f, "{scheme}://{}{}", tcp.authority(), self.path),
        }
    }
}

impl Url {
    /// `http://127.0.0.1:8080/hook`, `https://hooks.example.org/hook`, or
    /// `http://unix:/run/hook.sock:/hook` as nginx has it.
    ///
    /// # Errors
    /// A sentence that says what would have been right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no URL: write \"http://HOST:PORT/PATH\", \"https://HOST:PORT/PATH\" or \"http://unix:/SOCKET:/PATH\"");
        let (secure, rest) = match text.strip_prefix("https://") {
            Some(rest) if rest.starts_with("unix:") => return Err("a unix socket needs no TLS: write \"http://unix:…\"".to_owned()),
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").ok_or_else(wrong)?),
        };
        let (place, path) = if rest.starts_with("unix:") {
            rest.rsplit_once(":/").filter(|(place, _)| *place != "unix").unwrap_or((rest, ""))
        } else {
            rest.split_once('/').unwrap_or((rest, ""))
        };
        let without_port = !place.starts_with("unix:") && place.rsplit_once(':').is_none_or(|(_, port)| port.ends_with(']'));
        let endpoint =
            if without_port { Endpoint::parse(&format!("{place}:{}", if secure { 443 } else { 80 })) } else { Endpoint::parse(place) };
        let path = format!("/{path}");
        if path.contains('#') || path.parse::<Uri>().is_err() {
            return Err(wrong());
        }
        Ok(Self { endpoint: endpoint.map_err(|_| wrong())?, path: path.into(), secure })
    }

    /// The way to it over TLS, where it says `https`: its certificate has to lead to one of `ca`, or to
    /// one that the system trusts. Reads files.
    ///
    /// # Errors
    /// Whom to trust cannot be known.
    pub fn connector(&self, ca: Option<&Path>) -> Result<Option<Connector>, String> {
        let roots = match (self.secure, ca) {
            (false, None) => return Ok(None),
            (false, Some(_)) => return Err("only a server at \"https://…\" has a certificate".to_owned()),
            (true, None) => tls::system()?,
            (true, Some(ca)) => tls::pinned(ca)?,
        };
        let host = if let Endpoint::Tcp { host, .. } = &self.endpoint { host } else { "" };
        Connector::https(roots, host).map(Some)
    }

    /// The setting `key`, which has to be there; `None` where a mistake was reported.
    pub fn require(section: &mut Section<'_>, key: &'static str) -> Option<Self> {
        let Placed { value, span } = section.require_placed::<String>(key)?;
        let complain = |why| section.complain_at(span, format!("`{}`: {why}", section.path(key)));
        Self::parse(&value).map_err(complain).ok()
    }
}

/// How the server at `url` (the setting `key`) is known over TLS, by the setting `ca`. The outer one is
/// `None` where a mistake was reported.
pub fn trusted(section: &mut Section<'_>, key: &'static str, url: Option<&Url>, ca: Option<&Placed<PathBuf>>) -> Option<Option<Connector>> {
    let key = if ca.is_some() { "ca" } else { key };
    let span = section.place(key).unwrap_or_else(|| section.span());
    let complain = |why: String| section.complain_at(span, format!("`{}`: {why}", section.path(key)));
    url?.connector(ca.map(|ca| &*ca.value)).map_err(complain).ok()
}

/// What is to be sent.
pub struct Post {
    request: Request<UnsyncBoxBody<Bytes, io::Error>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// There was no exchange: who was asked, and why not. For the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(String);

impl Answer {
    /// The first header field of that name, where it is one of text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Post {
    /// `length` octets that come in pieces.
    pub fn stream(path: &str, length: u64, pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self::new(path, length, BodyExt::boxed_unsync(StreamBody::new(pieces.map_ok(Frame::data))))
    }

    /// Octets that are in memory.
    pub fn octets(path: &str, octets: Bytes) -> Self {
        Self::new(path, octets.len() as u64, Full::new(octets).map_err(|never| match never {}).boxed_unsync())
    }

    fn new(path: &str, length: u64, body: UnsyncBoxBody<Bytes, io::Error>) -> Self {
        let mut request = Request::new(body);
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        Self { request }
    }

    /// A header field; what cannot stand in one (line ends, control characters) is left out of it,
    /// since most of what is sent was written by a client.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let safe: Vec<u8> = value.bytes().filter(|octet| !octet.is_ascii_control()).collect();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&safe)) {
            self.request.headers_mut().append(name, value);
        }
        self
    }

    /// The same where there is a value.
    pub fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Sends it, over TLS where `tls` says to whom, and reads the answer. It has no time-out of its
    /// own: the caller's deadline ends it.
    ///
    /// # Errors
    /// Nobody listens there or it is somebody else, or what came back is no HTTP, too long, or cut off.
    pub async fn send(mut self, endpoint: &Endpoint, tls: Option<&Connector>) -> Result<Answer, HttpError> {
        let failed = |error: &dyn fmt::Display| HttpError(format!("{endpoint}: {error}"));
        if let Ok(host) = HeaderValue::from_str(&endpoint.authority()) {
            self.request.headers_mut().insert(HOST, host);
        }
        let mut stream = endpoint.connect().await.map_err(|error| failed(&error))?;
        if let Some(tls) = tls {
            stream = Box::pin(tls.connect(stream).await.map_err(|error| failed(&format_args!("TLS: {error}")))?);
        }
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        let exchange = async {
            let answer = sender.send_request(self.request).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        let answer = match select(pin!(exchange), pin!(connection)).await {
            Either::Left((answer, _)) => answer,
            // The connection is done; what it brought is still to be read.
            Either::Right((_, exchange)) => exchange.await,
        };
        answer.map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_what() {
        let tcp =
            |host: &str, port, path: &str| Url { endpoint: Endpoint::Tcp { host: host.into(), port }, path: path.into(), secure: false };
        let unix = |path: &str| Url { endpoint: Endpoint::Unix("/run/hook.sock".into()), path: path.into(), secure: false };
        for (text, expected) in [
            ("http://127.0.0.1:8080/hook", tcp("127.0.0.1", 8080, "/hook")),
            ("http://hooks.example", tcp("hooks.example", 80, "/")),
            ("http://hooks.example/a/b:c?d=/e", tcp("hooks.example", 80, "/a/b:c?d=/e")),
            ("http://[::1]:81/", tcp("::1", 81, "/")),
            ("http://[::1]/x", tcp("::1", 80, "/x")),
            ("http://unix:/run/hook.sock:/x?y", unix("/x?y")),
            ("http://unix:/run/hook.sock", unix("/")),
            ("https://hooks.example/a", Url { secure: true, ..tcp("hooks.example", 443, "/a") }),
            ("https://[::1]:8443", Url { secure: true, ..tcp("::1", 8443, "/") }),
        ] {
            let url = Url::parse(text);
            assert_eq!(url, Ok(expected), "{text}");
            assert_eq!(Url::parse(&url.as_ref().unwrap().to_string()), url, "{text}");
        }
        for wrong in [
            "",
            "http://",
            "http://:80/",
            "http://a:0/",
            "http://a:x/",
            "ftp://a/",
            "http://a/b c",
            "http://a/#b",
            "http://u@a/",
            "http://unix:x",
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Url::parse("https://unix:/x").unwrap_err().contains("needs no TLS"));
    }
}
