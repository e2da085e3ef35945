//! Signing in, in Chromium and without it.
use super::people::{PASSWORD, Person, code};
use crate::support::{Browser, Gate, Mta, Web};
use std::net::IpAddr;

fn browser(gate: &Gate) -> Option<Browser> {
    let host: IpAddr = gate.console().ip();
    let browser = Browser::start(host)?;
    browser.open(&at(gate, "/"));
    Some(browser)
}

fn at(gate: &Gate, path: &str) -> String {
    format!("https://mx.example.org:{}{path}", gate.console().port())
}

fn password(browser: &Browser, name: &str) {
    browser.type_into("input[name=name]", name);
    browser.type_into("input[name=password]", PASSWORD);
    browser.click("main button.primary");
    browser.find("details");
}

#[test]
fn a_person_signs_in_with_a_code_once_and_ends_where_he_wanted_to() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let alice = Person::new(&gate, "alice", &["administrator"], &[]);
    let Some(browser) = browser(&gate) else { return };
    browser.open(&at(&gate, "/audit?action=account-add"));
    browser.type_into("input[name=name]", "alice");
    browser.type_into("input[name=password]", "not the password");
    browser.click("main button.primary");
    browser.wait_text("[role=alert]", "not right");
    password(&browser, "alice");
    browser.type_into("input.digits", "000000");
    browser.click("main button.primary");
    browser.wait_text("[role=alert]", "not right");
    let used = alice.code(0);
    browser.type_into("input.digits", &used);
    browser.click("main button.primary");
    browser.wait_text("h1", "Audit");
    assert!(browser.url().ends_with("/audit?action=account-add"), "{}", browser.url());
    browser.wait_text("table tbody", "alice");
    browser.click(".aside form[action='/sign-out'] button");
    browser.wait_text("h1", "Sign in");
    // The same code again.
    password(&browser, "alice");
    browser.type_into("input.digits", &used);
    browser.click("main button.primary");
    browser.wait_text("[role=alert]", "not right");
    let reasons = gate.octroi(&["audit", "list"], "").text;
    for reason in ["\"password\"", "\"code\"", "\"code-used\"", "\"method\":\"totp\""] {
        assert!(reasons.contains(reason), "{reasons}");
    }
    assert!(reasons.contains(" from 127."), "{reasons}");
    let complaints: Vec<_> = browser.complaints().into_iter().filter(|complaint| !complaint.contains("422")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    gate.wait_metric("octroi_console_sign_ins_total{result=\"done\"}", 1.0);
    gate.wait_metric("octroi_console_sign_ins_total{result=\"wrong_factor\"}", 2.0);
}

#[test]
fn a_stranger_s_form_of_a_thousand_fields_is_not_taken() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let mut web = Web::new(gate.console());
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for path in ["/sign-in", "/preferences", "/enrol"] {
        let page = web.send("POST", path, &form, "a&".repeat(1000).as_bytes()).must(400);
        assert!(page.text().contains("larger than any form here"), "{path}: {}", page.text());
    }
    web.get("/sign-in").must(200);
}

#[test]
fn a_person_enrols_with_a_passkey_and_signs_in_with_it() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let made = gate.octroi(&["user", "add", "Bob", "--role", "auditor"], "");
    assert!(made.success, "{}", made.text);
    let link = made.text.lines().next().unwrap().to_owned();
    assert!(link.starts_with(&at(&gate, "/enrol?code=")), "{link}");
    let Some(browser) = browser(&gate) else { return };
    browser.authenticator();
    browser.open(&link);
    browser.screenshots("enrol");
    browser.wait_text("main", "bob");
    browser.type_into("input[name=password]", PASSWORD);
    browser.type_into("input[name=again]", "another password!");
    browser.click("main button.primary");
    browser.wait_text("[role=alert]", "not the same");
    browser.type_into("input[name=password]", PASSWORD);
    browser.type_into("input[name=again]", PASSWORD);
    browser.click("main button.primary");
    browser.find(".qr img");
    browser.screenshots("enrol-factor");
    browser.type_into("input[name=label]", "Laptop");
    browser.click("#passkey");
    browser.wait_text("h1", "Recovery codes");
    browser.screenshots("recovery-codes");
    let codes = browser.texts(".codes code");
    assert_eq!(codes.len(), 10);
    // Only once.
    browser.open(&link);
    browser.wait_text("[role=alert]", "has been used");
    browser.open(&at(&gate, "/account"));
    browser.wait_text("main", "Laptop");
    browser.click(".aside form[action='/sign-out'] button");
    password(&browser, "bob");
    browser.screenshots("factor-passkey");
    browser.click("#passkey");
    browser.find("nav.places");
    // And once with a code from paper.
    browser.click(".aside form[action='/sign-out'] button");
    password(&browser, "bob");
    browser.click("main summary");
    browser.type_into("form[action='/sign-in/recovery'] input[name=code]", &codes[4]);
    browser.click("form[action='/sign-in/recovery'] button");
    browser.find("nav.places");
    let said = gate.octroi(&["audit", "list"], "").text;
    assert!(said.contains("\"method\":\"passkey\"") && said.contains("\"method\":\"recovery\""), "{said}");
}

