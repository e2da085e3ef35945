//! Who a message is from: the real binary, a DNS server with a script, and signatures of dkimpy's.

use crate::support::{
    Client, Gate, Mta, Setup,
    dns::{Dns, Mood},
    signer::Signer,
    wait,
};
use rustix::process::Signal;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const BODY: &str = "\r\nHello,\r\n\r\nsomething  with  blanks \r\n.and a dot\r\n";

/// A gate whose stage `auth` asks a DNS server of ours, and everything in DNS that makes a message of
/// `example.org` from here pass.
struct World {
    dns: Dns,
    mta: Mta,
    gate: Gate,
    signer: Option<Signer>,
}

impl World {
    fn new(settings: &str) -> Self {
        Self::with(settings, "timeout = \"1s\"", None)
    }

    /// With somebody who signs; `None`, with a word, where there is nobody.
    fn signing(settings: &str) -> Option<Self> {
        let signer = Signer::new()?;
        Some(Self::with(settings, "timeout = \"1s\"", Some(signer)))
    }

    fn with(settings: &str, dns_settings: &str, signer: Option<Signer>) -> Self {
        let (dns, mta) = (Dns::start(), Mta::start());
        let client = address(7);
        dns.pointer(&client, "mail.example.org").address("mail.example.org", &client);
        dns.txt("example.org", "v=spf1 a:mail.example.org -all").txt("_dmarc.example.org", "v=DMARC1; p=reject");
        dns.txt("mail.example.org", "v=spf1 a -all").txt("attack.example", "v=spf1 +all");
        for domain in ["example.org", "attack.example", "list.example"] {
            if let Some(signer) = &signer {
                dns.txt(&format!("s._domainkey.{domain}"), &signer.record());
            }
        }
        let setup = Setup::before(mta.address()).listener("mx", "tls = \"off\"\nproxy_protocol_from = [\"127.0.0.0/8\"]");
        let setup = setup.and(&format!("[dns]\nresolvers = [\"{}\"]\n{dns_settings}", dns.address));
        let gate = setup.and(&format!("[[stage]]\ntype = \"auth\"\n{settings}")).start();
        Self { dns, mta, gate, signer }
    }

    fn client(&self, n: u8) -> Client {
        greeted(self.gate.mx(), n)
    }

    fn signed(&self, domain: &str, message: &str) -> Vec<u8> {
        self.signer.as_ref().unwrap().dkim(domain, message.as_bytes())
    }

    /// The results in our name that the MTA got, unfolded, without the name.
    fn results(&self) -> String {
        let content = String::from_utf8(self.mta.kept().last().expect("nothing came").content.clone()).unwrap();
        let unfolded = content.replace("\r\n\t", " ");
        let ours: Vec<_> = unfolded.lines().filter_map(|line| line.strip_prefix("Authentication-Results: mx.example.org; ")).collect();
        assert_eq!(ours.len(), 1, "{content}");
        ours[0].to_owned()
    }

    /// One method's result and all that belongs to it.
    #[track_caller]
    fn must_say(&self, results: &[&str]) {
        let all = self.results();
        for result in results {
            assert!(all.split("; ").any(|said| said.starts_with(result)), "{result} is not in {all}");
        }
    }
}

/// A client has an address in the world of DNS: loopback has none (RFC 6761 §6.3).
fn address(n: u8) -> String {
    format!("192.0.2.{n}")
}

/// The `n`th client, which a balancer says it is.
fn greeted(mx: SocketAddr, n: u8) -> Client {
    let mut client = Client::connect(mx);
    client.say(&format!("PROXY TCP4 {} 192.0.2.1 4711 25", address(n)));
    client.banner();
    client.ask("EHLO mail.example.org").must(250);
    client
}

fn message(from: &str) -> String {
    format!("From: {from}\r\nTo: b@example.net\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n{BODY}")
}

