//! What becomes of whatever a filter says.
mod filter;

use super::hear;
use crate::{
    chain::{Decision, Finding, Hold, HoldClass, Report, StageError, Verdict},
    message::{Client, Edits, Message, TlsFacts, budget::Budget},
    smtp::{Address, Domain, Mail, Recipient, Refusal, ReversePath},
    stages::tests::{client, message, read},
    value::Id,
};
use bytes::Bytes;
use filter::{Filter, Log, agreeable};
use std::sync::Arc;

fn greeted() -> Arc<Client> {
    let tls = TlsFacts { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", sni: None, client_subject: None, resumed: false, ja4: None };
    let hello = Some((Domain::parse("client.example").unwrap(), true));
    Arc::new(Client { tls: Some(tls.into()), hello, account: Some("alice".into()), mechanism: Some("PLAIN".into()), ..(*client()).clone() })
}
fn address(text: &str) -> Address {
    Address::parse(text, false).unwrap()
}
fn content() -> Message {
    message("Subject: x\r\n y\r\nTo:b\r\n", "body\r\n")
}

/// The commands so far, without macros; `c` is a connection.
fn commands(log: &Log) -> String {
    log.lock().unwrap().iter().filter(|line| !line.starts_with("D ")).filter_map(|line| line.chars().next()).collect()
}

struct Session(Box<dyn crate::chain::Inspection>);

impl Session {
    async fn begin(address: &str, settings: &str) -> Self {
        let (stages, found) = read(&format!("[[stage]]\ntype = \"milter\"\naddress = \"{address}\"\ntimeout = \"1s\"\n{settings}"));
        assert_eq!(found, []);
        Self(stages[0].stage.begin(&greeted()).await.unwrap())
    }

    /// A whole message; the answers to the commands that were not `Go`, or the report.
    async fn pass(&mut self) -> Result<Result<Report, Decision>, StageError> {
        let Self(session) = self;
        let mail = Mail { size: Some(7), ..Mail::new(ReversePath(Some(address("a@example.net")))) };
        let recipient = Recipient { notify: Some("NEVER".into()), ..Recipient::new(address("b@example.org")) };
        let message = content();
        let mut no_body = false;
        for step in 0..6 {
            let decision = match step {
                0 => session.connect(&greeted()).await?,
                1 => session.hello(&greeted()).await?,
                2 => session.mail(&greeted(), &mail, Id::generate()).await?,
                3 => session.recipient(&recipient).await?,
                4 => session.headers(&message.headers).await?,
                _ => session.body(&Bytes::from_static(b"body\r\n")).await?,
            };
            match decision {
                Decision::Go => {}
                Decision::Done if step == 5 => no_body = true,
                other => return Ok(Err(other)),
            }
        }
        let _ = no_body;
        session.end_of_message(&message).await.map(Ok)
    }
}

async fn pass(filter: Filter) -> Result<Result<Report, Decision>, StageError> {
    let (address, _) = filter.start().await;
    Session::begin(&address, "").await.pass().await
}

#[tokio::test]
async fn a_filter_is_told_everything_in_order_with_its_macros() {
    let (address, log) = Filter::new(agreeable).start().await;
    let mut session = Session::begin(&address, "").await;
    assert_eq!(session.pass().await.unwrap().unwrap(), Report::default());
    let log = log.lock().unwrap();
    let id = log.iter().find_map(|line| line.strip_prefix("D Mi|")?.split('|').next()).unwrap().to_owned();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        "connection".to_owned(),
        format!(
            "D Cj|gate.example|{{daemon_name}}|mx|{{daemon_addr}}|192.0.2.1|{{daemon_port}}|1|v|octroi {version}|_|unknown [192.0.2.1]|"
        ),
        "C unknown|4\u{0}\u{1}192.0.2.1|".replace('\0', "|"),
        "D H{tls_version}|TLSv1.3|{cipher}|TLS_AES_128_GCM_SHA256|{cipher_bits}|128|".to_owned(),
        "H client.example|".to_owned(),
        format!(
            "D Mi|{id}|{{auth_type}}|PLAIN|{{auth_authen}}|alice|{{mail_addr}}|a@example.net|{{mail_host}}|example.net|{{mail_mailer}}|smtp|"
        ),
        "M <a@example.net>|SIZE=7|".to_owned(),
        format!("D Ri|{id}|{{rcpt_addr}}|b@example.org|{{rcpt_host}}|example.org|{{rcpt_mailer}}|smtp|"),
        "R <b@example.org>|NOTIFY=NEVER|".to_owned(),
        format!("D Ti|{id}|"),
        "T ".to_owned(),
        "L Subject|x\n y|".to_owned(),
        "L To|b|".to_owned(),
        format!("D Ni|{id}|"),
        "N ".to_owned(),
        "B body\r\n".to_owned(),
        format!("D Ei|{id}|"),
        "E ".to_owned(),
    ];
    assert_eq!(*log, expected);
}

