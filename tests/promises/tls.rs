//! TLS on both sides.

use crate::support::{Act, Authority, Client, Mta, Setup, Step, client::message, gate, mta, wait};
use rustls::{HandshakeKind, ProtocolVersion};
use std::{fs, io::Write, net::TcpStream, sync::Arc};

fn subject_of(client: &mut Client) -> String {
    let tls = client.wire().tls().unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&tls.peer_certificates().unwrap()[0]).unwrap();
    certificate.subject().to_string()
}

#[test]
fn both_versions_and_no_older() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).listener("mx", "tls = \"implicit\"").start();
    for (version, name) in [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)] {
        let mut client = Client::connect(gate.mx());
        client.start_tls(&gate::authority().client_of(version), "mx.example.org").unwrap();
        client.banner();
        assert_eq!(client.wire().tls().unwrap().protocol_version(), Some(name));
        client.ask("QUIT").must(221);
    }
    // A ClientHello of TLS 1.1, as it goes over the wire.
    let mut old = Client::connect(gate.mx());
    let mut hello = vec![0x16, 0x03, 0x01, 0x00, 0x2f, 0x01, 0x00, 0x00, 0x2b, 0x03, 0x02];
    hello.extend([7; 32]);
    hello.extend([0x00, 0x00, 0x04, 0x00, 0x2f, 0x00, 0x35, 0x01, 0x00]);
    old.send(hello);
    let answer = old.closed();
    assert_eq!(answer.first(), Some(&0x15), "an alert, and nothing else: {answer:?}");
    gate.wait_metric("octroi_tls_handshakes_total{listener=\"mx\",result=\"tlsv1.2\"}", 1.0);
    gate.wait_metric("octroi_tls_handshakes_total{listener=\"mx\",result=\"tlsv1.3\"}", 1.0);
    gate.wait_metric("octroi_tls_handshakes_total{listener=\"mx\",result=\"failed\"}", 1.0);
}

#[test]
fn the_certificate_is_chosen_by_name() {
    let mta = Mta::start();
    let setup = Setup::before(mta.address()).listener("mx", "tls = \"implicit\"");
    for name in ["one.example", "two.example"] {
        gate::authority().identity(&[name]).write(setup.dir(), name);
    }
    let gate = setup.prepare();
    let old = fs::read_to_string(gate.config()).unwrap();
    let dir = gate.dir.path().display();
    let single = format!("certificate = \"{dir}/mx.pem\"\nprivate_key = \"{dir}/mx.key\"\n");
    let several: String = ["mx", "one.example", "two.example"]
        .map(|name| format!("[[tls.certificate]]\ncertificate = \"{dir}/{name}.pem\"\nprivate_key = \"{dir}/{name}.key\"\n"))
        .concat();
    assert!(old.contains(&single));
    fs::write(gate.config(), old.replace(&single, &several)).unwrap();
    let mut gate = gate;
    gate.run();
    gate.wait_ready();
    for (asked, shown) in [("one.example", "CN=one.example"), ("two.example", "CN=two.example"), ("mx.example.org", "CN=mx.example.org")] {
        let mut client = Client::connect(gate.mx());
        client.start_tls(&gate::authority().client(), asked).unwrap();
        client.banner();
        assert_eq!(subject_of(&mut client), shown);
    }
    // A name that none of them has: the first.
    let mut client = Client::connect(gate.mx());
    assert!(client.start_tls(&gate::authority().client(), "other.example").is_err(), "the client must not be content with it");
}

#[test]
fn sessions_are_resumed() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let config = gate::authority().client();
    let mut resumed = 0;
    for _ in 0..6 {
        let mut client = Client::secured(gate.mx(), &config);
        client.ask("NOOP").must(250);
        resumed += usize::from(client.wire().tls().unwrap().handshake_kind() == Some(HandshakeKind::Resumed));
        client.ask("QUIT").must(221);
    }
    assert!(resumed >= 4, "{resumed} of 5 could have been, whichever worker they met");
}

