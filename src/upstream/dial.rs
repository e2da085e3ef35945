//! From an address to a server that waits for MAIL: TCP, PROXY header, greeting, EHLO, STARTTLS.
use super::{
    fault::Fault,
    health::Server,
    settings::{Endpoint, Host},
    shared::Target,
    stream::Stream,
    tls::Tls,
    wire::Wire,
};
use crate::smtp::{Capabilities, Refusal};
use crate::telemetry::{HandshakeResult, Phase, UpstreamFault};
use bytes::Bytes;
use rustls_pki_types::ServerName;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// How we introduce ourselves.
#[derive(Debug, Clone, Default)]
pub(super) struct Opening {
    pub header: Option<Bytes>,
    /// The argument of EHLO; `None`: our own name.
    pub hello: Option<Box<str>>,
    /// It speaks for one client, so that a refusal is that client's.
    pub for_client: bool,
}

/// A server that waits for MAIL.
pub(super) struct Dialled {
    pub wire: Wire,
    pub capabilities: Arc<Capabilities>,
    /// TLS stands, and the certificate was the right one.
    pub verified: bool,
}

/// Connects to one server; all of it takes `timeouts.connect` at most.
///
/// # Errors
/// A fault (not counted yet); the MTA's refusal of the client where `opening` is for one.
pub(super) async fn dial(target: &Target, server: &Server, opening: &Opening) -> Result<Dialled, Fault> {
    let started = Instant::now();
    let dialled = match attempt(target, server, opening, target.tls.as_ref()).await {
        // As Postfix does where TLS is a wish: better in clear than not at all. Not where AUTH or
        // REQUIRETLS need it: they look at what the connection has become.
        Err(fault) if fault.kind == UpstreamFault::Tls && target.tls.as_ref().is_some_and(|tls| !tls.required) => {
            fault.count(&target.metrics);
            tracing::warn!(upstream = &*target.name, server = &*server.name, "TLS: {}; going on in clear", fault.text);
            attempt(target, server, opening, None).await?
        }
        other => other?,
    };
    target.metrics.latency(Phase::Connect, started.elapsed().as_secs_f64());
    Ok(dialled)
}

async fn attempt(target: &Target, server: &Server, opening: &Opening, tls: Option<&Tls>) -> Result<Dialled, Fault> {
    let deadline = Instant::now() + target.timeouts.connect;
    let stream = connect(&server.endpoint, deadline).await?;
    // Otherwise a reply's delayed ACK and Nagle's algorithm wait for each other.
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(Stream::Plain(stream), Arc::clone(&target.metrics));
    if let Some(header) = &opening.header {
        wire.out().extend_from_slice(header);
        wire.send(0, left(deadline)).await?;
    }
    let greeting = wire.reply(left(deadline)).await?;
    if greeting.code() != 220 {
        return Err(match Refusal::from_reply(greeting.clone()) {
            Some(refusal) if opening.for_client => Fault::refused(refusal),
            Some(refusal) if !refusal.is_permanent() => Fault::shutdown(&greeting),
            _ => Fault::new(UpstreamFault::Connect, format!("greets with {greeting}")),
        });
    }
    let name = opening.hello.as_deref().unwrap_or(&target.hostname);
    let mut capabilities = hello(&mut wire, name, opening, deadline).await?;
    let mut verified = false;
    if let Some(tls) = tls {
        if capabilities.starttls && wire.command("STARTTLS", left(deadline)).await?.code() == 220 {
            // Whoever sits between may have put replies here that we would take for the server's
            // own once TLS stands (RFC 3207 §4.2, CVE-2021-38371).
            if !wire.is_at_rest() {
                return Err(Fault::new(UpstreamFault::Garbage, "said something between its 220 to STARTTLS and the handshake"));
            }
            wire = handshake(wire, tls, target, server, deadline).await?;
            capabilities = hello(&mut wire, name, opening, deadline).await?;
            verified = tls.required;
        } else if tls.required {
            return Err(Fault::unfit("does not do STARTTLS, which is required"));
        }
    }
    // It means something only where a certificate has been checked (RFC 8689 §4.2.1).
    capabilities.require_tls &= verified;
    Ok(Dialled { wire, capabilities: Arc::new(capabilities), verified })
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

async fn connect(endpoint: &Endpoint, deadline: Instant) -> Result<TcpStream, Fault> {
    let late = |_| Fault::late("could not be connected to in time");
    let addresses: Vec<SocketAddr> = match endpoint.host() {
        Host::Ip(ip) => vec![SocketAddr::new(*ip, endpoint.port())],
        Host::Name(name) => {
            let found = timeout_at(deadline, lookup_host((&**name, endpoint.port()))).await.map_err(late)?;
            let found = found.map_err(|e| Fault::new(UpstreamFault::Connect, format!("looking up {name}: {e}")))?;
            found.take(ADDRESSES).collect()
        }
    };
    let mut last = Fault::new(UpstreamFault::Connect, "its name has no address");
    for (n, address) in addresses.iter().enumerate() {
        // What is left, shared by those that are left, so that one that hangs does not take it all.
        let share = left(deadline) / u32::try_from(addresses.len() - n).unwrap_or(1);
        last = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => Fault::new(UpstreamFault::Connect, format!("{address}: {e}")),
            Err(elapsed) => late(elapsed),
        };
    }
    Err(last)
}

