//! DKIM: what counts, what does not, and what is meant to look as if it did.
use super::{server::Mood, *};
use mail_auth::dkim::Canonicalization;

/// The result, its reason in the header, and the domains that pass.
async fn dkim(world: &World, headers: &str, body: &str) -> (String, String, String) {
    let said = world.says("add_header = true", "a@nowhere.example", headers, body).await;
    let why = said
        .header()
        .split("dkim=")
        .nth(1)
        .unwrap()
        .split(['(', ')'])
        .nth(1)
        .filter(|_| said.header().contains(" (") && said.found("auth.dkim") != "pass");
    (said.found("auth.dkim"), why.unwrap_or_default().to_owned(), said.found("auth.dkim_domains"))
}

fn result(outcome: &str, why: &str) -> (String, String, String) {
    (outcome.into(), why.into(), String::new())
}

#[tokio::test]
async fn both_canonical_forms_are_verified_in_pieces() {
    let world = World::new();
    let body = "A body  with \t blanks. \r\n\r\nAnd more\r\n\r\n\r\n";
    for form in [Canonicalization::Simple, Canonicalization::Relaxed] {
        for body in [body, "", "\r\n", "no line end"] {
            let signer = DkimSigner::from_key(world.key()).domain("example.org").selector("s").headers(["From", "Subject"]);
            let signer = signer.body_canonicalization(form).header_canonicalization(form);
            let headers = signer.sign(format!("{FROM}\r\n{body}").as_bytes()).unwrap().to_header() + FROM;
            assert_eq!(dkim(&world, &headers, body).await, ("pass".into(), String::new(), "example.org".into()), "{form:?} {body:?}");
        }
    }
}

#[tokio::test]
async fn what_was_changed_fails() {
    let world = World::new();
    let signed = world.signed("example.org", FROM, BODY);
    assert_eq!(dkim(&world, &signed, "Another body.\r\n").await, result("fail", "body was changed"));
    assert_eq!(dkim(&world, &signed, &format!("{BODY}more\r\n")).await, result("fail", "body was changed"));
    let changed = signed.replace("Subject: hello", "Subject: pay now");
    assert_eq!(dkim(&world, &changed, BODY).await, result("fail", "signed fields were changed"));
    let changed = signed.replace("ann@example.org", "bob@example.org");
    assert_eq!(dkim(&world, &changed, BODY).await, result("fail", "signed fields were changed"));
    let untouched = signed.replace("To: b@", "X-Hop: 1\r\nTo: b@");
    assert_eq!(dkim(&world, &untouched, BODY).await.0, "pass", "what is not signed may change");
}

#[tokio::test]
async fn keys_that_are_not_there_or_not_keys_are_no_pass() {
    let world = World::new();
    let signed = world.signed("nowhere.example", FROM, BODY);
    assert_eq!(dkim(&world, &signed, BODY).await, result("permerror", "no key"));
    world.dns.mood_of("s._domainkey.nowhere.example", Mood::ServFail);
    assert_eq!(dkim(&world, &signed, BODY).await, result("temperror", "no answer from DNS"));
    for record in ["v=DKIM1; k=ed25519; p=", "v=DKIM1; k=ed25519; p=AAAA", "v=DKIM1; p=garbage", "v=spf1 -all"] {
        let world = World::new();
        world.dns.txt("s._domainkey.other.example", record);
        let (outcome, _, domains) = dkim(&world, &world.signed("other.example", FROM, BODY), BODY).await;
        assert!(outcome != "pass" && outcome != "temperror" && domains.is_empty(), "{record}: {outcome}");
    }
}

