//! On whose behalf we speak: Postfix's XCLIENT (its XCLIENT_README).
//!
//! An MTA that trusts octroi's address would take mail for the whole world from it. So where
//! `identity = "xclient"` is configured, a server that does not offer XCLIENT, or not its ADDR, is
//! not used at all: the client is told "later", and the log says why.
//!
//! Postfix judges whether a connection may say XCLIENT by the client it has been told of last. So
//! after the first it takes no other from us, unless that client's address is among its
//! `smtpd_authorized_xclient_hosts` too: with `static:all`, on a service that nobody but octroi can
//! connect to, one connection serves one client after the other. Otherwise the connection is
//! *bound*: it stays with the session (as with a PROXY header) and ends with it.
use super::{
    connection::Connection,
    dial::{self, Opening},
    fault::Fault,
};
use crate::message::Client;
use crate::smtp::{Capabilities, Refusal};
use crate::telemetry::UpstreamFault;
use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// What a server was told of the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// XCLIENT commands, without CRLF. Two clients of whom these are equal are equal to the server.
    commands: Vec<String>,
    /// The argument of EHLO; `None`: our own name.
    hello: Option<Box<str>>,
}

/// Octets of a command line with its CRLF (RFC 5321 §4.5.3.1.4).
const LINE: usize = 512;
/// Postfix refuses a longer value.
const VALUE: usize = 255;

impl Identity {
    /// By EHLO alone, for a connection that a PROXY header has introduced.
    pub(super) fn by_hello(client: &Client) -> Self {
        Self { commands: Vec::new(), hello: client.hello.as_ref().map(|(domain, _)| domain.as_str().into()) }
    }

    /// By XCLIENT with the attributes `server` knows, and by EHLO.
    pub(super) fn by_xclient(client: &Client, server: &Capabilities) -> Self {
        Self { commands: commands(client, &server.xclient), ..Self::by_hello(client) }
    }

    /// What a new connection has been told.
    pub(super) fn of_opening(opening: &Opening) -> Self {
        Self { commands: Vec::new(), hello: opening.hello.clone() }
    }

    fn hello<'a>(&'a self, ours: &'a str) -> &'a str {
        self.hello.as_deref().unwrap_or(ours)
    }
}

/// Whether a server can be told who the client is.
pub(super) fn offers_xclient(server: &Capabilities) -> bool {
    server.xclient.iter().any(|attribute| &**attribute == "ADDR")
}

/// Makes `connection` speak for `wanted`, unless it does already.
///
/// # Errors
/// A fault, or the MTA's refusal of this client.
pub(super) async fn assume(connection: &mut Connection, wanted: Identity, patience: Duration) -> Result<(), Fault> {
    if connection.identity == wanted {
        return Ok(());
    }
    let ours = Arc::clone(&connection.target().hostname);
    let wire = &mut connection.wire;
    // Until the server offers XCLIENT again, it is nobody else's connection.
    connection.bound |= !wanted.commands.is_empty();
    // One by one, whatever PIPELINING says: the server begins anew after each, and Postfix takes
    // what stands behind one for improper pipelining.
    for command in &wanted.commands {
        let reply = wire.command(command, patience).await?;
        if (500..510).contains(&reply.code()) {
            // It does not understand what it has offered, which is no fault of the client.
            return Err(Fault::new(UpstreamFault::Capability, format!("answers XCLIENT with {reply}")));
        }
        if let Some(refusal) = Refusal::from_reply(reply.clone()) {
            return Err(Fault::refused(refusal));
        }
        if reply.code() != 220 {
            return Err(Fault::unexpected("XCLIENT", &reply));
        }
    }
    dial::compose_hello(wire, wanted.hello(&ours));
    wire.send(1, patience).await?;
    let reply = wire.reply(patience).await?;
    if let Some(refusal) = Refusal::from_reply(reply.clone()) {
        return Err(Fault::refused(refusal));
    }
    connection.capabilities = Arc::new(Capabilities::from_reply(&reply));
    if connection.bound && offers_xclient(&connection.capabilities) {
        connection.bound = false;
    }
    connection.identity = wanted;
    Ok(())
}

fn commands(client: &Client, offered: &[Box<str>]) -> Vec<String> {
    // ADDR and NAME last: a server may trust us less once it takes us for somebody else.
    let attributes = ["PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT", "NAME", "ADDR"];
    let mut commands: Vec<String> = Vec::new();
    let mut command = String::from("XCLIENT");
    // The two last are one command, whatever stands before.
    let mut tail = String::new();
    for attribute in attributes.into_iter().filter(|a| offered.iter().any(|o| **o == **a)) {
        let item = format!(" {attribute}={}", value(client, attribute));
        if matches!(attribute, "NAME" | "ADDR") {
            tail.push_str(&item);
            continue;
        }
        if command.len() + item.len() + 2 > LINE {
            commands.push(std::mem::replace(&mut command, String::from("XCLIENT")));
        }
        command.push_str(&item);
    }
    if command.len() + tail.len() + 2 > LINE {
        commands.push(std::mem::replace(&mut command, String::from("XCLIENT")));
    }
    command.push_str(&tail);
    commands.push(command);
    commands
}

/// Every attribute is always said, so that nothing of the client before stays.
fn value(client: &Client, attribute: &str) -> String {
    let known = match attribute {
        "ADDR" => Some(address(client.address)),
        "PORT" => Some(client.address.port().to_string()),
        "DESTADDR" => Some(address(client.local)),
        "DESTPORT" => Some(client.local.port().to_string()),
        "PROTO" => client.hello.as_ref().map(|(_, extended)| String::from(if *extended { "ESMTP" } else { "SMTP" })),
        "HELO" => client.hello.as_ref().map(|(domain, _)| xtext(domain.as_str())),
        "LOGIN" => client.account.as_deref().map(xtext),
        // NAME: we have not asked the DNS, and the server shall not believe we have.
        _ => None,
    };
    known.filter(|value| !value.is_empty() && value.len() <= VALUE).unwrap_or_else(|| "[UNAVAILABLE]".to_owned())
}

fn address(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("IPV6:{ip}"),
    }
}

/// RFC 3461 §4: what is not printable ASCII, and `+` and `=`, as `+` and two hexadecimal digits.
fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'!'..=b'~' if octet != b'+' && octet != b'=' => out.push(octet.into()),
            _ => {
                let _ = write!(out, "+{octet:02X}");
            }
        }
    }
    out
}
