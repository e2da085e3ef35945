//! # The load benchmark
//!
//! `cargo bench --bench load` measures the real binary between a load generator and a sink, in one
//! run side by side with the direct path (nobody between), HAProxy (TCP mode; terminating TLS for the
//! TLS cases) and Postfix's before-queue filter (`smtpd_proxy_filter`), each where it is installed:
//! on Debian `apt install haproxy postfix`. Postfix starts as root only, as a private instance in a
//! temporary directory; nothing of the system's own is touched, all is on loopback, and every case
//! has a bounded number of messages and a time limit per session.
//!
//! ```text
//! cargo bench --bench load                                    # everything, some minutes
//! cargo bench --bench load -- --quick                         # does it work?
//! cargo bench --bench load -- --case 4k-each,tls-4k-each --rounds 9
//! cargo bench --bench load -- --case 4k-each --proxy octroi,haproxy --messages 100000
//! cargo bench --bench load -- --case 4k-each --proxy octroi,unjournaled --messages 200000 --settings stages.toml
//! cargo bench --bench load -- --mail ~/mail --proxy octroi,unjournaled --settings stages.toml
//! cargo bench --bench load -- --postfix-behind --case 4k-each --proxy octroi,unjournaled --messages 10000
//! cargo bench --bench load -- --json > result.json
//! ```
//!
//! ## What is measured
//! - **CPU ms/message**: user and system time of the proxy's processes over a round, from `/proc`
//!   (with all threads, children, and children that ended), divided by the messages acknowledged.
//!   The generator's and the sink's own time is not in it. The median of the rounds; the proxies take
//!   turns, so that a disturbance falls on all.
//! - **messages/s** with a fixed number of connections under way (closed loop). On few cores it says
//!   how much the generator, the sink and the proxy take together, not what the proxy could do alone.
//! - **dot to reply**: from writing the end of data to its reply. **transaction**: from connecting, or
//!   for a connection's further messages from MAIL, to that reply; with `tls-` the handshake is in it.
//!   Under full load these are mostly queueing; what a proxy adds is told by `paced`.
//! - **peak MiB**: the highest sum of the processes' VmHWM. Postfix's processes share their program
//!   text, which counts in each.
//!
//! ## The cases
//! `4k`, `1m`, `25m`: the size; `-each`: a connection per message; `-hundred`: a hundred messages per
//! connection; `tls-`: implicit TLS 1.3, full handshakes, P-256 certificate, X25519,
//! TLS_AES_256_GCM_SHA384, so that all do the same arithmetic (Postfix leaves Nagle's algorithm on,
//! and its banner after the session tickets waits 40 ms for a delayed ACK: its latency and rate under
//! `tls-…-each` are that, its CPU time is not touched). `paced`: a connection with a 4 KiB
//! message every 10 ms whether or not the last is done; what is *added* is the difference of the
//! percentiles to the direct path's. `idle-tls`: resident memory of sessions that said EHLO.
//! `one-50m`: peak memory of one 1 MiB and one 50 MiB message, each through a fresh proxy.
//! `hundred-25m`: the same of a hundred 25 MiB messages, all of them there but for their end before
//! the first ends, against octroi's `limits.memory`.
//!
//! `mail-each`, `mail-hundred`: as the others, with the messages of `--mail DIRECTORY` in turns. Those a
//! proxy refuses for good are counted among its messages and told of.
//!
//! ## What is verified
//! Every message carries its number and length, and the sink's books are compared with what the
//! clients were told after every run: a message that was acknowledged but did not come, came twice,
//! or is not whole, makes the benchmark fail.

mod cases;
mod generator;
mod measure;
mod message;
mod options;
mod proxies;
mod report;
mod sink;
mod tls;

use cases::{Bench, CASES, Case};
use clap::Parser;
use message::Template;
use options::Options;
use proxies::Kind;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sink::Sink;
use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use tls::Credentials;

/// What may fail for want of something on the machine; its text is for the person who runs this.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("load: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Progress, apart from the result.
#[expect(clippy::print_stderr, reason = "a program for the terminal")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Descriptors this process, and those it starts, may have.
fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(1_024)
}

/// Runs the chosen cases and prints the tables; false if a message was lost, doubled or damaged.
#[expect(clippy::print_stdout, reason = "the result is what the program is for")]
fn run(options: Options) -> Outcome<bool> {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })?;
    proxies::stop_on_interrupt()?;
    let mut proxies = options.proxy.clone();
    if proxies.is_empty() {
        proxies = vec![Kind::Direct, Kind::Octroi, Kind::Haproxy, Kind::Postfix];
    }
    proxies.retain(|kind| match kind.missing(&options.octroi) {
        Some(reason) => {
            say(&format!("without {kind}: {reason}"));
            false
        }
        None => true,
    });
    if let Some(reason) = options.postfix_behind.then(|| Kind::Queue.missing(&options.octroi)).flatten() {
        return Err(format!("--postfix-behind: {reason}").into());
    }
    let cores = std::thread::available_parallelism()?.get();
    let threads = options.threads.unwrap_or(u32::try_from(cores / 4)?.clamp(1, 64));
    let machine = machine(cores, &proxies, &options);
    let credentials = Credentials::new(options.post_quantum)?;
    let sink = Sink::start(threads as usize, Arc::clone(&credentials.server))?;
    let json = options.json;
    let mail = options.mail.as_deref().map(Template::of_mail).transpose()?.map(Arc::new);
    let chosen = |case: &Case| match options.case.as_slice() {
        [] if mail.is_some() => case.is_of_mail(),
        [] => case.default,
        names => names.iter().any(|chosen| chosen == case.name),
    };
    let chosen: Vec<_> = CASES.iter().filter(|case| chosen(case)).collect();
    if mail.is_none() && chosen.iter().any(|case| case.is_of_mail()) {
        return Err("the cases that begin with `mail` want messages: --mail DIRECTORY".into());
    }
    let mut bench = Bench { options, mail, sink, credentials, proxies, threads, run: 0, troubles: Vec::new() };
    let mut rows = Vec::new();
    for (number, case) in chosen.iter().enumerate() {
        say(&format!("{} ({} of {})", case.name, number + 1, chosen.len()));
        rows.extend(bench.case(case)?);
    }
    let tables = cases::tables(&rows);
    if json {
        println!("{}", report::json(&machine, &tables, &bench.troubles));
    } else {
        println!("{}\n", machine.join("; "));
        for table in &tables {
            println!("{}", table.markdown());
        }
        for trouble in &bench.troubles {
            println!("**Trouble:** {trouble}");
        }
    }
    Ok(bench.troubles.is_empty())
}

/// What the numbers depend on: processor, cores, kernel, how busy the machine was, versions.
fn machine(cores: usize, proxies: &[Kind], options: &Options) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown CPU", |(_, model)| model);
    let load = read("/proc/loadavg");
    let mut machine = vec![
        format!("{model}, {cores} cores"),
        format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        format!("load average at the start {}", load.split(' ').next().unwrap_or_default()),
    ];
    let behind = options.postfix_behind.then_some(Kind::Queue);
    machine.extend(proxies.iter().chain(&behind).map(|kind| kind.version(&options.octroi)).filter(|version| !version.is_empty()));
    machine
}
