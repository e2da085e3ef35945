//! Reviewing what is held: in the list, on an entry's page, with two, and by programs.
use super::people::Person;
use crate::support::{Act, Client, Gate, Mta, Setup, Step, Web, client::message, wait};
use serde_json::{Value, json};
use std::thread;

pub const RULES: &str = r#"
[[rule]]
name = "virus"
when = 'header["Subject"].startsWith("virus")'
then = "quarantine"
class = "malware"
[[rule]]
name = "hold"
when = 'header["Subject"].startsWith("hold")'
then = "quarantine"
reason = "somebody should look"
"#;

pub fn gate(mta: &Mta) -> Gate {
    Setup::before(mta.address()).mx().console("").and(RULES).start()
}

/// A message that is held, and its entry's id.
pub fn held(gate: &Gate, from: &str, to: &[&str], content: &[u8]) -> String {
    let reply = Client::greeted(gate.mx()).deliver(from, to, content);
    assert_eq!(reply.code, 250, "{reply:?}");
    reply.lines[0].split(' ').nth(1).unwrap().to_owned()
}

pub fn hold(gate: &Gate, subject: &str, to: &[&str]) -> String {
    held(gate, "a@example.net", to, &message(subject))
}

/// Does something with an entry as the page's form would; what the next page says of it.
pub fn act(web: &mut Web, id: &str, fields: &[(&str, &str)]) -> String {
    let csrf = web.get(&format!("/quarantine/{id}")).must(200).csrf();
    let fields = [&[("csrf", csrf.as_str())], fields].concat();
    let next = web.post(&format!("/quarantine/{id}"), &fields).to().to_owned();
    let page = web.get(&next).must(200).text();
    page.split("role=\"status\">").nth(1).unwrap_or_default().split('<').next().unwrap_or_default().to_owned()
}

pub fn token(gate: &Gate, account: &str, scopes: &[&str]) -> Web {
    let scopes: Vec<_> = scopes.iter().flat_map(|scope| ["--scope", scope]).collect();
    let said = gate.octroi(&[&["user", "token", "add", account], &scopes[..]].concat(), "");
    assert!(said.success, "{}", said.text);
    Web::new(gate.console()).with("Authorization", &format!("Bearer {}", said.text.trim()))
}

pub fn post(web: &mut Web, path: &str, body: &Value) -> crate::support::web::Page {
    web.send("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}

#[test]
fn a_release_reaches_the_mta_and_the_reviewer_sees_its_words() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["reviewer"], &["example.org"]);
    let id = hold(&gate, "hold me", &["b@example.org", "c@example.org"]);
    let mut web = anna.web(&gate);
    let list = web.get("/quarantine").must(200).text();
    assert!(list.contains("hold me") && list.contains("somebody should look") && list.contains(&id), "{list}");
    let page = web.get(&format!("/quarantine/{id}?q=hold")).must(200).text();
    assert!(page.contains("The rule “hold” decided it") && page.contains("/quarantine?q=hold"), "{page}");
    let said = act(&mut web, &id, &[("action", "release"), ("to", "c@example.org")]);
    assert!(said.contains("Released to c@example.org") && said.contains("250"), "{said}");
    let kept = wait::until("the message", || mta.kept().into_iter().next());
    assert_eq!(
        (kept.mail.as_str(), kept.recipients.as_slice()),
        ("MAIL FROM:<a@example.net>", &["RCPT TO:<c@example.org>".to_owned()][..]),
        "one was chosen"
    );
    assert!(String::from_utf8_lossy(&kept.content).contains(&format!("X-Octroi-Released: {id}\r\n")));
    let said = act(&mut web, &id, &[("action", "release"), ("to", "c@example.org")]);
    assert!(said.contains("has been released to c@example.org by anna"), "{said}");
    act(&mut web, &id, &[("action", "release")]);
    wait::until("the rest", || (mta.kept().len() == 2).then_some(()));
    assert!(web.get("/quarantine?state=released").must(200).text().contains(&id));
    let history = web.get(&format!("/quarantine/{id}")).must(200).text();
    assert!(history.contains("released it") && history.contains("looked at it"), "{history}");
    assert!(gate.octroi(&["audit", "verify"], "").success);
}

