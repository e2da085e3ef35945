//! Debian's ClamAV daemon with a database of the test's own: no signature but those given.

use super::super::{partners, places, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// A running clamd; killed when dropped.
pub struct Clamd {
    dir: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Clamd {
    /// Finds each text anywhere in a file, under its name. `None`, with a word, where there is no
    /// clamd.
    pub fn start(signatures: &[(&str, &[u8])]) -> Option<Self> {
        let mut database = String::new();
        for (name, octets) in signatures {
            let hex = octets.iter().fold(String::new(), |mut hex, octet| {
                write!(hex, "{octet:02x}").unwrap();
                hex
            });
            writeln!(database, "{name}:0:*:{hex}").unwrap();
        }
        Self::with(&database, "")
    }

    /// With lines of an `.ndb` database and of the configuration.
    pub fn with(database: &str, lines: &str) -> Option<Self> {
        let program = partners::find("clamd")?;
        let dir = tempfile::Builder::new().prefix("octroi-clamd-").tempdir().unwrap();
        let address = places::free();
        let at = dir.path().display();
        fs::create_dir(dir.path().join("db")).unwrap();
        fs::write(dir.path().join("db/local.ndb"), database).unwrap();
        let configuration = format!(
            "Foreground yes\nDatabaseDirectory {at}/db\nTemporaryDirectory {at}\nTCPAddr {}\nTCPSocket {}\nLocalSocket {at}/socket\n\
             User root\nLogFile {at}/log\nMaxThreads 20\nSelfCheck 0\n{lines}\n",
            address.ip(),
            address.port(),
        );
        fs::write(dir.path().join("clamd.conf"), configuration).unwrap();
        let configuration = dir.path().join("clamd.conf");
        let child = Command::new(program).arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut clamd = Self { dir, address, child };
        wait::until_within(Duration::from_secs(120), "clamd", || {
            assert!(clamd.child.try_wait().unwrap().is_none(), "clamd ended:\n{}", clamd.log());
            TcpStream::connect(address).ok()
        });
        Some(clamd)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Its unix socket.
    pub fn socket(&self) -> String {
        self.dir.path().join("socket").display().to_string()
    }
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
    /// SIGKILL, in the middle of whatever it does.
    pub fn kill(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        self.kill();
    }
}
