//! `octroi check`: reads the configuration, opens what it names, and shows what it comes to.
use super::{
    ConfigFile, Failure,
    style::{Colour, Out, complain, wrap},
};
use crate::chain::HoldClass;
use crate::config::{Config, Explained};
use crate::gate::settings::{Auth, ClientCertificate, Limits, Listener, Settings};
use crate::journal::Addresses;
use crate::telemetry::traces;
use crate::upstream;
use crate::value::ByteSize;
use clap::Args;
use std::{process::ExitCode, time::Duration};

/// Check a configuration, and show what it comes to
///
/// Reads it, opens the files it names, and prints every mistake with its line and column, all at
/// once; with none, the listeners, the upstreams and the chain as they would run. Exits with 1
/// where there are mistakes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Say nothing where nothing is wrong.
    #[arg(long, short)]
    quiet: bool,
    /// Show every setting that is in effect, and whether it is in the file (and where) or a default.
    #[arg(long, conflicts_with = "quiet")]
    explain: bool,
}

pub(super) fn main(arguments: &Arguments, out: &Out) -> Result<ExitCode, Failure> {
    let path = &arguments.file.config;
    let config = Config::load(path)?;
    for warning in config.warnings() {
        complain(&format!("{}: warning: {warning}", path.display()));
    }
    if arguments.explain {
        out.line(Explained { path, config: &config });
    } else if !arguments.quiet {
        show(&config, out);
        out.line(format_args!("\n{} {}", path.display(), out.paint(Colour::Green, "is fine.")));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(config: &Config, out: &Out) {
    let settings = &config.gate.settings;
    out.line(format_args!("{}, {} workers", settings.hostname, settings.workers));
    out.heading("Listeners");
    for listener in &settings.listeners {
        show_listener(listener, settings, out);
    }
    out.line(format_args!("\n{}", config.gate.chain));
    out.heading("Upstreams");
    for upstream in &config.gate.upstreams {
        show_upstream(upstream, out);
    }
    for route in &config.gate.routes {
        row(out, &format!("→ {}", route.upstream), &route.domains.join(", "));
    }
    out.heading("Limits");
    show_limits(&settings.limits, out);
    out.heading("Quarantine");
    show_quarantine(config, out);
    out.heading("Journal");
    show_journal(config, out);
    out.heading("Console");
    show_console(config, out);
    out.heading("Telemetry");
    let metrics = config.metrics.address.map_or_else(|| "none".to_owned(), |address| format!("http://{address}/metrics"));
    row(out, "metrics", &metrics);
    row(out, "log", &format!("{:?}, level {}", config.log.format, config.log.level).to_lowercase());
    row(out, "traces", &traces(&config.traces));
}

fn traces(traces: &traces::Settings) -> String {
    let Some(endpoint) = &traces.endpoint else { return "none".to_owned() };
    let share = if traces.sample < 1.0 { format!(", {}% of those that did not fail", traces.sample * 100.0) } else { String::new() };
    format!("{}, as {}{share}", endpoint.url, traces.service)
}

/// A name and what is to be said of it, wrapped so that it fits eighty columns.
fn row(out: &Out, name: &str, text: &str) {
    const INDENT: usize = 16;
    for (n, line) in wrap(text, 80 - INDENT).iter().enumerate() {
        let name = if n == 0 { name } else { "" };
        out.line(format_args!("  {name:<width$}{line}", width = INDENT - 2));
    }
}

fn show_listener(listener: &Listener, settings: &Settings, out: &Out) {
    let mut facts = vec![listener.address.to_string(), format!("tls {}", listener.tls)];
    if listener.require_tls {
        facts.push("and nothing without it".into());
    }
    match listener.client_certificate {
        ClientCertificate::Off => {}
        ClientCertificate::Request => facts.push("client certificates asked for".into()),
        ClientCertificate::Require => facts.push("client certificates required".into()),
    }
    if listener.auth == Auth::Forward {
        facts.push("AUTH forwarded".into());
    }
    if !listener.proxy_protocol_from.is_empty() {
        let networks: Vec<_> = listener.proxy_protocol_from.iter().map(ToString::to_string).collect();
        facts.push(format!("PROXY header from {}", networks.join(" and ")));
    }
    if settings.smtp.greet_pause.as_millis() > 0 {
        facts.push(format!("greeting after {:?}", settings.smtp.greet_pause));
    }
    row(out, &listener.name, &facts.join(", "));
}

fn show_upstream(upstream: &upstream::Settings, out: &Out) {
    let servers: Vec<_> = upstream.servers.iter().map(ToString::to_string).collect();
    let tls = match &upstream.tls {
        None => "no tls".to_owned(),
        Some(tls) => {
            tls.certificate().map_or_else(|| "tls".to_owned(), |shown| format!("tls, shown {}", shown.files.certificate.display()))
        }
    };
    let identity = match upstream.identity {
        upstream::IdentityMode::None => "sees octroi as the client",
        upstream::IdentityMode::Xclient => "told the client by XCLIENT",
        upstream::IdentityMode::ProxyV2 => "told the client by PROXY v2",
    };
    row(out, &upstream.name, &format!("{}, {tls}, {identity}, {} connections", servers.join(" and "), upstream.connections));
}

fn show_journal(config: &Config, out: &Out) {
    let journal = &config.gate.journal;
    if !journal.enabled {
        return row(out, "rows", "none are written; those that are there stay until they are too old");
    }
    let hashed = if journal.addresses == Addresses::Hashed { ", addresses hashed" } else { "" };
    let subjects = if journal.subjects { "" } else { ", no subjects" };
    row(out, "rows", &format!("kept {}, {} at most{hashed}{subjects}", days(journal.keep), ByteSize(journal.size)));
}

fn show_quarantine(config: &Config, out: &Out) {
    let state = &config.gate.settings.state_dir;
    let absent = if state.exists() { "" } else { ", which is not there yet: made at the start, if octroi's user may" };
    row(out, "where", &format!("{}{absent}", state.display()));
    for class in HoldClass::ALL {
        let retention = config.gate.quarantine.of(class);
        row(out, class.as_str(), &format!("kept {}, {} at most", days(retention.keep), ByteSize(retention.size)));
    }
}

fn show_console(config: &Config, out: &Out) {
    let Some(address) = config.console.address else { return row(out, "where", "none: octroi quarantine does without") };
    let url = config.console.url(&config.gate.settings.hostname, address).map_or_else(String::new, |url| format!(", as {url}"));
    row(out, "where", &format!("{address}{url}"));
    let minutes = |life: Duration| format!("{} minutes", life.as_secs() / 60);
    let lifetimes = config.console.lifetimes;
    row(out, "sessions", &format!("{}, {} without a request", minutes(lifetimes.session), minutes(lifetimes.idle)));
}

fn days(keep: Duration) -> String {
    format!("{} days", keep.as_secs() / 86_400)
}

fn show_limits(limits: &Limits, out: &Out) {
    let size = |octets| ByteSize(octets).to_string();
    row(
        out,
        "a message",
        &format!("{}, of it {} in memory, {} recipients", size(limits.message_size), size(limits.message_memory), limits.recipients),
    );
    row(out, "all messages", &format!("{} in memory, {} on disk", size(limits.memory), size(limits.spool)));
    row(out, "connections", &format!("{}, {} from one client", limits.connections, limits.connections_per_client));
}
