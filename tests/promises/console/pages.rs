//! Every page with every role, and how each looks.
use super::people::{PASSWORD, Person};
use crate::support::{Browser, Gate, Mta, Web, wait};
use rustix::process::Signal;

/// A page and who may see it, of reviewer, senior, auditor and administrator.
pub struct Row {
    pub path: &'static str,
    pub may: [bool; 4],
    /// The name of its photograph.
    pub name: &'static str,
}

pub const ROLES: [&str; 4] = ["reviewer", "senior", "auditor", "administrator"];

pub const PAGES: &[Row] = &[
    Row { path: "/overview", may: [true, true, true, true], name: "overview-empty" },
    Row { path: "/messages", may: [true, true, true, false], name: "messages-empty" },
    Row { path: "/messages.csv", may: [true, true, true, false], name: "" },
    Row { path: "/messages.json", may: [true, true, true, false], name: "" },
    Row { path: "/account", may: [true, true, true, true], name: "account" },
    Row { path: "/quarantine", may: [true, true, true, false], name: "quarantine-empty" },
    Row { path: "/quarantine/allowances", may: [true, true, true, false], name: "allowances-empty" },
    Row { path: "/audit", may: [false, false, true, true], name: "audit" },
    Row { path: "/accounts", may: [false, false, false, true], name: "accounts" },
    Row { path: "/accounts/reviewer", may: [false, false, false, true], name: "accounts-one" },
];

type Action = (&'static str, &'static [(&'static str, &'static str)], [bool; 4]);

/// What changes something, with the fields that it needs, and who may do it.
const ACTIONS: &[Action] = &[
    ("/audit/verify", &[], [false, false, true, true]),
    ("/accounts", &[("name", "dave"), ("role", "auditor")], [false, false, false, true]),
    ("/accounts/dave/roles", &[("role", "auditor")], [false, false, false, true]),
    ("/accounts/dave/disable", &[], [false, false, false, true]),
    ("/accounts/dave/enable", &[], [false, false, false, true]),
    ("/accounts/dave/reset", &[], [false, false, false, true]),
    ("/accounts/dave/sessions/end", &[], [false, false, false, true]),
    ("/accounts/dave/tokens/revoke", &[("id", "x")], [false, false, false, true]),
];

/// Endpoints of the API, and the scope each needs.
const ENDPOINTS: &[(&str, &str)] =
    &[("/api/v1/audit", "audit.read"), ("/api/v1/messages", "messages.read"), ("/api/v1/accounts", "accounts.manage")];

#[test]
fn every_page_is_for_whom_it_is_for() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let people = ROLES.map(|role| Person::new(&gate, role, &[role], if role.len() < 9 { &["example.org"] } else { &[] }));
    let mut nobody = Web::new(gate.console());
    for (n, person) in people.iter().enumerate() {
        let mut web = person.web(&gate);
        let csrf = web.get("/account").csrf();
        for Row { path, may, .. } in PAGES {
            assert_eq!(web.get(path).status, if may[n] { 200 } else { 403 }, "{} at {path}", person.name);
            assert!(nobody.get(path).to().starts_with("/sign-in"), "{path}");
        }
        for (path, fields, may) in ACTIONS {
            let fields = [&[("csrf", csrf.as_str())], *fields].concat();
            let status = web.post(path, &fields).status;
            assert!(if may[n] { [200, 303].contains(&status) } else { status == 403 }, "{} at {path}: {status}", person.name);
            assert!(nobody.post(path, &fields).to().starts_with("/sign-in"), "{path}");
            assert!(web.get(path).status < 500, "{path}");
        }
        // What the navigation shows is what he may see.
        let page = web.get("/account").text();
        for Row { path, may, .. } in PAGES.iter().filter(|row| ["/overview", "/messages", "/audit", "/accounts"].contains(&row.path)) {
            assert_eq!(page.contains(&format!("<a href=\"{path}\"")), may[n], "{} at {path}", person.name);
        }
    }
    // Nobody takes away what he stands on.
    let mut web = people[3].again(&gate);
    let csrf = web.get("/account").csrf();
    for action in ["disable", "reset", "roles"] {
        web.post(&format!("/accounts/administrator/{action}"), &[("csrf", csrf.as_str()), ("role", "auditor")]).must(409);
    }
}

