//! The whole path with programs that others wrote at both ends: Postfix and Exim behind, swaks,
//! smtplib and smtp-source before.

use crate::support::{Client, Gate, Mta, Setup, client::message, exim::Exim, gate, partners, places, postfix::Postfix, wait};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

const XCLIENT: &str = "smtpd_authorized_xclient_hosts = 127.0.0.0/8";

/// Sends what `args` say; `None`, with a word, where it is not installed.
pub fn swaks(args: &[&str], server: SocketAddr) -> Option<partners::Output> {
    let program = partners::find("swaks")?;
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let common = ["--server", &host, "--port", &port, "--helo", "client.example.net", "--from", "a@example.net"];
    Some(partners::run(&program, common.iter().chain(args), b""))
}

fn before_postfix(postfix: &Postfix, identity: &str) -> Setup {
    Setup::before_lines(&format!("addresses = [\"{}\"]\nidentity = \"{identity}\"\ntls = \"off\"", postfix.address()))
}

/// The queue id in Postfix's words.
fn queue_id(text: &str) -> &str {
    let at = text.find("queued as ").unwrap_or_else(|| panic!("no queue id in {text:?}"));
    text[at + "queued as ".len()..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap()
}

#[test]
fn swaks_over_starttls_lands_in_postfix_with_the_true_client() {
    let Some(postfix) = Postfix::start(XCLIENT) else { return };
    let gate = before_postfix(&postfix, "xclient").mx().start();
    let client = places::client(77).to_string();
    let args = ["--to", "b@example.org", "--tls", "--header", "Subject: through the gate", "--body", "hello", "--local-interface", &client];
    let Some(said) = swaks(&args, gate.mx()) else { return };
    assert!(said.success, "{}", said.text);

    // Postfix's own queue id is what the client saw.
    let id = queue_id(&said.text);
    wait::until("the log of Postfix", || postfix.log().contains(&format!("{id}: client=unknown[{client}]")).then_some(()));
    let landed = String::from_utf8(postfix.wait_for("through the gate")).unwrap();
    assert!(landed.contains(&format!("Received: from client.example.net (unknown [{client}])")), "{landed}");
    assert!(landed.contains(&format!("id {id}")), "{landed}");
    // Our own Received stands below it, with what TLS there was.
    let ours = landed.split("Received: ").nth(2).unwrap();
    assert!(ours.contains(&client) && ours.contains("by mx.example.org") && ours.contains("TLSv1.3"), "{ours}");

    // The log line has our id, Postfix's and the Message-ID; the metrics have the same story.
    let line = gate.log_line(&["verdict=delivered"]);
    for part in [
        &format!("queue_id={id}"),
        &format!("client=[{client}]"),
        "tls=TLSv1.3",
        "from=<a@example.net>",
        "to=<b@example.org>",
        "message-id=",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let our_id = line.split([' ', '>', ':']).find(|word| word.len() == 26).unwrap();
    assert!(ours.contains(our_id), "{our_id} is not in {ours}");
    let metrics = gate.metrics();
    assert_eq!(metrics.messages("delivered"), 1.0);
    assert_eq!(metrics.get("octroi_tls_handshakes_total{listener=\"mx\",result=\"tlsv1.3\"}"), 1.0);
    assert_eq!(metrics.get("octroi_recipients_total{listener=\"mx\"}"), 1.0);
    assert_eq!(metrics.get("octroi_message_size_bytes_count"), 1.0);
}

#[test]
fn xclient_is_said_for_every_client_over_pooled_connections() {
    let Some(postfix) = Postfix::start(XCLIENT) else { return };
    let gate = before_postfix(&postfix, "xclient").mx().start();
    for n in 11..31_u8 {
        let mut client = Client::connect_from(places::client(n), gate.mx());
        client.banner();
        client.ask(&format!("EHLO host{n}.example.net")).must(250);
        client.deliver("a@example.net", &["b@example.org"], &message(&format!("client-{n}"))).must(250);
        client.ask("QUIT").must(221);
    }
    for n in 11..31_u8 {
        let landed = String::from_utf8(postfix.wait_for(&format!("client-{n}@"))).unwrap();
        let wanted = format!("Received: from host{n}.example.net (unknown [{}])", places::client(n));
        assert!(landed.contains(&wanted), "{wanted} is not in {landed}");
    }
    // Pooled: far fewer connections than clients.
    let connects = gate.metrics().get("octroi_upstream_connections_total{source=\"pool\",upstream=\"default\"}");
    assert!(connects >= 10.0, "only {connects} transactions used the pool");
}

/// XCLIENT as its readme has it: attributes the server named, values in xtext, lines of at most 512
/// octets, and ADDR last, since the next line may not be ours to say any more.
#[test]
fn xclient_says_what_the_server_asks_for() {
    let attributes = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";
    for (offered, wanted, unwanted) in [
        (
            attributes,
            &["NAME=", "PORT=", "PROTO=ESMTP", "HELO=client.example.net", "DESTADDR=127.", "DESTPORT="][..],
            &["REVERSE_NAME"][..],
        ),
        ("ADDR HELO", &["HELO=client.example.net"], &["NAME=", "PORT=", "PROTO=", "LOGIN="]),
    ] {
        let mta = Mta::offering(&["PIPELINING", "8BITMIME", &format!("XCLIENT {offered}")]);
        let gate = Setup::before_lines(&format!("addresses = [\"{}\"]\nidentity = \"xclient\"", mta.address())).mx().start();
        let mut client = Client::connect_from(places::client(90), gate.mx());
        client.banner();
        client.ask("EHLO client.example.net").must(250);
        client.deliver("a@example.net", &["b@example.org"], &message("attributes")).must(250);
        let lines = mta.only().xclient;
        let said = lines.join(" ");
        for attribute in wanted.iter().copied().chain([&*format!("ADDR={}", places::client(90))]) {
            assert!(said.contains(attribute), "{attribute} is not in {said}");
        }
        assert!(!unwanted.iter().any(|attribute| said.contains(attribute)), "{said}");
        assert!(lines.iter().all(|line| line.len() <= 510), "{lines:?}");
        assert!(lines.last().is_some_and(|line| line.contains(" ADDR=")), "{lines:?}");
    }
}

#[test]
fn without_an_identity_the_true_client_is_in_our_received() {
    let Some(postfix) = Postfix::start("") else { return };
    let gate = before_postfix(&postfix, "none").mx().start();
    let mut client = Client::connect_from(places::client(78), gate.mx());
    client.banner();
    client.ask("EHLO client.example.net").must(250);
    client.ask("MAIL FROM:<a@example.net>").must(250);
    let refused = client.ask("RCPT TO:<nobody@example.org>").must_be(554, "5.1.1");
    assert!(refused.text().contains("no such user here"), "Postfix's own words: {refused:?}");
    client.ask("RSET").must(250);
    client.deliver("a@example.net", &["b@example.org"], &message("plain")).must(250);
    let landed = String::from_utf8(postfix.wait_for("plain@")).unwrap();
    assert!(landed.contains(&places::client(78).to_string()), "{landed}");
    assert_eq!(landed.matches("\nReceived: ").count(), 2, "{landed}");
}

#[test]
fn postfix_learns_the_client_by_proxy_v2() {
    let Some(postfix) = Postfix::start("smtpd_upstream_proxy_protocol = haproxy") else { return };
    let gate = before_postfix(&postfix, "proxy-v2").mx().start();
    for (n, tls) in [(79, false), (80, true)] {
        let mut client = Client::connect_from(places::client(n), gate.mx());
        client.banner();
        client.ask("EHLO client.example.net").must(250);
        if tls {
            client.ask("STARTTLS").must(220);
            client.start_tls(&gate::authority().client(), "mx.example.org").unwrap();
            client.ask("EHLO client.example.net").must(250);
        }
        for nth in ["first", "second"] {
            client.deliver("a@example.net", &["b@example.org"], &message(&format!("{nth}-{n}"))).must(250);
        }
        for nth in ["first", "second"] {
            let landed = String::from_utf8(postfix.wait_for(&format!("{nth}-{n}@"))).unwrap();
            assert!(landed.contains(&format!("(unknown [{}])", places::client(n))), "{landed}");
        }
    }
}

/// The header's octets: version 2, PROXY, the true addresses, and TLS in its TLV.
#[test]
fn a_proxy_v2_header_says_what_is_known() {
    let mta = Mta::behind_proxy();
    let lines = format!("addresses = [\"{}\"]\nidentity = \"proxy-v2\"\ntls = \"off\"", mta.address());
    let gate = Setup::before_lines(&lines).mx().start();
    let mut client = Client::secured(gate.mx(), &gate::authority().client());
    client.deliver("a@example.net", &["b@example.org"], &message("proxied")).must(250);
    let session = mta.only().session;
    let header = &mta.connections()[session].proxy;
    assert!(header.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), "{header:?}");
    assert_eq!(header[16..20], [127, 0, 0, 1]);
    let (local, port) = (client.wire().local().port(), u16::from_be_bytes([header[24], header[25]]));
    assert_eq!(local, port);
    // PP2_TYPE_SSL, client connected over TLS.
    assert!(header[28..].iter().zip(header[31..].iter()).any(|(kind, flags)| *kind == 0x20 && flags & 1 == 1), "{header:?}");
    assert!(header.windows(7).any(|text| text == b"TLSv1.3"), "{header:?}");
}

#[test]
fn a_proxy_header_is_believed_from_whom_it_is_expected() {
    let Some(postfix) = Postfix::start(XCLIENT) else { return };
    let gate = before_postfix(&postfix, "xclient").listener("lb", "tls = \"starttls\"\nproxy_protocol_from = [\"127.0.0.0/8\"]").start();
    let v2 = |family: u8, addresses: &[u8]| {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n\x21", &[family][..], &length, addresses].concat()
    };
    let v4_addresses = [192, 0, 2, 7, 192, 0, 2, 8, 0x12, 0x34, 0, 25];
    let mut v6_addresses = [0_u8; 36];
    v6_addresses[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    v6_addresses[15] = 7;
    for (subject, header, seen) in [
        ("v1-four", b"PROXY TCP4 192.0.2.7 192.0.2.8 4660 25\r\n".to_vec(), "[192.0.2.7]"),
        ("v1-six", b"PROXY TCP6 2001:db8::9 2001:db8::1 4660 25\r\n".to_vec(), "[IPv6:2001:db8::9]"),
        ("v2-four", v2(0x11, &v4_addresses), "[192.0.2.7]"),
        ("v2-six", v2(0x21, &v6_addresses), "[IPv6:2001:db8::7]"),
    ] {
        // Postfix takes no IPv6 address on a machine without IPv6.
        if seen.contains("IPv6") && !std::path::Path::new("/proc/net/if_inet6").exists() {
            continue;
        }
        // Whole, and octet by octet; what follows at once is the client's.
        for slowly in [false, true] {
            let mut client = Client::connect(gate.address("lb"));
            if slowly {
                // It may be looked at without being taken, so there is no telling when it was read.
                for octet in &header {
                    client.send([*octet]);
                    wait::pause(Duration::from_millis(2));
                }
            } else {
                client.send(&header);
            }
            client.banner();
            client.ask("EHLO client.example.net").must(250);
            let subject = format!("{subject}-{slowly}");
            client.deliver("a@example.net", &["b@example.org"], &message(&subject)).must(250);
            let landed = String::from_utf8(postfix.wait_for(&format!("{subject}@"))).unwrap();
            assert!(landed.contains(&format!("(unknown {seen})")), "{seen} is not in {landed}");
        }
    }
}

#[test]
fn a_proxy_header_that_is_wrong_or_missing_ends_the_connection() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address())
        .listener("lb", "tls = \"off\"\nproxy_protocol_from = [\"127.0.0.0/8\"]")
        .listener("other", "tls = \"off\"\nproxy_protocol_from = [\"10.0.0.0/8\"]")
        .and("[timeouts]\nproxy_header = \"300ms\"")
        .start();
    for header in [
        &b"EHLO client.example.net\r\n"[..],
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.8 99999 25\r\n",
        b"PROXY \r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        b"\x16\x03\x01",
        b"",
    ] {
        let mut client = Client::connect(gate.address("lb"));
        client.send(header);
        let said = client.closed();
        assert!(!said.starts_with(b"220"), "{header:?} was greeted: {:?}", String::from_utf8_lossy(&said));
    }
    // From elsewhere no header is believed: it is a command like others, and none we know.
    let mut stranger = Client::connect(gate.address("other"));
    stranger.banner();
    stranger.say("PROXY TCP4 192.0.2.7 192.0.2.8 4660 25");
    stranger.closed();
    // LOCAL is the balancer's own health check: the connection's own address stands.
    let mut check = Client::connect(gate.address("lb"));
    check.send(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    check.banner();
    check.ask("QUIT").must(221);
}

/// Everything a message may consist of comes out as it went in, on every way through.
#[test]
fn every_octet_arrives() {
    let mut content = b"Subject: octets\r\nX-Long: ".to_vec();
    content.extend(vec![b'x'; 30_000]);
    content.extend_from_slice(b"\r\nX-Blank:  \t \r\n\tfolded \t\r\n\r\n.\r\n..\r\n.text\r\ntrailing blanks   \t \r\n\r\n\r\n");
    content.extend((1..=255_u8).filter(|octet| !matches!(octet, b'\r' | b'\n')));
    content.extend_from_slice("\r\nüñí ’ \u{1F4E7}\r\n\x1b[2J\x08\r\n".as_bytes());
    content.extend(vec![b'y'; 70_000]);
    content.extend_from_slice(b"\r\n--\r\n.\r\n");
    for (extensions, way) in [(&["PIPELINING", "8BITMIME", "CHUNKING"][..], "BDAT"), (&["PIPELINING", "8BITMIME"][..], "DATA")] {
        let mta = Mta::offering(extensions);
        let gate = Setup::before(mta.address()).mx().and("[limits]\nmessage_memory = \"64KiB\"").start();
        let mut client = Client::greeted(gate.mx());
        client.deliver("a@example.net", &["b@example.org"], &content).must(250);
        client.deliver_chunked("a@example.net", &["b@example.org"], &content).must(250);
        let mut secured = Client::secured(gate.mx(), &gate::authority().client());
        secured.deliver("a@example.net", &["b@example.org"], &content).must(250);
        let kept = mta.kept();
        assert_eq!(kept.len(), 3);
        for message in &kept {
            assert!(message.original() == content, "not what was sent, by {way}");
            assert_eq!(message.chunks > 0, way == "BDAT");
        }
    }
}

/// The same through Postfix, which keeps octets as well.
#[test]
fn every_octet_arrives_in_postfix() {
    let Some(postfix) = Postfix::start("") else { return };
    let gate = before_postfix(&postfix, "none").mx().start();
    let body = "8 bit: \u{fc}\u{f1} \r\n.\r\n..dots\r\ntrailing   \r\n\r\n".as_bytes();
    let long = [&vec![b'z'; 40_000][..], b"\r\n"].concat();
    let content = [&message("exactly")[..], body, &long].concat();
    let mut client = Client::greeted(gate.mx());
    client.deliver("a@example.net", &["b@example.org"], &content).must(250);
    client.deliver_chunked("a@example.net", &["b@example.org"], &content).must(250);
    wait::until("both", || (postfix.delivered_count() == 2).then_some(()));
    // A maildir has LF for line ends.
    let expected = String::from_utf8([body, &long].concat()).unwrap().replace("\r\n", "\n");
    for landed in postfix.delivered() {
        assert!(landed.ends_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&landed));
    }
}

