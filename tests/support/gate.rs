//! The real binary, with a configuration of the test's own.

use super::{certs::Authority, places, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// The authority that signed what the gates of this process show; made once, since keys take time.
pub fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::new("octroi tests"))
}

/// A configuration under construction.
pub struct Setup {
    dir: TempDir,
    listeners: Vec<(String, SocketAddr, String)>,
    upstream: String,
    more: String,
    console: Option<SocketAddr>,
    environment: Vec<(String, String)>,
    log: &'static str,
    level: &'static str,
}

/// A running octroi; killed when dropped.
pub struct Gate {
    pub dir: TempDir,
    listeners: BTreeMap<String, SocketAddr>,
    http: SocketAddr,
    console: Option<SocketAddr>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    /// A gate in front of `upstream`, with no listener yet.
    pub fn before(upstream: SocketAddr) -> Self {
        Self::before_lines(&format!("addresses = [\"{upstream}\"]"))
    }

    /// The same with the lines of `[upstream.default]` given.
    pub fn before_lines(upstream: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("octroi-test-").tempdir().unwrap();
        fs::create_dir(dir.path().join("state")).unwrap();
        authority().identity(&["mx.example.org", "127.0.0.1"]).write(dir.path(), "mx");
        Self {
            dir,
            listeners: Vec::new(),
            upstream: upstream.to_owned(),
            more: String::new(),
            console: None,
            environment: Vec::new(),
            log: "text",
            level: "info",
        }
    }

    /// A listener that offers STARTTLS.
    pub fn mx(self) -> Self {
        self.listener("mx", "tls = \"starttls\"")
    }

    pub fn listener(mut self, name: &str, lines: &str) -> Self {
        self.listeners.push((name.to_owned(), places::free(), lines.to_owned()));
        self
    }

    /// With a console, and these lines for it.
    pub fn console(mut self, lines: &str) -> Self {
        let address = places::free();
        self.console = Some(address);
        self.and(&format!("[console]\naddress = \"{address}\"\n{lines}\n"))
    }

