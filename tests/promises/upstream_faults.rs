//! The upstream does wrong, fault by fault. Whatever it does, the client gets a true answer in
//! time; what was acknowledged is at the upstream once, what was refused is not there, and what
//! nobody answered for is there at most once (RFC 1047, RFC 5321 §4.5.3.2.6, §6.1).

use crate::support::{Act, Client, Gate, Mta, Reply, Setup, Step, client::message, mta, wait};
use std::time::{Duration, Instant};

const TIMEOUTS: &str = "[timeouts]\nupstream_connect = \"1s\"\nupstream_command = \"1s\"\nupstream_final = \"1s\"\n";
/// Well above the timeouts, well below the patience of a client.
const IN_TIME: Duration = Duration::from_secs(12);

fn gate_before(mta: &Mta) -> Gate {
    Setup::before(mta.address()).mx().and(TIMEOUTS).start()
}

/// Where a client stood when it was refused, and with what; `None`: it was not.
type Outcome = Option<(&'static str, Reply)>;

/// A transaction as a client sees it, up to the first refusal.
fn attempt(gate: &Gate, subject: &str) -> (Outcome, Duration) {
    let mut client = Client::greeted(gate.mx());
    let start = Instant::now();
    for (place, line, yes) in [("MAIL", "MAIL FROM:<a@example.net>", 250), ("RCPT", "RCPT TO:<b@example.org>", 250), ("DATA", "DATA", 354)]
    {
        let reply = client.ask(line);
        if reply.code != yes {
            client.ask("QUIT").must(221);
            return (Some((place, reply)), start.elapsed());
        }
    }
    client.send(message(subject)).send(".\r\n");
    let reply = client.reply();
    let took = start.elapsed();
    client.ask("QUIT").must(221);
    ((reply.code != 250).then_some(("end", reply)), took)
}

/// What a client must be told.
enum Told {
    /// These very words.
    Words(&'static str),
    /// Later: 4yz of ours, without a word of what the upstream said.
    Later,
    /// It must not notice.
    Delivered,
}

struct Case {
    step: Step,
    act: Act,
    told: Told,
    /// How often the upstream may have the message that it was tried with.
    copies: usize,
}

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

fn cases() -> Vec<Case> {
    use Told::{Delivered, Later, Words};
    let case = |step, act, told, copies| Case { step, act, told, copies };
    let garbage = || Act::Raw(b"\x16\x03\x01\x00\xff\xfe hello\r\n".to_vec());
    let mut all = vec![
        // Refusals are passed on word for word, 4yz as 4yz and 5yz as 5yz.
        case(Step::Mail, say("550 5.7.1 not from you"), Words("550 5.7.1 not from you"), 0),
        case(Step::Mail, say("451 4.3.0 not now"), Words("451 4.3.0 not now"), 0),
        case(Step::Rcpt, say("550 5.1.1 no such user"), Words("550 5.1.1 no such user"), 0),
        case(Step::Rcpt, say("450 4.2.0 greylisted"), Words("450 4.2.0 greylisted"), 0),
        case(Step::Rcpt, say("550-5.1.1 no such\r\n550 5.1.1 user"), Words("550 5.1.1 no such\n5.1.1 user"), 0),
        case(Step::Final, say("550 5.7.1 spam"), Words("550 5.7.1 spam"), 0),
        case(Step::Final, say("452 4.3.1 disk full"), Words("452 4.3.1 disk full"), 0),
        case(Step::Final, say("554-5.7.1 long\r\n554 5.7.1 story"), Words("554 5.7.1 long\n5.7.1 story"), 0),
    ];
    // It goes away, or hangs, or talks nonsense, or is out of step, at every step there is.
    for step in [Step::Mail, Step::Rcpt, Step::Final] {
        for act in [
            say("421 4.3.2 shutting down"),
            Act::SayAndClose("421 4.3.2 shutting down".to_owned()),
            Act::Close,
            Act::Abort,
            Act::Hang,
            garbage(),
            Act::Raw(b"25".to_vec()),
            Act::RawAndClose(b"250-2.0.0 half a re".to_vec()),
            Act::Raw(b"250-one\r\n550 two\r\n".to_vec()),
            say("999 what"),
            say("100 what"),
            say("354 go ahead"),
            Act::Raw(b"250 \xff\xfe\r".to_vec()),
            Act::Drip(Duration::from_millis(400)),
        ] {
            // A message whose fate the answer did not tell may be there; it is there once.
            let copies = usize::from(step == Step::Final);
            all.push(case(step, act, Later, copies));
        }
    }
    // Late is not never.
    for step in [Step::Mail, Step::Rcpt, Step::Final] {
        all.push(case(step, Act::Late(Duration::from_millis(300)), Delivered, 1));
    }
    // A yes is a yes, whatever its words; controls in it do not reach the client.
    all.push(case(Step::Final, say("250-2.0.0 Ok\r\n250 2.0.0 queued"), Delivered, 1));
    all.push(case(Step::Final, Act::Raw(b"250 2.0.0 a\x08\x1b[2Jb\x00c\r\n".to_vec()), Delivered, 1));
    all
}

#[test]
fn the_truth_table_of_a_transaction() {
    for (nth, Case { step, act, told, copies }) in cases().into_iter().enumerate() {
        // With CHUNKING the content goes without a 354; both ways have to hold.
        for extensions in [mta::EXTENSIONS, &["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]] {
            let mta = Mta::offering(extensions);
            let gate = gate_before(&mta);
            let what = format!("{act:?} at {step:?}, {} extensions", extensions.len());
            mta.always(step, act.clone());
            let (outcome, took) = attempt(&gate, "tried");
            match (&told, &outcome) {
                (Told::Words(words), Some((_, reply))) => assert_eq!(format!("{} {}", reply.code, reply.text()), *words, "{what}"),
                (Told::Later, Some((_, reply))) => {
                    assert!(reply.is_temporary() && reply.status().starts_with("4."), "{what}: {reply:?}");
                    assert!(!reply.text().contains("shutting") && !reply.text().contains("127."), "{what}: {reply:?} gives something away");
                }
                (Told::Delivered, None) => {}
                _ => panic!("{what}: the client was told {outcome:?}"),
            }
            assert!(took < IN_TIME, "{what}: took {took:?}");
            let kept = mta.received().iter().filter(|message| message.is_kept()).count();
            assert!(kept <= copies, "{what}: {kept} copies");

            // And then everything is as before, on this very gate.
            mta.mend();
            let before = mta.received().len();
            wait::until(&format!("{what}: recovery"), || attempt(&gate, &format!("after-{nth}")).0.is_none().then_some(()));
            let after = mta.received();
            assert!(after[before..].iter().filter(|message| message.is_kept()).count() == 1, "{what}: recovery doubled a message");
        }
    }
}

/// DATA's own answer, and what happens inside the content.
#[test]
fn the_truth_table_of_the_content() {
    let refusal = |text: &str| say(text);
    for (step, act, words) in [
        (Step::Data, refusal("554 5.7.1 not you"), Some("554 5.7.1 not you")),
        (Step::Data, refusal("451 4.3.0 not now"), Some("451 4.3.0 not now")),
        (Step::Data, refusal("250 fine"), None),
        (Step::Data, Act::Close, None),
        (Step::Data, Act::Hang, None),
        (Step::Data, refusal("421 4.3.2 bye"), None),
        (Step::Data, Act::Raw(b"garbage\r\n".to_vec()), None),
        (Step::Body, Act::Close, None),
        (Step::Body, Act::Abort, None),
        (Step::Body, Act::Hang, None),
        (Step::Body, Act::SayAndClose("421 4.3.2 bye".to_owned()), None),
    ] {
        let mta = Mta::offering(&["PIPELINING", "8BITMIME"]);
        let gate = gate_before(&mta);
        let what = format!("{act:?} at {step:?}");
        mta.always(step, act);
        let (outcome, took) = attempt(&gate, "tried");
        let (place, reply) = outcome.unwrap_or_else(|| panic!("{what}: acknowledged"));
        assert_eq!(place, "end", "{what}");
        match words {
            Some(words) => assert_eq!(format!("{} {}", reply.code, reply.text()), words, "{what}"),
            None => assert!(reply.is_temporary(), "{what}: {reply:?}"),
        }
        assert!(took < IN_TIME, "{what}: took {took:?}");
        assert!(mta.kept().is_empty(), "{what}");
        mta.mend();
        wait::until(&format!("{what}: recovery"), || attempt(&gate, "after").0.is_none().then_some(()));
        assert_eq!(mta.kept().len(), 1, "{what}");
    }
}

/// An upstream that cannot even be greeted: the client is told "later" at RCPT, in time.
#[test]
fn the_truth_table_of_the_greeting() {
    for (step, act) in [
        (Step::Greeting, Act::Close),
        (Step::Greeting, Act::Hang),
        (Step::Greeting, say("554 no service")),
        (Step::Greeting, Act::SayAndClose("421 too busy".to_owned())),
        (Step::Greeting, Act::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        (Step::Greeting, Act::Raw(vec![b'x'; 300_000])),
        (Step::Greeting, Act::Raw(b"220-mta\r\n".repeat(50_000))),
        (Step::Hello, Act::Close),
        (Step::Hello, Act::Hang),
        (Step::Hello, say("421 too busy")),
        (Step::Hello, Act::Raw(b"250-mta\r\n250-SIZE\r\n".repeat(50_000))),
    ] {
        let mta = Mta::start();
        let gate = gate_before(&mta);
        let what = format!("{step:?} {}", format!("{act:?}").chars().take(60).collect::<String>());
        mta.always(step, act);
        // What the pool holds from the probe may still serve one transaction.
        for _ in 0..2 {
            let (outcome, took) = attempt(&gate, "tried");
            assert!(took < IN_TIME, "{what}: took {took:?}");
            if let Some((_, reply)) = outcome {
                assert!(reply.is_temporary(), "{what}: {reply:?}");
            }
        }
        mta.mend();
        wait::until(&format!("{what}: recovery"), || attempt(&gate, "after").0.is_none().then_some(()));
    }
}

#[test]
fn an_upstream_that_is_down_stops_no_banner_and_comes_back() {
    let mta = Mta::start();
    mta.stop();
    let gate = Setup::before(mta.address()).mx().and(TIMEOUTS).start_alive();
    assert_eq!(gate.http("/readyz").0, 503);
    let (outcome, took) = attempt(&gate, "tried");
    let (_, reply) = outcome.expect("there is nobody to take it");
    assert!(reply.is_temporary() && took < IN_TIME, "{reply:?} after {took:?}");
    assert!(gate.metrics().sum("octroi_upstream_errors_total", "") > 0.0);
    mta.restart();
    wait::until("the upstream to be found again", || attempt(&gate, "after").0.is_none().then_some(()));
    wait::until("/readyz", || (gate.http("/readyz").0 == 200).then_some(()));
    assert_eq!(mta.kept().len(), 1);
}

/// A connection of the pool that the upstream closed meanwhile costs nobody a message.
/// Also where no mail flows that would find out.
#[test]
fn readiness_follows_the_upstream() {
    let mta = Mta::start();
    let mut gate = gate_before(&mta);
    mta.stop();
    gate.wait_for_health("/readyz", 503);
    gate.wait_alive();
    mta.restart();
    gate.wait_ready();
}

#[test]
fn a_pooled_connection_that_died_is_replaced_unseen() {
    let mta = Mta::start();
    let gate = gate_before(&mta);
    for round in 0..5 {
        assert!(attempt(&gate, "before").0.is_none());
        mta.stop();
        // Closes what is open, as a server does that restarts.
        mta.close_all();
        mta.restart();
        let (outcome, _) = attempt(&gate, "after");
        assert!(outcome.is_none(), "round {round}: {outcome:?}");
    }
    assert_eq!(mta.kept().len(), 10);
}

#[test]
fn several_servers_fail_over() {
    let (one, two) = (Mta::start(), Mta::start());
    let lines = format!("addresses = [\"{}\", \"{}\"]", one.address(), two.address());
    let gate = Setup::before_lines(&lines).mx().and(TIMEOUTS).start();
    let mut sent = 0;
    for _ in 0..8 {
        assert!(attempt(&gate, "both").0.is_none());
        sent += 1;
    }
    one.stop();
    one.close_all();
    for _ in 0..8 {
        let (outcome, _) = attempt(&gate, "one");
        assert!(outcome.is_none(), "{outcome:?}");
        sent += 1;
    }
    one.restart();
    two.stop();
    two.close_all();
    wait::until("the first to be used again", || {
        let (outcome, _) = attempt(&gate, "other");
        outcome.is_none().then_some(())
    });
    sent += 1;
    assert_eq!(one.kept().len() + two.kept().len(), sent);
    assert!(!one.kept().is_empty() && !two.kept().is_empty());
}

/// Replies that nobody asked for: a server out of step must not answer the next client's question.
#[test]
fn surplus_replies_are_an_error() {
    for step in [Step::Mail, Step::Rcpt, Step::Final, Step::Rset] {
        let mta = Mta::start();
        let gate = gate_before(&mta);
        mta.behave(step, Act::Raw(b"250 2.0.0 Ok\r\n250 2.0.0 Ok: queued as FORGED\r\n".to_vec()), 1);
        let _ = attempt(&gate, "tried");
        for nth in 0..4 {
            mta.behave(Step::Rcpt, say("550 5.1.1 truly not"), 1);
            let (outcome, _) = attempt(&gate, &format!("refused-{nth}"));
            let (place, reply) = outcome.unwrap_or_else(|| panic!("{step:?}: a stale yes answered RCPT"));
            assert_eq!((place, reply.code), ("RCPT", 550), "{step:?}: {reply:?}");
            mta.mend();
            assert!(attempt(&gate, &format!("good-{nth}")).0.is_none(), "{step:?}");
        }
        assert!(mta.kept().iter().all(|message| !message.content.windows(9).any(|text| text == b"refused-0")));
    }
}

/// While a client dawdles over its content, the upstream is free; the envelope is said again when
/// the content is there.
#[test]
fn a_slow_client_does_not_hold_the_upstream() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[timeouts]\nhold = \"200ms\"\n").start();
    let mut slow = Client::greeted(gate.mx());
    slow.begin_data("slow@example.net", &["b@example.org"]);
    slow.send("Subject: slow\r\n\r\nbegun").settle();
    wait::until("the transaction to be reset", || mta.lines().iter().any(|line| line == "RSET").then_some(()));
    assert!(attempt(&gate, "between").0.is_none());
    slow.send(" and ended\r\n.\r\n");
    slow.reply().must(250);
    let kept = mta.kept();
    assert_eq!(kept.len(), 2);
    assert!(kept[1].content.ends_with(b"begun and ended\r\n"));
    assert_eq!(kept[1].recipients, ["RCPT TO:<b@example.org>"]);
}

/// And while it dawdles between two commands, with or without a word now and then: a recipient that
/// comes later has those before it said again, and so has the content.
#[test]
fn a_client_that_dawdles_between_commands_does_not_hold_the_upstream() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[timeouts]\nhold = \"200ms\"\n").start();
    let mut dawdlers: Vec<_> = ["silent", "chatty"].map(|name| (name, Client::greeted(gate.mx()))).into();
    for (name, client) in &mut dawdlers {
        client.ask(&format!("MAIL FROM:<{name}@example.net>")).must(250);
        client.ask("RCPT TO:<b@example.org>").must(250);
    }
    let resets = || mta.lines().iter().filter(|line| *line == "RSET").count();
    assert_eq!(resets(), 0, "not at once: recipients follow each other");
    wait::until_within(Duration::from_secs(90), "both transactions to be reset", || {
        dawdlers[1].1.ask("NOOP").must(250);
        wait::pause(Duration::from_secs(1));
        (resets() == 2).then_some(())
    });
    assert!(attempt(&gate, "between").0.is_none());
    for (name, client) in &mut dawdlers {
        client.ask("RCPT TO:<c@example.org>").must(250);
        client.ask("RCPT TO:<nobody@example.org>").must(550);
        client.ask("DATA").must(354);
        client.send(message(name)).send(".\r\n").reply().must(250);
        let kept = mta.kept().pop().unwrap();
        assert!(kept.mail.contains(&format!("<{name}@example.net>")), "{kept:?}");
        assert_eq!(kept.recipients, ["RCPT TO:<b@example.org>", "RCPT TO:<c@example.org>"]);
    }
    assert_eq!(mta.kept().len(), 3);
}

/// The same, and the upstream has changed its mind when it is asked again: a true answer, and
/// nothing is half delivered.
#[test]
fn a_replayed_envelope_that_is_refused_is_a_true_refusal() {
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().and("[timeouts]\nhold = \"200ms\"\n").start();
    let mut slow = Client::greeted(gate.mx());
    slow.begin_data("slow@example.net", &["b@example.org", "c@example.org"]);
    slow.send("Subject: slow\r\n\r\nbegun").settle();
    wait::until("the transaction to be reset", || mta.lines().iter().any(|line| line == "RSET").then_some(()));
    mta.behave(Step::Rcpt, say("550 5.1.1 gone meanwhile"), 1);
    slow.send("\r\n.\r\n");
    assert!(slow.reply().is_temporary());
    assert!(mta.kept().is_empty());
    slow.ask("NOOP").must(250);
    slow.deliver("slow@example.net", &["b@example.org"], b"Subject: again\r\n\r\n").must(250);
}
