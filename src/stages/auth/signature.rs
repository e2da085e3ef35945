//! DKIM (RFC 6376): which signatures count, and whether they hold.
use super::{body::BodyHash, outcome::Outcome};
use crate::message::HeaderBlock;
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DnsError, Error, MessageAuthenticator,
    common::{crypto::Algorithm, headers::Header},
    dkim,
};
use tokio::time::{Instant, timeout_at};

pub(super) const DKIM: &str = "DKIM-Signature";

/// Signatures of one message that are verified, the author's own first; each costs a look-up. RFC
/// 6376 §4.2 lets a verifier stop; real messages have one to four.
const MOST: usize = 8;
/// Comparisons of names that one signature may ask for, signed names times fields: the library looks
/// each name up in the whole header section.
const MOST_COMPARISONS: usize = 2_000_000;
/// Fields of which a reader shows one: where there are two, the signature has to cover both, or the
/// one that is shown may be somebody else's (RFC 6376 §8.15).
const ONCE: [&str; 9] =
    ["From", "Sender", "Reply-To", "To", "Subject", "Date", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"];

/// A signature, and what became of it.
#[derive(Debug)]
pub(super) struct Checked {
    pub outcome: Outcome,
    /// Why it is not `pass`; nothing that a sender wrote.
    pub why: &'static str,
    /// Where it could be read.
    pub signature: Option<dkim::Signature>,
}

/// The fields as the library wants them.
pub(super) type Fields<'x> = Vec<(&'x [u8], &'x [u8])>;

pub(super) fn fields(headers: &HeaderBlock) -> Fields<'_> {
    headers.fields().filter(|field| !field.name.is_empty()).map(|field| (field.name, field.value)).collect()
}

/// Verifies all signatures at the same time. `author`: the domain whose own go first.
pub(super) async fn check(
    authenticator: Option<&MessageAuthenticator>,
    headers: &HeaderBlock,
    bodies: &[BodyHash],
    author: &str,
    until: Instant,
) -> Vec<Checked> {
    let fields = fields(headers);
    // Counted once: there may be as many signatures as fields.
    let repeated: Vec<_> = ONCE.iter().map(|name| (*name, headers.count(name))).filter(|(_, count)| *count > 1).collect();
    let mut checked = Vec::new();
    let mut acceptable = Vec::new();
    for field in headers.all(DKIM) {
        match dkim::Signature::parse(field.value) {
            Ok(mut signature) => match objection(&signature, &repeated, fields.len()) {
                Some((outcome, why)) => checked.push(Checked { outcome, why, signature: Some(signature) }),
                None => {
                    // Reports to others are not our business, nor signatures by third parties (RFC
                    // 6541); the library would look them up.
                    signature.r = false;
                    signature.atps = None;
                    acceptable.push((field, signature));
                }
            },
            Err(error) => checked.push(Checked { outcome: Outcome::Neutral, why: words(&error), signature: None }),
        }
    }
    acceptable.sort_by_key(|(_, signature)| !is_below(author, &signature.d));
    let beyond = acceptable.split_off(acceptable.len().min(MOST));
    let verified = acceptable.into_iter().map(async |(field, signature)| {
        let message = AuthenticatedMessage {
            headers: fields.clone(),
            body_hashes: bodies.to_vec(),
            dkim_headers: vec![Header::new(field.name, field.value, signature.clone())],
            ..AuthenticatedMessage::default()
        };
        // The library counts on a hash for each form of a body that is asked for.
        let hashed = bodies.iter().any(|(form, _, _, _)| *form == signature.cb);
        let outputs = match authenticator.filter(|_| hashed) {
            Some(authenticator) => timeout_at(until, authenticator.verify_dkim(&message)).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let (outcome, why) = outputs.first().map_or((Outcome::TempError, "no answer from DNS"), |output| judge(output));
        Checked { outcome, why, signature: Some(signature) }
    });
    let mut all = join_all(verified).await;
    let too_many = |(_, signature)| Checked { outcome: Outcome::Policy, why: "too many signatures", signature: Some(signature) };
    all.extend(beyond.into_iter().map(too_many));
    all.append(&mut checked);
    all
}

fn judge(output: &DkimOutput<'_>) -> (Outcome, &'static str) {
    use mail_auth::DkimResult::{Fail, Neutral, None, Pass, PermError, TempError};
    let why = match output.result() {
        Pass | None => "",
        Neutral(error) | Fail(error) | PermError(error) | TempError(error) => words(error),
    };
    (output.result().into(), why)
}

impl Checked {
    /// For DMARC; only what passed or could not be found out has a say there.
    pub(super) fn output(&self) -> Option<DkimOutput<'_>> {
        let output = match self.outcome {
            Outcome::Pass => DkimOutput::pass(),
            Outcome::TempError => DkimOutput::temp_err(Error::Dns(DnsError::Resolver(String::new()))),
            _ => return None,
        };
        Some(output.with_signature(self.signature.as_ref()?))
    }

    /// The start of the signature proper, which tells it from others (RFC 6008).
    pub(super) fn tag(&self) -> Option<String> {
        self.signature.as_ref().and_then(|signature| signature.b.get(..6)).map(|start| STANDARD.encode(start))
    }
}

