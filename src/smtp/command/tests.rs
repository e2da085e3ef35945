use super::*;
use proptest::prelude::*;

fn offer() -> Offer {
    Offer {
        size: 1000,
        eight_bit: true,
        utf8: true,
        dsn: true,
        enhanced_codes: true,
        require_tls: true,
        auth: vec!["PLAIN".into()],
        ..Offer::basic("mx.example.org".into())
    }
}

fn parse(line: &str) -> Result<Command, Mistake> {
    Command::parse(line.as_bytes(), &offer(), false)
}

/// What the client is told; `None` where nothing is wrong.
fn told(line: &str) -> Option<String> {
    parse(line).err().map(|mistake| mistake.refusal().to_string())
}

#[test]
fn commands() {
    let domain = || Domain::parse("mx.example.org").unwrap();
    for (line, command) in [
        ("EHLO mx.example.org", Command::Ehlo(domain())),
        ("helo   mx.example.org  ", Command::Helo(domain())),
        ("DATA", Command::Data),
        ("data ", Command::Data),
        ("BDAT 0 LAST", Command::Bdat { size: 0, last: true }),
        ("bdat 1000  last", Command::Bdat { size: 1000, last: true }),
        ("BDAT 18446744073709551615", Command::Bdat { size: u64::MAX, last: false }),
        ("RSET", Command::Rset),
        ("NOOP", Command::Noop),
        ("noop what ever", Command::Noop),
        ("VRFY fred", Command::Vrfy("fred".into())),
        ("VRFY fred bloggs", Command::Vrfy("fred bloggs".into())),
        ("EXPN list", Command::Expn),
        ("EXPN", Command::Expn),
        ("HELP", Command::Help),
        ("HELP MAIL", Command::Help),
        ("QUIT", Command::Quit),
        ("StartTLS", Command::StartTls),
        ("AUTH login", Command::Auth { mechanism: "LOGIN".into(), initial: None }),
        ("AUTH PLAIN =", Command::Auth { mechanism: "PLAIN".into(), initial: Some("=".into()) }),
        ("AUTH SCRAM-SHA-256 biws+/==", Command::Auth { mechanism: "SCRAM-SHA-256".into(), initial: Some("biws+/==".into()) }),
    ] {
        assert_eq!(parse(line), Ok(command), "{line:?}");
    }
}

