//! Exim as a second MTA, whose ways are not Postfix's: from a package, or unpacked beside Postfix.

use super::{partners, places, postfix::chown, wait};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A running Exim that takes mail for `example.org` into one file each.
pub struct Exim {
    dir: TempDir,
    child: Child,
    address: SocketAddr,
}

impl Exim {
    /// `None`, with a word, where there is none or we are not root.
    pub fn start() -> Option<Self> {
        let program = partners::find("exim4")?;
        if !partners::root() {
            return None;
        }
        let dir = tempfile::Builder::new().prefix("octroi-exim-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let address = places::free();
        let at = dir.path().to_str().unwrap();
        for sub in ["spool", "mail", "log"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
            chown(&dir.path().join(sub), "Debian-exim");
        }
        // The daemon opens them as root, its deliveries as Debian-exim.
        for log in ["mainlog", "paniclog"] {
            fs::write(dir.path().join("log").join(log), "").unwrap();
            chown(&dir.path().join("log").join(log), "Debian-exim");
        }
        let configuration = format!(
            "primary_hostname = exim.test\nexim_path = {program}\nspool_directory = {at}/spool\nlog_file_path = {at}/log/%slog\npid_file_path = {at}/log/pid\n\
             local_interfaces = {ip}\ndaemon_smtp_ports = {port}\nexim_user = Debian-exim\nexim_group = Debian-exim\ntls_advertise_hosts =\nnever_users =\n\
             keep_environment =\nadd_environment = PATH=/usr/bin\nchunking_advertise_hosts = *\nhost_lookup =\nrfc1413_query_timeout = 0s\n\
             acl_smtp_rcpt = check_rcpt\nacl_smtp_data = accept\n\
             begin acl\ncheck_rcpt:\n  deny local_parts = nobody\n    message = no such user\n  accept\n\
             begin routers\nall:\n  driver = accept\n  transport = file\n\
             begin transports\nfile:\n  driver = appendfile\n  directory = {at}/mail\n  maildir_format\n  user = Debian-exim\n  create_directory\n",
            program = program.display(),
            ip = address.ip(),
            port = address.port(),
        );
        fs::write(dir.path().join("exim.conf"), configuration).unwrap();
        let child = Command::new(&program)
            .arg("-C")
            .arg(dir.path().join("exim.conf"))
            .args(["-bdf", "-q30m"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let exim = Self { dir, child, address };
        wait::until("exim to listen", || TcpStream::connect(address).ok());
        Some(exim)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the first message with that text in it.
    pub fn wait_for(&self, text: &str) -> Vec<u8> {
        wait::until(&format!("{text:?} in the mailbox of Exim"), || {
            let entries = fs::read_dir(self.dir.path().join("mail/new")).ok()?;
            let mut messages = entries.filter_map(|entry| fs::read(entry.ok()?.path()).ok());
            messages.find(|message| memchr::memmem::find(message, text.as_bytes()).is_some())
        })
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the log of Exim\n{}", fs::read_to_string(self.dir.path().join("log/mainlog")).unwrap_or_default());
        }
    }
}