#[test]
fn what_the_mta_says_no_to_stays_and_says_so() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["reviewer"], &["*"]);
    let id = hold(&gate, "hold", &["b@example.org"]);
    mta.behave(Step::Final, Act::Say("554 5.7.1 not for us".into()), 1);
    let mut web = anna.web(&gate);
    let said = act(&mut web, &id, &[("action", "release")]);
    assert!(said.contains("Not released to b@example.org") && said.contains("not for us"), "{said}");
    assert!(web.get("/quarantine").must(200).text().contains(&id));
    let page = web.get(&format!("/quarantine/{id}")).must(200).text();
    assert!(page.contains("anna tried to release it: refused: 554 5.7.1 not for us"), "{page}");
}

#[test]
fn malware_takes_two_and_never_the_same() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let [anna, bert] = ["anna", "bert"].map(|name| Person::new(&gate, name, &["senior"], &["*"]));
    let carl = Person::new(&gate, "carl", &["reviewer"], &["*"]);
    let id = hold(&gate, "virus", &["b@example.org"]);
    let (mut anna, mut bert, mut carl) = (anna.web(&gate), bert.web(&gate), carl.web(&gate));
    assert!(act(&mut anna, &id, &[("action", "release")]).contains("two people"));
    assert!(act(&mut anna, &id, &[("action", "release"), ("allow", "address")]).contains("malware"));
    act(&mut anna, &id, &[("action", "ask"), ("why", "they <wait> for it")]);
    let page = bert.get(&format!("/quarantine/{id}")).must(200).text();
    assert!(page.contains("they &#60;wait&#62; for it") || page.contains("they &lt;wait&gt; for it"), "{page}");
    assert!(bert.get("/quarantine?asked=1").must(200).text().contains(&id));
    assert!(act(&mut anna, &id, &[("action", "approve")]).contains("another has to"));
    let csrf = carl.get("/account").csrf();
    carl.post(&format!("/quarantine/{id}"), &[("csrf", &csrf), ("action", "approve")]).must(403);
    carl.post(&format!("/quarantine/{id}"), &[("csrf", &csrf), ("action", "deny")]).must(403);
    assert!(mta.kept().is_empty());
    let said = act(&mut bert, &id, &[("action", "approve")]);
    assert!(said.contains("Released to b@example.org"), "{said}");
    wait::until("the message", || (mta.kept().len() == 1).then_some(()));
    // Where nobody knows whether it arrived both have to want it once more.
    let id = hold(&gate, "virus", &["b@example.org"]);
    act(&mut anna, &id, &[("action", "ask")]);
    mta.behave(Step::Final, Act::Close, 1);
    assert!(act(&mut bert, &id, &[("action", "approve")]).contains("Not released"));
    assert!(act(&mut anna, &id, &[("action", "ask")]).contains("Release again"));
    let page = anna.get(&format!("/quarantine/{id}")).must(200).text();
    assert!(page.contains("name=\"again\""), "{page}");
    act(&mut anna, &id, &[("action", "ask"), ("again", "1")]);
    assert!(bert.get(&format!("/quarantine/{id}")).must(200).text().contains("may get it twice"));
    let said = act(&mut bert, &id, &[("action", "approve")]);
    assert!(said.contains("Released to b@example.org"), "{said}");
    // By the command line, too, another has to be named, and is on record.
    let id = hold(&gate, "virus", &["b@example.org"]);
    let alone = gate.octroi(&["quarantine", "release", &id], "");
    assert!(!alone.success && alone.text.contains("two people"), "{}", alone.text);
    assert!(gate.octroi(&["quarantine", "release", &id, "--second", "anna"], "").success);
    let mut token = token(&gate, "anna", &["quarantine.read"]);
    let entry = token.get(&format!("/api/v1/quarantine/{id}")).must(200).json();
    assert_eq!((&entry["requests"][0]["asked_by"], &entry["requests"][0]["state"]), (&json!("anna"), &json!("approved")));
}

