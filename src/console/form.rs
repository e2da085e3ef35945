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
    body::Body,
    extract::{DefaultBodyLimit, FromRequest, RawForm, Request},
    http::{Extensions, Method, header},
};
use std::time::Duration;
use tokio::time::timeout;

/// For what is sent to come in.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What is read of a form.
struct Room {
    octets: usize,
    fields: usize,
}

impl Room {
    /// Of anybody: a name, a password and where to go on. Many such forms may wait for their turn.
    const STRANGER: Self = Self { octets: 32 << 10, fields: 50 };
    /// Of somebody who is signed in, or half way: all recipients of a message, one by one.
    const KNOWN: Self = Self { octets: 512 << 10, fields: 5000 };

    fn of(extensions: &Extensions) -> Self {
        let known = extensions.get::<Viewer>().is_some() || extensions.get::<HalfWay>().is_some();
        if known { Self::KNOWN } else { Self::STRANGER }
    }
}

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

    async fn from_request(request: Request, _: &Console) -> Result<Self, Error> {
        let room = Room::of(request.extensions());
        Self::read(request, room).await
    }
}

impl Fields {
    async fn read(mut request: Request, room: Room) -> Result<Self, Error> {
        let too_large = || Error::Bad(Said::of("error.form"));
        DefaultBodyLimit::max(room.octets).apply(&mut request);
        let read = timeout(PATIENCE, RawForm::from_request(request, &())).await;
        let RawForm(octets) = read.map_err(|_| Error::Bad(Said::of("error.too_slow")))?.map_err(|_| too_large())?;
        // A field takes two octets to send and fifty to keep, so they are counted before they are read.
        if octets.iter().filter(|octet| **octet == b'&').count() >= room.fields {
            return Err(too_large());
        }
        let form = Request::builder().method(Method::POST).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let form = form.body(Body::from(octets)).map_err(|error| Error::Internal(error.to_string()))?;
        Form::from_request(form, &()).await.map(|Form(fields)| Self(fields)).map_err(|_| too_large())
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(body: String, room: Room) -> Result<usize, Error> {
        let request = Request::builder().method(Method::POST).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        Fields::read(request.body(Body::from(body)).unwrap(), room).await.map(|fields| fields.0.len())
    }

    #[tokio::test]
    async fn a_form_of_a_stranger_is_small_and_one_of_many_recipients_is_read() {
        assert_eq!(read("name=anna&password=x".to_owned(), Room::STRANGER).await.unwrap(), 2);
        for body in ["a&".repeat(1 << 20), "&".repeat(60), format!("password={}", "x".repeat(40 << 10))] {
            assert!(matches!(read(body, Room::STRANGER).await, Err(Error::Bad(_))));
        }
        let recipients = (0..1000).map(|n| format!("to={n}{}%40example.org", "x".repeat(200))).collect::<Vec<_>>().join("&");
        assert_eq!(read(recipients, Room::KNOWN).await.unwrap(), 1000);
        for body in ["a&".repeat(1 << 18), "&".repeat(5000), "a&".repeat(5001)] {
            assert!(matches!(read(body, Room::KNOWN).await, Err(Error::Bad(_))));
        }
    }
}
