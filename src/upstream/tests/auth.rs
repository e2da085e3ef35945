use super::{
    mta::{ENVELOPE, MODERN},
    *,
};
use crate::upstream::IdentityMode;

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";
const ACCEPTED: &str = "BDAT\nS: 250 ok\n";

#[tokio::test]
async fn an_exchange_is_relayed_and_its_connection_is_the_sessions() {
    let exchange = "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\nC: c2VjcmV0\nS: 235 2.7.0 welcome\n";
    let own = [
        MODERN,
        exchange,
        ENVELOPE,
        ACCEPTED,
        "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 250 ok\nC: RSET\nS: 250 ok\n",
        ENVELOPE,
        ACCEPTED,
        "C: QUIT\n",
    ];
    let mta = Mta::start(&[&own]).await;
    let mut gate = Gate::before(&[&mta]);
    let upstream = gate.upstreams.default_route();
    let (mut exchange, reply) = upstream.authenticate(&gate.client, "LOGIN", None).await.unwrap();
    assert_eq!(reply.to_string(), "334 VXNlcm5hbWU6");
    assert_eq!(exchange.respond(b"YWxpY2U=").await.unwrap().code(), 334);
    assert_eq!(exchange.respond(b"c2VjcmV0").await.unwrap().to_string(), "235 2.7.0 welcome");
    assert!(!format!("{exchange:?}").contains("c2VjcmV0"));
    gate.seat = exchange.into_seat();
    yes(gate.send(MESSAGE).await);
    drop(gate.open().await);
    yes(gate.send(MESSAGE).await);
    assert_eq!((gate.idle(), gate.open_connections()), (0, (0, 1)));
    gate.seat = Seat::default();
    mta.finished(1).await;
}

#[tokio::test]
async fn a_refusal_is_the_mtas_own_and_leaves_no_seat() {
    let mta = Mta::start(&[&[MODERN, "C: AUTH PLAIN AGEAYg==\nS: 535 5.7.8 no\nC: QUIT\n"]]).await;
    let gate = Gate::before(&[&mta]);
    let upstream = gate.upstreams.default_route();
    let (exchange, reply) = upstream.authenticate(&gate.client, "PLAIN", Some(b"AGEAYg==")).await.unwrap();
    assert_eq!(reply.to_string(), "535 5.7.8 no");
    assert!(!exchange.into_seat().is_authenticated(&upstream.target));
    mta.finished(1).await;
}

#[tokio::test]
async fn a_line_with_a_line_end_in_it_cancels() {
    let mta = Mta::start(&[&[MODERN, "C: AUTH LOGIN\nS: 334 x\nC: *\nS: 501 5.7.0 cancelled\n"]]).await;
    let gate = Gate::before(&[&mta]);
    let (mut exchange, _) = gate.upstreams.default_route().authenticate(&gate.client, "LOGIN", None).await.unwrap();
    assert_eq!(exchange.respond(b"x\r\nMAIL FROM:<>").await.unwrap().code(), 501);
    mta.finished(1).await;
}

#[tokio::test]
async fn what_is_no_answer_to_auth_ends_the_exchange() {
    for (says, kind) in [("S: 250 ok\n", "garbage"), ("S: 421 4.7.0 bye\n", "shutdown"), ("", "closed")] {
        let mta = Mta::start(&[&[MODERN, "C: AUTH LOGIN\nS: 334 x\nC: c2VjcmV0\n", says]]).await;
        let gate = Gate::before(&[&mta]);
        let (mut exchange, _) = gate.upstreams.default_route().authenticate(&gate.client, "LOGIN", None).await.unwrap();
        let error = exchange.respond(b"c2VjcmV0").await.unwrap_err();
        assert_eq!((error.refusal().reply().code(), gate.faults(kind)), (451, 1));
        assert!(!error.to_string().contains("c2VjcmV0"));
        assert!(exchange.respond(b"more").await.is_err());
    }
}

/// Over any other connection the client would be a stranger, and be refused for good.
#[tokio::test]
async fn a_session_whose_connection_is_gone_is_over() {
    for gone in ["", "C: MAIL*\n"] {
        let mta = Mta::start(&[&[MODERN, "C: AUTH PLAIN x\nS: 235 ok\n", ENVELOPE, ACCEPTED, gone], &[MODERN, ENVELOPE, ACCEPTED]]).await;
        let mut gate = Gate::before(&[&mta]);
        let (exchange, _) = gate.upstreams.default_route().authenticate(&gate.client, "PLAIN", Some(b"x")).await.unwrap();
        gate.seat = exchange.into_seat();
        yes(gate.send(MESSAGE).await);
        if gone.is_empty() {
            mta.finished(1).await;
            tokio::time::sleep(SHORT).await;
        }
        for _ in 0..2 {
            let error = gate.begin(&["r@example.com"]).await.unwrap_err();
            assert_eq!(error.refusal().reply().code(), 421, "{error}");
        }
        assert_eq!(mta.done(), 1);
    }
}

#[tokio::test]
async fn the_mta_knows_the_client_before_auth_and_is_not_told_again() {
    let hello = "S: 220 mx\nC: EHLO octroi.test\nS: 250-mx\nS: 250-PIPELINING\nS: 250-CHUNKING\nS: 250 XCLIENT ADDR LOGIN\n";
    let again = "S: 220 mx\nC: EHLO client.example\nS: 250-mx\nS: 250-PIPELINING\nS: 250-CHUNKING\nS: 250 XCLIENT ADDR LOGIN\n";
    let mta = Mta::start(&[&[
        hello,
        "C: XCLIENT LOGIN=[UNAVAILABLE] ADDR=192.0.2.7\n",
        again,
        "C: AUTH PLAIN x\nS: 235 ok\n",
        ENVELOPE,
        ACCEPTED,
    ]])
    .await;
    let mut gate = Gate::of(Settings { identity: IdentityMode::Xclient, ..Settings::plain(vec![mta.endpoint.clone()]) }, patient());
    let (exchange, _) = gate.upstreams.default_route().authenticate(&gate.client, "PLAIN", Some(b"x")).await.unwrap();
    gate.seat = exchange.into_seat();
    gate.client = Arc::new(Client { account: Some("alice".into()), ..Client::clone(&gate.client) });
    yes(gate.send(MESSAGE).await);
    mta.finished(1).await;
}
