use super::{
    mta::{ENVELOPE, MODERN, PLAIN},
    *,
};

const MESSAGE: &str = "Subject: x\r\n\r\nbody\r\n";
const ACCEPTED: &str = "BDAT\nS: 250 ok\n";

/// After the fault, the client is told "later", and the next message passes over a new connection.
async fn recovers(gate: &Gate, error: UpstreamError, kind: &str) {
    assert!(!error.refusal().is_permanent(), "{error}");
    assert_eq!(error.refusal().reply().code(), 451);
    assert_eq!(gate.faults(kind), 1, "{error}");
    assert_eq!(gate.idle(), 0, "what failed does not go back");
    assert_eq!(yes(gate.send(MESSAGE).await), "250 ok");
    assert_eq!(gate.open_connections(), (0, 1));
}

#[tokio::test]
async fn it_drops_the_connection_before_its_last_reply() {
    for (mode, last) in [(MODERN, "BDAT\n"), (PLAIN, "C: DATA\nS: 354 go\nDATA\n")] {
        let mta = Mta::start(&[&[mode, ENVELOPE, last], &[MODERN, ENVELOPE, ACCEPTED]]).await;
        let gate = Gate::before(&[&mta]);
        let error = gate.send(MESSAGE).await.unwrap_err();
        recovers(&gate, error, "closed").await;
        assert_eq!(mta.kept().len(), 2, "the message was not sent again by us");
    }
}

#[tokio::test]
async fn it_hangs() {
    for hangs in ["", "C: MAIL*\nC: RCPT*\n", "C: MAIL*\nC: RCPT*\nS: 250 ok\n"] {
        let mta = Mta::start(&[&[MODERN, hangs, "HANG\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
        let gate = Gate::of(Settings::plain(vec![mta.endpoint.clone()]), Timeouts { command: SHORT, ..patient() });
        let error = gate.begin(&["r@example.com"]).await.unwrap_err();
        recovers(&gate, error, "timeout").await;
    }
}

#[tokio::test]
async fn it_hangs_over_the_last_reply() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, "BDAT\nHANG\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::of(Settings::plain(vec![mta.endpoint.clone()]), Timeouts { end_of_data: SHORT, ..patient() });
    let error = gate.send(MESSAGE).await.unwrap_err();
    recovers(&gate, error, "timeout").await;
}

#[tokio::test]
async fn it_stops_reading_in_the_middle_of_a_message() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, "HANG\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::of(Settings::plain(vec![mta.endpoint.clone()]), Timeouts { command: SHORT, ..patient() });
    let error = deliver(gate.open().await, large()).await.unwrap_err();
    recovers(&gate, error, "timeout").await;
}

/// More than all socket buffers hold.
fn large() -> Outgoing {
    Outgoing { prefix: Vec::new(), body: Body::Replaced("0123456789012\r\n".repeat(1 << 20).into()), leading_dot: false }
}

#[tokio::test]
async fn it_refuses_in_the_middle_of_a_message_and_reads_no_further() {
    for (mode, last) in [(MODERN, "C: BDAT*\n"), (PLAIN, "C: DATA\nS: 354 go\n")] {
        for then in ["HANG\n", ""] {
            let mta = Mta::start(&[&[mode, ENVELOPE, last, "S: 552 5.3.4 too big for me\n", then], &[MODERN, ENVELOPE, ACCEPTED]]).await;
            let gate = Gate::before(&[&mta]);
            match deliver(gate.open().await, large()).await {
                Ok(Answer::No(refusal)) => assert_eq!(refusal.to_string(), "552 5.3.4 too big for me"),
                // It closed with our octets unread: the reset may overtake its words.
                Err(error) if then.is_empty() => assert_eq!(error.refusal().reply().code(), 451),
                other => panic!("{other:?}"),
            }
            assert_eq!(gate.idle(), 0, "nobody knows what it would take for the next command");
            yes(gate.send(MESSAGE).await);
        }
    }
}

#[tokio::test]
async fn it_accepts_a_message_that_it_has_not_read() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, "C: BDAT*\nS: 250 ok, whatever it is\nHANG\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    let error = deliver(gate.open().await, large()).await.unwrap_err();
    recovers(&gate, error, "garbage").await;
}

