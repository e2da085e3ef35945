//! How a certificate is obtained: order, challenges, key, certificate (RFC 8555 §7.4).
use super::{
    AcmeError, Settings, account,
    challenge::{self, Answers},
    due, files, on_a_thread,
};
use instant_acme::{AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, RetryPolicy};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::time::Duration;

/// Obtains a certificate with a new key and puts both where they are served from.
///
/// # Errors
/// There is none; what was there stays.
pub(super) async fn obtain(settings: &Settings) -> Result<(), AcmeError> {
    let account = account::obtain(settings).await?;
    let names: Vec<_> = settings.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let listener = challenge::listen(settings.challenge_address).await;
    let listener = listener.map_err(|error| AcmeError::Listen(settings.challenge_address, error))?;
    let answers = Answers::default();
    // It ends with the order, whatever becomes of that.
    tokio::select! {
        obtained = fulfil(settings, &mut order, &answers) => obtained,
        () = challenge::serve(listener, answers.clone()) => Err(AcmeError::Late),
    }
}

async fn fulfil(settings: &Settings, order: &mut Order, answers: &Answers) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let mut challenge = authorization.challenge(ChallengeType::Http01).ok_or(AcmeError::NoChallenge(name))?;
        answers.add(&challenge.token, challenge.key_authorization().as_str());
        challenge.set_ready().await?;
    }
    let patient = RetryPolicy::new().initial_delay(Duration::from_millis(500)).timeout(Duration::from_secs(120));
    let status = order.poll_ready(&patient).await?;
    if status != OrderStatus::Ready {
        return Err(AcmeError::Denied(settings.names.join(" "), status));
    }
    let (key, request) = request(settings)?;
    order.finalize_csr(&request).await?;
    let certificates = order.poll_certificate(&patient).await?;
    let path = settings.certificate();
    let both = format!("{}{certificates}\n{}", due::preamble(&settings.directory), key.serialize_pem());
    on_a_thread(move || files::put(&path, both.as_bytes())).await
}

/// A new key and the request for a certificate for it.
fn request(settings: &Settings) -> Result<(KeyPair, Vec<u8>), AcmeError> {
    let wrong = |error: rcgen::Error| AcmeError::Key(error.to_string());
    let key = KeyPair::generate().map_err(wrong)?;
    let mut params = CertificateParams::new(settings.names.clone()).map_err(wrong)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(wrong)?;
    Ok((key, request.der().to_vec()))
}
