//! The account at an authority: made with the first order, kept, and told of another contact
//! (RFC 8555 §7.3).
use super::{AcmeError, Settings, files, on_a_thread};
use crate::value::hex;
use aws_lc_rs::digest::{SHA256, digest};
use instant_acme::{Account, AccountBuilder, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// As it is kept. Its key is the right to our certificates.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Whom the authority may write to, as far as it knows.
    contact: Vec<String>,
    credentials: AccountCredentials,
}

/// The account at this authority: the one there is, or a new one.
pub(super) async fn obtain(settings: &Settings) -> Result<Account, AcmeError> {
    match kept(settings).await? {
        Some(kept) => match known(settings, kept).await {
            Err(AcmeError::Authority(error)) if is_forgotten(&error) => another(settings).await,
            account => account,
        },
        None => new(settings).await,
    }
}

/// Another one, where the authority knows nothing of the one there is: one that is run in a house of one's
/// own may have been set up anew, and would else refuse us for ever.
pub(super) async fn another(settings: &Settings) -> Result<Account, AcmeError> {
    tracing::warn!("{} does not know our account any more", settings.directory);
    new(settings).await
}

/// Whether that is why the authority refuses (RFC 8555 §6.7).
pub(super) fn is_forgotten(error: &instant_acme::Error) -> bool {
    matches!(error, instant_acme::Error::Api(problem) if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist"))
}

/// Tells the authority of another contact, where we have an account there; asks nobody else anything.
pub(super) async fn introduce(settings: &Settings) -> Result<(), AcmeError> {
    match kept(settings).await? {
        Some(kept) if kept.contact != settings.contact => obtain(settings).await.map(drop),
        _ => Ok(()),
    }
}

async fn kept(settings: &Settings) -> Result<Option<Kept>, AcmeError> {
    let path = path(settings);
    let Some(octets) = on_a_thread(move || files::get(&path)).await? else { return Ok(None) };
    let kept = serde_json::from_slice(&octets);
    Ok(kept.inspect_err(|error| tracing::warn!("{}: {error}; another account is made", self::path(settings).display())).ok())
}

async fn known(settings: &Settings, kept: Kept) -> Result<Account, AcmeError> {
    let Kept { contact, credentials } = kept;
    // The account takes the credentials with it.
    let again = serde_json::to_value(&credentials).and_then(serde_json::from_value).map_err(|error| AcmeError::Key(error.to_string()))?;
    let account = builder(settings)?.from_credentials(credentials).await?;
    if contact != settings.contact {
        account.update_contacts(&addresses(settings)).await?;
        keep(settings, again).await?;
        tracing::info!(account = account.id(), contact = settings.contact.join(" "), "told {} of another contact", settings.directory);
    }
    Ok(account)
}

async fn new(settings: &Settings) -> Result<Account, AcmeError> {
    let contact = addresses(settings);
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder(settings)?.create(&new, settings.directory.clone(), None).await?;
    keep(settings, credentials).await?;
    tracing::info!(account = account.id(), "made an account at {}", settings.directory);
    Ok(account)
}

fn builder(settings: &Settings) -> Result<AccountBuilder, AcmeError> {
    Ok(match &settings.ca {
        Some(ca) => Account::builder_with_root(ca),
        None => Account::builder(),
    }?)
}

fn addresses(settings: &Settings) -> Vec<&str> {
    settings.contact.iter().map(String::as_str).collect()
}

async fn keep(settings: &Settings, credentials: AccountCredentials) -> Result<(), AcmeError> {
    let kept = Kept { contact: settings.contact.clone(), credentials };
    let octets = serde_json::to_vec(&kept).map_err(|error| AcmeError::Key(error.to_string()))?;
    let path = path(settings);
    on_a_thread(move || files::put(&path, &octets)).await
}

/// One for each authority.
fn path(settings: &Settings) -> PathBuf {
    let digest = digest(&SHA256, settings.directory.as_bytes());
    let name = hex(digest.as_ref().get(..8).unwrap_or_default());
    settings.folder.join(format!("account-{name}.json"))
}
