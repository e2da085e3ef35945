//! Whole dialogues, each fed whole, octet by octet, and cut in two at every place: what is answered
//! and what is delivered may not depend on how the network cut it.
use super::{commands::COMMAND_LINE, *};
use crate::smtp::{BodyType, Custody, Refusal, data::BareNewline};

/// What became of a dialogue.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Outcome {
    replies: String,
    /// Content and stains of the messages that were acknowledged.
    messages: Vec<(String, Stains)>,
    offences: Vec<String>,
    /// Envelope commands that it answered itself.
    refused: Vec<String>,
    closed: bool,
}

struct Kept;
impl Custody for Kept {
    fn reply(&self) -> Reply {
        Reply::new(250, "2.0.0 kept")
    }
}

fn settings() -> Arc<Settings> {
    Arc::new(Settings { hostname: "mx.example.org".into(), errors: 4, require_tls: false })
}

fn offer(tls: bool) -> Arc<Offer> {
    Arc::new(Offer {
        size: 1000,
        recipients: 3,
        eight_bit: true,
        utf8: true,
        dsn: true,
        binary: true,
        enhanced_codes: true,
        starttls: !tls,
        auth: if tls { vec!["PLAIN".into()] } else { vec![] },
        ..Offer::basic("mx.example.org".into())
    })
}

/// A driver that says yes to everything but recipients named `no` and messages with stains.
struct Driver {
    session: Session,
    outcome: Outcome,
    body: Vec<u8>,
}

impl Driver {
    fn new(tls: bool) -> Self {
        Self { session: Session::new(settings(), tls), outcome: Outcome::default(), body: Vec::new() }
    }

    fn feed(&mut self, octets: &[u8]) {
        self.session.receive(BytesMut::from(octets));
        while let Some(event) = self.session.next_event() {
            match event {
                Event::Hello { extended, owed, .. } => {
                    let offer = offer(self.session.tls);
                    self.session.welcome(owed, extended, offer);
                }
                Event::Mail { mail, owed } => self.session.accept_mail(owed, &mail),
                Event::Recipient { recipient, owed } if recipient.address.local_part() == "no" => {
                    self.session.refuse(owed, &Refusal::permanent(50, "1.1", "nobody of that name"));
                }
                Event::Recipient { owed, .. } => self.session.accept_recipient(owed, &Reply::new(250, "2.1.5 yes")),
                Event::Body(octets) => {
                    self.body.extend_from_slice(&octets);
                    if self.body.windows(7).any(|word| word == b"no room") {
                        self.session.spoil(Refusal::temporary(52, "3.1", "no room"));
                    }
                }
                Event::EndOfData { ending, owed } => {
                    let body = String::from_utf8_lossy(&std::mem::take(&mut self.body)).into_owned();
                    match ending.stains.refusal(BareNewline::Normalize) {
                        Some(refusal) => self.session.refuse(owed, &refusal),
                        None => {
                            self.outcome.messages.push((body, ending.stains));
                            self.session.acknowledge(owed, &Kept);
                        }
                    }
                }
                Event::StartTls { owed } => {
                    let next = std::mem::replace(&mut self.session, Session::silent(settings(), true));
                    let (out, session) = next.into_tls(owed);
                    self.outcome.replies.push_str(std::str::from_utf8(&out).unwrap());
                    self.session = session;
                }
                Event::Auth { initial: None, owed, .. } => self.session.challenge(owed, &Reply::new(334, "")),
                Event::Auth { owed, .. } => self.session.authenticated(owed, &Reply::new(235, "2.7.0 yes")),
                Event::AuthResponse { line, owed } if &line[..] == b"*" => {
                    self.session.refuse(owed, &Refusal::permanent(1, "7.0", "as you like"));
                }
                Event::AuthResponse { owed, .. } => self.session.authenticated(owed, &Reply::new(235, "2.7.0 yes")),
                Event::Spoilt | Event::Reset { .. } => self.body.clear(),
                Event::AuthAborted => self.outcome.offences.push("AuthAborted".into()),
                Event::Refused { verb, address, refusal } => {
                    self.outcome.refused.push(format!("{verb:?} {address}: {}", refusal.reply()));
                }
                Event::Offence(offence) => self.outcome.offences.push(format!("{offence:?}")),
                Event::Quit => {}
            }
        }
        let out = self.session.transmit().split();
        self.outcome.replies.push_str(std::str::from_utf8(&out).unwrap());
        self.outcome.closed = self.session.is_closed();
    }
}

