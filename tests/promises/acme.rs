//! Certificates that octroi obtains itself, from Pebble, Let's Encrypt's own test authority.

use super::partners::swaks;
use crate::support::{Authority, Client, Gate, Mta, Setup, client::message, gate::authority, mta, partners, places, wait};
use rustix::process::Signal;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// The authority, and the DNS it asks: every name is here.
struct Pebble {
    dir: TempDir,
    directory: SocketAddr,
    management: SocketAddr,
    /// Where it looks for our answer, instead of port 80, and of 443.
    http: SocketAddr,
    tls: SocketAddr,
    command: Command,
    /// The DNS, and the authority.
    children: [Child; 2],
}

impl Pebble {
    /// Certificates live so many seconds. `None`, with a word, where it is not installed.
    fn start(life: u64) -> Option<Self> {
        Self::asking(life, places::free())
    }

    /// One that looks for answers over TLS there.
    fn asking(life: u64, tls: SocketAddr) -> Option<Self> {
        let (pebble, dns, _) = (partners::find("pebble")?, partners::find("pebble-challtestsrv")?, partners::find("python3")?);
        let dir = tempfile::tempdir().unwrap();
        let [directory, management, http, resolver, of_resolver] = [(); 5].map(|()| places::free());
        let own = Authority::new("whoever runs the authority");
        let (chain, key) = own.identity(&[&directory.ip().to_string()]).write(dir.path(), "pebble");
        fs::write(dir.path().join("ca.pem"), own.pem()).unwrap();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": directory.to_string(), "managementListenAddress": management.to_string(),
            "certificate": chain, "privateKey": key, "httpPort": http.port(), "tlsPort": tls.port(),
            "ocspResponderURL": "", "externalAccountBindingRequired": false, "certificateValidityPeriod": life,
        }});
        fs::write(dir.path().join("pebble.json"), config.to_string()).unwrap();
        let quiet = |command: &mut Command| command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut names = Command::new(dns);
        names.args([
            "-dns01",
            &resolver.to_string(),
            "-defaultIPv4",
            &http.ip().to_string(),
            "-defaultIPv6",
            "",
            "-http01",
            "",
            "-https01",
            "",
        ]);
        names.args(["-tlsalpn01", "", "-management", &of_resolver.to_string()]);
        let mut authority = Command::new(pebble);
        authority.arg("-config").arg(dir.path().join("pebble.json")).args(["-dnsserver", &resolver.to_string()]);
        authority.env("PEBBLE_VA_NOSLEEP", "1");
        let children = [quiet(&mut names), quiet(&mut authority)];
        let pebble = Self { dir, directory, management, http, tls, command: authority, children };
        for address in [directory, management, of_resolver] {
            wait::until("the authority to listen", || TcpStream::connect(address).ok());
        }
        Some(pebble)
    }

    /// Another authority in its place: this one keeps nothing.
    fn restart(&mut self) {
        let [_, authority] = &mut self.children;
        authority.kill().unwrap();
        authority.wait().unwrap();
        *authority = self.command.spawn().unwrap();
        wait::until("the authority to listen", || {
            TcpStream::connect(self.directory).and_then(|_| TcpStream::connect(self.management)).ok()
        });
    }

    /// `[tls.acme]`, with our answer at `challenge`.
    fn settings(&self, challenge: SocketAddr) -> String {
        self.settings_with(challenge, "contact = [\"postmaster@example.org\"]")
    }

    /// The same with those lines.
    fn settings_with(&self, challenge: SocketAddr, lines: &str) -> String {
        format!(
            "[tls.acme]\nterms_agreed = true\ndirectory = \"https://{}/dir\"\nca = \"{}/ca.pem\"\nchallenge_address = \"{challenge}\"\n\
             {lines}\n\n",
            self.directory,
            self.dir.path().display()
        )
    }

    /// A client that trusts what it issues, and nothing else.
    fn client(&self) -> Arc<ClientConfig> {
        let script = format!(
            "import ssl, sys, urllib.request\nsys.stdout.write(urllib.request.urlopen('https://{}/roots/0', \
             context=ssl._create_unverified_context()).read().decode())",
            self.management
        );
        let said = Command::new("python3").args(["-c", &script]).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&said.stdout).unwrap()).unwrap();
        let builder =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A gate that has no certificate but what it obtains.
fn gate(mta: &Mta, settings: &str) -> Gate {
    with_none(Setup::before(mta.address()).mx(), settings)
}

