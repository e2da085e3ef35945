//! What the connection and the envelope show: the client's name (iprev, RFC 8601 §3) and SPF
//! (RFC 7208), known before any of the message is.
use super::outcome::Outcome;
use crate::{
    dns::{self, DnsError},
    message::Client,
    smtp::Mail,
};
use mail_auth::{MessageAuthenticator, SpfOutput, SpfResult, spf::verify::SpfParameters};
use std::net::IpAddr;
use tokio::time::{Instant, timeout_at};

/// Whether the client's address has a name that points back to it.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub outcome: Outcome,
    pub name: Option<Box<str>>,
}

/// What SPF says of a domain.
#[derive(Debug, Clone)]
pub(super) struct Spf {
    pub outcome: Outcome,
    /// In lower case.
    pub domain: String,
    /// For DMARC.
    pub output: SpfOutput,
}

/// The envelope's side of a transaction.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub name: Name,
    /// Of the host's own name; none where that is no domain.
    pub hello: Option<Spf>,
    /// Of the reverse-path, or of the host's name where that is null (RFC 7208 §2.4).
    pub sender: Spf,
    pub null_sender: bool,
}

impl Origin {
    /// `name`: where it is known from the session's last transaction.
    pub(super) async fn of(
        client: &Client,
        mail: &Mail,
        hostname: &str,
        resolver: &dns::Resolver,
        name: Option<Name>,
        until: Instant,
    ) -> Self {
        let address = client.address.ip().to_canonical();
        let said = client.hello.as_ref().map_or("", |(domain, _)| domain.as_str()).trim_end_matches('.').to_ascii_lowercase();
        let said = if said.contains('.') && !said.starts_with('[') { said } else { String::new() };
        let authenticator = resolver.here().map(MessageAuthenticator);
        let name = async {
            match name.filter(|name| name.outcome != Outcome::TempError) {
                Some(known) => known,
                None => confirmed(resolver, address, until).await,
            }
        };
        let spf = async |domain: &str, parameters| spf(authenticator.as_ref(), domain, parameters, until).await;
        let hello =
            async { if said.is_empty() { None } else { Some(spf(&said, SpfParameters::verify_ehlo(address, &said, hostname)).await) } };
        let sender = async {
            let path = mail.reverse_path.0.as_ref().filter(|path| !path.domain().is_empty())?;
            Some(spf(path.domain(), SpfParameters::verify_mail_from(address, &said, hostname, path.as_str())).await)
        };
        let (name, hello, sender) = tokio::join!(name, Box::pin(hello), Box::pin(sender));
        let null_sender = mail.reverse_path.0.is_none();
        let sender = sender.or_else(|| hello.clone()).unwrap_or_else(|| Spf::new(&said, SpfOutput::new(said.clone())));
        Self { name, hello, sender, null_sender }
    }

    /// Of those that were asked.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = Outcome> {
        self.hello.iter().map(|spf| spf.outcome).chain([self.sender.outcome])
    }
}

impl Spf {
    fn new(domain: &str, output: SpfOutput) -> Self {
        Self { outcome: output.result().into(), domain: domain.to_ascii_lowercase(), output }
    }
}

async fn confirmed(resolver: &dns::Resolver, address: IpAddr, until: Instant) -> Name {
    // That an address has no name and that none of its names points back are one to us.
    let (outcome, name) = match timeout_at(until, resolver.confirmed_name(address)).await {
        Ok(Ok(Some(name))) => (Outcome::Pass, Some(name)),
        Ok(Ok(None)) => (Outcome::Fail, None),
        Ok(Err(_)) | Err(_) => (Outcome::TempError, None),
    };
    Name { outcome, name }
}

async fn spf(authenticator: Result<&MessageAuthenticator, &DnsError>, domain: &str, parameters: SpfParameters<'_>, until: Instant) -> Spf {
    let output = match authenticator {
        Ok(authenticator) => timeout_at(until, authenticator.verify_spf(parameters)).await.ok(),
        Err(_) => None,
    };
    let unknown = || SpfOutput::new(domain.to_owned()).with_result(SpfResult::TempError);
    Spf::new(domain, output.unwrap_or_else(unknown))
}
