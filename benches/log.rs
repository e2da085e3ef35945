//! What being told of costs a message, in both formats of the log: its canonical line alone (the aim
//! is under two microseconds), its whole record from MAIL to settlement, line and metrics included
//! (under three), that of a session, and a line that the level keeps out.
//!
//! `cargo bench --bench log`
#![expect(clippy::expect_used, reason = "a benchmark that cannot start has nothing to say")]
use octroi::{
    chain::{Conclusion, StageTiming},
    journal::{End, Journal, Session},
    message::Client,
    smtp::{Address, Domain, Mail, Recipient, Reply, ReversePath},
    telemetry::{
        Metrics, StageResult,
        log::{Format, Log, Settings},
        traces::{Chance, Traces},
    },
};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};
use tracing::level_filters::LevelFilter;

/// One log a process: the format comes from the environment, and the benchmark starts itself once
/// more for the other.
fn main() {
    let json = std::env::var_os("OCTROI_BENCH_JSON").is_some();
    let metrics = Metrics::new().expect("metrics");
    let settings = Settings { format: if json { Format::Json } else { Format::Text }, level: LevelFilter::INFO };
    let log = Log::start_on(Box::new(std::io::sink()), settings, false, &metrics).expect("log");
    divan::main();
    drop(log);
    let dropped = metrics.log_lines_dropped.get();
    assert_eq!(dropped, 0, "lines were dropped: the writer did not keep up, and the figures mean nothing");
    if !json {
        let this = std::env::current_exe().expect("the path of this benchmark");
        let again = std::process::Command::new(this).args(std::env::args_os().skip(1)).env("OCTROI_BENCH_JSON", "1").status();
        assert!(again.expect("this benchmark again").success());
    }
}

#[divan::bench(sample_size = 100)]
fn message() {
    tracing::info!(
        target: "octroi",
        id = "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        session = "01ARZ3NDEKTSV4RRFFQ69G5FAW",
        client = %divan::black_box("192.0.2.1"),
        helo = "mail.example.org",
        proto = "ESMTPS",
        tls = "TLSv1.3",
        cipher = "TLS_AES_256_GCM_SHA384",
        from = "alice@example.org",
        to = "bob@example.com",
        nrcpt = 1,
        size = 4096,
        message_id = "20261125022222.12345@mail.example.org",
        verdict = "delivered",
        upstream = "default",
        queue_id = "4cGZ2R3Y4Vz9sQ",
        reply = %divan::black_box("250 2.0.0 Ok: queued as 4cGZ2R3Y4Vz9sQ"),
        delay = 0.123,
        delays = "0.01/0.02/0.08/0.11",
    );
}

#[divan::bench]
fn below_the_level() {
    tracing::debug!(target: "octroi", id = "01ARZ3NDEKTSV4RRFFQ69G5FAV", size = divan::black_box(4096), "not written");
}

static JOURNAL: LazyLock<Arc<Journal>> = LazyLock::new(|| {
    let metrics = Metrics::new().expect("metrics");
    Arc::new(Journal::new(Arc::clone(&metrics), metrics.listener("mx"), [].into()))
});

static CLIENT: LazyLock<Arc<Client>> = LazyLock::new(|| {
    Arc::new(Client {
        listener: "mx".into(),
        address: "192.0.2.1:4711".parse().expect("an address"),
        local: "192.0.2.2:25".parse().expect("an address"),
        tls: None,
        hello: Domain::parse("mail.example.org").map(|domain| (domain, true)),
        account: None,
        mechanism: None,
    })
});

fn address(text: &str) -> Address {
    Address::parse(text, false).expect("an address")
}

#[divan::bench(sample_size = 100)]
fn record_of_a_message(bencher: divan::Bencher<'_, '_>) {
    tell(bencher, &JOURNAL, || {});
}

/// The same where all are exported as traces: what a session pays, without the exporter's own work.
#[divan::bench(sample_size = 100)]
fn record_of_a_message_with_a_trace(bencher: divan::Bencher<'_, '_>) {
    let (traces, mut waiting) = Traces::queue(Chance::ALWAYS, &Metrics::new().expect("metrics"));
    let journal = Arc::new(Journal::clone(&JOURNAL).with_traces(Some(traces)));
    tell(bencher, &journal, || drop(waiting.try_recv()));
}

fn tell(bencher: divan::Bencher<'_, '_>, journal: &Arc<Journal>, mut afterwards: impl FnMut()) {
    let now = Instant::now();
    let session = Session::open(journal, &CLIENT, now);
    let (mail, recipient) = (Mail::new(ReversePath(Some(address("alice@example.org")))), Recipient::new(address("bob@example.com")));
    let (upstream, reply): (Arc<str>, _) = ("default".into(), Reply::new(250, "2.0.0 Ok: queued as 4cGZ2R3Y4Vz9sQ"));
    bencher.bench_local(|| {
        let mut entry = session.begin(octroi::value::Id::generate(), &mail, now);
        entry.recipient(&recipient);
        entry.receiving();
        entry.headers(Some("<20261125022222.12345@mail.example.org>".into()), Some("lunch".into()), None);
        entry.received(4096, now);
        let timing = StageTiming {
            stage: "limits".into(),
            took: Duration::from_micros(20),
            calls: None,
            result: StageResult::Pass,
            incomplete: None,
            findings: 0,
        };
        entry.concluded(&mut Conclusion { timings: vec![timing], ..Conclusion::default() }, now);
        entry.upstream(&upstream);
        entry.delivered(&reply, now);
        drop(entry);
        afterwards();
    });
}

#[divan::bench(sample_size = 100)]
fn record_of_a_session() {
    let mut session = Session::open(&JOURNAL, &CLIENT, Instant::now());
    session.count(&[0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], &[5, 1, 0, 0]);
    session.octets(4200, 300);
    session.message();
    session.end(End::Quit);
}
