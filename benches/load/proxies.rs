//! The proxies: each started in a temporary directory with a configuration of its own, in front of
//! the sink, with one port in clear and one with implicit TLS, and stopped by its process.

use crate::Outcome;
use crate::measure::{self, Tree};
use crate::options::Options;
use crate::sink::Sink;
use crate::tls::Credentials;
use std::fmt::{self, Write as _};
use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const HAPROXY: &str = "/usr/sbin/haproxy";
const POSTFIX: &str = "/usr/sbin/postfix";
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 8_000;
const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// The largest message anybody has to take.
const MESSAGE_SIZE_MIB: usize = 64;
/// `limits.memory` of octroi: its default, said here because a case is measured against it.
pub(crate) const MEMORY_LIMIT_MIB: usize = 512;

/// Who stands between generator and sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Nobody.
    Direct,
    /// The binary built with this benchmark.
    Octroi,
    /// The same with `[journal] enabled = false`: what the journal costs is the difference.
    Unjournaled,
    /// In TCP mode; terminating TLS for the TLS cases.
    Haproxy,
    /// Its before-queue filter, `smtpd_proxy_filter`.
    Postfix,
    /// Behind octroi, with `--postfix-behind`.
    #[value(skip)]
    Queue,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::Octroi => "octroi",
            Self::Unjournaled => "no journal",
            Self::Haproxy => "HAProxy",
            Self::Postfix => "Postfix",
            Self::Queue => "Postfix behind",
        })
    }
}

impl Kind {
    /// Why it cannot be measured here, if it cannot.
    pub(crate) fn missing(self, octroi: &Path) -> Option<String> {
        let needed = match self {
            Self::Direct => return None,
            Self::Octroi | Self::Unjournaled => octroi,
            Self::Haproxy => Path::new(HAPROXY),
            Self::Postfix | Self::Queue if !rustix::process::geteuid().is_root() => {
                return Some("Postfix starts as root only".into());
            }
            Self::Postfix | Self::Queue => Path::new(POSTFIX),
        };
        (!needed.exists()).then(|| format!("{} is not there", needed.display()))
    }

    /// The version as the program itself tells it.
    pub(crate) fn version(self, octroi: &Path) -> String {
        let mut command = match self {
            Self::Direct => return String::new(),
            Self::Octroi | Self::Unjournaled => Command::new(octroi),
            Self::Haproxy => Command::new(HAPROXY),
            Self::Postfix | Self::Queue => Command::new("/usr/sbin/postconf"),
        };
        command.args(match self {
            Self::Octroi | Self::Unjournaled => ["--version"].as_slice(),
            Self::Haproxy => &["-v"],
            _ => &["-d", "mail_version"],
        });
        let output = command.output().map(|output| output.stdout).unwrap_or_default();
        let text = String::from_utf8_lossy(&output);
        text.lines().next().unwrap_or_default().split(" - ").next().unwrap_or_default().to_owned()
    }
}

/// A proxy that answers on its ports. Dropped, it is stopped.
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// `None` for the direct path.
    child: Option<Child>,
    directory: Option<TempDir>,
    /// The MTA between it and the sink, with `--postfix-behind`.
    _behind: Option<Box<Self>>,
}

/// What every proxy is told.
struct Setup<'a> {
    directory: &'a Path,
    plain: SocketAddr,
    tls: SocketAddr,
    sink: SocketAddr,
}

impl Proxy {
    /// Starts `kind` and waits until it answers.
    ///
    /// # Errors
    /// If it cannot be started or does not answer within 30 s; with the end of what it said.
    pub(crate) fn start(kind: Kind, options: &Options, sink: &Sink, credentials: &Credentials) -> Outcome<Self> {
        if kind == Kind::Direct {
            return Ok(Self { kind, plain: sink.plain, tls: sink.tls, child: None, directory: None, _behind: None });
        }
        let is_ours = matches!(kind, Kind::Octroi | Kind::Unjournaled);
        let behind = if options.postfix_behind && is_ours { Some(Self::start(Kind::Queue, options, sink, credentials)?) } else { None };
        let directory = tempfile::Builder::new().prefix("octroi-load-").tempdir()?;
        // Postfix's daemons run as another user and have to get in.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text);
        write("certificate.pem", &credentials.certificate)?;
        write("key.pem", &credentials.key)?;
        write("both.pem", &format!("{}{}", credentials.certificate, credentials.key))?;
        let [plain, tls, metrics] = free_ports()?;
        let setup = Setup { directory: directory.path(), plain, tls, sink: behind.as_ref().map_or(sink.plain, |behind| behind.plain) };
        let mut command = match kind {
            Kind::Direct => return Err("the direct path is not started".into()),
            Kind::Octroi => setup.octroi(options, metrics, true)?,
            Kind::Unjournaled => setup.octroi(options, metrics, false)?,
            Kind::Haproxy => setup.haproxy()?,
            Kind::Postfix => setup.before_queue()?,
            Kind::Queue => setup.queue()?,
        };
        let log = File::create(directory.path().join("log"))?;
        // Held over the start, so that an interrupt either finds the process or comes before it.
        let mut started = running();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Of its own, so that Postfix's master signals its daemons and not us.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{kind}: {error}"))?;
        started.push((child.id(), directory.path().to_owned()));
        drop(started);
        let mut proxy = Self { kind, plain, tls, child: Some(child), directory: Some(directory), _behind: behind.map(Box::new) };
        proxy.wait()?;
        Ok(proxy)
    }

