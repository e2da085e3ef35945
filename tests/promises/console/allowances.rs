//! What is let through that would be held, and what reviewers tell each other: in the console, on the
//! command line and for programs, within the same bounds.
use super::people::Person;
use super::review::{act, gate, held, hold, post, token};
use crate::support::{Client, Mta, client::message, wait};
use serde_json::{Value, json};

#[test]
fn an_allowed_sender_passes_what_held_him_and_nothing_else() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let anna = Person::new(&gate, "anna", &["reviewer"], &["*"]);
    let id = hold(&gate, "hold", &["b@example.org"]);
    let mut web = anna.web(&gate);
    let said = act(&mut web, &id, &[("action", "release"), ("allow", "address"), ("days", "3")]);
    assert!(said.contains("And the sender is allowed."), "{said}");
    let before = mta.kept().len();
    for days in ["0", "99"] {
        let said = act(&mut web, &id, &[("action", "release"), ("again", "1"), ("allow", "address"), ("days", days)]);
        assert!(said.contains("45 days"), "{said}");
    }
    assert_eq!(mta.kept().len(), before, "what cannot be allowed is not released either");
    Client::greeted(gate.mx()).deliver("A@example.net", &["b@example.org"], &message("hold again")).must(250);
    let kept = wait::until("the message", || mta.kept().into_iter().nth(before));
    assert!(
        String::from_utf8_lossy(&kept.content).contains("X-Octroi-Allowed: rule hold\r\n"),
        "{}",
        String::from_utf8_lossy(&kept.content)
    );
    gate.log_line(&["let through: a reviewer allows it"]);
    // Another recipient of the same message is not allowed it, another sender is not, another cause is not.
    hold(&gate, "hold", &["c@example.org"]);
    held(&gate, "other@example.net", &["b@example.org"], &message("hold"));
    hold(&gate, "virus", &["b@example.org"]);
    let count = mta.kept().len();
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org", "c@example.org"], &message("hold both")).must(250);
    let kept = wait::until("the message", || mta.kept().into_iter().nth(count));
    assert_eq!(kept.recipients, ["RCPT TO:<b@example.org>"]);
    let page = web.get("/quarantine/allowances").must(200).text();
    assert!(page.contains("a@example.net") && page.contains("rule hold"), "{page}");
    let number = page.split("name=\"number\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let csrf = web.get("/quarantine/allowances").csrf();
    web.post("/quarantine/allowances", &[("csrf", &csrf), ("number", &number)]).to();
    hold(&gate, "hold", &["b@example.org"]);
}

#[test]
fn the_command_line_allows_and_ends_it_again() {
    let mta = Mta::start();
    let gate = gate(&mta);
    let octroi = |arguments: &[&str]| gate.octroi(&[&["quarantine"], arguments].concat(), "");
    let must = |arguments: &[&str]| {
        let said = octroi(arguments);
        assert!(said.success, "{arguments:?}: {}", said.text);
        said.text
    };
    assert_eq!(must(&["allowances"]), "nobody is allowed anything\n");
    let id = hold(&gate, "hold", &["b@example.org", "c@example.org"]);
    assert!(
        must(&["allow", &id, "--recipient", "B@example.org", "--days", "3"])
            .contains("a@example.net is let through to B@example.org for 3 days")
    );
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message("hold again")).must(250);
    wait::until("the message", || (mta.kept().len() == 1).then_some(()));
    let listed: Value = serde_json::from_str(&must(&["allowances", "--json"])).unwrap();
    let (number, one) = (listed[0]["number"].to_string(), &listed[0]);
    assert_eq!((&one["recipient"], &one["holds"], &one["entry"]), (&json!("b@example.org"), &json!(true), &json!(id)));
    assert!(must(&["allowances"]).contains("a@example.net → b@example.org  past rule hold (policy)"), "{}", must(&["allowances"]));
    assert!(must(&["revoke", &number]).contains("no more"));
    hold(&gate, "hold", &["b@example.org"]);
    let again = octroi(&["revoke", &number]);
    assert!(!again.success && again.text.contains("over already"), "{}", again.text);
    assert!(must(&["allowances"]).contains("nobody"));
    assert!(must(&["allowances", "--all"]).contains("ended by uid"));
    // The whole domain, to all of them.
    must(&["allow", &id, "--domain"]);
    Client::greeted(gate.mx()).deliver("other@example.net", &["c@example.org"], &message("hold")).must(250);
    wait::until("the message", || (mta.kept().len() == 2).then_some(()));
    for (wrong, why) in [
        (&["allow", &id, "--recipient", "x@example.org"][..], "recipients of the entry"),
        (&["allow", &id, "--days", "46"], "46 is not in 1..=45"),
        (&["allow", "nothing"], "no entry"),
        (&["revoke", "99"], "no allowance 99"),
        (&["allow", &hold(&gate, "virus", &["b@example.org"])], "malware"),
    ] {
        let said = octroi(wrong);
        assert!(!said.success && said.text.contains(why), "{wrong:?}: {}", said.text);
    }
    let audit = gate.octroi(&["audit", "list", "--object", &id], "").text;
    assert!(audit.contains("allow-end") && audit.contains("b@example.org"), "{audit}");
    assert!(gate.octroi(&["audit", "verify"], "").success);
}

