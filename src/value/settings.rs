//! Reads settings out of TOML so that every mistake is found at once, each with its place.
//!
//! serde stops at the first error; an administrator who is told of one mistake a run does not get
//! home. Each module reads its own [`Section`], and what a section was not asked for is an unknown
//! key, answered with the nearest known one.
pub mod asked;

use super::{ByteSize, parse_duration};
use asked::{Key, Shape, Table, quoted};
use std::{cell::RefCell, collections::BTreeSet, net::SocketAddr, ops::Range, path::PathBuf, rc::Rc, time::Duration};
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
pub struct Problems(Rc<RefCell<Findings>>);

#[derive(Debug, Default)]
struct Findings {
    problems: Vec<Problem>,
    tables: Vec<Table>,
}

impl Problems {
    pub fn add(&self, span: Range<usize>, text: impl Into<String>) {
        self.0.borrow_mut().problems.push(Problem { span, text: text.into() });
    }
    /// In the order of the text.
    #[must_use]
    pub fn take(&self) -> Vec<Problem> {
        let mut all = std::mem::take(&mut self.0.borrow_mut().problems);
        all.sort_by_key(|problem| problem.span.start);
        all
    }
    /// The full names of all keys that have been asked for, whether they were there or not: all that
    /// there are, for the test that the reference has them.
    #[must_use]
    pub fn asked(&self) -> BTreeSet<String> {
        let tables = &self.0.borrow().tables;
        let name =
            |table: &Table, key: &Key| if table.path.is_empty() { key.name.to_owned() } else { format!("{}.{}", table.path, key.name) };
        tables.iter().flat_map(|table| table.keys.iter().map(|key| name(table, key))).collect()
    }
    /// All tables that were read, in the order they were, each after its parent.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        self.0.borrow().tables.clone()
    }

    fn open(&self, table: Table) -> usize {
        let tables = &mut self.0.borrow_mut().tables;
        tables.push(table);
        tables.len() - 1
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
    /// Its place among the tables that were read.
    place: usize,
}

/// Something a value can be read as.
pub trait Setting: Sized {
    /// For messages: `a size such as "50MiB"`.
    const EXPECTED: &'static str;
    /// # Errors
    /// What is wrong, where [`EXPECTED`](Self::EXPECTED) alone does not say it.
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>>;
    /// How it is written.
    #[must_use]
    fn shape() -> Shape {
        Shape::Text
    }
    /// As it would be written; `None` where that cannot be said, or is for nobody's eyes.
    fn written(&self) -> Option<String> {
        None
    }
}

/// A value with its place, for checks that need other settings as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    pub value: T,
    pub span: Range<usize>,
}

/// The name of a table with its place, and the table; `None` where it is none, and reported.
pub type Named<'a> = (Placed<Box<str>>, Option<Section<'a>>);

impl<'a> Section<'a> {
    /// The root table of a document.
    #[must_use]
    pub fn root(table: &'a Spanned<DeTable<'a>>, problems: Problems) -> Self {
        let place = problems.open(Table { path: String::new(), name: String::new(), parent: None, span: Some(0..0), keys: Vec::new() });
        Self { name: String::new(), span: 0..0, table: Some(table.get_ref()), asked: Vec::new(), problems, place }
    }

    /// Writes down what is known of a key.
    fn note(&self, key: &'static str, what: impl FnOnce(&mut Key)) {
        if let Some(table) = self.problems.0.borrow_mut().tables.get_mut(self.place) {
            what(table.key(key));
        }
    }

    /// A table of this one, under `key`; `name`: the key, or what it is called there.
    fn below(&self, key: &'static str, name: &str, path: String, span: Option<Range<usize>>, table: Option<&'a DeTable<'a>>) -> Self {
        let parent = Some((self.place, key));
        let own = span.clone().unwrap_or_else(|| self.span.clone());
        let place = self.problems.open(Table { path: path.clone(), name: name.to_owned(), parent, span, keys: Vec::new() });
        Self { name: path, span: own, table, asked: Vec::new(), problems: self.problems.clone(), place }
    }