/// The same of a setup.
pub fn with_none(setup: Setup, settings: &str) -> Gate {
    let gate = setup.prepare();
    let config = fs::read_to_string(gate.config()).unwrap();
    let (before, rest) = config.split_once("[tls]\n").unwrap();
    let (_, after) = rest.split_once("[[listener]]").unwrap();
    fs::write(gate.config(), format!("{before}{settings}[[listener]]{after}")).unwrap();
    gate
}

fn offers_tls(gate: &Gate) -> Option<Client> {
    let mut client = Client::connect(gate.mx());
    client.banner();
    client.ask("EHLO client.example.net").must(250).lines.iter().any(|line| line == "STARTTLS").then_some(client)
}

/// The certificate that is served, once it is one that verifies. Until it is there nobody connects, so
/// that the end of the log has what became of the order.
fn served(gate: &Gate, trusts: &Arc<ClientConfig>) -> Vec<u8> {
    wait::until_within(Duration::from_secs(150), "a certificate", || {
        wait::pause(Duration::from_millis(100));
        if gate.metrics().get("octroi_tls_placeholder") == 1.0 {
            return None;
        }
        shown(gate, trusts, "mx.example.org")
    })
}

/// The certificate that a client is shown which asks for `name` and trusts nobody else.
fn shown(gate: &Gate, trusts: &Arc<ClientConfig>, name: &str) -> Option<Vec<u8>> {
    let mut client = offers_tls(gate)?;
    client.ask("STARTTLS").must(220);
    client.start_tls(trusts, name).ok()?;
    Some(client.wire().tls().unwrap().peer_certificates().unwrap()[0].to_vec())
}

/// A gate that has obtained its first certificate, who trusts that, and the certificate.
fn served_by(pebble: &Pebble, mta: &Mta) -> (Gate, Arc<ClientConfig>, Vec<u8>) {
    let mut gate = gate(mta, &pebble.settings(pebble.http));
    gate.run();
    gate.wait_ready();
    let trusts = pebble.client();
    let first = served(&gate, &trusts);
    (gate, trusts, first)
}

fn obtained(gate: &Gate) -> f64 {
    gate.metrics().get("octroi_acme_certificates_total")
}

#[test]
fn a_certificate_is_obtained_served_kept_and_renewed_with_one_account() {
    let Some(pebble) = Pebble::start(60) else { return };
    let mta = Mta::start();
    let (mut gate, trusts, first) = served_by(&pebble, &mta);
    assert!((obtained(&gate), gate.metrics().get("octroi_acme_failures_total")) == (1.0, 0.0));
    assert!(TcpStream::connect(pebble.http).is_err(), "nobody listens for challenges when none is to come");
    gate.log_line(&["made an account"]);
    // Its key is for nobody's eyes.
    let folder = gate.dir.path().join("state/acme");
    for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
    }
    // Another process finds both, and asks nobody.
    gate.signal(Signal::TERM);
    gate.wait_exit();
    gate.run();
    gate.wait_ready();
    assert!(served(&gate, &trusts) == first && obtained(&gate) == 0.0);
    // Two thirds of its life later there is another, and nobody was turned away.
    wait::until_within(Duration::from_secs(90), "a renewed certificate", || (served(&gate, &trusts) != first).then_some(()));
    assert!(obtained(&gate) >= 1.0);
    let accounts = gate.log().iter().filter(|line| line.contains("made an account")).count();
    assert_eq!(accounts, 1, "the account stays");
}

#[test]
fn an_authority_that_grants_nothing_takes_no_mail_down() {
    let Some(pebble) = Pebble::start(3600) else { return };
    let mta = Mta::start();
    // It looks for our answer elsewhere.
    let mut gate = gate(&mta, &pebble.settings(places::free()));
    gate.run();
    gate.wait_ready();
    wait::until_within(Duration::from_secs(60), "a failure", || (gate.metrics().get("octroi_acme_failures_total") == 1.0).then_some(()));
    gate.log_line(&["no certificate could be obtained", "acme-challenge/", "onnection refused"]);
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message("hello")).must(250);
    assert_eq!(mta.kept().len(), 1);
}

