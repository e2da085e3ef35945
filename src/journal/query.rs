//! What rows to find.
use super::{
    hide::Hide,
    indicator::Indicator,
    row::{COLUMNS, Kind, first_key},
    terms::{self, Expression, Of},
};
use crate::storage::{Statement, Value};
use ipnet::IpNet;
use std::{net::IpAddr, time::SystemTime};

/// The most rows of one page.
pub const PAGE: u64 = 1000;
/// Words of a text that are looked for.
const MOST_WORDS: usize = 32;

/// Which rows to find, newest first: those that fit everything that is asked. Upper and lower case
/// are one, and so are letters with and without accents. Nothing in it can be wrong: what no row has
/// finds none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// Settled at that time or later, and before that one.
    pub after: Option<SystemTime>,
    pub before: Option<SystemTime>,
    pub kind: Option<Kind>,
    pub listener: Option<String>,
    pub client: Option<IpNet>,
    pub helo: Option<String>,
    /// The fingerprint of the client's TLS hello.
    pub ja4: Option<String>,
    pub account: Option<String>,
    /// A whole address; `@example.org` is all of a domain, `@*.example.org` that and all below it
    /// (not where addresses are hashed), and nothing the null reverse-path.
    pub sender: Option<String>,
    pub recipient: Option<String>,
    /// Of the header section.
    pub from: Option<String>,
    /// Sender, recipient or author.
    pub address: Option<String>,
    /// All rows whose recipients include one of these domains: what a reviewer may see. Other
    /// recipients of a row are then nothing that finds it.
    pub recipient_domains: Vec<String>,
    /// With or without angle brackets.
    pub message_id: Option<String>,
    pub queue_id: Option<String>,
    /// Our id of a message, or of a session.
    pub id: Option<String>,
    /// Any of them.
    pub verdicts: Vec<String>,
    /// A finding's name, and what it has to be.
    pub finding: Option<(String, Option<String>)>,
    /// A stage, or `rule NAME`.
    pub decided_by: Option<String>,
    pub violation: Option<String>,
    /// A file's name, which may end with `*`, or its SHA-256 in hexadecimal.
    pub attachment: Option<String>,
    /// A host of URLs; what is below it is found too.
    pub host: Option<String>,
    /// Whatever has this in it anywhere.
    pub indicator: Option<Indicator>,
    /// Words that subject and addresses have, all of them (of recipients only without
    /// `recipient_domains`); one that ends with `*` is a beginning.
    /// What stands in quotes has to stand there so.
    pub text: Option<String>,
    /// Only rows with keys less than this: the last of the page before.
    pub below: Option<i64>,
    /// At most 1000; 0 is 1.
    pub limit: u64,
}

