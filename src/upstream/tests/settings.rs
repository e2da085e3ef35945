use crate::upstream::{Endpoint, IdentityMode, Timeouts, settings::read};
use crate::value::settings::{Problems, Section};
use std::time::Duration;
use toml::de::DeTable;

/// Each mistake with the text at its place.
fn mistakes(text: &str) -> Vec<(String, String)> {
    let table = DeTable::parse(text).unwrap();
    let problems = Problems::default();
    read(&mut Section::root(&table, problems.clone()));
    problems.take().into_iter().map(|problem| (text[problem.span].to_owned(), problem.text)).collect()
}

#[test]
fn what_is_configured_is_read() {
    let text = r#"
        upstream.default = { addresses = ["127.0.0.1:10025", "[::1]:25", "Mail.example.com:2525"] }
        upstream.exchange = { addresses = ["ex:25"], tls = "off", identity = "proxy-v2", connections = 7, idle = "5s" }
        route = [{ domains = ["Example.com", "*.example.com"], upstream = "exchange" }]
        timeouts = { upstream_connect = "1s", upstream_command = "2s", upstream_final = "3s" }
    "#;
    let table = DeTable::parse(text).unwrap();
    let problems = Problems::default();
    let mut root = Section::root(&table, problems.clone());
    let (upstreams, routes) = read(&mut root);
    let timeouts = Timeouts::read(&mut root.section("timeouts"));
    drop(root);
    assert_eq!(problems.take(), []);
    let find = |name| upstreams.iter().find(|upstream| &*upstream.name == name).unwrap();
    let default = find("default");
    let names: Vec<_> = default.servers.iter().map(Endpoint::to_string).collect();
    assert_eq!(names, ["127.0.0.1:10025", "[::1]:25", "Mail.example.com:2525"]);
    assert!(default.tls.as_ref().is_some_and(|tls| !tls.required), "opportunistic unless something else is said");
    assert_eq!((default.identity, default.connections, default.idle), (IdentityMode::None, 100, Duration::from_secs(60)));
    let exchange = find("exchange");
    assert!(exchange.tls.is_none());
    assert_eq!((exchange.identity, exchange.connections, exchange.idle), (IdentityMode::ProxyV2, 7, Duration::from_secs(5)));
    assert_eq!((&*routes[0].domains, &*routes[0].upstream), (&["example.com".into(), "*.example.com".into()][..], "exchange"));
    let seconds = |n| Duration::from_secs(n);
    assert_eq!(timeouts, Timeouts { connect: seconds(1), command: seconds(2), end_of_data: seconds(3) });
}

#[test]
fn every_mistake_has_its_place() {
    let text = r#"
[upstream.other]
addresses = ["127.0.0.1", "x:25"]
adresses = []
tls = "may"
ca = "/ca.pem"
connections = 0
[[route]]
domains = ["a@b"]
upstream = "nowhere"
[[route]]
upstream = "other"
"#;
    let found = mistakes(text);
    let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(
        places,
        ["", r#""127.0.0.1""#, "adresses", r#""may""#, r#""/ca.pem""#, "0", r#""a@b""#, r#""nowhere""#, "[[route]]"],
        "{found:#?}"
    );
    assert!(found[0].1.contains("[upstream.default]"), "{}", found[0].1);
    assert!(found[7].1.contains("`other`"), "{}", found[7].1);
}

#[test]
fn a_ca_that_cannot_be_read_is_a_mistake() {
    for file in ["/nonexistent.pem", "/dev/null"] {
        let found = mistakes(&format!(
            "[upstream.default]\naddresses = [\"x:25\"]\ntls = \"required\"\nca = \"{file}\"\nserver_name = \"not a name\""
        ));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].0, format!("\"{file}\""));
        assert!(found[1].1.contains("not a name"));
    }
    let pinned = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(pinned.path(), rcgen::generate_simple_self_signed(["mx".to_owned()]).unwrap().cert.pem()).unwrap();
    let text = format!("[upstream.default]\naddresses = [\"x:25\"]\ntls = \"required\"\nca = {:?}\nserver_name = \"mx\"", pinned.path());
    assert_eq!(mistakes(&text), []);
}

#[test]
fn endpoints_have_a_host_and_a_port() {
    for right in ["127.0.0.1:25", "[2001:db8::1]:587", "mx:25", "mx_1.example.com:10025", "localhost:1"] {
        assert_eq!(Endpoint::parse(right).unwrap().to_string(), right);
    }
    for wrong in [
        "",
        ":25",
        "mx",
        "mx:",
        "mx:0",
        "mx:65536",
        "::1:25",
        "2001:db8::1",
        "[mx]:25",
        "127.0.0.1.1:25",
        "10.0.1:25",
        "a b:25",
        "-x:25",
        "a..b:25",
        "smtp://mx:25",
    ] {
        assert!(Endpoint::parse(wrong).is_none(), "{wrong}");
    }
}