#[test]
fn the_command_line_takes_notes_and_assigns() {
    let mta = Mta::start();
    let gate = gate(&mta);
    Person::new(&gate, "anna", &["reviewer"], &["example.org"]);
    Person::new(&gate, "bert", &["reviewer"], &["example.com"]);
    let id = hold(&gate, "hold", &["b@example.org"]);
    assert!(gate.octroi(&["quarantine", "note", &id, "they were called"], "").success);
    assert!(gate.octroi(&["quarantine", "note", &id, "-"], "and\nwait").success);
    let empty = gate.octroi(&["quarantine", "note", &id, ""], "");
    assert!(!empty.success && empty.text.contains("says nothing"), "{}", empty.text);
    assert!(gate.octroi(&["quarantine", "assign", &id, "anna"], "").text.contains("is with anna"));
    let shown = gate.octroi(&["quarantine", "show", &id], "").text;
    assert!(shown.contains("they were called") && shown.contains("assigned to   anna"), "{shown}");
    let json: Value = serde_json::from_str(&gate.octroi(&["quarantine", "show", &id, "--json"], "").text).unwrap();
    assert_eq!((&json["notes"][1]["text"], &json["assigned"]), (&json!("and\nwait"), &json!("anna")));
    for (name, why) in [("bert", "may not look at it"), ("nobody-there", "no account")] {
        let said = gate.octroi(&["quarantine", "assign", &id, name], "");
        assert!(!said.success && said.text.contains(why), "{}", said.text);
    }
    assert!(gate.octroi(&["quarantine", "assign", &id], "").text.contains("with nobody"));
    assert!(gate.octroi(&["audit", "list", "--object", &id], "").text.contains("assign"));
}

#[test]
fn programs_allow_for_their_own_recipients_and_no_other() {
    let mta = Mta::start();
    let gate = gate(&mta);
    Person::new(&gate, "anna", &["reviewer"], &["a.example"]);
    Person::new(&gate, "bert", &["reviewer"], &["b.example"]);
    let of_both = hold(&gate, "hold", &["x@a.example", "y@b.example"]);
    let of_b = hold(&gate, "hold", &["y@b.example"]);
    let mut anna = token(&gate, "anna", &["quarantine.read", "quarantine.release"]);
    let mut bert = token(&gate, "bert", &["quarantine.read", "quarantine.release"]);
    let path = "/api/v1/allowances";
    let allow = |web: &mut _, body: Value, status| post(web, path, &body).must(status);
    allow(&mut anna, json!({"entry": of_both, "recipients": ["y@b.example"]}), 409);
    allow(&mut anna, json!({"entry": of_b}), 404);
    for (days, sender) in [(0, "address"), (46, "address"), (-1, "address"), (7, "everybody")] {
        let answer = allow(&mut anna, json!({"entry": of_both, "days": days, "sender": sender}), 400);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    }
    allow(&mut anna, json!({"entry": of_both, "days": 2, "sender": "domain"}), 200);
    let mine = anna.get(path).must(200).json();
    let one = &mine["allowances"][0];
    assert_eq!(mine["allowances"].as_array().unwrap().len(), 1, "hers alone: {mine}");
    assert_eq!((&one["recipient"], &one["sender"], &one["created_by"]), (&json!("x@a.example"), &json!("@example.net"), &json!("anna")));
    assert_eq!(bert.get(path).must(200).json()["allowances"], json!([]));
    let end = format!("{path}/{}", one["number"]);
    bert.send("DELETE", &end, &[], b"").must(404);
    let mut reads = token(&gate, "anna", &["quarantine.read"]);
    reads.get(path).must(200);
    post(&mut reads, path, &json!({"entry": of_both})).must(403);
    reads.send("DELETE", &end, &[], b"").must(403);
    token(&gate, "anna", &["messages.read"]).get(path).must(403);
    anna.send("DELETE", &end, &[], b"").must(200);
    anna.send("DELETE", &end, &[], b"").must(409);
    for wrong in ["0", "x", "99999999999999999999"] {
        anna.send("DELETE", &format!("{path}/{wrong}"), &[], b"").must(404);
    }
    assert_eq!(anna.get(path).must(200).json()["allowances"][0]["revoked_by"], "anna");
}