impl Query {
    /// A page of `limit`.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    pub(super) fn statement(&self, hide: Option<&Hide>) -> Statement {
        let mut conditions = Conditions::default();
        // Keys are in the order of time; a row was settled before it got its key, by no more than
        // the clock was set back.
        if let Some(after) = self.after {
            conditions.add("row.key >= ?", first_key(after));
        }
        let before = self.before.map(first_key).into_iter().chain(self.below).min();
        if let Some(before) = before {
            conditions.add("row.key < ?", before);
        }
        for phrase in self.text.as_deref().map(phrases).unwrap_or_default() {
            let columns = TEXTS.iter().chain(self.sees_all().then_some(&"recipients"));
            let each: Vec<_> = columns.map(|column| format!("row.{column} LIKE ? ESCAPE '\\'")).collect();
            conditions.add(&format!("({})", each.join(" OR ")), like(phrase));
        }
        for phrase in self.indicator.as_ref().and_then(Indicator::subject).map(phrases).unwrap_or_default() {
            conditions.add("row.subject LIKE ? ESCAPE '\\'", like(phrase));
        }
        let from = match self.expression(hide) {
            None => "journal_row AS row",
            Some(expression) => {
                conditions.add("journal_term MATCH ?", expression.into_string());
                // In this order: the index is asked, and gives its rows in theirs.
                "journal_term CROSS JOIN journal_row AS row ON row.key = journal_term.rowid"
            }
        };
        let is_joined = from.starts_with("journal_term");
        let order = if is_joined { "journal_term.rowid" } else { "row.key" };
        let mut sql = format!("SELECT {COLUMNS} FROM {from}");
        let Conditions { texts, values } = conditions;
        if !texts.is_empty() {
            sql += " WHERE ";
            // The index is asked for its range as well, not only the rows it leads to.
            sql += &texts
                .iter()
                .map(|text| if is_joined { text.replace("row.key", "journal_term.rowid") } else { text.clone() })
                .collect::<Vec<_>>()
                .join(" AND ");
        }
        sql += &format!(" ORDER BY {order} DESC LIMIT {}", self.limit.clamp(1, PAGE));
        values.into_iter().fold(Statement::new(sql), Statement::with)
    }

    fn sees_all(&self) -> bool {
        self.recipient_domains.is_empty()
    }

    /// Whether it asks for a recipient that is none of its domains'.
    fn is_of_others(&self) -> bool {
        let is_his = |address: &str| {
            terms::domain_of(address).is_some_and(|domain| self.recipient_domains.iter().any(|his| his.eq_ignore_ascii_case(domain)))
        };
        !self.sees_all() && self.recipient.as_deref().is_some_and(|wanted| !is_his(bare(wanted)))
    }

    /// `None` where nothing is asked that the index knows.
    fn expression(&self, hide: Option<&Hide>) -> Option<Expression> {
        let mut all = Vec::new();
        let is = |of, value: &Option<String>| value.as_deref().map(|value| Expression::is(of, value));
        all.extend(self.kind.map(|kind| Expression::is(Of::Kind, kind.as_str())));
        all.extend(is(Of::Listener, &self.listener));
        all.extend(self.client.map(network));
        all.extend(is(Of::Helo, &self.helo));
        all.extend(is(Of::Ja4, &self.ja4));
        all.extend(self.account.as_deref().map(|account| hidden_too(Of::Account, account, hide)));
        let address = |of: &[(Of, Of)], value: &Option<String>| value.as_deref().map(|value| is_any_address(of, value, hide));
        let [sender, recipient, from] = ADDRESSES;
        all.extend(address(&[sender], &self.sender));
        all.extend(address(&[recipient], &self.recipient));
        all.extend(address(&[from], &self.from));
        all.extend(address(&ADDRESSES, &self.address));
        if !self.recipient_domains.is_empty() {
            let domains = self.recipient_domains.iter();
            all.push(Expression::any(domains.map(|domain| is_address(recipient.0, recipient.1, &format!("@{domain}"), hide)).collect()));
        }
        all.extend(
            self.message_id.as_deref().map(|id| Expression::is(Of::MessageId, id.trim().trim_start_matches('<').trim_end_matches('>'))),
        );
        all.extend(is(Of::QueueId, &self.queue_id));
        all.extend(self.id.as_deref().map(|id| Expression::any(vec![Expression::is(Of::Message, id), Expression::is(Of::Session, id)])));
        if !self.verdicts.is_empty() {
            all.push(Expression::any(self.verdicts.iter().map(|verdict| Expression::is(Of::Verdict, verdict)).collect()));
        }
        all.extend(self.finding.as_ref().map(|(name, value)| match value {
            Some(value) => Expression::is(Of::Finding, &format!("{name}={value}")),
            None => Expression::begins(Of::Finding, &format!("{name}=")),
        }));
        all.extend(is(Of::DecidedBy, &self.decided_by));
        all.extend(is(Of::Violation, &self.violation));
        all.extend(self.attachment.as_deref().map(attachment));
        all.extend(self.host.as_deref().map(|host| Expression::domain_and_below(Of::Host, host)));
        all.extend(self.indicator.as_ref().map(|indicator| indicator.expression(hide)));
        let words = self.text.as_deref().filter(|words| !words.trim().is_empty());
        let of: &[Of] = if self.sees_all() { &[Of::Subject, Of::Word, Of::RecipientWord] } else { &[Of::Subject, Of::Word] };
        all.extend(words.into_iter().flat_map(|words| text(of, words)));
        if self.is_of_others() {
            // Something that no row has.
            all.push(Expression::is(Of::Kind, ""));
        }
        (!all.is_empty()).then(|| Expression::all(all))
    }
}

/// Columns that text is looked for in.
const TEXTS: [&str; 4] = ["subject", "sender", "header_from", "account"];

#[derive(Default)]
struct Conditions {
    texts: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    /// Every `?` in `text` is `value`.
    fn add(&mut self, text: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        self.texts.push(text.replace('?', &format!("?{}", self.values.len())));
    }
}

