//! `/overview`: the last day or week in numbers, and how things stand.
use crate::accounts::Permission;
use crate::console::{
    Console, Error, Frame, Number, Viewer,
    chart::{Bar, Chart},
    health::Health,
    moment, page,
};
use crate::journal::Summary;
use askama::Template;
use axum::{
    Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/overview", get(overview))
}

/// What became of messages, in the order of the bars from the bottom up.
const VERDICTS: &[&str] = &["delivered", "quarantined", "rejected", "deferred", "discarded", "lost"];
const HOUR: u64 = 3600;
/// Rows of a list of the most frequent.
const MOST: usize = 8;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Asked {
    span: String,
}

/// What is looked at: a name in the address and in texts, how many bars, hours of each.
struct Span {
    name: &'static str,
    bars: u64,
    hours: u64,
}

const SPANS: [Span; 3] =
    [Span { name: "day", bars: 24, hours: 1 }, Span { name: "week", bars: 28, hours: 6 }, Span { name: "month", bars: 30, hours: 24 }];

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    now: SystemTime,
    span: &'static str,
    health: Health,
    numbers: Numbers,
    may_review: bool,
}

/// What the journal says.
struct Numbers {
    chart: Chart,
    summary: Summary,
    /// By verdict, in the order of [`VERDICTS`].
    verdicts: Vec<(&'static str, u64)>,
    total: u64,
}

async fn overview(State(console): State<Console>, viewer: Viewer, frame: Frame, Query(asked): Query<Asked>) -> Result<Response, Error> {
    viewer.need(Permission::OverviewRead)?;
    let [day, ..] = &SPANS;
    let span = SPANS.iter().find(|span| span.name == asked.span).unwrap_or(day);
    let now = SystemTime::now();
    let begins = span.begins(now);
    let numbers = Numbers::of(console.journal().summary(begins, now).await?, span, begins);
    let health = console.health();
    let may_review = viewer.may(Permission::QuarantineRead);
    page(Overview { frame: frame.at("overview"), now, span: span.name, health, numbers, may_review })
}

impl Overview {
    const SPANS: [Span; 3] = SPANS;

    fn is_span(&self, name: &str) -> bool {
        self.span == name
    }

    /// What there was none of is left out, but for the three that everybody looks for.
    fn is_shown(&self, verdict: &str, count: impl Number) -> bool {
        count.get() > 0 || matches!(verdict, "delivered" | "quarantined" | "rejected")
    }

    /// The first of a list, and how long each bar is in percent of the first.
    fn most<'a>(&self, counts: &'a [(String, u64)]) -> Vec<(&'a str, u64, u64)> {
        let top = counts.first().map_or(1, |(_, count)| (*count).max(1));
        counts.iter().take(MOST).map(|(name, count)| (name.as_str(), *count, count.saturating_mul(100) / top)).collect()
    }
}

impl Span {
    /// The beginning of its first bar: the last one is under way.
    fn begins(&self, now: SystemTime) -> SystemTime {
        let length = self.hours * HOUR;
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let last = seconds - seconds % length;
        UNIX_EPOCH + Duration::from_secs(last.saturating_sub((self.bars - 1) * length))
    }
}

impl Numbers {
    fn of(summary: Summary, span: &Span, begins: SystemTime) -> Self {
        let length = span.hours * HOUR;
        let mut bars: Vec<_> = (0..span.bars)
            .map(|n| {
                let title = moment(&(begins + Duration::from_secs(n * length)));
                // A day by its date, an hour by its time.
                let label = if span.hours < 24 { title.get(11..16) } else { title.get(5..10) };
                Bar {
                    label: label.unwrap_or_default().to_owned(),
                    title: title.get(..16).unwrap_or_default().to_owned(),
                    parts: vec![0; VERDICTS.len()],
                }
            })
            .collect();
        for hour in &summary.hours {
            let since = hour.begins.duration_since(begins).unwrap_or_default().as_secs();
            let bar = usize::try_from(since / length).ok().and_then(|n| bars.get_mut(n));
            let Some(bar) = bar else { continue };
            for (part, verdict) in bar.parts.iter_mut().zip(VERDICTS) {
                *part += hour.messages.get(*verdict).copied().unwrap_or(0);
            }
        }
        let by = summary.messages();
        let verdicts: Vec<_> = VERDICTS.iter().map(|verdict| (*verdict, by.get(verdict).copied().unwrap_or(0))).collect();
        let total = verdicts.iter().map(|(_, count)| count).sum();
        Self { chart: Chart { kinds: VERDICTS, bars }, summary, verdicts, total }
    }

    /// In percent of all messages.
    fn share(&self, count: impl Number, frame: &Frame) -> String {
        frame.language.percent(count.get(), self.total)
    }

    fn refused_commands(&self) -> u64 {
        self.summary.hours.iter().flat_map(|hour| hour.commands.values()).sum()
    }

    fn turned_away(&self) -> u64 {
        self.summary.hours.iter().map(|hour| hour.connections).sum()
    }

    fn violations(&self) -> u64 {
        self.summary.violations.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Hour;
    use std::collections::BTreeMap;

    #[test]
    fn every_hour_falls_into_its_bar_and_the_last_one_is_now() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for span in &SPANS {
            let begins = span.begins(now);
            let hours = (0..span.bars * span.hours).map(|n| Hour {
                begins: begins + Duration::from_secs(n * HOUR),
                messages: BTreeMap::from([("delivered".to_owned(), 1), ("rejected".to_owned(), 2), ("of another version".to_owned(), 5)]),
                commands: BTreeMap::new(),
                connections: 0,
                violations: 0,
            });
            let numbers = Numbers::of(Summary { hours: hours.collect(), ..Summary::default() }, span, begins);
            assert!(numbers.chart.bars.iter().all(|bar| bar.parts == [span.hours, 0, span.hours * 2, 0, 0, 0]), "{}", span.name);
            let last = begins + Duration::from_secs((span.bars - 1) * span.hours * HOUR);
            assert!(last <= now && now < last + Duration::from_secs(span.hours * HOUR));
        }
    }
}