#[test]
fn of_two_at_the_same_moment_one_releases_and_the_other_is_told() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let people = ["anna", "bert"].map(|name| Person::new(&gate, name, &["reviewer"], &["example.org"]));
    let id = hold(&gate, "hold", &["b@example.org"]);
    let told: Vec<String> = thread::scope(|scope| {
        let both: Vec<_> = people
            .iter()
            .map(|person| {
                let mut web = person.web(&gate);
                let id = &id;
                scope.spawn(move || act(&mut web, id, &[("action", "release")]))
            })
            .collect();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let won = told.iter().filter(|said| said.contains("Released to")).count();
    assert_eq!(won, 1, "{told:?}");
    assert_eq!(mta.kept().len(), 1);
    let lost = told.iter().find(|said| !said.contains("Released to")).unwrap();
    assert!(lost.contains("first") || lost.contains("by anna") || lost.contains("by bert"), "{told:?}");
}

#[test]
fn a_reviewer_of_one_domain_sees_and_does_nothing_of_another() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["senior"], &["a.example"]);
    let bert = Person::new(&gate, "bert", &["senior"], &["b.example"]);
    let of_b = hold(&gate, "hold secret of b", &["x@b.example"]);
    let of_both = hold(&gate, "hold for both", &["x@a.example", "y@b.example"]);
    let mut web = anna.web(&gate);
    let list = web.get("/quarantine?state=all").must(200).text();
    assert!(list.contains(&of_both) && !list.contains(&of_b) && !list.contains("secret"), "{list}");
    assert!(!web.get("/quarantine?q=secret").must(200).text().contains("hold secret"));
    assert!(!web.get("/quarantine?to=y%40b.example").must(200).text().contains(&of_both));
    let csrf = web.get("/account").csrf();
    for path in ["", "/html", "?tab=source"] {
        web.get(&format!("/quarantine/{of_b}{path}")).must(404);
    }
    web.post(&format!("/quarantine/{of_b}/files/0"), &[("csrf", &csrf)]).must(404);
    for action in ["release", "delete", "hold", "note", "assign", "export", "ask", "approve", "deny"] {
        let mut fields = vec![("csrf", csrf.as_str()), ("action", action), ("confirmed", "yes"), ("text", "x")];
        web.post(&format!("/quarantine/{of_b}"), &fields).must(404);
        fields.push(("id", &of_b));
        let status = web.post("/quarantine", &fields).status;
        assert!([303, 404, 403].contains(&status), "{action}: {status}");
    }
    // Of what is held for both she sees her own recipient, and cannot delete or export all of it.
    let page = web.get(&format!("/quarantine/{of_both}")).must(200).text();
    assert!(page.contains("x@a.example") && !page.contains("y@b.example") && page.contains("and 1 more"), "{page}");
    assert!(web.get(&format!("/quarantine/{of_both}?tab=html")).must(200).text().contains("content"));
    web.post(&format!("/quarantine/{of_both}"), &[("csrf", &csrf), ("action", "delete")]).must(409);
    web.post(&format!("/quarantine/{of_both}"), &[("csrf", &csrf), ("action", "export")]).must(409);
    assert!(act(&mut web, &of_both, &[("action", "release"), ("to", "y@b.example")]).contains("not held for"));
    act(&mut web, &of_both, &[("action", "release")]);
    let kept = wait::until("the message", || mta.kept().into_iter().next());
    assert_eq!(kept.recipients, ["RCPT TO:<x@a.example>"]);
    // What is done for others names them to nobody else, and what they keep from deletion stays.
    let carl = Person::new(&gate, "carl", &["senior"], &["*"]);
    let mut carl = carl.web(&gate);
    act(&mut carl, &of_both, &[("action", "release"), ("again", "1")]);
    let virus = hold(&gate, "virus for both", &["x@a.example", "y@b.example"]);
    act(&mut carl, &virus, &[("action", "ask")]);
    for id in [&of_both, &virus] {
        let page = web.get(&format!("/quarantine/{id}")).must(200).text();
        assert!(page.contains("x@a.example") && !page.contains("y@b.example"), "{page}");
    }
    act(&mut bert.web(&gate), &of_both, &[("action", "hold")]);
    assert!(!web.get(&format!("/quarantine/{of_both}")).must(200).text().contains("value=\"lift\""));
    assert!(act(&mut web, &of_both, &[("action", "lift")]).contains("for others"));
    let mut reader = token(&gate, "anna", &["quarantine.read", "quarantine.hold"]);
    reader.send("DELETE", &format!("/api/v1/quarantine/{of_both}/hold"), &[], b"").must(409);
    let entry = reader.get(&format!("/api/v1/quarantine/{virus}")).must(200);
    assert!(!entry.text().contains("y@b.example"), "{}", entry.text());
    assert_eq!(entry.json()["requests"][0]["hidden_recipients"], 1);
    act(&mut carl, &of_both, &[("action", "lift")]);
    act(&mut carl, &virus, &[("action", "deny")]);
    act(&mut carl, &virus, &[("action", "delete"), ("confirmed", "yes")]);
    let mut api =
        token(&gate, "anna", &["quarantine.read", "quarantine.content", "quarantine.release", "quarantine.delete", "quarantine.note"]);
    let listed = api.get("/api/v1/quarantine?state=released").must(200).json();
    assert_eq!(listed["entries"].as_array().unwrap().len(), 1);
    assert_eq!(listed["entries"][0]["hidden_recipients"], 1);
    for path in ["", "/raw"] {
        api.get(&format!("/api/v1/quarantine/{of_b}{path}")).must(404);
    }
    post(&mut api, &format!("/api/v1/quarantine/{of_b}/release"), &json!({})).must(404);
    post(&mut api, &format!("/api/v1/quarantine/{of_b}/notes"), &json!({"text": "x"})).must(404);
    api.send("DELETE", &format!("/api/v1/quarantine/{of_b}"), &[], b"").must(404);
    assert_eq!(gate.octroi(&["quarantine", "show", &of_b], "").text.matches("held since").count(), 1, "nothing was done to it");
}

