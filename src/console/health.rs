//! How octroi and what it works with are: the metrics, as the overview shows them.
use crate::chain::HoldClass;
use crate::telemetry::{Metrics, Sample};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How things stand now.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) upstreams: Vec<Upstream>,
    pub(super) stages: Vec<Stage>,
    pub(super) certificates: Vec<Certificate>,
    /// Listeners have a self-signed one, as there is none yet.
    pub(super) placeholder: bool,
    /// Whether the last reading of the configuration succeeded.
    pub(super) configuration: bool,
    pub(super) queue: Vec<Holding>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Good,
    Warning,
    Bad,
}

/// The mail servers behind one name.
#[derive(Debug, Clone)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) servers: u64,
    /// That answer.
    pub(super) healthy: u64,
}

/// A stage of the chain.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) name: String,
    /// It failed too often and is not asked for now.
    pub(super) is_open: bool,
    /// Messages it has not finished with, since octroi started.
    pub(super) incomplete: u64,
}

/// A certificate that is served.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    /// Its file, without the directory.
    pub(super) name: String,
    pub(super) expires: SystemTime,
}

/// What is held of one class.
#[derive(Debug, Clone)]
pub(super) struct Holding {
    pub(super) class: String,
    /// Entries that nobody has decided on.
    pub(super) waiting: u64,
    /// How long the oldest of them has waited.
    pub(super) oldest: Duration,
    /// When it will be removed undecided.
    pub(super) keep: Duration,
    /// Octets on disk, and how many there may be.
    pub(super) stored: u64,
    pub(super) limit: u64,
}

/// How long before its end a certificate that renews itself has long been renewed.
const SOON: Duration = Duration::from_secs(14 * 86_400);

impl Health {
    /// As `metrics` have it.
    #[must_use]
    pub(super) fn read(metrics: &Metrics) -> Self {
        let snapshot = metrics.snapshot();
        let by = |name: &str, label: &str, of: &str| {
            let mine = |sample: &&Sample| sample.label(label) == of;
            snapshot.samples(name).iter().filter(mine).map(|sample| whole(sample.value)).sum()
        };
        let names =
            |name: &str, label: &str| snapshot.samples(name).iter().map(|sample| sample.label(label).to_owned()).collect::<Vec<_>>();
        let upstream = |name: String| Upstream {
            servers: by("octroi_upstream_servers", "upstream", &name),
            healthy: by("octroi_upstream_servers_healthy", "upstream", &name),
            name,
        };
        let stage = |name: String| Stage {
            is_open: by("octroi_stage_breaker_open", "stage", &name) > 0,
            incomplete: by("octroi_stage_incomplete_total", "stage", &name),
            name,
        };
        let certificate = |sample: &Sample| {
            let file = sample.label("certificate");
            Certificate {
                name: file.rsplit('/').next().unwrap_or(file).to_owned(),
                expires: UNIX_EPOCH + Duration::from_secs(whole(sample.value)),
            }
        };
        let holding = |class: String| {
            let of = |name: &str| by(name, "class", &class);
            Holding {
                waiting: of("octroi_quarantine_waiting"),
                oldest: Duration::from_secs(of("octroi_quarantine_oldest_age_seconds")),
                keep: Duration::from_secs(of("octroi_quarantine_keep_seconds")),
                stored: of("octroi_quarantine_bytes"),
                limit: of("octroi_quarantine_limit_bytes"),
                class,
            }
        };
        Self {
            upstreams: names("octroi_upstream_servers", "upstream").into_iter().map(upstream).collect(),
            stages: names("octroi_stage_breaker_open", "stage").into_iter().map(stage).collect(),
            certificates: snapshot.samples("octroi_tls_certificate_expiry_timestamp_seconds").iter().map(certificate).collect(),
            placeholder: snapshot.total("octroi_tls_placeholder") > 0.0,
            configuration: snapshot.total("octroi_config_last_reload_successful") > 0.0,
            // As the quarantine lists them, the worst first.
            queue: HoldClass::ALL.into_iter().map(|class| holding(class.as_str().to_owned())).collect(),
        }
    }