/// What has addresses, and their domains.
pub(super) const ADDRESSES: [(Of, Of); 3] =
    [(Of::Sender, Of::SenderDomain), (Of::Recipient, Of::RecipientDomain), (Of::From, Of::FromDomain)];

/// An address without what people write around it.
fn bare(address: &str) -> &str {
    address.trim().trim_start_matches('<').trim_end_matches('>')
}

pub(super) fn is_any_address(of: &[(Of, Of)], value: &str, hide: Option<&Hide>) -> Expression {
    let value = bare(value);
    Expression::any(of.iter().map(|(of, domain)| is_address(*of, *domain, value, hide)).collect())
}

fn is_address(of: Of, of_domain: Of, value: &str, hide: Option<&Hide>) -> Expression {
    if let Some(domain) = value.strip_prefix("@*.") {
        return Expression::domain_and_below(of_domain, domain);
    }
    let (of, plain, hidden) = match value.strip_prefix('@') {
        Some(domain) => (of_domain, terms::turned(domain), hide.map(|hide| hide.domain(domain))),
        None => (of, value.to_owned(), hide.map(|hide| hide.address(value))),
    };
    // Rows from before and after a change of the setting have one or the other.
    Expression::any(std::iter::once(plain).chain(hidden).map(|value| Expression::is(of, &value)).collect())
}

fn hidden_too(of: Of, value: &str, hide: Option<&Hide>) -> Expression {
    let hidden = hide.map(|hide| hide.address(value));
    Expression::any(std::iter::once(value.to_owned()).chain(hidden).map(|value| Expression::is(of, &value)).collect())
}

/// The addresses of a network begin with the same digits; where it is not divided at a digit, with
/// one of a few.
pub(super) fn network(network: IpNet) -> Expression {
    let network = canonical(network);
    let digits = terms::hexadecimal(network.network());
    // The first says which family it is.
    let (whole, rest) = (1 + usize::from(network.prefix_len() / 4), network.prefix_len() % 4);
    let begin = digits.get(..whole).unwrap_or(&digits);
    if begin.len() == digits.len() {
        return Expression::is(Of::Client, begin);
    }
    if rest == 0 {
        return Expression::begins(Of::Client, begin);
    }
    let digit = digits.get(whole..=whole).and_then(|digit| u32::from_str_radix(digit, 16).ok()).unwrap_or(0);
    let several = (digit..digit + (1 << (4 - rest))).filter_map(|digit| char::from_digit(digit, 16));
    Expression::any(several.map(|digit| Expression::begins(Of::Client, &format!("{begin}{digit}"))).collect())
}

/// An IPv4 network that is written as part of IPv6 is one of IPv4.
fn canonical(network: IpNet) -> IpNet {
    match (network.network().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(length)) if network.max_prefix_len() == 128 => IpNet::new(address.into(), length).unwrap_or(network),
        _ => network,
    }
}

pub(super) fn attachment(name: &str) -> Expression {
    if name.len() == 64 && name.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return Expression::is(Of::Sha256, name);
    }
    match name.strip_suffix('*') {
        Some(begin) => Expression::begins(Of::Attachment, begin),
        None => Expression::is(Of::Attachment, name),
    }
}

/// All words of a text, each in one of these; of a text without one, something that no row has.
pub(super) fn text(of: &[Of], text: &str) -> Vec<Expression> {
    let anywhere = |expression: &dyn Fn(Of) -> Expression| Expression::any(of.iter().map(|of| expression(*of)).collect());
    let mut all = Vec::new();
    for part in text.split_whitespace() {
        let begins = part.ends_with('*');
        let words: Vec<_> = terms::words(part).collect();
        for (n, word) in words.iter().enumerate() {
            let is_last = n + 1 == words.len();
            all.push(anywhere(&|of| if begins && is_last { Expression::begins(of, word) } else { Expression::is(of, word) }));
        }
    }
    if all.is_empty() {
        all.push(anywhere(&|of| Expression::is(of, text)));
    }
    all.truncate(MOST_WORDS);
    all
}

/// What stands in quotes.
fn phrases(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).map(str::trim).filter(|phrase| !phrase.is_empty()).take(8).collect()
}

/// Anything with `phrase` in it.
fn like(phrase: &str) -> String {
    let mut pattern = String::from("%");
    for c in phrase.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
