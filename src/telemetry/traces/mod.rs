//! Traces: spans of messages, exported over OTLP (OpenTelemetry Protocol 1.x, HTTP with protobuf) to a
//! collector, or whatever else speaks it.
//!
//! ```text
//! Entry: drop ─▶ choose ─▶ push ─▶ queue ─▶ exporter: made into spans, up to 500 or a second ─▶ POST /v1/traces
//! ```
//!
//! Whatever is wrong behind the queue (nobody there, slow, too much at once) costs traces, which are
//! counted, and never a message its time. What a session pays is a copy of the facts.
//!
//! The exporter, and what it needs of other people's code, is there with the cargo feature `otlp` only.
mod chance;
#[cfg(feature = "otlp")]
mod export;
mod settings;
mod span;
#[cfg(feature = "otlp")]
mod wire;

pub use chance::Chance;
pub use settings::{Endpoint, Settings};
pub use span::{Failure, Kind, Span, Trace, Value};

use super::{Metrics, TraceDrop};
use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that may wait.
const QUEUE: usize = 8192;
/// Octets of them.
const QUEUE_OCTETS: usize = 16 << 20;
/// How long the last ones may take when the process ends.
const LAST: Duration = Duration::from_secs(5);

/// What spans can be made of, when there is time.
pub trait Traced: fmt::Debug + Send {
    /// Octets of memory it takes while it waits, about.
    fn weight(&self) -> usize;
    /// The spans.
    fn trace(self: Box<Self>) -> Trace;
}

/// The exporter as those see it who give to it. A handle; clones share.
#[derive(Debug, Clone)]
pub struct Traces(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<Waiting>,
    octets: Arc<AtomicUsize>,
    chance: Chance,
    metrics: Arc<Metrics>,
    ended: CancellationToken,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One that waits, and what it takes meanwhile.
#[derive(Debug)]
pub struct Waiting {
    traced: Box<dyn Traced>,
    weight: usize,
    octets: Arc<AtomicUsize>,
}

impl Waiting {
    /// Its spans; it waits no longer.
    #[must_use]
    pub fn trace(self) -> Trace {
        self.octets.fetch_sub(self.weight, Ordering::Relaxed);
        self.traced.trace()
    }
}

impl Traces {
    /// Starts the exporter, on a thread of its own; `None` where there is nobody to export to.
    /// `hostname`: who we are, unless the settings say otherwise.
    ///
    /// # Errors
    /// The thread cannot be started, or a file that is named cannot be used any more.
    pub fn start(settings: &Settings, hostname: &str, metrics: &Arc<Metrics>) -> io::Result<Option<Self>> {
        let Some(endpoint) = &settings.endpoint else { return Ok(None) };
        let (traces, waiting) = Self::queue(Chance::of(settings.sample), metrics);
        #[cfg(feature = "otlp")]
        {
            let resource = export::Resource { service: &settings.service, instance: settings.instance.as_deref().unwrap_or(hostname) };
            let exporter = export::Exporter::new(endpoint, settings.timeout, &resource, metrics, traces.0.ended.clone())?;
            *traces.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(exporter.start(waiting)?);
            Ok(Some(traces))
        }
        #[cfg(not(feature = "otlp"))]
        {
            // The settings have told whoever asked for it.
            let _ = (endpoint, hostname, traces, waiting);
            Ok(None)
        }
    }

    /// A queue, and its other end.
    #[must_use]
    pub fn queue(chance: Chance, metrics: &Arc<Metrics>) -> (Self, mpsc::Receiver<Waiting>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let (octets, ended, thread) = (Arc::default(), CancellationToken::new(), Mutex::default());
        (Self(Arc::new(Inner { queue, octets, chance, metrics: Arc::clone(metrics), ended, thread })), waiting)
    }

    /// With what chance a trace of that id is exported, if it is. One that `failed` always is: nobody
    /// looks for the others first.
    #[must_use]
    pub fn choose(&self, id: [u8; 16], failed: bool) -> Option<Chance> {
        if failed {
            return Some(Chance::ALWAYS);
        }
        Some(self.0.chance).filter(|chance| chance.takes(id))
    }

    /// Takes it to be exported. Never waits.
    pub fn push(&self, traced: Box<dyn Traced>) {
        let inner = &*self.0;
        let weight = traced.weight();
        let waiting = Waiting { traced, weight, octets: Arc::clone(&inner.octets) };
        if inner.octets.fetch_add(weight, Ordering::Relaxed).saturating_add(weight) > QUEUE_OCTETS || inner.queue.try_send(waiting).is_err()
        {
            inner.octets.fetch_sub(weight, Ordering::Relaxed);
            inner.metrics.traces_dropped(TraceDrop::QueueFull, 1);
        }
    }

    /// Exports what waits and takes no more; no longer than five seconds.
    pub async fn close(&self) {
        self.0.ended.cancel();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It keeps the time itself, so as to count what it leaves; one that panicked has said so.
            let _ = tokio::time::timeout(2 * LAST, tokio::task::spawn_blocking(move || thread.join())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[derive(Debug)]
    struct Told(usize);

    impl Traced for Told {
        fn weight(&self) -> usize {
            self.0
        }
        fn trace(self: Box<Self>) -> Trace {
            let root = Span::new("message", Kind::Server, SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
            Trace { id: [1; 16], chance: Chance::ALWAYS, root, children: Vec::new() }
        }
    }

    fn dropped(metrics: &Metrics) -> u64 {
        let text = String::from_utf8(metrics.render()).unwrap();
        text.lines().find_map(|line| line.strip_prefix("octroi_traces_dropped_total{reason=\"queue_full\"} ")).unwrap().parse().unwrap()
    }

    #[test]
    fn what_finds_no_room_is_counted_and_makes_nobody_wait() {
        let metrics = Metrics::new().unwrap();
        let (traces, mut waiting) = Traces::queue(Chance::ALWAYS, &metrics);
        (0..QUEUE + 3).for_each(|_| traces.push(Box::new(Told(1))));
        assert_eq!(dropped(&metrics), 3);
        while let Ok(one) = waiting.try_recv() {
            assert_eq!(one.trace().id, [1; 16]);
        }
        (0..5).for_each(|_| traces.push(Box::new(Told(QUEUE_OCTETS / 4))));
        assert_eq!(dropped(&metrics), 4, "as many octets as that are too many");
        drop(waiting.try_recv().unwrap().trace());
        traces.push(Box::new(Told(QUEUE_OCTETS / 4)));
        assert_eq!(dropped(&metrics), 4, "there is room again");
    }

    #[test]
    fn what_failed_is_always_exported() {
        let (traces, _waiting) = Traces::queue(Chance::of(0.0), &Metrics::new().unwrap());
        assert_eq!(traces.choose([7; 16], false), None);
        assert_eq!(traces.choose([7; 16], true), Some(Chance::ALWAYS));
    }
}
