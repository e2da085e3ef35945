use super::{
    mta::{ENVELOPE, MODERN, PLAIN},
    *,
};
use crate::message::{Spool, budget::Budget, spool};
use crate::smtp::BodyType;

const MESSAGE: &str = "Subject: x\r\n\r\n.one\r\ntwo\r\n";
const SENT: &str = "Received: by octroi\r\nSubject: x\r\n\r\n.one\r\ntwo\r\n";

#[tokio::test]
async fn bdat_where_it_is_offered_and_the_reply_is_the_mtas() {
    let mta =
        Mta::start(&[&[MODERN, ENVELOPE, "BDAT\nS: 250 2.0.0 Ok: queued as 4F3A\n", ENVELOPE, "BDAT\nS: 250 again\nC: QUIT\n"]]).await;
    let gate = Gate::before(&[&mta]);
    assert_eq!(yes(gate.send(MESSAGE).await), "250 2.0.0 Ok: queued as 4F3A");
    assert_eq!(gate.reused(), 0);
    assert_eq!(yes(gate.send(MESSAGE).await), "250 again");
    assert_eq!((gate.reused(), gate.open_connections()), (1, (0, 1)), "the connection served both");
    drop(gate);
    mta.finished(1).await;
    assert_eq!(mta.kept(), [SENT.as_bytes(), SENT.as_bytes()]);
}

#[tokio::test]
async fn data_is_stuffed_and_completed() {
    let mta =
        Mta::start(&[&[PLAIN, ENVELOPE, "C: DATA\nS: 354 go\nDATA\nS: 250 ok\n", ENVELOPE, "C: DATA\nS: 354 go\nDATA\nS: 250 ok\n"]]).await;
    let gate = Gate::before(&[&mta]);
    yes(gate.send(MESSAGE).await);
    yes(gate.send("Subject: y\r\n\r\nno line end").await);
    mta.finished(1).await;
    assert_eq!(mta.kept()[0], SENT.replace("\r\n.one", "\r\n..one").as_bytes().iter().chain(b".\r\n").copied().collect::<Vec<_>>());
    assert!(mta.kept()[1].ends_with(b"\r\n\r\nno line end\r\n.\r\n"));
}

#[tokio::test]
async fn a_body_that_a_stage_replaced_is_made_canonical_and_stuffed_whatever_is_said_of_it() {
    let mta = Mta::start(&[&[PLAIN, ENVELOPE, "C: DATA\nS: 354 go\nDATA\nS: 250 ok\n"]]).await;
    let gate = Gate::before(&[&mta]);
    let body = Body::Replaced("a\n.\r\n.\r\nb\r\n".into());
    yes(deliver(gate.open().await, Outgoing { prefix: vec!["A: b\r\n\r\n".into()], body, leading_dot: false }).await);
    mta.finished(1).await;
    assert_eq!(mta.kept()[0], b"A: b\r\n\r\na\r\n..\r\n..\r\nb\r\n.\r\n");
}

#[tokio::test]
async fn a_message_in_a_file_goes_out_piece_by_piece() {
    for mode in [MODERN, PLAIN] {
        let handed_over = if mode == MODERN { "BDAT\nS: 250 ok\n" } else { "C: DATA\nS: 354 go\nDATA\nS: 250 ok\n" };
        let mta = Mta::start(&[&[mode, ENVELOPE, handed_over]]).await;
        let gate = Gate::before(&[&mta]);
        let budget = || Budget::new(1 << 30);
        let directory = Arc::new(std::env::temp_dir());
        let mut spool = Spool::new(&spool::Settings { in_memory: 0, memory: budget(), disk: budget(), directory });
        let text: String = (0..20_000).map(|n| format!(".{n} 0123456789012345678901234567890\r\n")).collect();
        spool.push("Subject: z\r\n\r\n".into()).await.unwrap();
        spool.push(text.clone().into()).await.unwrap();
        let content = spool.finish().await.unwrap();
        assert!(content.in_memory().is_none());
        let outgoing = Outgoing { prefix: vec!["A: b\r\n\r\n".into()], body: Body::Content { content, from: 14 }, leading_dot: true };
        yes(deliver(gate.open().await, outgoing).await);
        mta.finished(1).await;
        let expected = if mode == MODERN {
            format!("A: b\r\n\r\n{text}")
        } else {
            format!("A: b\r\n\r\n{}.\r\n", text.replace("\r\n.", "\r\n..").replacen('.', "..", 1))
        };
        assert!(mta.kept()[0] == expected.as_bytes());
    }
}

