//! Running it: signals, reloads, systemd, health, logs.

use crate::support::{Client, Gate, Mta, Setup, client::message, gate, partners, places, postfix, wait};
use rustix::process::Signal;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram, process::CommandExt},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

#[test]
fn sigterm_drains_and_exits_zero() {
    let mta = Mta::start();
    let mut gate = Setup::before(mta.address()).mx().start();
    let mut idle = Client::greeted(gate.mx());
    let mut busy = Client::greeted(gate.mx());
    busy.begin_data("a@example.net", &["b@example.org"]);
    busy.send("Subject: under way\r\n\r\nhalf").settle();
    gate.signal(Signal::TERM);
    // Who is idle is told so; who is not may finish.
    idle.reply().must_be(421, "4.3.2");
    assert!(idle.closed().is_empty());
    wait::until("/readyz to say so", || gate.try_http("/readyz").is_none_or(|(status, _)| status == 503).then_some(()));
    wait::until("new connections to be refused", || {
        Client::try_connect(gate.mx()).ok().is_none_or(|mut client| client.try_reply().is_ok_and(|reply| reply.code == 421)).then_some(())
    });
    busy.send(" and half\r\n.\r\n").reply().must(250);
    let rest = busy.closed();
    assert!(rest.is_empty() || rest.starts_with(b"421 4.3.2"), "{:?}", String::from_utf8_lossy(&rest));
    assert!(gate.wait_exit().success());
    assert!(mta.only().content.ends_with(b"half and half\r\n"));
}

#[test]
fn draining_has_a_limit() {
    let mta = Mta::start();
    let mut gate = Setup::before(mta.address()).mx().and("[timeouts]\ndrain = \"1s\"").start();
    let mut stuck = Client::greeted(gate.mx());
    stuck.begin_data("a@example.net", &["b@example.org"]);
    stuck.send("Subject: stuck\r\n\r\nhalf").settle();
    let start = Instant::now();
    gate.signal(Signal::TERM);
    assert!(gate.wait_exit().success());
    assert!(start.elapsed() >= Duration::from_millis(900), "it did not wait at all");
    assert!(mta.kept().is_empty());
    assert!(!stuck.closed().starts_with(b"250"));
}

#[test]
fn sighup_reloads_without_dropping_a_session() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nmessage_size = \"1MiB\"").start();
    let mut client = Client::greeted(gate.mx());
    client.begin_data("a@example.net", &["b@example.org"]);
    client.send("Subject: over a reload\r\n\r\nhalf").settle();
    let first = gate.metrics().get("octroi_config_last_reload_success_timestamp_seconds");
    gate.reconfigure("message_size = \"1MiB\"", "message_size = \"2MiB\"");
    gate.signal(Signal::HUP);
    wait::until("the new limit", || {
        let mut other = Client::connect(gate.mx());
        other.banner();
        other.ask("EHLO client.example.net").lines.contains(&"SIZE 2097152".to_owned()).then_some(())
    });
    assert_eq!(gate.metrics().get("octroi_config_last_reload_successful"), 1.0);
    assert!(gate.metrics().get("octroi_config_last_reload_success_timestamp_seconds") > first);
    client.send(" and half\r\n.\r\n").reply().must(250);
    client.deliver("a@example.net", &["b@example.org"], &message("after")).must(250);
    assert_eq!(mta.kept().len(), 2);
}

#[test]
fn a_bad_configuration_keeps_the_old_one() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nmessage_size = \"1MiB\"").start();
    gate.reconfigure("message_size = \"1MiB\"", "message_size = \"1 MiB\"\nrecipient = 5");
    gate.signal(Signal::HUP);
    gate.wait_metric("octroi_config_last_reload_successful", 0.0);
    // Both mistakes, each with its place.
    gate.log_line(&["octroi.toml:", "1 MiB"]);
    gate.log_line(&["octroi.toml:", "limits.recipient", "recipients"]);
    let mut client = Client::greeted(gate.mx());
    client.deliver("a@example.net", &["b@example.org"], &message("on")).must(250);
    assert_eq!(gate.http("/readyz").0, 200);
    gate.reconfigure("message_size = \"1 MiB\"\nrecipient = 5", "message_size = \"1MiB\"");
    gate.signal(Signal::HUP);
    gate.wait_metric("octroi_config_last_reload_successful", 1.0);
    client.deliver("a@example.net", &["b@example.org"], &message("and on")).must(250);
}

