use super::*;
use proptest::prelude::*;

#[test]
fn hello_names_of_the_real_world() {
    for (name, taken, why) in [
        ("mx.example.org", true, "RFC 5321 §4.1.2"),
        ("localhost", true, "a single label"),
        ("WIN-4A_B", true, "an underscore, as Windows has it"),
        ("mx.example.org.", true, "absolute, as DNS has it"),
        ("192.0.2.1", true, "an address without brackets is a name of digits"),
        ("[192.0.2.1]", true, "§4.1.3"),
        ("[IPv6:2001:db8::1]", true, "§4.1.3"),
        ("[ipv6:2001:DB8::1]", true, "tags are case-insensitive"),
        ("[2001:db8::1]", true, "the tag is often forgotten"),
        ("[X400:c=us]", false, "a tag nobody has registered"),
        ("müller-pc", true, "a U-label"),
        ("", false, "nothing"),
        (".", false, "the root is no host"),
        ("..", false, "an empty label"),
        ("a..b", false, "an empty label"),
        ("a b", false, "a blank would be another argument"),
        ("a\tb", false, "a control"),
        ("a\0b", false, "a control"),
        ("a\r\nb", false, "another command"),
        ("a\u{85}b", false, "a control of C1"),
        ("a\u{3002}b", false, "IDNA makes a dot of it"),
        ("a;b", false, "no letter of a host name"),
        ("<a>", false, "no letter of a host name"),
        ("[192.0.2]", false, "not an address"),
        ("[192.0.2.1", false, "no end"),
        ("[]", false, "nothing"),
    ] {
        assert_eq!(Domain::parse(name).is_some(), taken, "{name:?}: {why}");
    }
    let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
    assert_eq!(Domain::parse(&long).unwrap().to_string(), long, "255 octets");
    assert_eq!(Domain::parse(&format!("{long}e")), None, "a label of 64");
    assert_eq!(Domain::parse(&format!("{}.e", &long[1..])), None, "256 octets");
}

#[test]
fn mailboxes() {
    for (text, ascii, utf8, why) in [
        ("fred@example.com", true, true, "RFC 5321 §4.1.2"),
        ("a.b+c=d@example.com", true, true, "atext"),
        ("{!#$%&'*+-/=?^_`|}~@example.com", true, true, "all of atext"),
        ("\"fred bloggs\"@example.com", true, true, "Quoted-string"),
        ("\"a@b\"@example.com", true, true, "an @ inside quotes divides nothing"),
        ("\"a\\\"b\\\\\"@example.com", true, true, "quoted-pair"),
        ("\"\"@example.com", true, true, "empty, but quoted"),
        ("fred@[192.0.2.1]", true, true, "address literal"),
        ("fred@[IPv6:2001:db8::1]", true, true, "address literal"),
        ("Postmaster", true, true, "RFC 5321 §4.1.1.3"),
        ("postMASTER", true, true, "in any case"),
        ("fred@localhost", true, true, "a single label"),
        ("a..b@example.com", true, true, "a Japanese carrier's"),
        (".a.@example.com", true, true, "a Japanese carrier's"),
        ("a@under_score.example", true, true, "seen"),
        ("jörg@example.com", false, true, "RFC 6531"),
        ("\"jörg x\"@example.com", false, true, "RFC 6531"),
        ("a@bücher.example", false, true, "RFC 6531"),
        ("用户@例子.广告", false, true, "RFC 6531"),
        ("fred", false, false, "no domain"),
        ("@example.com", false, false, "no local part"),
        ("fred@", false, false, "no domain"),
        ("", false, false, "nothing"),
        ("a@b@example.com", false, false, "which @ divides?"),
        ("a b@example.com", false, false, "a blank"),
        ("a@exam ple.com", false, false, "a blank"),
        ("a@example.com.", false, false, "is this the domain of a@example.com, for a route or a rule?"),
        ("a@.example.com", false, false, "an empty label"),
        ("a@example..com", false, false, "an empty label"),
        ("a(b)@example.com", false, false, "a comment"),
        ("a>@example.com", false, false, "the end of the path"),
        ("a,b@example.com", false, false, "a list"),
        ("a:b@example.com", false, false, "half a source route"),
        ("\"a\"b@example.com", false, false, "text behind the quotes"),
        ("\"a@example.com", false, false, "no last quote"),
        ("\"a\\\"@example.com", false, false, "the last quote is quoted"),
        ("\"a\tb\"@example.com", false, false, "a control in quotes"),
        ("\"a\\\tb\"@example.com", false, false, "a control in a quoted-pair"),
        ("\"a\0\"@example.com", false, false, "NUL"),
        ("a\r\n@example.com", false, false, "another command"),
        ("a@example.com\u{7f}", false, false, "DEL"),
        ("a\u{85}@example.com", false, false, "NEL is a control"),
        ("a@example\u{3002}com", false, false, "IDNA makes a dot of it"),
        ("a\u{ff20}b@example.com", false, false, "normalisation makes an @ of it"),
        ("a\u{202e}b@example.com", false, false, "turns the text around it"),
        ("a@[192.0.2.256]", false, false, "not an address"),
        ("a@[2001:db8::1]", false, false, "the tag is needed in a mailbox"),
        ("postmaster ", false, false, "a blank"),
    ] {
        assert_eq!(Address::parse(text, false).is_some(), ascii, "{text:?}: {why}");
        assert_eq!(Address::parse(text, true).is_some(), utf8, "{text:?} with SMTPUTF8: {why}");
    }
}

#[test]
fn parts_of_a_mailbox() {
    let parts = |text| Address::parse(text, true).map(|a| (a.local_part().to_owned(), a.domain().to_owned(), a.is_ascii())).unwrap();
    assert_eq!(parts("\"a@b\"@Example.com"), ("\"a@b\"".into(), "Example.com".into(), true));
    assert_eq!(parts("Postmaster"), ("Postmaster".into(), String::new(), true));
    assert_eq!(parts("jörg@[192.0.2.1]"), ("jörg".into(), "[192.0.2.1]".into(), false));
}

#[test]
fn lengths() {
    let of =
        |local: usize, domain: usize| format!("{}@{}", "a".repeat(local), ["b".repeat(63).as_str(); 4].join(".").get(..domain).unwrap());
    assert!(Address::parse(&of(64, 255), false).is_some(), "RFC 5321 §4.5.3.1");
    assert!(Address::parse(&of(255, 255), false).is_some(), "bounce addresses are longer than that");
    assert!(Address::parse(&of(256, 255), false).is_none());
    assert!(Address::parse(&format!("a@b.{}", ["b".repeat(63).as_str(); 4].join(".")), false).is_none(), "a domain of 257");
}

proptest! {
    #[test]
    fn whatever_is_taken_can_stand_in_a_command(text in "\\PC{0,40}|[ -~]{0,20}@[a-z.\\[\\]:0-9]{0,20}|\"[ -~ü]{0,9}\"@[a-zü.]{1,9}", utf8: bool) {
        if let Some(address) = Address::parse(&text, utf8) {
            prop_assert_eq!(address.as_str(), &text);
            prop_assert!(!text.contains(char::is_control));
            prop_assert!(utf8 || text.is_ascii());
            let whole = format!("{}@{}", address.local_part(), address.domain());
            prop_assert!(whole == text || text.eq_ignore_ascii_case("postmaster"));
        }
        if let Some(domain) = Domain::parse(&text) {
            prop_assert!(!domain.as_str().contains(|c: char| c.is_control() || c == ' ' || c == '<' || c == '>'));
        }
    }
}
