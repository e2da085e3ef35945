//! Takes what waits, makes spans of it, and sends them, until somebody takes them or it is too late.
use super::{
    Endpoint, LAST, Waiting,
    wire::{ExportRequest, ExportResponse, PartialSuccess, ResourceSpans, Scope, ScopeSpans, WireResource, WireSpan, attribute},
};
use crate::remote::http::{Answer, Post};
use crate::telemetry::{Metrics, TraceDrop};
use crate::tls::Connector;
use aws_lc_rs::rand;
use bytes::Bytes;
use prost::Message;
use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Messages of one request.
const BATCH: usize = 500;
/// Octets of one, about; collectors take 20 MiB unless told otherwise.
const BATCH_OCTETS: usize = 4 << 20;
/// How long the first of a batch waits for others. The queue is not woken for those, so that a session
/// has to wake this thread for the first alone.
const GATHER: Duration = Duration::from_secs(1);
/// Between two tries, doubled each time up to the second.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(16);
/// A batch that nobody has taken by then is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// A receiver that wants to be left alone for longer is asked earlier.
const REST_AT_MOST: Duration = Duration::from_secs(300);
/// Characters of what a receiver says that the log has.
const SAID: usize = 200;

/// Whose spans they are.
pub(super) struct Resource<'a> {
    pub(super) service: &'a str,
    pub(super) instance: &'a str,
}

pub(super) struct Exporter {
    endpoint: Endpoint,
    tls: Option<Connector>,
    timeout: Duration,
    resource: WireResource,
    metrics: Arc<Metrics>,
    ended: CancellationToken,
    /// Messages whose traces were lost since sending began to fail.
    failing: Option<u64>,
}

/// What a receiver did with a batch.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Took it, but for so many spans, for a reason.
    Taken { rejected: u64, why: String },
    /// Wants it again, no earlier than after that time, where it says so.
    Again(Option<Duration>, String),
    /// Will never take it.
    No(String),
}

impl Exporter {
    pub(super) fn new(
        endpoint: &Endpoint,
        timeout: Duration,
        resource: &Resource<'_>,
        metrics: &Arc<Metrics>,
        ended: CancellationToken,
    ) -> io::Result<Self> {
        let tls = endpoint.url.connector(endpoint.ca.as_deref()).map_err(io::Error::other)?;
        let attributes = vec![
            attribute("service.name", resource.service),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
            attribute("service.instance.id", resource.instance),
            attribute("process.pid", u64::from(std::process::id())),
        ];
        let (endpoint, resource, metrics) = (endpoint.clone(), WireResource { attributes }, Arc::clone(metrics));
        Ok(Self { endpoint, tls, timeout, resource, metrics, ended, failing: None })
    }

