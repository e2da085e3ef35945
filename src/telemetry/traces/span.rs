//! What a trace is made of, whoever tells it.
use super::Chance;
use std::{borrow::Cow, time::SystemTime};

/// All spans of one message. Their ids follow from the trace's, so that what is sent twice is the same
/// both times.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Of the trace; not all zeros.
    pub id: [u8; 16],
    /// With what chance such a trace is exported.
    pub chance: Chance,
    /// The whole of it.
    pub root: Span,
    /// What it was made up of.
    pub children: Vec<Span>,
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// One of few; what tells single ones apart is an attribute.
    pub name: Cow<'static, str>,
    pub kind: Kind,
    pub start: SystemTime,
    pub end: SystemTime,
    pub attributes: Vec<(&'static str, Value)>,
    /// What went wrong with us, or behind us; `None`: nothing, or what the other side is to blame for.
    pub failure: Option<Failure>,
}

/// Whom a span is about, seen from us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Internal,
    /// We were asked.
    Server,
    /// We asked.
    Client,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// One of few words, for `error.type`.
    pub kind: &'static str,
    /// A sentence.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Texts(Vec<String>),
    Whole(i64),
    Real(f64),
    Flag(bool),
}

impl Span {
    /// Without attributes, and nothing went wrong.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, kind: Kind, start: SystemTime, end: SystemTime) -> Self {
        Self { name: name.into(), kind, start, end: end.max(start), attributes: Vec::new(), failure: None }
    }

    /// With one attribute more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// The same where there is a value.
    #[must_use]
    pub fn maybe(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// With what went wrong, which is an attribute, too (OpenTelemetry, *Recording errors*).
    #[must_use]
    pub fn failed(mut self, failure: Option<Failure>) -> Self {
        self = self.maybe("error.type", failure.as_ref().map(|failure| failure.kind));
        self.failure = failure;
        self
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}
impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Whole(number.into())
    }
}
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}
impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
