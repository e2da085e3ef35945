//! What programs send; where it makes no sense they are told in a problem document.
use crate::console::{Console, Error};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::request::Parts,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

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

/// A body of JSON; what is wrong with it is answered as a problem document.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Console> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Error> {
        let octets = Bytes::from_request(request, console).await.map_err(|error| Error::Unreadable(error.to_string()))?;
        let octets = if octets.is_empty() { Bytes::from_static(b"{}") } else { octets };
        let bad = |error: serde_json::Error| Error::Unreadable(format!("the body: {error}"));
        // Lists would do for objects otherwise.
        let object: serde_json::Map<String, Value> = serde_json::from_slice(&octets).map_err(bad)?;
        serde_json::from_value(object.into()).map(Self).map_err(bad)
    }
}
