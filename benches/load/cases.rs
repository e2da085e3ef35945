//! The cases: what each sends, and how its result is measured.

use crate::generator::{self, Load, Seen};
use crate::measure::{self, Latencies, Tree, Watch};
use crate::message::Template;
use crate::options::Options;
use crate::proxies::{Kind, MEMORY_LIMIT_MIB, Proxy};
use crate::report::{Cell, Table};
use crate::sink::Sink;
use crate::tls::Credentials;
use crate::{Outcome, say};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
/// What a proxy still does after its last reply (closing, logging) belongs to its messages.
const AFTERMATH: Duration = Duration::from_millis(200);
/// The queue of a Postfix behind is empty by then.
const DRAINED: Duration = Duration::from_secs(120);
/// Idle sessions settle before their memory is taken.
const SETTLING: Duration = Duration::from_secs(2);
/// In place of a size: the messages of `--mail`.
const MAIL: usize = 0;
const IDLE_SESSIONS: u32 = 10_000;
/// Handshakes under way at once while the idle sessions are opened.
const IDLE_AT_ONCE: u32 = 50;

/// A case by its name.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Part of a run that names no cases.
    pub(crate) default: bool,
    pub(crate) kind: CaseKind,
}

impl Case {
    /// Whether it sends the messages of `--mail`.
    pub(crate) fn is_of_mail(&self) -> bool {
        matches!(self.kind, CaseKind::Throughput(Throughput { size: MAIL, .. }))
    }
}

pub(crate) enum CaseKind {
    /// As fast as it goes.
    Throughput(Throughput),
    /// A connection every 10 ms with one 4 KiB message.
    Paced { tls: bool, messages: u32 },
    /// TLS sessions that say EHLO and nothing more.
    IdleTls,
    /// Peak memory of a fresh proxy that takes one message of each of these sizes in MiB.
    OneMessage(&'static [usize]),
    /// So many messages of 25 MiB, all of them under way before the first ends.
    AtOnce(u32),
}

#[derive(Clone, Copy)]
pub(crate) struct Throughput {
    /// Octets, or [`MAIL`].
    size: usize,
    per_connection: u32,
    tls: bool,
    /// Over all rounds.
    messages: u32,
    sessions: u32,
}

const fn throughput(name: &'static str, size: usize, per_connection: u32, tls: bool, messages: u32, sessions: u32) -> Case {
    // A hundred messages of 25 MiB a connection take minutes and tell nothing new.
    let default = size != MAIL && !(size > MIB && per_connection > 1);
    Case { name, default, kind: CaseKind::Throughput(Throughput { size, per_connection, tls, messages, sessions }) }
}

pub(crate) const CASES: &[Case] = &[
    throughput("4k-each", 4 << 10, 1, false, 12_000, 10),
    throughput("4k-hundred", 4 << 10, 100, false, 30_000, 10),
    throughput("1m-each", MIB, 1, false, 1_200, 4),
    throughput("1m-hundred", MIB, 100, false, 1_200, 4),
    throughput("25m-each", 25 * MIB, 1, false, 60, 4),
    throughput("25m-hundred", 25 * MIB, 100, false, 300, 1),
    throughput("tls-4k-each", 4 << 10, 1, true, 9_000, 10),
    throughput("tls-4k-hundred", 4 << 10, 100, true, 30_000, 10),
    throughput("tls-1m-each", MIB, 1, true, 900, 4),
    throughput("tls-1m-hundred", MIB, 100, true, 1_200, 4),
    throughput("tls-25m-each", 25 * MIB, 1, true, 48, 4),
    throughput("tls-25m-hundred", 25 * MIB, 100, true, 300, 1),
    throughput("mail-each", MAIL, 1, false, 12_000, 10),
    throughput("mail-hundred", MAIL, 100, false, 12_000, 10),
    Case { name: "paced", default: true, kind: CaseKind::Paced { tls: false, messages: 1_500 } },
    Case { name: "tls-paced", default: true, kind: CaseKind::Paced { tls: true, messages: 1_500 } },
    Case { name: "idle-tls", default: true, kind: CaseKind::IdleTls },
    Case { name: "one-50m", default: true, kind: CaseKind::OneMessage(&[1, 50]) },
    Case { name: "hundred-25m", default: true, kind: CaseKind::AtOnce(100) },
];

/// What all cases share.
pub(crate) struct Bench {
    pub(crate) options: Options,
    /// The messages of `--mail`.
    pub(crate) mail: Option<Arc<Template>>,
    pub(crate) sink: Sink,
    pub(crate) credentials: Credentials,
    pub(crate) proxies: Vec<Kind>,
    pub(crate) threads: u32,
    /// Number of the next run, so that a message of an earlier one is known for a stranger.
    pub(crate) run: u32,
    /// What went wrong, to be told at the end.
    pub(crate) troubles: Vec<String>,
}

impl Bench {
    /// Runs one case over all proxies.
    ///
    /// # Errors
    /// If a proxy cannot be started, or the machine lacks something. What happens to messages is
    /// kept in `troubles`.
    pub(crate) fn case(&mut self, case: &Case) -> Outcome<Vec<Row>> {
        match &case.kind {
            CaseKind::Throughput(throughput) => self.throughput(case.name, *throughput),
            CaseKind::Paced { tls, messages } => self.paced(case.name, *tls, *messages),
            CaseKind::IdleTls => self.idle(case.name),
            CaseKind::OneMessage(sizes) => self.one_message(case.name, sizes),
            CaseKind::AtOnce(messages) => self.at_once(case.name, *messages),
        }
    }

