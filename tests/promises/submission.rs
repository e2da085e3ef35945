//! AUTH: asked over TLS only, answered by the upstream, seen by nobody else.

use crate::support::{Act, Client, Gate, Mta, Setup, Step, client::message, gate, mta};

/// base64 of `\0alice\0opensesame`, of `alice` and of `opensesame`.
const PLAIN: &str = "AGFsaWNlAG9wZW5zZXNhbWU=";
const LOGIN: (&str, &str) = ("YWxpY2U=", "b3BlbnNlc2FtZQ==");

fn upstream() -> Mta {
    let extensions: Vec<_> = mta::EXTENSIONS.iter().copied().chain(["AUTH PLAIN LOGIN"]).collect();
    Mta::offering(&extensions)
}

fn submission(mta: &Mta) -> Gate {
    Setup::before(mta.address())
        .listener("mx", "tls = \"starttls\"\nauth = \"forward\"")
        .and("[timeouts]\nupstream_command = \"1s\"")
        .talkative()
        .start()
}

fn secured(gate: &Gate) -> Client {
    Client::secured(gate.mx(), &gate::authority().client())
}

/// No secret stands in the log at its most talkative, in whatever form, nor in the metrics; a body
/// neither.
fn keeps_secrets(gate: &Gate) {
    let log = gate.log().join("\n") + &gate.http("/metrics").1;
    for secret in ["opensesame", PLAIN, LOGIN.1, PLAIN.trim_end_matches('='), "Hello."] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[test]
fn it_is_offered_over_tls_only() {
    let mta = upstream();
    let gate = submission(&mta);
    let mut client = Client::connect(gate.mx());
    client.banner();
    assert!(!client.ask("EHLO client.example.net").must(250).text().contains("AUTH"));
    let refused = client.ask(&format!("AUTH PLAIN {PLAIN}"));
    assert_eq!(refused.code / 100, 5, "{refused:?}");
    client.ask("STARTTLS").must(220);
    client.start_tls(&gate::authority().client(), "mx.example.org").unwrap();
    assert!(client.ask("EHLO client.example.net").must(250).lines.contains(&"AUTH PLAIN LOGIN".to_owned()));
    assert!(!mta.lines().iter().any(|line| line.starts_with("AUTH")), "forwarded in clear");
    keeps_secrets(&gate);
}

#[test]
fn every_way_to_say_it_is_relayed_line_by_line() {
    let mta = upstream();
    let gate = submission(&mta);
    let mut client = secured(&gate);
    client.ask(&format!("AUTH PLAIN {PLAIN}")).must_be(235, "2.7.0");
    client.ask(&format!("AUTH PLAIN {PLAIN}")).must(503);
    client.deliver("alice@example.org", &["b@example.org"], &message("one")).must(250);

    let mut client = secured(&gate);
    client.ask("AUTH PLAIN").must(334);
    client.ask(PLAIN).must(235);

    let mut client = secured(&gate);
    assert_eq!(client.ask("AUTH LOGIN").must(334).lines, ["VXNlcm5hbWU6"], "the upstream's own challenge");
    client.ask(LOGIN.0).must(334);
    client.ask(LOGIN.1).must(235);
    client.deliver("alice@example.org", &["b@example.org"], &message("two")).must(250);
    client.deliver("alice@example.org", &["b@example.org"], &message("three")).must(250);

    let lines = mta.lines();
    for line in [&format!("AUTH PLAIN {PLAIN}"), "AUTH PLAIN", PLAIN, "AUTH LOGIN", LOGIN.0, LOGIN.1] {
        assert!(lines.iter().any(|said| said == line), "{line} was not relayed: {lines:?}");
    }
    // Mail of an account goes over the connection it was authenticated on.
    for message in mta.kept() {
        let session = &mta.connections()[message.session];
        assert!(session.lines.iter().any(|line| line.starts_with("AUTH")), "{session:?}");
    }
    assert_eq!(mta.kept().len(), 3);
    gate.wait_metric("octroi_auth_attempts_total{listener=\"mx\",result=\"succeeded\"}", 3.0);
    gate.log_line(&["verdict=delivered", "account=", "alice"]);
    keeps_secrets(&gate);
}

#[test]
fn a_refusal_is_the_upstreams_and_guessing_ends() {
    let mta = upstream();
    let gate = Setup::before(mta.address()).listener("mx", "tls = \"starttls\"\nauth = \"forward\"").and("[limits]\nerrors = 3").start();
    let mut client = secured(&gate);
    for _ in 0..3 {
        // "\0alice\0wrong"
        let refused = client.ask("AUTH PLAIN AGFsaWNlAHdyb25n").must_be(535, "5.7.8");
        assert!(refused.text().contains("authentication failed"), "{refused:?}");
    }
    client.say("AUTH PLAIN AGFsaWNlAHdyb25n");
    let last = client.closed();
    assert!(last.windows(4).any(|text| text == b"421 "), "{:?}", String::from_utf8_lossy(&last));
    gate.wait_metric("octroi_auth_attempts_total{listener=\"mx\",result=\"failed\"}", 4.0);
    assert!(!gate.log().join("\n").contains("AGFsaWNlAHdyb25n"));
}

#[test]
fn it_can_be_cancelled_and_go_wrong() {
    let mta = upstream();
    let gate = submission(&mta);
    let mut client = secured(&gate);
    client.ask("AUTH LOGIN").must(334);
    client.ask("*").must(501);
    client.ask("NOOP").must(250);
    client.ask("AUTH FROBNICATE").must(504);
    let long = client.ask(&format!("AUTH PLAIN {}", "A".repeat(20_000)));
    assert_eq!(long.code / 100, 5, "{long:?}");

    for act in [Act::Close, Act::Hang, Act::Raw(b"what\r\n".to_vec()), Act::Say("421 4.3.2 bye".into()), Act::Say("454 4.7.0 later".into())]
    {
        mta.behave(Step::Auth, act.clone(), 1);
        let mut client = secured(&gate);
        let reply = client.ask(&format!("AUTH PLAIN {PLAIN}"));
        assert!(reply.is_temporary(), "{act:?}: {reply:?}");
    }
    client.ask(&format!("AUTH PLAIN {PLAIN}")).must(235);
    keeps_secrets(&gate);
}

/// A token of some kilobytes is an initial response like others (RFC 4954 §4: 12288 octets).
#[test]
fn a_long_initial_response_is_relayed() {
    let mta = upstream();
    let gate = submission(&mta);
    let token = "dG9rZW4h".repeat(1_000);
    let mut client = secured(&gate);
    client.ask(&format!("AUTH PLAIN {token}")).must(235);
    assert!(mta.lines().contains(&format!("AUTH PLAIN {token}")));
    // Where nobody offers AUTH the line is as long as any other may be.
    let mut clear = Client::greeted(gate.mx());
    clear.ask(&format!("AUTH PLAIN {token}")).must_be(500, "5.5.2");
    clear.ask("NOOP").must(250);
}

/// The session ends, and with it what it was allowed: nobody gets an authenticated connection
/// from the pool.
#[test]
fn an_authenticated_connection_is_never_shared() {
    let mta = upstream();
    let gate = submission(&mta);
    let mut client = secured(&gate);
    client.ask(&format!("AUTH PLAIN {PLAIN}")).must(235);
    client.deliver("alice@example.org", &["b@example.org"], &message("hers")).must(250);
    client.ask("QUIT").must(221);
    for _ in 0..4 {
        Client::greeted(gate.mx()).deliver("mallory@example.net", &["b@example.org"], &message("his")).must(250);
    }
    for message in mta.kept().iter().filter(|message| message.mail.contains("mallory")) {
        let session = &mta.connections()[message.session];
        assert!(!session.lines.iter().any(|line| line.starts_with("AUTH")), "{session:?}");
    }
}
