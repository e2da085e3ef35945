use super::*;
use crate::value::settings::{Problems, Section};
use toml::de::DeTable;

fn read(text: &str) -> (Settings, Vec<(String, String)>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "{errors:?}");
    let problems = Problems::default();
    let settings = Settings::read(&mut Section::root(&table, problems.clone()), "MX.example.org", Path::new("/state"));
    (settings, problems.take().into_iter().map(|problem| (text[problem.span].to_owned(), problem.text)).collect())
}
#[test]
fn little_has_to_be_said() {
    let (settings, mistakes) = read("terms_agreed = true\n");
    assert_eq!(mistakes, []);
    assert_eq!((settings.names, settings.contact), (vec!["mx.example.org".to_owned()], vec![]));
    assert_eq!((settings.directory.starts_with("https://acme-v02.api.letsencrypt.org/"), settings.challenge_address.port()), (true, 80));
    let (settings, mistakes) =
        read("terms_agreed = true\ncontact = [\"a@example.org\", \"mailto:b@example.org\"]\nnames = [\"A.example.org\"]\n");
    assert_eq!(mistakes, []);
    assert_eq!(
        (settings.names, settings.contact),
        (vec!["a.example.org".to_owned()], vec!["mailto:a@example.org".to_owned(), "mailto:b@example.org".to_owned()])
    );
}

#[test]
fn the_console_is_asked_where_both_stand_at_one_place() {
    let settings = |lines: &str| read(&format!("terms_agreed = true\nchallenge = \"tls-alpn-01\"\n{lines}")).0;
    let usual = settings("");
    assert_eq!((usual.challenge, usual.challenge_address.port()), (Challenge::TlsAlpn, 443));
    let here = settings("challenge_address = \"192.0.2.1:443\"");
    for (console, by_default, if_here) in [
        ("0.0.0.0:443", true, true),
        ("[::]:443", true, true),
        ("192.0.2.1:443", true, true),
        ("[::ffff:192.0.2.1]:443", true, true),
        ("192.0.2.2:443", true, false),
        ("0.0.0.0:8443", false, false),
    ] {
        let console = console.parse().unwrap();
        assert_eq!((usual.is_asked_at(console), here.is_asked_at(console)), (by_default, if_here), "{console}");
    }
    let over_http = read("terms_agreed = true\nchallenge_address = \"192.0.2.1:443\"").0;
    assert!(!over_http.is_asked_at("192.0.2.1:443".parse().unwrap()));
}

#[test]
fn mistakes_are_told_at_their_place() {
    for (text, place, why) in [
        ("names = [\"x.example.org\"]\n", "", "`terms_agreed` is missing"),
        ("terms_agreed = false\n", "false", "without your agreement"),
        ("terms_agreed = true\nnames = []\n", "[]", "one name at least"),
        ("terms_agreed = true\nnames = [\"*.example.org\"]\n", "\"*.example.org\"", "wildcards need DNS-01"),
        ("terms_agreed = true\nchallenge = \"dns-01\"\n", "\"dns-01\"", "\"tls-alpn-01\""),
        ("terms_agreed = true\ncontact = [\"nobody\"]\n", "\"nobody\"", "is no mail address"),
        ("terms_agreed = true\ndirectory = \"http://x/\"\n", "\"http://x/\"", "no URL that begins with https://"),
        ("terms_agreed = true\ndirectory = \"https://x/ y\"\n", "\"https://x/ y\"", "no URL that begins with https://"),
        ("terms_agreed = true\nca = \"/none\"\n", "\"/none\"", "/none"),
    ] {
        let (_, mistakes) = read(text);
        assert!(mistakes.len() == 1 && mistakes[0].0 == place && mistakes[0].1.contains(why), "{text}: {mistakes:?}");
    }
}

#[test]
fn an_authority_that_fails_is_asked_less_and_less() {
    let pauses: Vec<_> = [0, 1, 2, 8, 9, 40, u32::MAX].map(|failures| pause(failures).as_secs()).into();
    assert_eq!(pauses, [60, 120, 240, 15_360, 21_600, 21_600, 21_600]);
}

#[test]
fn who_may_not_listen_is_told_what_it_takes() {
    let told = |kind: ErrorKind| AcmeError::Listen("[::]:80".parse().unwrap(), kind.into()).to_string();
    assert!(told(ErrorKind::PermissionDenied).contains("CAP_NET_BIND_SERVICE"));
    assert!(!told(ErrorKind::AddrInUse).contains("CAP_NET_BIND_SERVICE"));
}
