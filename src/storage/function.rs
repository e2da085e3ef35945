//! The one function that statements use beyond what SQL has.
use super::{StorageError, Value};
use crate::value::hex;
use aws_lc_rs::digest::{Context, SHA256};
use rusqlite::{Connection, functions::FunctionFlags, types::ValueRef};

/// SHA-256 over `values`, in hexadecimal; `sha256_of(…)` in statements.
///
/// Each value is hashed with its kind and its length before it (`n0:`, `i2:17`, `t5:hello`), so that
/// no two lists of values are one text.
pub fn sha256_of<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut hash = Hash::new();
    for value in values {
        match value {
            Value::Null => hash.add('n', b""),
            Value::Integer(integer) => hash.add('i', integer.to_string().as_bytes()),
            Value::Text(text) => hash.add('t', text.as_bytes()),
        }
    }
    hash.finish()
}

/// So that a row can be chained to the one before in the statement that writes it.
pub(super) fn register(connection: &Connection) -> Result<(), StorageError> {
    // Called by our statements alone, never by what stands in a file (triggers, views).
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("sha256_of", -1, flags, |context| {
        let mut hash = Hash::new();
        for argument in 0..context.len() {
            match context.get_raw(argument) {
                ValueRef::Null => hash.add('n', b""),
                ValueRef::Integer(integer) => hash.add('i', integer.to_string().as_bytes()),
                ValueRef::Text(text) => hash.add('t', text),
                ValueRef::Real(_) | ValueRef::Blob(_) => {
                    return Err(rusqlite::Error::InvalidParameterType(argument, context.get_raw(argument).data_type()));
                }
            }
        }
        Ok(hash.finish())
    })?;
    Ok(())
}

struct Hash(Context);

impl Hash {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn add(&mut self, kind: char, octets: &[u8]) {
        self.0.update(format!("{kind}{}:", octets.len()).as_bytes());
        self.0.update(octets);
    }

    fn finish(self) -> String {
        hex(self.0.finish().as_ref())
    }
}