#[test]
fn client_certificates_are_requested_or_required() {
    let mta = Mta::start();
    let clients = Authority::new("clients");
    let setup = Setup::before(mta.address())
        .listener("request", "tls = \"implicit\"\nclient_certificate = \"request\"")
        .listener("require", "tls = \"implicit\"\nclient_certificate = \"require\"");
    fs::write(setup.dir().join("clients.pem"), clients.pem()).unwrap();
    let gate = setup.start();
    let known = gate::authority().client_with(&clients.identity(&["laptop.example"]));
    let stranger = gate::authority().client_with(&Authority::new("strangers").identity(&["laptop.example"]));
    let nobody = gate::authority().client();
    // Over TLS 1.3 a client learns only afterwards that its certificate was not liked.
    let connect = |listener: &str, config: &Arc<rustls::ClientConfig>| {
        let mut client = Client::connect(gate.address(listener));
        client.start_tls(config, "mx.example.org").map_err(|e| e.to_string())?;
        client.try_reply().map_err(|e| e.to_string())?.must(220);
        client.ask("EHLO laptop.example").must(250);
        Ok::<_, String>(client)
    };
    for (listener, config, fits) in [
        ("request", &nobody, true),
        ("request", &known, true),
        ("request", &stranger, false),
        ("require", &nobody, false),
        ("require", &known, true),
        ("require", &stranger, false),
    ] {
        assert_eq!(connect(listener, config).is_ok(), fits, "{listener}");
    }
    connect("require", &known).unwrap().deliver("a@example.net", &["b@example.org"], &message("possessed")).must(250);
    gate.log_line(&["verdict=delivered", "laptop.example"]);
}

#[test]
fn a_stalled_handshake_hurts_nobody_else() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).listener("mx", "tls = \"implicit\"").and("[timeouts]\ntls_handshake = \"1s\"").start();
    let stalled: Vec<_> = (0..20)
        .map(|nth| {
            let mut tcp = TcpStream::connect(gate.mx()).unwrap();
            tcp.write_all(&[0x16, 0x03, 0x01][..nth % 4]).unwrap();
            tcp
        })
        .collect();
    let mut client = Client::connect(gate.mx());
    client.start_tls(&gate::authority().client(), "mx.example.org").unwrap();
    client.banner();
    client.ask("QUIT").must(221);
    gate.wait_metric("octroi_tls_handshakes_total{listener=\"mx\",result=\"timed_out\"}", 20.0);
    drop(stalled);
}

/// The connection ends in the middle of a message, with TLS's goodbye or without, or what comes
/// is no TLS any more: nothing is delivered, and nothing of it is executed ("Dead.Letter").
#[test]
fn a_message_that_tls_cuts_short_is_none() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    for nth in 0..6 {
        let mut client = Client::secured(gate.mx(), &gate::authority().client());
        if nth % 2 == 0 {
            client.begin_data("a@example.net", &["b@example.org"]);
            client.send("Subject: cut\r\n\r\nhalf").settle();
        } else {
            client.ask("MAIL FROM:<a@example.net>").must(250);
            client.ask("RCPT TO:<b@example.org>").must(250);
            client.send("BDAT 1000 LAST\r\nSubject: cut\r\n\r\nhalf").settle();
        }
        match nth / 2 {
            // In clear behind the ciphertext.
            0 => client.wire().tcp().try_clone().unwrap().write_all(b"\r\n.\r\nMAIL FROM:<evil@example.net>\r\n").unwrap(),
            1 => client.wire().tcp().shutdown(std::net::Shutdown::Write).unwrap(),
            _ => drop(client),
        }
    }
    gate.wait_metric("octroi_messages_total{listener=\"mx\",verdict=\"lost\"}", 6.0);
    assert!(mta.received().iter().all(|message| !message.is_kept()));
    assert!(!mta.lines().iter().any(|line| line.contains("evil")));
}

#[test]
fn towards_the_upstream_off_opportunistic_required() {
    let ca = Authority::new("upstream ca");
    let server = ca.identity(&["mta.example", "127.0.0.1"]).server();
    for (lines, offered, delivered, encrypted) in [
        ("tls = \"off\"", true, true, false),
        ("tls = \"opportunistic\"", true, true, true),
        ("tls = \"opportunistic\"", false, true, false),
        ("tls = \"required\"\nca = \"CA\"\nserver_name = \"mta.example\"", true, true, true),
        ("tls = \"required\"\nca = \"CA\"\nserver_name = \"mta.example\"", false, false, false),
        ("tls = \"required\"\nca = \"CA\"\nserver_name = \"other.example\"", true, false, false),
        ("tls = \"required\"\nca = \"OTHER\"\nserver_name = \"mta.example\"", true, false, false),
    ] {
        let mta = if offered { Mta::secure(Arc::clone(&server)) } else { Mta::start() };
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("ca.pem"), ca.pem()).unwrap();
        fs::write(files.path().join("other.pem"), Authority::new("other").pem()).unwrap();
        let lines = lines
            .replace("CA\"", &format!("{}/ca.pem\"", files.path().display()))
            .replace("OTHER", &format!("{}/other.pem", files.path().display()));
        let gate = Setup::before_lines(&format!("addresses = [\"{}\"]\n{lines}", mta.address())).mx().start_alive();
        let mut client = Client::greeted(gate.mx());
        client.ask("MAIL FROM:<a@example.net>");
        let answer = client.ask("RCPT TO:<b@example.org>");
        assert_eq!(answer.code == 250, delivered, "{lines}: {answer:?}");
        if !delivered {
            assert!(answer.is_temporary() || answer.code == 503, "{lines}: {answer:?}");
            assert!(!mta.lines().iter().any(|line| line.starts_with("MAIL")), "{lines}: mail in clear");
            continue;
        }
        client.ask("RSET").must(250);
        client.deliver("a@example.net", &["b@example.org"], &message("behind")).must(250);
        let session = mta.only().session;
        assert_eq!(mta.connections()[session].tls, encrypted, "{lines}");
    }
}

