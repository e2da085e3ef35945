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

/// Writes `octroi.toml` into `folder`.
pub(super) fn write(folder: &Path, upstream: &str, files: &Files) -> Result<PathBuf, Failure> {
    let state = folder.join("state");
    fs::create_dir(&state)?;
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

[[stage]]
name  = "limits"
type  = "limits"
parts = {PARTS}

[[stage]]
name   = "headers"
type   = "headers"
insert = ["X-Octroi: seen"]

[metrics]
address = "127.0.0.1:{monitoring}"
"#,
        state = state.display(),
        certificate = files.certificate.display(),
        private_key = files.private_key.display(),
        port = preferred(2525),
        size = ByteSize(MESSAGE_SIZE),
        monitoring = preferred(9925),
    );
    let path = folder.join("octroi.toml");
    fs::write(&path, text).map_err(|e| Failure::of(path.display(), e))?;
    Ok(path)
}

/// `port` where it is free, else 0: any other will do.
fn preferred(port: u16) -> u16 {
    if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() { port } else { 0 }
}
