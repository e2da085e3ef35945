//! SpamAssassin's spamd, with the rules of its package and no network.

use super::find;
use crate::support::{places, wait};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// What every SpamAssassin takes for spam, with a score of 1000.
pub const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// A running spamd; killed when dropped.
pub struct Spamd {
    dir: TempDir,
    address: String,
    child: Child,
}

impl Spamd {
    /// On a port of its own, with lines of `local.cf` besides; `None`, with a word, where there is
    /// none.
    pub fn start(cf: &[&str]) -> Option<Self> {
        let place = places::free();
        let args =
            ["-i".to_owned(), place.ip().to_string(), "-p".to_owned(), place.port().to_string(), "--allowed-ips=127.0.0.0/8".to_owned()];
        Self::launch(directory(), &args, format!("inet:{place}"), cf, || TcpStream::connect(place))
    }

    /// The same on a socket.
    pub fn on_socket(cf: &[&str]) -> Option<Self> {
        let dir = directory();
        let path = dir.path().join("socket");
        let args = [format!("--socketpath={}", path.display()), "--socketmode=0666".to_owned()];
        Self::launch(dir, &args, format!("unix:{}", path.display()), cf, || UnixStream::connect(&path))
    }

    fn launch<S: Read + Write>(
        dir: TempDir,
        place: &[String],
        address: String,
        cf: &[&str],
        connect: impl Fn() -> io::Result<S>,
    ) -> Option<Self> {
        let program = find("spamd")?;
        let at = dir.path().to_str().unwrap();
        let mut command = Command::new(program);
        command.args(["-L", "-x", "-m", "2", "-s", "stderr"]).args(place);
        command.arg(format!("--helper-home-dir={at}")).arg(format!("--pidfile={at}/pid"));
        command.args(cf.iter().map(|line| format!("--cf={line}")));
        if rustix::process::geteuid().is_root() {
            // As root it looks at no mail.
            command.args(["-u", "nobody"]);
        }
        let log = File::create(dir.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let mut spamd = Self { dir, address, child: command.spawn().unwrap() };
        wait::until_within(4 * wait::PATIENCE, "spamd to answer", || {
            if let Some(status) = spamd.child.try_wait().unwrap() {
                panic!("spamd ended with {status}:\n{}", spamd.log());
            }
            connect().and_then(ping).ok().filter(|answers| *answers).map(drop)
        });
        Some(spamd)
    }

    /// As a stage's `address` has it.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap()).unwrap()
    }

    /// `kill -9` of it and of all its children, which listen as well.
    pub fn kill(&mut self) {
        // Nothing of it may be left.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        self.child.wait().unwrap();
        wait::until("spamd to be gone", || (!self.listens()).then_some(()));
    }

    fn listens(&self) -> bool {
        match self.address.split_once(':') {
            Some(("unix", path)) => UnixStream::connect(path).is_ok(),
            Some((_, place)) => TcpStream::connect(place).is_ok(),
            None => false,
        }
    }

    /// It answers nobody any more, and does not go away.
    pub fn freeze(&self) {
        kill_process_group(self.pid(), Signal::STOP).unwrap();
    }
}

/// It listens before it has read its rules, and answers after that.
fn ping(mut stream: impl Read + Write) -> io::Result<bool> {
    stream.write_all(b"PING SPAMC/1.5\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.contains("PONG"))
}

/// Where nobody may go, too.
fn directory() -> TempDir {
    let dir = tempfile::Builder::new().prefix("octroi-spamd-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

impl Drop for Spamd {
    fn drop(&mut self) {
        // Once it is reaped its number may be another's.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process_group(self.pid(), Signal::KILL);
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- the log of spamd, at most its last 40 lines");
            for line in &lines[lines.len().saturating_sub(40)..] {
                eprintln!("{line}");
            }
        }
    }
}
