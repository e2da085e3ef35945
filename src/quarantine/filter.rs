//! What to list, as data, and the SQL that finds it.
//!
//! A filter is looked for along one index that gives entries in the order asked for (its *arms*: one
//! for each state or domain where there are several), and whatever it says beyond that is asked of
//! those that come along. So the first of many are found without looking at all of them, and of a
//! search that finds nothing it is known how far it has looked.
use super::{State, millis};
use crate::chain::HoldClass;
use crate::storage::{Statement, Value};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

/// Matches of a text that are looked at: the newest. Who finds more writes another word.
pub(super) const TEXT_MATCHES: u64 = 2_000;
/// Between the first command of a message and its storing; timeouts end it long before.
const LONGEST: Duration = Duration::from_secs(86_400);
/// What ids are written with: Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Words of a text.
const WORDS: usize = 8;

/// What somebody may see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Visible {
    #[default]
    All,
    /// What is held for recipients of these domains, in lower case; of none: nothing.
    Domains(BTreeSet<String>),
}

impl Visible {
    /// Whether it is his to see what is held for `address`.
    #[must_use]
    pub fn covers(&self, address: &str) -> bool {
        match self {
            Self::All => true,
            Self::Domains(domains) => address.rsplit_once('@').is_some_and(|(_, domain)| domains.contains(domain)),
        }
    }
}

/// In what order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Time,
    Size,
    Sender,
}

impl Sort {
    fn column(self) -> &'static str {
        match self {
            Self::Time => "id",
            Self::Size => "size",
            Self::Sender => "sender",
        }
    }
}

/// Whose it is to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assigned {
    To(String),
    Nobody,
}

/// Which entries to list; what is not said does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub visible: Visible,
    pub class: Option<HoldClass>,
    pub state: Option<State>,
    /// A whole address, or all of a domain, with a `@` in front or without; `<>` has none.
    pub sender: Option<String>,
    pub recipient: Option<String>,
    /// Words, all of which stand in subject, From or sender; the last may be the beginning of one.
    pub text: Option<String>,
    /// Stored after, and before.
    pub after: Option<SystemTime>,
    pub before: Option<SystemTime>,
    /// The name of a finding it has.
    pub finding: Option<String>,
    /// The stage, or `rule NAME`.
    pub decided_by: Option<String>,
    pub assigned: Option<Assigned>,
    pub legal_hold: bool,
    /// Somebody asks for its release.
    pub asked: bool,
}

/// A place in a list: behind this entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(super) id: String,
    /// What the list is sorted by, where that is not the time.
    pub(super) key: String,
}

impl Cursor {
    /// As it stands in addresses and on the command line; an id alone will do where the time sorts.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, key) = text.split_once('.').unwrap_or((text, ""));
        let is_id = id.len() == 26 && id.bytes().all(|octet| DIGITS.contains(&octet));
        is_id.then(|| Self { id: id.to_owned(), key: key.to_owned() })
    }

    fn key(&self, sort: Sort) -> Value {
        match sort {
            Sort::Time => self.id.as_str().into(),
            Sort::Size => self.key.parse().unwrap_or(0_i64).into(),
            Sort::Sender => self.key.as_str().into(),
        }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.key.is_empty() { f.write_str(&self.id) } else { write!(f, "{}.{}", self.id, self.key) }
    }
}

/// A list in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    pub sort: Sort,
    /// The smallest first: the oldest.
    pub ascending: bool,
}

impl Order {
    /// The other way round.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { ascending: !self.ascending, ..self }
    }
    fn words(self) -> (&'static str, &'static str) {
        if self.ascending { ("ASC", ">") } else { ("DESC", "<") }
    }
}

/// SQL under way, with its values.
#[derive(Default)]
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    fn say(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }
    /// `?` with its number.
    fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.text.push_str(&format!("?{}", self.values.len()));
        self
    }
    fn list<'v>(&mut self, values: impl Iterator<Item = &'v str>) -> &mut Self {
        self.say("(");
        for (n, value) in values.enumerate() {
            self.say(if n > 0 { ", " } else { "" }).value(value);
        }
        self.say(")")
    }
    fn statement(self) -> Statement {
        self.values.into_iter().fold(Statement::new(self.text), Statement::with)
    }
}

