use super::*;

fn offer() -> Offer {
    Offer {
        size: 1000,
        eight_bit: true,
        utf8: true,
        binary: true,
        dsn: true,
        require_tls: true,
        auth: vec!["PLAIN".into()],
        ..Offer::basic("mx.example.org".into())
    }
}

fn mail(arguments: &str) -> Result<Mail, Mistake> {
    Mail::parse(arguments, &offer())
}

fn recipient(arguments: &str) -> Result<Recipient, Mistake> {
    Recipient::parse(arguments, &offer(), false)
}

#[test]
fn paths() {
    for (arguments, path, why) in [
        ("<a@b.example>", Some("a@b.example"), "RFC 5321 §4.1.1.2"),
        ("   <a@b.example>", Some("a@b.example"), "blanks behind the colon, as Postfix takes them"),
        ("a@b.example", Some("a@b.example"), "no brackets, as Postfix takes them"),
        ("a@b.example SIZE=1", Some("a@b.example"), "the same with a parameter"),
        ("<a@b.example>  SIZE=1  ", Some("a@b.example"), "blanks between"),
        ("<>", Some(""), "the null path"),
        ("<> SIZE=1", Some(""), "the null path"),
        ("<\"a>b\"@c.example>", Some("\"a>b\"@c.example"), "a bracket inside quotes"),
        ("<\"a\\\">b\"@c.example>", Some("\"a\\\">b\"@c.example"), "a bracket behind a quoted quote"),
        ("\"a b\"@c.example SIZE=1", Some("\"a b\"@c.example"), "a blank inside quotes"),
        ("<@x.example:a@b.example>", Some("a@b.example"), "a source route (appendix C)"),
        ("<@x.example,@y.example:a@b.example>", Some("a@b.example"), "two hops"),
        ("<postmaster>", Some("postmaster"), "without a domain"),
        ("", None, "nothing"),
        ("   ", None, "nothing"),
        ("<a@b.example", None, "no end"),
        ("<a@b.example>SIZE=1", None, "nothing between"),
        ("<a@b.example>>", None, "one bracket too many"),
        ("<<a@b.example>>", None, "one bracket too many"),
        ("a@b.example>", None, "half a pair"),
        ("< a@b.example>", None, "a blank inside"),
        ("<a@b.example >", None, "a blank inside"),
        ("Fred <a@b.example>", None, "a display name"),
        ("<@x.example:>", None, "a route to nowhere"),
        ("<@x.example>", None, "a route to nowhere"),
        ("<@:a@b.example>", None, "a hop without name"),
        ("<x.example:a@b.example>", None, "a hop without @"),
        ("<\"a@b.example>", None, "no last quote"),
    ] {
        assert_eq!(mail(arguments).ok().map(|mail| mail.reverse_path.to_string()).as_deref(), path, "{arguments:?}: {why}");
        if !arguments.contains("SIZE") {
            let path = path.filter(|path| !path.is_empty());
            assert_eq!(recipient(arguments).ok().map(|to| to.address.to_string()).as_deref(), path, "RCPT {arguments:?}: {why}");
        }
    }
    assert_eq!(mail("<a"), Err(Mistake::Path { sender: true }));
    assert_eq!(recipient("<>"), Err(Mistake::Path { sender: false }), "nobody");
}

#[test]
fn parameters_of_mail() {
    let mail = |parameters: &str| mail(&format!("<a@b.example> {parameters}"));
    let all = mail("size=1000 BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=QQ+2B314 AUTH=e+3Dmc2@example.com REQUIRETLS").unwrap();
    assert_eq!((all.size, all.body, all.utf8, all.ret), (Some(1000), Some(BodyType::EightBitMime), true, Some(Ret::Headers)));
    assert_eq!((all.envid.as_deref(), all.auth.as_deref(), all.require_tls), (Some("QQ+2B314"), Some("e+3Dmc2@example.com"), true));
    assert_eq!(mail("BODY=BINARYMIME").unwrap().body, Some(BodyType::BinaryMime));
    assert_eq!(mail("BODY=7BIT").unwrap().body, Some(BodyType::SevenBit));
    assert_eq!(mail("RET=FULL").unwrap().ret, Some(Ret::Full));
    assert_eq!(mail("AUTH=<>").unwrap().auth.as_deref(), Some("<>"));

    for (parameters, mistake, why) in [
        ("SIZE=1001", Mistake::TooBig, "above the limit"),
        ("SIZE=99999999999999999999", Mistake::TooBig, "20 digits that do not fit 64 bits"),
        ("SIZE=+1", Mistake::Syntax("SIZE is up to 20 digits"), "a sign"),
        ("SIZE=100000000000000000000", Mistake::Syntax("SIZE is up to 20 digits"), "21 digits (RFC 1870 §3)"),
        ("SIZE", Mistake::Syntax("SIZE is up to 20 digits"), "no value"),
        ("SIZE=", Mistake::Syntax("malformed parameter"), "an empty value"),
        ("=1", Mistake::Syntax("malformed parameter"), "no keyword"),
        ("S\u{130}ZE=1", Mistake::Syntax("malformed parameter"), "a keyword is ASCII"),
        ("SIZE=1 SIZE=1", TWICE, "twice"),
        ("SMTPUTF8 smtputf8", TWICE, "twice, in another case"),
        ("SMTPUTF8=1", Mistake::Syntax("a parameter with a value that takes none"), "RFC 6531 §3.4"),
        ("REQUIRETLS=yes", Mistake::Syntax("a parameter with a value that takes none"), "RFC 8689 §2"),
        ("BODY=9BIT", Mistake::Syntax("BODY is 7BIT or 8BITMIME"), "no such type"),
        ("RET=ALL", Mistake::Syntax("RET is FULL or HDRS"), "RFC 3461 §4.3"),
        ("ENVID=a=b", Mistake::Syntax("ENVID is xtext of up to 100 characters"), "= is encoded"),
        ("ENVID=a+0D+0Ab", Mistake::Syntax("ENVID is xtext of up to 100 characters"), "a CRLF in disguise"),
        ("ENVID=a+7Fb", Mistake::Syntax("ENVID is xtext of up to 100 characters"), "DEL in disguise"),
        ("ENVID=a+2", Mistake::Syntax("ENVID is xtext of up to 100 characters"), "half a code"),
        ("ENVID=a+GG", Mistake::Syntax("ENVID is xtext of up to 100 characters"), "no code"),
        ("ENVID=ü", Mistake::Syntax("ENVID is xtext of up to 100 characters"), "no ASCII"),
        ("AUTH=a+00@b", Mistake::Syntax("AUTH is xtext of up to 500 characters"), "a NUL in disguise"),
        ("NOTIFY=NEVER", Mistake::Parameter("NOTIFY".into()), "RCPT's"),
        ("X-FOO=bar", Mistake::Parameter("X-FOO".into()), "nobody's"),
    ] {
        assert_eq!(mail(parameters), Err(mistake), "{parameters:?}: {why}");
    }
    assert!(mail(&format!("ENVID={}", "a".repeat(101))).is_err(), "RFC 3461 §4.4");
}