#[test]
fn a_signed_message_passes_everything_and_forged_results_do_not_stay() {
    let Some(world) = World::signing("dmarc = \"policy\"\nspf_fail = \"reject\"") else { return };
    let forged = "Authentication-Results: mx.example.org; dmarc=pass header.from=bank.example\r\n\
                  Authentication-Results: other.example; spf=fail\r\n";
    let signed = [forged.as_bytes(), &world.signed("example.org", &message("Ann <ann@example.org>"))].concat();
    world.client(7).deliver("ann@example.org", &["b@example.net"], &signed).must(250);
    let client = address(7);
    world.must_say(&[
        &format!("iprev=pass policy.iprev={client} (mail.example.org)"),
        "spf=pass smtp.helo=mail.example.org",
        "spf=pass smtp.mailfrom=example.org",
        "dkim=pass header.d=example.org header.s=s header.b=",
        "dmarc=pass policy.dmarc=reject header.from=example.org",
    ]);
    let content = String::from_utf8(world.mta.only().content).unwrap();
    assert!(!content.contains("bank.example") && content.contains("Authentication-Results: other.example"), "{content}");
    assert!(content.starts_with("Received: ") && content.ends_with(BODY), "{content}");

    // The same by BDAT, and cut into small pieces: the body is hashed while it comes.
    world.client(7).deliver_chunked("ann@example.org", &["b@example.net"], &signed).must(250);
    world.must_say(&["dkim=pass"]);
    let mut client = world.client(7);
    client.begin_data("ann@example.org", &["b@example.net"]);
    for piece in crate::support::client::stuff(&signed).chunks(100) {
        client.send(piece).settle();
    }
    client.send(".\r\n").reply().must(250);
    world.must_say(&["dkim=pass"]);
}

#[test]
fn a_body_larger_than_memory_is_verified() {
    let Some(world) = World::signing("") else { return };
    let large = message("ann@example.org") + &"A line of a large message, neither long nor short.\r\n".repeat(120_000);
    let signed = world.signed("example.org", &large);
    world.client(7).deliver("ann@example.org", &["b@example.net"], &signed).must(250);
    world.must_say(&["dkim=pass", "dmarc=pass"]);
    let changed = [signed.as_slice(), b"and one more\r\n"].concat();
    world.client(7).deliver("ann@example.org", &["b@example.net"], &changed).must(250);
    world.must_say(&["dkim=fail (body was changed) header.d=example.org"]);
}

#[test]
fn what_the_authors_domain_does_not_know_of_meets_its_policy() {
    let Some(world) = World::signing("dmarc = \"policy\"") else { return };
    let spoofed = message("Ann <ann@example.org>");
    let mut client = world.client(9);
    let reply = client.deliver("x@attack.example", &["b@example.net"], spoofed.as_bytes()).must_be(550, "5.7.26");
    assert!(reply.text().contains("DMARC"), "{reply:?}");
    // The signature of a third party, and one of the author's that was broken on the way.
    client.deliver("x@attack.example", &["b@example.net"], &world.signed("attack.example", &spoofed)).must_be(550, "5.7.26");
    let broken = [world.signed("example.org", &spoofed), b"altered\r\n".to_vec()].concat();
    client.deliver("x@attack.example", &["b@example.net"], &broken).must_be(550, "5.7.26");
    assert!(world.mta.kept().is_empty());
    // Whole, it comes from wherever it may: it is signed.
    client.deliver("x@attack.example", &["b@example.net"], &world.signed("example.org", &spoofed)).must(250);
    world.must_say(&["spf=pass smtp.mailfrom=attack.example", "dkim=pass header.d=example.org", "dmarc=pass"]);
    world.gate.log_line(&["5.7.26", "auth"]);
}

