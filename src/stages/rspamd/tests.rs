use super::*;
use crate::{
    message::Edits,
    stages::tests::{client, message, read},
};
use std::sync::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers one request with these octets; what it was asked.
async fn server(answer: String) -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap().to_string(), Arc::<Mutex<String>>::default());
    let of_task = Arc::clone(&asked);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !String::from_utf8_lossy(&request).contains("the end of the body") {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer).await {
                Ok(length @ 1..) => request.extend_from_slice(&buffer[..length]),
                _ => return,
            }
        }
        *of_task.lock().unwrap() = String::from_utf8_lossy(&request).into_owned();
        let _ = stream.write_all(answer.as_bytes()).await;
    });
    (address, asked)
}
fn ok(json: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Type: application/json\r\n\r\n{json}", json.len())
}
fn told() -> Message {
    message("Subject: an\r\n offer\r\nX-Old: 1\r\n", "the end of the body")
}

async fn ask(answer: String, settings: &str) -> (Result<Report, StageError>, String) {
    let (address, asked) = server(answer).await;
    let (stages, found) = read(&format!("[[stage]]\ntype = \"rspamd\"\naddress = \"{address}\"\n{settings}"));
    assert_eq!(found, []);
    let mut inspection = stages[0].stage.begin(&client()).await.unwrap();
    let report = inspection.end_of_message(&told()).await;
    let asked = asked.lock().unwrap().clone();
    (report, asked)
}

#[tokio::test]
async fn it_is_told_who_and_what() {
    let answer = r#"{"action":"no action","score":1.5,"required_score":15.0,"symbols":{"A":{"score":0.5},"B":{"score":-3.0},"C":{}}}"#;
    let (report, asked) = ask(ok(answer), "password = \"x\\u0000y\\r\\nEvil: z\"\nsettings_id = \"s\"").await;
    assert!(asked.starts_with("POST /checkv2 HTTP/1.1\r\n") && asked.ends_with("X-Old: 1\r\n\r\nthe end of the body"), "{asked}");
    for line in ["ip: 192.0.2.1", "from: ", "mta-name: gate.example", "password: xyEvil: z", "settings-id: s"] {
        assert!(asked.contains(&format!("\r\n{line}\r\n")), "{line} is not in {asked}");
    }
    let shown: Vec<_> = report.unwrap().findings.iter().map(ToString::to_string).collect();
    let expected = ["rspamd.action=no action", "rspamd.score=1.5", "rspamd.required_score=15"];
    assert_eq!(shown, [&expected[..], &["rspamd.symbols=B", "rspamd.symbols=A", "rspamd.symbols=C"]].concat());
}

#[tokio::test]
async fn actions_mean_what_they_say_or_what_is_configured() {
    let spam = Verdict::Refuse(Refusal::permanent(54, "7.1", "spam message rejected"));
    let later = Verdict::Refuse(Refusal::temporary(51, "7.1", "try again later"));
    let hold = Verdict::Quarantine(Hold { class: HoldClass::Spam, reason: "Rspamd scores it 20".into() });
    for (action, settings, expected) in [
        ("reject", "", spam),
        ("reject", "reject = \"tempfail\"", later.clone()),
        ("reject", "reject = \"quarantine\"", hold),
        ("reject", "reject = \"report\"", Verdict::Deliver),
        ("soft reject", "", later),
        ("greylist", "", Verdict::Deliver),
        ("discard", "", Verdict::Discard),
        ("no action", "", Verdict::Deliver),
    ] {
        let (report, _) = ask(ok(&format!("{{\"action\":\"{action}\",\"score\":20}}")), settings).await;
        assert_eq!(report.unwrap().verdict, expected, "{action}");
    }
    let told = r#"{"action":"reject","score":20,"messages":{"smtp_message":"Gtube pattern\r\nEvil é"}}"#;
    assert_eq!(ask(ok(told), "").await.0.unwrap().verdict, Verdict::Refuse(Refusal::permanent(54, "7.1", "Gtube pattern??Evil ?")));
}

#[tokio::test]
async fn what_it_wants_changed_is_changed() {
    let milter = r#""dkim-signature":"v=1;\r\n\ta=rsa","milter":{"remove_headers":{"X-Old":0},"add_headers":{
        "X-Score":{"value":"7","order":1},"X-Twice":["a",{"value":"b"}],"X-Bad":{"value":5},"X\r\nY":"z"}}"#;
    let block = |report: Report| Edits(report.edits).apply(&told().headers);
    let (report, _) = ask(ok(&format!("{{\"action\":\"rewrite subject\",\"score\":7,\"subject\":\"[BAD] an offer\",{milter}}}")), "").await;
    let mut report = report.unwrap();
    report.edits.retain(Edit::is_valid);
    let expected = "DKIM-Signature: v=1;\r\n\ta=rsa\r\nX-Score: 7\r\nSubject: [BAD] an offer\r\nX-Twice: a\r\nX-Twice: b\r\n";
    assert_eq!(block(report), expected);
    let (report, _) = ask(ok(r#"{"action":"rewrite subject","score":7}"#), "").await;
    assert_eq!(block(report.unwrap()), "Subject: *** SPAM *** an\r\n offer\r\nX-Old: 1\r\n");
    let (report, _) = ask(ok(r#"{"action":"add header","score":7}"#), "").await;
    assert_eq!(block(report.unwrap()), "Subject: an\r\n offer\r\nX-Old: 1\r\nX-Spam: Yes\r\n");
    let (report, _) = ask(ok(&format!("{{\"action\":\"add header\",\"score\":7,{milter}}}")), "read_only = true").await;
    assert_eq!(report.unwrap().edits, []);
}

#[tokio::test]
async fn whatever_is_no_answer_is_a_failure() {
    let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n{}", "x".repeat(9_000_000));
    for answer in [
        ok("[]"),
        ok("{\"action\":\"no action\""),
        ok("{}"),
        ok("{\"action\":\"no action\"}"),
        ok("{\"action\":\"shrug\",\"score\":1}"),
        ok("{\"action\":3,\"score\":1}"),
        ok("{\"error\":\"empty message\"}"),
        "HTTP/1.1 500 x\r\nContent-Length: 39\r\n\r\n{\"action\":\"no action\",\"score\":1.0      }".to_owned(),
        "HTTP/1.1 403 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"action\"".to_owned(),
        "250 2.0.0 this is SMTP\r\n".to_owned(),
        String::new(),
        huge,
    ] {
        let (report, _) = ask(answer.clone(), "").await;
        assert!(matches!(report, Err(StageError::Failed(_))), "{:?}: {report:?}", answer.get(..100));
    }
    let (report, _) = ask(ok("{}"), "max_size = \"10B\"").await;
    assert!(matches!(report, Err(StageError::TooLarge(_))));
}
