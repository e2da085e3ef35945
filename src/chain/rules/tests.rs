use super::*;
use crate::{
    chain::{Known, Type},
    message::{Client, Edits},
    smtp::{Domain, Mail, ReversePath},
    value::settings::{Problems, Section},
};
use bytes::Bytes;
use toml::de::DeTable;

fn vocabulary() -> Vocabulary {
    Vocabulary::of_message([Known::new("rspamd.score", Type::Real, "x"), Known::new("auth.dmarc", Type::Text, "x")], [])
}

fn read_text(text: &str) -> (Rules, Vec<(String, String)>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "{errors:?}");
    let problems = Problems::default();
    let rules = read(&mut Section::root(&table, problems.clone()), vocabulary(), &["mx".into()]);
    (rules, problems.take().into_iter().map(|problem| (text[problem.span].to_owned(), problem.text)).collect())
}

fn judge(rules: &str, findings: &[Finding]) -> Judgement {
    let (rules, found) = read_text(rules);
    assert_eq!(found, []);
    let address = "192.0.2.1:1".parse().unwrap();
    let hello = Some((Domain::parse("client.example").unwrap(), true));
    let client = Client { listener: "mx".into(), address, local: address, tls: None, hello, account: None, mechanism: None };
    let mail = Mail::new(ReversePath(None));
    let recipients = [Recipient::new(Address::parse("a@example.org", false).unwrap())];
    let header = HeaderBlock::new(Bytes::from_static(b"Subject: Buy\r\n n\xf6w\r\n"));
    rules.judge(&Facts {
        vocabulary: rules.vocabulary(),
        client: &client,
        mail: &mail,
        recipients: &recipients,
        size: 5,
        header: Some(&header),
        findings,
    })
}

const RULES: &str = "
[[rule]]
name = 'friends'
when = 'client.helo == \"friend.example\"'
then = 'accept'
[[rule]]
name = 'tag'
when = 'rspamd.score >= 5.0'
then = 'tag'
subject_tag = '[SPAM]'
add = ['X-Spam-Score: {rspamd.score}']
[[rule]]
name = 'watch'
mode = 'observe'
then = 'discard'
[[rule]]
name = 'high'
when = 'rspamd.score >= 15.0'
then = 'reject'
reply = '554 5.7.1 score {rspamd.score} for {auth.dmarc}'
[[rule]]
name = 'dmarc'
when = 'auth.dmarc == \"fail\"'
then = 'tempfail'
";

fn score(score: f64) -> Finding {
    Finding::real("rspamd.score", score)
}

#[test]
fn the_first_final_one_that_holds_decides() {
    let judgement = judge(RULES, &[score(1.0)]);
    assert_eq!((judgement.verdict, judgement.by, judgement.edits), (Verdict::Deliver, None, vec![]));
    let shown: Vec<_> = judgement.findings.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["stage.observed=rule watch: discard"]);

    let judgement = judge(RULES, &[score(7.5)]);
    assert_eq!(judgement.verdict, Verdict::Deliver);
    let marked = Edits(judgement.edits).apply(&HeaderBlock::new(Bytes::from_static(b"Subject: Buy\r\n n\xf6w\r\nTo: a\r\n")));
    assert_eq!(marked, &b"Subject: [SPAM] Buy\r\n n\xf6w\r\nTo: a\r\nX-Spam-Score: 7.5\r\n"[..]);

    let judgement = judge(RULES, &[score(20.0), Finding::text("auth.dmarc", "f\r\nail é")]);
    assert_eq!(
        judgement.verdict.clone(),
        Verdict::Refuse(Refusal::permanent(54, "7.1", "score 20 for f??ail ?")),
        "one line, whatever was found"
    );
    assert_eq!(judgement.by.as_deref(), Some("high"));

    let judgement = judge(RULES, &[Finding::text("auth.dmarc", "fail")]);
    assert_eq!(judgement.verdict, Verdict::Refuse(Refusal::temporary(51, "7.1", "refused for now by policy (dmarc)")));
}

#[test]
fn accept_ends_the_rules() {
    let rules = "[[rule]]\nname = 'a'\nthen = 'accept'\n[[rule]]\nname = 'b'\nthen = 'discard'\n";
    assert_eq!(judge(rules, &[]).verdict, Verdict::Deliver);
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_no_pass() {
    let rules = "[[rule]]\nname = 'a'\nwhen = '1 / (message.size - 5) > 0'\nthen = 'tag'\nsubject_tag = 'x'\n";
    assert!(matches!(judge(rules, &[]).verdict, Verdict::Refuse(refusal) if !refusal.is_permanent()));
}

#[test]
fn mistakes_are_told_with_their_places() {
    for (rule, place, text) in [
        ("then = 'accept'", "[[rule]]", "`rule.name` is missing"),
        ("name = 'a b'\nthen = 'accept'", "'a b'", "must be 1 to 64 letters"),
        ("name = 'a'", "[[rule]]", "`rule.then` is missing"),
        ("name = 'a'\nthen = 'ignore'", "'ignore'", "is none of"),
        ("name = 'a'\nthen = 'reject'\nwhen = 'auth.dmrac == \"x\"'", "auth.dmrac", "did you mean `auth.dmarc`?"),
        ("name = 'a'\nthen = 'reject'\nwhen = '''\nauth.dmrac == \"x\"'''", "auth.dmrac", "did you mean `auth.dmarc`?"),
        ("name = 'a'\nthen = 'reject'\nreply = '450 4.7.1 x'", "'450 4.7.1 x'", "\"reject\" needs a 5yz reply"),
        ("name = 'a'\nthen = 'reject'\nreply = '550 5.7.1 {auth.dmrac}'", "'550 5.7.1 {auth.dmrac}'", "did you mean `{auth.dmarc}`?"),
        ("name = 'a'\nthen = 'discard'\nreply = '550 5.7.1 x'", "'550 5.7.1 x'", "is what \"reject\" and \"tempfail\" say"),
        ("name = 'a'\nthen = 'tag'", "[[rule]]", "needs `add` or `subject_tag`"),
        ("name = 'a'\nthen = 'reject'\nsubject_tag = 'x'", "[[rule]]", "nobody gets the message"),
        ("name = 'a'\nthen = 'reject'\nclass = 'spam'", "'spam'", "is for \"quarantine\""),
        ("name = 'a'\nthen = 'accept'\nlisteners = ['my']", "'my'", "there is no listener `my`"),
        ("name = 'a'\nthen = 'accept'\nrecipients = ['x']", "'x'", "is no pattern of addresses"),
    ] {
        let (_, found) = read_text(&format!("[[rule]]\n{rule}"));
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        assert!(found[0].0 == place && found[0].1.contains(text), "{rule}: {found:?}");
    }
}