#[test]
fn an_auditor_sees_what_is_known_and_nothing_of_what_is_in_it() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let (cato, adam) = (Person::new(&gate, "cato", &["auditor"], &[]), Person::new(&gate, "adam", &["administrator"], &[]));
    let body = [&message("hold")[..], b"the secret of the body\r\n"].concat();
    let id = held(&gate, "a@example.net", &["b@example.org"], &body);
    let mut web = cato.web(&gate);
    let csrf = web.get("/account").csrf();
    for tab in ["text", "html", "headers", "structure", "files", "source"] {
        let page = web.get(&format!("/quarantine/{id}?tab={tab}")).must(200).text();
        assert!(page.contains("not shown to you") && !page.contains("secret of the body"), "{tab}");
    }
    web.get(&format!("/quarantine/{id}/html")).must(403);
    web.post(&format!("/quarantine/{id}/files/0"), &[("csrf", &csrf)]).must(403);
    for action in ["release", "delete", "hold", "note", "assign", "export", "ask", "deny"] {
        web.post(&format!("/quarantine/{id}"), &[("csrf", &csrf), ("action", action), ("confirmed", "yes"), ("text", "x")]).must(403);
    }
    let mut api = token(&gate, "cato", &["quarantine.read"]);
    api.get(&format!("/api/v1/quarantine/{id}")).must(200);
    api.get(&format!("/api/v1/quarantine/{id}/raw")).must(403);
    let mut web = adam.web(&gate);
    web.get("/quarantine").must(403);
    web.get(&format!("/quarantine/{id}")).must(403);
}

