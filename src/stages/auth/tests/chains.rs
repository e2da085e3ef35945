//! ARC: a list that changes what it passes on, and says what it saw before.
use super::*;
use mail_auth::{AuthenticatedMessage, AuthenticationResults, DmarcOutput, DmarcResult, Error, MessageAuthenticator, arc::ArcSealer};

/// Adds a set in the name of `domain` that says what it saw of DMARC.
async fn sealed(world: &World, domain: &str, seen: DmarcResult, headers: &str, body: &str) -> String {
    world.publish(domain);
    let octets = format!("{headers}\r\n{body}");
    let message = AuthenticatedMessage::parse(octets.as_bytes()).unwrap();
    let before = MessageAuthenticator(world.resolver().here().unwrap()).verify_arc(&message).await;
    let output = DmarcOutput::new("example.org".into()).with_spf_result(seen);
    let results = AuthenticationResults::new("mx.list.example").with_dmarc_result(&output);
    let sealer = ArcSealer::from_key(world.key()).domain(domain).selector("s").headers(["From", "To", "Subject"]);
    sealer.seal(&message, &results, &before).unwrap().to_header() + headers
}

const FAIL: DmarcResult = DmarcResult::Fail(Error::NotAligned);

#[tokio::test]
async fn a_chain_is_verified() {
    let world = World::new();
    let once = sealed(&world, "list.example", DmarcResult::Pass, FROM, BODY).await;
    assert_eq!(world.says("", "a@nowhere.example", &once, BODY).await.found("auth.arc"), "pass");
    let twice = sealed(&world, "forward.example", FAIL, &once, BODY).await;
    let said = world.says("", "a@nowhere.example", &twice, BODY).await;
    assert_eq!(said.found("auth.arc"), "pass");
    assert!(said.header().contains(";\n\tarc=pass;"), "{}", said.header());
    assert_eq!(world.says("", "a@nowhere.example", &twice, "changed").await.found("auth.arc"), "fail");
    let changed = twice.replace("Subject: hello", "Subject: pay now");
    assert_eq!(world.says("", "a@nowhere.example", &changed, BODY).await.found("auth.arc"), "fail");
    let cut = twice.replacen("ARC-Seal: ", "X-Seal: ", 1);
    assert_eq!(world.says("", "a@nowhere.example", &cut, BODY).await.found("auth.arc"), "fail", "a set is not whole");
    assert_eq!(world.says("", "a@nowhere.example", FROM, BODY).await.found("auth.arc"), "none");
}

/// A message from `example.org` through a list that changes it: DMARC fails, and whom one trusts
/// decides.
#[tokio::test]
async fn who_is_trusted_can_overrule_a_policy() {
    let world = World::new();
    let list = sealed(&world, "list.example", DmarcResult::Pass, FROM, BODY).await;
    let policy = "dmarc = \"policy\"";
    let trusting = |names: &str| format!("{policy}\ntrusted_sealers = [{names}]");
    let said = world.says(policy, "bounce@list.example", &list, BODY).await;
    assert_eq!((said.found("auth.dmarc"), said.is_true("auth.arc_trusted")), ("fail".into(), false));
    assert!(said.verdict().starts_with("550 5.7.26"), "{}", said.verdict());
    let said = world.says(&trusting("\"LIST.example\""), "bounce@list.example", &list, BODY).await;
    assert_eq!((said.found("auth.dmarc"), said.is_true("auth.arc_trusted"), said.verdict()), ("fail".into(), true, "Deliver".into()));
    let said = world.says(&trusting("\"list.example\""), "bounce@list.example", &list, "changed since").await;
    assert!(said.verdict().starts_with("550 5.7.26"), "{}", said.verdict());
    // Somebody else has had it in their hands since.
    let forwarded = sealed(&world, "forward.example", FAIL, &list, BODY).await;
    let said = world.says(&trusting("\"list.example\""), "bounce@forward.example", &forwarded, BODY).await;
    assert!(said.verdict().starts_with("550 5.7.26"), "{}", said.verdict());
    let said = world.says(&trusting("\"list.example\", \"forward.example\""), "bounce@forward.example", &forwarded, BODY).await;
    assert_eq!(said.verdict(), "Deliver");
    // Trusted, but it saw DMARC fail.
    let failed = sealed(&world, "list.example", FAIL, FROM, BODY).await;
    let said = world.says(&trusting("\"list.example\""), "bounce@list.example", &failed, BODY).await;
    assert!(said.verdict().starts_with("550 5.7.26"), "{}", said.verdict());
}
