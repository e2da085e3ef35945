use super::*;
use crate::{
    message::Edits,
    smtp::{Address, Domain, ReversePath},
    stages::tests::{client, message, read},
};
use serde_json::Value;
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers every request with the next of these, the last again and again; what it was asked.
async fn hook(answers: &[&str]) -> (String, Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap().to_string(), Arc::<Mutex<Vec<_>>>::default());
    let (of_task, mut answers) = (Arc::clone(&asked), answers.iter().rev().map(ToString::to_string).collect::<Vec<_>>());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let body = loop {
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&request);
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length: usize = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
                    if body.len() >= length {
                        break (head.to_owned(), serde_json::from_str(body).unwrap());
                    }
                }
            };
            of_task.lock().unwrap().push(body);
            let json = if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}", json.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

async fn begin(address: &str, settings: &str) -> Box<dyn Inspection> {
    let (stages, found) = read(&format!("[[stage]]\ntype = \"http\"\nurl = \"http://{address}/hook?x=1\"\n{settings}"));
    assert_eq!(found, []);
    stages[0].stage.begin(&client()).await.unwrap()
}
fn greeted() -> Arc<Client> {
    let hello = Some((Domain::parse("client.example").unwrap(), true));
    Arc::new(Client { hello, account: Some("alice".into()), ..(*client()).clone() })
}
fn recipient(text: &str) -> Recipient {
    Recipient { notify: Some("NEVER".into()), ..Recipient::new(Address::parse(text, false).unwrap()) }
}
fn mail() -> Mail {
    Mail { size: Some(9), utf8: true, ..Mail::new(ReversePath(Some(Address::parse("a@example.net", false).unwrap()))) }
}
fn told() -> Message {
    let message = message("Subject: x\r\n y\r\n", "line\r\n");
    let envelope = crate::message::Envelope { mail: mail(), recipients: vec![recipient("b@example.org")] };
    Message::new(envelope.into(), message.headers, message.content)
}

#[tokio::test]
async fn it_is_told_what_is_known_at_every_event_it_wants() {
    let (address, asked) = hook(&["{\"action\":\"accept\"}"]).await;
    let settings = "events = [\"connect\", \"ehlo\", \"mail\", \"rcpt\", \"data\"]\ntoken = \"secret\"";
    let mut asking = begin(&address, settings).await;
    asking.connect(&client()).await.unwrap();
    asking.hello(&greeted()).await.unwrap();
    asking.mail(&greeted(), &mail(), Id::generate()).await.unwrap();
    asking.recipient(&recipient("b@example.org")).await.unwrap();
    let report = asking.end_of_message(&told()).await.unwrap();
    assert_eq!((report.verdict, report.findings), (Verdict::Deliver, vec![Finding::text("http.action", "accept")]));
    let asked = asked.lock().unwrap();
    let stages: Vec<_> = asked.iter().map(|(_, body)| body["context"]["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"]);
    let (head, body) = &asked[4];
    assert!(head.starts_with("POST /hook?x=1 HTTP/1.1\r\n") && head.contains("\r\nauthorization: Bearer secret"), "{head}");
    let context = &body["context"];
    assert_eq!(
        (&context["client"]["ip"], &context["client"]["helo"], &context["sasl"]["login"]),
        (&"192.0.2.1".into(), &"client.example".into(), &"alice".into())
    );
    assert_eq!(context["queue"]["id"].as_str().unwrap().len(), 26);
    assert_eq!(
        body["envelope"]["from"],
        serde_json::json!({ "address": "a@example.net", "parameters": { "size": "9", "smtputf8": true } })
    );
    assert_eq!(body["envelope"]["to"], serde_json::json!([{ "address": "b@example.org", "parameters": { "notify": "NEVER" } }]));
    assert_eq!(body["message"], serde_json::json!({ "headers": [["Subject", " x\r\n y\r\n"]], "size": 24, "contents": "line\r\n" }));
}