/// REQUIRETLS is offered where it can be kept: over TLS, before an upstream that keeps it and whose
/// certificate was verified (RFC 8689 §4.2.1).
#[test]
fn require_tls_is_offered_where_it_can_be_kept() {
    let ca = Authority::new("upstream ca");
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("ca.pem"), ca.pem()).unwrap();
    let extensions: Vec<_> = mta::EXTENSIONS.iter().copied().chain(["REQUIRETLS"]).collect();
    let mta = Mta::with(&extensions, Some(ca.identity(&["mta.example"]).server()), false);
    let verified = format!("tls = \"required\"\nca = \"{}/ca.pem\"\nserver_name = \"mta.example\"", files.path().display());
    for (lines, offered) in [(&*verified, true), ("tls = \"opportunistic\"", false), ("tls = \"off\"", false)] {
        let gate = Setup::before_lines(&format!("addresses = [\"{}\"]\n{lines}", mta.address())).mx().start();
        let mut clear = Client::greeted(gate.mx());
        clear.ask("MAIL FROM:<a@example.net> REQUIRETLS").must(555);
        let mut client = Client::secured(gate.mx(), &gate::authority().client());
        let said = client.ask("EHLO client.example.net").must(250);
        assert_eq!(said.lines.contains(&"REQUIRETLS".to_owned()), offered, "{lines}: {said:?}");
        let answer = client.ask("MAIL FROM:<a@example.net> REQUIRETLS");
        assert_eq!(answer.code == 250, offered, "{lines}: {answer:?}");
        if offered {
            client.ask("RCPT TO:<b@example.org>").must(250);
            client.ask("DATA").must(354);
            client.send(message("sensitive")).send(".\r\n").reply().must(250);
            let kept = mta.only();
            assert!(kept.mail.contains("REQUIRETLS") && mta.connections()[kept.session].tls, "{kept:?}");
        }
    }
}

/// Replies injected before the upstream's handshake answer no question after it (CVE-2021-38371).
#[test]
fn replies_injected_before_the_upstreams_handshake_are_dead() {
    let ca = Authority::new("upstream ca");
    let mta = Mta::secure(ca.identity(&["mta.example"]).server());
    let gate = Setup::before_lines(&format!("addresses = [\"{}\"]\ntls = \"opportunistic\"", mta.address())).mx().start();
    mta.close_all();
    let injected = b"220 2.0.0 Ready\r\n250-forged\r\n250 XCLIENT NAME\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go\r\n250 forged\r\n";
    mta.always(Step::StartTls, Act::Raw(injected.to_vec()));
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>");
    let answer = client.ask("RCPT TO:<b@example.org>");
    assert!(answer.code != 250, "a forged answer was believed");
    assert!(mta.kept().is_empty());
    mta.mend();
    client.ask("RSET").must(250);
    wait::until("recovery", || {
        let mut client = Client::greeted(gate.mx());
        client.ask("MAIL FROM:<a@example.net>");
        (client.ask("RCPT TO:<b@example.org>").code == 250).then_some(())
    });
}

#[test]
fn the_hello_of_a_client_has_its_fingerprint_in_the_log_in_conditions_and_in_what_is_held() {
    use super::quarantine::entries;
    let mta = Mta::start();
    let rule = "[[rule]]\nname = \"ja4\"\nwhen = 'client.ja4.startsWith(\"t13d\") && size(client.ja4) == 36'\nthen = \"quarantine\"\n";
    let held = Setup::before(mta.address()).mx().and(rule).start();
    Client::greeted(held.mx()).deliver("a@example.net", &["b@example.org"], &message("plain")).must(250);
    assert_eq!(mta.kept().len(), 1, "in clear text there is none");
    let mut client = Client::greeted(held.mx());
    client.ask("STARTTLS").must(220);
    client.start_tls(&gate::authority().client(), "mx.example.org").unwrap();
    client.ask("EHLO client.example.net").must(250);
    client.deliver("a@example.net", &["b@example.org"], &message("over TLS")).must(250);
    let [entry] = &entries(&held)[..] else { panic!() };
    let ja4 = entry["client"]["tls"]["ja4"].as_str().unwrap();
    held.log_line(&["verdict=quarantined", &format!("ja4={ja4}")]);
}