    fn start(&self, kind: Kind) -> Outcome<Proxy> {
        Proxy::start(kind, &self.options, &self.sink, &self.credentials)
    }

    /// A load with what is usual; the caller changes the rest.
    fn load(&self, proxy: &Proxy, size: usize, tls: bool) -> Load {
        Load {
            target: if tls { proxy.tls } else { proxy.plain },
            tls: tls.then(|| Arc::clone(&self.credentials.client)),
            run: 0,
            template: self.mail.clone().filter(|_| size == MAIL).unwrap_or_else(|| Arc::new(Template::new(size))),
            messages: 1,
            per_connection: 1,
            sessions: 1,
            threads: self.threads,
            pipelining: self.options.pipelining,
            hold: false,
            pace: None,
        }
    }

    /// Sends a load, compares the sink's books with what the clients were told, and keeps the
    /// differences.
    fn send(&mut self, case: &str, proxy: &Proxy, mut load: Load) -> Outcome<Seen> {
        self.run += 1;
        load.run = self.run;
        let ledger = self.sink.expect(self.run, load.messages);
        let seen = generator::send(&load)?;
        measure::pause(AFTERMATH);
        let drained = Instant::now() + DRAINED;
        while self.options.postfix_behind && ledger.is_missing_any(&seen.acknowledged) && Instant::now() < drained {
            measure::pause(AFTERMATH);
        }
        let found = ledger.audit(&seen.acknowledged);
        for trouble in found.iter().chain(&seen.failures) {
            say(&format!("  {case}, {}: {trouble}", proxy.kind));
            self.troubles.push(format!("{case}, {}: {trouble}", proxy.kind));
        }
        Ok(seen)
    }

    fn throughput(&mut self, case: &'static str, what: Throughput) -> Outcome<Vec<Row>> {
        let fewest = what.sessions * what.per_connection.min(10);
        let measured = self.in_turns(case, what.messages, fewest, |bench, proxy| Load {
            per_connection: what.per_connection,
            sessions: what.sessions,
            ..bench.load(proxy, what.size, what.tls)
        })?;
        Ok(measured.into_iter().map(Row::Throughput).collect())
    }

