//! A process, from its start to its last descendant's end.
//!
//! Its limits are set by a shell that becomes the program (`ulimit`, then `exec "$@"`, which reads
//! none of the words): set from outside, with `prlimit` once it runs, they would be too late for what
//! it has started by then.
use super::said::shown;
use crate::message::Content;
use bytes::{Buf, BytesMut};
use rustix::process::{Pid, PidfdFlags, Resource, Signal, getrlimit, kill_process_group, pidfd_open};
use std::{
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, unix::AsyncFd},
    process::{Child, ChildStdin, Command},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

/// What is configured, shared by all sessions.
pub(super) struct Program {
    command: Arc<[String]>,
    /// How many more may run.
    places: Arc<Semaphore>,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    /// Octets of address space.
    memory: u64,
    /// Seconds of processor time.
    cpu: u64,
}

/// Why a program has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot be started: {0}")]
    Start(#[source] io::Error),
    #[error("cannot be watched: {0}")]
    Watch(#[source] io::Error),
    #[error("the message cannot be read: {0}")]
    Spool(#[source] io::Error),
    #[error("its output cannot be read: {0}")]
    Output(#[source] io::Error),
    #[error("it says more than {OUTPUT} octets")]
    TooMuch,
    #[error("it has ended and something it started holds its output open")]
    LeftBehind,
    #[error("ended by signal {0}")]
    Signal(i32),
    #[error("ended with {0}, which means nothing")]
    Code(i32),
    #[error("it says what is no such line: {0}")]
    Said(Box<str>),
}

/// Octets of standard output.
const OUTPUT: u64 = 64 << 10;
/// Octets of standard error that go to the log; the rest is read and dropped.
const LOGGED: usize = 4 << 10;
/// How long the pipes of a program that has ended may still be open. They are, for a moment: what
/// they hold has to be read.
const GRACE: Duration = Duration::from_secs(2);

impl Program {
    pub(super) fn new(command: Vec<String>, processes: u32, memory: u64, cpu: Duration) -> Self {
        let processes = usize::try_from(processes).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        // In whole seconds; 0 would be no time at all.
        let limits = Limits { memory, cpu: cpu.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1) };
        Self { command: command.into(), places: Arc::new(Semaphore::new(processes)), limits }
    }

    /// Its path.
    pub(super) fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Its exit code, and what it said. Has no time-out of its own: where it is dropped, everything
    /// in the process group is killed.
    pub(super) async fn run(&self, environment: Vec<(&'static str, String)>, content: &Content) -> Result<(i32, Vec<u8>), Fault> {
        // Never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|closed| Fault::Start(io::Error::other(closed)))?;
        let (command, limits) = (Arc::clone(&self.command), self.limits);
        // The kernel reads the program's file meanwhile.
        let started = spawn_blocking(move || Process::start(&command, environment, limits, place)).await;
        let mut process = started.map_err(|error| Fault::Start(error.into()))??;
        let (stdin, stdout, stderr) = (process.child.stdin.take(), process.child.stdout.take(), process.child.stderr.take());
        let talk = async { tokio::try_join!(feed(stdin, content), hear(stdout), log(stderr, self.name())) };
        tokio::pin!(talk);
        // What fails while it talks (it says too much) ends it; what it has said is read to the end.
        let (status, said) = tokio::select! {
            said = &mut talk => {
                let said = said?;
                (process.end().await?, said)
            }
            status = process.end() => (status?, timeout(GRACE, talk).await.map_err(|_elapsed| Fault::LeftBehind)??),
        };
        let ((), output, ()) = said;
        match status.code() {
            Some(code) => Ok((code, output)),
            None => Err(Fault::Signal(status.signal().unwrap_or(0))),
        }
    }
}

/// A running process; dropping it kills its group.
struct Process {
    child: Child,
    /// Of the process, and of its group, of which it is the leader.
    pid: Pid,
    /// Readable when it has ended. Until it is reaped neither number can become another's.
    over: AsyncFd<OwnedFd>,
    reaped: bool,
    _place: OwnedSemaphorePermit,
}

impl Process {
    fn start(
        command: &[String],
        environment: Vec<(&'static str, String)>,
        limits: Limits,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, Fault> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &limits.script(), "sh"]).args(command);
        shell.env_clear().envs(environment).current_dir("/").process_group(0).kill_on_drop(true);
        let child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(Fault::Start)?;
        let pid =
            child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)).ok_or_else(|| Fault::Start(io::ErrorKind::NotFound.into()))?;
        let over = watch(pid).map_err(Fault::Watch)?;
        Ok(Self { over, child, pid, reaped: false, _place: place })
    }

    /// Waits for its end, and ends whatever it has started and left. Can be dropped and called again.
    async fn end(&mut self) -> Result<ExitStatus, Fault> {
        // Dropped without being cleared: it stays readable.
        drop(self.over.readable().await.map_err(Fault::Watch)?);
        self.kill();
        let status = self.child.try_wait().map_err(Fault::Watch)?;
        self.reaped = status.is_some();
        status.ok_or_else(|| Fault::Watch(io::ErrorKind::WouldBlock.into()))
    }

    /// Nobody may be left of it.
    fn kill(&self) {
        if !self.reaped
            && let Err(error) = kill_process_group(self.pid, Signal::KILL)
        {
            tracing::error!(pid = self.pid.as_raw_nonzero(), %error, "a process group cannot be killed");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A descriptor that becomes readable when the process has ended. tokio's own waiting would reap it
/// as well, and leave nothing to kill the group by.
#[expect(deprecated, reason = "what is to be used instead is unsafe; an OwnedFd is closed by nobody else")]
fn watch(pid: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(pidfd_open(pid, PidfdFlags::empty())?)
}

impl Limits {
    /// What the shell does before it becomes the program. A core would be somebody's mail on disk.
    fn script(self) -> String {
        // Nobody may raise what was put upon ourselves.
        let within = |resource, limit: u64| getrlimit(resource).maximum.map_or(limit, |own| own.min(limit));
        let (kilobytes, seconds) = (within(Resource::As, self.memory) / 1024, within(Resource::Cpu, self.cpu));
        format!("ulimit -v {kilobytes} && ulimit -t {seconds} && ulimit -c 0 && exec \"$@\"")
    }
}

/// The message; a program need not read all of it.
async fn feed(stdin: Option<ChildStdin>, content: &Content) -> Result<(), Fault> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    let mut pieces = content.reader(0);
    while let Some(piece) = pieces.next().await.map_err(Fault::Spool)? {
        if stdin.write_all(&piece).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn hear(stdout: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Fault> {
    let mut said = Vec::new();
    if let Some(stdout) = stdout {
        stdout.take(OUTPUT + 1).read_to_end(&mut said).await.map_err(Fault::Output)?;
    }
    if said.len() as u64 > OUTPUT { Err(Fault::TooMuch) } else { Ok(said) }
}

/// Line by line, as they come: at the deadline they are what tells why.
async fn log(stderr: Option<impl AsyncRead + Unpin>, program: &str) -> Result<(), Fault> {
    let Some(mut stderr) = stderr else { return Ok(()) };
    let (mut held, mut left) = (BytesMut::with_capacity(1 << 10), LOGGED);
    loop {
        let read = stderr.read_buf(&mut held).await.map_err(Fault::Output)?;
        left = left.saturating_sub(read);
        while let Some(line) = next_line(&mut held, read == 0 || left == 0) {
            tracing::warn!(program, says = %shown(&line), "a program complains");
        }
        if read == 0 {
            return Ok(());
        }
        if left == 0 {
            tracing::warn!(program, "it says more than is shown");
            // A program whose standard error nobody reads stops.
            return tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await.map(drop).map_err(Fault::Output);
        }
    }
}

/// The next line that is whole; `all`: whatever there is.
fn next_line(held: &mut BytesMut, all: bool) -> Option<String> {
    let end = memchr::memchr(b'\n', held).or_else(|| (all && !held.is_empty()).then_some(held.len()))?;
    let line = held.split_to(end);
    if !held.is_empty() {
        held.advance(1);
    }
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}
