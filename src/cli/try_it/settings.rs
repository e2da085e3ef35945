//! The configuration of `octroi try`, as a file that can be looked at and run by hand.
use super::samples::{MESSAGE_SIZE, PARTS};
use crate::cli::{Failure, certs::Files};
use crate::value::ByteSize;
use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

/// The gate's own name.
pub(super) const HOSTNAME: &str = "gate.example.org";

/// The YARA rules that are installed with octroi.
const RULES: [(&str, &str); 3] = [
    ("clients.yar", include_str!("../../../deploy/rules/clients.yar")),
    ("servers.yar", include_str!("../../../deploy/rules/servers.yar")),
    ("webmail.yar", include_str!("../../../deploy/rules/webmail.yar")),
];

/// Where it listens. 0 is a port that the system chooses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    gate: u16,
    monitoring: u16,
    /// It stands in what browsers are told as well, so it has to be known beforehand.
    console: u16,
}

impl Ports {
    /// Those that are easy to remember, where they are free.
    pub(super) fn known() -> Result<Self, Failure> {
        let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        let preferred = |port| if free(port) { port } else { 0 };
        let console = if free(8443) { 8443 } else { Self::any()?.console };
        Ok(Self { gate: preferred(2525), monitoring: preferred(9925), console })
    }

    /// For where somebody took one of those in the moment between.
    pub(super) fn any() -> Result<Self, Failure> {
        let console = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self { gate: 0, monitoring: 0, console })
    }
}

/// Writes `octroi.toml` into `folder`, and what it names; with a console where somebody will be there
/// to use it.
pub(super) fn write(folder: &Path, upstream: &str, files: &Files, ports: Ports, console: bool) -> Result<PathBuf, Failure> {
    // What it says has to hold wherever it is read from.
    let folder = &std::path::absolute(folder)?;
    let (state, rules) = (folder.join("state"), folder.join("rules"));
    fs::create_dir_all(&state)?;
    fs::create_dir_all(&rules)?;
    for (name, text) in RULES {
        fs::write(rules.join(name), text)?;
    }
    let console = if console { console_section(ports.console) } else { String::new() };
    let text = format!(
        r#"# Written by `octroi try`; `octroi run --config` takes it as well.
hostname  = "{HOSTNAME}"
state_dir = "{state}"

[tls]
certificate = "{certificate}"
private_key = "{private_key}"

[[listener]]
name    = "try"
address = "127.0.0.1:{port}"
tls     = "starttls"

[upstream.default]
addresses = ["{upstream}"]

[limits]
message_size = "{size}"

# The domains of the samples are examples: nobody is asked about them. Without this section the
# system's resolvers are.
[dns]
resolvers = ["127.0.0.1:9"]
timeout   = "50ms"
attempts  = 1

[[stage]]
name  = "limits"
type  = "limits"
parts = {PARTS}

[[stage]]
name = "auth"
type = "auth"

[[stage]]
name = "mime"
type = "mime"

[[stage]]
name = "attachments"
type = "attachments"

[[stage]]
name  = "yara"
type  = "yara"
rules = ["{rules}"]

[[stage]]
name   = "headers"
type   = "headers"
insert = ["X-Octroi: seen"]

[[rule]]
name        = "urgent"
when        = 'header["Subject"].matches("(?i)urgent") && auth.dmarc != "pass"'
then        = "tag"
subject_tag = "[unconfirmed]"

[[rule]]
name   = "overdue"
when   = 'header["Subject"].contains("overdue") && auth.dmarc != "pass"'
then   = "quarantine"
class  = "phishing"
reason = "{{sender.address}} asks for money, and nobody vouches for it"

[metrics]
address = "127.0.0.1:{monitoring}"
{console}"#,
        rules = rules.display(),
        state = state.display(),
        certificate = files.certificate.display(),
        private_key = files.private_key.display(),
        port = ports.gate,
        size = ByteSize(MESSAGE_SIZE),
        monitoring = ports.monitoring,
    );
    let path = folder.join("octroi.toml");
    fs::write(&path, text).map_err(|e| Failure::of(path.display(), e))?;
    Ok(path)
}

fn console_section(port: u16) -> String {
    format!("\n[console]\naddress    = \"127.0.0.1:{port}\"\npublic_url = \"https://localhost:{port}\"\n")
}
