//! DMARC: alignment, and what the author's domain asks for.
use super::{server::Mood, *};

const POLICY: &str = "dmarc = \"policy\"";
const REFUSED: &str = "550 5.7.26 refused by the policy of the author's domain (DMARC)";

#[tokio::test]
async fn what_is_not_the_authors_own_meets_the_policy() {
    let world = World::new();
    world.dns.txt("attack.example", "v=spf1 +all");
    world.publish("attack.example");
    let headers = world.signed("attack.example", FROM, BODY);
    let said = world.says("", "a@attack.example", &headers, BODY).await;
    assert_eq!((said.found("auth.spf"), said.found("auth.dkim"), said.found("auth.dmarc")), ("pass".into(), "pass".into(), "fail".into()));
    assert_eq!((said.found("auth.policy"), said.verdict()), ("reject".into(), "Deliver".into()), "reported, no more");
    assert_eq!(world.says(POLICY, "a@attack.example", &headers, BODY).await.verdict(), REFUSED);
    // One of the two is enough.
    assert_eq!(world.says(POLICY, "ann@example.org", &headers, BODY).await.found("auth.dmarc"), "pass");
    let own = world.signed("example.org", FROM, BODY);
    assert_eq!(world.says(POLICY, "a@attack.example", &own, BODY).await.found("auth.dmarc"), "pass");
}

#[tokio::test]
async fn every_policy_is_done_as_it_says() {
    for (record, policy, verdict) in [
        ("v=DMARC1; p=reject", "reject", REFUSED),
        ("v=DMARC1; p=quarantine", "quarantine", "phishing: other.example asks for quarantine of what is not proven to be its own (DMARC)"),
        ("v=DMARC1; p=none", "none", "Deliver"),
        (
            "v=DMARC1; p=reject; t=y",
            "quarantine",
            "phishing: other.example asks for quarantine of what is not proven to be its own (DMARC)",
        ),
        ("v=DMARC1; p=quarantine; t=y", "none", "Deliver"),
        ("nonsense", "", "Deliver"),
    ] {
        let world = World::new();
        world.dns.txt("_dmarc.other.example", record);
        let said = world.says(POLICY, "a@nowhere.example", "From: a@other.example\r\n", BODY).await;
        assert_eq!((said.found("auth.policy").as_str(), said.verdict().as_str()), (policy, verdict), "{record}");
        let expected = if policy.is_empty() { "none" } else { "fail" };
        assert_eq!(said.found("auth.dmarc"), expected, "{record}");
    }
}

#[tokio::test]
async fn subdomains_have_their_own_policy() {
    let world = World::new();
    world.dns.address("sub.example.org", "192.0.2.5");
    let said = world.says(POLICY, "a@nowhere.example", "From: a@sub.example.org\r\n", BODY).await;
    assert_eq!((said.found("auth.dmarc"), said.found("auth.policy")), ("fail".into(), "quarantine".into()));
    // Relaxed alignment, both ways.
    let said = world.says(POLICY, "ann@example.org", "From: a@sub.example.org\r\n", BODY).await;
    assert_eq!(said.found("auth.dmarc"), "pass");
}

#[tokio::test]
async fn a_policy_that_cannot_be_found_out_is_no_pass_and_no_fail() {
    let world = World::new();
    world.dns.mood_of("_dmarc.example.org", Mood::ServFail);
    let said = world.says(POLICY, "ann@example.org", FROM, BODY).await;
    assert_eq!(
        (said.found("auth.dmarc"), said.found("auth.policy"), said.verdict()),
        ("temperror".into(), String::new(), "Deliver".into())
    );
    let said = world.says("temperror = \"tempfail\"", "ann@example.org", FROM, BODY).await;
    assert_eq!(said.verdict(), "451 4.4.3 DNS gives no answer about the author's domain, try again later");
}

#[tokio::test]
async fn a_message_of_uncertain_authorship_is_refused_held_or_judged_by_the_worst() {
    let world = World::new();
    world.dns.txt("attack.example", "v=spf1 +all").txt("_dmarc.attack.example", "v=DMARC1; p=none");
    let headers = "From: a@attack.example, ann@example.org\r\nTo: b@example.net\r\n";
    let said = world.says("", "a@attack.example", headers, BODY).await;
    assert_eq!(said.verdict(), "550 5.7.1 message refused: it has several authors and nobody who answers for them as Sender");
    assert_eq!((said.found("auth.ambiguous"), said.found("auth.from_domain")), ("several_authors".into(), "attack.example".into()));
    let said = world.says("ambiguous = \"quarantine\"", "a@attack.example", headers, BODY).await;
    assert!(said.verdict().starts_with("phishing: not plain who wrote it: it has several authors"), "{}", said.verdict());
    let said = world.says("ambiguous = \"report\"", "a@attack.example", headers, BODY).await;
    assert_eq!(said.verdict(), "Deliver");
    assert_eq!(
        (said.found("auth.dmarc"), said.found("auth.dmarc_domain"), said.found("auth.policy")),
        ("fail".into(), "example.org".into(), "reject".into())
    );
    let said = world.says("ambiguous = \"report\"\ndmarc = \"policy\"", "a@attack.example", headers, BODY).await;
    assert_eq!(said.verdict(), REFUSED, "a first author of one's own is no way past the second one's policy");
}

#[tokio::test]
async fn what_a_sender_wrote_cannot_leave_its_place_in_the_header() {
    let world = World::new();
    let headers = "From: a@\"; dmarc=pass header.from=bank.example; x=\".example\r\n";
    let said = world.says("ambiguous = \"report\"", "a@nowhere.example", headers, BODY).await;
    let header = said.header();
    let results: Vec<_> = header.split(";\n\t").skip(1).map(|result| result.split([' ', '=']).next().unwrap()).collect();
    assert_eq!(results, ["iprev", "spf", "spf", "dkim", "dmarc"], "{header}");
    assert!(!header.contains('\r') && header.lines().all(|line| line.len() < 900), "{header}");
    let said = world.says("add_header = false", "a@nowhere.example", FROM, BODY).await;
    assert_eq!(said.report.edits, []);
}