#[test]
fn exim_is_served_as_well() {
    let Some(exim) = Exim::start() else { return };
    let gate = Setup::before(exim.address()).mx().start();
    let mut client = Client::secured(gate.mx(), &gate::authority().client());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    let refused = client.ask("RCPT TO:<nobody@example.org>");
    assert!(refused.code == 550 && refused.text().contains("no such user"), "Exim's own words: {refused:?}");
    client.ask("RSET").must(250);
    let content = [&message("for-exim")[..], b".\r\n..dots\r\ntrailing  \r\n"].concat();
    let reply = client.deliver("a@example.net", &["b@example.org"], &content).must(250);
    assert!(reply.text().contains("OK id="), "Exim's own words: {reply:?}");
    let landed = exim.wait_for("for-exim@");
    assert!(landed.ends_with(b"Hello.\n.\n..dots\ntrailing  \n"), "{}", String::from_utf8_lossy(&landed));
    client.deliver_chunked("a@example.net", &["b@example.org"], &message("chunks-for-exim")).must(250);
    exim.wait_for("chunks-for-exim@");
}

#[test]
fn smtplib_is_content() {
    let Some(python) = partners::find("python3") else { return };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().start();
    let script = "
import smtplib, ssl, sys, email.message, email.policy
host, port, ca = sys.argv[1], int(sys.argv[2]), sys.argv[3]
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
with smtplib.SMTP(host, port, local_hostname='client.example.net') as client:
    client.starttls(context=context)
    client.ehlo()
    assert client.has_extn('smtputf8') and client.has_extn('size') and not client.has_extn('starttls')
    refused = client.sendmail('a@example.net', ['b@example.org', 'nobody@example.org'], 'Subject: plain\\r\\n\\r\\n.dot\\r\\n')
    assert list(refused) == ['nobody@example.org'] and refused['nobody@example.org'][0] == 550, refused
    message = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
    message['From'], message['To'], message['Subject'] = 'jürgen@example.net', 'b@example.org', 'grüße'
    message.set_content('grüße\\n')
    client.send_message(message)
    try:
        client.sendmail('a@example.net', ['nobody@example.org'], 'x')
        raise SystemExit('nobody was accepted')
    except smtplib.SMTPRecipientsRefused:
        pass
    assert client.noop()[0] == 250
";
    let ca = gate.dir.path().join("ca.pem");
    std::fs::write(&ca, gate::authority().pem()).unwrap();
    let (host, port) = (gate.mx().ip().to_string(), gate.mx().port().to_string());
    let said = partners::run(&python, ["-c", script, &host, &port, ca.to_str().unwrap()], b"");
    assert!(said.success, "{}", said.text);
    let kept = mta.kept();
    assert_eq!(kept.len(), 2);
    assert_eq!(kept[0].original(), b"Subject: plain\r\n\r\n.dot\r\n");
    assert!(kept[1].mail.contains("SMTPUTF8"), "{}", kept[1].mail);
}