#[tokio::test]
async fn actions_and_changes_are_done() {
    let modifications = r#"[{"type":"changeFrom","value":"s@example.net","parameters":{"ret":"HDRS"}},
        {"type":"addRecipient","value":"<c@example.org>","parameters":{"notify":"FAILURE"}},{"type":"deleteRecipient","value":"b@example.org"},
        {"type":"replaceContents","value":"new\n.\n"},{"type":"addHeader","name":"X-A","value":"a\r\n"},
        {"type":"insertHeader","index":0,"name":"X-B","value":"b"},{"type":"changeHeader","index":1,"name":"Subject","value":"z"},
        {"type":"deleteHeader","index":1,"name":"X-C"}]"#;
    let (address, _) = hook(&[&format!("{{\"action\":\"accept\",\"modifications\":{modifications}}}")]).await;
    let report = begin(&address, "").await.end_of_message(&told()).await.unwrap();
    let edits = Edits(report.edits);
    assert_eq!(edits.apply(&told().headers), "X-B: b\r\nSubject: z\r\nX-A: a\r\n");
    assert_eq!(edits.body_replacement().unwrap(), "new\r\n.\r\n");
    let envelope = edits.envelope(&told().envelope);
    assert_eq!(
        (envelope.mail.reverse_path.to_string(), envelope.recipients[0].address.as_str()),
        ("s@example.net".into(), "c@example.org")
    );
    assert_eq!((envelope.recipients.len(), envelope.recipients[0].notify.as_deref()), (1, Some("FAILURE")));

    let refusal = |text: &str| Verdict::Refuse(Refusal::permanent(50, "7.1", text));
    for (answer, expected) in [
        (r#"{"action":"reject"}"#, refusal("message refused")),
        (r#"{"action":"reject","response":{"status":550,"enhancedStatus":"5.7.1","message":"not\r\nthis"}}"#, refusal("not??this")),
        (r#"{"action":"reject","response":{"status":550,"enhancedStatus":"4.7.1","message":"no"}}"#, refusal("no")),
        (
            r#"{"action":"reject","response":{"status":421,"enhancedStatus":"4.7.0","message":"later","disconnect":true}}"#,
            Verdict::Refuse(Refusal::temporary(51, "7.0", "later")),
        ),
        (r#"{"action":"discard","response":null,"modifications":null}"#, Verdict::Discard),
    ] {
        let (address, _) = hook(&[answer]).await;
        let verdict = begin(&address, "").await.end_of_message(&told()).await.unwrap().verdict;
        assert_eq!(verdict, expected, "{answer}");
    }
    let (address, _) = hook(&[r#"{"action":"quarantine","response":{"status":250,"message":"looks odd"}}"#]).await;
    let verdict = begin(&address, "").await.end_of_message(&told()).await.unwrap().verdict;
    assert!(matches!(verdict, Verdict::Quarantine(hold) if &*hold.reason == "looks odd"));
}

#[tokio::test]
async fn commands_are_refused_and_messages_discarded_early() {
    let (address, asked) = hook(&[r#"{"action":"discard"}"#, r#"{"action":"reject"}"#, r#"{"action":"accept"}"#]).await;
    let mut asking = begin(&address, "events = [\"mail\", \"rcpt\"]").await;
    assert_eq!(asking.mail(&greeted(), &mail(), Id::generate()).await.unwrap(), Decision::Go);
    assert!(matches!(asking.recipient(&recipient("x@example.org")).await.unwrap(), Decision::Refuse(_)));
    assert_eq!(asking.recipient(&recipient("b@example.org")).await.unwrap(), Decision::Go);
    assert_eq!(asking.end_of_message(&told()).await.unwrap().verdict, Verdict::Discard);
    asking.mail(&greeted(), &mail(), Id::generate()).await.unwrap();
    assert_eq!(asking.end_of_message(&told()).await.unwrap(), Report::default(), "the next message is another one");
    let asked = asked.lock().unwrap();
    assert_eq!(asked[2].1["envelope"]["to"].as_array().unwrap().len(), 1, "who was refused is no recipient");
}

#[tokio::test]
async fn whatever_is_no_answer_is_a_failure() {
    for answer in [
        "",
        "[]",
        "{}",
        "{\"action\":\"shrug\"}",
        "{\"action\":\"accept\",\"modifications\":{}}",
        "{\"action\":\"accept\",\"modifications\":[{\"type\":\"sing\"}]}",
        "{\"action\":\"accept\",\"modifications\":[{\"type\":\"addHeader\",\"name\":\"X\"}]}",
        "{\"action\":\"accept\",\"modifications\":[{\"type\":\"changeFrom\",\"value\":\"a b\"}]}",
        "{\"action\":\"reject\",\"response\":{\"status\":250}}",
    ] {
        let (address, _) = hook(&[answer]).await;
        let said = begin(&address, "").await.end_of_message(&told()).await;
        assert!(matches!(said, Err(StageError::Failed(_))), "{answer}: {said:?}");
    }
    let said = begin("127.0.0.1:1", "").await.end_of_message(&told()).await;
    assert!(matches!(said, Err(StageError::Failed(_))));
    let said = begin("127.0.0.1:1", "max_size = \"10B\"").await.end_of_message(&told()).await;
    assert!(matches!(said, Err(StageError::TooLarge(_))));
}

#[test]
fn mistakes_are_told_with_their_places() {
    for (settings, text) in [
        ("url = \"https://x/\"", "https is not in this version"),
        ("url = \"ftp://x/\"", "is no URL"),
        ("url = \"http:///x\"", "is no URL"),
        ("url = \"http://x/a b\"", "is no path"),
        ("url = \"http://[::1]:80/\"\nevents = [\"quit\"]", "is none of \"connect\""),
        ("url = \"http://x\"\nevents = []", "it would never be asked"),
        ("url = \"http://x\"\nuser = \"a\"", "give it `token`, or `user` and `password`"),
        ("", "`stage.url` is missing"),
    ] {
        let (_, found) = read(&format!("[[stage]]\ntype = \"http\"\n{settings}"));
        assert!(found.len() == 1 && found[0].1.contains(text), "{settings}: {found:?}");
    }
}