/// Steps are groups that a client sends without waiting; each is cut in every way, the others not.
fn play_as(tls: bool, steps: &[&str]) -> Outcome {
    let run = |cut: &dyn Fn(usize, &[u8]) -> Vec<usize>| {
        let mut driver = Driver::new(tls);
        driver.feed(b"");
        for (n, step) in steps.iter().enumerate() {
            let octets = step.as_bytes();
            let mut from = 0;
            for to in cut(n, octets).into_iter().chain([octets.len()]) {
                driver.feed(&octets[from..to]);
                from = to;
            }
        }
        driver.outcome
    };
    let whole = run(&|_, _| vec![]);
    assert_eq!(run(&|_, octets| (1..octets.len()).collect()), whole, "octet by octet: {steps:?}");
    for (step, octets) in steps.iter().enumerate() {
        for place in 1..octets.len() {
            assert_eq!(run(&|n, _| if n == step { vec![place] } else { vec![] }), whole, "{octets:?} cut at {place}");
        }
    }
    whole
}

fn play(steps: &[&str]) -> Outcome {
    play_as(false, steps)
}

const EHLO: &str = "EHLO client.example.net\r\n";
const ENVELOPE: &str = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n";

/// The codes of all replies; of a multi-line one its last line's.
fn codes(outcome: &Outcome) -> Vec<&str> {
    outcome.replies.lines().filter(|line| line.as_bytes().get(3) == Some(&b' ')).map(|line| &line[..3]).collect()
}