#[tokio::test]
async fn refusals_are_the_mtas_own_words() {
    let mta = Mta::start(&[&[
        MODERN,
        "C: MAIL*\nC: RCPT*\nS: 550 5.7.1 not you\nS: 503 5.5.1 need MAIL\n",
        "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 550 5.1.1 nobody\nC: RCPT TO:<b@example.com>\nS: 250 b\nC: RCPT TO:<c@example.com>\nS: 452 4.2.2 full\n",
        "BDAT\nS: 554 5.6.0 no\nC: RSET\nS: 250 ok\n",
    ]])
    .await;
    let gate = Gate::before(&[&mta]);
    assert_eq!(no(gate.begin(&["r@example.com"]).await), "550 5.7.1 not you");
    let mut held = None;
    assert_eq!(no(gate.add(&mut held, &[], "a@example.com").await), "550 5.1.1 nobody");
    assert_eq!(yes(gate.add(&mut held, &[], "b@example.com").await), "250 b");
    assert_eq!(no(gate.add(&mut held, &["b@example.com"], "c@example.com").await), "452 4.2.2 full");
    assert_eq!(no(deliver(held.unwrap(), outgoing(MESSAGE)).await), "554 5.6.0 no");
    gate.until_idle(1).await;
    mta.finished(1).await;
    for kind in ["closed", "garbage", "timeout", "shutdown"] {
        assert_eq!(gate.faults(kind), 0, "{kind}");
    }
}

#[tokio::test]
async fn a_refusal_of_data_is_relayed_and_the_transaction_reset() {
    let mta = Mta::start(&[&[
        PLAIN,
        ENVELOPE,
        "C: DATA\nS: 554 5.5.1 no valid recipients\nC: RSET\nS: 250 ok\n",
        ENVELOPE,
        "C: DATA\nS: 354 go\nDATA\nS: 451 4.3.0 later\n",
    ]])
    .await;
    let gate = Gate::before(&[&mta]);
    assert_eq!(no(gate.send(MESSAGE).await), "554 5.5.1 no valid recipients");
    gate.until_idle(1).await;
    assert_eq!(no(gate.send(MESSAGE).await), "451 4.3.0 later");
    assert_eq!(gate.idle(), 1, "after DATA nothing is to be reset");
    mta.finished(1).await;
}

#[tokio::test]
async fn a_server_without_pipelining_is_asked_one_by_one() {
    let hello = "S: 220 mx\nC: EHLO octroi.test\nS: 502 what?\nC: HELO octroi.test\nS: 250 mx\n";
    let mta = Mta::start(&[&[hello, "C: MAIL FROM:<s@example.org>\nS: 250 ok\nC: RCPT TO:<a@example.com>\nS: 250 ok\nC: RCPT TO:<b@example.com>\nS: 250 ok\nC: DATA\nS: 354 go\nDATA\nS: 250 ok\n"]]).await;
    let gate = Gate::before(&[&mta]);
    let recipients = [recipient("a@example.com"), recipient("b@example.com")];
    let replayed = gate.upstreams.default_route().replay(&gate.seat, &gate.client, &sender(), &recipients).await.unwrap();
    let Answer::Yes(transaction) = replayed else { panic!("{replayed:?}") };
    yes(deliver(transaction, outgoing(MESSAGE)).await);
    mta.finished(1).await;
}

#[tokio::test]
async fn an_envelope_of_any_size_is_replayed() {
    let recipients: Vec<_> = (0..250).map(|n| recipient(&format!("r{n}@example.com"))).collect();
    let mut script = format!("{MODERN}C: MAIL*\n");
    for batch in recipients.chunks(100) {
        batch.iter().for_each(|recipient| script.push_str(&format!("C: RCPT TO:<{}>\n", recipient.address)));
        if script.matches("S: 250 sender").count() == 0 {
            script.push_str("S: 250 sender\n");
        }
        script.push_str(&"S: 250 ok\n".repeat(batch.len()));
    }
    let mta = Mta::start(&[&[&script, "BDAT\nS: 250 ok\n"]]).await;
    let gate = Gate::before(&[&mta]);
    let replayed = gate.upstreams.default_route().replay(&gate.seat, &gate.client, &sender(), &recipients).await.unwrap();
    let Answer::Yes(transaction) = replayed else { panic!("{replayed:?}") };
    yes(deliver(transaction, outgoing(MESSAGE)).await);
    mta.finished(1).await;
}

