//! What stands behind a header field's colon, as whoever asks for it wrote it.
use std::{fmt, ops::Deref};

/// The value of a field that is to be written: octets, since not all that filters pass on is UTF-8;
/// without the blank after the colon, its lines divided by a bare LF.
#[derive(Clone, PartialEq, Eq)]
pub struct FieldValue(Box<[u8]>);

impl Deref for FieldValue {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

macro_rules! from {
    ($($kind:ty),*) => {
        $(impl From<$kind> for FieldValue {
            fn from(value: $kind) -> Self {
                Self(AsRef::<[u8]>::as_ref(&value).into())
            }
        })*
    };
}
from!(&str, &[u8], String);

impl From<Box<str>> for FieldValue {
    fn from(value: Box<str>) -> Self {
        Self(value.into())
    }
}

impl From<Vec<u8>> for FieldValue {
    fn from(value: Vec<u8>) -> Self {
        Self(value.into())
    }
}
