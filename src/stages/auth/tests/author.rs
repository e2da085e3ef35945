//! Who wrote it, in as many disguises as are known.
use super::super::author::Authorship;
use crate::message::HeaderBlock;
use bytes::Bytes;
use proptest::prelude::*;

fn of(headers: &str) -> (Vec<String>, Vec<&'static str>) {
    let authorship = Authorship::of(&HeaderBlock::new(Bytes::copy_from_slice(headers.as_bytes())));
    (authorship.domains.clone(), authorship.doubts.iter().map(|doubt| doubt.as_str()).collect())
}

#[test]
fn what_people_write_is_one_author() {
    for from in [
        "ann@example.org",
        "<ann@example.org>",
        "< ann@example.org >",
        "Ann <ann@example.org>",
        "Ann B. C. <ann@EXAMPLE.org.>",
        "\"B, Ann (x)\" <ann@example.org>",
        "B, Ann <ann@example.org>",
        "ann@example.org (Ann B)",
        "(Ann) ann@example.org",
        "Ann <ann@example.org> (at home)",
        "ann@example.org <ann@example.org>",
        "\"ann@mail.example.org\" <ann@example.org>",
        "info@mail.example.org <ann@example.org>",
        "\"bob@elsewhere.example via List\" <ann@example.org>",
        "\"Ann \\\"B\\\" C\" <ann@example.org>",
        "=?utf-8?q?Ann_<x>?= <ann@example.org>",
        "=?utf-8?b?w4Fubg==?=\r\n =?utf-8?q?_B?=\r\n <ann@example.org>",
        "\"ann b\"@example.org",
        "Ann\tB <ann@example.org>",
        "Ann <ann@example.org>\r\n\t(x)",
    ] {
        assert_eq!(of(&format!("To: x@y\r\nFrom: {from}\r\nSubject: z\r\n")), (vec!["example.org".into()], vec![]), "{from}");
    }
    assert_eq!(of("From: a@bücher.example\r\n").1, Vec::<&str>::new());
    assert_eq!(of("From: a@[192.0.2.1]\r\n").1, Vec::<&str>::new());
    assert_eq!(of("Sender: a@x.example\r\nFrom: a@x.example, B <b@x.example>\r\n"), (vec!["x.example".into()], vec![]));
}

#[test]
fn what_two_readers_see_differently_is_doubted() {
    for (headers, doubt) in [
        ("To: a@b\r\n", "no_from"),
        ("", "no_from"),
        ("From: a@attack.example\r\nFrom: b@bank.example\r\n", "several_froms"),
        ("From: a@attack.example\r\nfrom : b@bank.example\r\n", "several_froms"),
        ("From: a@x.example\r\nFrom: a@x.example\r\n", "several_froms"),
        (" From: b@bank.example\r\nFrom: a@attack.example\r\n", "disguised_from"),
        ("From: a@attack.example\r\n\u{0}From: b@bank.example\r\n", "disguised_from"),
        ("From: a@attack.example\r\nFr\u{200b}om: b@bank.example\r\n", "disguised_from"),
        ("From: a@attack.example\r\nFr om: b@bank.example\r\n", "disguised_from"),
        ("From:\r\n", "no_address"),
        ("From: Ann\r\n", "no_address"),
        ("From: <>\r\n", "no_address"),
        ("From: =?utf-8?q?b=40bank.example?=\r\n", "no_address"),
        ("From: a@attack.example, b@bank.example\r\n", "several_authors"),
        ("From: a@x.example, b@x.example\r\n", "several_authors"),
        ("Sender: a@attack.example\r\nFrom: a@attack.example, b@bank.example\r\n", "several_authors"),
        ("From: <a@attack.example>, <b@bank.example>\r\n", "several_authors"),
        ("From: Bank:a@attack.example;\r\n", "group"),
        ("From: b@bank.example:<a@attack.example>;\r\n", "group"),
        ("From: b@bank.example\u{0}<a@attack.example>\r\n", "control"),
        ("From: a\u{1b}[2J <a@attack.example>\r\n", "control"),
        ("From: \u{202e}elpmaxe <a@attack.example>\r\n", "control"),
        ("From: =?utf-8?q?b=40bank.example=00?= <a@attack.example>\r\n", "control"),
        ("From: \"=?utf-8?b?YgA=?=\" <a@attack.example>\r\n", "control"),
        ("From: =?utf-8?q?x=0D=0AFrom:_b=40bank.example?= <a@attack.example>\r\n", "control"),
        ("From: b@bank.example\r\n \r\n <a@attack.example>\r\n", "blank_line"),
        ("From: \"b@bank.example <a@attack.example>\r\n", "unbalanced"),
        ("From: (b@bank.example <a@attack.example>\r\n", "unbalanced"),
        ("From: <a@attack.example\r\n", "unbalanced"),
        ("From: <<b@bank.example>a@attack.example>\r\n", "unbalanced"),
        ("From: b@bank.example> <a@attack.example>\r\n", "unbalanced"),
        ("From: <@attack.example,@any.example:b@bank.example>\r\n", "route"),
        ("From: <b@bank.example@attack.example>\r\n", "route"),
        ("From: b@bank.example@attack.example\r\n", "route"),
        ("From: <b@bank.example (@attack.example)>\r\n", "broken_address"),
        ("From: <b @ bank.example>\r\n", "broken_address"),
        ("From: <b@bank\r\n .example>\r\n", "broken_address"),
        ("From: b@bank.example a@attack.example\r\n", "broken_address"),
        ("From: \"b@bank.example>\"@attack.example\r\n", "quoted_local_part"),
        ("From: <\"b@bank.example,\"@attack.example>\r\n", "quoted_local_part"),
        ("From: =?utf-8?b?YkBiYW5rLmV4YW1wbGU=?=@attack.example\r\n", "encoded_address"),
        ("From: <=?utf-8?q?b=40bank.example=00?=@attack.example>\r\n", "encoded_address"),
        ("From: b@bank.example <a@attack.example>\r\n", "hidden_address"),
        ("From: \"<b@bank.example>\" <a@attack.example>\r\n", "hidden_address"),
        ("From: (<b@bank.example>) a@attack.example\r\n", "hidden_address"),
        ("From: a@attack.example (<b@bank.example>)\r\n", "hidden_address"),
        ("From: =?utf-8?b?PGJAYmFuay5leGFtcGxlPg==?= <a@attack.example>\r\n", "hidden_address"),
        ("From: <a@attack.example>b@bank.example\r\n", "text_after_address"),
        ("From: <b@bank.example><a@attack.example>\r\n", "text_after_address"),
        ("From: <a@attack.example> x <b@bank.example>\r\n", "text_after_address"),
        ("From: <b@bank.example\\@attack>\r\n", "route"),
        ("From: <b@bank\\.example>\r\n", "domain"),
        ("From: <b@bank.example/attack>\r\n", "domain"),
        ("From: b@bank..example\r\n", "domain"),
        ("From: <b@>\r\n", "domain"),
    ] {
        let (domains, doubts) = of(headers);
        assert!(doubts.contains(&doubt), "{headers:?}: {doubts:?} ({domains:?})");
    }
}