/// Until there is a certificate: mail comes encrypted from whoever does not look, and nobody is asked
/// for a password.
#[test]
fn until_the_first_is_there_one_is_shown_that_nobody_can_verify_but_not_for_passwords() {
    let Some(pebble) = Pebble::start(3600) else { return };
    let extensions: Vec<_> = mta::EXTENSIONS.iter().copied().chain(["AUTH PLAIN LOGIN"]).collect();
    let mta = Mta::offering(&extensions);
    let taken = std::net::TcpListener::bind(pebble.http).unwrap();
    let setup = Setup::before(mta.address()).mx();
    let setup = setup.listener("submission", "tls = \"starttls\"\nrequire_tls = true\nauth = \"forward\"");
    let setup = setup.listener("submissions", "tls = \"implicit\"\nauth = \"forward\"").console("");
    let mut gate = with_none(setup, &pebble.settings(pebble.http));
    let said = gate.octroi(&["certs"], "");
    assert!(said.success && said.text.contains("No certificate yet: octroi obtains one for mx.example.org"), "{}", said.text);
    gate.run();
    gate.wait_ready();
    gate.log_line(&["no certificate yet", "self_signed=mx", "without_tls=\"submission submissions\""]);
    gate.log_line(&["console: no certificate yet"]);
    gate.log_line(&["no certificate could be obtained"]);
    assert_eq!(gate.metrics().get("octroi_tls_placeholder"), 1.0);
    // Who looks is not deceived; who does not sends under TLS.
    let trusts = pebble.client();
    assert_eq!(shown(&gate, &trusts, "mx.example.org"), None);
    let copy = gate.dir.path().join("shown.pem");
    let args = ["--to", "b@example.org", "--header", "Subject: encrypted", "--tls", "--tls-get-peer-cert", copy.to_str().unwrap()];
    if let Some(said) = swaks(&args, gate.mx()) {
        assert!(said.success && said.text.contains("TLS started"), "{}", said.text);
        gate.log_line(&["verdict=delivered", "tls=TLSv1.3"]);
        let certificate = CertificateDer::from_pem_file(&copy).unwrap();
        let subject = x509_parser::parse_x509_certificate(&certificate).unwrap().1.subject().to_string();
        assert_eq!(subject, "CN=octroi, no certificate yet");
    }
    // No password is taken, in clear or otherwise.
    let mut client = Client::greeted(gate.address("submission"));
    client.ask("STARTTLS").must(502);
    assert_eq!(client.ask("AUTH PLAIN AGFsaWNlAG9wZW5zZXNhbWU=").code / 100, 5);
    client.ask("MAIL FROM:<a@example.org>").must(530);
    assert_eq!(Client::connect(gate.address("submissions")).closed(), b"");
    gate.log_line(&["there is no certificate yet", "submissions"]);
    assert!(!mta.lines().iter().any(|line| line.starts_with("AUTH")));
    assert!(!is_answered(gate.console(), &trusts));

    // It can be obtained, and everything is as it should be: without a restart, nor with a session cut.
    let mut under_way = Client::greeted(gate.mx());
    drop(taken);
    gate.signal(Signal::HUP);
    let first = served(&gate, &trusts);
    gate.wait_metric("octroi_tls_placeholder", 0.0);
    wait::until("the console", || is_answered(gate.console(), &trusts).then_some(()));
    let mut client = Client::secured(gate.address("submission"), &trusts);
    client.ask("AUTH PLAIN AGFsaWNlAG9wZW5zZXNhbWU=").must(235);
    let mut client = Client::connect(gate.address("submissions"));
    client.start_tls(&trusts, "mx.example.org").unwrap();
    client.banner();
    assert_eq!(client.wire().tls().unwrap().peer_certificates().unwrap()[0].to_vec(), first);
    under_way.deliver("a@example.net", &["b@example.org"], &message("over all of it")).must(250);
    let said = gate.octroi(&["certs"], "");
    assert!(said.success && said.text.contains("state/acme/certificate.pem"), "{}", said.text);
}

/// Whether somebody there does a handshake that `trusts` is content with.
fn is_answered(at: SocketAddr, trusts: &Arc<ClientConfig>) -> bool {
    is_answered_in(&[], at, trusts).is_some()
}

/// The same, for a client that wants to speak one of `protocols`; the one that was agreed on.
fn is_answered_in(protocols: &[&[u8]], at: SocketAddr, trusts: &Arc<ClientConfig>) -> Option<Option<Vec<u8>>> {
    let mut tcp = TcpStream::connect(at).unwrap();
    let mut config = ClientConfig::clone(trusts);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let mut tls = ClientConnection::new(Arc::new(config), "mx.example.org".try_into().unwrap()).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).ok()?;
    }
    Some(tls.alpn_protocol().map(<[u8]>::to_vec))
}