#[test]
fn what_the_client_is_told() {
    for (line, answer, why) in [
        ("", "500 5.5.1 command not recognized", "nothing"),
        (" EHLO a", "500 5.5.1 command not recognized", "a verb begins the line"),
        ("EHLO\ta", "500 5.5.1 command not recognized", "a blank ends the verb"),
        ("SEND FROM:<a@b>", "500 5.5.1 command not recognized", "RFC 5321 appendix F.6"),
        ("AVERBTHATGOESONANDON x", "500 5.5.1 command not recognized", "longer than any verb"),
        ("ÄHLO a", "500 5.5.1 command not recognized", "no ASCII"),
        ("GET / HTTP/1.1", "521 5.5.1 this is a mail server; closing the connection", "HTTP"),
        ("post /x HTTP/1.0", "521 5.5.1 this is a mail server; closing the connection", "HTTP in small letters"),
        ("PRI * HTTP/2.0", "521 5.5.1 this is a mail server; closing the connection", "HTTP/2"),
        ("CONNECT a:25 HTTP/1.1", "521 5.5.1 this is a mail server; closing the connection", "a proxy"),
        ("XCLIENT ADDR=127.0.0.1", "521 5.5.1 this is a mail server; closing the connection", "only a trusted peer says who a client is"),
        ("XFORWARD ADDR=127.0.0.1", "521 5.5.1 this is a mail server; closing the connection", "the same"),
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1 25", "521 5.5.1 this is a mail server; closing the connection", "the same"),
        ("\x16\x03\x01\x02\0\x01", "521 5.5.1 this is a mail server; closing the connection", "a TLS handshake"),
        ("EHLO a\rb", "500 5.5.2 CR, LF or NUL inside a command", "a bare CR"),
        ("MAIL FROM:<a@b>\nRCPT TO:<c@d>", "500 5.5.2 CR, LF or NUL inside a command", "a bare LF"),
        ("NOOP \0", "500 5.5.2 CR, LF or NUL inside a command", "NUL, even where nothing is read"),
        ("EHLO", "501 5.5.4 say your host name or [address]", "RFC 5321 §4.1.1.1"),
        ("HELO a b", "501 5.5.4 say your host name or [address]", "two names"),
        ("EHLO \x1b[2J", "501 5.5.4 say your host name or [address]", "what a terminal would obey"),
        ("DATA x", "501 5.5.4 no argument is taken here", "§4.1.1.4"),
        ("RSET x", "501 5.5.4 no argument is taken here", "§4.1.1.5"),
        ("QUIT now", "501 5.5.4 no argument is taken here", "§4.1.1.10"),
        ("STARTTLS x", "501 5.5.4 no argument is taken here", "RFC 3207 §4"),
        ("VRFY", "501 5.5.4 VRFY who?", "§4.1.1.6"),
        ("MAIL", "501 5.5.4 MAIL FROM:<address>", "no path"),
        ("MAIL <a@b>", "501 5.5.4 MAIL FROM:<address>", "no FROM:"),
        ("MAIL FROM <a@b>", "501 5.5.4 MAIL FROM:<address>", "no colon"),
        ("RCPT FROM:<a@b>", "501 5.5.4 RCPT TO:<address>", "not TO:"),
        ("BDAT", "501 5.5.4 BDAT size [LAST]", "RFC 3030 §2"),
        ("BDAT LAST", "501 5.5.4 BDAT size [LAST]", "no size"),
        ("BDAT 1 FIRST", "501 5.5.4 BDAT size [LAST]", "no such word"),
        ("BDAT 1 LAST x", "501 5.5.4 BDAT size [LAST]", "a word too many"),
        ("BDAT -1", "501 5.5.4 BDAT size [LAST]", "a sign"),
        ("BDAT +1", "501 5.5.4 BDAT size [LAST]", "a sign that Rust would read"),
        ("BDAT 0x10", "501 5.5.4 BDAT size [LAST]", "no decimal digits"),
        ("BDAT 18446744073709551616", "501 5.5.4 BDAT size [LAST]", "2^64 (CWE-190)"),
        ("BDAT 18446744073709551635 LAST", "501 5.5.4 BDAT size [LAST]", "2^64 + 19"),
        ("AUTH", "501 5.5.4 AUTH mechanism [initial response]", "RFC 4954 §4"),
        ("AUTH PLAIN a b", "501 5.5.4 AUTH mechanism [initial response]", "a word too many"),
        ("AUTH PLAIN a*b", "501 5.5.4 AUTH mechanism [initial response]", "not base64"),
        ("AUTH PL(AIN", "501 5.5.4 AUTH mechanism [initial response]", "RFC 4422 §3.1"),
        ("AUTH ABCDEFGHIJKLMNOPQRSTU", "501 5.5.4 AUTH mechanism [initial response]", "21 characters"),
    ] {
        assert_eq!(told(line).as_deref(), Some(answer), "{line:?}: {why}");
    }
    assert_eq!(Command::parse(b"EHLO M\xfcller", &offer(), false), Err(Mistake::Syntax("neither ASCII nor UTF-8")), "Latin-1");
    assert_eq!(parse(&format!("BDAT 1{}", "0".repeat(40))), Err(Mistake::Syntax("BDAT size [LAST]")), "10^40");
    let long = "K".repeat(400);
    assert_eq!(
        told(&format!("MAIL FROM:<a@b> {long}")).unwrap().len(),
        "555 5.5.4 parameter not supported: ".len() + 32,
        "not all is said back"
    );
}

/// RFC 5321 appendix D.1 to D.4 and RFC 3030 §4.2, the client's lines.
#[test]
fn the_dialogues_of_the_rfcs() {
    for line in [
        "EHLO bar.com",
        "MAIL FROM:<Smith@bar.com>",
        "RCPT TO:<Jones@foo.com>",
        "RCPT TO:<Green@foo.com>",
        "RCPT TO:<Brown@foo.com>",
        "DATA",
        "RSET",
        "VRFY Crispin",
        "MAIL FROM:<EAK@bar.com>",
        "RCPT TO:<Admin.MRC@foo.com>",
        "RCPT TO:<@foo.com:Jones@XYZ.COM>",
        "MAIL FROM:<sam@random.com>",
        "BDAT 86 LAST",
        "BDAT 100000",
        "BDAT 324",
        "BDAT 0 LAST",
        "MAIL FROM:<ned@ymir.claremont.edu> BODY=8BITMIME",
        "QUIT",
    ] {
        assert!(parse(line).is_ok(), "{line:?}: {:?}", parse(line));
    }
    let binary = Offer { binary: true, ..offer() };
    assert!(Command::parse(b"MAIL FROM:<ned@ymir.claremont.edu> BODY=BINARYMIME", &binary, false).is_ok());
}

proptest! {
    #[test]
    fn every_line_has_an_answer(line in prop::collection::vec(any::<u8>(), 0..60), verb in "(EHLO |MAIL FROM:|RCPT TO:|BDAT |AUTH |VRFY )?", utf8: bool) {
        let line = [verb.as_bytes(), &line].concat();
        match Command::parse(&line, &offer(), utf8) {
            Ok(_) => prop_assert!(!line.iter().any(|octet| b"\r\n\0".contains(octet))),
            Err(mistake) => {
                let refusal = mistake.refusal();
                prop_assert!(refusal.is_permanent() && !refusal.reply().text().contains('\n'));
            }
        }
    }
}