    fn get(&mut self, key: &'static str) -> Option<(&'a DeValue<'a>, Range<usize>)> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
            self.note(key, |_| {});
        }
        let value = self.table?.get(key)?;
        self.note(key, |noted| noted.span = Some(value.span()));
        Some((value.get_ref(), value.span()))
    }

    /// The setting `key` and its place; `None` where it is absent, or wrong and reported.
    pub fn take_placed<T: Setting>(&mut self, key: &'static str) -> Option<Placed<T>> {
        self.note(key, Key::is::<T>);
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
        self.note(key, |noted| noted.default = default.written());
        self.take_placed(key)
    }

    /// The setting `key`, or `default` where it is absent.
    pub fn take_or<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        self.note(key, |noted| noted.default = default.written());
        self.take(key).unwrap_or(default)
    }

    /// The setting `key`; its absence is a mistake.
    pub fn require<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        self.require_placed(key).map(|placed| placed.value)
    }

    /// As [`take_list`](Self::take_list), of which none is the default.
    pub fn take_list_or_none<T: Setting>(&mut self, key: &'static str) -> Vec<T> {
        self.note(key, |noted| noted.default = Some("[]".to_owned()));
        self.take_list(key).unwrap_or_default()
    }

    /// As [`require`](Self::require), with the place.
    pub fn require_placed<T: Setting>(&mut self, key: &'static str) -> Option<Placed<T>> {
        self.note(key, |noted| noted.required = true);
        if self.get(key).is_none() {
            self.complain(format!("`{}` is missing: expected {}", self.path(key), T::EXPECTED));
        }
        self.take_placed(key)
    }

    /// The list `key`, of which every wrong item is a mistake with a place of its own; `None` where
    /// it is absent, or wrong and reported.
    pub fn take_list<T: Setting>(&mut self, key: &'static str) -> Option<Vec<T>> {
        let path = self.path(key);
        self.note(key, Key::is::<Vec<T>>);
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
        self.note(key, |noted| noted.required = true);
        if self.get(key).is_none() {
            self.complain(format!("`{}` is missing: expected {}", self.path(key), Vec::<T>::EXPECTED));
        }
        self.take_list(key)
    }

    /// One of a closed set of words.
    pub fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, words: &[(&str, T)], default: T) -> T {
        let taken = self.take_placed::<String>(key);
        self.note(key, |noted| {
            noted.shape = Shape::Words(words.iter().map(|(word, _)| (*word).to_owned()).collect());
            noted.expected = "";
            noted.default = words.iter().find(|(_, choice)| *choice == default).map(|(word, _)| quoted(word));
        });
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
        self.note(key, |noted| noted.shape = Shape::Table);
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
        self.note(key, |noted| noted.optional = true);
        self.get(key).is_some()
    }

    /// Where `key` stands, if it is there; without it becoming a known key.
    #[must_use]
    pub fn find_unknown(&self, key: &str) -> Option<Range<usize>> {
        self.table?.get_key_value(key).map(|(key, _)| key.span())
    }

    /// Whether `key` is a list, `[[key]]` included.
    pub fn is_list(&mut self, key: &'static str) -> bool {
        self.note(key, |noted| noted.or_tables = true);
        matches!(self.get(key), Some((DeValue::Array(_), _)))
    }

    /// Where the value of `key` stands, if it is there.
    pub fn place(&mut self, key: &'static str) -> Option<Range<usize>> {
        self.get(key).map(|(_, span)| span)
    }

    /// The tables `[[key]]`, in order.
    pub fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let name = self.path(key);
        self.note(key, |noted| noted.shape = Shape::Tables);
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
        self.note(key, |noted| noted.shape = Shape::Named);
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
            let hint = nearest(name, &self.asked)
                .map_or_else(|| format!("known here: {}", self.asked.join(", ")), |near| format!("did you mean `{near}`?"));
            self.problems.add(key.span(), format!("unknown key `{}`; {hint}", self.path(name)));
        }
    }
}

