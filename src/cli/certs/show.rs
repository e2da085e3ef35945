//! What the listeners of a configuration would serve.
use crate::cli::{
    Failure,
    style::{Colour, Out},
};
use crate::config::Config;
use crate::gate::settings::TlsMode;
use crate::tls::Certificate;
use jiff::Timestamp;
use std::{path::Path, process::ExitCode};

/// A certificate that is good for less time than this is worth a look.
const SOON: i64 = 14;

pub(super) fn show(path: &Path, out: &Out) -> Result<ExitCode, Failure> {
    let config = Config::load(path)?;
    let settings = &config.gate.settings;
    let mut good = true;
    match &settings.tls.acme {
        _ if !settings.tls.certificates.is_empty() => {}
        Some(acme) => out.line(format_args!(
            "No certificate yet: octroi obtains one for {} while it runs. Until then listeners have a self-signed one, and those that take \
             passwords none.",
            acme.names.join(", ")
        )),
        None => out.line("No certificates: `[tls]` names none."),
    }
    for (n, files) in settings.tls.certificates.iter().enumerate() {
        let certificate = Certificate::load(files)?;
        let served = if n == 0 {
            "to clients that ask for one of these names, for none, or for another"
        } else {
            "to clients that ask for one of these names"
        };
        out.line(out.paint(Colour::Bold, files.certificate.display()));
        out.line(format_args!("  names    {}", certificate.names.join(", ")));
        out.line(format_args!("  served   {served}"));
        out.line(format_args!("  issuer   {}", certificate.issuer));
        out.line(format_args!("  key      {} fits", files.private_key.display()));
        let (days, validity) = validity(&certificate);
        good &= days >= 0;
        let colour = if days < 0 {
            Colour::Red
        } else if days < SOON {
            Colour::Yellow
        } else {
            Colour::Green
        };
        out.line(format_args!("  until    {}\n", out.paint(colour, validity)));
    }
    for listener in &settings.listeners {
        let served = if listener.tls == TlsMode::Off { "none" } else { "all of these" };
        out.line(format_args!("listener {} ({}, tls {}): {served}", listener.name, listener.address, listener.tls));
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whole days left, and the same in words.
fn validity(certificate: &Certificate) -> (i64, String) {
    let left = certificate.not_after - Timestamp::now().as_second();
    let days = left.div_euclid(86400);
    let date = Timestamp::from_second(certificate.not_after)
        .map_or_else(|_| "a date out of range".to_owned(), |at| at.strftime("%F %T UTC").to_string());
    let words = match days {
        i64::MIN..=-1 => format!("{date}: expired"),
        1 => format!("{date}, 1 day left"),
        _ => format!("{date}, {days} days left"),
    };
    (days, words)
}
