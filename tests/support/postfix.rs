//! Debian's Postfix, unmodified, as an instance of its own in a temporary directory.

use super::{partners, places, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// A running Postfix that takes mail for `example.org` (but for `nobody@`) into a maildir.
pub struct Postfix {
    dir: TempDir,
    program: PathBuf,
    address: SocketAddr,
}

impl Postfix {
    /// `None`, with a word, where there is none or we are not root.
    pub fn start(main_cf: &str) -> Option<Self> {
        let program = partners::find("postfix")?;
        if !partners::root() {
            return None;
        }
        let dir = tempfile::Builder::new().prefix("octroi-postfix-").tempdir().unwrap();
        let address = places::free();
        let at = dir.path().to_str().unwrap();
        // Its daemons run as postfix, deliveries as nobody.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for sub in ["etc", "spool", "data", "mail"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
        }
        // postsuper writes there itself, and not as root: of the half files that a killed cleanup leaves.
        fs::write(dir.path().join("maillog"), "").unwrap();
        chown(&dir.path().join("maillog"), "postfix");
        chown(&dir.path().join("data"), "postfix");
        chown(&dir.path().join("mail"), "nobody");
        fs::write(dir.path().join("etc/access"), "/^nobody@/ REJECT 5.1.1 no such user here\n/^later@/ DEFER_IF_PERMIT 4.2.1 not now\n")
            .unwrap();
        let main = format!(
            "compatibility_level = 3.6\nmyhostname = postfix.test\nmydestination =\nmynetworks = 127.0.0.0/8\n\
             queue_directory = {at}/spool\ndata_directory = {at}/data\nmaillog_file = {at}/maillog\nmaillog_file_prefixes = {at}\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = all\nsmtputf8_enable = yes\nalias_maps =\nalias_database =\n\
             virtual_mailbox_domains = example.org\nvirtual_mailbox_base = {at}/mail\nvirtual_mailbox_maps = regexp:{at}/etc/mailboxes\n\
             virtual_uid_maps = static:65534\nvirtual_gid_maps = static:65534\nvirtual_minimum_uid = 100\nvirtual_mailbox_limit = 0\nmessage_size_limit = 60000000\n\
             smtpd_recipient_restrictions = check_recipient_access regexp:{at}/etc/access, permit_mynetworks, permit_auth_destination, reject\n\
             smtpd_relay_restrictions = permit_auth_destination, reject\nsmtpd_client_connection_count_limit = 0\n\
             smtpd_peername_lookup = no\nsmtpd_tls_security_level = none\nnotify_classes =\nbounce_queue_lifetime = 1d\ndefault_destination_concurrency_limit = 20\n{main_cf}\n",
        );
        fs::write(dir.path().join("etc/mailboxes"), "/./ box/\n").unwrap();
        fs::write(dir.path().join("etc/main.cf"), main).unwrap();
        let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
             rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
             verify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\n\
             error unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\nvirtual unix - n n - - virtual\n\
             anvil unix - - n - 1 anvil\ntlsmgr unix - - n 1000? 1 tlsmgr\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n";
        fs::write(dir.path().join("etc/master.cf"), format!("{address} inet n - n - 60 smtpd\n{services}")).unwrap();
        let postfix = Self { dir, program, address };
        postfix.run();
        Some(postfix)
    }

    /// Starts it, again if need be.
    pub fn run(&self) {
        let started = self.control("start");
        assert!(started.success, "postfix does not start: {}\n{}", started.text, self.log());
        wait::until("postfix to listen", || TcpStream::connect(self.address).ok());
    }

    fn control(&self, verb: &str) -> partners::Output {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.dir.path().join("etc")).arg(verb);
        partners::run_command(command, b"")
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("maillog")).unwrap_or_default()
    }

    /// The pid of its master, from its own pid file.
    fn master(&self) -> Option<Pid> {
        let pid = fs::read_to_string(self.dir.path().join("spool/pid/master.pid")).ok()?;
        Pid::from_raw(pid.trim().parse().ok()?)
    }

    /// `kill -9` of the master and of everything it started.
    pub fn kill(&self) {
        let master = self.master().expect("postfix runs");
        // Stopped it starts no more of them behind our back.
        kill_process(master, Signal::STOP).unwrap();
        let family: Vec<Pid> = [master].into_iter().chain(children(master)).collect();
        for pid in &family {
            // One may have ended of itself in between.
            let _ = kill_process(*pid, Signal::KILL);
        }
        wait::until("postfix to be gone", || family.iter().all(|pid| is_gone(*pid)).then_some(()));
    }

    /// The messages in the maildir.
    pub fn delivered(&self) -> Vec<Vec<u8>> {
        let new = self.dir.path().join("mail/box/new");
        let Ok(entries) = fs::read_dir(new) else { return Vec::new() };
        entries.filter_map(|entry| fs::read(entry.ok()?.path()).ok()).collect()
    }

    pub fn delivered_count(&self) -> usize {
        fs::read_dir(self.dir.path().join("mail/box/new")).map_or(0, Iterator::count)
    }

    /// Waits for the first message with that text in it.
    pub fn wait_for(&self, text: &str) -> Vec<u8> {
        wait::until(&format!("{text:?} in the mailbox of Postfix"), || {
            self.delivered().into_iter().find(|message| memchr::memmem::find(message, text.as_bytes()).is_some())
        })
    }

    /// Messages that it has taken and not delivered yet. A file that is not executable was never
    /// finished, nor acknowledged: its writer died.
    pub fn queued(&self) -> usize {
        fn count(dir: &Path) -> usize {
            let Ok(entries) = fs::read_dir(dir) else { return 0 };
            let of = |path: &Path| match fs::metadata(path) {
                Ok(meta) if meta.is_dir() => count(path),
                Ok(meta) => usize::from(meta.permissions().mode() & 0o100 != 0),
                Err(_) => 0,
            };
            entries.filter_map(Result::ok).map(|entry| of(&entry.path())).sum()
        }
        ["maildrop", "incoming", "active", "deferred"].iter().map(|name| count(&self.dir.path().join("spool").join(name))).sum()
    }

    /// Tries again at once what it could not deliver.
    pub fn flush(&self) {
        assert!(self.control("flush").success, "postfix flush");
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if self.master().is_some_and(|pid| !is_gone(pid)) {
            self.control("stop");
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- the log of Postfix, at most its last 40 lines");
            for line in &lines[lines.len().saturating_sub(40)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// The processes that `parent` started and that still run.
fn children(parent: Pid) -> Vec<Pid> {
    let raw = parent.as_raw_nonzero();
    let text = fs::read_to_string(format!("/proc/{raw}/task/{raw}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

fn is_gone(pid: Pid) -> bool {
    // A zombie is as good as gone.
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

pub fn chown(path: &Path, user: &str) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let ids = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == user);
    let fields = ids.unwrap_or_else(|| panic!("there is no user {user}"));
    std::os::unix::fs::chown(path, Some(fields[2].parse().unwrap()), Some(fields[3].parse().unwrap())).unwrap();
}