#[tokio::test]
async fn steps_that_a_filter_does_not_want_are_left_out_and_silent_ones_not_waited_for() {
    fn silent(command: u8) -> Vec<(u8, &'static [u8])> {
        if command == b'E' { vec![(b'c', b"")] } else { vec![] }
    }
    // Neither connect, HELO, recipients nor body; no answer to MAIL, DATA, fields, their end.
    let steps = 0x1 | 0x2 | 0x8 | 0x10 | 0x4000 | 0x10000 | 0x80 | 0x40000 | 0x100000;
    // And of the macros `i` and the client's address at MAIL only.
    let filter = Filter { steps, more: b"\0\0\0\x02{client_addr} i\0", actions: 0x100, ..Filter::new(silent) };
    let (address, log) = filter.start().await;
    let mut session = Session::begin(&address, "").await;
    assert_eq!(session.pass().await.unwrap().unwrap(), Report::default());
    let log: Vec<_> = log.lock().unwrap().iter().filter(|line| !line.starts_with("D ") || line.starts_with("D M")).cloned().collect();
    assert!(log[1].starts_with("D M{client_addr}|192.0.2.1|i|") && log[1].matches('|').count() == 4, "{log:?}");
    assert_eq!(log[2..], ["M <a@example.net>|SIZE=7|", "T ", "L Subject| x\n y|", "L To|b|", "N ", "E "]);
}

#[tokio::test]
async fn every_change_is_taken() {
    fn changes(command: u8) -> Vec<(u8, &'static [u8])> {
        if command != b'E' {
            return agreeable(command);
        }
        vec![
            (b'h', b"X-Added\0 one\n tw\xf6\0"),
            (b'p', b""),
            (b'i', b"\0\0\0\0X-Zero\0z\0"),
            (b'i', b"\0\0\0\x01X-One\0o\0"),
            (b'i', b"\0\0\0\x02X-Two\0t\0"),
            (b'm', b"\0\0\0\x01Subject\0new\0"),
            (b'm', b"\0\0\0\x01To\0\0"),
            (b'b', b"first\n"),
            (b'b', b".\nsecond"),
            (b'e', b"<s@example.net>\0ENVID=x RET=HDRS\0"),
            (b'+', b"<c@example.org>\0"),
            (b'2', b"d@example.org\0NOTIFY=FAILURE\0"),
            (b'-', b"<b@example.org>\0"),
            (b'q', b"look at\r\nthis\0"),
            (b'c', b""),
        ]
    }
    let report = pass(Filter::new(changes)).await.unwrap().unwrap();
    assert_eq!(report.verdict, Verdict::Quarantine(Hold { class: HoldClass::Policy, reason: "look atthis".into() }));
    assert_eq!(report.findings, [Finding::text("milter.quarantine", "look atthis")]);
    let edits = Edits(report.edits);
    let applied = edits.apply(&content().headers);
    assert_eq!(applied, &b"X-One: o\r\nX-Two: t\r\nX-Zero: z\r\nSubject: new\r\nX-Added: one\r\n tw\xf6\r\n"[..]);
    assert_eq!(edits.body_replacement().unwrap(), "first\r\n.\r\nsecond");
    let mut original = (*content().envelope).clone();
    original.recipients.push(Recipient::new(address("b@example.org")));
    let envelope = edits.envelope(&original);
    assert_eq!((envelope.mail.reverse_path.to_string(), envelope.mail.envid.as_deref()), ("s@example.net".into(), Some("x")));
    let recipients: Vec<_> = envelope.recipients.iter().map(|r| (r.address.as_str(), r.notify.as_deref())).collect();
    assert_eq!(recipients, [("c@example.org", None), ("d@example.org", Some("FAILURE"))]);
}

/// Says `answer` to one command, and `continue` to all others.
macro_rules! answering {
    ($at:literal, $($answer:expr),*) => {
        Filter::new(|command| if command == $at { vec![$($answer),*] } else { agreeable(command) })
    };
}

