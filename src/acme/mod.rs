//! Certificates that octroi obtains and renews itself (ACME, RFC 8555), from Let's Encrypt or any
//! other such authority.
//!
//! What is obtained is a file below `state_dir`, and files of certificates are watched: a new one is
//! taken up like one that an administrator has put there, and until then the old one is served. An
//! authority that does not answer therefore costs nothing but a line in the log and a count in the
//! metrics, until the old certificate ends.
//!
//! | file | knows |
//! | --- | --- |
//! | `settings` | `[tls.acme]` |
//! | `due` | when a certificate is to be renewed |
//! | `account` | who we are to the authority |
//! | `order` | how one is obtained |
//! | `challenge` | how the authority is shown that the name is ours (HTTP-01, §8.3; TLS-ALPN-01, RFC 8737) |
//! | `made` | certificates that are signed by nobody else |
//! | `files` | where account, key and certificate are kept |
mod account;
mod challenge;
mod due;
mod files;
mod made;
mod order;
mod settings;
#[cfg(test)]
mod tests;

pub use made::placeholder;
pub use settings::{Challenge, Settings};

use crate::telemetry::Metrics;
use crate::tls::challenge::Challenges;
use std::{io::ErrorKind, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

const NEEDS: &str = "; ports below 1024 need CAP_NET_BIND_SERVICE, which octroi.service leaves out";

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error("the authority: {0}")]
    Authority(#[from] instant_acme::Error),
    #[error("the authority offers no {0} for {1}")]
    NoChallenge(Challenge, String),
    #[error("the authority does not grant {0}: its order is {1:?}")]
    Denied(String, instant_acme::OrderStatus),
    #[error("nothing can listen for it on {0}: {1}{hint}", hint = if .1.kind() == ErrorKind::PermissionDenied { NEEDS } else { "" })]
    Listen(SocketAddr, std::io::Error),
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    #[error("no key could be made: {0}")]
    Key(String),
    #[error("not obtained in {} seconds", PATIENCE.as_secs())]
    Late,
}

/// For one order. Authorities take seconds.
const PATIENCE: Duration = Duration::from_secs(300);
/// The clock is looked at again after that: it may be set, and machines sleep.
const NAP: Duration = Duration::from_secs(3600);
/// Between an order that failed and the next, doubled each time up to the second. An authority that is
/// asked too often answers less (Let's Encrypt: five failures an hour for each name).
const AGAIN: Duration = Duration::from_secs(60);
const AGAIN_AT_MOST: Duration = Duration::from_secs(6 * 3600);

/// Who listens under TLS already, and answers authorities that ask there.
#[derive(Debug, Clone, Default)]
pub struct Console {
    /// `None`: nobody does.
    pub address: Option<SocketAddr>,
    pub challenges: Challenges,
}

/// Sees to it that there is a certificate, for as long as it is polled. Whoever wakes it by `again`
/// has mended something, and no pause is waited for.
pub async fn keep(settings: Settings, console: Console, metrics: Arc<Metrics>, again: Arc<Notify>) {
    if let Err(error) = account::introduce(&settings).await {
        tracing::warn!("the authority could not be told of another contact, and will be with the next order: {error}");
    }
    let mut failures = 0;
    loop {
        let left = due::left(&settings);
        if !left.is_zero() {
            failures = 0;
            nap(left.min(NAP), &again).await;
            continue;
        }
        let obtained = timeout(PATIENCE, order::obtain(&settings, &console)).await.unwrap_or(Err(AcmeError::Late));
        match obtained {
            Ok(()) => {
                metrics.acme_obtained.inc();
                tracing::info!(names = settings.names.join(" "), authority = settings.directory, "obtained a certificate");
            }
            Err(error) => {
                metrics.acme_failures.inc();
                let pause = pause(failures);
                failures = failures.saturating_add(1);
                tracing::warn!(names = settings.names.join(" "), again_in = ?pause, "no certificate could be obtained: {error}");
                nap(pause, &again).await;
            }
        }
    }
}

/// Waits so long, or until somebody wants it tried again.
async fn nap(pause: Duration, again: &Notify) {
    tokio::select! {
        () = sleep(pause) => {}
        () = again.notified() => {}
    }
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, AcmeError> + Send + 'static) -> Result<T, AcmeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(AcmeError::Key(error.to_string())))
}

fn pause(failures: u32) -> Duration {
    AGAIN.saturating_mul(2_u32.saturating_pow(failures)).min(AGAIN_AT_MOST)
}

/// Whether it can be served.
#[must_use]
pub fn is_there(certificate: &Path) -> bool {
    due::read(certificate).is_some()
}