#[test]
fn a_token_may_what_its_scope_says() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    Person::new(&gate, "alice", &["administrator", "auditor"], &[]);
    let token = |scope: &str| {
        let said = gate.octroi(&["user", "token", "add", "alice", "--scope", scope], "");
        assert!(said.success, "{}", said.text);
        Web::new(gate.console()).with("Authorization", &format!("Bearer {}", said.text.trim()))
    };
    for (path, scope) in ENDPOINTS {
        token(scope).get(path).must(200).json();
        token("overview.read").get(path).must(403);
        Web::new(gate.console()).get(path).must(401);
    }
    let who = token("audit.read").get("/api/v1/whoami").must(200).json();
    assert_eq!((&who["account"], &who["permissions"]), (&"alice".into(), &serde_json::json!(["audit.read"])));
    let rows = token("audit.read").get("/api/v1/audit?limit=2&action=token-add").must(200).json();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    for wrong in ["/api/v1/audit?limit=0", "/api/v1/audit?limit=x", "/api/v1/audit?colour=red"] {
        assert_eq!(token("audit.read").get(wrong).must(400).header("content-type"), Some("application/problem+json"));
    }
    assert!(!gate.octroi(&["user", "token", "add", "alice", "--scope", "quarantine.release"], "").success);
    let mut web = token("audit.read");
    web.get("/audit").to();
    let list = gate.octroi(&["user", "token", "list", "alice"], "").text;
    let id = list.lines().last().unwrap().split(' ').next().unwrap().to_owned();
    assert!(gate.octroi(&["user", "token", "revoke", &id], "").success);
    web.get("/api/v1/whoami").must(401);
    let document = Web::new(gate.console()).get("/api/v1/openapi.json").must(200).json();
    for (path, _) in ENDPOINTS {
        assert!(document["paths"].get(path.strip_prefix("/api/v1").unwrap()).is_some(), "{path} is not in the document");
    }
}

#[test]
fn the_chain_is_proven_and_a_broken_one_is_seen() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    Person::new(&gate, "alice", &["auditor"], &[]);
    wait::until("the settings in the audit", || settings(&gate).pop());
    let whole = gate.octroi(&["audit", "verify"], "");
    assert!(whole.success && whole.text.starts_with("whole: 3 rows"), "{}", whole.text);
    let head = whole.text.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(gate.octroi(&["user", "disable", "alice"], "").success);
    assert!(gate.octroi(&["audit", "verify", "--head", &head], "").success);
    gate.log_line(&["audit head", "hash="]);
    let unknown = gate.octroi(&["audit", "verify", "--head", &"f".repeat(64)], "");
    assert!(!unknown.success && unknown.text.contains("cut off"), "{}", unknown.text);
}

/// What the audit has of settings, the newest first.
fn settings(gate: &Gate) -> Vec<String> {
    let list = gate.octroi(&["audit", "list", "--action", "settings"], "").text;
    list.lines().filter(|line| line.contains("quarantine.keep")).map(str::to_owned).collect()
}

