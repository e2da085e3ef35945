use super::{
    mta::{ENVELOPE, PLAIN},
    *,
};
use crate::upstream::Tls;
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::TlsAcceptor;

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";
const STARTTLS: &str = "S: 220 mx.test\nC: EHLO octroi.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO octroi.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-REQUIRETLS\nS: 250 CHUNKING\n";
const ACCEPTED: &str = "BDAT\nS: 250 ok\n";

/// A server for `mx.test`, and who trusts it.
fn certificate() -> (TlsAcceptor, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(["mx.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (TlsAcceptor::from(Arc::new(config)), roots)
}

fn gate(mta: &Mta, tls: Tls) -> Gate {
    Gate::of(Settings { tls: Some(tls), ..Settings::plain(vec![mta.endpoint.clone()]) }, patient())
}
fn named(name: &'static str) -> Option<ServerName<'static>> {
    Some(ServerName::try_from(name).unwrap())
}
fn handshakes(gate: &Gate, result: &str) -> i64 {
    gate.count(&format!("octroi_upstream_tls_handshakes_total{{result=\"{result}\",upstream=\"default\"}}"))
}

#[tokio::test]
async fn a_certificate_that_is_right_is_required() {
    let (acceptor, roots) = certificate();
    let mta = Mta::start_tls(&[&[STARTTLS, ENVELOPE, ACCEPTED, "C: QUIT\n"]], Some(acceptor)).await;
    let gate = gate(&mta, Tls::required(roots, named("mx.test")).unwrap());
    yes(gate.send(MESSAGE).await);
    assert_eq!(handshakes(&gate, "tlsv1.3"), 1);
    assert!(gate.upstreams.capabilities().unwrap().require_tls, "verified: REQUIRETLS can be kept");
    drop(gate);
    mta.finished(1).await;
}

#[tokio::test]
async fn a_certificate_that_is_wrong_is_not_taken() {
    let (_, other) = certificate();
    let (acceptor, roots) = certificate();
    for tls in [Tls::required(other, named("mx.test")), Tls::required(roots.clone(), named("other.test")), Tls::required(roots, None)] {
        let mta = Mta::start_tls(&[&[STARTTLS]], Some(acceptor.clone())).await;
        let gate = gate(&mta, tls.unwrap());
        let error = gate.begin(&["r@example.com"]).await.unwrap_err();
        assert_eq!((error.refusal().reply().code(), gate.faults("tls"), handshakes(&gate, "failed")), (451, 1, 1));
        assert!(!gate.shared.is_ready());
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing_where_it_is_required() {
    let (_, roots) = certificate();
    let refuses = "S: 220 mx\nC: EHLO*\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 not now\n";
    for hello in [PLAIN, refuses] {
        let mta = Mta::start(&[&[hello]]).await;
        let gate = gate(&mta, Tls::required(roots.clone(), None).unwrap());
        gate.begin(&["r@example.com"]).await.unwrap_err();
        assert_eq!(gate.faults("capability"), 1);
        mta.finished(1).await;
    }
}

#[tokio::test]
async fn opportunistic_takes_any_certificate_and_promises_nothing() {
    let (acceptor, _) = certificate();
    let mta = Mta::start_tls(&[&[STARTTLS, ENVELOPE, ACCEPTED, "HANG\n"]], Some(acceptor)).await;
    let gate = gate(&mta, Tls::opportunistic().unwrap());
    yes(gate.send(MESSAGE).await);
    assert_eq!(handshakes(&gate, "tlsv1.3"), 1);
    assert!(!gate.upstreams.capabilities().unwrap().require_tls);
    let mail = Mail { require_tls: true, ..sender() };
    let upstream = gate.upstreams.default_route();
    assert!(no(upstream.begin(&gate.seat, &gate.client, &mail, &recipient("r@example.com")).await).starts_with("451 4.3.3 "));
}

#[tokio::test]
async fn opportunistic_goes_on_in_clear_where_tls_is_broken() {
    let broken = "S: 220 mx\nC: EHLO*\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n";
    let mta = Mta::start(&[&[broken], &[PLAIN, ENVELOPE, "C: DATA\nS: 354 go\nDATA\nS: 250 ok\n"]]).await;
    let gate = gate(&mta, Tls::opportunistic().unwrap());
    yes(gate.send(MESSAGE).await);
    assert_eq!((gate.faults("tls"), handshakes(&gate, "failed")), (1, 1));
    let declined = "S: 220 mx\nC: EHLO*\nS: 250-mx\nS: 250-PIPELINING\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 not now\n";
    let mta = Mta::start(&[&[declined, ENVELOPE, "C: DATA\nS: 354 go\nDATA\nS: 250 ok\n"]]).await;
    let gate = self::gate(&mta, Tls::opportunistic().unwrap());
    yes(gate.send(MESSAGE).await);
}

/// CVE-2021-38371 and its family: replies put in before the handshake would be read as said in TLS.
#[tokio::test]
async fn replies_injected_before_the_handshake_end_the_connection() {
    let (acceptor, roots) = certificate();
    let injected = STARTTLS.replace("S: 220 go\n", "S: 220 go\nS: 250-mx.test\nS: 250 AUTH PLAIN\n");
    for tls in [Tls::required(roots, named("mx.test")), Tls::opportunistic()] {
        let mta = Mta::start_tls(&[&[&injected]], Some(acceptor.clone())).await;
        let gate = gate(&mta, tls.unwrap());
        gate.begin(&["r@example.com"]).await.unwrap_err();
        assert_eq!((gate.faults("garbage"), handshakes(&gate, "tlsv1.3")), (1, 0));
        assert_eq!(gate.upstreams.capabilities(), None, "nothing of it was believed");
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_ends() {
    let hangs = "S: 220 mx\nC: EHLO*\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nHANG\n";
    let mta = Mta::start(&[&[hangs]]).await;
    let settings = Settings { tls: Some(Tls::opportunistic().unwrap()), ..Settings::plain(vec![mta.endpoint.clone()]) };
    let gate = Gate::of(settings, Timeouts { connect: SHORT, ..patient() });
    gate.begin(&["r@example.com"]).await.unwrap_err();
    assert_eq!((gate.faults("timeout"), handshakes(&gate, "timed_out")), (1, 1));
}

#[tokio::test]
async fn the_next_connection_resumes_the_session() {
    let (acceptor, roots) = certificate();
    let mta = Mta::start_tls(&[&[STARTTLS, ENVELOPE, ACCEPTED], &[STARTTLS, ENVELOPE, ACCEPTED]], Some(acceptor)).await;
    let gate = gate(&mta, Tls::required(roots, named("mx.test")).unwrap());
    yes(gate.send(MESSAGE).await);
    mta.finished(1).await;
    tokio::time::sleep(SHORT).await;
    yes(gate.send(MESSAGE).await);
    mta.finished(2).await;
    assert_eq!(mta.resumed(), 1);
}

#[tokio::test]
async fn a_large_message_goes_through_tls() {
    let (acceptor, _) = certificate();
    let mta = Mta::start_tls(&[&[STARTTLS, ENVELOPE, ACCEPTED]], Some(acceptor)).await;
    let gate = gate(&mta, Tls::opportunistic().unwrap());
    let body = "0123456789012\r\n".repeat(1 << 18);
    let outgoing = Outgoing { prefix: vec!["A: b\r\n\r\n".into()], body: Body::Replaced(body.clone().into()), leading_dot: false };
    yes(deliver(gate.open().await, outgoing).await);
    mta.finished(1).await;
    assert!(mta.kept()[0] == ["A: b\r\n\r\n", &body].concat().as_bytes());
}