#[tokio::test]
async fn it_says_421() {
    for says in ["C: MAIL*\nC: RCPT*\nS: 421 4.3.2 shutting down\n", "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 421 4.3.2 shutting down\n"] {
        let mta = Mta::start(&[&[MODERN, says], &[MODERN, ENVELOPE, ACCEPTED]]).await;
        let gate = Gate::before(&[&mta]);
        let error = gate.begin(&["r@example.com"]).await.unwrap_err();
        recovers(&gate, error, "shutdown").await;
    }
}

#[tokio::test]
async fn it_says_421_to_the_message() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, "BDAT\nS: 421 4.3.2 shutting down\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    let error = gate.send(MESSAGE).await.unwrap_err();
    recovers(&gate, error, "shutdown").await;
}

#[tokio::test]
async fn it_talks_garbage() {
    for says in [
        "C: MAIL*\nC: RCPT*\nS: hello there\n",
        "C: MAIL*\nC: RCPT*\nS: 354 what?\n",
        "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 250-a\nS: 550 b\n",
        "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 199 b\n",
    ] {
        let mta = Mta::start(&[&[MODERN, says], &[MODERN, ENVELOPE, ACCEPTED]]).await;
        let gate = Gate::before(&[&mta]);
        let error = gate.begin(&["r@example.com"]).await.unwrap_err();
        recovers(&gate, error, "garbage").await;
    }
}

#[tokio::test]
async fn it_answers_the_message_with_no_answer() {
    for (mode, says) in
        [(MODERN, "BDAT\nS: 354 more?\n"), (PLAIN, "C: DATA\nS: 250 ok\n"), (PLAIN, "C: DATA\nS: 354 go\nDATA\nS: 354 more?\n")]
    {
        let mta = Mta::start(&[&[mode, ENVELOPE, says], &[MODERN, ENVELOPE, ACCEPTED]]).await;
        let gate = Gate::before(&[&mta]);
        let error = gate.send(MESSAGE).await.unwrap_err();
        recovers(&gate, error, "garbage").await;
    }
}