#[test]
fn settings_that_are_relaxed_for_an_hour_are_in_the_audit() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    wait::until("those it has started with", || settings(&gate).pop());
    gate.reconfigure("[console]", "[quarantine]\nfour_eyes = []\nkeep = \"90s\"\n[console]");
    gate.signal(Signal::HUP);
    let relaxed = wait::until("the others", || settings(&gate).into_iter().next().filter(|line| line.contains("90s")));
    assert!(relaxed.contains("octroi") && relaxed.contains(r#""quarantine.four_eyes":"[]""#), "{relaxed}");
    // The same once more is nothing new.
    gate.signal(Signal::HUP);
    wait::until("two readings", || {
        Some(()).filter(|()| gate.log().iter().filter(|line| line.contains("holds for new sessions")).count() == 2)
    });
    gate.reconfigure("[quarantine]\nfour_eyes = []\nkeep = \"90s\"\n", "");
    gate.signal(Signal::HUP);
    wait::until("those before", || Some(()).filter(|()| settings(&gate).len() == 3));
    assert!(!settings(&gate)[0].contains("90s") && gate.octroi(&["audit", "verify"], "").success);
}

#[test]
fn an_administrator_sees_tokens_and_takes_them_back_and_a_reset_takes_all() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let admin = Person::new(&gate, "admin", &["administrator"], &[]);
    Person::new(&gate, "alice", &["auditor"], &[]);
    let token = |label: &str| {
        let said = gate.octroi(&["user", "token", "add", "alice", "--scope", "audit.read", "--label", label], "");
        assert!(said.success, "{}", said.text);
        Web::new(gate.console()).with("Authorization", &format!("Bearer {}", said.text.trim()))
    };
    let (mut one, mut other) = (token("first"), token("second"));
    for web in [&mut one, &mut other] {
        web.get("/api/v1/whoami").must(200);
    }
    let mut web = admin.web(&gate);
    let page = web.get("/accounts/alice").must(200);
    let (csrf, text) = (page.csrf(), page.text());
    let row = text.split("<tr>").find(|row| row.contains(">first<")).unwrap();
    let id = row.split("name=\"id\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    web.post("/accounts/alice/tokens/revoke", &[("csrf", &csrf), ("id", id)]).to();
    one.get("/api/v1/whoami").must(401);
    other.get("/api/v1/whoami").must(200);
    assert!(!web.get("/accounts/alice").must(200).text().contains(">first<"));
    web.post("/accounts/alice/reset", &[("csrf", &csrf)]).must(200);
    other.get("/api/v1/whoami").must(401);
}

#[test]
fn how_it_looks() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let admin = Person::new(&gate, "admin", &["administrator", "auditor"], &[]);
    Person::new(&gate, "reviewer", &["reviewer"], &["example.org", "example.com"]);
    Person::new(&gate, "marie.curie@example.org", &["senior", "auditor"], &["*"]);
    assert!(gate.octroi(&["user", "add", "new.colleague", "--role", "reviewer", "--domain", "example.net"], "").success);
    assert!(gate.octroi(&["user", "add", "left", "--role", "auditor"], "").success);
    assert!(gate.octroi(&["user", "disable", "left"], "").success);
    let Some(browser) = Browser::start(gate.console().ip()) else { return };
    let at = |path: &str| format!("https://mx.example.org:{}{path}", gate.console().port());
    browser.open(&at("/"));
    browser.screenshots("sign-in");
    browser.type_into("input[name=name]", "admin");
    browser.type_into("input[name=password]", PASSWORD);
    browser.click("main button.primary");
    browser.find("input.digits");
    browser.screenshots("factor");
    browser.type_into("input.digits", &admin.code(0));
    browser.click("main button.primary");
    browser.find("nav.places");
    for Row { path, name, .. } in PAGES.iter().filter(|row| !row.name.is_empty()) {
        browser.open(&at(path));
        browser.screenshots(name);
        assert_eq!(browser.count("h1"), 1, "{name}");
    }
    // What is shown once.
    let form = |path: &str, action: &str, fields: &[(&str, &str)], ticked: &str, name: &str| {
        browser.open(&at(path));
        browser.run("document.querySelectorAll('details').forEach((details) => details.open = true)");
        for (field, text) in fields {
            browser.type_into(&format!("form[action='{action}'] [name={field}]"), text);
        }
        if !ticked.is_empty() {
            browser.click(&format!("form[action='{action}'] [value='{ticked}']"));
        }
        browser.click(&format!("form[action='{action}'] button"));
        browser.wait_gone(&format!("form[action='{action}']"));
        browser.screenshots(name);
    };
    form("/account", "/account/totp", &[("password", PASSWORD)], "", "totp");
    form("/account", "/account/tokens", &[("password", PASSWORD), ("label", "SIEM"), ("days", "30")], "audit.read", "token");
    form("/accounts", "/accounts", &[("name", "one.more")], "auditor", "hand-over");
    browser.open(&at("/audit?actor=nobody"));
    browser.screenshots("audit-empty");
    browser.open(&at("/nothing"));
    browser.screenshots("not-found");
    // What measures the pages does see what is wrong with one.
    browser.run("document.querySelector('h1').style.color = 'var(--line)'");
    let seen = browser.violations();
    assert!(browser.count("h1") == 1 && (seen.iter().any(|line| line.starts_with("color-contrast")) || !Browser::measures()), "{seen:?}");
    browser.speak("fr");
    for path in ["/overview", "/messages", "/quarantine", "/account", "/accounts", "/audit", "/nothing"] {
        browser.open(&at(path));
        browser.screenshots(&format!("fr-{}", path.trim_start_matches('/')));
    }
    browser.speak("en");
    let mut reviewer = browser.complaints();
    reviewer.retain(|complaint| !complaint.contains("404"));
    assert!(reviewer.is_empty(), "{reviewer:?}");
    // Chosen by hand, whatever the system prefers; and by keyboard alone to the content.
    browser.open(&at("/account"));
    browser.click("button[name=theme]");
    browser.find("html[data-theme=dark]");
    browser.open(&at("/account"));
    browser.press("\u{E004}\u{E007}");
    assert!(browser.url().ends_with("#main"), "{}", browser.url());
    let elsewhere = browser.requests().into_iter().find(|url| !url.starts_with(&at("/")) && !url.starts_with("data:"));
    assert_eq!(elsewhere, None);
}