    pub(super) fn start(self, waiting: mpsc::Receiver<Waiting>) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
        thread::Builder::new().name("octroi-traces".into()).spawn(move || {
            runtime.block_on(self.run(waiting));
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
        })
    }

    /// Until it is over, and then for as long as the last ones may take.
    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let (ended, metrics) = (self.ended.clone(), Arc::clone(&self.metrics));
        let too_late = async {
            ended.cancelled().await;
            sleep(LAST).await;
        };
        tokio::select! {
            () = self.export(&mut waiting) => {}
            () = too_late => {}
        }
        waiting.close();
        let mut left = 0;
        while waiting.try_recv().is_ok() {
            left += 1;
        }
        metrics.traces_dropped(TraceDrop::NotSent, left);
    }

    async fn export(&mut self, waiting: &mut mpsc::Receiver<Waiting>) {
        let ended = self.ended.clone();
        loop {
            let first = tokio::select! {
                first = waiting.recv() => first,
                () = ended.cancelled() => waiting.try_recv().ok(),
            };
            let Some(mut first) = first else { return };
            let _ = timeout(GATHER, ended.cancelled()).await;
            loop {
                self.send(Batch::gather(first, waiting, &self.metrics)).await;
                match waiting.try_recv() {
                    Ok(next) => first = next,
                    Err(_) => break,
                }
            }
        }
    }

    /// Until it is taken, or given up.
    async fn send(&mut self, mut batch: Batch) {
        let body = self.request(std::mem::take(&mut batch.spans));
        let (begun, mut pause) = (Instant::now(), AGAIN);
        loop {
            let (rest, why) = match self.try_once(&body).await {
                Said::Taken { rejected, why } => return self.taken(batch, rejected, &why),
                Said::No(why) => return self.lost(batch, TraceDrop::Refused, &why),
                Said::Again(rest, why) => (rest, why),
            };
            if begun.elapsed() >= PATIENCE || self.ended.is_cancelled() {
                return self.lost(batch, TraceDrop::NotSent, &why);
            }
            self.fails(&why);
            let rest = rest.map_or_else(|| jittered(pause), |rest| rest.min(REST_AT_MOST));
            pause = (2 * pause).min(AGAIN_AT_MOST);
            let _ = timeout(rest, self.ended.cancelled()).await;
        }
    }

    fn request(&self, spans: Vec<WireSpan>) -> Bytes {
        let scope = Scope { name: "octroi".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        let resource_spans = vec![ResourceSpans { resource: Some(self.resource.clone()), scope_spans }];
        ExportRequest { resource_spans }.encode_to_vec().into()
    }

    async fn try_once(&self, body: &Bytes) -> Said {
        let Endpoint { url, headers, .. } = &self.endpoint;
        let mut post = Post::octets(&url.path, body.clone())
            .header("Content-Type", "application/x-protobuf")
            .header("User-Agent", concat!("octroi/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            post = post.header(name, value.reveal());
        }
        match timeout(self.timeout, post.send(&url.endpoint, self.tls.as_ref())).await {
            Ok(Ok(answer)) => Said::of(&answer),
            Ok(Err(error)) => Said::Again(None, error.to_string()),
            Err(_) => Said::Again(None, format!("{}: no answer in {:?}", url.endpoint, self.timeout)),
        }
    }

    fn taken(&mut self, mut batch: Batch, rejected: u64, why: &str) {
        self.metrics.traces_exported.inc_by(batch.settle());
        self.metrics.traces_rejected_spans.inc_by(rejected);
        if rejected > 0 || !why.is_empty() {
            tracing::warn!(rejected, "the receiver of traces has something to say: {}", cut(why));
        }
        if let Some(lost) = self.failing.take() {
            tracing::info!("traces are taken again; those of {lost} messages are lost, and those that found no room in the queue");
        }
    }

    fn lost(&mut self, mut batch: Batch, why: TraceDrop, said: &str) {
        self.fails(said);
        let messages = batch.settle();
        self.metrics.traces_dropped(why, messages);
        self.failing = Some(self.failing.unwrap_or(0) + messages);
    }

    /// Says so once, until it is well again.
    fn fails(&mut self, why: &str) {
        if self.failing.is_none() {
            self.failing = Some(0);
            tracing::warn!("traces are not taken, and mail goes on without: {}", cut(why));
        }
    }
}

/// Spans of several messages. Dropped without a word about what became of them, they were not sent.
struct Batch {
    spans: Vec<WireSpan>,
    messages: u64,
    metrics: Arc<Metrics>,
}

impl Batch {
    fn gather(first: Waiting, waiting: &mut mpsc::Receiver<Waiting>, metrics: &Arc<Metrics>) -> Self {
        let mut batch = Self { spans: Vec::new(), messages: 0, metrics: Arc::clone(metrics) };
        let (mut next, mut octets) = (Some(first), 0);
        while let Some(one) = next {
            let before = batch.spans.len();
            batch.spans.extend(one.trace().wire());
            batch.messages += 1;
            octets += batch.spans.iter().skip(before).map(Message::encoded_len).sum::<usize>();
            let is_full = batch.messages >= BATCH as u64 || octets >= BATCH_OCTETS;
            next = if is_full { None } else { waiting.try_recv().ok() };
        }
        batch
    }

    /// How many messages they are of, which are accounted for now.
    fn settle(&mut self) -> u64 {
        std::mem::take(&mut self.messages)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.metrics.traces_dropped(TraceDrop::NotSent, self.messages);
    }
}

impl Said {
    /// OTLP, *OTLP/HTTP Response*: which answers ask for another try, and which for none.
    fn of(answer: &Answer) -> Self {
        let status = answer.status;
        match status.as_u16() {
            200..=299 => match ExportResponse::decode(answer.body.clone()) {
                Ok(ExportResponse { partial_success: None }) => Self::Taken { rejected: 0, why: String::new() },
                Ok(ExportResponse { partial_success: Some(PartialSuccess { rejected_spans, error_message }) }) => {
                    Self::Taken { rejected: u64::try_from(rejected_spans).unwrap_or(0), why: error_message }
                }
                Err(error) => Self::Taken { rejected: 0, why: format!("answered {status} with what is no OTLP: {error}") },
            },
            429 | 502..=504 => Self::Again(retry_after(answer), format!("answered {status}")),
            _ => Self::No(format!("answered {status}")),
        }
    }
}

/// In seconds (RFC 9110 §10.2.3); a date is not heeded, since clocks differ.
fn retry_after(answer: &Answer) -> Option<Duration> {
    answer.header("Retry-After")?.trim().parse().ok().map(Duration::from_secs)
}

/// Between half of it and all of it, so that those who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0];
    // Where there is no randomness it is the whole.
    let share = rand::fill(&mut random).map_or(255, |()| random[0]);
    pause / 2 + pause * u32::from(share) / 510
}

fn cut(text: &str) -> String {
    text.chars().take(SAID).collect()
}

#[cfg(test)]
mod tests;