    /// More of the configuration: whole tables.
    pub fn and(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self.more.push('\n');
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn json_log(mut self) -> Self {
        self.log = "json";
        self
    }

    /// Everything that can be logged is.
    pub fn talkative(mut self) -> Self {
        self.level = "trace";
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes the configuration; nothing runs yet.
    pub fn prepare(self) -> Gate {
        let http = places::free();
        let dir = self.dir.path();
        let mut toml = format!(
            "hostname = \"mx.example.org\"\nstate_dir = \"{0}/state\"\nworkers = 2\n\n\
             [tls]\ncertificate = \"{0}/mx.pem\"\nprivate_key = \"{0}/mx.key\"\n{1}\n",
            dir.display(),
            if dir.join("clients.pem").exists() { format!("client_ca = \"{}/clients.pem\"\n", dir.display()) } else { String::new() },
        );
        for (name, address, lines) in &self.listeners {
            write!(toml, "[[listener]]\nname = \"{name}\"\naddress = \"{address}\"\n{lines}\n\n").unwrap();
        }
        write!(
            toml,
            "[upstream.default]\n{}\n\n[metrics]\naddress = \"{http}\"\n\n[log]\nformat = \"{}\"\nlevel = \"{}\"\n\n",
            self.upstream, self.log, self.level
        )
        .unwrap();
        toml.push_str(&self.more);
        fs::write(dir.join("octroi.toml"), toml).unwrap();
        let listeners = self.listeners.into_iter().map(|(name, address, _)| (name, address)).collect();
        Gate { dir: self.dir, listeners, http, console: self.console, environment: self.environment, child: None, log: Arc::default() }
    }

    /// Starts it and waits until it can take mail.
    pub fn start(self) -> Gate {
        let mut gate = self.prepare();
        gate.run();
        gate.wait_ready();
        gate
    }

    /// Starts it and waits until it is alive; the upstream may be down.
    pub fn start_alive(self) -> Gate {
        let mut gate = self.prepare();
        gate.run();
        gate.wait_alive();
        gate
    }
}

impl Gate {
    /// The binary under test.
    pub fn binary() -> &'static str {
        env!("CARGO_BIN_EXE_octroi")
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("octroi.toml")
    }

    /// The command that runs it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(Self::binary());
        command.args(["run", "--config"]).arg(self.config());
        command.env_remove("NOTIFY_SOCKET").env_remove("LISTEN_FDS").env_remove("LISTEN_PID").env_remove("JOURNAL_STREAM");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, again if need be; the log goes on.
    pub fn run(&mut self) {
        let command = self.command();
        self.run_as(command);
    }

    /// Starts it by another command, such as one that changes the user.
    pub fn run_as(&mut self, mut command: Command) {
        command.stdin(Stdio::null());
        self.spawn(command);
    }

    /// Starts it as systemd does, with a listening socket of that name, which the caller keeps too.
    pub fn run_activated(&mut self, socket: &TcpListener, name: &str) {
        // The socket comes as standard input: a descriptor that just any child inherits would be in
        // those of other tests as well.
        let launcher = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$1; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; \
                        shift; exec \"$@\"";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", launcher, "sh", name, Self::binary(), "run", "--config"]).arg(self.config());
        command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        command.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
        self.spawn(command);
    }

    fn spawn(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "it runs already");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let outputs: [Box<dyn Read + Send>; 2] = [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let log = Arc::clone(&self.log);
            thread::spawn(move || {
                for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                    log.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
                }
            });
        }
        self.child = Some(child);
    }

    pub fn wait_alive(&mut self) {
        self.wait_for_health("/healthz", 200);
    }

    pub fn wait_ready(&mut self) {
        self.wait_for_health("/readyz", 200);
    }

    pub fn wait_for_health(&mut self, path: &str, status: u16) {
        wait::until(&format!("{path} to be {status}"), || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("octroi ended with {status}:\n{}", self.log().join("\n"));
            }
            (self.try_http(path).is_some_and(|(got, _)| got == status)).then_some(())
        });
    }

    /// Where a listener listens.
    pub fn address(&self, listener: &str) -> SocketAddr {
        self.listeners[listener]
    }

    pub fn mx(&self) -> SocketAddr {
        self.address("mx")
    }

    /// Where /metrics is.
    pub fn monitoring(&self) -> SocketAddr {
        self.http
    }

    /// Where the console is.
    pub fn console(&self) -> SocketAddr {
        self.console.expect("it has no console")
    }

    /// Another command of the binary beside it, with its configuration and `input`; what it says.
    pub fn octroi(&self, arguments: &[&str], input: &str) -> super::partners::Output {
        let mut command = Command::new(Self::binary());
        command.args(arguments).arg("--config").arg(self.config());
        super::partners::run_command(command, input.as_bytes())
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it does not run").id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid().try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// `kill -9`, and gone.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it does not run");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it does not run");
        wait::until("octroi to end", || child.try_wait().unwrap())
    }

    /// Replaces text in the configuration file.
    pub fn reconfigure(&self, from: &str, to: &str) {
        let old = fs::read_to_string(self.config()).unwrap();
        assert!(old.contains(from), "{from:?} is not in the configuration");
        fs::write(self.config(), old.replace(from, to)).unwrap();
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The first log line that contains all of `parts`, waited for.
    pub fn log_line(&self, parts: &[&str]) -> String {
        let start = std::time::Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.iter().find(|line| parts.iter().all(|part| line.contains(part))) {
                return line.clone();
            }
            assert!(start.elapsed() < wait::PATIENCE, "no log line with {parts:?} in\n{}", log.join("\n"));
            wait::pause(Duration::from_millis(3));
        }
    }

    pub fn try_http(&self, path: &str) -> Option<(u16, String)> {
        let mut tcp = TcpStream::connect(self.http).ok()?;
        tcp.set_read_timeout(Some(wait::PATIENCE)).ok()?;
        write!(tcp, "GET {path} HTTP/1.1\r\nHost: octroi\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    pub fn http(&self, path: &str) -> (u16, String) {
        self.try_http(path).unwrap_or_else(|| panic!("no answer to GET {path}"))
    }

    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.http("/metrics").1)
    }

    /// Waits until a series has that value.
    pub fn wait_metric(&self, series: &str, value: f64) {
        let start = std::time::Instant::now();
        loop {
            let now = self.metrics().get(series);
            if (now - value).abs() < 0.001 {
                return;
            }
            assert!(start.elapsed() < wait::PATIENCE, "{series} is {now}, not {value}");
            wait::pause(Duration::from_millis(10));
        }
    }

    /// Memory in use, and the most that ever was, in octets.
    pub fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let of = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = self.log();
            eprintln!("--- the log of octroi, at most its last 60 lines");
            for line in &log[log.len().saturating_sub(60)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// A reading of /metrics.
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#'));
        Self(series.filter_map(|line| line.rsplit_once(' ')).map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect())
    }

    /// The value of a series, named as it stands there (labels in the order of the alphabet).
    #[track_caller]
    pub fn get(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| {
            let name = series.split('{').next().unwrap_or_default();
            let near: Vec<_> = self.0.keys().filter(|key| key.starts_with(name)).collect();
            panic!("no series {series}; there are {near:?}")
        })
    }

    /// The sum of all series of that name whose labels include `part`.
    pub fn sum(&self, name: &str, part: &str) -> f64 {
        self.0.iter().filter(|(key, _)| key.split('{').next() == Some(name) && key.contains(part)).map(|(_, value)| value).sum()
    }

    pub fn messages(&self, verdict: &str) -> f64 {
        self.sum("octroi_messages_total", &format!("verdict=\"{verdict}\""))
    }
}