/// Why a signature does not count, however well it holds. `repeated`: which of [`ONCE`] are there more
/// often, and how often.
fn objection(signature: &dkim::Signature, repeated: &[(&str, usize)], fields: usize) -> Option<(Outcome, &'static str)> {
    let signed = |name: &str| signature.h.iter().filter(|signed| signed.trim().eq_ignore_ascii_case(name)).count();
    if signature.v != 1 {
        Some((Outcome::Neutral, "unsupported version"))
    } else if !is_host(&signature.d) || !is_host(&signature.s) {
        // What DNS is asked must be what the result names ("Composition Kills", A3).
        Some((Outcome::PermError, "no possible domain or selector"))
    } else if signed("From") == 0 {
        Some((Outcome::PermError, "From is not signed"))
    } else if signature.l != 0 {
        // Whatever is put behind the part that is signed would pass too.
        Some((Outcome::Policy, "only a part of the body is signed"))
    } else if signature.a == Algorithm::RsaSha1 {
        Some((Outcome::Policy, "SHA-1"))
    } else if signature.h.len().saturating_mul(fields + signature.h.len()) > MOST_COMPARISONS {
        Some((Outcome::Policy, "too many signed fields"))
    } else {
        let left_out = |(name, count): &(&str, usize)| matches!(signed(name), signed if signed > 0 && signed < *count);
        repeated.iter().any(left_out).then_some((Outcome::Policy, "a repeated field is not signed"))
    }
}

/// Letters, digits, hyphens, underscores and dots (RFC 1123 §2.1, RFC 8616 for A-labels); U-labels
/// are taken, as the library makes A-labels of them.
pub(super) fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (!c.is_ascii() && c.is_alphanumeric()))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether `name` is `above` or stands below it.
fn is_below(name: &str, above: &str) -> bool {
    name.len()
        .checked_sub(above.len())
        .and_then(|at| name.split_at_checked(at))
        .is_some_and(|(rest, end)| end.eq_ignore_ascii_case(above) && (rest.is_empty() || rest.ends_with('.')))
}

/// Why, in words of ours: those of the library can quote a server.
pub(super) fn words(error: &Error) -> &'static str {
    use mail_auth::{common::crypto::CryptoError, dkim::DkimError};
    match error {
        Error::Dns(DnsError::Resolver(_)) => "no answer from DNS",
        Error::Dns(_) => "no key",
        Error::ParseError => "unreadable key",
        Error::MissingParameters | Error::Base64 => "malformed signature",
        Error::Dkim(DkimError::FailedBodyHashMatch) | Error::Arc(mail_auth::arc::ArcError::FailedBodyHashMatch) => "body was changed",
        Error::Dkim(DkimError::SignatureExpired) | Error::Arc(mail_auth::arc::ArcError::SignatureExpired) => "expired",
        Error::Dkim(DkimError::RevokedPublicKey) => "key was withdrawn",
        Error::Dkim(DkimError::FailedAuidMatch) => "identity outside the domain",
        Error::Dkim(_) => "unsupported signature",
        Error::Arc(_) => "broken chain",
        Error::Crypto(CryptoError::IncompatibleAlgorithms) => "key of another kind",
        Error::Crypto(_) => "signed fields were changed",
        Error::NoHeadersFound | Error::NotAligned | Error::Io(_) | Error::Dkim2(_) => "not verified",
    }
}