    fn wait(&mut self) -> Outcome<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if banner(self.plain).is_some() && TcpStream::connect(self.tls).is_ok() {
                return Ok(());
            }
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if ended.is_some() || Instant::now() > deadline {
                let log = self.directory.as_ref().and_then(|directory| fs::read_to_string(directory.path().join("log")).ok());
                let how = ended.map_or_else(|| "does not answer".to_owned(), |status| format!("ended with {status}"));
                return Err(format!("{} {how}; it said:\n{}", self.kind, log.unwrap_or_default()).into());
            }
            measure::pause(measure::BREATH);
        }
    }

    /// Its processes; `None` for the direct path.
    pub(crate) fn tree(&self) -> Option<Tree> {
        self.child.as_ref().map(|child| Tree { root: child.id() })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let id = child.id();
        terminate(id);
        let deadline = Instant::now() + STOP_LIMIT;
        while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
            measure::pause(measure::BREATH);
        }
        let _ = child.kill();
        let _ = child.wait();
        running().retain(|(pid, _)| *pid != id);
    }
}

/// The processes that were started and not yet stopped, with their directories.
fn running() -> MutexGuard<'static, Vec<(u32, PathBuf)>> {
    static RUNNING: Mutex<Vec<(u32, PathBuf)>> = Mutex::new(Vec::new());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn terminate(id: u32) {
    if let Some(pid) = i32::try_from(id).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// On Ctrl-C or SIGTERM stops what runs, clears up and ends the process: the proxies have process groups of
/// their own, so that the terminal does not reach them, and would stay.
pub(crate) fn stop_on_interrupt() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        let interrupted = runtime.block_on(async {
            let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            tokio::select! {
                interrupt = tokio::signal::ctrl_c() => interrupt,
                _ = terminate.recv() => Ok(()),
            }
        });
        if interrupted.is_err() {
            return;
        }
        let running = running();
        for (pid, _) in running.iter() {
            terminate(*pid);
        }
        // Long enough for them to be gone from their directories.
        measure::pause(Duration::from_millis(500));
        for (_, directory) in running.iter() {
            let _ = fs::remove_dir_all(directory);
        }
        std::process::exit(130);
    })?;
    Ok(())
}

