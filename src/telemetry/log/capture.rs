//! The log of a closure, for tests.
use super::{Format, Settings, layer::Lines, sink::Sink, sink::tests::Written};
use std::{sync::Arc, time::Duration};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

/// What `log` logs at level info on this thread.
pub(crate) fn capture(format: Format, journald: bool, log: impl FnOnce()) -> String {
    let written = Written::default();
    let sink = Sink::start(Box::new(written.clone()), prometheus::IntCounter::new("dropped", "dropped").unwrap()).unwrap();
    let layer = Lines::new(Settings { format, level: LevelFilter::INFO }, journald, Arc::clone(&sink));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    sink.flush(Duration::from_secs(10));
    written.text()
}
