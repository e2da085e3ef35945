//! One HTTP/1.1 exchange with whoever stands at an endpoint, in clear: over loopback, a unix socket
//! or a network of one's own.
//!
//! Each exchange has a connection of its own. It is driven by the very future that waits for the
//! answer: dropping that closes it, and nothing of it outlives the call or belongs to another worker.
use super::Endpoint;
use crate::{chain::StageError, message::Content};
use bytes::Bytes;
use futures_util::{
    future::{Either, select},
    stream,
};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, StatusCode,
    body::Frame,
    client::conn::http1::handshake,
    header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use std::{io, pin::pin};

/// Octets of an answer that are taken.
const LARGEST_ANSWER: usize = 4 << 20;

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
                    Some((piece.map(Frame::data), reader))
                });
                BodyExt::boxed_unsync(StreamBody::new(pieces))
            }
        };
        Self::new(path, content.len(), body)
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

    /// Sends it and reads the answer. It has no time-out of its own: the caller's deadline ends it.
    ///
    /// # Errors
    /// Nobody listens there, or what came back is no HTTP, too long, or cut off.
    pub(in crate::stages) async fn send(mut self, endpoint: &Endpoint) -> Result<Answer, StageError> {
        let failed = |error: &dyn std::fmt::Display| StageError::Failed(format!("{endpoint}: {error}").into());
        let host = match endpoint {
            Endpoint::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Endpoint::Tcp { host, port } => format!("{host}:{port}"),
            Endpoint::Unix(_) => "localhost".to_owned(),
        };
        if let Ok(host) = HeaderValue::from_str(&host) {
            self.request.headers_mut().insert(HOST, host);
        }
        let stream = endpoint.connect().await.map_err(|error| failed(&error))?;
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
