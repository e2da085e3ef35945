//! Lists: page by page, each in a bounded time, however many entries there are.
use super::{
    Cursor, Entry, Filter, Order, Quarantine, QuarantineError, Recipient, Sort, State, Visible,
    entry::{COLUMNS, RECIPIENT_COLUMNS},
    filter::{TEXT_MATCHES, Ways},
};
use crate::chain::HoldClass;
use crate::storage::{Row, Statement};
use std::collections::HashMap;

/// The most entries of one page.
const PAGE: u64 = 1000;
/// Entries that are looked at for one page; then it is said how far the search came.
const LOOKED_AT: u64 = 5_000;
/// How much wider each look is than the one before.
const WIDER: u64 = 8;
/// Counts go up to here where they are not kept.
const COUNTED: u64 = 1000;

/// A page of a list.
#[derive(Debug, Default)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// Where the next begins; `None` where there is none.
    pub next: Option<Cursor>,
    /// The page is not full, and yet there may be more: so far was looked, and `next` looks on. With
    /// a text only the newest matches are looked at, and there is no `next`.
    pub unfinished: bool,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub entries: u64,
    /// At least so many.
    pub or_more: bool,
}

/// How many are in each state, and how many of each class among those that are held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub states: Vec<(State, Count)>,
    pub classes: Vec<(HoldClass, Count)>,
}

impl Quarantine {
    /// The entries that `filter` lets through behind `cursor`, at most `limit` (1000), with those of
    /// their recipients that it lets be seen.
    ///
    /// # Errors
    /// The words stand in more than can be looked through in time, others search, or the database
    /// cannot be read.
    pub async fn page(&self, filter: &Filter, order: Order, cursor: Option<&Cursor>, limit: u64) -> Result<Page, QuarantineError> {
        let limit = limit.clamp(1, PAGE);
        let ways = filter.ways(order.sort);
        if ways.are_none() {
            return Ok(Page::default());
        }
        let (mut found, mut at) = (Vec::new(), cursor.cloned());
        // Many ways share what may be looked at.
        let budget = (LOOKED_AT / ways.count() as u64).max(limit + 1);
        let (mut left, mut width) = (budget, (4 * (limit + 1)).min(budget));
        let (mut next, mut unfinished) = (None, false);
        loop {
            let wanted = limit + 1 - found.len() as u64;
            let rows = self.0.database.search(filter.find(COLUMNS, &ways, order, at.as_ref(), (width, wanted))).await?;
            let full = rows.len() as u64 == wanted;
            found.extend(rows.iter().map(Entry::read).collect::<Result<Vec<_>, _>>()?);
            if full {
                break;
            }
            let (count, last) = self.reach(filter, &ways, order, at.as_ref(), width).await?;
            if ways.are_by_words() {
                unfinished = count == TEXT_MATCHES;
                break;
            }
            if count < width {
                break;
            }
            at = last;
            left = left.saturating_sub(width);
            if left == 0 {
                (next, unfinished) = (at, true);
                break;
            }
            width = (WIDER * width).min(left);
        }
        if found.len() as u64 > limit {
            found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            next = found.last().map(|entry| entry.cursor(order.sort));
        }
        self.recipients(&mut found, &filter.visible).await?;
        Ok(Page { entries: found, next, unfinished })
    }

    async fn reach(
        &self,
        filter: &Filter,
        ways: &Ways,
        order: Order,
        cursor: Option<&Cursor>,
        most: u64,
    ) -> Result<(u64, Option<Cursor>), QuarantineError> {
        let rows = self.0.database.search(filter.reach(ways, order, cursor, most)).await?;
        let Some(row) = rows.first() else { return Ok((0, None)) };
        let key = if order.sort == Sort::Time { String::new() } else { row.optional_text(2)?.unwrap_or_default() };
        let last = row.optional_text(1)?.map(|id| Cursor { id, key });
        Ok((u64::try_from(row.integer(0)?).unwrap_or(0), last))
    }