    fn paced(&mut self, case: &'static str, tls: bool, messages: u32) -> Outcome<Vec<Row>> {
        let pace = Some(Duration::from_millis(10));
        let measured = self.in_turns(case, messages, 50, |bench, proxy| Load { pace, ..bench.load(proxy, 4 << 10, tls) })?;
        Ok(measured.into_iter().map(Row::Paced).collect())
    }

    /// Starts every proxy and sends the rounds through them in turns, so that a neighbour's busy
    /// second falls on all alike. `usual` messages over all rounds, `fewest` in one.
    fn in_turns(&mut self, case: &'static str, usual: u32, fewest: u32, load: impl Fn(&Self, &Proxy) -> Load) -> Outcome<Vec<Measured>> {
        let rounds = self.options.rounds();
        let messages = (self.options.messages_of(usual) / rounds).max(fewest);
        let mut runners = Vec::new();
        for kind in self.proxies.clone() {
            let proxy = self.start(kind)?;
            let load = Load { messages, ..load(self, &proxy) };
            let warm_up = Load { messages: (messages / 10).max(load.sessions), ..load.clone() };
            self.send(case, &proxy, warm_up)?;
            let watch = proxy.tree().map(Watch::start);
            runners.push(Runner { proxy, load, watch, seen: Seen::default(), rates: Vec::new(), cpu: Vec::new() });
        }
        for _ in 0..rounds {
            for runner in &mut runners {
                let tree = runner.proxy.tree();
                let before = tree.map(Tree::cpu);
                let seen = self.send(case, &runner.proxy, runner.load.clone())?;
                let count = seen.acknowledged.len() as f64 + f64::from(seen.refused);
                runner.rates.push(count / seen.elapsed.as_secs_f64());
                if let Some((before, tree)) = before.zip(tree) {
                    runner.cpu.push(tree.cpu().saturating_sub(before).as_secs_f64() * 1e3 / count);
                }
                runner.seen.absorb(seen);
            }
        }
        for Runner { proxy, seen, .. } in runners.iter().filter(|runner| runner.seen.refused > 0) {
            say(&format!("  {case}, {}: {} of the messages were refused", proxy.kind, seen.refused));
        }
        Ok(runners.into_iter().map(|runner| runner.result(case)).collect())
    }

    fn idle(&mut self, case: &'static str) -> Outcome<Vec<Row>> {
        let mut rows = Vec::new();
        for kind in self.proxies.clone() {
            // Postfix has a process per session, and its limit is a hundred of them.
            if matches!(kind, Kind::Direct | Kind::Postfix) {
                continue;
            }
            // HAProxy has two descriptors a session, and so have we: the client's and the sink's.
            let most = (crate::descriptors().saturating_sub(400) / if kind == Kind::Haproxy { 2 } else { 1 }) as u32;
            let count = self.options.messages_of(IDLE_SESSIONS).min(most);
            let proxy = self.start(kind)?;
            let Some(tree) = proxy.tree() else { continue };
            // What is made once (threads, the first upstream connection) is not a session's.
            generator::idle(proxy.tls, &self.credentials.client, 10, 10, || Ok(()))?;
            measure::pause(AFTERMATH);
            let before = tree.resident();
            let after = generator::idle(proxy.tls, &self.credentials.client, count, IDLE_AT_ONCE, || {
                measure::pause(SETTLING);
                Ok(tree.resident())
            });
            match after {
                Ok(after) => rows.push(Row::Idle { case, proxy: kind, sessions: count, before, after }),
                Err(error) => self.troubles.push(format!("{case}, {kind}: {error}")),
            }
        }
        Ok(rows)
    }

