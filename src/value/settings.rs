//! Reads settings out of TOML so that every mistake is found at once, each with its place.
//!
//! serde stops at the first error; an administrator who is told of one mistake a run does not get
//! home. Each module reads its own [`Section`], and what a section was not asked for is an unknown
//! key, answered with the nearest known one.
//!
//! | file | knows |
//! | --- | --- |
//! | here | how sections are read, and mistakes told |
//! | `setting` | what values can be read as |
//! | `asked` | what was asked for, written down while it is read |
//! | `nearest` | what was meant |
pub mod asked;
mod nearest;
mod setting;

pub use nearest::nearest;
pub use setting::{Placed, Setting};

use asked::{Page, Record, Shape, Table};
use std::{cell::RefCell, collections::BTreeSet, ops::Range, rc::Rc};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A mistake and its place in the text, in octets from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub span: Range<usize>,
    /// One sentence: what is wrong and what would be right.
    pub text: String,
}

/// All mistakes found so far, and all keys that were asked for; clones share.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    found: Rc<RefCell<Vec<Problem>>>,
    record: Record,
}

impl Problems {
    pub fn add(&self, span: Range<usize>, text: impl Into<String>) {
        self.found.borrow_mut().push(Problem { span, text: text.into() });
    }
    /// In the order of the text.
    #[must_use]
    pub fn take(&self) -> Vec<Problem> {
        let mut all = std::mem::take(&mut *self.found.borrow_mut());
        all.sort_by_key(|problem| problem.span.start);
        all
    }
    /// The full names of all keys that have been asked for, whether they were there or not: all that
    /// there are, for the test that the reference has them.
    #[must_use]
    pub fn asked(&self) -> BTreeSet<String> {
        self.record.names()
    }
    /// All tables that were read, in the order they were, each after its parent.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        self.record.tables()
    }
}

/// A table being read. Dropping it reports the keys nobody asked for.
#[derive(Debug)]
pub struct Section<'a> {
    /// Where it stands: `upstream.default`; empty for the root.
    name: String,
    span: Range<usize>,
    table: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
    problems: Problems,
    page: Page,
}

/// The name of a table with its place, and the table; `None` where it is none, and reported.
pub type Named<'a> = (Placed<Box<str>>, Option<Section<'a>>);

impl<'a> Section<'a> {
    /// The root table of a document.
    #[must_use]
    pub fn root(table: &'a Spanned<DeTable<'a>>, problems: Problems) -> Self {
        let page = problems.record.root();
        Self { name: String::new(), span: 0..0, table: Some(table.get_ref()), asked: Vec::new(), problems, page }
    }

    /// A table of this one, under `key`; `name`: the key, or what it is called there.
    fn below(&self, key: &'static str, name: &str, path: String, span: Option<Range<usize>>, table: Option<&'a DeTable<'a>>) -> Self {
        let own = span.clone().unwrap_or_else(|| self.span.clone());
        let page = self.page.below(key, name, &path, span);
        Self { name: path, span: own, table, asked: Vec::new(), problems: self.problems.clone(), page }
    }

