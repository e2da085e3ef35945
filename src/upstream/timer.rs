//! A deadline that costs nothing while it is not reached.
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for all waits of a connection. It stays armed for a moment that some earlier wait
/// wanted, and is set anew only when it fires too early or would fire too late: a wait that ends in
/// time, as nearly all do, touches no timer wheel.
pub(super) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    /// Must be called on a tokio runtime.
    pub(super) fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now())))
    }

    /// Ready once `deadline` has passed.
    pub(super) fn poll_passed(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let mut sleep = self.0.as_mut();
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    #[tokio::test(start_paused = true)]
    async fn every_wait_ends_at_its_own_deadline() {
        let mut timer = Timer::new();
        let start = Instant::now();
        // Later than the last, earlier than it, the same again.
        for seconds in [600, 660, 661, 661] {
            let deadline = start + Duration::from_secs(seconds);
            poll_fn(|cx| timer.poll_passed(cx, deadline)).await;
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
        // Armed for a far one, asked for a near one.
        let _ = poll_fn(|cx| Poll::Ready(timer.poll_passed(cx, Instant::now() + Duration::from_secs(600)))).await;
        poll_fn(|cx| timer.poll_passed(cx, start + Duration::from_secs(670))).await;
        assert_eq!(start.elapsed().as_secs(), 670);
    }
}
