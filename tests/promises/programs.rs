//! Programs of the administrator's own: what they are told, what they may say, and that nothing they
//! do wrong passes a message or stops the gate.

use crate::support::{
    Client, Gate, Mta, Setup,
    client::message,
    partners::{
        self,
        scripted::{Scripted, read_all},
    },
    places, wait,
};
use std::{
    fs,
    io::Write,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant},
};

/// A stage that runs a script of the shell.
fn stage(name: &str, script: &str, settings: &str) -> String {
    format!("[[stage]]\nname = \"{name}\"\ntype = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", '''{script}''']\n{settings}\n")
}

fn gate(mta: &Mta, stages: &str) -> Gate {
    Setup::before(mta.address()).mx().and(stages).start()
}

fn deliver(to: SocketAddr, content: &[u8]) -> crate::support::Reply {
    Client::greeted(to).deliver("a@example.net", &["b@example.org", "c@example.org"], content)
}

/// As somebody would write one with Python's own reader of mail.
const FILTER: &str = r#"#!/usr/bin/env python3
import email, email.policy, os, sys
message = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
print("finding envelope", os.environ["OCTROI_SENDER"], *os.environ["OCTROI_RECIPIENTS"].split("\n"), os.environ["OCTROI_HELO"])
print("finding client", os.environ["OCTROI_CLIENT_ADDRESS"], os.environ["OCTROI_TLS"], len(os.environ["OCTROI_ID"]))
print("header X-Words: %d" % len(message.get_content().split()))
print("score %d" % len(message["Subject"]))
if message["Subject"] == "bad":
    print("reply we do not take", message["Subject"])
    sys.exit(10)
if message["Subject"] == "broken":
    raise SystemError("a program that breaks")
"#;

#[test]
fn a_program_looks_at_every_message() {
    if partners::find("python3").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("filter");
    fs::write(&program, FILTER).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mta = Mta::start();
    let stage = format!("[[stage]]\ntype = \"exec\"\ncommand = [\"{}\"]\nedit = true\ntimeout = \"60s\"\n", program.display());
    let rule = "[[rule]]\nname = \"long\"\nwhen = 'exec.score > 20.0 && exec.finding.exists(f, f.startsWith(\"envelope=a@example.net\"))'\nthen = \"reject\"\nreply = \"554 5.7.1 {exec.score}\"";
    let gate = gate(&mta, &format!("{stage}{rule}"));
    let client = places::client(92);
    let mut session = Client::connect_from(client, gate.mx());
    session.banner();
    session.ask("EHLO client.example.net").must(250);
    session.deliver("a@example.net", &["b@example.org", "c@example.org"], &message("good")).must(250);
    let arrived = String::from_utf8(mta.only().original().to_vec()).unwrap();
    assert_eq!(arrived, format!("X-Words: 1\r\n{}", String::from_utf8(message("good")).unwrap()));
    let line = gate.log_line(&["verdict=delivered", "exec.exit=0"]);
    assert!(line.contains("envelope=a@example.net b@example.org c@example.org client.example.net"), "{line}");
    assert!(line.contains(&format!("client={client}  26")), "{line}");
    let reply = deliver(gate.mx(), &message("bad")).must_be(550, "5.7.1");
    assert_eq!(reply.text(), "5.7.1 we do not take bad");
    assert_eq!(deliver(gate.mx(), &message("a-subject-of-some-length")).must(554).text(), "5.7.1 24");
    deliver(gate.mx(), &message("broken")).must_be(451, "4.7.1");
    gate.log_line(&["a program complains", "SystemError: a program that breaks"]);
    gate.log_line(&["stage did not answer", "ended with 1, which means nothing"]);
    assert_eq!(mta.kept().len(), 1);
}