#[test]
fn the_names_are_shown_to_be_ours_over_tls_too() {
    let Some(pebble) = Pebble::start(3600) else { return };
    let mta = Mta::start();
    let names = "challenge = \"tls-alpn-01\"\nnames = [\"mx.example.org\", \"more.example.org\"]";
    let mut gate = gate(&mta, &pebble.settings_with(pebble.tls, names));
    gate.run();
    gate.wait_ready();
    let trusts = pebble.client();
    let first = served(&gate, &trusts);
    assert_eq!(shown(&gate, &trusts, "more.example.org"), Some(first));
    assert_eq!((obtained(&gate), gate.metrics().get("octroi_acme_failures_total")), (1.0, 0.0));
    assert!(TcpStream::connect(pebble.tls).is_err(), "nobody listens for challenges when none is to come");
}

/// Port 443 is where a console stands; it need not make way, and has no certificate itself yet.
#[test]
fn the_console_answers_authorities_that_ask_at_its_place() {
    let mta = Mta::start();
    let mut gate = with_none(Setup::before(mta.address()).mx().console(""), "# here\n");
    let Some(pebble) = Pebble::asking(3600, gate.console()) else { return };
    gate.reconfigure("# here\n", &pebble.settings_with(pebble.tls, "challenge = \"tls-alpn-01\""));
    gate.run();
    gate.wait_ready();
    let trusts = pebble.client();
    served(&gate, &trusts);
    wait::until("the console", || is_answered(gate.console(), &trusts).then_some(()));
    assert_eq!((obtained(&gate), gate.metrics().get("octroi_acme_failures_total")), (1.0, 0.0));
    // Who asks as an authority does, when none has reason to, is not answered; browsers are.
    for (protocols, answered) in [
        (&[&b"acme-tls/1"[..]][..], None),
        (&[b"http/1.1"], Some(Some(b"http/1.1".to_vec()))),
        (&[b"acme-tls/1", b"http/1.1"], Some(Some(b"http/1.1".to_vec()))),
        (&[], Some(None)),
    ] {
        assert_eq!(is_answered_in(protocols, gate.console(), &trusts), answered, "{protocols:?}");
    }
}

#[test]
fn an_authority_that_is_gone_leaves_the_certificate_that_is_there() {
    let Some(pebble) = Pebble::start(60) else { return };
    let mta = Mta::start();
    let (gate, trusts, first) = served_by(&pebble, &mta);
    drop(pebble);
    wait::until_within(Duration::from_secs(90), "a failure", || (gate.metrics().get("octroi_acme_failures_total") >= 1.0).then_some(()));
    gate.log_line(&["no certificate could be obtained"]);
    // It may have ended by now, which is for clients to judge.
    let mut client = offers_tls(&gate).unwrap();
    client.ask("STARTTLS").must(220);
    let _ = client.start_tls(&trusts, "mx.example.org");
    assert!(fs::read_to_string(gate.dir.path().join("state/acme/certificate.pem")).unwrap().contains("BEGIN CERTIFICATE"));
    assert!(!first.is_empty());
}

/// Another `[tls.acme]` in a configuration that has other certificates, and SIGHUP; whether it was taken.
fn reload(gate: &Gate, without: &str, settings: &str) -> bool {
    fs::write(gate.config(), without.replacen("[[listener]]", &format!("{settings}[[listener]]"), 1)).unwrap();
    let before = gate.log().len();
    gate.signal(Signal::HUP);
    wait::until("the reload", || {
        let log = gate.log();
        let mut after = log.iter().skip(before).skip_while(|line| !line.contains("SIGHUP"));
        after.find_map(|line| {
            if line.contains("holds for new sessions") { Some(true) } else { line.contains("old configuration stays").then_some(false) }
        })
    })
}

