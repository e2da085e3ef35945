//! The circuit breaker of a stage that asks somebody else: what has failed some times in a row is
//! left alone for a while, so that its time-out is not waited for with every message.
use crate::telemetry::StageMetrics;
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How many failures in a row open it, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// 0: it never opens.
    pub failures: u32,
    /// Doubled with every trial that fails, up to eight times this.
    pub pause: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(10) }
    }
}

/// Whether a stage may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Free,
    /// To find out whether it answers again.
    Trial,
    No,
}

/// Shared by all sessions.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    start: Instant,
    /// In a row.
    failures: AtomicU32,
    /// Messages that it finished with; the poison guard tells an outage from a message by it.
    successes: AtomicU64,
    /// Milliseconds after `start` that it is open until; 0: closed.
    until: AtomicU64,
    /// One was let through to try, and nothing came of it yet.
    trying: AtomicBool,
    /// Trials that failed since it was closed.
    trials: AtomicU32,
    metrics: OnceLock<Arc<StageMetrics>>,
}

impl Breaker {
    #[must_use]
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            start: Instant::now(),
            failures: AtomicU32::new(0),
            successes: AtomicU64::new(0),
            until: AtomicU64::new(0),
            trying: AtomicBool::new(false),
            trials: AtomicU32::new(0),
            metrics: OnceLock::new(),
        }
    }

    pub(super) fn attach(&self, metrics: Arc<StageMetrics>) {
        // A chain is attached once; the second time nothing would change.
        let _ = self.metrics.set(metrics);
    }

    /// Whether the stage may be asked. After a pause one caller is let through to try; the others
    /// wait for what comes of that.
    pub(super) fn lets_through(&self) -> Pass {
        let until = self.until.load(Ordering::Relaxed);
        if until == 0 {
            return Pass::Free;
        }
        let now = self.now();
        let next = now.saturating_add(self.pause());
        if now < until || self.until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Pass::No;
        }
        self.trying.store(true, Ordering::Relaxed);
        Pass::Trial
    }

    /// Nothing came of a trial: its transaction ended before the stage had anything to do. Whoever is
    /// next tries, or a client that only says MAIL and RSET could hold it open.
    pub(super) fn trial_given_up(&self) {
        if self.trying.swap(false, Ordering::Relaxed) && self.until.load(Ordering::Relaxed) != 0 {
            self.until.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Whether there is no use in asking now; unlike [`lets_through`](Self::lets_through), this does
    /// not begin a trial.
    pub(super) fn is_open(&self) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && self.now() < until
    }

    pub(super) fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// It finished with a message.
    pub(super) fn succeeded(&self, stage: &str) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.trials.store(0, Ordering::Relaxed);
        self.trying.store(false, Ordering::Relaxed);
        if self.until.swap(0, Ordering::Relaxed) != 0 {
            tracing::info!(stage, "circuit breaker closed: it answers again");
        }
    }

    /// It failed once more.
    pub(super) fn failed(&self, stage: &str) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if self.settings.failures == 0 || failures < self.settings.failures {
            return;
        }
        if self.until.load(Ordering::Relaxed) != 0 {
            // Those that were under way when it opened fail as well; only a trial counts.
            if !self.trying.swap(false, Ordering::Relaxed) {
                return;
            }
            self.trials.fetch_add(1, Ordering::Relaxed);
        } else {
            tracing::warn!(stage, failures, "circuit breaker open: it is left alone for a while");
        }
        self.until.store(self.now().saturating_add(self.pause()), Ordering::Relaxed);
    }

    fn pause(&self) -> u64 {
        let times = 1_u32 << self.trials.load(Ordering::Relaxed).min(3);
        u64::try_from(self.settings.pause.saturating_mul(times).as_millis()).unwrap_or(u64::MAX)
    }

    /// Milliseconds; never 0, which means closed.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Gives its state to the metrics. Asked for when they are read, of the configuration in force:
    /// told as it changes, the last word could be that of a breaker from before a reload.
    pub(super) fn measure(&self) {
        if let Some(metrics) = self.metrics.get() {
            metrics.breaker_open.set((self.until.load(Ordering::Relaxed) != 0).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn breaker(failures: u32) -> Breaker {
        Breaker::new(BreakerSettings { failures, pause: Duration::from_secs(10) })
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_one_trial_at_a_time_closes_it() {
        let breaker = breaker(3);
        for _ in 0..2 {
            breaker.failed("s");
        }
        breaker.succeeded("s");
        for _ in 0..2 {
            breaker.failed("s");
            assert_ne!(breaker.lets_through(), Pass::No, "not three in a row yet");
        }
        breaker.failed("s");
        assert_eq!(breaker.lets_through(), Pass::No);
        advance(Duration::from_secs(10)).await;
        assert_ne!(breaker.lets_through(), Pass::No, "the trial");
        assert_eq!(breaker.lets_through(), Pass::No, "only one");
        breaker.succeeded("s");
        assert_ne!(breaker.lets_through(), Pass::No);
    }

    #[tokio::test(start_paused = true)]
    async fn trials_that_fail_are_made_less_and_less_often() {
        let breaker = breaker(1);
        breaker.failed("s");
        let mut waited = Vec::new();
        for _ in 0..6 {
            let mut seconds = 0;
            while breaker.lets_through() == Pass::No {
                advance(Duration::from_secs(1)).await;
                seconds += 1;
            }
            waited.push(seconds);
            breaker.failed("s");
        }
        assert_eq!(waited, [10, 20, 40, 80, 80, 80]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_never_ends_is_followed_by_another() {
        let breaker = breaker(1);
        breaker.failed("s");
        advance(Duration::from_secs(10)).await;
        assert_ne!(breaker.lets_through(), Pass::No);
        advance(Duration::from_secs(10)).await;
        assert_ne!(breaker.lets_through(), Pass::No, "the first one's session was lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_trial_that_is_given_up_is_for_the_next_one() {
        let breaker = breaker(1);
        breaker.failed("s");
        advance(Duration::from_secs(10)).await;
        for _ in 0..3 {
            assert_eq!(breaker.lets_through(), Pass::Trial);
            breaker.trial_given_up();
        }
        assert_eq!(breaker.lets_through(), Pass::Trial);
        breaker.succeeded("s");
        assert_eq!(breaker.lets_through(), Pass::Free);
        breaker.trial_given_up();
        assert_eq!(breaker.lets_through(), Pass::Free);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_number_it_never_opens() {
        let breaker = breaker(0);
        for _ in 0..100 {
            breaker.failed("s");
        }
        assert_ne!(breaker.lets_through(), Pass::No);
    }
}