/// Composes EHLO.
pub(super) fn compose_hello(wire: &mut Wire, name: &str) {
    for part in ["EHLO ", name, "\r\n"] {
        wire.out().extend_from_slice(part.as_bytes());
    }
}

/// EHLO, or HELO with a server that knows no better.
async fn hello(wire: &mut Wire, name: &str, opening: &Opening, deadline: Instant) -> Result<Capabilities, Fault> {
    compose_hello(wire, name);
    wire.send(1, left(deadline)).await?;
    let mut reply = wire.reply(left(deadline)).await?;
    if reply.is_positive() {
        return Ok(Capabilities::from_reply(&reply));
    }
    if (500..600).contains(&reply.code()) {
        reply = wire.command(&format!("HELO {name}"), left(deadline)).await?;
        if reply.is_positive() {
            return Ok(Capabilities::default());
        }
    }
    Err(match Refusal::from_reply(reply.clone()) {
        Some(refusal) if opening.for_client => Fault::refused(refusal),
        Some(refusal) if !refusal.is_permanent() => Fault::shutdown(&reply),
        Some(_) => Fault::new(UpstreamFault::Connect, format!("refuses us: {reply}")),
        None => Fault::unexpected("EHLO", &reply),
    })
}

async fn handshake(wire: Wire, tls: &Tls, target: &Target, server: &Server, deadline: Instant) -> Result<Wire, Fault> {
    let Stream::Plain(stream) = wire.into_stream() else {
        return Err(Fault::new(UpstreamFault::Tls, "TLS within TLS"));
    };
    let name = match (&tls.name, server.endpoint.host()) {
        (Some(name), _) => name.clone(),
        (None, Host::Ip(ip)) => ServerName::IpAddress((*ip).into()),
        (None, Host::Name(name)) => {
            let name = ServerName::try_from(name.to_string());
            name.map_err(|_| Fault::new(UpstreamFault::Tls, "its host name cannot stand in a certificate"))?
        }
    };
    let metrics = &target.metrics;
    let stream = match timeout_at(deadline, TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => {
            metrics.handshake(HandshakeResult::Failed);
            return Err(Fault::new(UpstreamFault::Tls, e.to_string()));
        }
        Err(_) => {
            metrics.handshake(HandshakeResult::TimedOut);
            return Err(Fault::late("did not finish the TLS handshake in time"));
        }
    };
    metrics.handshake(match stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => HandshakeResult::Tls13,
        _ => HandshakeResult::Tls12,
    });
    Ok(Wire::new(Stream::Tls(Box::new(stream)), Arc::clone(metrics)))
}