#[test]
fn without_a_say_of_its_own_everything_is_reported_and_rules_decide() {
    let world = World::new(
        "[[rule]]\nname = \"dmarc\"\nwhen = 'auth.dmarc == \"fail\" && auth.policy == \"reject\" && \"mail.example.org\" != client.helo'\nthen = \"reject\"\nreply = \"550 5.7.1 {auth.dmarc_domain} does not know you\"",
    );
    let spoofed = message("Ann <ann@example.org>");
    let mut client = world.client(9);
    client.deliver("x@attack.example", &["b@example.net"], spoofed.as_bytes()).must(250);
    world.must_say(&[
        "iprev=fail",
        "spf=fail smtp.helo=mail.example.org",
        "spf=pass smtp.mailfrom=attack.example",
        "dkim=none",
        "dmarc=fail policy.dmarc=reject header.from=example.org",
    ]);
    client.ask("EHLO mail.attack.example").must(250);
    let reply = client.deliver("x@attack.example", &["b@example.net"], spoofed.as_bytes()).must(550);
    assert_eq!(reply.text(), "5.7.1 example.org does not know you");
}

#[test]
fn spf_and_the_clients_name_are_known_before_the_message() {
    let world = World::new("spf_fail = \"reject\"\niprev_fail = \"reject\"");
    let mut client = world.client(7);
    client.ask("MAIL FROM:<ann@example.org>").must(250);
    client.ask("RSET").must(250);
    world.dns.txt("elsewhere.example", "v=spf1 ip4:192.0.2.1 -all");
    client.ask("MAIL FROM:<a@elsewhere.example>").must_be(550, "5.7.23");
    client.ask("MAIL FROM:<ann@example.org>").must(250);
    let mut nameless = world.client(9);
    nameless.ask("EHLO other.example").must(250);
    nameless.ask("MAIL FROM:<a@nowhere.example>").must_be(550, "5.7.25");
    assert!(!world.mta.lines().iter().any(|line| line.contains("elsewhere") || line.contains("nowhere")), "the MTA was not asked");
    // Known for the session: its name is looked up once.
    let asked = world.dns.asked();
    let pointers = asked.iter().filter(|question| question.starts_with("PTR 7.2.0.192.")).count();
    assert_eq!(pointers, 1, "{asked:#?}");
}

#[test]
fn a_trusted_list_may_change_what_it_passes_on() {
    let Some(world) = World::signing("dmarc = \"policy\"\ntrusted_sealers = [\"list.example\"]") else { return };
    let seen = "Authentication-Results: mx.list.example; dmarc=pass header.from=example.org\r\n";
    let altered = format!("{seen}{}-- \r\nThe list.\r\n", message("Ann <ann@example.org>"));
    let signer = world.signer.as_ref().unwrap();
    let sealed = signer.arc("list.example", "mx.list.example", altered.as_bytes());
    let mut client = world.client(9);
    client.deliver("bounce@list.example", &["b@example.net"], &sealed).must(250);
    world.must_say(&["arc=pass", "dmarc=fail policy.dmarc=reject"]);
    // Changed after the seal, and sealed by somebody who is not trusted.
    client.deliver("bounce@list.example", &["b@example.net"], &[sealed.as_slice(), b"more\r\n"].concat()).must_be(550, "5.7.26");
    let other = signer.arc("attack.example", "mx.list.example", altered.as_bytes());
    client.deliver("bounce@list.example", &["b@example.net"], &other).must_be(550, "5.7.26");
}

#[test]
fn a_message_of_two_authors_is_refused_with_the_reason() {
    let world = World::new("");
    let mut client = world.client(7);
    for (headers, why) in [
        ("From: a@attack.example\r\nFrom: ann@example.org\r\n", "several From fields"),
        ("From: a@attack.example, ann@example.org\r\n", "several authors"),
        ("From: ann@example.org <a@attack.example>\r\n", "another address in the name"),
        ("From: =?utf-8?b?YW5uQGV4YW1wbGUub3Jn?=@attack.example\r\n", "an encoded address"),
        (" From: ann@example.org\r\nFrom: a@attack.example\r\n", "take for a From field"),
        ("Subject: x\r\n", "no From field"),
    ] {
        let reply =
            client.deliver("a@attack.example", &["b@example.net"], format!("{headers}\r\nbody\r\n").as_bytes()).must_be(550, "5.7.1");
        assert!(reply.text().contains(why), "{headers:?}: {reply:?}");
    }
    assert!(world.mta.kept().is_empty());
    world.gate.log_line(&["ambiguous"]);
}