#[test]
fn a_passkey_is_added_beside_an_authenticator_and_one_factor_is_left() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let alice = Person::new(&gate, "alice", &["auditor"], &[]);
    let Some(browser) = browser(&gate) else { return };
    browser.authenticator();
    password(&browser, "alice");
    browser.type_into("input.digits", &alice.code(0));
    browser.click("main button.primary");
    browser.find("nav.places");
    browser.open(&at(&gate, "/account"));
    browser.click("#add-passkey summary");
    browser.type_into("#add-passkey input[name=label]", "Key");
    browser.type_into("#add-passkey input[name=password]", "not the password");
    browser.click("#add-passkey button");
    browser.wait_text("#add-passkey [role=alert]", "could not be used");
    browser.type_into("#add-passkey input[name=password]", PASSWORD);
    browser.click("#add-passkey button");
    browser.wait_text(".flash", "was added");
    browser.screenshots("account");
    // The authenticator goes, the passkey stays; then it is the last.
    browser.click("details:has(form[action='/account/totp/remove']) summary");
    browser.type_into("form[action='/account/totp/remove'] input[name=password]", PASSWORD);
    browser.click("form[action='/account/totp/remove'] button");
    browser.wait_text(".flash", "removed");
    browser.click(".passkey summary");
    browser.type_into(".passkey input[name=password]", PASSWORD);
    browser.click(".passkey button");
    browser.wait_text(".flash", "last second factor");
    browser.click(".aside form[action='/sign-out'] button");
    password(&browser, "alice");
    browser.click("#passkey");
    browser.find("nav.places");
}

#[test]
fn it_works_without_a_script_and_in_french() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let made = gate.octroi(&["user", "add", "claire", "--role", "reviewer", "--domain", "example.org"], "");
    let link = made.text.lines().next().unwrap().split_once("/enrol").unwrap().1.to_owned();
    let mut web = Web::new(gate.console()).with("Accept-Language", "fr-FR,fr;q=0.9");
    let page = web.get(&format!("/enrol{link}")).must(200);
    assert!(page.text().contains("<html lang=\"fr\"") && page.text().contains("Configurer votre compte"));
    let secret = link.split_once("code=").unwrap().1;
    let weak = web.post("/enrol", &[("code", secret), ("password", "court"), ("again", "court")]).must(422);
    assert!(weak.text().contains("au moins 12 caractères"));
    assert_eq!(web.post("/enrol", &[("code", secret), ("password", PASSWORD), ("again", PASSWORD)]).to(), "/enrol/factor");
    let factor = web.get("/enrol/factor").must(200);
    let base32 = factor.text().split("class=\"secret\">").nth(1).unwrap().split('<').next().unwrap().replace(' ', "");
    let csrf = factor.csrf();
    web.post("/enrol/totp", &[("csrf", csrf.as_str()), ("code", "123")]).must(422);
    let codes = web.post("/enrol/totp", &[("csrf", csrf.as_str()), ("code", code(&base32, 0).as_str())]).must(200);
    assert!(codes.text().contains("Codes de secours"));
    assert!(web.get("/account").must(200).text().contains("claire"));
    // His account speaks English from now on, wherever he is.
    let csrf = web.get("/account").csrf();
    assert_eq!(web.post("/account/language", &[("csrf", csrf.as_str()), ("language", "en")]).to(), "/account");
    let page = web.get("/account").must(200).text();
    assert!(page.contains("<html lang=\"en\"") && page.contains("speaks English now"));
    // And said once.
    assert!(!web.get("/account").text().contains("speaks English now"));
    web.post("/preferences", &[("theme", "dark"), ("next", "//evil.example")]).must(303);
    assert!(web.get("/account").text().contains("data-theme=\"dark\""));
}

