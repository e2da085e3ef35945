use super::{
    mta::{ENVELOPE, MODERN},
    *,
};
use crate::message::TlsFacts;
use crate::upstream::IdentityMode;

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";
const ACCEPTED: &str = "BDAT\nS: 250 ok\n";
const XCLIENT: &str = "S: 220 mx.test\nC: EHLO octroi.test\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\nS: 250 CHUNKING\n";
/// The server forgets what it offers, and offers it again.
const AGAIN: &str = "S: 220 mx.test\nC: EHLO client.example\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\nS: 250 CHUNKING\n";

fn gate(mta: &Mta, identity: IdentityMode) -> Gate {
    Gate::of(Settings { identity, ..Settings::plain(vec![mta.endpoint.clone()]) }, patient())
}

#[tokio::test]
async fn xclient_goes_before_another_client_and_not_before_the_same() {
    let first = "C: XCLIENT PORT=41000 PROTO=ESMTP HELO=client.example LOGIN=[UNAVAILABLE] DESTADDR=198.51.100.1 DESTPORT=25 NAME=[UNAVAILABLE] ADDR=192.0.2.7\n";
    let second = "C: XCLIENT PORT=7 PROTO=ESMTP HELO=client.example LOGIN=a+2Bb@example.org DESTADDR=198.51.100.1 DESTPORT=25 NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::7\n";
    let mta = Mta::start(&[&[XCLIENT, first, AGAIN, ENVELOPE, ACCEPTED, ENVELOPE, ACCEPTED, second, AGAIN, ENVELOPE, ACCEPTED]]).await;
    let mut gate = gate(&mta, IdentityMode::Xclient);
    yes(gate.send(MESSAGE).await);
    yes(gate.send(MESSAGE).await);
    let next = client("[2001:db8::7]:7");
    gate.client = Arc::new(Client { account: Some("a+b@example.org".into()), ..Client::clone(&next) });
    yes(gate.send(MESSAGE).await);
    assert_eq!(gate.reused(), 2);
    mta.finished(1).await;
}

#[tokio::test]
async fn a_server_that_does_not_offer_xclient_gets_no_mail() {
    let without_addr = "S: 220 mx\nC: EHLO*\nS: 250-mx\nS: 250 XCLIENT NAME HELO\n";
    for hello in [MODERN, without_addr] {
        let mta = Mta::start(&[&[hello]]).await;
        let gate = gate(&mta, IdentityMode::Xclient);
        let error = gate.begin(&["r@example.com"]).await.unwrap_err();
        assert_eq!((error.refusal().reply().code(), gate.faults("capability")), (451, 1));
        assert!(!gate.shared.is_ready());
        mta.finished(1).await;
    }
}

