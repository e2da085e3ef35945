//! Milters that mail servers have been run with for twenty years, each with a configuration of the
//! test's own.

use super::{clamd::Clamd, find, run, spamd::Spamd};
use crate::support::{places, wait};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::{self, File},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A running milter; stopped when dropped.
pub struct Milter {
    dir: TempDir,
    /// As the stage's `address`.
    pub address: String,
    child: Child,
}

/// A key for `example.net`, in a place that opendkim takes keys from.
pub struct Key {
    dir: TempDir,
}

impl Key {
    pub fn generate() -> Option<Self> {
        let program = find("opendkim-genkey")?;
        let dir = directory();
        let at = dir.path().to_str().unwrap();
        let made = run(&program, ["-b", "2048", "-s", "sel", "-d", "example.net", "-D", at], b"");
        assert!(made.success, "{}", made.text);
        // The verifier reads it from this file instead of the DNS.
        let record = fs::read_to_string(dir.path().join("sel.txt")).unwrap();
        let value: String = record.split('"').skip(1).step_by(2).collect();
        fs::write(dir.path().join("public"), format!("sel._domainkey.example.net {value}\n")).unwrap();
        Some(Self { dir })
    }
}

fn directory() -> TempDir {
    let dir = tempfile::Builder::new().prefix("octroi-milter-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

impl Milter {
    /// OpenDKIM that signs mail of `example.net`, or verifies what others signed with the key.
    pub fn opendkim(key: &Key, signs: bool) -> Option<Self> {
        let program = find("opendkim")?;
        let (dir, place) = (directory(), places::free());
        let keys = key.dir.path().display();
        let role = if signs {
            format!("Mode s\nDomain example.net\nSelector sel\nKeyFile {keys}/sel.private\nInternalHosts 0.0.0.0/0\n")
        } else {
            format!("Mode v\nTestPublicKeys {keys}/public\nAlwaysAddARHeader yes\nAuthservID verifier.example\nInternalHosts 192.0.2.1\n")
        };
        let lines = format!(
            "Socket inet:{}@{}\nSyslog no\nRequireSafeKeys no\nCanonicalization relaxed/simple\nPidFile {}/pid\n{role}",
            place.port(),
            place.ip(),
            dir.path().display()
        );
        fs::write(dir.path().join("conf"), lines).unwrap();
        let mut command = Command::new(program);
        command.arg("-f").arg("-x").arg(dir.path().join("conf"));
        Some(Self::launch(dir, command, format!("inet:{place}"), || TcpStream::connect(place).is_ok()))
    }

    pub fn opendmarc() -> Option<Self> {
        let program = find("opendmarc")?;
        let (dir, place) = (directory(), places::free());
        let at = dir.path().display();
        let lines = format!(
            "Socket inet:{}@{}\nSyslog false\nAuthservID verifier.example\nTrustedAuthservIDs verifier.example\nRejectFailures false\n\
             PidFile {at}/pid\nIgnoreHosts {at}/ignored\nSPFIgnoreResults true\n",
            place.port(),
            place.ip(),
        );
        // By default it does not look at what comes from this host.
        fs::write(dir.path().join("ignored"), "192.0.2.1\n").unwrap();
        fs::write(dir.path().join("conf"), lines).unwrap();
        let mut command = Command::new(program);
        command.arg("-f").arg("-c").arg(dir.path().join("conf"));
        Some(Self::launch(dir, command, format!("inet:{place}"), || TcpStream::connect(place).is_ok()))
    }

    /// ClamAV's own milter, which rejects what the daemon finds.
    pub fn clamav(clamd: &Clamd) -> Option<Self> {
        let program = find("clamav-milter")?;
        let (dir, place) = (directory(), places::free());
        let at = dir.path().display();
        let lines = format!(
            "MilterSocket inet:{}@{}\nClamdSocket unix:{}\nForeground yes\nOnInfected Reject\nOnFail Defer\nAddHeader Replace\n\
             LogFile {at}/log\nTemporaryDirectory {at}\nUser root\n",
            place.port(),
            place.ip(),
            clamd.socket(),
        );
        fs::write(dir.path().join("conf"), lines).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(dir.path().join("conf"));
        Some(Self::launch(dir, command, format!("inet:{place}"), || TcpStream::connect(place).is_ok()))
    }

    /// SpamAssassin by spamass-milter and spamc.
    pub fn spamass(spamd: &Spamd) -> Option<Self> {
        let program = find("spamass-milter")?;
        find("spamc")?;
        let dir = directory();
        let socket = dir.path().join("socket");
        let (host, port) = spamd.address().trim_start_matches("inet:").rsplit_once(':').unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(&socket).args(["-r", "100", "--", "-d", host, "-p", port]);
        let address = format!("unix:{}", socket.display());
        Some(Self::launch(dir, command, address, || UnixStream::connect(&socket).is_ok()))
    }

    fn launch(dir: TempDir, mut command: Command, address: String, is_up: impl Fn() -> bool) -> Self {
        let out = File::create(dir.path().join("out")).unwrap();
        command.process_group(0).stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().unwrap();
        let mut milter = Self { dir, address, child };
        wait::until_within(Duration::from_secs(60), &format!("{command:?}"), || {
            assert!(milter.child.try_wait().unwrap().is_none(), "{command:?} ended:\n{}", milter.log());
            is_up().then_some(())
        });
        milter
    }

    pub fn log(&self) -> String {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        read(&self.dir.path().join("out")) + &read(&self.dir.path().join("log"))
    }

    pub fn kill(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Milter {
    fn drop(&mut self) {
        self.kill();
    }
}
