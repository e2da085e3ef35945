//! What happened to every message, as people and programs see it.
use super::people::{PASSWORD, Person};
use crate::journal::wait_rows;
use crate::quarantine::RULES;
use crate::support::{Browser, Client, Gate, Mta, Setup, client::message};

/// A gate through which there went: one delivered, one delivered to two domains, one held, and a
/// message with another on its back.
fn busy(mta: &Mta) -> Gate {
    let gate = Setup::before(mta.address()).mx().console("").and(RULES).start();
    let send = |to: &[&str], subject: &str| Client::greeted(gate.mx()).deliver("alice@example.net", to, &message(subject));
    send(&["bob@example.org"], "lunch <b>today</b>").must(250);
    send(&["bob@example.org", "carol@example.com"], "minutes").must(250);
    send(&["bob@example.org"], "hold").must(250);
    let mut smuggler = Client::greeted(gate.mx());
    smuggler
        .begin_data("mallory@example.net", &["bob@example.org"])
        .send("Subject: x\r\n\r\nhello\n.\nMAIL FROM:<a@b>\r\n.\r\n")
        .reply()
        .must(550);
    wait_rows(&gate, 4);
    gate
}

#[test]
fn a_message_is_found_and_says_why_it_fared_as_it_did() {
    let mta = Mta::start();
    let gate = busy(&mta);
    let mut web = Person::new(&gate, "auditor", &["auditor"], &[]).web(&gate);
    let list = web.get("/messages").must(200).text();
    assert!(list.contains("lunch &#60;b&#62;today&#60;/b&#62;") && !list.contains("<b>today"), "a subject is no markup");
    let one = web.get("/messages?q=minutes").must(200).text();
    assert!(one.contains("minutes") && !one.contains("lunch"), "{one}");
    let held = web.get("/messages?verdict=quarantined").must(200).text();
    let path =
        held.split("href=\"").filter_map(|part| part.split('"').next()).find(|path| path.starts_with("/messages/")).unwrap().to_owned();
    let held = web.get(&path).must(200).text();
    assert!(held.contains("It is held in the quarantine; rule hold decided so."), "{held}");
    let entry = held.split("href=\"").filter_map(|part| part.split('"').next()).find(|path| path.starts_with("/quarantine/")).unwrap();
    assert!(web.get(entry).must(200).text().contains(&format!("href=\"{path}\"")), "there and back");
    let attack = web.get("/messages?violation=smuggling&kind=all").must(200).text();
    assert!(attack.contains("mallory@example.net"), "{attack}");
    for (asked, wrong) in [("client=nowhere", "has to be an IP address"), ("since=ever", "does not exist"), ("below=x", "does not exist")] {
        assert!(web.get(&format!("/messages?{asked}")).must(200).text().contains(wrong), "{asked}");
    }
    for nothing in ["/messages/1", "/messages/x", "/messages/99999999999999999999"] {
        web.get(nothing).must(404);
    }
    let csv = web.get("/messages.csv?sender=%40example.net").must(200);
    assert!(csv.header("content-disposition").unwrap().contains("messages.csv"));
    assert_eq!(csv.text().lines().count(), 1 + 4, "{}", csv.text());
    let audit = gate.octroi(&["audit", "list", "--action", "search"], "").text;
    assert!(audit.contains("auditor") && audit.contains(r#""query":"sender=%40example.net","rows":4"#), "{audit}");
    let json = web.get("/messages.json?q=minutes").must(200).text();
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&row["verdict"], &row["nrcpt"]), (&"delivered".into(), &2.into()));
    let overview = web.get("/overview").must(200).text();
    let figure = |label: &str| {
        let before = overview.split(label).next().unwrap();
        before.rsplit("class=\"figure\">").next().unwrap().split('<').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((figure("Messages</span>"), figure("Delivered without full inspection")), (4, 0));
    assert!(overview.contains("<code>smuggling</code>") && overview.contains("1 / 1 answering"), "{overview}");
}

#[test]
fn a_reviewer_sees_his_own_recipients_and_no_other() {
    let mta = Mta::start();
    let gate = busy(&mta);
    let mut org = Person::new(&gate, "org", &["reviewer"], &["example.org"]).web(&gate);
    let mut com = Person::new(&gate, "com", &["reviewer"], &["example.com"]).web(&gate);
    let (list, key) = {
        let json = com.get("/messages.json").must(200).text();
        let row: serde_json::Value = serde_json::from_str(json.trim()).expect("one row and no more");
        assert_eq!(row["recipients"], serde_json::json!(["carol@example.com"]));
        (json, row["key"].as_i64().unwrap())
    };
    assert!(!list.contains("bob@"), "{list}");
    for place in ["/messages".to_owned(), format!("/messages/{key}"), "/messages.csv".to_owned()] {
        let text = com.get(&place).must(200).text();
        assert!(text.contains("carol@example.com") && !text.contains("bob@example.org"), "{place}: {text}");
    }
    // One that is for others only is not there, however one knows of it.
    let json = org.get("/messages.json?q=lunch").must(200).text();
    let other = serde_json::from_str::<serde_json::Value>(&json).unwrap()["key"].as_i64().unwrap();
    org.get(&format!("/messages/{other}")).must(200);
    com.get(&format!("/messages/{other}")).must(404);
    assert_eq!(com.get("/messages.json?q=lunch").must(200).text(), "");
    // Nor is who else got what she may see found out by guessing.
    for guess in ["q=bob", "q=bo*", "q=%22bob%22", "recipient=bob%40example.org", "recipient=%40example.org", "q=minutes+bob"] {
        assert_eq!(com.get(&format!("/messages.json?{guess}")).must(200).text(), "", "{guess}");
    }
    assert!(com.get("/messages.json?q=minutes&recipient=carol%40example.com").must(200).text().contains("carol@"));
}

#[test]
fn programs_search_with_a_token() {
    let mta = Mta::start();
    let gate = busy(&mta);
    Person::new(&gate, "alice", &["auditor"], &[]);
    let said = gate.octroi(&["user", "token", "add", "alice", "--scope", "messages.read"], "");
    let mut api = crate::support::Web::new(gate.console()).with("Authorization", &format!("Bearer {}", said.text.trim()));
    let rows = api.get("/api/v1/messages?verdict=delivered&limit=1").must(200).json();
    let first = rows[0]["key"].as_i64().unwrap();
    assert_eq!(rows[0]["subject"], "minutes");
    let rows = api.get(&format!("/api/v1/messages?verdict=delivered&limit=1&below={first}")).must(200).json();
    assert_eq!(rows[0]["subject"], "lunch <b>today</b>");
    assert_eq!(api.get(&format!("/api/v1/messages/{first}")).must(200).json()["nrcpt"], 2);
    for wrong in ["limit=0", "limit=x", "colour=red", "since=ever", "client=nowhere", "verdict=fine", "below=x"] {
        assert_eq!(
            api.get(&format!("/api/v1/messages?{wrong}")).must(400).header("content-type"),
            Some("application/problem+json"),
            "{wrong}"
        );
    }
    api.get("/api/v1/messages/1").must(404);
}

#[test]
fn how_messages_and_the_overview_look() {
    let mta = Mta::start();
    let gate = busy(&mta);
    let auditor = Person::new(&gate, "auditor", &["auditor"], &[]);
    let Some(browser) = Browser::start(gate.console().ip()) else { return };
    let at = |path: &str| format!("https://mx.example.org:{}{path}", gate.console().port());
    browser.open(&at("/"));
    browser.type_into("input[name=name]", "auditor");
    browser.type_into("input[name=password]", PASSWORD);
    browser.click("main button.primary");
    browser.type_into("input.digits", &auditor.code(0));
    browser.click("main button.primary");
    // The overview is where one arrives.
    browser.find("nav.places a[href='/overview'][aria-current]");
    assert!(browser.count(".plot rect") >= 3, "no chart");
    browser.screenshots("overview");
    browser.open(&at("/messages"));
    browser.screenshots("messages");
    browser.click("td.subject a");
    browser.find(".why");
    browser.screenshots("message");
    browser.open(&at("/messages?q=nothing-like-this"));
    browser.find(".empty");
    assert!(browser.complaints().is_empty(), "{:?}", browser.complaints());
}
