//! What programs send; where it makes no sense they are told in a problem document.
use crate::console::{Console, Error, form::PATIENCE};
use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request, rejection::BytesRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

/// A query.
#[derive(Debug)]
pub(in crate::console) struct Asked<T>(pub(in crate::console) T);

impl<T: DeserializeOwned> FromRequestParts<Console> for Asked<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Error> {
        let Query(asked) = Query::from_request_parts(parts, console).await.map_err(|error| Error::Unreadable(error.body_text()))?;
        Ok(Self(asked))
    }
}

/// How many at most are asked for: 1 to 1000, or the `usual` number.
pub(super) fn limit(asked: Option<u64>, usual: u64) -> Result<u64, Error> {
    let limit = asked.unwrap_or(usual);
    if (1..=1000).contains(&limit) { Ok(limit) } else { Err(Error::Unreadable("limit: 1 to 1000".into())) }
}

/// Octets of a body: room for all recipients of a message.
const MOST: usize = 512 << 10;

/// A body of JSON; what is wrong with it is answered as a problem document.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Console> for Body<T> {
    type Rejection = Error;

    async fn from_request(mut request: Request, console: &Console) -> Result<Self, Error> {
        DefaultBodyLimit::max(MOST).apply(&mut request);
        let unread = |error: BytesRejection| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Error::Unreadable(format!("the body: more than {} KiB", MOST >> 10)),
            _ => Error::Unreadable(error.to_string()),
        };
        let octets = timeout(PATIENCE, Bytes::from_request(request, console)).await;
        let octets = octets.map_err(|_| Error::Unreadable("the body: took too long".into()))?.map_err(unread)?;
        let octets = if octets.is_empty() { Bytes::from_static(b"{}") } else { octets };
        let bad = |error: serde_json::Error| Error::Unreadable(format!("the body: {error}"));
        // Lists would do for objects otherwise.
        let object: serde_json::Map<String, Value> = serde_json::from_slice(&octets).map_err(bad)?;
        serde_json::from_value(object.into()).map(Self).map_err(bad)
    }
}