/// Whoever could be meant is judged, not only the one the grammar has.
#[test]
fn all_who_could_be_meant_are_named() {
    for headers in [
        "From: a@attack.example\r\nFrom: b@bank.example\r\n",
        "From: a@attack.example, b@bank.example\r\n",
        "From: b@bank.example <a@attack.example>\r\n",
        "From: \"<b@bank.example>\" <a@attack.example>\r\n",
        "From: <b@bank.example><a@attack.example>\r\n",
        "From: \"<b@bank.example> <a@attack.example>\r\n",
        "From: b@bank.example a@attack.example\r\n",
        "From: <b@bank.example@attack.example>\r\n",
        "From: <x@bank.example,@y.example:a@attack.example>\r\n",
        "From: =?utf-8?b?YkBiYW5rLmV4YW1wbGUA?=@attack.example\r\n",
        "From: <a@attack.example> b@bank.example\r\n",
    ] {
        let (domains, _) = of(headers);
        for domain in ["attack.example", "bank.example"] {
            assert!(domains.iter().any(|named| named == domain), "{headers:?}: {domains:?}");
        }
    }
    let many: String = (0..1000).map(|n| format!("From: a@{n}.example\r\n")).collect();
    assert_eq!(of(&many).0.len(), 4);
}

#[test]
fn what_is_meant_to_take_long_does_not() {
    let started = std::time::Instant::now();
    for hostile in ["(", "\"", "<", "[", "a@b,", "(\\", "=?utf-8?q?", "=?utf-8?q?a?=", "\"<\"", "(<@", ":;", "<a@b>", "\r\n \r\n a@b"] {
        let field = format!("From: {}\r\n", hostile.repeat((64 << 10) / hostile.len() - 2));
        assert_ne!(of(&field).1, Vec::<&str>::new(), "{hostile}");
    }
    assert_eq!(of(&format!("From: {}\r\n", "x".repeat(1 << 20))).1, ["unbalanced", "no_address"].into_iter().rev().collect::<Vec<_>>());
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

proptest! {
    /// Whatever From has in it: there is an answer, and where it is without doubt there is one domain
    /// that stands in the field as it was written.
    #[test]
    fn any_octets_are_doubted_or_name_one_domain(from in "[ab.@<>()\\[\\]\"\\\\,:; \t=?éq\u{0}\u{202e}]{0,40}", raw in proptest::collection::vec(any::<u8>(), 0..60)) {
        for octets in [from.as_bytes(), &raw] {
            let block = [b"From:", octets, b"\r\n"].concat();
            let authorship = Authorship::of(&HeaderBlock::new(block.into()));
            if authorship.doubts.is_empty() {
                let [domain] = authorship.domains.as_slice() else { panic!("{octets:?}: {:?}", authorship.domains) };
                prop_assert!(String::from_utf8_lossy(octets).to_lowercase().contains(domain.as_str()), "{domain}");
                prop_assert!(!domain.is_empty() && !domain.contains(['@', '<', '>', ',', ' ']), "{domain}");
            }
        }
    }
}

#[test]
fn a_host_that_is_named_like_the_author_is_told_from_the_authors_own() {
    let authorship = Authorship::of(&HeaderBlock::new(Bytes::from_static(b"From: a@bank.example\r\n")));
    for host in ["bank.example.attack.example", "mail.bank.example.attack.example", "attack-bank.example", "notbank.example"] {
        assert!(authorship.looks_like(host), "{host}");
    }
    for host in ["bank.example", "MAIL.bank.example.", "mail.example", "example", "attack.example", ""] {
        assert!(!authorship.looks_like(host), "{host}");
    }
}
