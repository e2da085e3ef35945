use super::{
    mta::{ENVELOPE, MODERN},
    *,
};
use tokio_util::sync::CancellationToken;

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";
const ACCEPTED: &str = "BDAT\nS: 250 ok\n";

/// A port where nobody listens.
async fn nobody() -> Endpoint {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    Endpoint::parse(&listener.local_addr().unwrap().to_string()).unwrap()
}

#[tokio::test]
async fn a_pooled_connection_that_the_server_has_closed_is_not_used() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED], &[MODERN, ENVELOPE, ACCEPTED, "C: QUIT\n"]]).await;
    let gate = Gate::before(&[&mta]);
    yes(gate.send(MESSAGE).await);
    mta.finished(1).await;
    tokio::time::sleep(SHORT).await;
    yes(gate.send(MESSAGE).await);
    assert_eq!((gate.faults("closed"), gate.reused()), (0, 0), "seen without asking");
    drop(gate);
    mta.finished(2).await;
}

#[tokio::test]
async fn a_pooled_connection_on_which_the_server_speaks_is_not_used() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED, "WAIT\nS: 250 by the way\nHANG\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    yes(gate.send(MESSAGE).await);
    mta.go_on();
    tokio::time::sleep(SHORT).await;
    yes(gate.send(MESSAGE).await);
    assert_eq!(gate.reused(), 0);
}

#[tokio::test]
async fn a_pooled_connection_that_dies_at_mail_is_replaced_once() {
    let says_421_to_rcpt = "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 421 4.4.2 timeout\n";
    for dies in ["C: MAIL*\n", "C: MAIL*\nC: RCPT*\nS: 421 4.4.2 timeout\n", "C: MAIL*\nC: RCPT*\nS: 250 ok\n", says_421_to_rcpt] {
        let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED, dies], &[MODERN, ENVELOPE, ACCEPTED]]).await;
        let gate = Gate::before(&[&mta]);
        yes(gate.send(MESSAGE).await);
        yes(gate.send(MESSAGE).await);
        mta.finished(2).await;
        assert_eq!(mta.kept().len(), 2);
    }
}

#[tokio::test]
async fn a_server_that_ends_every_connection_is_not_asked_for_ever() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED, "C: MAIL*\n"], &[MODERN, "C: MAIL*\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    yes(gate.send(MESSAGE).await);
    gate.begin(&["r@example.com"]).await.unwrap_err();
    assert_eq!(mta.done(), 2);
    yes(gate.send(MESSAGE).await);
}

#[tokio::test]
async fn after_many_refusals_a_connection_is_given_up_before_the_mta_slows_it_down() {
    let refused = "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 550 5.1.1 nobody\nC: RSET\nS: 250 ok\n";
    let script = [MODERN, refused, refused, refused, refused, refused, refused, refused, refused, "C: QUIT\n"];
    let mta = Mta::start(&[&script, &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    for n in 1..=8 {
        let Answer::Yes((_, Answer::No(_))) = gate.begin(&["r@example.com"]).await.unwrap() else { panic!() };
        let left = usize::from(n < 8);
        eventually(|| gate.open_connections() == (0, left as i64)).await;
    }
    yes(gate.send(MESSAGE).await);
    mta.finished(2).await;
}

#[tokio::test]
async fn what_is_idle_for_too_long_is_closed_with_quit() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED, "C: QUIT\n"]]).await;
    let gate = Gate::of(Settings { idle: SHORT, ..Settings::plain(vec![mta.endpoint.clone()]) }, patient());
    yes(gate.send(MESSAGE).await);
    assert_eq!(gate.idle(), 1);
    gate.until_idle(0).await;
    mta.finished(1).await;
    assert_eq!(gate.open_connections(), (0, 0));
}

fn one_connection(mta: &Mta, wait: Duration) -> Gate {
    Gate::of(Settings { connections: 1, ..Settings::plain(vec![mta.endpoint.clone()]) }, Timeouts { connect: wait, ..patient() })
}

#[tokio::test]
async fn at_the_limit_a_session_waits_for_a_connection_to_come_back() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED, ENVELOPE, ACCEPTED]]).await;
    let gate = one_connection(&mta, Duration::from_secs(60));
    let first = gate.open().await;
    let second = gate.send(MESSAGE);
    tokio::pin!(second);
    assert!(tokio::time::timeout(SHORT, &mut second).await.is_err(), "there is no other connection");
    yes(deliver(first, outgoing(MESSAGE)).await);
    yes(second.await);
    assert_eq!(gate.reused(), 1);
}

#[tokio::test]
async fn at_the_limit_a_session_waits_no_longer_than_to_connect() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED, ENVELOPE, ACCEPTED]]).await;
    let gate = one_connection(&mta, SHORT);
    let first = gate.open().await;
    let error = gate.begin(&["r@example.com"]).await.unwrap_err();
    assert_eq!((error.refusal().reply().code(), gate.faults("timeout")), (451, 1));
    yes(deliver(first, outgoing(MESSAGE)).await);
    yes(gate.send(MESSAGE).await);
}

