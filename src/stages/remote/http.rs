//! One HTTP/1.1 exchange with whoever stands at an endpoint: in clear over loopback, a unix socket or
//! a network of one's own, or over TLS.
//!
//! Each exchange has a connection of its own. It is driven by the very future that waits for the
//! answer: dropping that closes it, and nothing of it outlives the call or belongs to another worker.
use super::Endpoint;
use crate::{
    chain::StageError,
    message::Content,
    tls::Connector,
    value::settings::{Placed, Section},
};
use bytes::Bytes;
use futures_util::{
    Stream, TryStreamExt,
    future::{Either, select},
    stream,
};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, StatusCode, Uri,
    body::Frame,
    client::conn::http1::handshake,
    header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::{io, pin::pin};

/// Octets of an answer that are taken.
const LARGEST_ANSWER: usize = 4 << 20;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::stages) struct Url {
    pub endpoint: Endpoint,
    /// With its query.
    pub path: Box<str>,
    /// Over TLS.
    pub secure: bool,
}

impl Url {
    /// `http://127.0.0.1:8080/hook`, `https://hooks.example.org/hook`, or
    /// `http://unix:/run/hook.sock:/hook` as nginx has it.
    ///
    /// # Errors
    /// A sentence that says what would have been right.
    pub(in crate::stages) fn parse(text: &str) -> Result<Self, String> {
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

    /// The setting `key`, which has to be there; `None` where a mistake was reported.
    pub(in crate::stages) fn require(section: &mut Section<'_>, key: &'static str) -> Option<Self> {
        let Placed { value, span } = section.require_placed::<String>(key)?;
        let complain = |why| section.complain_at(span, format!("`{}`: {why}", section.path(key)));
        Self::parse(&value).map_err(complain).ok()
    }
}

/// What is to be sent.
pub(in crate::stages) struct Post {
    request: Request<UnsyncBoxBody<Bytes, io::Error>>,
}

/// What came back.
#[derive(Debug)]
pub(in crate::stages) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Post {
    /// A message as it stands, streamed from wherever it is kept.
    pub(in crate::stages) fn message(path: &str, content: &Content) -> Self {
        let body = match content.in_memory() {
            Some([all]) => Full::new(all.clone()).map_err(|never| match never {}).boxed_unsync(),
            _ => {
                let pieces = stream::unfold(content.reader(0), async |mut reader| {
                    let piece = reader.next().await.transpose()?;
                    Some((piece, reader))
                });
                return Self::stream(path, content.len(), pieces);
            }
        };
        Self::new(path, content.len(), body)
    }

    /// `length` octets that come in pieces.
    pub(in crate::stages) fn stream(path: &str, length: u64, pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self::new(path, length, BodyExt::boxed_unsync(StreamBody::new(pieces.map_ok(Frame::data))))
    }

    /// Octets that are in memory.
    pub(in crate::stages) fn octets(path: &str, octets: Bytes) -> Self {
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
    pub(in crate::stages) fn header(mut self, name: &'static str, value: &str) -> Self {
        let safe: Vec<u8> = value.bytes().filter(|octet| !octet.is_ascii_control()).collect();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&safe)) {
            self.request.headers_mut().append(name, value);
        }
        self
    }

    /// The same where there is a value.
    pub(in crate::stages) fn maybe(self, name: &'static str, value: Option<&str>) -> Self {
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
    pub(in crate::stages) async fn send(mut self, endpoint: &Endpoint, tls: Option<&Connector>) -> Result<Answer, StageError> {
        let failed = |error: &dyn std::fmt::Display| StageError::Failed(format!("{endpoint}: {error}").into());
        let host = match endpoint {
            Endpoint::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Endpoint::Tcp { host, port } => format!("{host}:{port}"),
            Endpoint::Unix(_) => "localhost".to_owned(),
        };
        if let Ok(host) = HeaderValue::from_str(&host) {
            self.request.headers_mut().insert(HOST, host);
        }
        let mut stream = endpoint.connect().await.map_err(|error| failed(&error))?;
        if let Some(tls) = tls {
            stream = Box::pin(tls.connect(stream).await.map_err(|error| failed(&format_args!("TLS: {error}")))?);
        }
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
        let exchange = async {
            let answer = sender.send_request(self.request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Answer { status, body: body.to_bytes() })
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
            assert_eq!(Url::parse(text), Ok(expected), "{text}");
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