    fn get(&mut self, key: &'static str) -> Option<(&'a DeValue<'a>, Range<usize>)> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
            self.page.asked(key);
        }
        let value = self.table?.get(key)?;
        self.page.stands_at(key, value.span());
        Some((value.get_ref(), value.span()))
    }

    /// The setting `key` and its place; `None` where it is absent, or wrong and reported.
    pub fn take_placed<T: Setting>(&mut self, key: &'static str) -> Option<Placed<T>> {
        self.page.is::<T>(key);
        let (value, span) = self.get(key)?;
        match T::read(value) {
            Ok(value) => Some(Placed { value, span }),
            Err(why) => {
                let why = why.unwrap_or_else(|| format!("expected {}", T::EXPECTED));
                self.problems.add(span, format!("`{}`: {why}", self.path(key)));
                None
            }
        }
    }

    /// The setting `key`; `None` where it is absent, or wrong and reported.
    pub fn take<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        self.take_placed(key).map(|placed| placed.value)
    }

    /// As [`take_placed`](Self::take_placed), where `default` will hold without it.
    pub fn take_placed_unless<T: Setting>(&mut self, key: &'static str, default: &T) -> Option<Placed<T>> {
        self.page.default(key, default.written());
        self.take_placed(key)
    }

    /// The setting `key`, or `default` where it is absent.
    pub fn take_or<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        self.page.default(key, default.written());
        self.take(key).unwrap_or(default)
    }

    /// Says that `default` holds without `key`, where the reader comes to it by itself.
    pub fn holds_without<T: Setting>(&mut self, key: &'static str, default: &T) {
        self.page.default(key, default.written());
    }

    /// Says in `words` what holds without `key`, where that is no value: `those of the system`.
    pub fn otherwise(&mut self, key: &'static str, words: &str) {
        self.page.otherwise(key, words);
    }

    /// The setting `key`; its absence is a mistake.
    pub fn require<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        self.require_placed(key).map(|placed| placed.value)
    }

    /// As [`take_list`](Self::take_list), of which none is the default.
    pub fn take_list_or_none<T: Setting>(&mut self, key: &'static str) -> Vec<T> {
        self.page.default(key, Some("[]".to_owned()));
        self.take_list(key).unwrap_or_default()
    }

    /// As [`require`](Self::require), with the place.
    pub fn require_placed<T: Setting>(&mut self, key: &'static str) -> Option<Placed<T>> {
        self.page.required(key);
        if self.get(key).is_none() {
            self.complain(format!("`{}` is missing: expected {}", self.path(key), T::EXPECTED));
        }
        self.take_placed(key)
    }

    /// The list `key`, of which every wrong item is a mistake with a place of its own; `None` where
    /// it is absent, or wrong and reported.
    pub fn take_list<T: Setting>(&mut self, key: &'static str) -> Option<Vec<T>> {
        let path = self.path(key);
        self.page.is::<Vec<T>>(key);
        let (value, span) = self.get(key)?;
        let Some(array) = value.as_array() else {
            self.problems.add(span, format!("`{path}`: expected {}", Vec::<T>::EXPECTED));
            return None;
        };
        let read = |item: &Spanned<DeValue<'_>>| {
            let told = |why: Option<String>| {
                let why = why.unwrap_or_else(|| format!("expected a list of which each is {}", T::EXPECTED));
                self.problems.add(item.span(), format!("`{path}`: {why}"));
            };
            T::read(item.get_ref()).map_err(told).ok()
        };
        // Each is read before any is missed, so that all mistakes are told.
        let items: Vec<_> = array.iter().map(read).collect();
        items.into_iter().collect()
    }

    /// As [`take_list`](Self::take_list); its absence is a mistake.
    pub fn require_list<T: Setting>(&mut self, key: &'static str) -> Option<Vec<T>> {
        self.page.required(key);
        if self.get(key).is_none() {
            self.complain(format!("`{}` is missing: expected {}", self.path(key), Vec::<T>::EXPECTED));
        }
        self.take_list(key)
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        let taken = self.take_placed::<String>(key);
        let known = words.iter().map(|(word, _)| (*word).to_owned()).collect();
        self.page.words(key, known, words.iter().find(|(_, choice)| *choice == default).map(|(word, _)| *word));
        let Some(Placed { value, span }) = taken else { return default };
        if let Some((_, choice)) = words.iter().find(|(word, _)| *word == value) {
            return *choice;
        }
        let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.problems.add(span, format!("`{}`: `{value}` is none of {}", self.path(key), known.join(", ")));
        default
    }

    /// The table `[key]`; an empty one where it is absent, so that defaults have one place.
    #[must_use]
    pub fn section(&mut self, key: &'static str) -> Self {
        self.page.shape(key, Shape::Table);
        let (table, span) = match self.get(key) {
            Some((DeValue::Table(table), span)) => (Some(table), Some(span)),
            Some((_, span)) => {
                self.problems.add(span.clone(), format!("`{}`: expected a table, written `[{}]`", self.path(key), self.path(key)));
                (None, Some(span))
            }
            None => (None, None),
        };
        self.below(key, key, self.path(key), span, table)
    }

    /// Whether `key` is there at all.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.page.optional(key);
        self.get(key).is_some()
    }

    /// Where `key` stands, if it is there; without it becoming a known key.
    #[must_use]
    pub fn find_unknown(&self, key: &str) -> Option<Range<usize>> {
        self.table?.get_key_value(key).map(|(key, _)| key.span())
    }

    /// Whether `key` is a list, `[[key]]` included.
    pub fn is_list(&mut self, key: &'static str) -> bool {
        self.page.or_tables(key);
        matches!(self.get(key), Some((DeValue::Array(_), _)))
    }

    /// Where the value of `key` stands, if it is there.
    pub fn place(&mut self, key: &'static str) -> Option<Range<usize>> {
        self.get(key).map(|(_, span)| span)
    }

    /// The tables `[[key]]`, in order.
    pub fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let name = self.path(key);
        self.page.shape(key, Shape::Tables);
        let Some((value, span)) = self.get(key) else { return Vec::new() };
        let DeValue::Array(array) = value else {
            self.problems.add(span, format!("`{name}`: expected tables, each written `[[{name}]]`"));
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(table) => all.push(self.below(key, key, name.clone(), Some(item.span()), Some(table))),
                _ => self.problems.add(item.span(), format!("`{name}`: expected a table, written `[[{name}]]`")),
            }
        }
        all
    }

    /// The tables `[key.NAME]`; `None` where `key` itself is no table, and reported.
    pub fn named_sections(&mut self, key: &'static str) -> Option<Vec<Named<'a>>> {
        let path = self.path(key);
        self.page.shape(key, Shape::Named);
        let Some((value, span)) = self.get(key) else { return Some(Vec::new()) };
        let DeValue::Table(tables) = value else {
            self.problems.add(span, format!("`{path}`: expected tables, each written `[{path}.NAME]`"));
            return None;
        };
        let mut all = Vec::new();
        for (name, item) in tables.iter() {
            let text: Box<str> = name.get_ref().as_ref().into();
            let section = match item.get_ref() {
                DeValue::Table(table) => Some(self.below(key, &text, format!("{path}.{text}"), Some(name.span()), Some(table))),
                _ => {
                    self.problems.add(item.span(), format!("`{path}.{text}`: expected a table, written `[{path}.{text}]`"));
                    None
                }
            };
            all.push((Placed { value: text, span: name.span() }, section));
        }
        Some(all)
    }

    /// The full name of `key` in this section.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// How many mistakes have been told so far, of the whole configuration.
    #[must_use]
    pub fn mistakes(&self) -> usize {
        self.problems.found.borrow().len()
    }

    /// Where the section stands.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Lets the keys that nobody asked for pass, where a mistake told already leaves unknown what
    /// they should be.
    pub fn forgive(&mut self) {
        self.table = None;
    }

    /// A mistake of the section as a whole.
    pub fn complain(&self, text: impl Into<String>) {
        self.problems.add(self.span.clone(), text);
    }

    /// A mistake at a place of its own.
    pub fn complain_at(&self, span: Range<usize>, text: impl Into<String>) {
        self.problems.add(span, text);
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let Some(table) = self.table else { return };
        for key in table.keys() {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let hint = match nearest(name, &self.asked) {
                // TOML takes it for one of the table above it.
                _ if self.page.belongs_to_root(name) => format!("`{name}` belongs at the top, above the first `[table]`"),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            self.problems.add(key.span(), format!("unknown key `{}`; {hint}", self.path(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::ByteSize, *};
    use std::{path::PathBuf, time::Duration};

    pub(super) fn read(text: &str, with: impl FnOnce(&mut Section<'_>)) -> Vec<(String, String)> {
        let (table, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let problems = Problems::default();
        with(&mut Section::root(&table, problems.clone()));
        problems.take().into_iter().map(|p| (text[p.span].to_owned(), p.text)).collect()
    }

    #[test]
    fn every_mistake_is_found_and_has_its_place() {
        let found = read("size = 5\nconections = 1\n[a]\nwait = \"5x\"\nmode = \"maybe\"\n", |root| {
            assert_eq!(root.take::<ByteSize>("size"), None);
            assert_eq!(root.take::<u64>("connections"), None);
            let mut a = root.section("a");
            assert_eq!(a.take::<Duration>("wait"), None);
            assert!(a.choice("mode", &[("on", true), ("off", false)], true));
            assert_eq!(a.require::<PathBuf>("path"), None);
        });
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["5", "conections", "[a]", "\"5x\"", "\"maybe\""]);
        assert_eq!(found[1].1, "unknown key `conections`; did you mean `connections`?");
        assert_eq!(found[4].1, "`a.mode`: `maybe` is none of \"on\", \"off\"");
    }

    #[test]
    fn a_key_of_the_root_in_a_table_is_told_where_it_belongs() {
        let found = read("[a]\nworkers = 4\nb = 1\n", |root| {
            assert_eq!(root.take::<u64>("workers"), None);
            drop((root.section("a"), root.section("b")));
        });
        let found: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            found,
            ["unknown key `a.workers`; `workers` belongs at the top, above the first `[table]`", "unknown key `a.b`; known here: "]
        );
    }

    #[test]
    fn every_wrong_item_of_a_list_is_told() {
        let found = read("sizes = [\"1B\", \"2\", 3]\nmore = 1\n", |root| {
            assert_eq!(root.take_list::<ByteSize>("sizes"), None);
            assert_eq!(root.take_list::<ByteSize>("more"), None);
            assert_eq!(root.take_list::<ByteSize>("absent"), None);
        });
        assert_eq!(found.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), ["\"2\"", "3", "1"]);
        read("sizes = [\"1B\", \"2B\"]", |root| assert_eq!(root.take_list("sizes"), Some(vec![ByteSize(1), ByteSize(2)])));
    }
}