#[tokio::test]
async fn every_answer_means_what_postfix_would_make_of_it() {
    let permanent = |text| Err(Decision::Refuse(Refusal::permanent(50, "7.1", text)));
    let temporary = |status, text| Err(Decision::Refuse(Refusal::temporary(51, status, text)));
    let later = "Service unavailable - try again later";
    let verdict = |verdict| Ok(Report { verdict, ..Report::default() });
    let cases = [
        (answering!(b'C', (b'r', b"")), permanent("Command rejected")),
        (answering!(b'H', (b't', b"")), temporary("7.1", later)),
        (answering!(b'M', (b'y', b"550 5.7.1 not you\0")), permanent("not you")),
        (answering!(b'R', (b'r', b"")), permanent("Command rejected")),
        (answering!(b'T', (b'4', b"")), temporary("7.0", later)),
        (answering!(b'L', (b'r', b"")), permanent("Command rejected")),
        (answering!(b'B', (b'r', b"")), permanent("Command rejected")),
        (answering!(b'B', (b's', b"")), verdict(Verdict::Deliver)),
        (answering!(b'B', (b'd', b"")), verdict(Verdict::Discard)),
        (answering!(b'C', (b'a', b"")), Err(Decision::Done)),
        (answering!(b'M', (b'a', b"")), verdict(Verdict::Deliver)),
        (answering!(b'R', (b'd', b"")), verdict(Verdict::Discard)),
        (answering!(b'E', (b'd', b"")), verdict(Verdict::Discard)),
        (answering!(b'E', (b'a', b"")), verdict(Verdict::Deliver)),
    ];
    for (n, (filter, expected)) in cases.into_iter().enumerate() {
        assert_eq!(pass(filter).await.unwrap(), expected, "case {n}");
    }
    let report = pass(answering!(b'E', (b'h', b"X\0y\0"), (b'y', b"451-4.7.1 a\r\n451 4.7.1 b\0"))).await.unwrap().unwrap();
    assert_eq!(report.verdict.clone(), Verdict::Refuse(Refusal::temporary(51, "7.1", "a\n4.7.1 b")));
    assert_eq!((report.edits, report.findings[0].to_string()), (vec![], "milter.reply=451 4.7.1 a / 4.7.1 b".into()));
}

