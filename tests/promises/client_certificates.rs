//! The certificate that octroi shows to an upstream which asks who it is: Debian's Postfix, which goes
//! by its fingerprint or by who signed it.

use crate::support::{Authority, Client, Gate, Reply, Setup, certs::Identity, client::message, partners, postfix::Postfix, wait};
use aws_lc_rs::digest::{SHA256, digest};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{fs, path::Path};
use tempfile::TempDir;

/// As Postfix writes it.
fn fingerprint(identity: &Identity) -> String {
    let der = CertificateDer::from_pem_slice(identity.chain_pem.as_bytes()).unwrap();
    let octets = digest(&SHA256, &der).as_ref().iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>();
    octets.join(":")
}

/// A Postfix that asks for certificates, and the authority that signs its own and those it trusts.
struct Partner {
    files: TempDir,
    authority: Authority,
    postfix: Postfix,
}

impl Partner {
    /// `main_cf`: whom it lets in; FINGERPRINT is that of `known`.
    fn start(main_cf: &str, known: &[&str]) -> Option<Self> {
        partners::find("postfix")?;
        let files = tempfile::tempdir().unwrap();
        let authority = Authority::new("partners");
        fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
        let (chain, key) = authority.identity(&["partner.example"]).write(files.path(), "partner");
        let known: Vec<_> = known
            .iter()
            .map(|name| {
                let identity = authority.identity(&[name]);
                identity.write(files.path(), name);
                format!("{{{} = {name}}}", fingerprint(&identity))
            })
            .collect();
        let main_cf = format!(
            "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_CAfile = {}/ca.pem\n\
             smtpd_tls_fingerprint_digest = sha256\nsmtpd_tls_received_header = yes\nsmtpd_tls_loglevel = 1\n\
             smtpd_tls_session_cache_database = btree:${{data_directory}}/sessions\nrelay_clientcerts = inline:{{ {} }}\n{main_cf}",
            chain.display(),
            key.display(),
            files.path().display(),
            known.join(", ")
        );
        Some(Self { postfix: Postfix::start(&main_cf)?, files, authority })
    }

    fn path(&self) -> &Path {
        self.files.path()
    }

    /// The lines of an upstream that shows what is in NAME.pem.
    fn lines(&self, shown: Option<&str>) -> String {
        let (at, files) = (self.postfix.address(), self.path().display());
        let shown = shown.map(|name| format!("certificate = \"{files}/{name}.pem\"\nprivate_key = \"{files}/{name}.key\"\n"));
        let shown = shown.unwrap_or_default();
        format!("addresses = [\"{at}\"]\ntls = \"required\"\nca = \"{files}/ca.pem\"\nserver_name = \"partner.example\"\n{shown}")
    }
}

/// The answer to a recipient.
fn asks(gate: &Gate, recipient: &str) -> Reply {
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    client.ask(&format!("RCPT TO:<{recipient}>"))
}

const BY_FINGERPRINT: &str = "smtpd_tls_ask_ccert = yes\nsmtpd_client_restrictions = permit_tls_clientcerts, reject\n\
     virtual_mailbox_domains = example.org, stranger.example.com, nobody.example.com";

#[test]
fn postfix_lets_in_whom_it_knows_by_fingerprint() {
    let Some(partner) = Partner::start(BY_FINGERPRINT, &["gate.example"]) else { return };
    partner.authority.identity(&["stranger.example"]).write(partner.path(), "stranger.example");
    let shown = partner.path().join("shown.pem");
    let show = |name: &str| {
        for (from, to) in [(format!("{name}.key"), "shown.key"), (format!("{name}.pem"), "shown.pem")] {
            fs::copy(partner.path().join(from), partner.path().join(to)).unwrap();
        }
    };
    show("gate.example");
    let gate = Setup::before_lines(&partner.lines(Some("shown"))).mx().start();
    let said = gate.octroi(&["check"], "");
    assert!(said.success && said.text.replace(['\n', ' '], "").contains(&format!("tls,shown{}", shown.display())), "{}", said.text);
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message("known")).must(250);
    let landed = String::from_utf8(partner.postfix.wait_for("known@")).unwrap().replace(['\n', '\t'], " ");
    assert!(landed.contains("Client CN \"gate.example\", Issuer \"partners\" (verified OK)"), "{landed}");
    let expiry = format!("octroi_tls_certificate_expiry_timestamp_seconds{{certificate=\"{}\"}}", shown.display());
    assert!(gate.metrics().get(&expiry) > 0.0);

    // Another one, by SIGHUP: neither a connection nor a session of TLS goes on under the old name.
    for (name, code) in [("stranger.example", 554), ("gate.example", 250), ("stranger.example", 554)] {
        show(name);
        let before = gate.metrics().get("octroi_config_last_reload_success_timestamp_seconds");
        gate.signal(Signal::HUP);
        wait::until("the reload", || (gate.metrics().get("octroi_config_last_reload_success_timestamp_seconds") > before).then_some(()));
        let answer = asks(&gate, "b@example.org");
        assert_eq!(answer.code, code, "{name}: {answer:?}");
        // Twice: the second connection resumes what the first began, or comes from the pool.
        assert_eq!(asks(&gate, "b@example.org").code, code, "{name}");
    }
    // By itself, once the files are there.
    show("gate.example");
    wait::until_within(3 * wait::PATIENCE, "the renewed certificate", || (asks(&gate, "b@example.org").code == 250).then_some(()));
    // One that is broken leaves the one that is there.
    fs::write(&shown, "no certificate").unwrap();
    gate.signal(Signal::HUP);
    gate.wait_metric("octroi_config_last_reload_successful", 0.0);
    gate.log_line(&["upstream.default.certificate", "no certificate in it"]);
    assert_eq!(asks(&gate, "b@example.org").code, 250);
}

