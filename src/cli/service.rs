//! What a service owes its manager: notifications, a watchdog.
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::runtime::Handle;

/// Tells systemd, where it runs us (sd_notify(3)); elsewhere this does nothing.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::warn!("sd_notify: {e}");
    }
}

/// What a reload is announced with: systemd wants to know when it began.
pub(super) fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(e) => tracing::warn!("sd_notify: {e}"),
    }
}

/// Feeds the watchdog, twice as often as `WatchdogSec=` asks, for as long as all `event_loops` turn;
/// for ever. Does nothing for ever where there is no watchdog.
pub(super) async fn feed_watchdog(event_loops: impl Fn() -> Vec<Handle>) {
    let Some(within) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let every = (within / 2).max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        if turn(event_loops(), every / 2).await {
            notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("a worker hangs: the watchdog is not fed");
        }
    }
}

/// Whether all of them run a task that does nothing, `within` that time.
async fn turn(event_loops: Vec<Handle>, within: Duration) -> bool {
    let all = async {
        for event_loop in event_loops {
            // One that has ended is not one that hangs.
            let _ = event_loop.spawn(async {}).await;
        }
    };
    tokio::time::timeout(within, all).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_loop_that_hangs_is_found_out() {
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let handle = runtime.handle().clone();
        assert!(turn(vec![handle.clone()], Duration::from_secs(10)).await);
        handle.spawn(async move { hang.recv() });
        assert!(!turn(vec![handle.clone()], Duration::from_millis(50)).await);
        drop(release);
        assert!(turn(vec![handle.clone()], Duration::from_secs(10)).await);
        runtime.shutdown_background();
        assert!(turn(vec![handle], Duration::from_secs(10)).await, "it has ended");
    }
}
