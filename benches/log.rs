//! What a line of the log costs the session that says it: the canonical line of a message, in both
//! formats, and one that the level keeps out. The aim is under two microseconds.
//!
//! `cargo bench --bench log`
#![expect(clippy::expect_used, reason = "a benchmark that cannot start has nothing to say")]
use octroi::telemetry::{
    Metrics,
    log::{Format, Log, Settings},
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