#[test]
fn several_are_decided_at_once_and_only_after_saying_yes() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["senior"], &["*"]);
    let ids: Vec<_> = (0..3).map(|n| hold(&gate, &format!("hold {n}"), &["b@example.org"])).collect();
    let mut web = anna.web(&gate);
    let csrf = web.get("/quarantine").csrf();
    let some = |action: &'static str| vec![("csrf", csrf.as_str()), ("action", action), ("id", &ids[0]), ("id", &ids[1])];
    let asked = web.post("/quarantine?q=hold", &some("release")).must(200).text();
    assert!(asked.contains("Release these messages?") && asked.contains("hold 0") && !asked.contains("hold 2"), "{asked}");
    assert!(mta.kept().is_empty(), "nothing is done before yes");
    let confirmed = [some("release"), vec![("confirmed", "yes")]].concat();
    assert_eq!(web.post("/quarantine?q=hold", &confirmed).to(), "/quarantine?q=hold", "the list it was, with its words");
    assert!(web.get("/quarantine?q=hold").must(200).text().contains("Done with 2 messages."));
    assert_eq!(mta.kept().len(), 2);
    let again = web.post("/quarantine", &confirmed).to().to_owned();
    assert!(web.get(&again).text().contains("has been released"));
    web.post("/quarantine", &[("csrf", &csrf), ("action", "hold"), ("id", &ids[2]), ("confirmed", "yes")]).to();
    let refused = web.post("/quarantine", &[("csrf", &csrf), ("action", "delete"), ("id", &ids[2]), ("confirmed", "yes")]).to().to_owned();
    assert!(web.get(&refused).text().contains("legal hold"));
    act(&mut web, &ids[2], &[("action", "lift")]);
    web.post("/quarantine", &[("csrf", &csrf), ("action", "delete"), ("id", &ids[2]), ("confirmed", "yes")]).to();
    assert!(web.get("/quarantine?state=deleted").must(200).text().contains(&ids[2]));
    web.post("/quarantine", &[("csrf", &csrf), ("action", "nonsense"), ("id", &ids[1])]).to();
    web.post("/quarantine", &[("action", "delete"), ("id", &ids[1]), ("confirmed", "yes")]).must(403);
}

#[test]
fn attachments_leave_in_an_archive_with_a_password_and_evidence_holds() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["senior"], &["*"]);
    let content = b"Subject: hold\r\nFrom: a@example.net\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n\
        --b\r\nContent-Type: application/octet-stream; name=\"x.exe\"\r\nContent-Transfer-Encoding: base64\r\n\r\nTVpwcm9ncmFtIQ==\r\n--b--\r\n";
    let id = held(&gate, "a@example.net", &["b@example.org"], content);
    let mut web = anna.web(&gate);
    let page = web.get(&format!("/quarantine/{id}?tab=files")).must(200).text();
    let place = page
        .split("x.exe")
        .nth(1)
        .unwrap()
        .split(&format!("/quarantine/{id}/files/"))
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let csrf = web.get("/account").csrf();
    let archive = web.post(&format!("/quarantine/{id}/files/{place}"), &[("csrf", &csrf)]).must(200);
    assert_eq!(archive.header("content-type"), Some("application/zip"));
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(archive.body.clone())).unwrap();
    let mut octets = Vec::new();
    std::io::Read::read_to_end(&mut zip.by_index_decrypt(0, b"infected").unwrap(), &mut octets).unwrap();
    assert_eq!(octets, b"MZprogram!");
    let other = hold(&gate, "hold", &["b@example.org"]);
    act(&mut web, &other, &[("action", "delete"), ("confirmed", "yes")]);
    let both = [("csrf", csrf.as_str()), ("action", "export"), ("id", &id), ("id", &other)];
    assert!(web.post("/quarantine", &both).must(409).text().contains(&other));
    assert!(!gate.octroi(&["audit", "list"], "").text.contains("export"), "nothing has left");
    web.post("/quarantine", &[("csrf", csrf.as_str()), ("action", "export"), ("id", &id), ("id", &id)]).must(200);
    let evidence = web.post(&format!("/quarantine/{id}"), &[("csrf", &csrf), ("action", "export")]).must(200);
    let (file, key) = (gate.dir.path().join("evidence.zip"), gate.dir.path().join("key.pem"));
    std::fs::write(&file, &evidence.body).unwrap();
    std::fs::write(&key, gate.octroi(&["evidence", "key"], "").text).unwrap();
    let verify =
        || std::process::Command::new(Gate::binary()).args(["evidence", "verify"]).arg(&file).arg("--key").arg(&key).output().unwrap();
    let said = verify();
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains(&id), "{said:?}");
    let mut changed = evidence.body.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    assert!(!verify().status.success());
    let out = gate.dir.path().join("by-hand.zip");
    assert!(gate.octroi(&["evidence", "export", &id, "--out", out.to_str().unwrap()], "").success);
    assert!(!gate.octroi(&["evidence", "export", &id, "--out", out.to_str().unwrap()], "").success, "not over what is there");
}

