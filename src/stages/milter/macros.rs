//! The macros that Postfix sends, at the steps where it sends them (MILTER_README).
use super::{
    negotiation::Agreed,
    wire::{Wire, put_text},
};
use crate::{
    message::Client,
    smtp::{Mail, Recipient},
    value::Id,
};
use bytes::BufMut;

const MACROS: u8 = b'D';

/// A step, its command, its place in the list that a filter may send (`SMFIM_…`), and what is sent
/// where it has sent none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    command: u8,
    place: usize,
    usual: &'static [&'static str],
}

pub(super) const CONNECT: Step = Step { command: b'C', place: 0, usual: &["j", "daemon_name", "daemon_addr", "daemon_port", "v", "_"] };
pub(super) const HELO: Step =
    Step { command: b'H', place: 1, usual: &["tls_version", "cipher", "cipher_bits", "cert_subject", "cert_issuer"] };
pub(super) const MAIL: Step =
    Step { command: b'M', place: 2, usual: &["i", "auth_type", "auth_authen", "auth_author", "mail_addr", "mail_host", "mail_mailer"] };
pub(super) const RCPT: Step = Step { command: b'R', place: 3, usual: &["i", "rcpt_addr", "rcpt_host", "rcpt_mailer"] };
pub(super) const DATA: Step = Step { command: b'T', place: 4, usual: &["i"] };
pub(super) const END_OF_HEADER: Step = Step { command: b'N', place: 6, usual: &["i"] };
pub(super) const END_OF_MESSAGE: Step = Step { command: b'E', place: 5, usual: &["i"] };

impl Step {
    pub(super) fn command(self) -> u8 {
        self.command
    }
}

/// What values are taken from.
pub(super) struct Values<'a> {
    pub hostname: &'a str,
    pub client: &'a Client,
    /// The client's confirmed name, or `unknown`.
    pub name: &'a str,
    pub id: Option<Id>,
    pub mail: Option<&'a Mail>,
    pub recipient: Option<&'a Recipient>,
}

impl Values<'_> {
    /// `None`: it has none, and is not sent.
    fn get(&self, name: &str) -> Option<String> {
        let tls = self.client.tls.as_deref();
        let sender = || self.mail?.reverse_path.0.as_ref();
        let ip = || self.client.address.ip().to_canonical().to_string();
        match name {
            "j" => Some(self.hostname.to_owned()),
            "v" => Some(concat!("octroi ", env!("CARGO_PKG_VERSION")).to_owned()),
            "_" => Some(format!("{} [{}]", self.name, ip())),
            "daemon_name" => Some(self.client.listener.to_string()),
            "daemon_addr" => Some(self.client.local.ip().to_canonical().to_string()),
            "daemon_port" => Some(self.client.local.port().to_string()),
            "client_name" => Some(self.name.to_owned()),
            "client_addr" => Some(ip()),
            "client_port" => Some(self.client.address.port().to_string()),
            "tls_version" => tls.map(|tls| tls.version.to_owned()),
            "cipher" => tls.map(|tls| tls.cipher.to_owned()),
            "cipher_bits" => tls.map(|tls| if tls.cipher.contains("128") { "128" } else { "256" }.to_owned()),
            "cert_subject" => tls?.client_subject.as_deref().map(str::to_owned),
            "i" => self.id.map(|id| id.to_string()),
            "auth_type" => self.client.mechanism.as_deref().map(str::to_owned),
            "auth_authen" => self.client.account.as_deref().filter(|account| !account.is_empty()).map(str::to_owned),
            "auth_author" => self.mail?.auth.as_deref().map(str::to_owned),
            "mail_addr" => self.mail.map(|_| sender().map(|address| address.as_str().to_owned()).unwrap_or_default()),
            "mail_host" => sender().map(|address| address.domain().to_owned()),
            "mail_mailer" => self.mail.map(|_| "smtp".to_owned()),
            "rcpt_addr" => self.recipient.map(|recipient| recipient.address.as_str().to_owned()),
            "rcpt_host" => self.recipient.map(|recipient| recipient.address.domain().to_owned()),
            "rcpt_mailer" => self.recipient.map(|_| "smtp".to_owned()),
            _ => None,
        }
    }
}

/// Puts the macros of `step` before its command. A name of more than one letter stands in braces.
pub(super) fn put(wire: &mut Wire, agreed: &Agreed, step: Step, values: &Values<'_>) {
    let asked = agreed.macros.get(step.place).and_then(Option::as_ref);
    let names: Vec<&str> = asked.map_or_else(|| step.usual.to_vec(), |names| names.iter().map(String::as_str).collect());
    let found: Vec<_> = names.into_iter().filter_map(|name| Some((name, values.get(name)?))).collect();
    wire.put(MACROS, |out| {
        out.put_u8(step.command);
        for (name, value) in &found {
            if name.len() == 1 {
                put_text(out, name);
            } else {
                put_text(out, format!("{{{name}}}"));
            }
            put_text(out, value);
        }
    });
}
