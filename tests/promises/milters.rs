//! The stage `milter` with filters that others wrote.

use crate::support::{
    Client, Gate, Mta, Setup,
    client::message,
    partners::{
        clamd::Clamd,
        milters::{Key, Milter},
        spamd::{GTUBE, Spamd},
    },
};

fn stage(name: &str, address: &str) -> String {
    format!("[[stage]]\nname = \"{name}\"\ntype = \"milter\"\naddress = \"{address}\"\ntimeout = \"30s\"\n")
}
fn deliver(gate: &Gate, content: &[u8]) -> u16 {
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], content).code
}
fn mail(subject: &str) -> Vec<u8> {
    format!("From: a@example.net\r\nTo: b@example.org\r\nSubject: {subject}\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n\r\nline \r\n\r\n.dot\r\n")
        .into_bytes()
}
/// What the MTA got last, as text.
fn last(mta: &Mta) -> String {
    String::from_utf8(mta.kept().pop().unwrap().content).unwrap()
}

#[test]
fn what_opendkim_signs_verifies_behind_octroi() {
    let Some(key) = Key::generate() else { return };
    let (Some(signer), Some(verifier)) = (Milter::opendkim(&key, true), Milter::opendkim(&key, false)) else { return };
    let mta = Mta::start();
    let signing = Setup::before(mta.address()).mx().and(&stage("sign", &signer.address)).start();
    let verifying = Setup::before(mta.address()).mx().and(&stage("verify", &verifier.address)).start();

    let mut client = Client::greeted(signing.mx());
    for subject in ["one", "folded\r\n over  two", "three"] {
        client.deliver("a@example.net", &["b@example.org"], &mail(subject)).must(250);
        let signed = last(&mta);
        let (received, signature) = (signed.find("Received: ").unwrap(), signed.find("DKIM-Signature: ").unwrap());
        assert!(received < signature && signed.contains("d=example.net; s=sel;"), "{signed}\n{}", signer.log());
        // Through octroi once more, as the next site would have it, with our trace above it.
        assert_eq!(deliver(&verifying, signed.as_bytes()), 250);
        let verified = last(&mta);
        assert!(verified.contains("Authentication-Results: verifier.example;") && verified.contains("dkim=pass"), "{verified}");
        // And what was changed on the way does not verify.
        assert_eq!(deliver(&verifying, signed.replace("line ", "lime ").as_bytes()), 250);
        let verified = last(&mta);
        assert!(verified.contains("dkim=fail"), "{verified}");
    }
}

#[test]
fn two_filters_one_after_the_other_see_each_others_changes() {
    let Some(key) = Key::generate() else { return };
    let (Some(verifier), Some(signer)) = (Milter::opendkim(&key, false), Milter::opendkim(&key, true)) else { return };
    let Some(dmarc) = Milter::opendmarc() else { return };
    let mta = Mta::start();
    let signing = Setup::before(mta.address()).mx().and(&stage("sign", &signer.address)).start();
    assert_eq!(deliver(&signing, &mail("x")), 250);
    let signed = last(&mta);
    let stages = stage("opendkim", &verifier.address) + &stage("opendmarc", &dmarc.address);
    let gate = Setup::before(mta.address()).mx().and(&stages).start();
    assert_eq!(deliver(&gate, signed.as_bytes()), 250, "{}", dmarc.log());
    let verified = last(&mta);
    let results: Vec<_> = verified.match_indices("Authentication-Results: verifier.example;").collect();
    assert_eq!(results.len(), 2, "{verified}\n{}", dmarc.log());
    assert!(verified.contains("dkim=pass") && verified.contains("dmarc="), "{verified}");
}

#[test]
fn clamavs_milter_refuses_what_the_daemon_finds() {
    let Some(clamd) = Clamd::start(&[("Octroi.Test.Marker", b"octroi-test-marker-0123456789")]) else { return };
    let Some(mut milter) = Milter::clamav(&clamd) else { return };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and(&stage("clamav", &milter.address)).start();
    let infected = [&mail("bad")[..], b"octroi-test-marker-0123456789\r\n"].concat();
    for _ in 0..2 {
        assert_eq!(deliver(&gate, &message("good")), 250, "{}", milter.log());
        assert!(last(&mta).contains("X-Virus-Status: Clean"), "{}", last(&mta));
        assert_eq!(deliver(&gate, &infected), 550, "{}", milter.log());
    }
    milter.kill();
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(451);
    assert_eq!(mta.kept().len(), 2);
}

#[test]
fn spamass_milter_marks_and_refuses() {
    let Some(spamd) = Spamd::start(&[]) else { return };
    let Some(milter) = Milter::spamass(&spamd) else { return };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and(&stage("spamassassin", &milter.address)).start();
    assert_eq!(deliver(&gate, &mail("fine")), 250, "{}", milter.log());
    assert!(last(&mta).contains("X-Spam-Checker-Version: SpamAssassin"), "{}", last(&mta));
    let spam = [&mail("bad")[..], GTUBE.as_bytes(), b"\r\n"].concat();
    assert_eq!(deliver(&gate, &spam), 550, "{}", milter.log());
    assert_eq!(mta.kept().len(), 1);
}
