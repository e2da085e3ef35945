//! Debian's Rspamd with its own rules, no network, and a worker for each way to ask it.

use super::find;
use crate::support::{places, wait};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// What Rspamd rejects, marks, and rewrites the subject of, in this order.
pub const PATTERNS: [&str; 3] = [
    "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X",
    "YJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X",
    "ZJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X",
];

/// A running Rspamd; stopped when dropped.
pub struct Rspamd {
    dir: TempDir,
    /// Of a normal worker, which speaks HTTP.
    pub http: SocketAddr,
    /// Of a proxy worker, which is a milter.
    pub milter: SocketAddr,
    child: Child,
}

impl Rspamd {
    /// `None`, with a word, where there is none.
    pub fn start() -> Option<Self> {
        let program = find("rspamd")?;
        let dir = tempfile::Builder::new().prefix("octroi-rspamd-").tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        let (http, milter, nowhere) = (places::free(), places::free(), places::free());
        // Its own list of thousands of domains takes a minute to compile.
        fs::write(dir.path().join("tld"), "com\norg\nnet\nexample\n").unwrap();
        let configuration = format!(
            ".include \"/etc/rspamd/common.conf\"\n\
             options {{ filters = \"regexp\"; url_tld = \"{at}/tld\"; pidfile = \"{at}/pid\"; enable_test_patterns = true; local_addrs = [];\n\
               dns {{ nameserver = [\"{}:{}\"]; timeout = 0.2s; retransmits = 1; }} control_socket = \"{at}/control mode=0600\"; }}\n\
             logging {{ type = \"file\"; filename = \"{at}/log\"; level = \"info\"; }}\n\
             worker \"normal\" {{ bind_socket = \"{}:{}\"; count = 1; }}\n\
             worker \"rspamd_proxy\" {{ bind_socket = \"{}:{}\"; milter = yes; count = 1; timeout = 20s;\n\
               upstream \"local\" {{ default = yes; self_scan = yes; }} }}\n",
            nowhere.ip(),
            nowhere.port(),
            http.ip(),
            http.port(),
            milter.ip(),
            milter.port(),
        );
        fs::write(dir.path().join("rspamd.conf"), configuration).unwrap();
        let mut command = Command::new(program);
        command.arg("-f").arg("-c").arg(dir.path().join("rspamd.conf")).arg("--insecure");
        command.args(["DBDIR", "RUNDIR", "LOGDIR"].map(|name| format!("--var={name}={at}")));
        let out = File::create(dir.path().join("out")).unwrap();
        // Its workers are processes of their own.
        let child = command.process_group(0).stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
        let mut rspamd = Self { dir, http, milter, child };
        for place in [http, milter] {
            wait::until_within(Duration::from_secs(120), "rspamd", || {
                assert!(rspamd.child.try_wait().unwrap().is_none(), "rspamd ended:\n{}", rspamd.log());
                TcpStream::connect(place).ok()
            });
        }
        Some(rspamd)
    }

    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("out") + &read("log")
    }

    /// All of it, at once.
    pub fn kill(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Rspamd {
    fn drop(&mut self) {
        self.kill();
    }
}
