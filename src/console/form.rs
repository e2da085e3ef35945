//! What a form sends.
use super::{
    Console,
    error::Error,
    said::Said,
    viewer::{HalfWay, Viewer},
};
use crate::accounts::equal;
use axum::{
    Form,
    extract::{FromRequest, Request},
};
use std::time::Duration;
use tokio::time::timeout;

/// For a form to come in.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fields of a form, in order; a name may be there several times. An extractor.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The first of that name, without blanks around it; empty where there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// The same octet for octet, for passwords.
    #[must_use]
    pub fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// All of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether one of that name is there, as a box that was ticked.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found == name)
    }
}

impl FromRequest<Console> for Fields {
    type Rejection = Error;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Error> {
        let read = timeout(PATIENCE, Form::from_request(request, console)).await;
        let Form(fields) = read.map_err(|_| Error::Bad(Said::of("error.too_slow")))?.map_err(|_| Error::Bad(Said::of("error.form")))?;
        Ok(Self(fields))
    }
}

/// The form of somebody who is signed in, or half way: its token is that of the session. An
/// extractor; every handler that changes something takes it.
#[derive(Debug, Clone)]
pub struct Posted(pub Fields);

impl FromRequest<Console> for Posted {
    type Rejection = Error;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Error> {
        let extensions = request.extensions();
        let token = extensions.get::<Viewer>().map(|viewer| viewer.csrf.clone());
        let token = token.or_else(|| extensions.get::<HalfWay>().map(|half_way| half_way.0.csrf.clone()));
        // With none there is no session, and so nothing that a form could do in somebody's name.
        let token = token.filter(|token| !token.is_empty()).ok_or(Error::SignIn)?;
        let fields = Fields::from_request(request, console).await?;
        if equal(fields.get("csrf"), &token) { Ok(Self(fields)) } else { Err(Error::CrossSite) }
    }
}