#[tokio::test]
async fn whatever_is_no_answer_is_a_failure_and_never_a_pass() {
    let failing = [
        answering!(b'M', (b'f', b"")),
        answering!(b'M', (b'Z', b"")),
        answering!(b'M', (b'h', b"X\0y\0")),
        answering!(b'M', (b'y', b"250 2.0.0 ok\0")),
        answering!(b'M', (0, &[0, 0, 0, 0])),
        answering!(b'M', (0, &[0xff, 0xff, 0xff, 0xff, b'c'])),
        answering!(b'M', (0, b"")),
        answering!(b'B', (0, b"HTTP/1.1 200 OK\r\n\r\n")),
        answering!(b'E', (0, b"")),
        answering!(b'C', (b'd', b"")),
        answering!(b'M', (b'c', b"and more")),
        answering!(b'M', (b'c', b""), (b'c', b"")),
        answering!(b'H', (b'c', b""), (b'c', b"")),
        answering!(b'E', (b'h', b"X")),
        answering!(b'E', (b'h', b"X\0")),
        answering!(b'E', (b'i', b"\0\0")),
        answering!(b'E', (b'+', b"<not an address\0")),
        answering!(b'E', (b'e', b"a b c\0")),
        // It never comes to an end.
        Filter::new(|command| if command == b'E' { vec![(b'h', b"X\0y\0"); 20_000] } else { agreeable(command) }),
        Filter { actions: 0x1, ..answering!(b'E', (b'b', b"new body"), (b'c', b"")) },
        Filter { version: 9, ..Filter::new(agreeable) },
        Filter { actions: 0xffff_ffff, ..Filter::new(agreeable) },
    ];
    for (n, filter) in failing.into_iter().enumerate() {
        let said = pass(filter).await;
        assert!(matches!(said, Err(StageError::Failed(_))), "case {n}: {said:?}");
    }
    for hanging in [answering!(b'H',), answering!(b'E', (b'p', b"")), answering!(b'M', (0, &[0, 0, 0, 2, b'c']))] {
        let said = pass(hanging).await;
        assert!(matches!(said, Err(StageError::Late)), "{said:?}");
    }
    let mut session = Session::begin("127.0.0.1:1", "").await;
    assert!(matches!(session.pass().await, Err(StageError::Failed(_))), "nobody listens");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_a_failure() {
    let (address, _) = answering!(b'E', (b'b', b"0123456789"), (b'b', b"0123456789"), (b'c', b"")).start().await;
    let mut session = Session::begin(&address, "max_body = \"15B\"").await;
    assert!(matches!(session.pass().await, Err(StageError::Failed(_))));
}

#[test]
fn a_new_body_is_counted_for_as_long_as_it_is_held() {
    let mut octets = b"\0\0\0\x0dO\0\0\0\x06\0\0\0\x02\0\0\0\0".to_vec();
    octets.extend_from_slice(b"\0\0\0\x05bbody\0\0\0\x01c");
    let memory = Budget::new(6);
    let report = hear(&octets, 100, &memory).unwrap().unwrap();
    assert_eq!((report.edits.len(), memory.used()), (1, 4));
    assert!(matches!(hear(&octets, 100, &memory), Err(StageError::Failed(_))), "there is no room for a second one");
    drop(report);
    assert_eq!(memory.used(), 0);
}

#[tokio::test]
async fn one_that_may_change_nothing_is_not_offered_to() {
    let (address, _) = Filter { actions: 0x20, ..Filter::new(agreeable) }.start().await;
    assert!(Session::begin(&address, "read_only = true").await.pass().await.unwrap().is_ok());
    let (address, _) = Filter::new(agreeable).start().await;
    assert!(Session::begin(&address, "read_only = true").await.pass().await.is_err(), "it wants to");
}

#[tokio::test]
async fn one_connection_serves_the_messages_of_a_session() {
    let (address, log) = Filter::new(agreeable).start().await;
    let Session(mut session) = Session::begin(&address, "").await;
    let mail = Mail::new(ReversePath(None));
    for aborted in [true, false, true, false] {
        session.mail(&greeted(), &mail, Id::generate()).await.unwrap();
        if aborted {
            session.abort();
            continue;
        }
        session.headers(&content().headers).await.unwrap();
        session.body(&Bytes::from(vec![b'x'; 100_000])).await.unwrap();
        session.end_of_message(&content()).await.unwrap();
    }
    assert_eq!(commands(&log), "cCHMAMTLLNBBEMAMTLLNBBE", "one connection, and the filter is told of what was given up");
    let log = log.lock().unwrap();
    let sizes: Vec<_> = log.iter().filter(|line| line.starts_with("B ")).map(|line| line.len() - 2).collect();
    assert_eq!(sizes[..2], [65_535, 34_465]);
}

#[tokio::test]
async fn a_filter_hears_nothing_more_of_a_message_that_it_refused_but_its_end() {
    // As libmilter: of what comes after its refusal it answers nothing. It comes where the stage only
    // observes.
    let refusing = Filter::new(|command| match command {
        b'R' => vec![(b't', b"")],
        b'L' => vec![(b'r', b"")],
        b'N' | b'B' | b'E' => vec![],
        other => agreeable(other),
    });
    let (address, log) = refusing.start().await;
    let Session(mut session) = Session::begin(&address, "").await;
    for _ in 0..2 {
        session.mail(&greeted(), &Mail::new(ReversePath(None)), Id::generate()).await.unwrap();
        let said = session.recipient(&Recipient::new(self::address("b@example.org"))).await.unwrap();
        assert!(matches!(said, Decision::Refuse(_)), "and the message goes on to others");
        assert!(matches!(session.headers(&content().headers).await.unwrap(), Decision::Refuse(_)));
        assert_eq!(session.body(&Bytes::from_static(b"body\r\n")).await.unwrap(), Decision::Done);
        let verdict = session.end_of_message(&content()).await.unwrap().verdict;
        assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
    }
    assert_eq!(commands(&log), "cCHMRTLAMRTL");
}

#[tokio::test]
async fn a_filter_that_needs_no_more_fields_hears_of_their_end() {
    let (address, log) = answering!(b'L', (b's', b"")).start().await;
    let mut session = Session::begin(&address, "").await;
    assert_eq!(session.pass().await.unwrap().unwrap(), Report::default());
    assert_eq!(commands(&log), "cCHMRTLNBE");
}

#[tokio::test]
async fn a_filter_that_was_restarted_between_messages_is_asked_anew() {
    let (address, log) = answering!(b'E', (b'c', b""), (0, b"")).start().await;
    let mut session = Session::begin(&address, "").await;
    assert_eq!(session.pass().await.unwrap().unwrap(), Report::default());
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let Session(mut session) = session;
    session.mail(&greeted(), &Mail::new(ReversePath(None)), Id::generate()).await.unwrap();
    let commands = commands(&log);
    assert!(commands.starts_with("cCHMRTLLNBE") && commands.ends_with("CHM"), "{commands}");
    assert_eq!(commands.matches('c').count(), 2, "{commands}");
}

#[tokio::test]
async fn a_filter_is_told_that_the_session_is_over() {
    let (address, log) = Filter::new(agreeable).start().await;
    let mut session = Session::begin(&address, "").await;
    session.pass().await.unwrap().unwrap();
    drop(session);
    let quit = async {
        while !commands(&log).ends_with("EQ") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), quit).await.unwrap();
}

#[tokio::test]
async fn an_address_of_ipv6_comes_without_a_tag() {
    let (address, log) = Filter::new(agreeable).start().await;
    let Session(mut session) = Session::begin(&address, "").await;
    let client = Client { address: "[2001:db8::1]:258".parse().unwrap(), ..(*client()).clone() };
    session.connect(&client.into()).await.unwrap();
    assert_eq!(log.lock().unwrap().last().unwrap(), "C unknown|6\u{1}\u{2}2001:db8::1|");
}