/// One reply too many, and the reply to RCPT would acknowledge the message.
#[tokio::test]
async fn it_says_more_than_it_was_asked() {
    let surplus = "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 250 ok\nS: 250 queued, or so it seems\nHANG\n";
    let mta = Mta::start(&[&[MODERN, surplus], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    let error = gate.send(MESSAGE).await.unwrap_err();
    recovers(&gate, error, "garbage").await;
    assert_eq!(mta.kept().len(), 1);
}

#[tokio::test]
async fn it_says_more_than_it_was_asked_after_a_while() {
    let surplus = "C: MAIL*\nC: RCPT*\nS: 250 ok\nS: 250 ok\nWAIT\nS: 250 queued, or so it seems\nHANG\n";
    let mta = Mta::start(&[&[MODERN, surplus], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    let transaction = gate.open().await;
    mta.go_on();
    tokio::time::sleep(SHORT).await;
    let error = deliver(transaction, outgoing(MESSAGE)).await.unwrap_err();
    recovers(&gate, error, "garbage").await;
}

#[tokio::test]
async fn a_message_is_acknowledged_even_if_it_goes_on_talking() {
    let mta = Mta::start(&[&[MODERN, ENVELOPE, "BDAT\nS: 250 queued\nS: 250 and another\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    assert_eq!(yes(gate.send(MESSAGE).await), "250 queued");
    assert_eq!((gate.idle(), gate.faults("garbage")), (0, 1), "but the connection is not used again");
    yes(gate.send(MESSAGE).await);
}

/// MAIL, and the recipient that was accepted before.
const AGAIN: &str = "C: MAIL FROM:<s@example.org>*\nC: RCPT TO:<r@example.com>\nS: 250 ok\nS: 250 ok\n";

#[tokio::test]
async fn a_connection_that_ends_at_a_later_recipient_is_replaced_once() {
    for (ends, kind) in [("", "closed"), ("S: 421 4.3.2 shutting down\n", "shutdown")] {
        let mta = Mta::start(&[
            &[MODERN, ENVELOPE, "C: RCPT TO:<b@example.com>\n", ends],
            &[MODERN, AGAIN, "C: RCPT TO:<b@example.com>\nS: 250 b\n", ACCEPTED],
        ])
        .await;
        let gate = Gate::before(&[&mta]);
        let mut held = Some(gate.open().await);
        assert_eq!(yes(gate.add(&mut held, &["r@example.com"], "b@example.com").await), "250 b");
        assert_eq!(yes(deliver(held.unwrap(), outgoing(MESSAGE)).await), "250 ok");
        mta.finished(2).await;
        assert_eq!((gate.faults(kind), mta.kept().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_server_that_ends_every_connection_at_a_later_recipient_means_later() {
    let goes = "C: RCPT TO:<b@example.com>\nS: 421 4.3.2 shutting down\n";
    let mta = Mta::start(&[&[MODERN, ENVELOPE, goes], &[MODERN, AGAIN, goes], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    let mut held = Some(gate.open().await);
    let error = gate.add(&mut held, &["r@example.com"], "b@example.com").await.unwrap_err();
    assert_eq!((error.refusal().reply().code(), held.is_none(), mta.done()), (451, true, 2));
    assert_eq!(yes(gate.send(MESSAGE).await), "250 ok");
}

#[tokio::test]
async fn a_refusal_that_is_meant_or_makes_no_sense_is_not_asked_for_again() {
    for says in ["450 4.2.1 greylisted", "451 4.3.0 try later", "452 4.2.2 full", "550 5.1.1 nobody", "521 5.3.2 no mail"] {
        let mta = Mta::start(&[&[MODERN, ENVELOPE, "C: RCPT TO:<b@example.com>\nS: ", says, "\n", ACCEPTED]]).await;
        let gate = Gate::before(&[&mta]);
        let mut held = Some(gate.open().await);
        assert_eq!(no(gate.add(&mut held, &["r@example.com"], "b@example.com").await), says);
        assert_eq!(yes(deliver(held.unwrap(), outgoing(MESSAGE)).await), "250 ok", "on the same connection");
        mta.finished(1).await;
    }
    let mta = Mta::start(&[&[MODERN, ENVELOPE, "C: RCPT TO:<b@example.com>\nS: what?\n"], &[MODERN, ENVELOPE, ACCEPTED]]).await;
    let gate = Gate::before(&[&mta]);
    let mut held = Some(gate.open().await);
    let error = gate.add(&mut held, &["r@example.com"], "b@example.com").await.unwrap_err();
    assert!(held.is_none());
    recovers(&gate, error, "garbage").await;
}

#[tokio::test]
async fn a_greeting_that_is_none() {
    for (greeting, kind) in [
        ("S: 554 5.7.1 no mail here\n", "connect"),
        ("S: 421 4.7.0 too many of you\n", "shutdown"),
        ("S: 450 4.3.2 not now\n", "shutdown"),
        ("S: SSH-2.0-OpenSSH_9.2\n", "garbage"),
        ("", "closed"),
        ("S: 220 mx\nC: EHLO*\nS: 550 no\nC: HELO*\nS: 550 no\n", "connect"),
    ] {
        let mta = Mta::start(&[&[greeting]]).await;
        let gate = Gate::before(&[&mta]);
        let error = gate.begin(&["r@example.com"]).await.unwrap_err();
        assert_eq!(error.refusal().reply().code(), 451);
        assert_eq!(gate.faults(kind), 1, "{error}");
        assert_eq!(gate.open_connections(), (0, 0));
    }
}

#[tokio::test]
async fn it_never_greets() {
    let mta = Mta::start(&[&["HANG\n"]]).await;
    let gate = Gate::of(Settings::plain(vec![mta.endpoint.clone()]), Timeouts { connect: SHORT, ..patient() });
    gate.begin(&["r@example.com"]).await.unwrap_err();
    assert_eq!(gate.faults("timeout"), 1);
}
