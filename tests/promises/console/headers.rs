//! Every answer keeps a page from being more than a page.
use crate::support::{Mta, Page, Web};

#[track_caller]
pub fn assert_protected(page: &Page) {
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
}

#[test]
fn every_answer_has_them_and_assets_are_kept() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let mut web = Web::new(gate.console());
    for (path, status) in [("/", 303), ("/nothing/here", 404), ("/sign-in", 200), ("/audit", 303), ("/api/v1/whoami", 401)] {
        let page = web.get(path).must(status);
        assert_protected(&page);
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
    }
    assert_protected(&web.send("TRACE", "/sign-in", &[], b"").must(405));
    let sign_in = web.get("/sign-in").text();
    let asset = |end: &str| {
        let path = sign_in.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(end)).unwrap();
        path.to_owned()
    };
    for (end, kind) in [("octroi.css", "text/css"), ("octroi.js", "text/javascript"), ("icon.svg", "image/svg+xml")] {
        let page = web.get(&asset(end)).must(200);
        assert_protected(&page);
        assert!(page.header("content-type").unwrap().starts_with(kind));
        assert!(page.header("cache-control").unwrap().contains("immutable"));
    }
    web.get("/assets/0123456789abcdef/octroi.css").must(404);
    assert_eq!(web.get("/").to(), "/sign-in");
    assert_eq!(web.get("/audit?actor=a%26b").to(), "/sign-in?next=%2Faudit%3Factor%3Da%2526b");
    let problem = web.get("/api/v1/whoami");
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    assert_eq!((problem.json()["status"].as_u64(), problem.header("www-authenticate")), (Some(401), Some("Bearer")));
}

#[test]
fn an_answer_before_the_end_of_the_request_leaves_the_connection_to_the_next() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let web = Web::new(gate.console());
    // No token, so nothing of the body matters; programs send it after the header section.
    let head = "POST /api/v1/allowances HTTP/1.1\r\nHost: mx.example.org\r\nContent-Length: 2\r\n\r\n".to_owned();
    let next = "{}GET /api/v1/whoami HTTP/1.1\r\nHost: mx.example.org\r\nConnection: close\r\n\r\n".to_owned();
    let answers = web.pieces(&[head, next]);
    assert_eq!(answers.matches("HTTP/1.1 401").count(), 2, "{answers}");
}

#[test]
fn check_says_where_it_is() {
    let mta = Mta::start();
    let gate = super::gate(&mta);
    let said = gate.octroi(&["check"], "");
    assert!(said.success && said.text.contains(&format!("https://mx.example.org:{}/", gate.console().port())), "{}", said.text);
}