#[test]
fn guessing_gets_slower_and_tells_nobody_who_there_is() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    Person::new(&gate, "alice", &["auditor"], &[]);
    let mut web = Web::new(gate.console());
    for name in ["alice", "nobody"] {
        let answers: Vec<_> = (0..4).map(|_| web.post("/sign-in", &[("name", name), ("password", "guess")])).collect();
        let statuses: Vec<_> = answers.iter().map(|page| page.status).collect();
        assert_eq!(statuses, [422, 422, 422, 429], "{name}");
        assert!(answers[3].header("retry-after").unwrap().parse::<u64>().unwrap() <= 2);
        assert!(answers[0].text().contains("not right") && !answers[0].text().contains("no such"));
    }
    // The right one has to wait as well.
    web.post("/sign-in", &[("name", "alice"), ("password", PASSWORD)]).must(429);
    gate.wait_metric("octroi_console_sign_ins_total{result=\"throttled\"}", 3.0);
}

#[test]
fn another_site_can_send_no_form() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let alice = Person::new(&gate, "alice", &["administrator"], &[]);
    let mut web = alice.web(&gate);
    let csrf = web.get("/accounts").must(200).csrf();
    let fields = [("csrf", csrf.as_str()), ("name", "mallory"), ("role", "administrator")];
    web.post_from("https://evil.example", "/accounts", &fields).must(403);
    web.post_from("null", "/accounts", &fields).must(403);
    web.post_from("http://mx.example.org", "/accounts", &fields).must(403);
    let mut other = web.clone().with("Sec-Fetch-Site", "cross-site");
    other.post("/accounts", &fields).must(403);
    let mut sibling = web.clone().with("Sec-Fetch-Site", "same-site");
    sibling.post("/accounts", &fields).must(403);
    // Nor one without the session's own token, or with that of another.
    web.post("/accounts", &fields[1..]).must(403);
    let forged = format!("{}{}", &csrf[..csrf.len() - 1], if csrf.ends_with('0') { '1' } else { '0' });
    web.post("/accounts", &[("csrf", forged.as_str()), ("name", "mallory"), ("role", "administrator")]).must(403);
    // Also not to sign somebody in as somebody else.
    Web::new(gate.console()).post_from("https://evil.example", "/sign-in", &[("name", "alice"), ("password", PASSWORD)]).must(403);
    assert!(!gate.octroi(&["user", "list"], "").text.contains("mallory"));
    web.post("/accounts", &fields).must(200);
    assert!(gate.octroi(&["user", "list"], "").text.contains("mallory"));
}

#[test]
fn the_cookie_is_bound_and_a_session_ends() {
    let mta = Mta::start();
    let gate = super::gate_with(&mta, "idle = \"2s\"\nsession = \"1h\"");
    let alice = Person::new(&gate, "alice", &["auditor"], &[]);
    let mut web = Web::new(gate.console());
    let first = web.post("/sign-in", &[("name", "alice"), ("password", PASSWORD)]);
    let cookie = first.header("set-cookie").unwrap();
    for part in ["__Host-octroi=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
    // Half way nothing is open.
    let half_way = web.cookie("__Host-octroi").unwrap().to_owned();
    assert_eq!(web.get("/audit").to(), "/sign-in?next=%2Faudit");
    let mut web = alice.web(&gate);
    assert_ne!(web.cookie("__Host-octroi").unwrap(), half_way, "the cookie of the first half is not that of the session");
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_secs(4) {
        web.get("/audit").must(200);
        crate::support::wait::pause(std::time::Duration::from_millis(300));
    }
    crate::support::wait::pause(std::time::Duration::from_millis(2300));
    assert_eq!(web.get("/audit").to(), "/sign-in?next=%2Faudit");
    // What is in the database lets nobody in.
    let database = std::fs::read(gate.dir.path().join("state/octroi.db")).unwrap();
    let log = std::fs::read(gate.dir.path().join("state/octroi.db-wal")).unwrap_or_default();
    for secret in [half_way.as_bytes(), PASSWORD.as_bytes()] {
        assert!(![&database, &log].iter().any(|file| file.windows(secret.len()).any(|window| window == secret)));
    }
}

#[test]
fn sessions_end_with_a_click_of_their_owner_or_an_administrator_and_with_the_command_line() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let alice = Person::new(&gate, "alice", &["auditor"], &[]);
    let (mut one, mut other) = (alice.web(&gate), alice.again(&gate));
    let csrf = one.get("/account").csrf();
    one.post("/account/sessions/end", &[("csrf", csrf.as_str())]).must(303);
    assert_eq!(other.get("/account").status, 303);
    one.get("/account").must(200);
    assert!(gate.octroi(&["user", "disable", "alice"], "").success);
    assert_eq!(one.get("/account").status, 303);
    let said = gate.octroi(&["user", "list", "--json"], "").text;
    assert!(said.contains("\"state\":\"disabled\""), "{said}");
    Web::new(gate.console()).post("/sign-in", &[("name", "alice"), ("password", PASSWORD)]).must(422);
}