/// The known word that is fewest edits away, if it is near enough to have been meant.
#[must_use]
pub fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let (near, distance) = known.iter().map(|k| (*k, distance(word, k))).min_by_key(|(_, d)| *d)?;
    (distance <= word.chars().count().max(3) / 3).then_some(near)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (y, up) in b.iter().zip(row.iter().skip(1)) {
            let best = (diagonal + usize::from(x != *y)).min(left + 1).min(up + 1);
            diagonal = *up;
            left = best;
            next.push(best);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

impl Setting for String {
    const EXPECTED: &'static str = "a text in quotes";
    fn written(&self) -> Option<String> {
        Some(quoted(self))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        value.as_str().map(Self::from).ok_or(None)
    }
}
impl Setting for Box<str> {
    const EXPECTED: &'static str = String::EXPECTED;
    fn written(&self) -> Option<String> {
        Some(quoted(self))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        String::read(value).map(Into::into)
    }
}
impl Setting for bool {
    const EXPECTED: &'static str = "true or false";
    fn shape() -> Shape {
        Shape::Flag
    }
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        value.as_bool().ok_or(None)
    }
}
impl Setting for u64 {
    const EXPECTED: &'static str = "a whole number, not negative";
    fn shape() -> Shape {
        Shape::Whole
    }
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let DeValue::Integer(integer) = value else { return Err(None) };
        Self::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| None)
    }
}
impl Setting for u32 {
    const EXPECTED: &'static str = "a whole number, not negative, below 4294967296";
    fn shape() -> Shape {
        Shape::Whole
    }
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        u64::read(value)?.try_into().map_err(|_| None)
    }
}
impl Setting for usize {
    const EXPECTED: &'static str = u64::EXPECTED;
    fn shape() -> Shape {
        Shape::Whole
    }
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        u64::read(value)?.try_into().map_err(|_| None)
    }
}
impl Setting for f64 {
    const EXPECTED: &'static str = "a number such as 5 or 6.5";
    fn shape() -> Shape {
        Shape::Number
    }
    fn written(&self) -> Option<String> {
        Some(self.to_string())
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let number: Self = match value {
            DeValue::Integer(_) => u32::read(value)?.into(),
            DeValue::Float(float) => float.as_str().parse().map_err(|_| None)?,
            _ => return Err(None),
        };
        if number.is_finite() { Ok(number) } else { Err(None) }
    }
}
impl Setting for Duration {
    const EXPECTED: &'static str = "a duration such as \"500ms\", \"10s\" or \"5m\"";
    fn written(&self) -> Option<String> {
        Some(asked::duration(*self))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        parse_duration(value.as_str().ok_or(None)?).map_err(Some)
    }
}
impl Setting for ByteSize {
    const EXPECTED: &'static str = "a size such as \"64KiB\", \"50MiB\" or \"8GiB\"";
    fn written(&self) -> Option<String> {
        Some(asked::size(*self))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        value.as_str().ok_or(None)?.parse().map_err(Some)
    }
}
impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";
    fn written(&self) -> Option<String> {
        self.to_str().map(quoted)
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        match value.as_str() {
            Some("") | None => Err(None),
            Some(path) => Ok(path.into()),
        }
    }
}
impl Setting for SocketAddr {
    const EXPECTED: &'static str = "an address and port such as \"127.0.0.1:25\" or \"[::1]:25\"";
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        text.parse().map_err(|_| Some(format!("`{text}` is not {}", Self::EXPECTED)))
    }
}
impl Setting for ipnet::IpNet {
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\", \"192.0.2.1\" or \"2001:db8::/32\"";
    fn written(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let text = value.as_str().ok_or(None)?;
        let alone = text.parse().map(|address: std::net::IpAddr| Self::from(address));
        text.parse().or(alone).map_err(|_| Some(format!("`{text}` is not {}", Self::EXPECTED)))
    }
}
impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = "a list in square brackets";
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
    fn written(&self) -> Option<String> {
        let items: Option<Vec<_>> = self.iter().map(T::written).collect();
        Some(format!("[{}]", items?.join(", ")))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let DeValue::Array(array) = value else { return Err(None) };
        array
            .iter()
            .map(|item| {
                T::read(item.get_ref())
                    .map_err(|why| Some(why.unwrap_or_else(|| format!("expected a list of which each is {}", T::EXPECTED))))
            })
            .collect()
    }
}
/// For lists of which each item has a check of its own.
impl<T: Setting> Setting for Vec<Placed<T>> {
    const EXPECTED: &'static str = <Vec<T> as Setting>::EXPECTED;
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
    fn written(&self) -> Option<String> {
        let items: Option<Vec<_>> = self.iter().map(|item| item.value.written()).collect();
        Some(format!("[{}]", items?.join(", ")))
    }
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        let values = Vec::<T>::read(value)?;
        let places = value.as_array().into_iter().flat_map(|array| array.iter().map(Spanned::span));
        Ok(values.into_iter().zip(places).map(|(value, span)| Placed { value, span }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, with: impl FnOnce(&mut Section<'_>)) -> Vec<(String, String)> {
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
    fn every_wrong_item_of_a_list_is_told() {
        let found = read("sizes = [\"1B\", \"2\", 3]\nmore = 1\n", |root| {
            assert_eq!(root.take_list::<ByteSize>("sizes"), None);
            assert_eq!(root.take_list::<ByteSize>("more"), None);
            assert_eq!(root.take_list::<ByteSize>("absent"), None);
        });
        assert_eq!(found.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), ["\"2\"", "3", "1"]);
        read("sizes = [\"1B\", \"2B\"]", |root| assert_eq!(root.take_list("sizes"), Some(vec![ByteSize(1), ByteSize(2)])));
    }

    #[test]
    fn the_items_of_a_list_have_places() {
        let text = "names = [\"a\", \"bc\"]\n";
        let found = read(text, |root| {
            let names: Vec<Placed<String>> = root.take("names").unwrap();
            assert_eq!(names.iter().map(|name| &text[name.span.clone()]).collect::<Vec<_>>(), ["\"a\"", "\"bc\""]);
        });
        assert!(found.is_empty());
        assert_eq!(read("names = [1]", |root| assert_eq!(root.take::<Vec<Placed<String>>>("names"), None)).len(), 1);
    }

    #[test]
    fn the_nearest_word_is_offered_only_where_it_is_near() {
        assert_eq!(nearest("adress", &["address", "name"]), Some("address"));
        assert_eq!(nearest("colour", &["address", "name"]), None);
    }
}