/// Two names towards one server: each transaction is judged by its own, whichever connection and
/// whichever session the server remembers.
#[test]
fn upstreams_with_different_ones_are_never_taken_for_each_other() {
    let Some(partner) = Partner::start(BY_FINGERPRINT, &["gate.example"]) else { return };
    partner.authority.identity(&["stranger.example"]).write(partner.path(), "stranger.example");
    let (stranger, nobody) = (partner.lines(Some("stranger.example")), partner.lines(None));
    let more = format!(
        "[upstream.stranger]\n{stranger}\n[upstream.nobody]\n{nobody}\n[[route]]\ndomains = [\"stranger.example.com\"]\n\
         upstream = \"stranger\"\n[[route]]\ndomains = [\"nobody.example.com\"]\nupstream = \"nobody\"\n"
    );
    let gate = Setup::before_lines(&partner.lines(Some("gate.example"))).mx().and(&more).start();
    for round in 0..6 {
        for (recipient, code) in [("b@example.org", 250), ("b@stranger.example.com", 554), ("b@nobody.example.com", 554)] {
            let answer = asks(&gate, recipient);
            assert_eq!(answer.code, code, "round {round}, {recipient}: {answer:?}");
        }
    }
    let log = partner.postfix.log();
    assert!(log.contains("Trusted TLS connection established from") && log.contains("Anonymous TLS connection established from"), "{log}");
}

#[test]
fn postfix_that_requires_one_gets_it_and_only_if_it_is_the_right_server() {
    let Some(partner) = Partner::start("smtpd_tls_req_ccert = yes\nsmtpd_tls_security_level = encrypt", &["gate.example"]) else { return };
    let right = partner.lines(Some("gate.example"));
    let mut delivered = 0;
    for (lines, fits) in
        [(right.clone(), true), (partner.lines(None), false), (right.replace("\"partner.example\"", "\"other.example\""), false)]
    {
        let gate = Setup::before_lines(&lines).mx().start_alive();
        let answer = asks(&gate, "b@example.org");
        assert_eq!(answer.code == 250, fits, "{lines}: {answer:?}");
        if fits {
            Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message("required")).must(250);
            partner.postfix.wait_for("required@");
            delivered += 1;
        }
    }
    assert_eq!(partner.postfix.delivered_count(), delivered);
}

#[test]
fn check_tells_what_is_wrong_with_it() {
    let files = tempfile::tempdir().unwrap();
    let authority = Authority::new("partners");
    fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
    for name in ["one", "two"] {
        authority.identity(&[&format!("{name}.example")]).write(files.path(), name);
    }
    let at = files.path().display();
    for (tls, certificate, key, told) in [
        ("required", "one.pem", Some("two.key"), "two.key: not the key of"),
        ("required", "one.pem", None, "`upstream.default.private_key` is missing"),
        ("required", "none.pem", Some("one.key"), "`upstream.default.certificate`"),
        ("opportunistic", "one.pem", Some("one.key"), "`upstream.default.certificate` means something only with tls = \"required\""),
    ] {
        let key = key.map(|key| format!("private_key = \"{at}/{key}\"\n")).unwrap_or_default();
        let ca = if tls == "required" { format!("ca = \"{at}/ca.pem\"\n") } else { String::new() };
        let lines = format!("addresses = [\"127.0.0.1:10025\"]\ntls = \"{tls}\"\n{ca}certificate = \"{at}/{certificate}\"\n{key}");
        let said = Setup::before_lines(&lines).mx().prepare().octroi(&["check"], "");
        assert!(!said.success && said.text.contains(told), "{told}: {}", said.text);
    }
}