fn serial(gate: &Gate) -> Vec<u8> {
    let mut client = Client::secured(gate.mx(), &gate::authority().client());
    let tls = client.wire().tls().unwrap();
    x509_parser::parse_x509_certificate(&tls.peer_certificates().unwrap()[0]).unwrap().1.raw_serial().to_owned()
}

#[test]
fn certificates_are_changed_by_sighup_and_by_changing_the_files() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let mut old = Client::secured(gate.mx(), &gate::authority().client());
    let first = serial(&gate);
    let replace = || gate::authority().identity(&["mx.example.org"]).write(gate.dir.path(), "mx");
    replace();
    gate.signal(Signal::HUP);
    let second = wait::until("the new certificate, by SIGHUP", || Some(serial(&gate)).filter(|now| *now != first));
    replace();
    // Nobody says anything now.
    wait::until_within(Duration::from_secs(90), "the new certificate, by itself", || Some(serial(&gate)).filter(|now| *now != second));
    // A key that does not fit is not taken.
    let third = serial(&gate);
    fs::write(gate.dir.path().join("mx.key"), "no key").unwrap();
    gate.signal(Signal::HUP);
    gate.wait_metric("octroi_config_last_reload_successful", 0.0);
    assert_eq!(serial(&gate), third);
    old.deliver("a@example.net", &["b@example.org"], &message("over all of it")).must(250);
}

/// A NOTIFY_SOCKET as systemd has it.
struct Notify {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Notify {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        Self { socket, dir }
    }
    fn path(&self) -> String {
        self.dir.path().join("notify").display().to_string()
    }
    /// Waits for a message with that line.
    fn wait_for(&self, line: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let read = self.socket.recv(&mut buffer).unwrap_or_else(|e| panic!("no {line}: {e}"));
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            if text.lines().any(|said| said == line) {
                return text;
            }
        }
    }
}

#[test]
fn systemd_is_told_what_goes_on() {
    let mta = Mta::start();
    let notify = Notify::new();
    let setup = Setup::before(mta.address()).mx().environment("NOTIFY_SOCKET", &notify.path()).environment("WATCHDOG_USEC", "400000");
    let mut gate = setup.prepare();
    gate.run();
    notify.wait_for("READY=1");
    // Ready is ready: the port is open.
    Client::greeted(gate.mx());
    for _ in 0..3 {
        notify.wait_for("WATCHDOG=1");
    }
    gate.signal(Signal::HUP);
    let reloading = notify.wait_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    notify.wait_for("READY=1");
    gate.signal(Signal::TERM);
    notify.wait_for("STOPPING=1");
    assert!(gate.wait_exit().success());
}

#[test]
fn sockets_are_taken_from_systemd() {
    let Some(python) = partners::find("python3") else { return };
    let mta = Mta::start();
    let mut gate = Setup::before(mta.address()).mx().prepare();
    gate.reconfigure(&format!("address = \"{}\"", gate.mx()), "address = \"systemd:smtp\"");
    let (second, stray) = (places::free(), places::free());
    // What systemd does: listening sockets from 3 on, their names, which several lines of one unit
    // share, and whom they are for.
    let launcher = "
import fcntl, os, socket, sys
listeners = []
for address in sys.argv[1:4]:
    host, port = address.split(':')
    listener = socket.create_server((host, int(port)), backlog=128)
    listeners.append(fcntl.fcntl(listener.detach(), fcntl.F_DUPFD, 20))
for n, listener in enumerate(listeners):
    os.dup2(listener, 3 + n, inheritable=True)
environment = dict(os.environ, LISTEN_FDS='3', LISTEN_FDNAMES='smtp:smtp:stray', LISTEN_PID=str(os.getpid()))
os.execve(sys.argv[4], sys.argv[4:], environment)
";
    let mut command = Command::new(python);
    command.args(["-c", launcher]).args([gate.mx(), second, stray].map(|address| address.to_string()));
    command.args([Gate::binary(), "run", "--config"]).arg(gate.config()).env_remove("NOTIFY_SOCKET");
    gate.run_as(command);
    gate.wait_ready();
    for address in [gate.mx(), second, gate.mx(), second] {
        Client::greeted(address).deliver("a@example.net", &["b@example.org"], &message("activated")).must(250);
    }
    // Nobody answers there, which somebody has to say.
    gate.log_line(&["systemd passed a socket `stray` that no listener names"]);
    gate.signal(Signal::TERM);
    assert!(gate.wait_exit().success());
}