/// One way along an index, in order.
struct Arm {
    /// Table, column of the entry's id, column that sorts.
    from: (&'static str, &'static str, &'static str),
    equal: Vec<(&'static str, Value)>,
}

/// The ways to what is asked for.
pub(super) struct Ways {
    arms: Vec<Arm>,
    /// By words instead, whose matches come in no order that helps.
    words: Option<String>,
}

impl Ways {
    pub(super) fn are_none(&self) -> bool {
        self.arms.is_empty() && self.words.is_none()
    }
    pub(super) fn are_by_words(&self) -> bool {
        self.words.is_some()
    }
    pub(super) fn count(&self) -> usize {
        self.arms.len().max(1)
    }
}

impl Filter {
    fn states(&self) -> Vec<State> {
        self.state.map_or_else(|| State::ALL.to_vec(), |state| vec![state])
    }

    /// Which way to go; none where nothing can be found.
    pub(super) fn ways(&self, sort: Sort) -> Ways {
        let words = self.text.as_deref().map(words);
        // Who may see a message for his own recipients learns here of no others.
        let recipient = self.recipient.as_deref().map(meant);
        let of_others = recipient.as_deref().is_some_and(|text| !self.visible.covers(text));
        if of_others || words.as_deref() == Some("") || self.visible == Visible::Domains(BTreeSet::new()) {
            return Ways { arms: Vec::new(), words: None };
        }
        let arm = |table, id, equal| Arm { from: (table, id, if sort == Sort::Time { id } else { sort.column() }), equal };
        let entry = |equal| arm("quarantine_entry", "id", equal);
        let by_state = || self.states().iter().map(|state| entry(vec![("state", state.as_str().into())])).collect();
        let arms: Vec<Arm> = if words.is_some() {
            Vec::new()
        } else if sort != Sort::Time {
            by_state()
        } else if let Some(recipient) = recipient {
            match recipient.strip_prefix('@') {
                Some(domain) => self.by_domain([domain].into_iter()),
                None => vec![arm("quarantine_recipient", "entry", vec![("address", recipient.into())])],
            }
        } else if let Some(address) = self.sender.as_deref().map(meant).filter(|text| !text.starts_with('@')) {
            vec![entry(vec![("sender", address.into())])]
        } else if let Some(Assigned::To(name)) = &self.assigned {
            vec![entry(vec![("assigned", name.as_str().into())])]
        } else if self.asked {
            vec![arm("quarantine_request", "entry", vec![("state", "pending".into())])]
        } else if self.legal_hold {
            vec![entry(vec![("legal_hold", 1_i64.into())])]
        } else if let Visible::Domains(domains) = &self.visible {
            self.by_domain(domains.iter().map(String::as_str))
        } else if let Some(class) = self.class {
            let equal = |state: &State| vec![("class", class.as_str().into()), ("state", state.as_str().into())];
            self.states().iter().map(|state| entry(equal(state))).collect()
        } else {
            by_state()
        };
        Ways { arms, words }
    }

    fn by_domain<'d>(&self, domains: impl Iterator<Item = &'d str>) -> Vec<Arm> {
        let domains: Vec<&str> = domains.collect();
        let states = self.states();
        let each = states.iter().flat_map(|state| domains.iter().map(move |domain| (state, *domain)));
        each.map(|(state, domain)| Arm {
            from: ("quarantine_domain", "entry", "entry"),
            equal: vec![("domain", domain.into()), ("state", state.as_str().into())],
        })
        .collect()
    }

    /// What an id is at least and less than, where times are asked for: it begins with the time its
    /// message began at, which is before it was stored, but not long before.
    fn ids(&self) -> (Option<String>, Option<String>) {
        let earliest = self.after.and_then(|after| after.checked_sub(LONGEST)).map(|after| id_of(millis(after)));
        (earliest, self.before.map(|before| id_of(millis(before))))
    }

    /// Ids that come along behind `cursor`, so many of them, in order.
    fn candidates(&self, sql: &mut Sql, ways: &Ways, order: Order, cursor: Option<&Cursor>, most: u64) {
        if let Some(words) = &ways.words {
            sql.say("SELECT entry AS id FROM quarantine_text_row WHERE number IN (SELECT rowid FROM quarantine_text WHERE quarantine_text MATCH ")
                .value(words.as_str())
                .say(" ORDER BY rowid DESC LIMIT ")
                .value(TEXT_MATCHES)
                .say(")");
            return;
        }
        let (direction, beyond) = order.words();
        sql.say("SELECT DISTINCT id, key FROM (");
        for (n, Arm { from: (table, id, key), equal }) in ways.arms.iter().enumerate() {
            sql.say(if n > 0 { " UNION ALL " } else { "" });
            sql.say(&format!("SELECT * FROM (SELECT {id} AS id, {key} AS key FROM {table} WHERE 1"));
            for (column, value) in equal {
                sql.say(&format!(" AND {column} = ")).value(value.clone());
            }
            if let Some(cursor) = cursor {
                if key == id {
                    sql.say(&format!(" AND {id} {beyond} ")).value(cursor.id.as_str());
                } else {
                    sql.say(&format!(" AND ({key}, {id}) {beyond} ("))
                        .value(cursor.key(order.sort))
                        .say(", ")
                        .value(cursor.id.as_str())
                        .say(")");
                }
            }
            let (earliest, latest) = self.ids();
            if let Some(earliest) = earliest {
                sql.say(&format!(" AND {id} >= ")).value(earliest);
            }
            if let Some(latest) = latest {
                sql.say(&format!(" AND {id} < ")).value(latest);
            }
            // An index whose columns are all but these sorts by itself.
            let sorted = if key == id { format!("{id} {direction}") } else { format!("{key} {direction}, {id} {direction}") };
            sql.say(&format!(" ORDER BY {sorted} LIMIT ")).value(most).say(")");
        }
        sql.say(&format!(") ORDER BY key {direction}, id {direction} LIMIT ")).value(most);
    }

    /// The entries among the next `most` that come along, `limit` of them.
    pub(super) fn find(&self, columns: &str, ways: &Ways, order: Order, cursor: Option<&Cursor>, (most, limit): (u64, u64)) -> Statement {
        let mut sql = Sql::default();
        let columns: Vec<String> = columns.split(',').map(|column| format!("e.{}", column.trim())).collect();
        sql.say(&format!("SELECT {} FROM (", columns.join(", ")));
        self.candidates(&mut sql, ways, order, cursor, most);
        sql.say(") AS c CROSS JOIN quarantine_entry AS e ON e.id = c.id WHERE 1");
        self.conditions(&mut sql);
        let (direction, beyond) = order.words();
        let column = order.sort.column();
        if let Some(cursor) = cursor {
            sql.say(&format!(" AND (+e.{column}, +e.id) {beyond} ("))
                .value(cursor.key(order.sort))
                .say(", ")
                .value(cursor.id.as_str())
                .say(")");
        }
        sql.say(&format!(" ORDER BY e.{column} {direction}, e.id {direction} LIMIT ")).value(limit);
        sql.statement()
    }

    /// How many come along, up to `most`, and the last of them.
    pub(super) fn reach(&self, ways: &Ways, order: Order, cursor: Option<&Cursor>, most: u64) -> Statement {
        let mut sql = Sql::default();
        sql.say("WITH c AS (");
        self.candidates(&mut sql, ways, order, cursor, most);
        if ways.words.is_some() {
            sql.say(") SELECT (SELECT count(*) FROM c), NULL, NULL");
        } else {
            // The other way round, the last is the first.
            let (direction, _) = order.reversed().words();
            sql.say(&format!(
                ") SELECT (SELECT count(*) FROM c), id, CAST(key AS TEXT) FROM c ORDER BY key {direction}, id {direction} LIMIT 1"
            ));
        }
        sql.statement()
    }

    /// How many of each class are among the next `most` that come along.
    pub(super) fn classes(&self, ways: &Ways, most: u64) -> Statement {
        let mut sql = Sql::default();
        sql.say("SELECT e.class, count(*) FROM (");
        self.candidates(&mut sql, ways, Order::default(), None, most);
        sql.say(") AS c CROSS JOIN quarantine_entry AS e ON e.id = c.id WHERE 1");
        self.conditions(&mut sql);
        sql.say(" GROUP BY e.class");
        sql.statement()
    }

    /// What is asked of an entry that came along. The plus signs keep SQLite from looking for the entry
    /// by any of these, of which there may be a million, instead of by its id.
    fn conditions(&self, sql: &mut Sql) {
        if let Visible::Domains(domains) = &self.visible {
            sql.say(" AND EXISTS (SELECT 1 FROM quarantine_domain AS d WHERE d.entry = e.id AND d.domain IN ")
                .list(domains.iter().map(String::as_str))
                .say(")");
        }
        if let Some(class) = self.class {
            sql.say(" AND +e.class = ").value(class.as_str());
        }
        if let Some(state) = self.state {
            sql.say(" AND +e.state = ").value(state.as_str());
        }
        if let Some(sender) = &self.sender {
            sql.say(" AND +e.sender ");
            address(sql, sender);
        }
        if let Some(recipient) = &self.recipient {
            sql.say(" AND EXISTS (SELECT 1 FROM quarantine_recipient AS r WHERE r.entry = e.id AND r.address ");
            address(sql, recipient);
            sql.say(")");
        }
        if let Some(after) = self.after {
            sql.say(" AND +e.stored_at >= ").value(millis(after));
        }
        if let Some(before) = self.before {
            sql.say(" AND +e.stored_at < ").value(millis(before));
        }
        if let Some(finding) = &self.finding {
            // A quote in a value is escaped there, so this stands where a name does only.
            let name = serde_json::Value::from(finding.as_str()).to_string();
            sql.say(" AND instr(e.findings, ").value(format!("\"name\":{name}")).say(") > 0");
        }
        if let Some(by) = &self.decided_by {
            sql.say(" AND +e.decided_by = ").value(by.as_str());
        }
        match &self.assigned {
            Some(Assigned::To(name)) => drop(sql.say(" AND +e.assigned = ").value(name.as_str())),
            Some(Assigned::Nobody) => drop(sql.say(" AND +e.assigned IS NULL")),
            None => {}
        }
        if self.legal_hold {
            sql.say(" AND +e.legal_hold = 1");
        }
        if self.asked {
            sql.say(" AND EXISTS (SELECT 1 FROM quarantine_request AS q WHERE q.entry = e.id AND q.state = 'pending')");
        }
    }
}

/// What the ids of this millisecond begin with: the time of a ULID.
fn id_of(millis: i64) -> String {
    let digit = |place: u32| DIGITS.get(usize::try_from(millis >> (5 * place) & 31).unwrap_or(0)).copied().unwrap_or(b'0');
    (0..10).rev().map(|place| char::from(digit(place))).collect()
}

/// The address that somebody means, or the domain, with a `@` in front: what has none is a domain, but
/// for the one mailbox that needs none (RFC 5321 §4.5.1), and for the sender that is nobody.
fn meant(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text).to_ascii_lowercase();
    let is_domain = !text.is_empty() && !text.contains('@') && text != "postmaster";
    if is_domain { format!("@{text}") } else { text }
}

/// How an address is looked for; `@example.org` is all of a domain.
fn address(sql: &mut Sql, text: &str) {
    let text = meant(text);
    if !text.starts_with('@') {
        sql.say("= ").value(text);
        return;
    }
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    sql.say("LIKE ").value(pattern).say(" ESCAPE '\\'");
}

/// What FTS5 is asked: each word quoted, so that nothing in it is syntax; the last by its beginning.
/// Empty where there is no word.
fn words(text: &str) -> String {
    let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(WORDS).collect();
    let Some(last) = words.last() else { return String::new() };
    // The beginnings of one or two letters are those of half the language.
    let star = if last.chars().count() > 2 { "*" } else { "" };
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ") + star
}