/// A smtp-sink; killed when dropped.
struct Sink(Child);

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn smtp_source_loads_it() {
    let (Some(source), Some(sink)) = (partners::find("smtp-source"), partners::find("smtp-sink")) else { return };
    let address = places::free();
    let mut command = Command::new(sink);
    if rustix::process::geteuid().is_root() {
        command.args(["-u", "nobody"]);
    }
    command.args(["-h", "sink.test"]).arg(address.to_string()).arg("128").stdin(Stdio::null()).stdout(Stdio::null());
    let _sink = Sink(command.spawn().unwrap());
    wait::until("smtp-sink to listen", || std::net::TcpStream::connect(address).ok());
    let gate = Setup::before(address).mx().start();
    // A connection each, and a hundred messages a connection.
    for (flags, messages, size) in [(&["-d"][..], 600, "4096"), (&[][..], 300, "4096"), (&["-d"][..], 20, "2000000")] {
        let before = gate.metrics().messages("delivered");
        let count = messages.to_string();
        let mut args = vec!["-s", "10", "-m", &count, "-l", size, "-f", "a@example.net", "-t", "b@example.org"];
        args.extend(flags);
        let server = format!("inet:{}", gate.mx());
        args.push(&server);
        let said = partners::run(&source, &args, b"");
        assert!(said.success, "{}", said.text);
        wait_delivered(&gate, before + f64::from(messages));
    }
    let metrics = gate.metrics();
    assert_eq!(metrics.messages("rejected") + metrics.messages("deferred") + metrics.messages("lost"), 0.0);
}

fn wait_delivered(gate: &Gate, count: f64) {
    gate.wait_metric("octroi_messages_total{listener=\"mx\",verdict=\"delivered\"}", count);
}