#[test]
fn it_runs_as_nobody() {
    if !partners::root() {
        return;
    }
    let mta = Mta::start();
    let setup = Setup::before(mta.address()).mx();
    // Where nobody can read it.
    let binary = setup.dir().join("octroi");
    fs::copy(Gate::binary(), &binary).unwrap();
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    open(setup.dir());
    open(&binary);
    postfix::chown(&setup.dir().join("state"), "nobody");
    let mut gate = setup.and("[limits]\nmessage_memory = \"4KiB\"").prepare();
    let mut command = Command::new(binary);
    command.args(["run", "--config"]).arg(gate.config()).uid(65534).gid(65534).env_remove("NOTIFY_SOCKET");
    gate.run_as(command);
    gate.wait_ready();
    let big = [message("unprivileged"), b"0123456789\r\n".repeat(10_000)].concat();
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &big).must(250);
}

#[test]
fn alive_is_not_ready() {
    let mta = Mta::start();
    let mut gate = Setup::before(mta.address()).mx().and("[timeouts]\nupstream_connect = \"1s\"").start();
    assert_eq!(gate.http("/healthz").0, 200);
    assert_eq!(gate.http("/nowhere").0, 404);
    mta.stop();
    mta.close_all();
    // The first message that finds nobody there tells it; else it is found within half a minute.
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    assert!(client.ask("RCPT TO:<b@example.org>").is_temporary());
    gate.wait_for_health("/readyz", 503);
    assert_eq!(gate.http("/healthz").0, 200);
    mta.restart();
    gate.wait_ready();
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let mta = Mta::start();
    let first = Setup::before(mta.address()).mx().start();
    let taken = places::free();
    let _taker = std::net::TcpListener::bind(taken).unwrap();
    let second = Setup::before(mta.address()).mx().prepare();
    second.reconfigure(&format!("address = \"{}\"", second.mx()), &format!("address = \"{taken}\""));
    let said = partners::run_command(second.command(), b"");
    assert!(!said.success && said.text.contains(&taken.to_string()), "{}", said.text);
    drop(first);
}

#[test]
fn the_log_is_json_where_that_is_wanted() {
    let Some(python) = partners::find("python3") else { return };
    let mta = Mta::start();
    let mut gate = Setup::before(mta.address()).mx().json_log().start();
    let mut client = Client::greeted(gate.mx());
    client
        .deliver("a@example.net", &["b@example.org"], b"Subject: \"quoted\" \\ \x1b[2J \xff\xc3\xbc\r\nMessage-ID: <x\"y@z>\r\n\r\n")
        .must(250);
    client.ask("MAIL FROM:<\"a\\\"b\"@example.net>").must(250);
    client.ask("RCPT TO:<nobody@example.org>").must(550);
    client.ask("QUIT").must(221);
    gate.log_line(&["delivered"]);
    gate.signal(Signal::TERM);
    gate.wait_exit();
    let log = gate.log();
    let script = "
import json, sys
lines = [json.loads(line) for line in sys.stdin]
delivered = [line for line in lines if line.get('verdict') == 'delivered']
assert len(delivered) == 1, lines
assert delivered[0]['queue_id'] == 'Q00000' and 'quoted' in delivered[0]['subject'], delivered
assert any('no such user' in json.dumps(line).lower() or 'user unknown' in json.dumps(line).lower() for line in lines), lines
";
    let checked = partners::run(&python, ["-c", script], log.join("\n").as_bytes());
    assert!(checked.success, "{}\n{}", checked.text, log.join("\n"));
    assert!(!log.join("").contains('\x1b'), "a terminal would obey this log");
}

