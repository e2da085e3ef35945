//! What the console shows in its handshakes, and how that is exchanged.
use super::people::Person;
use crate::acme::with_none;
use crate::support::{Gate, Mta, Setup, gate, places, wait};
use rustix::process::Signal;
use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// A browser's connection, which stays open.
struct Kept(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Kept {
    fn open(gate: &Gate) -> Self {
        let tcp = TcpStream::connect(gate.console()).unwrap();
        tcp.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        let name = ServerName::try_from("mx.example.org").unwrap();
        Self(BufReader::new(StreamOwned::new(ClientConnection::new(gate::authority().client(), name).unwrap(), tcp)))
    }

    /// Asks for a page on it, to the end of the answer.
    fn ask(&mut self) -> &mut Self {
        self.0.get_mut().write_all(b"GET /sign-in HTTP/1.1\r\nHost: mx.example.org\r\n\r\n").unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "closed after {head:?}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.expect("the answer has a length")];
        self.0.read_exact(&mut body).unwrap();
        self
    }

    fn serial(&self) -> Vec<u8> {
        let leaf = &self.0.get_ref().conn.peer_certificates().unwrap()[0];
        x509_parser::parse_x509_certificate(leaf).unwrap().1.raw_serial().to_owned()
    }
}

/// The certificate of a handshake made now.
fn shown(gate: &Gate) -> Vec<u8> {
    Kept::open(gate).ask().serial()
}

/// A new certificate in the place of the old.
fn replace(gate: &Gate, name: &str) {
    gate::authority().identity(&["mx.example.org"]).write(gate.dir.path(), name);
}

/// A gate whose console has a certificate of its own.
fn with_its_own(mta: &Mta) -> Gate {
    setup_with_its_own(mta).start()
}

fn setup_with_its_own(mta: &Mta) -> Setup {
    let setup = Setup::before(mta.address()).mx();
    let (certificate, key) = gate::authority().identity(&["mx.example.org"]).write(setup.dir(), "console");
    setup.console(&format!("certificate = {certificate:?}\nprivate_key = {key:?}"))
}

#[test]
fn it_is_exchanged_by_sighup_and_by_itself_and_open_connections_go_on() {
    let mta = Mta::start();
    for (gate, name) in [(with_its_own(&mta), "console"), (super::gate(&mta), "mx")] {
        let mut open = Kept::open(&gate);
        let first = open.ask().serial();
        replace(&gate, name);
        gate.signal(Signal::HUP);
        let second = wait::until("the new certificate, by SIGHUP", || Some(shown(&gate)).filter(|now| *now != first));
        replace(&gate, name);
        wait::until_within(Duration::from_secs(90), "the new certificate, by itself", || Some(shown(&gate)).filter(|now| *now != second));
        assert_eq!(open.ask().serial(), first, "what was open is what it was");
        assert_eq!(gate.metrics().get("octroi_config_last_reload_successful"), 1.0);
    }
}

#[test]
fn a_broken_one_leaves_the_old_and_is_told() {
    let mta = Mta::start();
    let gate = with_its_own(&mta);
    let mut open = Kept::open(&gate);
    let first = open.ask().serial();
    let file = |name: &str| gate.dir.path().join(name);
    let (chain, key) = (fs::read(file("console.pem")).unwrap(), fs::read(file("console.key")).unwrap());
    let read = || gate.metrics().get("octroi_config_last_reload_success_timestamp_seconds");
    for (nth, (broken, content, told)) in [
        ("console.pem", &b"no certificate"[..], &["console.pem", "no certificate in it"][..]),
        ("console.key", &fs::read(file("mx.key")).unwrap(), &["console.key", "not the key of", "console.pem"]),
        ("console.key", b"-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n", &["console.key", "base64"]),
    ]
    .into_iter()
    .enumerate()
    {
        let good = read();
        fs::write(file(broken), content).unwrap();
        gate.signal(Signal::HUP);
        gate.wait_metric("octroi_config_last_reload_successful", 0.0);
        gate.log_line(told);
        let stays = || gate.log().iter().filter(|line| line.contains("the old configuration stays")).count();
        wait::until("the log to say so each time", || (stays() > nth).then_some(()));
        assert_eq!(shown(&gate), first, "{broken}");
        assert_eq!(read(), good);
        fs::write(file("console.pem"), &chain).unwrap();
        fs::write(file("console.key"), &key).unwrap();
        gate.signal(Signal::HUP);
        gate.wait_metric("octroi_config_last_reload_successful", 1.0);
        assert!(read() > good);
    }
    assert_eq!(open.ask().serial(), first);
}

/// What is wrong with another part of a new configuration keeps its certificate out as well: there are
/// no half reloads.
#[test]
fn with_a_reload_that_fails_elsewhere_it_is_the_old_one() {
    let mta = Mta::start();
    let gate = with_its_own(&mta);
    let first = shown(&gate);
    replace(&gate, "another");
    // Readable, writable, and of no use: only opening the gate finds that out.
    let state = gate.dir.path().join("elsewhere");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("spool"), "not a directory").unwrap();
    gate.reconfigure("/console.", "/another.");
    gate.reconfigure("/state\"", "/elsewhere\"");
    gate.signal(Signal::HUP);
    gate.wait_metric("octroi_config_last_reload_successful", 0.0);
    gate.log_line(&["elsewhere/spool"]);
    assert_eq!(shown(&gate), first);
    let series =
        |name: &str| format!("octroi_tls_certificate_expiry_timestamp_seconds{{certificate=\"{}/{name}.pem\"}}", gate.dir.path().display());
    assert!(gate.metrics().get(&series("console")) > 0.0);
    gate.reconfigure("/elsewhere\"", "/state\"");
    gate.signal(Signal::HUP);
    gate.wait_metric("octroi_config_last_reload_successful", 1.0);
    assert_ne!(shown(&gate), first);
    assert!(gate.metrics().get(&series("another")) > 0.0);
}

#[test]
fn the_overview_says_that_listeners_have_to_make_do() {
    let mta = Mta::start();
    // Nobody is there, nor will be.
    let acme = format!("[tls.acme]\nterms_agreed = true\ndirectory = \"https://{}/dir\"\n\n", places::free());
    let mut gate = with_none(setup_with_its_own(&mta), &acme);
    gate.run();
    gate.wait_ready();
    gate.log_line(&["no certificate could be obtained"]);
    let mut web = Person::new(&gate, "auditor", &["auditor"], &[]).web(&gate);
    let overview = web.get("/overview").must(200).text();
    assert!(overview.contains("none yet: listeners have a self-signed one"), "{overview}");
}
