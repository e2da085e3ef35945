//! SPF and iprev: what the connection and the envelope show.
use super::{server::Mood, *};

async fn spf(world: &World, record: &str) -> String {
    let domain = format!("{}.example", world.dns.asked().len());
    world.dns.txt(&domain, record);
    world.says("", &format!("a@{domain}"), FROM, BODY).await.found("auth.spf")
}

#[tokio::test]
async fn every_result_of_spf_is_told() {
    let world = World::new();
    world
        .dns
        .address("other.example.org", "192.0.2.9")
        .mx("mx.example.org", "mail.example.org")
        .txt("inner.example", "v=spf1 ip4:192.0.2.0/24 -all");
    for (record, result) in [
        ("v=spf1 ip4:192.0.2.0/28 -all", "pass"),
        ("v=spf1 include:inner.example -all", "pass"),
        ("v=spf1 mx:mx.example.org -all", "pass"),
        ("v=spf1 redirect=inner.example", "pass"),
        ("v=spf1 exists:%{i}.%{d} -all", "fail"),
        ("v=spf1 a:other.example.org -all", "fail"),
        ("v=spf1 a:other.example.org ~all", "softfail"),
        ("v=spf1 a:other.example.org ?all", "neutral"),
        ("v=spf1 a:%{nonsense} -all", "permerror"),
        ("v=spf1 include:nowhere.example -all", "permerror"),
        ("not spf at all", "none"),
    ] {
        assert_eq!(spf(&world, record).await, result, "{record}");
    }
    assert_eq!(world.says("", "a@nowhere.example", FROM, BODY).await.found("auth.spf"), "none");
    world.dns.mood_of("broken.example", Mood::ServFail);
    assert_eq!(world.says("", "a@broken.example", FROM, BODY).await.found("auth.spf"), "temperror");
    world.dns.txt("loop.example", "v=spf1 include:loop.example -all");
    assert_eq!(world.says("", "a@loop.example", FROM, BODY).await.found("auth.spf"), "permerror");
    for n in 0..50 {
        world.dns.txt(&format!("{n}.long.example"), &format!("v=spf1 include:{}.long.example -all", n + 1));
    }
    assert_eq!(world.says("", "a@0.long.example", FROM, BODY).await.found("auth.spf"), "permerror");
    let asked = world.dns.asked().iter().filter(|question| question.ends_with(".long.example")).count();
    assert_eq!(asked, 11, "the record and ten look-ups (RFC 7208 §4.6.4)");
}

#[tokio::test]
async fn a_failure_is_reported_or_refused_at_mail() {
    let world = World::new();
    world.dns.txt("other.example", "v=spf1 -all");
    assert_eq!(world.says("", "a@other.example", FROM, BODY).await.at_mail(), "Go");
    let said = world.says("spf_fail = \"reject\"", "a@other.example", FROM, BODY).await;
    assert_eq!(said.at_mail(), "550 5.7.23 the sender's domain does not let this host send (SPF)");
    assert_eq!(world.says("spf_fail = \"reject\"", "ann@example.org", FROM, BODY).await.at_mail(), "Go");
    // The host's own name has its say too (RFC 7208 §2.3).
    world.dns.forget("mail.example.org").txt("mail.example.org", "v=spf1 -all").address("mail.example.org", "192.0.2.1");
    let said = world.says("spf_fail = \"reject\"", "a@silent.example", FROM, BODY).await;
    assert_eq!(said.at_mail(), "550 5.7.23 the sender's domain does not let this host send (SPF)");
}

#[tokio::test]
async fn a_null_sender_is_judged_by_the_host() {
    let world = World::new();
    let said = world.says("", "<>", FROM, BODY).await;
    assert_eq!((said.found("auth.spf"), said.found("auth.spf_domain")), ("pass".into(), "mail.example.org".into()));
    assert_eq!(said.found("auth.dmarc"), "pass", "it stands below the author's domain");
    assert_eq!(said.header().matches("spf=").count(), 1);
    let client = Arc::new(Client { hello: Domain::parse("[192.0.2.1]").map(|domain| (domain, true)), ..(*client()).clone() });
    let said = world.says_of(&client, "", "<>", FROM, BODY).await;
    assert_eq!((said.found("auth.spf"), said.found("auth.spf_helo"), said.found("auth.dmarc")), ("none".into(), "".into(), "fail".into()));
}

#[tokio::test]
async fn a_host_that_looks_like_the_author_does_not_speak_for_it_without_a_sender() {
    let world = World::new();
    world.dns.txt("example.org.attack.example", "v=spf1 +all").txt("attack-example.org", "v=spf1 +all");
    for host in ["example.org.attack.example", "attack-example.org"] {
        let client = Arc::new(Client { hello: Domain::parse(host).map(|domain| (domain, true)), ..(*client()).clone() });
        let said = world.says_of(&client, "", "<>", FROM, BODY).await;
        assert_eq!(
            (said.found("auth.spf"), said.found("auth.dmarc"), said.found("auth.ambiguous")),
            ("pass".into(), "fail".into(), "look_alike".into())
        );
        assert!(said.verdict().starts_with("550 5.7.1 "), "{}", said.verdict());
        let said = world.says_of(&client, "", "ann@example.org", FROM, BODY).await;
        assert_eq!(said.found("auth.ambiguous"), "", "with a sender the host's name counts for nothing");
    }
}

#[tokio::test]
async fn an_address_without_a_name_of_its_own_is_told_and_may_be_refused() {
    let world = World::new();
    let nameless = Arc::new(Client { address: "192.0.2.66:1".parse().unwrap(), ..(*client()).clone() });
    let said = world.says_of(&nameless, "", "a@nowhere.example", FROM, BODY).await;
    assert_eq!((said.at_mail(), said.found("auth.iprev")), ("Go".into(), "fail".into()));
    let said = world.says_of(&nameless, "iprev_fail = \"reject\"", "a@nowhere.example", FROM, BODY).await;
    assert_eq!(said.at_mail(), "550 5.7.25 this host's address has no name that points back to it");
    let named = world.says("iprev_fail = \"reject\"", "a@nowhere.example", FROM, BODY).await;
    assert_eq!((named.at_mail(), named.found("auth.iprev")), ("Go".into(), "pass".into()));
}

#[tokio::test]
async fn without_dns_nothing_is_known_and_that_means_what_is_configured() {
    let world = World::new();
    let headers = world.signed("example.org", FROM, BODY);
    for mood in [Mood::ServFail, Mood::Silent, Mood::Garbage] {
        world.dns.mood(mood);
        let begun = std::time::Instant::now();
        let settings = "dns_timeout = \"700ms\"\ndmarc = \"policy\"\nspf_fail = \"reject\"\niprev_fail = \"reject\"";
        let said = world.says(settings, "ann@example.org", &headers, BODY).await;
        assert_eq!((said.at_mail(), said.verdict()), ("Go".into(), "Deliver".into()), "{mood:?}");
        for name in ["auth.iprev", "auth.spf", "auth.spf_helo", "auth.dkim", "auth.dmarc"] {
            assert_eq!(said.found(name), "temperror", "{mood:?}: {name}");
        }
        let said = world.says(&format!("{settings}\ntemperror = \"tempfail\""), "ann@example.org", &headers, BODY).await;
        assert_eq!(said.at_mail(), "451 4.4.3 DNS gives no answer about this host or sender, try again later");
        assert_eq!(said.verdict(), "451 4.4.3 DNS gives no answer about the author's domain, try again later");
        assert!(begun.elapsed() < Duration::from_secs(20), "{mood:?}: {:?}", begun.elapsed());
    }
}