#[tokio::test]
async fn at_the_limit_another_worker_gives_an_idle_connection_up() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED, "C: QUIT\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let mut gate = one_connection(&mta, Duration::from_secs(60));
    yes(gate.send(MESSAGE).await);
    let here = std::mem::replace(&mut gate.upstreams, Upstreams::for_worker(&gate.shared));
    assert_eq!((here.default_route().pool.idle(), gate.idle()), (1, 0));
    yes(gate.send(MESSAGE).await);
    assert_eq!((here.default_route().pool.idle(), gate.idle()), (0, 1));
    mta.finished(2).await;
}

#[tokio::test]
async fn a_server_that_is_down_is_passed_over() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::of(Settings::plain(vec![nobody().await, mta.endpoint.clone()]), patient());
    for _ in 0..2 {
        yes(gate.send(MESSAGE).await);
    }
    assert_eq!(gate.faults("connect"), 1, "asked once, and known to be down then");
    assert_eq!(gate.reused(), 1);
    assert!(gate.shared.is_ready());
}

#[tokio::test]
async fn without_a_server_the_client_is_told_at_once() {
    let gate = Gate::of(Settings::plain(vec![nobody().await, nobody().await]), patient());
    let error = gate.begin(&["r@example.com"]).await.unwrap_err();
    assert_eq!((error.refusal().reply().code(), gate.faults("connect")), (451, 2), "both were tried");
    gate.begin(&["r@example.com"]).await.unwrap_err();
    assert_eq!((gate.faults("connect"), gate.faults("none_healthy")), (2, 1), "and not again at once");
    assert!(!gate.shared.is_ready());
    let gate = Gate::of(Settings::plain(Vec::new()), patient());
    gate.begin(&["r@example.com"]).await.unwrap_err();
}

#[tokio::test]
async fn mail_flows_again_as_soon_as_a_server_is_back() {
    let endpoint = nobody().await;
    let gate = Gate::of(Settings::plain(vec![endpoint.clone()]), patient());
    gate.begin(&["r@example.com"]).await.unwrap_err();
    let listener = tokio::net::TcpListener::bind(endpoint.to_string()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let accepted = tokio::join!(listener.accept(), async {
        let _ = tokio::time::timeout(SHORT, gate.begin(&["r@example.com"])).await;
    });
    accepted.0.unwrap();
}

#[tokio::test]
async fn two_servers_share_the_load() {
    let script: &[&str] = &[MODERN, ENVELOPE, ACCEPTED];
    let (a, b) = (Mta::start(&[script, script]).await, Mta::start(&[script, script]).await);
    let gate = Gate::before(&[&a, &b]);
    let open = [gate.open().await, gate.open().await, gate.open().await, gate.open().await];
    for transaction in open {
        yes(deliver(transaction, outgoing(MESSAGE)).await);
    }
    assert_eq!((a.kept().len(), b.kept().len()), (2, 2));
}

#[tokio::test]
async fn a_host_name_is_looked_up() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, ACCEPTED]]).await;
    let endpoint = Endpoint::parse(&format!("localhost:{}", mta.address.port())).unwrap();
    let gate = Gate::of(Settings::plain(vec![endpoint]), patient());
    yes(gate.send(MESSAGE).await);
    let gate = Gate::of(Settings::plain(vec![Endpoint::parse("no-such-host.invalid:25").unwrap()]), patient());
    let error = gate.begin(&["r@example.com"]).await.unwrap_err();
    assert!(error.text.contains("no-such-host.invalid"), "{error}");
}

#[tokio::test]
async fn the_watch_finds_out_what_servers_can_and_that_they_are_gone() {
    let looked_at: &[&str] =
        &["S: 220 mx\nC: EHLO octroi.test\nS: 250-mx\nS: 250-SIZE 1000\nS: 250-DSN\nS: 250-AUTH PLAIN LOGIN\nS: 250 SMTPUTF8\nC: QUIT\n"];
    let other: &[&str] = &["S: 220 mx\nC: EHLO octroi.test\nS: 250-mx\nS: 250-SIZE 500\nS: 250 DSN\nC: QUIT\n"];
    let (a, b) = (Mta::start(&[looked_at]).await, Mta::start(&[other]).await);
    let metrics = Metrics::new().unwrap();
    let settings =
        vec![Settings::plain(vec![a.endpoint.clone()]), Settings { name: "b".into(), ..Settings::plain(vec![b.endpoint.clone()]) }];
    let shared = Shared::new(settings, &[], patient(), &"octroi.test".into(), &metrics);
    let upstreams = Upstreams::for_worker(&shared);
    assert_eq!((upstreams.capabilities(), upstreams.is_ready()), (None, false));
    let cancelled = CancellationToken::new();
    let watch = tokio::spawn(Arc::clone(&shared).watch(cancelled.clone()));
    a.finished(1).await;
    b.finished(1).await;
    eventually(|| upstreams.capabilities().is_some_and(|all| all.size == Some(500))).await;
    let all = upstreams.capabilities().unwrap();
    assert!(all.dsn && !all.utf8, "what both can");
    assert_eq!(all.auth, ["PLAIN".into(), "LOGIN".into()], "AUTH goes to the default upstream only");
    assert!(upstreams.is_ready());

    // A reload begins with what is known.
    let next = Shared::new(vec![Settings::plain(vec![a.endpoint.clone()])], &[], patient(), &"octroi.test".into(), &metrics);
    assert!(!next.is_ready());
    next.inherit(&shared);
    assert!(next.is_ready());
    assert!(next.capabilities().unwrap().utf8);
    cancelled.cancel();
    watch.await.unwrap();
}
