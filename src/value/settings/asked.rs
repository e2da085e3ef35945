//! What the readers of a configuration ask for, written down while they ask: keys, kinds, defaults.
//! The schema for editors and the list of what is in effect come from it, so that there is no second
//! list to keep.
use super::{super::ByteSize, Setting};
use std::{cell::RefCell, collections::BTreeSet, ops::Range, rc::Rc, time::Duration};

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
    /// What holds without it, for people, where `default` cannot say it.
    pub otherwise: Option<String>,
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
    fn key(&mut self, name: &'static str) -> &mut Key {
        let at = self.keys.iter().position(|key| key.name == name).unwrap_or_else(|| {
            let (shape, expected, default, otherwise, span) = (Shape::Any, "", None, None, None);
            self.keys.push(Key { name, shape, expected, required: false, optional: false, default, otherwise, span, or_tables: false });
            self.keys.len() - 1
        });
        // It was found, or put there.
        #[expect(clippy::indexing_slicing, reason = "the place of a key that is there")]
        &mut self.keys[at]
    }
}

/// All tables that were read so far; clones share.
#[derive(Debug, Clone, Default)]
pub(super) struct Record(Rc<RefCell<Vec<Table>>>);

impl Record {
    /// The full names of all keys.
    pub(super) fn names(&self) -> BTreeSet<String> {
        let name =
            |table: &Table, key: &Key| if table.path.is_empty() { key.name.to_owned() } else { format!("{}.{}", table.path, key.name) };
        self.0.borrow().iter().flat_map(|table| table.keys.iter().map(move |key| name(table, key))).collect()
    }

    /// In the order they were read, each after its parent.
    pub(super) fn tables(&self) -> Vec<Table> {
        self.0.borrow().clone()
    }

    /// The page of the root.
    pub(super) fn root(&self) -> Page {
        self.open(Table { path: String::new(), name: String::new(), parent: None, span: Some(0..0), keys: Vec::new() })
    }

    fn open(&self, table: Table) -> Page {
        let mut tables = self.0.borrow_mut();
        tables.push(table);
        Page { record: self.clone(), place: tables.len() - 1 }
    }
}

/// One table's part of the record, which its reader writes.
#[derive(Debug)]
pub(super) struct Page {
    record: Record,
    /// Its place among all tables.
    place: usize,
}

impl Page {
    /// That of a table of this one, under `key`; `name`: the key, or what it is called there.
    pub(super) fn below(&self, key: &'static str, name: &str, path: &str, span: Option<Range<usize>>) -> Self {
        let parent = Some((self.place, key));
        self.record.open(Table { path: path.to_owned(), name: name.to_owned(), parent, span, keys: Vec::new() })
    }

    /// Whether `name` is a key of the root that is no table: it can stand only above the first one.
    pub(super) fn belongs_to_root(&self, name: &str) -> bool {
        let is_table = |key: &Key| matches!(key.shape, Shape::Any | Shape::Table | Shape::Tables | Shape::Named);
        let tables = self.record.0.borrow();
        self.place > 0 && tables.first().is_some_and(|root| root.keys.iter().any(|key| key.name == name && !is_table(key)))
    }

    fn note(&self, key: &'static str, what: impl FnOnce(&mut Key)) {
        if let Some(table) = self.record.0.borrow_mut().get_mut(self.place) {
            what(table.key(key));
        }
    }

    /// It was asked for.
    pub(super) fn asked(&self, key: &'static str) {
        self.note(key, |_| {});
    }
    /// And is there.
    pub(super) fn stands_at(&self, key: &'static str, span: Range<usize>) {
        self.note(key, |key| key.span = Some(span));
    }
    /// What it is read as.
    pub(super) fn is<T: Setting>(&self, key: &'static str) {
        self.note(key, |key| (key.shape, key.expected) = (T::shape(), T::EXPECTED));
    }
    pub(super) fn shape(&self, key: &'static str, shape: Shape) {
        self.note(key, |key| key.shape = shape);
    }
    /// One of these words.
    pub(super) fn words(&self, key: &'static str, words: Vec<String>, default: Option<&str>) {
        self.note(key, |key| (key.shape, key.expected, key.default) = (Shape::Words(words), "", default.map(quoted)));
    }
    /// As it would be written.
    pub(super) fn default(&self, key: &'static str, default: Option<String>) {
        self.note(key, |key| key.default = default);
    }
    /// What holds without it, in words.
    pub(super) fn otherwise(&self, key: &'static str, words: &str) {
        self.note(key, |key| key.otherwise = Some(words.to_owned()));
    }
    pub(super) fn required(&self, key: &'static str) {
        self.note(key, |key| key.required = true);
    }
    pub(super) fn optional(&self, key: &'static str) {
        self.note(key, |key| key.optional = true);
    }
    pub(super) fn or_tables(&self, key: &'static str) {
        self.note(key, |key| key.or_tables = true);
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

#[cfg(test)]
mod tests {
    use super::{super::tests::read, *};

    #[test]
    fn what_is_asked_for_is_written_down_whether_it_is_there_or_not() {
        let record = std::cell::Cell::new(None);
        read("a = 1\n[x]\nmode = \"on\"\n", |root| {
            let _ = (root.take::<u64>("a"), root.take_or("wait", Duration::from_secs(90)));
            let mut x = root.section("x");
            let _ = (x.choice("mode", &[("on", true), ("off", false)], false), x.require::<String>("name"));
            record.set(Some(x.page.record.clone()));
        });
        let record = record.take().unwrap();
        assert_eq!(record.names(), ["a", "wait", "x", "x.mode", "x.name"].map(str::to_owned).into());
        let [root, x] = record.tables().try_into().unwrap();
        let wait = &root.keys[1];
        assert_eq!((wait.default.as_deref(), &wait.span, wait.required), (Some("\"90s\""), &None, false));
        assert_eq!((x.path.as_str(), x.parent), ("x", Some((0, "x"))));
        let [mode, name] = x.keys.try_into().unwrap();
        assert_eq!((mode.shape, mode.default.as_deref()), (Shape::Words(vec!["on".into(), "off".into()]), Some("\"off\"")));
        assert_eq!((mode.span, name.required, name.span), (Some(17..21), true, None));
    }

    #[test]
    fn values_are_written_as_they_would_be_read() {
        assert_eq!(quoted("a\"\\\n\u{1b}é"), "\"a\\\"\\\\\\n\\u001Bé\"");
        let written = [1500, 0, 59_000, 120_000, 7_200_000, 172_800_000].map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(written, ["\"1500ms\"", "\"0s\"", "\"59s\"", "\"2m\"", "\"2h\"", "\"2d\""]);
    }
}