#[tokio::test]
async fn signatures_that_hold_but_should_not_count_do_not() {
    let world = World::new();
    let sign = |headers: &str, names: &[&str]| {
        let signer = DkimSigner::from_key(world.key()).domain("example.org").selector("s").headers(names.to_vec());
        signer.sign(format!("{headers}\r\n{BODY}").as_bytes()).unwrap().to_header()
    };
    // A second Subject on top: a reader may show that one (RFC 6376 §8.15).
    let doubled = sign(FROM, &["From", "Subject"]) + "Subject: pay now\r\n" + FROM;
    assert_eq!(dkim(&world, &doubled, BODY).await, result("policy", "a repeated field is not signed"));
    let both = format!("Subject: one\r\n{FROM}");
    let covered = sign(&both, &["From", "Subject", "Subject"]);
    assert!(covered.to_ascii_lowercase().matches("subject").count() >= 2, "{covered}");
    let signer = DkimSigner::from_key(world.key()).domain("example.org").selector("s").headers(["From"]).body_length(true);
    let partly = signer.sign(format!("{FROM}\r\n{BODY}").as_bytes()).unwrap().to_header() + FROM;
    assert_eq!(dkim(&world, &partly, &format!("{BODY}and whatever else")).await, result("policy", "only a part of the body is signed"));
    let without = sign(FROM, &["To", "Subject"]) + FROM;
    assert_eq!(dkim(&world, &without, BODY).await, result("permerror", "From is not signed"));
}

#[tokio::test]
async fn names_that_dns_reads_differently_are_not_asked_for() {
    let world = World::new();
    let signed = world.signed("example.org", FROM, BODY);
    let before = world.dns.asked().len();
    for (right, wrong) in [
        ("s=s;", "s=s._domainkey.attack.example.\u{1};"),
        ("d=example.org;", "d=example.org@attack;"),
        ("s=s;", "s=a/b;"),
        ("d=example.org;", "d=exa..org;"),
    ] {
        let forged = signed.replacen(right, wrong, 1);
        assert_ne!(forged, signed);
        assert_eq!(dkim(&world, &forged, BODY).await, result("permerror", "no possible domain or selector"), "{wrong:?}");
    }
    let asked = world.dns.asked();
    assert!(!asked[before..].iter().any(|question| question.contains("_domainkey")), "{asked:#?}");
}

#[tokio::test]
async fn malformed_signatures_are_neutral_and_cost_nothing() {
    let world = World::new();
    for wrong in [
        "",
        "nonsense",
        "v=1; a=rsa-sha256; d=example.org",
        "v=2; a=ed25519-sha256; d=example.org; s=s; h=from; bh=AA==; b=AA==",
        "v=1; a=x; d=example.org; s=s; h=from; bh=AA==; b=AA==",
    ] {
        let headers = format!("DKIM-Signature: {wrong}\r\n{FROM}");
        assert_eq!(dkim(&world, &headers, BODY).await.0, "neutral", "{wrong}");
    }
    assert_eq!(dkim(&world, FROM, BODY).await, result("none", ""));
}

#[tokio::test]
async fn hundreds_of_signatures_cost_few_look_ups_and_the_authors_own_is_among_them() {
    let world = World::new();
    let mut headers = String::new();
    for n in 0..300 {
        headers += &world.signed(&format!("{n}.example"), FROM, BODY).replace(FROM, "");
    }
    let headers = headers + &world.signed("example.org", FROM, BODY);
    let before = world.dns.asked().len();
    let (outcome, _, domains) = dkim(&world, &headers, BODY).await;
    assert_eq!((outcome.as_str(), domains.as_str()), ("pass", "example.org"));
    let keys = world.dns.asked()[before..].iter().filter(|question| question.contains("_domainkey")).count();
    assert_eq!(keys, 8);
}

#[tokio::test]
async fn a_signature_that_names_a_hundred_thousand_fields_is_not_looked_at() {
    let world = World::new();
    let names: String = (0..40_000).map(|n| format!("x{n}:")).collect();
    let signature = format!("DKIM-Signature: v=1; a=ed25519-sha256; d=example.org; s=s; h={names}from; bh=AAAA; b=AAAAAAAA\r\n");
    let fields: String = (0..40_000).map(|n| format!("y{n}:\r\n")).collect();
    let begun = std::time::Instant::now();
    assert_eq!(dkim(&world, &(signature + &fields + FROM), BODY).await, result("policy", "too many signed fields"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn tens_of_thousands_of_signatures_and_fields_take_no_longer_than_there_are_octets() {
    let world = World::new();
    let signature = "DKIM-Signature: v=1; d=a.b; s=s; h=from:subject; bh=AAAA; b=AAAA\r\n".repeat(8_000);
    let fields = "Subject:\r\n".repeat(40_000);
    let begun = std::time::Instant::now();
    assert_eq!(dkim(&world, &(signature + &fields + FROM), BODY).await, result("policy", "a repeated field is not signed"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
