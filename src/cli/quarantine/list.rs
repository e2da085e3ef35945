//! `octroi quarantine list`.
use super::show;
use crate::chain::HoldClass;
use crate::cli::{
    ConfigFile, Failure,
    style::{self, Out},
};
use crate::quarantine::{Cursor, Filter, Order, Page, Quarantine, QuarantineError, State};
use crate::value::parse_duration;
use clap::{Args, value_parser};
use std::time::{Duration, SystemTime};

/// Entries that are read at once.
const PAGE: u64 = 1000;

/// List entries, newest first
///
/// Where there are more than it lists, it says so on standard error.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    file: ConfigFile,
    /// Only of this class: malware, phishing, spam, policy, incomplete.
    #[arg(long)]
    class: Option<String>,
    /// Only in this state: held, released, lost, deleted, or `all`.
    #[arg(long, default_value = "held")]
    state: String,
    /// Only from this address, or from this domain; `<>` is mail without a sender.
    #[arg(long, value_name = "ADDRESS|DOMAIN")]
    sender: Option<String>,
    /// Only to this address or domain.
    #[arg(long, value_name = "ADDRESS|DOMAIN")]
    recipient: Option<String>,
    /// Only with these words in subject, From or sender.
    #[arg(long)]
    text: Option<String>,
    /// Only entries stored at least so long ago, such as `7d`.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older: Option<Duration>,
    /// Only entries stored at most so long ago.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    newer: Option<Duration>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u64).range(1..))]
    limit: u64,
    /// All of them.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on behind this entry: the last of the page before.
    #[arg(long, value_name = "ID", value_parser = below)]
    below: Option<Cursor>,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

fn below(text: &str) -> Result<Cursor, String> {
    Cursor::parse(text).ok_or_else(|| "that is no entry's id: `octroi quarantine list` shows them".to_owned())
}

impl List {
    pub(super) async fn run(&self, out: &Out) -> Result<(), Failure> {
        let filter = self.filter()?;
        let (_, _, quarantine, _) = super::open(&self.file)?;
        let mut walk = Walk { filter, at: self.below.clone(), left: if self.all { u64::MAX } else { self.limit } };
        // What is wrong with the first page is said before anything is printed.
        let mut page = Some(walk.page(&quarantine).await?);
        let (mut listed, mut unfinished) = (0_u64, false);
        if self.json {
            out.octets(b"[");
        }
        while let Some(Page { entries, unfinished: is_unfinished, .. }) = page {
            for entry in &entries {
                if self.json {
                    let comma = if listed > 0 { ",\n" } else { "" };
                    out.octets(format!("{comma}{}", entry.json()).as_bytes());
                } else {
                    show::line(entry, out);
                }
                listed += 1;
            }
            unfinished = is_unfinished;
            page = if walk.is_over() { None } else { Some(walk.page(&quarantine).await?) };
        }
        if self.json {
            out.line("]");
        }
        match (&walk.at, listed) {
            (Some(_), _) => {
                style::complain(&format!("these are the first {listed}; there are more: `--limit`, `--all`, or `--below` the last of them"))
            }
            (None, _) if unfinished => {
                style::complain("only the newest that have these words were looked at: narrow it by more words, or by sender")
            }
            (None, 0) => style::complain("nothing is there that matches"),
            (None, _) => {}
        }
        Ok(())
    }

    fn filter(&self) -> Result<Filter, Failure> {
        let state = match self.state.as_str() {
            "all" => None,
            word => Some(State::parse(word).ok_or_else(|| Failure(format!("no state is called `{word}`")))?),
        };
        let ago = |since: Option<Duration>| since.and_then(|since| SystemTime::now().checked_sub(since));
        let class = |word: &String| HoldClass::parse(word).ok_or_else(|| Failure(format!("no class is called `{word}`")));
        Ok(Filter {
            class: self.class.as_ref().map(class).transpose()?,
            state,
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            after: ago(self.newer),
            before: ago(self.older),
            text: self.text.clone(),
            ..Filter::default()
        })
    }
}

/// The list, however far its entries are: here nobody waits for a page.
struct Walk {
    filter: Filter,
    /// Where the next page begins; `None` once there is none.
    at: Option<Cursor>,
    left: u64,
}

impl Walk {
    async fn page(&mut self, quarantine: &Quarantine) -> Result<Page, QuarantineError> {
        let page = quarantine.page(&self.filter, Order::default(), self.at.as_ref(), self.left.min(PAGE)).await?;
        self.left = self.left.saturating_sub(page.entries.len() as u64);
        self.at.clone_from(&page.next);
        Ok(page)
    }
    fn is_over(&self) -> bool {
        self.left == 0 || self.at.is_none()
    }
}
