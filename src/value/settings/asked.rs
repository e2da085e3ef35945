//! What the readers of a configuration ask for, written down while they ask: keys, kinds, defaults.
//! The schema for editors and the list of what is in effect come from it, so that there is no second
//! list to keep.
use super::{super::ByteSize, Setting};
use std::{ops::Range, time::Duration};

/// What a value looks like in TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Text,
    /// A text, or a table that says where it stands. It is not shown.
    Secret,
    Flag,
    /// Not negative.
    Whole,
    Number,
    List(Box<Self>),
    /// One of these words.
    Words(Vec<String>),
    /// `[key]`.
    Table,
    /// `[[key]]`.
    Tables,
    /// `[key.NAME]`.
    Named,
    /// Asked for by name alone.
    Any,
}

/// A key that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    /// For people: what it should be. Empty where `shape` says it all.
    pub expected: &'static str,
    /// Its absence is a mistake, always.
    pub required: bool,
    /// Its absence was asked for, and may be none.
    pub optional: bool,
    /// As it would be written; `None` where it has none, or none that can be.
    pub default: Option<String>,
    /// Where its value stands, if it is there.
    pub span: Option<Range<usize>>,
    /// It may be `[[key]]` as well.
    pub or_tables: bool,
}

/// A table that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// `upstream.default`; empty for the root.
    pub path: String,
    /// The key in its parent, or its name among the tables of that; empty for the root.
    pub name: String,
    /// The key of the parent that it is of, and the parent's place among all tables.
    pub parent: Option<(usize, &'static str)>,
    /// Where it stands; `None` where it does not, and its defaults hold.
    pub span: Option<Range<usize>>,
    pub keys: Vec<Key>,
}

impl Table {
    pub(super) fn key(&mut self, name: &'static str) -> &mut Key {
        let at = self.keys.iter().position(|key| key.name == name).unwrap_or_else(|| {
            let (shape, expected, default, span) = (Shape::Any, "", None, None);
            self.keys.push(Key { name, shape, expected, required: false, optional: false, default, span, or_tables: false });
            self.keys.len() - 1
        });
        // It was found, or put there.
        #[expect(clippy::indexing_slicing, reason = "the place of a key that is there")]
        &mut self.keys[at]
    }
}

impl Key {
    pub(super) fn is<T: Setting>(&mut self) {
        (self.shape, self.expected) = (T::shape(), T::EXPECTED);
    }
}

/// A text in quotes, as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(super) fn duration(duration: Duration) -> String {
    let (millis, seconds) = (duration.as_millis(), duration.as_secs());
    let text = match () {
        () if !millis.is_multiple_of(1000) => format!("{millis}ms"),
        () if seconds > 0 && seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        () if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        () if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        () => format!("{seconds}s"),
    };
    quoted(&text)
}

pub(super) fn size(size: ByteSize) -> String {
    quoted(&size.to_string())
}