#[test]
fn programs_do_the_same_and_are_told_what_is_wrong() {
    let mta = Mta::start();
    let gate = gate(&mta);
    Person::new(&gate, "anna", &["senior"], &["*"]);
    let ids: Vec<_> = (0..3).map(|n| hold(&gate, &format!("hold {n}"), &["b@example.org"])).collect();
    let all = ["read", "content", "release", "delete", "note", "hold"].map(|scope| format!("quarantine.{scope}"));
    let mut api = token(&gate, "anna", &all.iter().map(String::as_str).collect::<Vec<_>>());
    let first = api.get("/api/v1/quarantine?limit=2").must(200).json();
    assert_eq!(first["entries"].as_array().unwrap().len(), 2);
    let rest = api.get(&format!("/api/v1/quarantine?limit=2&at={}", first["next"].as_str().unwrap())).must(200).json();
    assert_eq!((rest["entries"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    let raw = api.get(&format!("/api/v1/quarantine/{}/raw", ids[0])).must(200);
    assert_eq!(raw.body, message("hold 0"));
    let released =
        post(&mut api, &format!("/api/v1/quarantine/{}/release", ids[0]), &json!({"recipients": ["b@example.org"]})).must(200).json();
    assert_eq!((&released[0]["released"], &released[0]["recipients"]), (&json!(true), &json!(["b@example.org"])));
    post(&mut api, &format!("/api/v1/quarantine/{}/release", ids[0]), &json!({})).must(409);
    post(&mut api, &format!("/api/v1/quarantine/{}/notes", ids[1]), &json!({"text": "by a program"})).must(200);
    post(&mut api, &format!("/api/v1/quarantine/{}/notes", ids[1]), &json!({"text": ""})).must(400);
    api.send("PUT", &format!("/api/v1/quarantine/{}/assignment", ids[1]), &[], br#"{"to":"me"}"#).must(200);
    api.send("POST", &format!("/api/v1/quarantine/{}/hold", ids[1]), &[], b"").must(200);
    api.send("DELETE", &format!("/api/v1/quarantine/{}", ids[1]), &[], b"").must(409);
    api.send("DELETE", &format!("/api/v1/quarantine/{}/hold", ids[1]), &[], b"").must(200);
    let entry = api.get(&format!("/api/v1/quarantine/{}", ids[1])).must(200).json();
    assert_eq!((&entry["notes"][0]["text"], &entry["assigned"]), (&json!("by a program"), &json!("anna")));
    api.send("DELETE", &format!("/api/v1/quarantine/{}", ids[1]), &[], b"").must(200);
    for wrong in ["limit=0", "limit=x", "state=x", "class=x", "colour=red", "after=x", "dir=x", "sort=x", "at=%2F", "hold=x"] {
        let page = api.get(&format!("/api/v1/quarantine?{wrong}")).must(400);
        assert_eq!(page.header("content-type"), Some("application/problem+json"), "{wrong}");
    }
    for body in ["x", "[]", r#"{"recipients": 1}"#, r#"{"colour": "red"}"#] {
        api.send("POST", &format!("/api/v1/quarantine/{}/release", ids[2]), &[], body.as_bytes()).must(400);
    }
    api.get("/api/v1/quarantine/nothing").must(404);
    let mut reads = token(&gate, "anna", &["quarantine.read"]);
    for (method, path) in [("POST", "release"), ("POST", "hold"), ("POST", "notes"), ("PUT", "assignment"), ("GET", "raw")] {
        reads
            .send(method, &format!("/api/v1/quarantine/{}/{path}", ids[2]), &[], br#"{"text":"x","to":"me"}"#)
            .status
            .checked_sub(400)
            .unwrap();
    }
    assert_eq!(mta.kept().len(), 1);
}

#[test]
fn kill_9_in_the_middle_of_a_release_loses_nothing_and_sends_nothing_twice() {
    let mta = Mta::start();
    let mut gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["reviewer"], &["*"]);
    let id = hold(&gate, "hold", &["b@example.org"]);
    mta.behave(Step::Final, Act::Hang, 1);
    let mut web = anna.web(&gate);
    let csrf = web.get("/account").csrf();
    let console = gate.console();
    let path = format!("/quarantine/{id}");
    let asking = thread::spawn(move || {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| web.post(&path, &[("csrf", &csrf), ("action", "release")])));
    });
    wait::until("the release to be under way", || {
        let shown = gate.octroi(&["quarantine", "show", &id, "--json"], "").text;
        shown.contains("\"releasing\"").then_some(())
    });
    gate.kill();
    asking.join().unwrap();
    gate.run();
    gate.wait_alive();
    assert_eq!(gate.console(), console);
    // Nobody knows whether the MTA has it, and that is what everybody is told.
    let mut web = anna.again(&gate);
    let page = web.get(&format!("/quarantine/{id}")).must(200).text();
    assert!(page.contains("being released, or unknown") && page.contains("began to release it"), "{page}");
    assert!(act(&mut web, &id, &[("action", "release")]).contains("nobody knows"));
    let said = act(&mut web, &id, &[("action", "release"), ("again", "1")]);
    assert!(said.contains("Released to b@example.org"), "{said}");
    assert!(gate.octroi(&["audit", "verify"], "").success);
}

#[test]
fn the_metrics_have_what_the_console_and_the_command_line_do_and_have_it_once() {
    let mta = Mta::start();
    let gate = gate(&mta);
    Person::new(&gate, "anna", &["reviewer"], &["*"]);
    let mut api = token(&gate, "anna", &["quarantine.read", "quarantine.release", "quarantine.delete"]);
    let ids: Vec<_> = (0..4).map(|_| hold(&gate, "hold", &["b@example.org", "c@example.org"])).collect();
    post(&mut api, &format!("/api/v1/quarantine/{}/release", ids[0]), &json!({})).must(200);
    assert!(gate.octroi(&["quarantine", "release", &ids[1], "--recipient", "c@example.org"], "").success);
    api.send("DELETE", &format!("/api/v1/quarantine/{}", ids[2]), &[], b"").must(200);
    assert!(gate.octroi(&["quarantine", "delete", &ids[3]], "").success);
    gate.wait_metric("octroi_quarantine_released_total", 3.0);
    gate.wait_metric("octroi_quarantine_deleted_total{reason=\"reviewer\"}", 2.0);
    // One more, and nothing of the first is counted again when that is seen.
    assert!(gate.octroi(&["quarantine", "release", &ids[1]], "").success);
    gate.wait_metric("octroi_quarantine_released_total", 4.0);
    let metrics = gate.metrics();
    assert_eq!(metrics.get("octroi_quarantine_deleted_total{reason=\"reviewer\"}"), 2.0);
    assert_eq!(metrics.get("octroi_quarantine_deleted_total{reason=\"age\"}"), 0.0);
}
