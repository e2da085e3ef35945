use super::*;
use crate::{
    chain::{Finding, Known, Type},
    message::{Client, HeaderBlock, TlsFacts},
    smtp::{Address, Domain, Mail, Recipient, ReversePath},
};

fn vocabulary() -> Vocabulary {
    let present = [
        Known::new("auth.dmarc", Type::Text, "x"),
        Known::new("auth.policy", Type::Text, "x"),
        Known::new("rspamd.score", Type::Real, "x"),
        Known::new("attachments.type", Type::Texts, "x"),
        Known::new("attachments.count", Type::Number, "x"),
        Known::new("spamd.spam", Type::Flag, "x"),
    ];
    Vocabulary::of_message(present, [Known::new("clamd.signature", Type::Text, "x")])
}

fn holds(condition: &str) -> bool {
    let vocabulary = vocabulary();
    let client = Client {
        listener: "mx".into(),
        address: "[::ffff:192.0.2.7]:4711".parse().unwrap(),
        local: "192.0.2.1:25".parse().unwrap(),
        tls: Some(Arc::new(TlsFacts { version: "TLSv1.3", cipher: "X", sni: None, client_subject: None, resumed: false, ja4: None })),
        hello: Some((Domain::parse("client.example.net").unwrap(), true)),
        account: None,
        mechanism: None,
    };
    let address = |text: &str| Address::parse(text, false).unwrap();
    let mail = Mail::new(ReversePath(Some(address("a@Example.NET"))));
    let recipients = [Recipient::new(address("b@example.org")), Recipient::new(address("c@example.org"))];
    let block = HeaderBlock::new("Subject: Your invoice\r\nReceived: a\r\nReceived: b\r\n".into());
    let findings = [
        Finding::text("auth.dmarc", "fail"),
        Finding::real("rspamd.score", 7.5),
        Finding::text("attachments.type", "pdf"),
        Finding::text("attachments.type", "script"),
        Finding::number("attachments.count", 2),
        Finding::flag("spamd.spam", true),
    ];
    let facts = Facts {
        vocabulary: &vocabulary,
        client: &client,
        mail: &mail,
        recipients: &recipients,
        size: 1000,
        header: Some(&block),
        findings: &findings,
    };
    let expression = Expression::compile(condition, &vocabulary).unwrap_or_else(|mistakes| panic!("{condition}: {mistakes:?}"));
    expression.holds(&facts).unwrap_or_else(|error| panic!("{condition}: {error}"))
}

#[test]
fn conditions_speak_of_findings_envelope_client_tls_and_header() {
    for (condition, expected) in [
        ("auth.dmarc == 'fail' && auth.policy == 'reject'", false),
        ("auth.dmarc == 'fail' && auth.policy == ''", true),
        ("rspamd.score > 7.0", true),
        ("rspamd.score > 7", true),
        ("rspamd.score + 1.0 >= 8.5", true),
        ("'script' in attachments.type", true),
        ("attachments.type.exists(t, t.startsWith('exe'))", false),
        ("attachments.type.all(t, size(t) > 2)", true),
        ("size(attachments.type) == attachments.count", true),
        ("spamd.spam && !tls.on", false),
        ("listener in ['mx', 'submission']", true),
        ("inNetwork(client.ip, '192.0.2.0/24')", true),
        ("inNetwork(client.ip, '2001:db8::/32')", false),
        ("client.ip == '192.0.2.7'", true),
        ("client.helo.endsWith('.example.net') && !client.authenticated && client.account == ''", true),
        ("sender.domain == 'example.net' && sender.address != ''", true),
        ("recipients.exists(r, r == 'c@example.org')", true),
        ("header['subject'].matches('(?i)INVOICE')", true),
        ("matches(header['subject'], '^invoice')", false),
        ("headers['received'].exists(field, field.matches('^[ab]$'))", true),
        ("header['X-None'] == '' && size(headers['Received']) == 2", true),
        ("header['Subject'].lowerAscii().contains('your')", true),
        ("message.size > 999 ? tls.version == 'TLSv1.3' : false", true),
        ("size(stage.incomplete) > 0", false),
    ] {
        assert_eq!(holds(condition), expected, "{condition}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let vocabulary = vocabulary();
    for (condition, place, text) in [
        ("headr['Subject'] == ''", "headr", "there is no `headr`; did you mean `header`?"),
        ("auth.dmrac == 'fail'", "auth.dmrac", "there is no `auth.dmrac`; did you mean `auth.dmarc`?"),
        ("clamd.signature != ''", "clamd.signature", "no stage of type `clamd` is configured, so nobody would find out `clamd.signature`"),
        ("auth.dmarc > 3", "", "cannot be used with a text and a whole number"),
        ("auth.dmarc", "", "a condition must be true or false; this is a text"),
        ("attachments.type == 'pdf'", "", "cannot be used with a list of texts and a text"),
        ("'x' in auth.dmarc", "", "`in` cannot be used with a text and a text"),
        ("!rspamd.score", "", "`!` cannot be used with a number with a fraction"),
        ("header.subject == ''", "", "there is no `header.subject`"),
        ("header[listener] == ''", "listener", "write the field's name itself"),
        ("inNetwork(client.ip, '192.0.2.0/33')", "'192.0.2.0/33'", "this is no network"),
        ("auth.dmarc.matches('(')", "'('", "this is no regular expression"),
        ("auth.dmarc.matches(auth.policy)", "auth.policy", "write the regular expression itself"),
        ("auth.dmarc.startWith('f')", "", "there is no function `startWith`; did you mean `startsWith`?"),
        ("has(auth.dmarc)", "", "`has` is not needed"),
        ("auth.dmarc ==", "", "yntax"),
        ("attachments.count.exists(x, x > 1)", "", "this goes over lists; here is a whole number"),
    ] {
        let mistakes = Expression::compile(condition, &vocabulary).unwrap_err();
        let [Mistake { span, text: said }] = mistakes.as_slice() else { panic!("{condition}: {mistakes:?}") };
        assert!(said.contains(text), "{condition}: {said}");
        assert!(condition.get(span.clone()).unwrap().contains(place), "{condition}: {span:?}");
    }
    assert_eq!(Expression::compile("a1 == 1 || b1 == 2", &vocabulary).unwrap_err().len(), 2, "all at once");
    assert!(Expression::compile("recipients == []", &Vocabulary::of_session()).is_err(), "not known yet");
}

#[test]
fn what_cannot_be_evaluated_is_an_error_not_a_no() {
    let vocabulary = vocabulary();
    let client = Client {
        listener: "mx".into(),
        address: "192.0.2.7:1".parse().unwrap(),
        local: "192.0.2.1:25".parse().unwrap(),
        tls: None,
        hello: None,
        account: None,
        mechanism: None,
    };
    let mail = Mail::new(ReversePath(None));
    let facts = Facts { vocabulary: &vocabulary, client: &client, mail: &mail, recipients: &[], size: 0, header: None, findings: &[] };
    assert!(Expression::compile("10 / attachments.count > 1", &vocabulary).unwrap().holds(&facts).is_err());
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_much_for_the_compiler(text in "([a-z.]{1,8}|[ ()!&|<>=+*/?:\\[\\]'\"0-9]|é){0,24}") {
        if let Err(mistakes) = Expression::compile(&text, &vocabulary()) {
            for mistake in mistakes {
                assert!(text.get(mistake.span.clone()).is_some(), "{text:?} {mistake:?}");
            }
        }
    }
}