    /// One question for all of a page.
    async fn recipients(&self, entries: &mut [Entry], visible: &Visible) -> Result<(), QuarantineError> {
        if entries.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = (1..=entries.len()).map(|n| format!("?{n}")).collect();
        let statement = Statement::new(format!(
            "SELECT {RECIPIENT_COLUMNS} FROM quarantine_recipient WHERE entry IN ({}) ORDER BY entry, position",
            places.join(", ")
        ));
        let statement = entries.iter().fold(statement, |statement, entry| statement.with(&*entry.id));
        let mut all: HashMap<String, Vec<Recipient>> = HashMap::new();
        for row in self.0.database.read(statement).await? {
            all.entry(row.text(8)?).or_default().push(Recipient::read(&row)?);
        }
        for entry in entries {
            entry.recipients = all.remove(&entry.id).unwrap_or_default();
            entry.show_to(visible);
        }
        Ok(())
    }

    /// The entries before and after `entry` in such a list: their ids.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn neighbours(
        &self,
        filter: &Filter,
        order: Order,
        entry: &Entry,
    ) -> Result<(Option<String>, Option<String>), QuarantineError> {
        let at = entry.cursor(order.sort);
        let first = |page: Page| page.entries.into_iter().next().map(|entry| entry.id);
        let before = first(self.page(filter, order.reversed(), Some(&at), 1).await?);
        let after = first(self.page(filter, order, Some(&at), 1).await?);
        Ok((before, after))
    }

    /// How many there are of what may be seen: all of them where all may, else up to a thousand.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn counts(&self, visible: &Visible) -> Result<Counts, QuarantineError> {
        match visible {
            Visible::All => self.tallied().await,
            Visible::Domains(_) => self.counted(visible).await,
        }
    }

    async fn tallied(&self) -> Result<Counts, QuarantineError> {
        let statement = Statement::new("SELECT class, state, sum(entries) FROM quarantine_tally GROUP BY class, state");
        let rows = self.0.database.read(statement).await?;
        let sum = |is: &dyn Fn(&str, &str) -> bool| {
            let row = |row: &Row| Ok(if is(&row.text(0)?, &row.text(1)?) { u64::try_from(row.integer(2)?).unwrap_or(0) } else { 0 });
            rows.iter().map(row).sum::<Result<u64, QuarantineError>>().map(|entries| Count { entries, or_more: false })
        };
        let states = State::ALL.iter().map(|state| Ok((*state, sum(&|_, is| is == state.as_str())?)));
        let classes =
            HoldClass::ALL.into_iter().map(|class| Ok((class, sum(&|is, state| is == class.as_str() && state == State::Held.as_str())?)));
        Ok(Counts { states: states.collect::<Result<_, QuarantineError>>()?, classes: classes.collect::<Result<_, QuarantineError>>()? })
    }

    async fn counted(&self, visible: &Visible) -> Result<Counts, QuarantineError> {
        let mut counts = Counts::default();
        let in_state = |state| Filter { visible: visible.clone(), state: Some(state), ..Filter::default() };
        for state in State::ALL.iter().copied() {
            let filter = in_state(state);
            let ways = filter.ways(Sort::Time);
            let entries = if ways.are_none() { 0 } else { self.reach(&filter, &ways, Order::default(), None, COUNTED + 1).await?.0 };
            counts.states.push((state, Count { entries: entries.min(COUNTED), or_more: entries > COUNTED }));
        }
        let filter = in_state(State::Held);
        let ways = filter.ways(Sort::Time);
        let rows = if ways.are_none() { Vec::new() } else { self.0.database.read(filter.classes(&ways, COUNTED + 1)).await? };
        let or_more = counts.states.iter().any(|(state, count)| *state == State::Held && count.or_more);
        for class in HoldClass::ALL {
            let row = rows.iter().find(|row| row.text(0).is_ok_and(|word| word == class.as_str()));
            let entries = row.map_or(Ok(0), |row| row.integer(1))?;
            counts.classes.push((class, Count { entries: u64::try_from(entries).unwrap_or(0), or_more }));
        }
        Ok(counts)
    }

    /// How many are held, by the day they were stored on: days since 1970, the oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn held_by_day(&self) -> Result<Vec<(u64, HoldClass, u64)>, QuarantineError> {
        let statement =
            Statement::new("SELECT day, class, entries FROM quarantine_tally WHERE state = 'held' AND entries > 0 ORDER BY day, class");
        let mut days = Vec::new();
        for row in self.0.database.read(statement).await? {
            let number = |column| row.integer(column).map(|number| u64::try_from(number).unwrap_or(0));
            if let Some(class) = HoldClass::parse(&row.text(1)?) {
                days.push((number(0)?, class, number(2)?));
            }
        }
        Ok(days)
    }
}
