//! What programs send; where it makes no sense they are told in a problem document.
use crate::console::{Console, Error};
use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

/// A query.
#[derive(Debug)]
pub(in crate::console) struct Asked<T>(pub(in crate::console) T);

impl<T: DeserializeOwned> FromRequestParts<Console> for Asked<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Error> {
        let Query(asked) = Query::from_request_parts(parts, console).await.map_err(|error| Error::Bad(error.body_text()))?;
        Ok(Self(asked))
    }
}
