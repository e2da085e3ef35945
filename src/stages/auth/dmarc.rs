//! DMARC (RFC 9989): whether what passed speaks for the author, and what their domain asks for.
use super::{author::Authorship, origin::Origin, outcome::Outcome, signature::Checked};
use mail_auth::{
    AuthenticatedMessage, MessageAuthenticator,
    dmarc::{Policy, verify::DmarcParameters},
};
use tokio::time::{Instant, timeout_at};

#[derive(Debug, Clone)]
pub(super) struct Dmarc {
    pub outcome: Outcome,
    /// What the domain asks for, for this author: `sp`, `np` and test mode taken into account. None
    /// where it has no record, or nobody knows.
    pub policy: Option<Policy>,
    /// That was judged: the author's.
    pub domain: String,
}

impl Dmarc {
    /// How bad it is, to find the worst of several authors.
    fn rank(&self) -> u8 {
        match (self.outcome, self.policy) {
            (Outcome::Fail, Some(Policy::Reject)) => 5,
            (Outcome::Fail, Some(Policy::Quarantine)) => 4,
            (Outcome::Fail, _) => 3,
            (Outcome::TempError, _) => 2,
            (Outcome::PermError, _) => 1,
            _ => 0,
        }
    }
}

/// Judges everybody whom some reader could take for the author, and says what is worst: else a
/// second author would be a way past the first one's policy. RFC 9989 leaves such messages unjudged;
/// by default they are refused for that ([`Doubt`](super::doubt::Doubt)).
pub(super) async fn check(
    authenticator: Option<&MessageAuthenticator>,
    authorship: &Authorship,
    signatures: &[Checked],
    origin: &Origin,
    until: Instant,
) -> Dmarc {
    let mut worst: Option<Dmarc> = None;
    for domain in &authorship.domains {
        let judged = of(authenticator, domain, signatures, origin, until).await;
        if worst.as_ref().is_none_or(|worst| judged.rank() > worst.rank()) {
            worst = Some(judged);
        }
    }
    worst.unwrap_or_else(|| Dmarc { outcome: Outcome::None, policy: None, domain: String::new() })
}

async fn of(authenticator: Option<&MessageAuthenticator>, domain: &str, signatures: &[Checked], origin: &Origin, until: Instant) -> Dmarc {
    // Without the local part: it is not asked for, and an `@` in it would be misread.
    let message = AuthenticatedMessage { from: vec![format!("a@{domain}")], ..AuthenticatedMessage::default() };
    let dkim: Vec<_> = signatures.iter().filter_map(Checked::output).collect();
    let parameters = DmarcParameters {
        message: &message,
        dkim_output: &dkim,
        dkim2_output: None,
        rfc5321_mail_from_domain: &origin.sender.domain,
        spf_output: &origin.sender.output,
    };
    let output = match authenticator {
        Some(authenticator) => timeout_at(until, authenticator.verify_dmarc(parameters)).await.ok(),
        None => None,
    };
    let (outcome, policy) = match output {
        Some(output) => ((&output.result()).into(), output.dmarc_record().map(|_| output.policy())),
        None => (Outcome::TempError, None),
    };
    Dmarc { outcome, policy, domain: domain.to_owned() }
}
