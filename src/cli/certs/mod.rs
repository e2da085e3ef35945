//! `octroi certs`: certificates for development, and what a configuration would serve.
mod make;
mod show;

pub(super) use make::{Files, make};

use super::{Failure, style::Out};
use clap::Args;
use std::{fs, path::PathBuf, process::ExitCode};

/// Make development certificates, or show those of a configuration
///
/// Without --config: makes an authority of its own and a certificate signed by it, for the names
/// given, in certs/. Whoever is to trust it is given ca.pem; the authority's key is thrown away,
/// so that nobody can sign more with it. It is for trying things out: the world will not trust it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Names and addresses the certificate is for [default: this host's name, localhost, 127.0.0.1, ::1]
    #[arg(value_name = "NAME", conflicts_with = "config")]
    names: Vec<String>,
    /// Where to write ca.pem, fullchain.pem and key.pem.
    #[arg(long, value_name = "DIRECTORY", default_value = "certs", conflicts_with = "config")]
    directory: PathBuf,
    /// Replace files that are there.
    #[arg(long, conflicts_with = "config")]
    force: bool,
    /// Show what the listeners of this configuration would serve, and make nothing.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn main(arguments: &Arguments, out: &Out) -> Result<ExitCode, Failure> {
    if let Some(config) = &arguments.config {
        return show::show(config, out);
    }
    let names = if arguments.names.is_empty() { default_names() } else { arguments.names.clone() };
    let Files { authority, certificate, private_key } = make(&arguments.directory, &names, arguments.force)?;
    out.line(format_args!("Made a certificate for {}, good for a year:\n", names.join(", ")));
    let rows = [
        (&certificate, "the certificate and its chain"),
        (&private_key, "its private key"),
        (&authority, "the authority, for clients that are to trust it"),
    ];
    let width = rows.iter().map(|(file, _)| file.display().to_string().chars().count()).max().unwrap_or_default();
    for (file, what) in rows {
        out.line(format_args!("  {:<width$}  {what}", file.display().to_string()));
    }
    out.line("\nIn the configuration:\n\n  [tls]");
    out.line(format_args!("  certificate = \"{}\"", certificate.display()));
    out.line(format_args!("  private_key = \"{}\"", private_key.display()));
    Ok(ExitCode::SUCCESS)
}

fn default_names() -> Vec<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
    if !host.is_empty() && host != "localhost" {
        names.insert(0, host.to_owned());
    }
    names
}
