use super::*;
use crate::smtp::{Address, ReversePath};

/// Every reply in `wire`, read in pieces that end at `cuts`; the last may be why there are no more.
fn read(wire: &[u8], cuts: &[usize]) -> (Vec<Result<Reply, Garbage>>, bool) {
    let (mut replies, mut all, mut from) = (Replies::default(), Vec::new(), 0);
    for &to in cuts.iter().chain([&wire.len()]) {
        replies.input().extend_from_slice(&wire[from..to]);
        from = to;
        while let Some(reply) = replies.next() {
            let failed = reply.is_err();
            all.push(reply);
            if failed {
                assert_eq!(replies.next(), all.last().cloned(), "it stays garbage");
                return (all, replies.is_empty());
            }
        }
    }
    (all, replies.is_empty())
}

fn check(wire: &[u8], expected: &[Result<Reply, Garbage>], empty: bool, why: &str) {
    let cuts = [vec![], (1..wire.len()).collect()].into_iter().chain((1..wire.len()).map(|cut| vec![cut]));
    for cuts in cuts {
        assert_eq!(read(wire, &cuts), (expected.to_vec(), empty), "{} cut at {cuts:?}: {why}", wire.escape_ascii());
    }
}

fn ok(code: u16, text: &'static str) -> Result<Reply, Garbage> {
    Ok(Reply::new(code, text))
}

#[test]
fn replies_however_they_are_cut() {
    check(b"220 mx.example.org ESMTP\r\n", &[ok(220, "mx.example.org ESMTP")], true, "RFC 5321 §4.2");
    check(b"250-a\r\n250-b\r\n250 c\r\n", &[ok(250, "a\nb\nc")], true, "several lines");
    check(b"250 1\r\n354 2\r\n550 3\r\n", &[ok(250, "1"), ok(354, "2"), ok(550, "3")], true, "several replies");
    check(b"250\r\n", &[ok(250, "")], true, "no text, no blank");
    check(b"250-\r\n250 \r\n", &[ok(250, "\n")], true, "no text in two lines");
    check(b"250  x \r\n", &[ok(250, " x ")], true, "blanks are text");
    check(b"", &[], true, "nothing");
    check(b"250 ok", &[], false, "no line end yet");
    check(b"250-ok\r\n", &[], false, "no last line yet");
    check(b"250 ok\r\n250 injec", &[ok(250, "ok")], false, "what nobody asked for");
    check(b"550 a\rb\0c\x1bd\r\n", &[ok(550, "a?b?c?d")], true, "controls could end our own line early");
    check(b"550 \xfc\xc3\xbc\r\n", &[ok(550, "\u{fffd}ü")], true, "what is not UTF-8");
    check(b"550 a\r\r\n", &[ok(550, "a?")], true, "a CR before CRLF is text");
}

#[test]
fn garbage() {
    let after = |garbage| [ok(250, "ok"), Err(garbage)];
    check(b"250 ok\r\nhello\r\n250 x\r\n", &after(Garbage::NoCode), false, "no digits");
    check(b"250 ok\r\n\r\n", &after(Garbage::NoCode), false, "an empty line");
    check(b"250 ok\r\n25 x\r\n", &after(Garbage::NoCode), false, "two digits");
    check(b"250 ok\r\n2500 x\r\n", &after(Garbage::NoCode), false, "four digits");
    check(b"250 ok\r\n150 x\r\n", &after(Garbage::NoCode), false, "SMTP has no 1yz");
    check(b"250 ok\r\n650 x\r\n", &after(Garbage::NoCode), false, "nobody has 6yz");
    check(b"250 ok\r\n250-a\r\n550 b\r\n", &after(Garbage::CodesDiffer), false, "yes and no");
    check(b"250 ok\r\n250 a\nb\r\n", &after(Garbage::BareNewline), false, "one reply or two?");
    check(b"250 ok\r\n250 a\n", &after(Garbage::BareNewline), false, "a server that knows no CR");
}

#[test]
fn limits() {
    let line = |length: usize| [&b"250 "[..], &vec![b'x'; length - 4], b"\r\n"].concat();
    assert!(matches!(&read(&line(2048), &[]).0[..], [Ok(_)]));
    assert!(matches!(&read(&line(2048), &[2048, 2049]).0[..], [Ok(_)]), "cut around its CR");
    assert_eq!(read(&line(2049), &[]).0, [Err(Garbage::LineTooLong(2048))]);
    assert_eq!(read(&vec![b'2'; 5000], &[2050, 3000]).0, [Err(Garbage::LineTooLong(2048))], "not only at its end");
    let lines = |count: usize| [b"250-x\r\n".repeat(count - 1), b"250 x\r\n".to_vec()].concat();
    assert!(matches!(&read(&lines(128), &[]).0[..], [Ok(_)]));
    assert_eq!(read(&lines(129), &[]).0, [Err(Garbage::TooManyLines(128))]);
}

fn capable() -> Capabilities {
    let text = "x\nSIZE\n8BITMIME\nSMTPUTF8\nBINARYMIME\nCHUNKING\nDSN\nAUTH PLAIN\nREQUIRETLS";
    Capabilities::from_reply(&Reply::new(250, text))
}

#[test]
fn commands_carry_what_the_server_knows() {
    let address = Address::parse("a@b.example", false).unwrap();
    let mut mail = Mail::new(ReversePath(Some(address.clone())));
    mail.body = Some(BodyType::EightBitMime);
    mail.utf8 = true;
    mail.ret = Some(Ret::Headers);
    mail.envid = Some("e+2Bf".into());
    mail.auth = Some("<>".into());
    mail.require_tls = true;
    mail.size = Some(1);
    let written = |mail: &Mail, size, server: &Capabilities| {
        let mut out = BytesMut::new();
        write_mail(&mut out, mail, size, server);
        String::from_utf8(out.to_vec()).unwrap()
    };
    assert_eq!(
        written(&mail, Some(2), &capable()),
        "MAIL FROM:<a@b.example> SIZE=2 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e+2Bf AUTH=<> REQUIRETLS\r\n",
        "the size is ours, not the client's"
    );
    assert_eq!(written(&mail, Some(2), &Capabilities::default()), "MAIL FROM:<a@b.example>\r\n");
    assert_eq!(written(&Mail::new(ReversePath(None)), None, &capable()), "MAIL FROM:<>\r\n");
    for (body, text) in [(BodyType::SevenBit, "BODY=7BIT"), (BodyType::BinaryMime, "BODY=BINARYMIME")] {
        let mail = Mail { body: Some(body), ..Mail::new(ReversePath(None)) };
        assert_eq!(written(&mail, None, &capable()), format!("MAIL FROM:<> {text}\r\n"));
    }

    let recipient = Recipient { notify: Some("NEVER".into()), orcpt: Some("rfc822;a".into()), ..Recipient::new(address) };
    let written = |server: &Capabilities| {
        let mut out = BytesMut::new();
        write_recipient(&mut out, &recipient, server);
        String::from_utf8(out.to_vec()).unwrap()
    };
    assert_eq!(written(&capable()), "RCPT TO:<a@b.example> NOTIFY=NEVER ORCPT=rfc822;a\r\n");
    assert_eq!(written(&Capabilities::default()), "RCPT TO:<a@b.example>\r\n");
}
