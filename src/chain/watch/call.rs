//! The only way into a stage: deadline, panic, span and timing.
use crate::{
    chain::{Configured, Mode, StageError},
    telemetry::Incomplete,
};
use futures_util::FutureExt;
use std::{any::Any, future::poll_fn, ops::Range, panic::AssertUnwindSafe, pin::pin, task::Poll, time::Duration};
use tokio::time::{Instant, timeout};
use tracing::Instrument;

pub(super) fn log_panic(configured: &Configured, event: &'static str, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(stage = %configured.name, event, panic = text.unwrap_or("without a text"), "stage panicked");
}

/// What the calls of a transaction take.
#[derive(Default)]
pub(super) struct Clock {
    pub(super) took: Duration,
    /// From the beginning of the first to the end of the last.
    pub(super) calls: Option<Range<std::time::Instant>>,
}

impl Clock {
    fn add(&mut self, call: Range<Instant>) {
        self.took += call.end - call.start;
        let end = call.end.into_std();
        self.calls.get_or_insert_with(|| call.start.into_std()..end).end = end;
    }
}

/// The only way into a stage. It has the stage's timeout, cut off at `until`; a call that answers at
/// once costs no timer.
pub(super) async fn call<T>(
    configured: &Configured,
    event: &'static str,
    until: Option<Instant>,
    clock: &mut Clock,
    call: impl Future<Output = Result<T, StageError>> + Send,
) -> Result<T, StageError> {
    let started = Instant::now();
    let span = tracing::debug_span!("stage", name = %configured.name, event);
    let mut call = pin!(AssertUnwindSafe(call.instrument(span)).catch_unwind());
    let said = match poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
        Poll::Ready(said) => Ok(said),
        Poll::Pending => {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(started));
            let own = if configured.stage.keeps_time() { configured.timeout.saturating_mul(10) } else { configured.timeout };
            timeout(own.min(left), call).await
        }
    };
    clock.add(started..Instant::now());
    match said {
        Ok(Ok(said)) => said,
        Ok(Err(panic)) => {
            log_panic(configured, event, &*panic);
            Err(StageError::Panicked)
        }
        Err(_elapsed) => Err(StageError::Late),
    }
}

/// What kind of failure it was; the breaker and the log hear of it.
pub(super) fn failed(configured: &Configured, event: &'static str, error: &StageError) -> Incomplete {
    // A message that is too large says nothing of whether the stage works.
    if !matches!(error, StageError::TooLarge(_)) {
        configured.breaker.failed(&configured.name);
    }
    // What it is to mean is not done where the stage only watches.
    let (on_error, mode) = match configured.mode {
        Mode::Enforce => (Some(configured.on_error.as_str()), None),
        Mode::Observe => (None, Some("observe")),
    };
    tracing::warn!(stage = %configured.name, event, %error, on_error, mode, "stage did not answer");
    match error {
        StageError::Late => Incomplete::Late,
        StageError::Panicked => Incomplete::Panicked,
        StageError::TooLarge(_) => Incomplete::TooLarge,
        StageError::Failed(_) => Incomplete::Failed,
    }
}