#[test]
fn whatever_a_reload_changes_takes_effect() {
    let (Some(one), Some(two)) = (Pebble::start(3600), Pebble::start(3600)) else { return };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let without = fs::read_to_string(gate.config()).unwrap();
    let mut under_way = Client::secured(gate.mx(), &authority().client());
    let accounts = || gate.log().iter().filter(|line| line.contains("made an account")).count();
    let comes_to = |what: &str, of: &Pebble, name: &str, not: &[Vec<u8>]| {
        let trusts = of.client();
        wait::until_within(Duration::from_secs(60), what, || shown(&gate, &trusts, name).filter(|now| !not.contains(now)))
    };
    // Added, for a name that no certificate has.
    let names = |names: &str| one.settings_with(one.http, &format!("names = [{names}]\ncontact = [\"postmaster@example.org\"]"));
    assert!(reload(&gate, &without, &names("\"added.example.org\"")));
    let first = comes_to("a certificate for the name", &one, "added.example.org", &[]);
    assert!(shown(&gate, &authority().client(), "mx.example.org").is_some(), "what was there is there");
    // Another name: one certificate for both.
    assert!(reload(&gate, &without, &names("\"added.example.org\", \"more.example.org\"")));
    let second = comes_to("a certificate for both", &one, "more.example.org", &[]);
    assert_eq!(shown(&gate, &one.client(), "added.example.org"), Some(second.clone()));
    // One name less is no reason for another.
    assert!(reload(&gate, &without, &names("\"more.example.org\"")));
    // Another authority is, however long the old one's would do: who has tried with an authority for
    // trying wants what the world trusts, and at once.
    assert!(reload(&gate, &without, &two.settings_with(two.http, "names = [\"more.example.org\"]")));
    let third = comes_to("one from the other authority", &two, "more.example.org", &[]);
    assert_eq!((accounts(), obtained(&gate)), (2, 3.0));
    // Back again: with the account that is there, which is told of another contact.
    assert!(reload(&gate, &without, &one.settings_with(one.http, "names = [\"more.example.org\"]\ncontact = [\"other@example.org\"]")));
    comes_to("one from the first authority", &one, "more.example.org", &[first, second, third]);
    gate.log_line(&["of another contact", "mailto:other@example.org"]);
    assert_eq!((accounts(), obtained(&gate)), (2, 4.0));
    // Removed: no longer served, nor told of.
    let told = || gate.metrics().sum("octroi_tls_certificate_expiry_timestamp_seconds", "state/acme/certificate.pem");
    assert!(told() > 0.0);
    assert!(reload(&gate, &without, ""));
    assert_eq!((shown(&gate, &one.client(), "more.example.org"), told()), (None, 0.0));
    assert_eq!(gate.metrics().get("octroi_acme_failures_total"), 0.0);
    under_way.deliver("a@example.net", &["b@example.org"], &message("over all of it")).must(250);
}

#[test]
fn a_reload_tries_again_at_once_and_takes_no_last_certificate_away() {
    let Some(pebble) = Pebble::start(3600) else { return };
    let mta = Mta::start();
    let taken = std::net::TcpListener::bind(pebble.http).unwrap();
    let mut gate = gate(&mta, &pebble.settings(pebble.http));
    gate.run();
    gate.wait_ready();
    gate.log_line(&["no certificate could be obtained", "nothing can listen", "again_in=60s"]);
    drop(taken);
    let config = fs::read_to_string(gate.config()).unwrap();
    assert!(reload(&gate, &config, ""));
    // Long before the minute is over.
    wait::until("a certificate", || (obtained(&gate) == 1.0).then_some(()));
    let trusts = pebble.client();
    let first = served(&gate, &trusts);
    let without = config.replacen(&pebble.settings(pebble.http), "", 1);
    assert!(!reload(&gate, &without, ""));
    gate.log_line(&["there is no certificate", "[tls]"]);
    assert_eq!(served(&gate, &trusts), first);
}

#[test]
fn an_authority_that_has_forgotten_us_is_introduced_to_us_again() {
    let Some(mut pebble) = Pebble::start(3600) else { return };
    let mta = Mta::start();
    let mut gate = gate(&mta, "# here\n");
    let config = fs::read_to_string(gate.config()).unwrap();
    gate.reconfigure("# here\n", &pebble.settings_with(pebble.http, ""));
    gate.run();
    gate.wait_ready();
    served(&gate, &pebble.client());
    // It is asked for a certificate, and told of another contact first.
    for (nth, contact) in ["", "contact = [\"other@example.org\"]"].into_iter().enumerate() {
        pebble.restart();
        let names = format!("names = [\"mx.example.org\", \"more{nth}.example.org\"]\n{contact}");
        assert!(reload(&gate, &config, &pebble.settings_with(pebble.http, &names)));
        served(&gate, &pebble.client());
        let said = |what: &str| gate.log().iter().filter(|line| line.contains(what)).count();
        assert_eq!((said("does not know our account any more"), said("made an account")), (nth + 1, nth + 2));
    }
    assert_eq!((obtained(&gate), gate.metrics().get("octroi_acme_failures_total")), (3.0, 0.0));
}