#[test]
fn dns_that_is_dead_slow_or_mad_means_what_is_configured_and_takes_a_bounded_time() {
    for (settings, fate) in [("", 250), ("temperror = \"tempfail\"", 451)] {
        let world = World::new(&format!("dmarc = \"policy\"\nspf_fail = \"reject\"\ntimeout = \"10s\"\ndns_timeout = \"2s\"\n{settings}"));
        for mood in [Mood::ServFail, Mood::Refused, Mood::Silent, Mood::Garbage, Mood::Beside, Mood::Late(Duration::from_secs(20))] {
            world.dns.mood(mood);
            let begun = Instant::now();
            let mut client = world.client(7);
            if fate == 250 {
                client.deliver("ann@example.org", &["b@example.net"], message("ann@example.org").as_bytes()).must(250);
                world.must_say(&[
                    "iprev=temperror",
                    "spf=temperror smtp.helo=mail.example.org",
                    "spf=temperror smtp.mailfrom=example.org",
                    "dmarc=temperror",
                ]);
            } else {
                client.ask("MAIL FROM:<ann@example.org>").must_be(451, "4.4.3");
            }
            // Two times two seconds, on a machine that is busy.
            assert!(begun.elapsed() < wait::PATIENCE, "{mood:?}: {:?}", begun.elapsed());
            client.ask("NOOP").must(250);
        }
        // And it is over when DNS is well again.
        world.dns.mood(Mood::Answer);
        world.client(7).deliver("ann@example.org", &["b@example.net"], message("ann@example.org").as_bytes()).must(250);
        world.must_say(&["spf=pass smtp.mailfrom=example.org", "dmarc=pass"]);
    }
}

#[test]
fn a_resolver_that_goes_away_is_no_end_of_mail() {
    let World { dns, mta, gate, .. } = World::with("dns_timeout = \"2s\"\nspf_fail = \"reject\"", "timeout = \"1s\"\nattempts = 1", None);
    drop(dns);
    let mut client = greeted(gate.mx(), 7);
    client.deliver("ann@example.org", &["b@example.net"], message("ann@example.org").as_bytes()).must(250);
    assert!(String::from_utf8_lossy(&mta.only().content).contains("spf=temperror"));
}

#[test]
fn sighup_changes_whom_is_asked_and_forgets_what_others_said() {
    let world = World::new("");
    let other = Dns::start();
    world.client(7).deliver("ann@example.org", &["b@example.net"], message("ann@example.org").as_bytes()).must(250);
    world.must_say(&["spf=pass smtp.mailfrom=example.org"]);
    other.txt("example.org", "v=spf1 -all");
    world.gate.reconfigure(&world.dns.address.to_string(), &other.address.to_string());
    world.gate.signal(Signal::HUP);
    wait::until("the other server to be asked", || {
        world.client(7).deliver("ann@example.org", &["b@example.net"], message("ann@example.org").as_bytes()).must(250);
        (!other.asked().is_empty()).then_some(())
    });
    world.must_say(&["iprev=fail", "spf=fail smtp.mailfrom=example.org", "dmarc=none"]);
}

/// Both workers look names up, each for itself, while sessions come and go on both.
#[test]
fn all_workers_look_names_up() {
    let world = World::new("");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let mx = world.gate.mx();
            std::thread::spawn(move || {
                for _ in 0..5 {
                    let mut client = greeted(mx, 7);
                    client.deliver("ann@example.org", &["b@example.net"], message("ann@example.org").as_bytes()).must(250);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let kept = world.mta.kept();
    assert_eq!(kept.len(), 40);
    assert!(kept.iter().all(|message| String::from_utf8_lossy(&message.content).contains("dmarc=pass")));
    let asked = world.dns.asked();
    let policies = asked.iter().filter(|question| *question == "TXT _dmarc.example.org").count();
    assert!((1..=2).contains(&policies), "once for each worker: {policies}");
}