    /// Entries that nobody has decided on.
    #[must_use]
    pub(super) fn waiting(&self) -> u64 {
        self.queue.iter().map(|holding| holding.waiting).sum()
    }
}

impl Upstream {
    #[must_use]
    pub(super) fn level(&self) -> Level {
        match self.healthy {
            0 => Level::Bad,
            healthy if healthy < self.servers => Level::Warning,
            _ => Level::Good,
        }
    }
}

impl Stage {
    #[must_use]
    pub(super) fn level(&self) -> Level {
        match (self.is_open, self.incomplete) {
            (true, _) => Level::Bad,
            (false, 0) => Level::Good,
            (false, _) => Level::Warning,
        }
    }
}

impl Certificate {
    /// Days until it ends; negative when it has.
    #[must_use]
    pub(super) fn days(&self, now: &SystemTime) -> i64 {
        let days = |span: Duration| i64::try_from(span.as_secs() / 86_400).unwrap_or(i64::MAX);
        self.expires.duration_since(*now).map_or_else(|error| -1 - days(error.duration()), days)
    }
    #[must_use]
    pub(super) fn level(&self, now: &SystemTime) -> Level {
        match self.expires.duration_since(*now) {
            Err(_) => Level::Bad,
            Ok(left) if left < SOON => Level::Warning,
            Ok(_) => Level::Good,
        }
    }
}

impl Holding {
    /// Whether something is about to be removed that nobody has looked at, or the next is refused
    /// for want of room.
    #[must_use]
    pub(super) fn level(&self) -> Level {
        if self.waiting > 0 && self.oldest * 10 > self.keep * 9 || self.stored / 9 >= self.limit.max(10) / 10 {
            Level::Warning
        } else {
            Level::Good
        }
    }
}

impl Level {
    /// For style sheets.
    #[must_use]
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// Counts and gauges of ours are whole and never negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
fn whole(value: f64) -> u64 {
    value.clamp(0.0, 9e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Incomplete;

    #[test]
    fn health_is_what_the_metrics_say() {
        let metrics = Metrics::new().unwrap();
        let upstream = metrics.upstream("default");
        upstream.servers.set(2);
        upstream.healthy.set(1);
        metrics.upstream("spare").servers.set(1);
        metrics.stage("clamd").breaker_open.set(1);
        metrics.stage("auth").incomplete(Incomplete::Late);
        let _mime = metrics.stage("mime");
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        metrics.certificates("gate", [("/etc/octroi/tls/fullchain.pem".into(), 1_800_000_000 + 3 * 86_400 + 1)].into_iter());
        assert!(!Health::read(&metrics).placeholder);
        metrics.tls_placeholder.set(1);
        let health = Health::read(&metrics);
        assert!(health.placeholder);
        let levels: Vec<_> = health.upstreams.iter().map(|upstream| (&*upstream.name, upstream.level())).collect();
        assert_eq!(levels, [("default", Level::Warning), ("spare", Level::Bad)]);
        let levels: Vec<_> = health.stages.iter().map(|stage| (&*stage.name, stage.level())).collect();
        assert_eq!(levels, [("auth", Level::Warning), ("clamd", Level::Bad), ("mime", Level::Good)]);
        let certificate = health.certificates.first().unwrap();
        assert_eq!((&*certificate.name, certificate.days(&now), certificate.level(&now)), ("fullchain.pem", 3, Level::Warning));
        let later = now + Duration::from_secs(5 * 86_400);
        assert_eq!((certificate.days(&later), certificate.level(&later)), (-2, Level::Bad));
        assert_eq!(health.queue.len(), 5);
    }

    #[test]
    fn what_is_nearly_too_old_or_nearly_full_is_said() {
        let day = Duration::from_secs(86_400);
        let holding =
            |waiting, oldest, stored| Holding { class: "spam".into(), waiting, oldest: day * oldest, keep: day * 30, stored, limit: 100 };
        assert_eq!(holding(1, 20, 10).level(), Level::Good);
        assert_eq!(holding(1, 28, 10).level(), Level::Warning);
        assert_eq!(holding(0, 28, 10).level(), Level::Good);
        assert_eq!(holding(0, 0, 95).level(), Level::Warning);
    }
}
