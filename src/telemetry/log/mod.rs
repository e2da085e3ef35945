//! The log: events of `tracing`, one line each, on standard error.
//!
//! Text is in Postfix's habit, so that the tools people have keep working:
//! `2026-11-25T02:22:22.123456Z info ID: from=<a@example.org>, size=289, …`; under journald the
//! time and level give way to the priority it understands. JSON has the same fields under the same
//! names. Whatever clients and upstreams said is escaped here, in one place: nothing they say can
//! end a line or look like a field of ours.
//!
//! A line costs a session no system call: it is appended to a bounded buffer that a thread of its
//! own writes out. Where nobody reads the log fast enough, lines are dropped and counted; mail goes
//! on.

#[cfg(test)]
pub(crate) mod capture;
mod escape;
mod layer;
mod sink;

use super::Metrics;
use crate::value::settings::Section;
use layer::Lines;
use sink::Sink;
use std::{io, sync::Arc, time::Duration};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub format: Format,
    pub level: LevelFilter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Text,
    /// One object a line (RFC 8259).
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Text, level: LevelFilter::INFO }
    }
}

impl Settings {
    /// Reads `[log]`.
    #[must_use]
    pub fn read(section: &mut Section<'_>) -> Self {
        let levels = [
            ("error", LevelFilter::ERROR),
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("debug", LevelFilter::DEBUG),
            ("trace", LevelFilter::TRACE),
        ];
        Self {
            format: section.choice("format", &[("text", Format::Text), ("json", Format::Json)], Format::Text),
            level: section.choice("level", &levels, LevelFilter::INFO),
        }
    }
}

/// How long the end of the process waits for a reader of the log.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a thread that panics waits; most panics are caught, and other sessions wait with it.
const PATIENCE_IN_PANIC: Duration = Duration::from_millis(50);

/// The running log; dropping it writes out what is buffered.
#[derive(Debug)]
pub struct Log(Arc<Sink>);

impl Log {
    /// Starts the writing thread and takes all events of the process from now on, panics included.
    ///
    /// # Errors
    /// The thread cannot be started, or the process has a log already.
    pub fn start(settings: Settings, metrics: &Metrics) -> io::Result<Self> {
        Self::start_on(Box::new(io::stderr()), settings, under_journald(), metrics)
    }

    /// As [`start`](Self::start), written elsewhere.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_on(out: Box<dyn io::Write + Send>, settings: Settings, journald: bool, metrics: &Metrics) -> io::Result<Self> {
        let sink = Sink::start(out, metrics.log_lines_dropped.clone())?;
        let lines = Lines::new(settings, journald, Arc::clone(&sink));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines)).map_err(io::Error::other)?;
        log_panics(Arc::clone(&sink));
        Ok(Self(sink))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(PATIENCE);
    }
}

/// A panic is a fault of ours wherever it is caught, so it belongs in the log and not beside it.
fn log_panics(sink: Arc<Sink>) {
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or("no text");
        let place = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(place, thread = thread.name(), "panic: {text}");
        sink.flush(PATIENCE_IN_PANIC);
    }));
}

/// Whether standard error really is the journal (systemd.exec(5), `$JOURNAL_STREAM`); a service
/// may have sent it elsewhere.
fn under_journald() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream.split_once(':').is_some_and(|(device, inode)| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
}