#[test]
fn a_message_from_greeting_to_quit() {
    let outcome = play(&[EHLO, ENVELOPE, "DATA\r\n", "Subject: hi\r\n\r\n..dot\r\nend\r\n.\r\n", "QUIT\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "250", "250", "354", "250", "221"]);
    assert_eq!(outcome.messages, [("Subject: hi\r\n\r\n.dot\r\nend\r\n".into(), Stains::default())]);
    assert!(outcome.closed && outcome.offences.is_empty(), "{outcome:?}");
}

#[test]
fn commands_out_of_order_are_answered_503_and_change_nothing() {
    let outcome =
        play(&["MAIL FROM:<a@example.net>\r\n", EHLO, "RCPT TO:<b@example.org>\r\n", ENVELOPE, "DATA\r\n", "x\r\n.\r\n", "DATA\r\n"]);
    assert_eq!(codes(&outcome), ["220", "503", "250", "503", "250", "250", "354", "250", "503"]);
    assert_eq!(outcome.messages.len(), 1);
}

#[test]
fn a_message_in_chunks() {
    let outcome = play(&[EHLO, ENVELOPE, "BDAT 7\r\na: b\r\n\rBDAT 5 LAST\r\n\n.\r\nxMAIL FROM:<>\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "250", "250", "250", "250", "250"]);
    assert_eq!(outcome.messages, [("a: b\r\n\r\n.\r\nx".into(), Stains::default())]);
}

#[test]
fn a_chunk_may_be_empty() {
    let outcome = play(&[EHLO, ENVELOPE, "BDAT 0\r\nBDAT 3\r\nx\r\nBDAT 0 LAST\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "250", "250", "250", "250", "250"]);
    assert_eq!(outcome.messages, [("x\r\n".into(), Stains::default())]);
}

#[test]
fn octets_of_a_refused_chunk_are_no_commands() {
    // After a refused recipient, without a transaction, and above the limit (CVE-2020-28019).
    let refused = play(&[EHLO, "MAIL FROM:<a@example.net>\r\nRCPT TO:<no@example.org>\r\n", "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"]);
    assert_eq!(codes(&refused), ["220", "250", "250", "550", "554", "250"]);
    let without = play(&[EHLO, "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"]);
    assert_eq!(codes(&without), ["220", "250", "503", "250"]);
    let big = format!("BDAT 1100 LAST\r\n{}NOOP\r\n", "QUIT\r\n".repeat(183) + "\r\n");
    let above = play(&[EHLO, ENVELOPE, &big]);
    assert_eq!(codes(&above), ["220", "250", "250", "250", "552", "250"]);
}

#[test]
fn a_chunk_whose_size_cannot_be_read_ends_the_session() {
    for size in ["18446744073709551616", "1e3", "-1", "", "99999999999999999999999999999999999999999"] {
        let outcome = play(&[EHLO, ENVELOPE, &format!("BDAT {size} LAST\r\nMAIL FROM:<evil@example.net>\r\n")]);
        assert_eq!(codes(&outcome), ["220", "250", "250", "250", "501"], "{size}");
        assert!(outcome.closed);
    }
    let outcome = play(&[EHLO, ENVELOPE, "BDAT 18446744073709551615 LAST\r\nQUIT\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "250", "250", "552"]);
    assert!(outcome.closed);
}

#[test]
fn a_look_alike_is_read_to_the_real_end_and_refused() {
    for look_alike in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n\0.\r\n", "\r\n.\r\r\n"] {
        let text = format!("a: b\r\n\r\nhello{look_alike}MAIL FROM:<evil@example.net>\r\n.\r\n");
        let outcome = play(&[EHLO, ENVELOPE, "DATA\r\n", &text, "NOOP\r\n"]);
        assert_eq!(codes(&outcome), ["220", "250", "250", "250", "354", "550", "250"], "{look_alike:?}");
        let chunk = format!("a: b\r\n\r\nhello{look_alike}MAIL FROM:<evil@example.net>\r\n");
        let outcome = play(&[EHLO, ENVELOPE, &format!("BDAT {} LAST\r\n{chunk}NOOP\r\n", chunk.len())]);
        assert_eq!(codes(&outcome), ["220", "250", "250", "250", "550", "250"], "{look_alike:?} in BDAT");
    }
}

#[test]
fn what_cannot_be_kept_is_not_acknowledged_however_late_that_is_known() {
    let last = play(&[EHLO, ENVELOPE, "BDAT 9 LAST\r\nno room\r\nNOOP\r\n"]);
    assert_eq!(codes(&last), ["220", "250", "250", "250", "452", "250"]);
    let first = play(&[EHLO, ENVELOPE, "BDAT 9\r\nno room\r\nBDAT 3 LAST\r\nx\r\nNOOP\r\n"]);
    assert_eq!(codes(&first), ["220", "250", "250", "250", "452", "503", "250"]);
    let data = play(&[EHLO, ENVELOPE, "DATA\r\n", "no room\r\n.\r\n", "NOOP\r\n"]);
    assert_eq!(codes(&data), ["220", "250", "250", "250", "354", "452", "250"]);
    for outcome in [last, first, data] {
        assert!(outcome.messages.is_empty() && outcome.offences.is_empty(), "{outcome:?}");
    }
}

#[test]
fn octets_that_leave_nothing_behind_count_as_well() {
    let mut driver = Driver::new(false);
    [EHLO, ENVELOPE, "DATA\r\n"].iter().for_each(|step| driver.feed(step.as_bytes()));
    for _ in 0..20 {
        driver.feed(&[0; 64 << 10]);
    }
    assert!(driver.outcome.closed);
    assert_eq!(codes(&driver.outcome).last(), Some(&"552"));
}

#[test]
fn chunks_pipelined_behind_refused_recipients_are_no_mistakes() {
    let group = "MAIL FROM:<a@example.net>\r\nRCPT TO:<no@example.org>\r\nBDAT 1\r\nxBDAT 1\r\nxBDAT 1 LAST\r\nx";
    let outcome = play(&[EHLO, group, "NOOP\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "250", "550", "554", "503", "503", "250"]);
    assert!(outcome.offences.is_empty(), "{outcome:?}");
}

#[test]
fn guessing_addresses_ends_and_a_message_starts_the_count_anew() {
    let no = "RCPT TO:<no@example.org>\r\n";
    let outcome = play(&[EHLO, "MAIL FROM:<a@example.net>\r\n", &no.repeat(6)]);
    assert_eq!(codes(&outcome), ["220", "250", "250", "550", "550", "550", "550", "550", "421"]);
    let three = format!("{}{}{}", "MAIL FROM:<a@example.net>\r\n", no.repeat(3), "RCPT TO:<b@example.org>\r\nBDAT 3 LAST\r\nx\r\n");
    let outcome = play(&[EHLO, &three, &three, &three]);
    assert!(!outcome.closed && outcome.messages.len() == 3, "{outcome:?}");
}

#[test]
fn a_chunk_line_that_is_none_ends_the_session() {
    for line in ["BDAT 6 LAST\nQUIT\r\n".to_owned(), format!("BDAT {} LAST\r\nQUIT\r\n", "0".repeat(3000))] {
        let outcome = play(&[EHLO, ENVELOPE, &line]);
        assert_eq!(codes(&outcome), ["220", "250", "250", "250", "501"], "{line}");
        assert!(outcome.closed);
    }
}

#[test]
fn a_line_of_auth_that_is_none_ends_the_exchange() {
    let outcome = play_as(true, &[EHLO, "AUTH PLAIN\r\n", "AGEAYg==\n", "NOOP\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "334", "500", "250"]);
    assert_eq!(outcome.offences, ["AuthAborted", "BareNewline"]);
}

#[test]
fn who_does_not_wait_is_not_listened_to() {
    for (steps, offence) in [
        (&["EHLO a\r\nMAIL FROM:<>\r\n"][..], "Pipelining"),
        (&[EHLO, ENVELOPE, "DATA\r\nSubject: x\r\n"], "Pipelining"),
        (&[EHLO, "STARTTLS\r\nEHLO evil\r\n"], "CommandInjection"),
    ] {
        // Cuts change what has come when the command is read, so these are fed whole.
        let mut driver = Driver::new(false);
        steps.iter().for_each(|step| driver.feed(step.as_bytes()));
        assert_eq!(driver.outcome.offences, [offence]);
        assert_eq!(codes(&driver.outcome).last(), Some(&"554"));
        assert!(driver.outcome.closed);
    }
}

#[test]
fn nothing_said_in_clear_survives_the_handshake() {
    let outcome = play(&[EHLO, "STARTTLS\r\n", "MAIL FROM:<a@example.net>\r\n", EHLO, "STARTTLS\r\n", "AUTH PLAIN\r\n", "x\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "220", "503", "250", "503", "334", "235"]);
}

#[test]
fn auth_is_a_matter_of_lines() {
    let outcome = play_as(true, &[EHLO, "AUTH PLAIN AGEAYg==\r\n", "AUTH PLAIN\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "235", "503"]);
    let outcome = play_as(true, &[EHLO, "AUTH PLAIN\r\n", "*\r\n", "AUTH LOGIN\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "334", "501", "504"]);
    assert_eq!(codes(&play(&[EHLO, "AUTH PLAIN\r\n"])), ["220", "250", "538"]);
}

#[test]
fn limits_are_answers() {
    let recipients = "RCPT TO:<b@example.org>\r\n".repeat(3);
    let outcome = play(&[EHLO, ENVELOPE, &recipients]);
    assert_eq!(codes(&outcome), ["220", "250", "250", "250", "250", "250", "452"]);
    let outcome = play(&[EHLO, "MAIL FROM:<a@example.net> SIZE=1001\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "552"]);
    let long = format!("{}\r\n.\r\n", "x".repeat(1200));
    let outcome = play(&[EHLO, ENVELOPE, "DATA\r\n", &long, "NOOP\r\n"]);
    assert_eq!(codes(&outcome), ["220", "250", "250", "250", "354", "552", "250"]);
}

#[test]
fn an_overlong_line_costs_nothing_and_is_answered_at_its_end() {
    let mut driver = Driver::new(false);
    for _ in 0..1000 {
        driver.feed(&[b'x'; 1000]);
        assert!(driver.session.input.len() <= COMMAND_LINE + 1000);
    }
    driver.feed(b"\r\nNOOP\r\n");
    assert_eq!(codes(&driver.outcome), ["220", "500", "250"]);
}

/// The piece that brings the end of the line is too long by itself as well.
#[test]
fn an_overlong_line_is_answered_once_however_it_is_cut() {
    let mut driver = Driver::new(false);
    driver.feed(&vec![b'x'; COMMAND_LINE + 1]);
    driver.feed(&[&vec![b'x'; COMMAND_LINE + 1][..], b"\r\nNOOP\r\n"].concat());
    assert_eq!(codes(&driver.outcome), ["220", "500", "250"]);
}

#[test]
fn too_many_errors_end_the_session() {
    let outcome = play(&["X\r\n", "Y\r\n", "Z\r\n", "X\r\n", "Y\r\n", "NOOP\r\n"]);
    assert_eq!(codes(&outcome), ["220", "500", "500", "500", "500", "421"]);
    let idle = play(&["NOOP\r\n".repeat(60).as_str()]);
    assert_eq!(codes(&idle).len(), 1 + 49 + 1);
    assert!(idle.closed);
}

#[test]
fn a_bare_line_feed_ends_no_command() {
    let outcome = play(&["EHLO a\n", "NOOP\nQUIT\r\n"]);
    assert_eq!(codes(&outcome), ["220", "500", "500", "221"]);
}

#[test]
fn binary_content_goes_by_chunks_only() {
    let mail = "MAIL FROM:<a@example.net> BODY=BINARYMIME\r\nRCPT TO:<b@example.org>\r\n";
    let outcome = play(&[EHLO, mail, "DATA\r\n", "BDAT 5 LAST\r\na\0b\rc"]);
    assert_eq!(codes(&outcome), ["220", "250", "250", "250", "503", "250"]);
    assert_eq!(outcome.messages[0].0, "a\0b\rc");
    assert_eq!(BodyType::BinaryMime, BodyType::BinaryMime);
}

#[test]
fn strangers_of_other_protocols_are_shown_the_door() {
    for line in ["GET / HTTP/1.1\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "XCLIENT ADDR=1.2.3.4\r\n"] {
        let outcome = play(&[line]);
        assert!(outcome.closed, "{line}");
        assert_eq!(outcome.offences, ["ForbiddenCommand"]);
    }
}

#[test]
fn before_tls_only_what_leads_to_it() {
    let settings = Arc::new(Settings { require_tls: true, ..Settings::clone(&settings()) });
    let mut driver = Driver::new(false);
    driver.session = Session::new(settings, false);
    driver.feed(b"EHLO a\r\n");
    driver.feed(b"MAIL FROM:<a@example.net>\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n");
    assert_eq!(codes(&driver.outcome), ["220", "250", "530", "530", "250"]);
}

#[test]
fn what_an_envelope_command_was_refused_for_is_told_with_its_address() {
    let steps = [
        EHLO,
        "MAIL FROM:<big@example.net> SIZE=1001\r\n",
        "mail from:<\u{fc}@example.net>\r\n",
        "MAIL FROM:<a@example.net> FUTURE=1\r\n",
        "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@@example.org>\r\n",
        "RSET\r\n",
    ];
    let outcome = play(&steps);
    assert_eq!(
        outcome.refused,
        [
            "Mail big@example.net: 552 5.3.4 message larger than is taken here",
            "Mail \u{fc}@example.net: 553 5.6.7 the sender address needs SMTPUTF8",
            "Mail a@example.net: 555 5.5.4 parameter not supported: FUTURE",
            "Rcpt b@@example.org: 501 5.1.3 malformed recipient address",
        ]
    );
    let long = format!("MAIL FROM:<{}>\r\n", "\u{fc}".repeat(400));
    for (line, told) in [
        ("MAIL\r\n", Some("Mail : 501")),
        ("MAIL FROM: x y\r\n", Some("Mail x: 501")),
        (&*long, Some("Mail \u{fc}")),
        ("MAILS FROM:<a@example.net>\r\n", None),
    ] {
        let refused = play(&[EHLO, line]).refused;
        assert_eq!(refused.len(), usize::from(told.is_some()), "{line}");
        assert!(refused.iter().all(|refused| refused.starts_with(told.unwrap_or_default()) && refused.len() < 500), "{refused:?}");
    }
}
