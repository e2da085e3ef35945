use super::*;
use crate::{
    message::Edits,
    smtp::{Domain, Refusal},
    stages::tests::{client, message, read},
};
use serde_json::{Value, json};
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// One request: its head, and the JSON of its body.
async fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut all = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return Some((head.to_owned(), serde_json::from_str(body).unwrap()));
            }
        }
        if stream.read_buf(&mut all).await.ok()? == 0 {
            return None;
        }
    }
}

/// Answers one request after the other with these octets; what it was asked.
async fn server(answers: Vec<String>) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap().to_string(), Asked::default());
    let of_task = Arc::clone(&asked);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let Some(request) = request(&mut stream).await else { continue };
            of_task.lock().unwrap().push(request);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}
fn ok(json: &Value) -> String {
    let json = json.to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{json}", json.len())
}

async fn watch(answers: Vec<String>, settings: &str) -> (Box<dyn Inspection>, Asked) {
    let (address, asked) = server(answers).await;
    let (stages, found) = read(&format!("[[stage]]\ntype = \"http\"\nurl = \"http://{address}/a/hook?b=c\"\n{settings}"));
    assert_eq!(found, []);
    (stages[0].stage.begin(&client()).await.unwrap(), asked)
}
fn told() -> Message {
    message("Subject: an\r\n \"offer\"\r\nX-Old: 1\r\n", "the\tbody\r\n")
}
/// What one answer to the end of a message comes to.
async fn at_data(answer: String, settings: &str) -> Result<Report, StageError> {
    watch(vec![answer], settings).await.0.end_of_message(&told()).await
}
async fn meant(answer: Value) -> Result<Report, StageError> {
    at_data(ok(&answer), "").await
}
fn accept() -> String {
    ok(&json!({ "action": "accept" }))
}
fn shown(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn it_is_told_what_is_known_at_every_event() {
    let settings = "events = [\"connect\", \"ehlo\", \"mail\", \"rcpt\", \"data\"]\ntoken = \"secret\"";
    let (mut hook, asked) = watch(vec![accept(); 6], settings).await;
    let mut known = (*client()).clone();
    assert_eq!(hook.connect(&Arc::new(known.clone())).await.unwrap(), Decision::Go);
    known.hello = Some((Domain::parse("client.example").unwrap(), true));
    assert_eq!(hook.hello(&Arc::new(known.clone())).await.unwrap(), Decision::Go);
    known.account = Some("alice".into());
    let id = Id::generate();
    let sender = Mail::read("<a@example.net>").unwrap();
    assert_eq!(hook.mail(&Arc::new(known), &sender, id).await.unwrap(), Decision::Go);
    for recipient in ["<b@example.org>", "<c@example.org>"] {
        assert_eq!(hook.recipient(&Recipient::read(recipient).unwrap()).await.unwrap(), Decision::Go);
    }
    assert_eq!(shown(&hook.end_of_message(&told()).await.unwrap()), ["http.action=accept"]);

    let asked = asked.lock().unwrap().clone();
    let (head, first) = &asked[0];
    assert!(head.starts_with("POST /a/hook?b=c HTTP/1.1\r\n") && head.contains("\r\nauthorization: Bearer secret"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
    let expected = json!({ "context": {
        "stage": "connect",
        "client": { "ip": "192.0.2.1", "port": 1, "ptr": null, "helo": null, "activeConnections": 1 },
        "server": { "name": "gate.example", "port": 1, "ip": "192.0.2.1" },
        "protocol": { "version": 1 },
    }});
    assert_eq!(first, &expected);
    let stages: Vec<_> = asked.iter().map(|(_, asked)| asked["context"]["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["connect", "ehlo", "mail", "rcpt", "rcpt", "data"]);
    assert_eq!(asked[1].1["context"]["client"]["helo"], "client.example");
    assert_eq!(asked[2].1["envelope"], json!({ "from": { "address": "a@example.net" }, "to": [] }));
    assert_eq!(asked[2].1["context"]["sasl"], json!({ "login": "alice" }));
    assert_eq!(asked[2].1["context"]["queue"], json!({ "id": id.to_string() }));
    assert_eq!(asked[4].1["envelope"]["to"], json!([{ "address": "b@example.org" }, { "address": "c@example.org" }]));
    let expected = json!({
        "headers": [["Subject", " an\r\n \"offer\"\r\n"], ["X-Old", " 1\r\n"]],
        "serverHeaders": [],
        "contents": "the\tbody\r\n",
        "size": told().content.len(),
    });
    assert_eq!(asked[5].1["message"], expected);
}

#[tokio::test]
async fn contents_are_sent_whole_or_not_at_all() {
    let body = "0123456789é\u{1}\r\n".repeat(20_000);
    let large = message("A: b\r\n", &body);
    let (mut hook, asked) = watch(vec![accept()], "").await;
    hook.end_of_message(&large).await.unwrap();
    assert_eq!(asked.lock().unwrap()[0].1["message"]["contents"], body.as_str());
    let (mut hook, asked) = watch(vec![accept()], "contents = false\nmax_size = \"10B\"\nuser = \"u\"\npassword = \"p\"").await;
    hook.end_of_message(&large).await.unwrap();
    let (head, asked) = asked.lock().unwrap()[0].clone();
    assert_eq!((&asked["message"]["contents"], &asked["message"]["size"]), (&json!(""), &json!(large.content.len())));
    assert!(head.contains("\r\nauthorization: Basic dTpw"), "{head}");
    assert!(matches!(at_data(accept(), "max_size = \"10B\"").await, Err(StageError::TooLarge(_))));
}

#[tokio::test]
async fn actions_become_verdicts() {
    let refused = |text: &str| {
        Verdict::Refuse(Refusal::from_reply(crate::smtp::Reply::new(text[..3].parse().unwrap(), text[4..].to_owned())).unwrap())
    };
    for (response, expected) in [
        (json!(null), "550 5.7.1 refused by policy"),
        (json!({ "status": 451 }), "451 4.7.1 refused for now by policy, try again later"),
        (json!({ "status": 554, "enhancedStatus": "5.6.0", "message": "not\r\nthis é" }), "554 5.6.0 not??this ?"),
        (json!({ "status": 554, "enhanced_status": "5.6.0", "message": "no", "disconnect": false }), "554 5.6.0 no"),
        (json!({ "status": 421, "message": "later" }), "451 4.7.1 later"),
        (json!({ "status": 521, "message": "never" }), "554 5.7.1 never"),
        (json!({ "status": 450, "message": "bye", "disconnect": true }), "421 4.7.1 bye"),
        (json!({ "message": "bye", "disconnect": true }), "521 5.7.1 bye"),
    ] {
        assert_eq!(meant(json!({ "action": "reject", "response": response })).await.unwrap().verdict, refused(expected));
    }
    let report = meant(json!({ "action": "discard" })).await.unwrap();
    assert_eq!((report.verdict.clone(), shown(&report)), (Verdict::Discard, vec!["http.action=discard".to_owned()]));
    let held = ok(&json!({ "action": "quarantine", "response": { "message": "odd" }, "modifications": [] }));
    let report = at_data(held, "class = \"phishing\"").await.unwrap();
    assert_eq!(report.verdict, Verdict::Quarantine(Hold { class: HoldClass::Phishing, reason: "odd".into() }));
    assert_eq!(shown(&report), ["http.action=quarantine", "http.message=odd"]);
}

#[tokio::test]
async fn modifications_become_edits() {
    let answer = json!({ "action": "accept", "response": null, "modifications": [
        { "type": "addHeader", "name": "X-Top", "value": "1" },
        { "type": "insertHeader", "index": 3, "name": "X-Third", "value": "2" },
        { "type": "changeHeader", "index": 1, "name": "Subject", "value": "new" },
        { "type": "deleteHeader", "index": 1, "name": "x-old" },
        { "type": "replaceContents", "value": "one\ntwo\n" },
        { "type": "changeFrom", "value": "x@example.net", "parameters": { "ENVID": "7", "SMTPUTF8": null } },
        { "type": "addRecipient", "value": "<d@example.org>", "parameters": { "NOTIFY": "NEVER" } },
        { "type": "deleteRecipient", "value": "b@example.org", "parameters": null },
    ]});
    let edits = Edits(meant(answer).await.unwrap().edits);
    assert_eq!(edits.apply(&told().headers), "X-Top: 1\r\nSubject: new\r\nX-Third: 2\r\n");
    assert_eq!(edits.body_replacement().unwrap(), "one\r\ntwo\r\n");
    let recipients = ["<b@example.org>", "<c@example.org>"].map(|path| Recipient::read(path).unwrap()).to_vec();
    let envelope = edits.envelope(&Envelope { mail: Mail::new(ReversePath(None)), recipients });
    assert_eq!((envelope.mail.reverse_path.0.unwrap().as_str(), envelope.mail.envid.as_deref()), ("x@example.net", Some("7")));
    let recipients: Vec<_> = envelope.recipients.iter().map(|to| (to.address.as_str(), to.notify.as_deref())).collect();
    assert_eq!(recipients, [("c@example.org", None), ("d@example.org", Some("NEVER"))]);
}

#[tokio::test]
async fn what_is_wanted_early_is_done_at_the_end() {
    let add = json!({ "type": "addHeader", "name": "X-Rcpt", "value": "1" });
    let answers = [
        json!({ "action": "discard" }),
        json!({ "action": "quarantine", "response": { "message": "watched" } }),
        json!({ "action": "accept", "modifications": [add] }),
        json!({ "action": "reject", "response": { "status": 450 } }),
        json!({ "action": "accept" }),
    ];
    let (mut hook, asked) = watch(answers.iter().map(ok).collect(), "events = [\"ehlo\", \"mail\", \"rcpt\"]").await;
    let (client, sender) = (client(), Mail::new(ReversePath(None)));
    let to = |path: &str| Recipient::read(path).unwrap();
    assert_eq!(hook.hello(&client).await.unwrap(), Decision::Go);
    assert_eq!(hook.mail(&client, &sender, Id::generate()).await.unwrap(), Decision::Go);
    assert_eq!(hook.recipient(&to("<b@example.org>")).await.unwrap(), Decision::Go);
    assert!(matches!(hook.recipient(&to("<c@example.org>")).await.unwrap(), Decision::Refuse(_)));
    let report = hook.end_of_message(&told()).await.unwrap();
    assert_eq!(shown(&report), ["http.action=quarantine", "http.message=watched"]);
    assert_eq!((report.edits.len(), asked.lock().unwrap().len()), (1, 4), "data is not asked about");
    // Of the next message only what was said of the session is left.
    hook.mail(&client, &sender, Id::generate()).await.unwrap();
    hook.abort();
    hook.mail(&client, &sender, Id::generate()).await.unwrap_err();
    let report = hook.end_of_message(&told()).await.unwrap();
    assert_eq!((report.verdict, report.edits), (Verdict::Discard, vec![]));
}

#[tokio::test]
async fn whatever_is_no_answer_is_a_failure() {
    let modified = |modification: Value| ok(&json!({ "action": "accept", "modifications": [modification] }));
    let rejected = |response: Value| ok(&json!({ "action": "reject", "response": response }));
    for answer in [
        String::new(),
        "250 2.0.0 this is SMTP\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"action\"".to_owned(),
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
        accept().replace("200 OK", "500 Oops"),
        accept().replace("}", "]"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n{}", " ".repeat(9_000_000)),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "[".repeat(100_000)),
        ok(&json!([])),
        ok(&json!({})),
        ok(&json!({ "action": "shrug" })),
        ok(&json!({ "action": 1 })),
        ok(&json!({ "action": "accept", "response": "no" })),
        ok(&json!({ "action": "accept", "response": { "message": 7 } })),
        ok(&json!({ "action": "accept", "modifications": {} })),
        ok(&json!({ "action": "accept", "modifications": vec![json!({ "type": "deleteHeader", "name": "A" }); 1001] })),
        rejected(json!({ "status": 250 })),
        rejected(json!({ "status": "550" })),
        rejected(json!({ "status": 550, "enhancedStatus": "4.7.1" })),
        rejected(json!({ "status": 550, "disconnect": "yes" })),
        modified(json!("addHeader")),
        modified(json!({ "name": "A", "value": "b" })),
        modified(json!({ "type": "addFooter", "value": "b" })),
        modified(json!({ "type": "addHeader", "name": "A" })),
        modified(json!({ "type": "addHeader", "name": "A: b\r\nC", "value": "d" })),
        modified(json!({ "type": "insertHeader", "index": -1, "name": "A", "value": "b" })),
        modified(json!({ "type": "changeFrom", "value": "a@example.net> SIZE=1\r\nDATA" })),
        modified(json!({ "type": "addRecipient", "value": "" })),
        modified(json!({ "type": "addRecipient", "value": "a@example.net", "parameters": { "NOTIFY": 1 } })),
    ] {
        let report = at_data(answer.clone(), "").await;
        assert!(matches!(report, Err(StageError::Failed(_))), "{:?}: {report:?}", answer.get(..answer.len().min(200)));
    }
    let early = ok(&json!({ "action": "accept", "modifications": [{ "type": "addHeader", "name": "A", "value": "b" }] }));
    let (mut hook, _) = watch(vec![early], "events = [\"connect\"]").await;
    assert!(matches!(hook.connect(&client()).await, Err(StageError::Failed(_))), "there is no message yet");
}

#[test]
fn mistakes_are_told_at_their_place() {
    for (settings, place, text) in [
        ("", "[[stage]]", "`stage.url` is missing: expected a text in quotes"),
        ("url = \"https://unix:/x\"", "\"https://unix:/x\"", "`stage.url`: a unix socket needs no TLS: write \"http://unix:…\""),
        (
            "url = \"http://a/\"
ca = \"/x\"",
            "\"/x\"",
            "`stage.ca`: only a server at \"https://…\" has a certificate",
        ),
        (
            "url = \"https://a/\"
ca = \"/none\"",
            "\"/none\"",
            "`stage.ca`: /none: cannot be read: No such file or directory (os error 2)",
        ),
        ("url = \"http://a/\"\nevents = []", "[]", "`stage.events`: a hook that is never asked does nothing"),
        (
            "url = \"http://a/\"\nevents = [\"data\", \"auth\"]",
            "\"auth\"",
            "`stage.events`: `auth` is none of \"connect\", \"ehlo\", \"mail\", \"rcpt\", \"data\"",
        ),
        ("url = \"http://a/\"\nuser = \"u\"", "\"u\"", "`stage.user`: a name needs a `password`"),
        ("url = \"http://a/\"\npassword = \"p\"", "\"p\"", "`stage.password`: a password needs a `user`"),
        ("url = \"http://a/\"\nuser = \"u:v\"\npassword = \"p\"", "\"u:v\"", "`stage.user`: the name cannot have a colon (RFC 7617 §2)"),
        (
            "url = \"http://a/\"\ntoken = \"t\"\nuser = \"u\"\npassword = \"p\"",
            "\"t\"",
            "`stage.token`: either a token, or a name and a password",
        ),
    ] {
        let (_, found) = read(&format!("[[stage]]\ntype = \"http\"\n{settings}\n"));
        assert_eq!(found, [(place.to_owned(), text.to_owned())], "{settings}");
    }
}