    fn one_message(&mut self, case: &'static str, sizes: &[usize]) -> Outcome<Vec<Row>> {
        let mut rows = Vec::new();
        for kind in self.proxies.clone() {
            for &size in sizes {
                let proxy = self.start(kind)?;
                let Some(tree) = proxy.tree() else { continue };
                let small = self.load(&proxy, 4 << 10, false);
                self.send(case, &proxy, small)?;
                let load = self.load(&proxy, size * MIB, false);
                let watch = Watch::start(tree);
                self.send(case, &proxy, load)?;
                rows.push(Row::Memory { case, proxy: kind, what: format!("one of {size} MiB"), peak: watch.highest() });
            }
        }
        Ok(rows)
    }

    fn at_once(&mut self, case: &'static str, messages: u32) -> Outcome<Vec<Row>> {
        let mut rows = Vec::new();
        for kind in self.proxies.clone() {
            let proxy = self.start(kind)?;
            let Some(tree) = proxy.tree() else { continue };
            let mut load = self.load(&proxy, 25 * MIB, false);
            load.messages = messages;
            load.sessions = messages;
            load.hold = true;
            let watch = Watch::start(tree);
            let seen = self.send(case, &proxy, load)?;
            let what = format!("{messages} of 25 MiB at once: {} taken, {} deferred", seen.acknowledged.len(), seen.deferred);
            let peak = watch.highest();
            if kind == Kind::Octroi && peak > (MEMORY_LIMIT_MIB * MIB) as u64 {
                self.troubles.push(format!("{case}, octroi: {} MiB are more than limits.memory", peak >> 20));
            }
            rows.push(Row::Memory { case, proxy: kind, what, peak });
        }
        Ok(rows)
    }
}

/// A proxy in the middle of a case in rounds.
struct Runner {
    proxy: Proxy,
    load: Load,
    watch: Option<Watch>,
    seen: Seen,
    /// Messages a second, by round.
    rates: Vec<f64>,
    /// CPU milliseconds a message, by round.
    cpu: Vec<f64>,
}

impl Runner {
    fn result(self, case: &'static str) -> Measured {
        Measured {
            case,
            proxy: self.proxy.kind,
            rate: measure::median(self.rates),
            cpu: measure::median(self.cpu),
            dot: self.seen.dot,
            whole: self.seen.whole,
            peak: self.watch.map(|watch| watch.highest()),
            messages: self.seen.acknowledged.len() + self.seen.refused as usize,
        }
    }
}

/// The result of a case in rounds for one proxy.
pub(crate) struct Measured {
    case: &'static str,
    proxy: Kind,
    rate: Option<f64>,
    cpu: Option<f64>,
    dot: Latencies,
    whole: Latencies,
    peak: Option<u64>,
    messages: usize,
}

/// The result of a case for one proxy.
pub(crate) enum Row {
    Throughput(Measured),
    Paced(Measured),
    Idle { case: &'static str, proxy: Kind, sessions: u32, before: u64, after: u64 },
    Memory { case: &'static str, proxy: Kind, what: String, peak: u64 },
}

/// The tables of all results; those that would be empty are left out.
pub(crate) fn tables(rows: &[Row]) -> Vec<Table> {
    let throughput: Vec<_> = rows.iter().filter_map(|row| if let Row::Throughput(m) = row { Some(m) } else { None }).collect();
    let mut tables = vec![
        Table {
            title: "As fast as it goes: CPU time of the proxy, throughput, latency".into(),
            columns: vec![
                ("case", "case"),
                ("proxy", "proxy"),
                ("cpu_ms", "CPU ms/message"),
                ("to_haproxy", "× HAProxy"),
                ("to_postfix", "× Postfix"),
                ("per_second", "messages/s"),
                ("dot_p50_ms", "dot to reply p50 ms"),
                ("dot_p99_ms", "p99"),
                ("whole_p50_ms", "transaction p50 ms"),
                ("whole_p99_ms", "p99"),
                ("peak_mib", "peak MiB"),
                ("messages", "messages"),
            ],
            rows: throughput.iter().map(|measured| measured.cells(&throughput)).collect(),
        },
        Table {
            title: "A hundred 4 KiB messages a second, a connection each: what the proxy adds to the direct path".into(),
            columns: vec![
                ("case", "case"),
                ("proxy", "proxy"),
                ("dot_p50_ms", "dot to reply p50 ms"),
                ("dot_p99_ms", "p99"),
                ("whole_p50_ms", "transaction p50 ms"),
                ("whole_p99_ms", "p99"),
                ("added_p50_ms", "added p50 ms"),
                ("added_p99_ms", "added p99 ms"),
                ("cpu_ms", "CPU ms/message"),
            ],
            rows: rows.iter().filter_map(|row| row.paced(rows)).collect(),
        },
        Table {
            title: "Idle TLS sessions".into(),
            columns: vec![
                ("case", "case"),
                ("proxy", "proxy"),
                ("sessions", "sessions"),
                ("kib_per_session", "KiB/session"),
                ("resident_mib", "resident MiB"),
                ("before_mib", "before MiB"),
            ],
            rows: rows.iter().filter_map(Row::idle).collect(),
        },
        Table {
            title: format!("Peak memory by message (octroi's limits.memory is {MEMORY_LIMIT_MIB} MiB)"),
            columns: vec![("case", "case"), ("proxy", "proxy"), ("messages", "messages"), ("peak_mib", "peak MiB")],
            rows: rows.iter().filter_map(Row::memory).collect(),
        },
    ];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn mib(octets: u64) -> f64 {
    octets as f64 / MIB as f64
}

impl Measured {
    fn cells(&self, all: &[&Self]) -> Vec<Cell> {
        let ratio = |kind| {
            let other = all.iter().find(|other| other.case == self.case && other.proxy == kind)?.cpu?;
            Some(self.cpu? / other)
        };
        vec![
            Cell::text(self.case),
            Cell::text(self.proxy),
            Cell::number(self.cpu, 3),
            Cell::number(ratio(Kind::Haproxy), 2),
            Cell::number(ratio(Kind::Postfix), 2),
            Cell::number(self.rate, 0),
            Cell::number(self.dot.percentile(50), 2),
            Cell::number(self.dot.percentile(99), 2),
            Cell::number(self.whole.percentile(50), 2),
            Cell::number(self.whole.percentile(99), 2),
            Cell::number(self.peak.map(mib), 1),
            Cell::number(self.messages as f64, 0),
        ]
    }
}

impl Row {
    fn paced(&self, all: &[Self]) -> Option<Vec<Cell>> {
        let Self::Paced(measured) = self else { return None };
        let direct = all.iter().find_map(|row| match row {
            Self::Paced(other) if other.proxy == Kind::Direct && other.case == measured.case => Some(&other.whole),
            _ => None,
        });
        let added = |percent| Some(measured.whole.percentile(percent)? - direct?.percentile(percent)?);
        Some(vec![
            Cell::text(measured.case),
            Cell::text(measured.proxy),
            Cell::number(measured.dot.percentile(50), 2),
            Cell::number(measured.dot.percentile(99), 2),
            Cell::number(measured.whole.percentile(50), 2),
            Cell::number(measured.whole.percentile(99), 2),
            Cell::number(added(50), 2),
            Cell::number(added(99), 2),
            Cell::number(measured.cpu, 3),
        ])
    }

    fn idle(&self) -> Option<Vec<Cell>> {
        let Self::Idle { case, proxy, sessions, before, after } = self else { return None };
        Some(vec![
            Cell::text(case),
            Cell::text(proxy),
            Cell::number(f64::from(*sessions), 0),
            Cell::number(after.saturating_sub(*before) as f64 / 1024.0 / f64::from(*sessions), 1),
            Cell::number(mib(*after), 1),
            Cell::number(mib(*before), 1),
        ])
    }

    fn memory(&self) -> Option<Vec<Cell>> {
        let Self::Memory { case, proxy, what, peak } = self else { return None };
        Some(vec![Cell::text(case), Cell::text(proxy), Cell::text(what), Cell::number(mib(*peak), 1)])
    }
}