/// Gone, late, killed, out of bounds, babbling: each is treated as configured.
#[test]
fn a_program_that_fails_passes_nothing() {
    let large = [&message("large")[..], &b"a line of some length in a message of some size\r\n".repeat(40_000)].concat();
    for (what, script) in [
        ("ends with a code of its own", "exit 3"),
        ("is killed in the middle of the message", "head -c 1000 >/dev/null; kill -9 $$"),
        ("is late", "cat >/dev/null; sleep 1000"),
        ("does not read and is late", "sleep 1000"),
        ("says something else", "cat >/dev/null; echo ok"),
        ("says too much", "yes score 1"),
        ("is not there", "exec /nonexistent/program"),
    ] {
        let mta = Mta::start();
        let settings = "timeout = \"4s\"\nbreaker_failures = 0\npoison_after = 0";
        let strict = gate(&mta, &stage("check", script, settings));
        let reply = deliver(strict.mx(), &large);
        assert_eq!((reply.code, reply.status()), (451, "4.7.1"), "{what}");
        assert!(mta.kept().is_empty(), "{what}");
        let lenient = gate(&mta, &stage("check", script, &format!("{settings}\non_error = \"accept\"")));
        deliver(lenient.mx(), &message("small")).must(250);
        assert!(mta.only().original().starts_with(b"X-Octroi-Incomplete: check ("), "{what}");
    }
}

/// The processes whose working text has `mark` in it.
fn processes(mark: &str) -> usize {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    all.filter(|cmdline| memchr::memmem::find(cmdline, mark.as_bytes()).is_some()).count()
}

/// The processes that `parent` has started, those included that have ended and were not asked for.
fn children(parent: u32) -> usize {
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    // After the name in brackets: the state, and whose child it is.
    let parents = all.filter_map(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok());
    parents.filter(|of| *of == parent).count()
}

/// At the deadline nothing of the program is left, and none when the gate is told to end.
#[test]
fn a_late_program_is_gone_with_all_it_started() {
    let mta = Mta::start();
    let dir = tempfile::tempdir().unwrap();
    let mark = format!("octroi-late-{}", std::process::id());
    let script = format!("touch {}/started; sh -c 'sleep 1000; : {mark}' & sh -c 'sleep 1000; : {mark}' | cat; wait", dir.path().display());
    let mut gate = gate(&mta, &stage("late", &script, "timeout = \"3s\"\nbreaker_failures = 0\npoison_after = 0"));
    let started = |path: &Path| wait::until("the program to start", || path.exists().then_some(()));
    std::thread::scope(|scope| {
        scope.spawn(|| deliver(gate.mx(), &message("late")).must(451));
        started(&dir.path().join("started"));
        wait::until("its processes", || (processes(&mark) >= 3).then_some(()));
    });
    wait::until("its processes to be gone", || (processes(&mark) == 0 && children(gate.pid()) == 0).then_some(()));
    fs::remove_file(dir.path().join("started")).unwrap();
    let mut client = Client::greeted(gate.mx());
    client.begin_data("a@example.net", &["b@example.org"]);
    client.send(message("drained")).send(".\r\n");
    started(&dir.path().join("started"));
    gate.signal(rustix::process::Signal::TERM);
    client.reply().must(451);
    gate.wait_exit();
    wait::until("its processes to be gone", || (processes(&mark) == 0).then_some(()));
}

/// A message that is sent to more programs than may run waits for its turn, and no longer than its
/// time.
#[test]
fn programs_wait_for_their_turn() {
    let mta = Mta::start();
    let gate = gate(&mta, &stage("check", "sleep 0.1", "processes = 2\ntimeout = \"60s\""));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| deliver(gate.mx(), &message("turn")).must(250));
        }
    });
    assert_eq!(mta.kept().len(), 20);
}

/// Stages of several kinds that each take three seconds take three seconds together.
#[test]
fn slow_stages_of_all_kinds_cost_the_time_of_the_slowest() {
    const SLOW: Duration = Duration::from_secs(3);
    let mta = Mta::start();
    let spamd = Scripted::start(|mut stream| {
        read_all(&mut stream)?;
        wait::pause(SLOW);
        stream.write_all(b"SPAMD/1.1 0 EX_OK\r\nContent-length: 4\r\nSpam: False ; 0.5 / 5.0\r\n\r\nNONE")
    });
    let asking = |name| format!("[[stage]]\nname = \"{name}\"\ntype = \"spamd\"\naddress = \"{}\"\nspam = \"reject\"\n", spamd.address());
    let running = |name| stage(name, "sleep 3", "");
    let gate = gate(&mta, &[running("a"), asking("b"), running("c"), asking("d"), running("e"), running("f")].concat());
    let mut client = Client::greeted(gate.mx());
    let started = Instant::now();
    client.deliver("a@example.net", &["b@example.org"], &message("slow")).must(250);
    let took = started.elapsed();
    // One after another would be eighteen.
    assert!(took >= SLOW && took < Duration::from_secs(10), "{took:?}");
    assert_eq!(spamd.connections(), 2);
}