#[test]
fn what_was_not_offered() {
    let none = Offer::basic("mx.example.org".into());
    for parameter in ["BODY=8BITMIME", "BODY=7BIT", "SMTPUTF8", "RET=FULL", "ENVID=a", "AUTH=<>", "REQUIRETLS"] {
        let mistake = Mail::parse(&format!("<a@b.example> {parameter}"), &none).unwrap_err();
        assert!(mistake.refusal().to_string().starts_with("555 5.5.4 "), "{parameter}: {mistake:?}");
    }
    for parameter in ["NOTIFY=NEVER", "ORCPT=rfc822;a@b"] {
        let mistake = Recipient::parse(&format!("<a@b.example> {parameter}"), &none, false).unwrap_err();
        assert_eq!(mistake.refusal().reply().code(), 555, "{parameter}");
    }
    let no_binary = Offer { eight_bit: true, ..none };
    assert_eq!(Mail::parse("<a@b.example> BODY=BINARYMIME", &no_binary).unwrap_err().refusal().reply().code(), 555);
}

#[test]
fn parameters_of_rcpt() {
    let recipient = |parameters: &str| recipient(&format!("<a@b.example> {parameters}"));
    let all = recipient("NOTIFY=SUCCESS,failure,DELAY ORCPT=rfc822;a+2Bc@b.example").unwrap();
    assert_eq!((all.notify.as_deref(), all.orcpt.as_deref()), (Some("SUCCESS,failure,DELAY"), Some("rfc822;a+2Bc@b.example")));
    assert!(recipient("notify=never").is_ok());
    for (parameters, why) in [
        ("NOTIFY", "no value"),
        ("NOTIFY=NEVER,DELAY", "RFC 3461 §4.1: NEVER stands alone"),
        ("NOTIFY=DELAY,", "an empty word"),
        ("NOTIFY=DELAY,DELAY,DELAY,DELAY", "a list without end"),
        ("NOTIFY=SOON", "no such word"),
        ("ORCPT=a@b.example", "no address type"),
        ("ORCPT=;a@b.example", "no address type"),
        ("ORCPT=rfc822;", "no address"),
        ("ORCPT=rfc822;a+0D+0ARCPT", "a CRLF in disguise (CVE-2020-28026)"),
        ("ORCPT=rfc822;ü@b.example", "no xtext"),
        ("ORCPT=rfc822;a ORCPT=rfc822;a", "twice"),
        ("NOTIFY=NEVER NOTIFY=NEVER", "twice"),
    ] {
        assert_eq!(recipient(parameters).unwrap_err().refusal().reply().code(), 501, "{parameters:?}: {why}");
    }
    assert_eq!(recipient("SIZE=1"), Err(Mistake::Parameter("SIZE".into())), "MAIL's");
    assert!(recipient(&format!("ORCPT=rfc822;{}", "a".repeat(494))).is_err(), "501 characters");
}

#[test]
fn addresses_in_other_scripts() {
    assert!(mail("<ü@b.example> SMTPUTF8").is_ok());
    assert_eq!(mail("<ü@b.example>"), Err(Mistake::NeedsUtf8 { sender: true }));
    assert!(Recipient::parse("<ü@b.example>", &offer(), true).is_ok());
    assert_eq!(recipient("<ü@b.example>"), Err(Mistake::NeedsUtf8 { sender: false }));
    assert_eq!(mail("<ü@b.example>").unwrap_err().refusal().to_string(), "553 5.6.7 the sender address needs SMTPUTF8");

    let orcpt = |value: &str, utf8| Recipient::parse(&format!("<a@b.example> ORCPT={value}"), &offer(), utf8).is_ok();
    assert!(orcpt("utf-8;ü@b.example", true) && !orcpt("utf-8;ü@b.example", false), "RFC 6533 §3: raw where the transaction is SMTPUTF8");
    assert!(orcpt("utf-8;\\x{FC}@b.example", false), "as xtext it is ASCII");
    assert!(
        !orcpt("utf-8;ü\\x{A}@b.example", true) && !orcpt("utf-8;ü\\x{Z}@b.example", true) && !orcpt("utf-8;ü\\xA@b.example", true),
        "no control in disguise"
    );
    assert!(!orcpt("utf-8;ü\u{85}@b.example", true), "nor in the open");
}
