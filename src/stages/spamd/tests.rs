use crate::{
    chain::{Report, StageError, Verdict},
    message::Edit,
    smtp::Mail,
    smtp::ReversePath,
    stages::tests::{client, message, read},
    value::Id,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// What the stage reports where spamd answers that, and what spamd was sent.
async fn asked(settings: &str, answer: &'static str) -> (Result<Report, StageError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let spamd = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = String::new();
        stream.read_to_string(&mut sent).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        sent
    });
    let (stages, found) = read(&format!("[[stage]]\ntype = \"spamd\"\naddress = \"inet:{address}\"\n{settings}"));
    assert_eq!(found, []);
    let client = client();
    let mut inspection = stages[0].stage.begin(&client).await.unwrap();
    inspection.mail(&client, &Mail::new(ReversePath(None)), Id::generate()).await.unwrap();
    let report = inspection.end_of_message(&message("X-Spam-Flag: NO\r\nSubject: x\r\n", "hello")).await;
    (report, spamd.await.unwrap())
}

const SPAM: &str = "SPAMD/1.1 0 EX_OK\r\nContent-length: 9\r\nSpam: True ; 7.5 / 5.0\r\n\r\nGTUBE,X_1 and more than was announced";
const MARKS: &str = "SPAMD/1.1 0 EX_OK\r\nContent-length: 32\r\nSpam: True ; 7.5 / 5.0\r\n\r\nX-Spam-Flag: YES\r\nSubject: y\r\n\r\n";

#[tokio::test]
async fn the_question_is_as_the_protocol_has_it() {
    let (_, sent) = asked("spam = \"report\"\nuser = \"mail\"", SPAM).await;
    let (head, said) = sent.split_once("\r\n\r\n").unwrap();
    assert_eq!(head, format!("SYMBOLS SPAMC/1.5\r\nUser: mail\r\nContent-length: {}", said.len()));
    assert!(said.starts_with("Received: from unknown (unknown [192.0.2.1])\r\n\tby gate.example (octroi) with SMTP id "), "{said}");
    assert!(said.contains("(envelope-from <>); ") && said.ends_with("\r\nX-Spam-Flag: NO\r\nSubject: x\r\n\r\nhello"), "{said}");
}

#[tokio::test]
async fn spam_is_treated_as_configured() {
    let verdict = async |settings| asked(settings, SPAM).await.0.unwrap().verdict;
    assert_eq!(verdict("spam = \"report\"").await, Verdict::Deliver);
    assert!(matches!(verdict("spam = \"reject\"").await, Verdict::Refuse(refusal) if refusal.is_permanent()));
    assert!(matches!(verdict("spam = \"tempfail\"").await, Verdict::Refuse(refusal) if !refusal.is_permanent()));
    let Verdict::Quarantine(hold) = verdict("spam = \"quarantine\"").await else { panic!("not held") };
    assert_eq!(&*hold.reason, "SpamAssassin gives it 7.5 of 5.0: GTUBE, X_1");
    // Its own threshold, or ours.
    assert_eq!(verdict("spam = \"reject\"\nthreshold = 7.6").await, Verdict::Deliver);
    assert_ne!(verdict("spam = \"reject\"\nthreshold = 7.5").await, Verdict::Deliver);

    let report = asked("spam = \"report\"\nthreshold = 9", SPAM).await.0.unwrap();
    let found: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["spamd.score=7.5", "spamd.threshold=9", "spamd.spam=false", "spamd.symbols=GTUBE", "spamd.symbols=X_1"]);
    let tagged = asked("", MARKS).await.0.unwrap();
    let flag = Edit::InsertHeader { at: 0, name: "X-Spam-Flag".into(), value: "YES".into() };
    assert_eq!(tagged.edits, [Edit::DeleteHeader { name: "x-spam-flag".into(), nth: 0 }, flag]);
    assert_eq!(tagged.verdict, Verdict::Deliver);
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    for (answer, why) in [
        ("", "does not begin"),
        ("SPAMD/1.1 0 EX_OK\r\n", "missing"),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 99\r\nSpam: True ; 7.5 / 5.0\r\n\r\nGTUBE", "before its announced length"),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 99999999999\r\nSpam: True ; 7.5 / 5.0\r\n\r\nGTUBE", "announces 99999999999 octets"),
        ("SPAMD/1.0 76 Bad header line: BLAH\r\n", "spamd would not: Bad header line: BLAH"),
        ("SPAMD/1.1 0 EX_OK\r\nContent-length: 6\r\nSpam: True ; 7.5 / 5.0\r\n\r\n<html>", "something else"),
    ] {
        let error = asked("spam = \"report\"", answer).await.0.unwrap_err();
        assert!(matches!(&error, StageError::Failed(_)) && error.to_string().contains(why), "{answer}: {error}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_not_passed_in_silence() {
    let at = "[[stage]]\ntype = \"spamd\"\naddress = \"inet:127.0.0.1:9\"\nmax_size = \"5B\"\n";
    for (more, skips) in [("", false), ("oversize = \"skip\"", true)] {
        let (stages, found) = read(&format!("{at}{more}"));
        assert_eq!(found, []);
        let report = stages[0].stage.begin(&client()).await.unwrap().end_of_message(&message("A: b\r\n", "body")).await;
        match report {
            Ok(report) => assert!(skips && report.findings[0].to_string() == "spamd.skipped=too large", "{report:?}"),
            Err(error) => assert!(!skips && matches!(error, StageError::TooLarge(_)), "{error}"),
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_told() {
    for (settings, place, text) in [
        ("", "[[stage]]", "`stage.address` is missing"),
        ("address = \"nowhere\"", "\"nowhere\"", "is no address"),
        ("address = \"/s\"\nmethod = \"symbols\"", "\"symbols\"", "brings nothing to tag with"),
        ("address = \"/s\"\nspam = \"report\"\nmethod = \"process\"", "\"process\"", "nothing is changed"),
        ("address = \"/s\"\nuser = \"a b\"", "\"a b\"", "is no name of a user"),
        ("address = \"/s\"\nthreshold = nan", "nan", "expected a number such as"),
        ("address = \"/s\"\nthreshold = \"5\"", "\"5\"", "expected a number such as"),
    ] {
        let (_, found) = read(&format!("[[stage]]\ntype = \"spamd\"\n{settings}"));
        assert!(found.len() == 1 && found[0].0.contains(place) && found[0].1.contains(text), "{settings}: {found:?}");
    }
}
