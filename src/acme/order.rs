//! How a certificate is obtained: order, challenges, key, certificate (RFC 8555 §7.4).
use super::{AcmeError, Challenge, Console, Settings, account, challenge, due, files, made, on_a_thread};
use crate::tls::challenge::Challenges;
use instant_acme::{AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, RetryPolicy};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::time::Duration;
use tokio::net::TcpListener;

/// Obtains a certificate with a new key and puts both where they are served from.
///
/// # Errors
/// There is none; what was there stays.
pub(super) async fn obtain(settings: &Settings, console: &Console) -> Result<(), AcmeError> {
    let account = account::obtain(settings).await?;
    let names: Vec<_> = settings.names.iter().cloned().map(Identifier::Dns).collect();
    let new = NewOrder::new(&names);
    let mut order = match account.new_order(&new).await {
        Err(error) if account::is_forgotten(&error) => account::another(settings).await?.new_order(&new).await?,
        order => order?,
    };
    let answers = Answers { http: challenge::Answers::default(), tls: Shown(&console.challenges) };
    // It ends with the order, whatever becomes of that.
    tokio::select! {
        obtained = fulfil(settings, &mut order, &answers) => obtained,
        Err(error) = answer(settings, console, &answers) => Err(error),
    }
}

/// What an authority is told that asks.
struct Answers<'a> {
    http: challenge::Answers,
    tls: Shown<'a>,
}

/// Shown until this is dropped, and no longer.
struct Shown<'a>(&'a Challenges);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// Answers for as long as it is polled; the console does, where it is the one who is asked.
async fn answer(settings: &Settings, console: &Console, answers: &Answers<'_>) -> Result<(), AcmeError> {
    if console.address.is_some_and(|address| settings.is_asked_at(address)) {
        return std::future::pending().await;
    }
    let listener = TcpListener::bind(settings.challenge_address).await;
    let listener = listener.map_err(|error| AcmeError::Listen(settings.challenge_address, error))?;
    match settings.challenge {
        Challenge::Http => challenge::serve(listener, |stream| challenge::answer(stream, answers.http.clone())).await,
        Challenge::TlsAlpn => {
            let acceptor = answers.tls.0.acceptor().map_err(|error| AcmeError::Key(error.to_string()))?;
            challenge::serve(listener, move |stream| acceptor.clone().answer(stream)).await;
        }
    }
    Err(AcmeError::Late)
}

async fn fulfil(settings: &Settings, order: &mut Order, answers: &Answers<'_>) -> Result<(), AcmeError> {
    let kind = match settings.challenge {
        Challenge::Http => ChallengeType::Http01,
        Challenge::TlsAlpn => ChallengeType::TlsAlpn01,
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let challenge = authorization.challenge(kind.clone());
        let mut challenge = challenge.ok_or_else(|| AcmeError::NoChallenge(settings.challenge, name.clone()))?;
        let said = challenge.key_authorization();
        match settings.challenge {
            Challenge::Http => answers.http.add(&challenge.token, said.as_str()),
            Challenge::TlsAlpn => {
                let (certificate, key) = made::answer(&name, said.digest().as_ref())?;
                answers.tls.0.add(&name, certificate, &key).map_err(|error| AcmeError::Key(error.to_string()))?;
            }
        }
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