#[test]
fn what_is_refused_before_data_is_in_the_log_as_postfix_has_it() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    client.ask("RCPT TO:<nobody@example.org>").must(550);
    client.ask("QUIT").must(221);
    let line = gate.log_line(&["NOQUEUE: reject: RCPT from"]);
    for part in ["[127.0.0.1]", "550 5.1.1", "from=<a@example.net>", "to=<nobody@example.org>", "helo=<client.example.net>"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let line = gate.log_line(&["disconnect from [127.0.0.1]", "quit=1"]);
    assert!(line.contains("rcpt=1") && line.contains("commands=4"), "{line}");
}

#[test]
fn what_the_protocol_refuses_is_told_with_its_address() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[limits]\nmessage_size = \"1MiB\"").start();
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<big@example.net> SIZE=99999999").must(552);
    client.ask("MAIL FROM:<a@example.net> NOSUCH=1").must(555);
    client.ask("MAIL FROM:<a@example.net>").must(250);
    client.ask("RCPT TO:<b@@example.org>").must(501);
    client.ask("QUIT").must(221);
    let line = gate.log_line(&["NOQUEUE: reject: MAIL from [127.0.0.1]", "552 5.3.4"]);
    assert!(line.contains("from=<big@example.net>"), "{line}");
    gate.log_line(&["NOQUEUE: reject: MAIL from [127.0.0.1]", "555 5.5.4", "from=<a@example.net>"]);
    gate.log_line(&["NOQUEUE: reject: RCPT from [127.0.0.1]", "501 5.1.3", "from=<a@example.net>", "to=<b@@example.org>"]);
    let line = gate.log_line(&["disconnect from [127.0.0.1]", "quit=1"]);
    assert!(line.contains("mail=3") && line.contains("rcpt=1") && !line.contains("unknown="), "{line}");
    let found = || super::journal::hunt(&gate, &["big@example.net"]);
    wait::until("the row of what was refused", || found().status.success().then_some(()));
    let text = String::from_utf8(found().stdout).unwrap();
    assert!(text.contains("552 5.3.4"), "{text}");
}

#[test]
fn check_prints_the_chain_or_every_mistake() {
    let mta = Mta::start();
    let stages = "[[stage]]\nname = \"tidy\"\ntype = \"headers\"\ndelete = [\"X-Secret\"]\n\n[[stage]]\nname = \"bounds\"\ntype = \"limits\"\nparts = 100";
    let gate = Setup::before(mta.address()).mx().and(stages).prepare();
    let check = |config: &Path| {
        let mut command = Command::new(Gate::binary());
        command.args(["check", "--config"]).arg(config);
        partners::run_command(command, b"")
    };
    let good = check(&gate.config());
    assert_eq!(good.code, Some(0), "{}", good.text);
    assert!(good.text.contains("tidy") && good.text.contains("bounds") && good.text.contains("default"), "{}", good.text);
    let missing = check(&gate.dir.path().join("missing.toml"));
    assert_eq!(missing.code, Some(1), "{}", missing.text);
    assert!(missing.text.contains("missing.toml"), "{}", missing.text);
    gate.reconfigure("mx.key\"", "gone.key\"");
    let bad = check(&gate.config());
    assert_eq!(bad.code, Some(1), "{}", bad.text);
    assert!(bad.text.contains("gone.key"), "{}", bad.text);
    // And `run` says the same, and does not run.
    let run = partners::run_command(gate.command(), b"");
    assert!(!run.success && run.text.contains("gone.key"), "{}", run.text);
}

#[test]
fn help_is_there_on_every_level() {
    for args in [&["--help"][..], &["run", "--help"], &["check", "--help"], &["certs", "--help"], &["try", "--help"], &["--version"]] {
        let mut command = Command::new(Gate::binary());
        command.args(args);
        let said = partners::run_command(command, b"");
        assert!(said.code == Some(0) && said.text.contains("octroi"), "{args:?}: {}", said.text);
    }
    let mut command = Command::new(Gate::binary());
    command.arg("frobnicate");
    assert_eq!(partners::run_command(command, b"").code, Some(2));
}