#[tokio::test]
async fn a_client_that_the_mta_refuses_is_refused_and_the_next_is_not() {
    for refuses in ["C: XCLIENT*\nS: 550 5.7.1 listed\n", "C: XCLIENT*\nS: 220 mx\nC: EHLO*\nS: 550 5.7.1 listed\n"] {
        let mta = Mta::start(&[&[XCLIENT, refuses, "C: QUIT\n"], &[XCLIENT, "C: XCLIENT*\n", AGAIN, ENVELOPE, ACCEPTED]]).await;
        let gate = gate(&mta, IdentityMode::Xclient);
        assert_eq!(no(gate.begin(&["r@example.com"]).await), "550 5.7.1 listed");
        assert_eq!((gate.idle(), gate.faults("shutdown")), (0, 0), "whom the server takes it for now is not known");
        yes(gate.send(MESSAGE).await);
        mta.finished(2).await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_understand_its_own_offer_refuses_nobody() {
    let mta = Mta::start(&[&[XCLIENT, "C: XCLIENT*\nS: 501 5.5.4 Bad ADDR syntax\n"]]).await;
    let gate = gate(&mta, IdentityMode::Xclient);
    let error = gate.begin(&["r@example.com"]).await.unwrap_err();
    assert_eq!((error.refusal().reply().code(), gate.faults("capability")), (451, 1));
}

/// As Postfix does for a client that is not itself in `smtpd_authorized_xclient_hosts`.
#[tokio::test]
async fn where_the_server_takes_no_second_xclient_the_connection_is_the_sessions() {
    let bound = "S: 220 mx.test\nC: EHLO client.example\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 CHUNKING\n";
    let other = "S: 220 mx.test\nC: EHLO other.example\nS: 250-mx.test\nS: 250-PIPELINING\nS: 250 CHUNKING\n";
    let own = [XCLIENT, "C: XCLIENT*\n", bound, ENVELOPE, ACCEPTED, ENVELOPE, ACCEPTED, "C: QUIT\n"];
    let mta = Mta::start(&[&own, &[XCLIENT, "C: XCLIENT*\n", other, ENVELOPE, ACCEPTED, "C: QUIT\n"]]).await;
    let mut gate = gate(&mta, IdentityMode::Xclient);
    yes(gate.send(MESSAGE).await);
    yes(gate.send(MESSAGE).await);
    assert_eq!((gate.idle(), gate.reused(), gate.open_connections()), (0, 1, (0, 1)), "not in the pool");
    // The same session under another name.
    gate.client = Arc::new(Client { hello: Some((Domain::parse("other.example").unwrap(), true)), ..Client::clone(&gate.client) });
    yes(gate.send(MESSAGE).await);
    mta.finished(1).await;
    gate.seat = Seat::default();
    mta.finished(2).await;
}

#[tokio::test]
async fn what_does_not_fit_one_line_goes_in_several() {
    let long = format!("{}example", format!("{}.", "x".repeat(50)).repeat(4));
    let hello = "S: 220 mx.test\nC: EHLO octroi.test\nS: 250-mx.test\nS: 250 XCLIENT NAME ADDR HELO LOGIN\n";
    let again = "S: 250-mx.test\nS: 250 XCLIENT NAME ADDR HELO LOGIN\n";
    let script = format!(
        "C: XCLIENT HELO={long} LOGIN={}\nS: 220 mx\nC: XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7\nS: 220 mx\nC: EHLO {long}\n{again}",
        "y".repeat(250)
    );
    let mta = Mta::start(&[&[hello, &script, "C: MAIL*\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: RSET\n"]]).await;
    let mut gate = gate(&mta, IdentityMode::Xclient);
    gate.client = Arc::new(Client {
        hello: Some((Domain::parse(&long).unwrap(), true)),
        account: Some("y".repeat(250).into()),
        ..Client::clone(&gate.client)
    });
    drop(gate.open().await);
    mta.finished(1).await;
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[tokio::test]
async fn a_proxy_header_begins_a_connection_of_the_sessions_own() {
    let hello = "PROXY\nS: 220 mx\nC: EHLO client.example\nS: 250-mx\nS: 250-PIPELINING\nS: 250 CHUNKING\n";
    let own =
        [hello, ENVELOPE, ACCEPTED, "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 250 ok\nC: RSET\nS: 250 ok\n", ENVELOPE, ACCEPTED, "C: QUIT\n"];
    let mta = Mta::start(&[&own, &[hello, ENVELOPE, ACCEPTED, "C: QUIT\n"]]).await;
    let mut gate = gate(&mta, IdentityMode::ProxyV2);
    yes(gate.send(MESSAGE).await);
    drop(gate.open().await);
    yes(gate.send(MESSAGE).await);
    assert_eq!((gate.idle(), gate.reused(), gate.open_connections()), (0, 2, (0, 1)), "not in the pool");
    // The session ends, another begins.
    gate.seat = Seat::default();
    mta.finished(1).await;
    gate.client = Arc::new(Client {
        tls: Some(Arc::new(TlsFacts {
            version: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384",
            sni: Some("mx.example.org".into()),
            client_subject: Some("CN=laptop, O=Example".into()),
            resumed: false,
            ja4: None,
        })),
        ..Client::clone(&client("[2001:db8::7]:7"))
    });
    yes(gate.send(MESSAGE).await);
    drop(gate);
    mta.finished(2).await;
    let kept = mta.kept();
    let mut plain = SIGNATURE.to_vec();
    plain.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1, 0xa0, 0x28, 0, 25]);
    assert_eq!(kept[0], plain);
    // IPv6, since one of the two is.
    let tls = &kept[3];
    assert_eq!(tls[..14], [SIGNATURE, &[0x21, 0x21]].concat());
    assert_eq!(tls[16..32], "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    assert_eq!(tls[32..48], "::ffff:198.51.100.1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    assert_eq!(tls[48..52], [0, 7, 0, 25]);
    // PP2_TYPE_AUTHORITY, then PP2_TYPE_SSL: over TLS, with a certificate that verifies.
    let tlvs = [
        b"\x02\0\x0emx.example.org".as_slice(),
        b"\x20\0\x31\x07\0\0\0\0",
        b"\x21\0\x07TLSv1.3",
        b"\x23\0\x16TLS_AES_256_GCM_SHA384",
        b"\x22\0\x06laptop",
    ]
    .concat();
    assert_eq!(tls[52..], tlvs);
}

#[tokio::test]
async fn a_sessions_own_connection_that_is_gone_is_replaced() {
    let hello = "PROXY\nS: 220 mx\nC: EHLO client.example\nS: 250-mx\nS: 250-PIPELINING\nS: 250 CHUNKING\n";
    let mta = Mta::start(&[&[hello, ENVELOPE, ACCEPTED, "C: MAIL*\n"], &[hello, ENVELOPE, ACCEPTED]]).await;
    let gate = gate(&mta, IdentityMode::ProxyV2);
    yes(gate.send(MESSAGE).await);
    yes(gate.send(MESSAGE).await);
}

#[tokio::test]
async fn a_client_that_the_mta_does_not_even_greet_is_refused_in_its_words() {
    let mta = Mta::start(&[&["PROXY\nS: 554 5.7.1 listed\n"]]).await;
    let gate = gate(&mta, IdentityMode::ProxyV2);
    assert_eq!(no(gate.begin(&["r@example.com"]).await), "554 5.7.1 listed");
    assert_eq!(gate.faults("connect"), 0);
}