impl Setup<'_> {
    fn octroi(&self, options: &Options, metrics: SocketAddr, journal: bool) -> Outcome<Command> {
        let Self { directory, plain, tls, sink } = self;
        let directory = directory.display();
        let text = format!(
            r#"hostname = "gate.test"
state_dir = "{directory}/state"

[tls]
certificate = "{directory}/certificate.pem"
private_key = "{directory}/key.pem"

[[listener]]
name = "plain"
address = "{plain}"
tls = "off"

[[listener]]
name = "tls"
address = "{tls}"
tls = "implicit"

[limits]
message_size = "{MESSAGE_SIZE_MIB}MiB"
connections = 30000
connections_per_client = 30000
memory = "{MEMORY_LIMIT_MIB}MiB"
spool = "8GiB"

[upstream.default]
addresses = ["{sink}"]
tls = "off"
identity = "none"

[journal]
enabled = {journal}

[metrics]
address = "{metrics}"

[log]
level = "info"
format = "text"
"#
        );
        let more = options.settings.as_ref().map(fs::read_to_string).transpose()?.unwrap_or_default();
        fs::create_dir(self.directory.join("state"))?;
        let file = self.directory.join("octroi.toml");
        fs::write(&file, text + &more)?;
        let mut command = Command::new(&options.octroi);
        command.arg("run").arg("--config").arg(file);
        Ok(command)
    }

    /// As Debian ships it, but in the foreground and without a log: threads, buffers and TLS are its
    /// defaults.
    fn haproxy(&self) -> Outcome<Command> {
        let Self { directory, plain, tls, sink } = self;
        let directory = directory.display();
        // Two descriptors a session and a few of its own, out of what the process may have.
        let maxconn = crate::descriptors().saturating_sub(100) / 2;
        let text = format!(
            "global\n    maxconn {maxconn}\n\
             defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 5m\n    timeout server 5m\n\
             listen plain\n    bind {plain}\n    server sink {sink}\n\
             listen tls\n    bind {tls} ssl crt {directory}/both.pem ssl-min-ver TLSv1.3\n    server sink {sink}\n"
        );
        let file = self.directory.join("haproxy.cfg");
        fs::write(&file, text)?;
        let mut command = Command::new(HAPROXY);
        command.arg("-db").arg("-f").arg(file);
        Ok(command)
    }

    /// Without a queue manager, because with a before-queue filter nothing is queued.
    fn before_queue(&self) -> Outcome<Command> {
        let settings = format!("smtpd_proxy_filter = {}\nreceive_override_options = no_address_mappings\n", self.sink);
        self.postfix(&settings, "cleanup unix - - n - 0 cleanup\n")
    }

    /// A private instance that queues what it gets, as an MTA does, and relays it to the sink as it came.
    fn queue(&self) -> Outcome<Command> {
        let settings = format!(
            "relayhost = [{}]:{}\n\
             smtp_connection_cache_on_demand = no\n\
             smtp_line_length_limit = 0\n\
             disable_mime_output_conversion = yes\n\
             local_header_rewrite_clients =\n\
             message_drop_headers =\n\
             smtpd_client_connection_count_limit = 0\n",
            self.sink.ip(),
            self.sink.port()
        );
        // Whoever may write to the queue may speak to these two.
        let services = "cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
                        smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nerror unix - - n - - error\nretry unix - - n - - error\n\
                        bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n";
        self.postfix(&settings, services)
    }

    /// A private instance: everything it writes is in its directory.
    fn postfix(&self, more: &str, more_services: &str) -> Outcome<Command> {
        let Self { directory, plain, tls, .. } = self;
        let here = directory.display();
        let settings = format!(
            "compatibility_level = 3.6\n\
             queue_directory = {here}/queue\n\
             data_directory = {here}/data\n\
             myhostname = gate.test\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\n\
             mydestination =\n\
             relay_domains = example.org\n\
             alias_maps =\n\
             smtpd_peername_lookup = no\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\n\
             default_process_limit = 200\n\
             message_size_limit = {}\n\
             smtpd_tls_security_level = may\n\
             smtpd_tls_cert_file = {here}/certificate.pem\n\
             smtpd_tls_key_file = {here}/key.pem\n\
             smtpd_tls_mandatory_protocols = >=TLSv1.3\n\
             {more}",
            MESSAGE_SIZE_MIB << 20
        );
        let mut services = String::new();
        writeln!(services, "{plain} inet n - n - - smtpd")?;
        writeln!(services, "{tls} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes")?;
        for (name, limit, daemon) in
            [("anvil", "1", "anvil"), ("rewrite", "-", "trivial-rewrite"), ("proxymap", "-", "proxymap"), ("tlsmgr", "1", "tlsmgr")]
        {
            writeln!(services, "{name} unix - - n - {limit} {daemon}")?;
        }
        fs::write(directory.join("main.cf"), settings)?;
        fs::write(directory.join("master.cf"), services + more_services)?;
        for made in ["queue", "data"] {
            fs::create_dir(directory.join(made))?;
        }
        let owner = Command::new("chown").arg("postfix").arg(directory.join("data")).status()?;
        if !owner.success() {
            return Err("Postfix: there is no user postfix".into());
        }
        // Makes the queue's directories with their owners.
        let check = Command::new(POSTFIX).arg("-c").arg(directory).arg("check").output()?;
        if !check.status.success() {
            return Err(format!("postfix check: {}", String::from_utf8_lossy(&check.stderr)).into());
        }
        let daemons = Command::new("/usr/sbin/postconf").args(["-d", "-h", "daemon_directory"]).output()?.stdout;
        let master = PathBuf::from(String::from_utf8_lossy(&daemons).trim()).join("master");
        let mut command = Command::new(master);
        command.arg("-d").arg("-c").arg(directory);
        Ok(command)
    }
}

/// Ports nobody listens on now, below those the kernel gives to outgoing connections: one of the
/// thousands a run makes would take them meanwhile.
fn free_ports() -> Outcome<[SocketAddr; 3]> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let free = || {
        (0..PORTS).find_map(|_| {
            let offset = (std::process::id() % u32::from(PORTS)) as u16;
            let port = FIRST_PORT + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?.local_addr().ok()
        })
    };
    match (free(), free(), free()) {
        (Some(first), Some(second), Some(third)) => Ok([first, second, third]),
        _ => Err("no free port".into()),
    }
}

/// The first line somebody at `address` says, within two seconds.
fn banner(address: SocketAddr) -> Option<String> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(512)).read_line(&mut line).ok()?;
    line.starts_with("220").then_some(line)
}
