use super::*;
use crate::{
    message::{Content, Envelope, HeaderBlock},
    smtp::{Address, Domain, ReversePath},
    stages::tests::{client, message, read},
};

async fn inspection(settings: &str) -> Box<dyn Inspection> {
    let (stages, found) = read(&format!("[[stage]]\ntype = \"limits\"\n{settings}"));
    assert_eq!(found, Vec::<(String, String)>::new());
    stages[0].stage.begin(&client()).await.unwrap()
}
fn address(text: &str) -> Address {
    Address::parse(text, false).unwrap()
}
fn mail(from: &str) -> Mail {
    Mail::new(ReversePath((!from.is_empty()).then(|| address(from))))
}
fn refusal(decision: Decision) -> String {
    match decision {
        Decision::Refuse(refusal) => refusal.to_string(),
        Decision::Go | Decision::Done => String::new(),
    }
}

#[tokio::test]
async fn the_envelope_is_refused_at_its_commands() {
    let settings = "refuse_hello = [\"*.dynamic.example\"]\nrefuse_senders = [\"@bad.example\", \"<>\"]\nrefuse_recipients = [\"gone@example.org\"]\nmessage_size = \"1KiB\"";
    let mut inspection = inspection(settings).await;
    let greeted = |name: &str| Arc::new(Client { hello: Some((Domain::parse(name).unwrap(), true)), ..(*client()).clone() });
    let good = greeted("mail.example");
    assert_eq!(
        refusal(inspection.mail(&greeted("1-2-3.dynamic.example"), &mail("a@good.example"), Id::generate()).await.unwrap()),
        "550 5.7.1 client not accepted here"
    );
    assert_eq!(
        refusal(inspection.mail(&good, &mail("a@bad.example"), Id::generate()).await.unwrap()),
        "550 5.7.1 sender not accepted here"
    );
    assert_eq!(refusal(inspection.mail(&good, &mail(""), Id::generate()).await.unwrap()), "550 5.7.1 sender not accepted here");
    let announced = |size| Mail { size: Some(size), ..mail("a@good.example") };
    assert_eq!(refusal(inspection.mail(&good, &announced(1025), Id::generate()).await.unwrap()), "552 5.3.4 message too big");
    assert_eq!(inspection.mail(&good, &announced(1024), Id::generate()).await.unwrap(), Decision::Go);
    let recipient = |text| Recipient::new(address(text));
    assert_eq!(refusal(inspection.recipient(&recipient("Gone@example.org")).await.unwrap()), "550 5.7.1 recipient not accepted here");
    assert_eq!(inspection.recipient(&recipient("here@example.org")).await.unwrap(), Decision::Go);
}

#[tokio::test]
async fn recipients_beyond_the_number_are_for_another_transaction() {
    let mut inspection = inspection("recipients = 2\nreply = \"550 5.7.1 no\"").await;
    let recipient = Recipient::new(address("a@example.org"));
    for _ in 0..2 {
        inspection.mail(&client(), &mail(""), Id::generate()).await.unwrap();
        for expected in ["", "", "452 4.5.3 too many recipients", "452 4.5.3 too many recipients"] {
            assert_eq!(refusal(inspection.recipient(&recipient).await.unwrap()), expected);
        }
    }
}

#[tokio::test]
async fn a_message_is_measured_and_refused_above_the_limit() {
    let headers = "A: 1\r\nContent-Type: multipart/mixed; boundary=b\r\n";
    let body = "--b\r\n\r\na\r\n--b\r\n\r\nb\r\n--b--\r\n";
    let message = message(headers, body);
    let len = message.content.len();
    let cases = [
        (format!("message_size = \"{len}B\""), format!("limits.message_size={len}"), ""),
        (format!("message_size = \"{}B\"", len - 1), format!("limits.message_size={len}"), "552 5.3.4 message too big"),
        ("header_fields = 2".to_owned(), "limits.header_fields=2".to_owned(), ""),
        ("header_fields = 1".to_owned(), "limits.header_fields=2".to_owned(), "552 5.3.4 header section too long"),
        ("header_size = \"64KiB\"".to_owned(), format!("limits.header_size={}", headers.len()), ""),
        ("header_size = \"10B\"".to_owned(), format!("limits.header_size={}", headers.len()), "552 5.3.4 header section too long"),
        ("parts = 3".to_owned(), "limits.parts=3".to_owned(), ""),
        ("parts = 2".to_owned(), "limits.parts=3".to_owned(), "554 5.6.0 too many MIME parts"),
        ("parts = 2\nreply = \"451 4.7.1 not so many\"".to_owned(), "limits.parts=3".to_owned(), "451 4.7.1 not so many"),
    ];
    for (settings, finding, expected) in cases {
        let report = inspection(&settings).await.end_of_message(&message).await.unwrap();
        let found: Vec<_> = report.findings.iter().map(ToString::to_string).collect();
        assert_eq!(found, [finding], "{settings}");
        let said = if let Verdict::Refuse(refusal) = report.verdict { refusal.to_string() } else { String::new() };
        assert_eq!(said, expected, "{settings}");
    }
}

#[tokio::test]
async fn parts_that_cannot_be_counted_are_too_many() {
    let headers = HeaderBlock::new("A: b\r\n".into());
    let content = Content::from_bytes("Content-Type: message/rfc822\r\n\r\n".repeat(10_000));
    let envelope = Envelope { mail: mail(""), recipients: vec![] };
    let report = inspection("parts = 1000000").await.end_of_message(&Message::new(envelope.into(), headers, content)).await.unwrap();
    assert!(report.verdict.is_final());
}

#[tokio::test]
async fn a_stage_is_called_for_what_is_configured_only() {
    let cases = [
        ("refuse_senders = [\"<>\"]", Wants::MAIL),
        ("refuse_recipients = [\"<>\"]", Wants::RECIPIENT),
        ("recipients = 5", Wants::MAIL | Wants::RECIPIENT),
        ("message_size = \"1MiB\"", Wants::MAIL | Wants::END_OF_MESSAGE),
        ("parts = 5", Wants::END_OF_MESSAGE),
    ];
    for (settings, wants) in cases {
        let (stages, _) = read(&format!("[[stage]]\ntype = \"limits\"\n{settings}"));
        assert_eq!(stages[0].stage.wants(), wants, "{settings}");
    }
}

#[test]
fn mistakes_are_told_with_their_places() {
    let cases = [
        ("refuse_senders = [\"@good.example\", \"bad.example\"]", "\"bad.example\"", "is no pattern of addresses"),
        ("refuse_hello = [\"a@b\"]\nparts = 1", "\"a@b\"", "is no pattern of host names"),
        ("parts = 0", "0", "`stage.parts`: nothing could pass"),
        ("message_size = 5", "5", "expected a size"),
        ("", "[[stage]]", "this stage limits nothing"),
        ("reply = \"550 5.7.1 no\"", "[[stage]]", "this stage limits nothing"),
        ("parts = 1\nreply = \"go away\"", "\"go away\"", "`go away` is no refusal"),
    ];
    for (settings, place, text) in cases {
        let (_, found) = read(&format!("[[stage]]\ntype = \"limits\"\n{settings}"));
        assert!(found.iter().any(|(at, why)| at == place && why.contains(text)), "{settings}: {found:?}");
    }
}