#[tokio::test]
async fn an_envelope_that_is_half_refused_now_is_not_half_delivered() {
    let two = "C: MAIL*\nC: RCPT*\nC: RCPT*\nS: 250 ok\nS: 250 ok\nS: 550 5.1.1 gone\nC: RSET\nS: 250 ok\n";
    let one = "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 550 5.1.1 gone\nC: RSET\nS: 250 ok\n";
    let mta = Mta::start(&[&[MODERN, two, one]]).await;
    let gate = Gate::before(&[&mta]);
    let upstream = gate.upstreams.default_route();
    let recipients = [recipient("a@example.com"), recipient("b@example.com")];
    let refused = no(upstream.replay(&gate.seat, &gate.client, &sender(), &recipients).await);
    assert!(refused.starts_with("451 "), "{refused}");
    gate.until_idle(1).await;
    assert_eq!(no(upstream.replay(&gate.seat, &gate.client, &sender(), &recipients[..1]).await), "550 5.1.1 gone");
    gate.until_idle(1).await;
    mta.finished(1).await;
}

#[tokio::test]
async fn what_the_server_cannot_keep_is_not_dropped_on_the_way() {
    let mta = Mta::start(&[&[PLAIN, ENVELOPE, "C: DATA\n"]]).await;
    let gate = Gate::before(&[&mta]);
    let upstream = gate.upstreams.default_route();
    let to = recipient("r@example.com");
    let asks: [fn(&mut Mail); 6] = [
        |mail| mail.body = Some(BodyType::EightBitMime),
        |mail| mail.body = Some(BodyType::BinaryMime),
        |mail| mail.utf8 = true,
        |mail| mail.ret = Some(crate::smtp::Ret::Full),
        |mail| mail.envid = Some("x".into()),
        |mail| mail.require_tls = true,
    ];
    for ask in asks {
        let mut mail = sender();
        ask(&mut mail);
        let refused = no(upstream.begin(&gate.seat, &gate.client, &mail, &to).await);
        assert!(refused.starts_with("451 4.3.3 "), "{refused}");
    }
    let wants_dsn = Recipient { notify: Some("NEVER".into()), ..to.clone() };
    assert!(no(upstream.begin(&gate.seat, &gate.client, &sender(), &wants_dsn).await).starts_with("451 4.3.3 "));
    // What may be dropped is.
    let mail = Mail { size: Some(5), body: Some(BodyType::SevenBit), auth: Some("<>".into()), ..sender() };
    let Answer::Yes((mut transaction, Answer::Yes(_))) = upstream.begin(&gate.seat, &gate.client, &mail, &to).await.unwrap() else {
        panic!()
    };
    assert!(matches!(transaction.ask(&wants_dsn).await, Ok(Answer::No(refusal)) if refusal.to_string().starts_with("451 4.3.3 ")));
    assert_eq!(gate.reused(), 7, "all on one connection, which nothing was said on");
}

#[tokio::test]
async fn a_dropped_transaction_is_reset_and_its_connection_serves_again() {
    let mta =
        Mta::start(&[&[MODERN, ENVELOPE, "C: RSET\nS: 250 ok\n", ENVELOPE, "C: RSET\nS: 250 ok\n", ENVELOPE, "BDAT\nS: 250 ok\n"]]).await;
    let gate = Gate::before(&[&mta]);
    drop(gate.open().await);
    gate.until_idle(1).await;
    gate.open().await.release().await;
    gate.until_idle(1).await;
    yes(gate.send(MESSAGE).await);
    mta.finished(1).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_the_mta_thinks_costs_no_connection() {
    let mta = Mta::start(&[&[
        MODERN,
        "C: MAIL*\nC: RCPT*\nWAIT\nS: 250 sender\nS: 250 recipient\nC: RSET\nS: 250 ok\n",
        ENVELOPE,
        "BDAT\nS: 250 ok\n",
    ]])
    .await;
    let gate = Gate::before(&[&mta]);
    assert!(tokio::time::timeout(SHORT, gate.open()).await.is_err());
    mta.go_on();
    gate.until_idle(1).await;
    yes(gate.send(MESSAGE).await);
    mta.finished(1).await;
}
