use super::*;
use crate::value::settings::Problems;
use std::path::Path;
use toml::de::DeTable;

fn read(text: &str) -> (Settings, Vec<(String, String)>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "{errors:?}");
    let problems = Problems::default();
    let settings = Settings::read(&mut Section::root(&table, problems.clone()));
    let found = problems.take().into_iter().map(|p| (text[p.span].to_owned(), p.text));
    (settings, found.collect())
}

#[test]
fn what_is_left_out_is_as_documented() {
    let (settings, problems) = read("hostname = \"mx.example.org\"\n[[listener]]\nname = \"mx\"\naddress = \"[::]:25\"\ntls = \"off\"\n");
    assert_eq!(problems, []);
    assert_eq!(&*settings.hostname, "mx.example.org");
    assert_eq!(settings.listeners[0].address, ListenAddress::Ip("[::]:25".parse().unwrap()));
    assert_eq!(settings.limits.message_memory, 1 << 20);
    assert_eq!(settings.timeouts.client_data, Duration::from_secs(180));
    assert_eq!(settings.smtp.bare_newline, BareNewline::Normalize);
    assert_eq!(*settings.unpack, unpack::Limits::default());
}

#[test]
fn what_is_unpacked_is_bounded() {
    let text = format!("{LISTENER}tls = \"off\"\n[unpack]\nsize = \"1MiB\"\nfiles = 2\ndepth = 3\nratio = 4\ntime = \"5s\"\n");
    let (settings, problems) = read(&text);
    assert_eq!(problems, []);
    let limits = unpack::Limits { size: 1 << 20, files: 2, depth: 3, ratio: 4, time: Duration::from_secs(5) };
    assert_eq!(*settings.unpack, limits);
    let (_, problems) = read(&format!("{LISTENER}tls = \"off\"\n[unpack]\ndepth = 0\nlevels = 3\n"));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].1.starts_with("`unpack.depth`: with nothing"), "{problems:?}");
}

/// A certificate and its key, as files in `directory`.
fn files(directory: &Path, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed(vec![format!("{name}.example.org")]).unwrap();
    let [certificate, key] = ["pem", "key"].map(|end| directory.join(format!("{name}.{end}")));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    format!("certificate = \"{}\"\nprivate_key = \"{}\"\n", certificate.display(), key.display())
}

#[test]
fn the_state_has_one_place_wherever_octroi_is_started() {
    for wrong in ["state", "./state", "~/state"] {
        let (_, problems) = read(&format!("state_dir = \"{wrong}\"\n{LISTENER}tls = \"off\"\n"));
        assert!(problems.len() == 1 && problems[0].1.starts_with("`state_dir`: write the whole path"), "{wrong}: {problems:?}");
    }
}

const LISTENER: &str = "hostname = \"mx.example.org\"\n[[listener]]\nname = \"mx\"\naddress = \"systemd:smtp\"\n";

#[test]
fn one_certificate_or_several() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (files(directory.path(), "a"), files(directory.path(), "b"));
    let (one, problems) = read(&format!("{LISTENER}[tls]\n{a}"));
    assert_eq!(problems, []);
    assert_eq!(one.tls.certificates.len(), 1);
    assert_eq!(one.listeners[0].address, ListenAddress::Systemd("smtp".into()));
    let (several, problems) = read(&format!("{LISTENER}[[tls.certificate]]\n{a}[[tls.certificate]]\n{b}"));
    assert_eq!(problems, []);
    assert_eq!(several.tls.files().len(), 4);
    let (_, problems) = read(&format!("{LISTENER}[[tls.certificate]]\n{a}[[tls.certificate]]\ncertificate = \"b.pem\"\n"));
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].1.starts_with("`tls.certificate.private_key` is missing"), "{problems:?}");
    assert!(problems[1].0 == "\"b.pem\"" && problems[1].1.contains("cannot be read"), "{problems:?}");
}

#[test]
fn certificates_are_opened_and_mistakes_in_them_have_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (files(directory.path(), "a"), files(directory.path(), "b"));
    let foreign: String = [a.lines().next(), b.lines().last()].into_iter().flatten().map(|line| format!("{line}\n")).collect();
    let (_, problems) = read(&format!("{LISTENER}[tls]\n{foreign}"));
    assert!(problems.len() == 1 && problems[0].0.ends_with("b.key\"") && problems[0].1.contains("not the key of"), "{problems:?}");
    std::fs::remove_file(directory.path().join("a.pem")).unwrap();
    let (_, problems) = read(&format!("{LISTENER}[tls]\n{a}"));
    assert!(problems.len() == 1 && problems[0].0.ends_with("a.pem\""), "{problems:?}");
}

#[test]
fn settings_that_contradict_each_other_are_told_with_their_place() {
    let (_, problems) = read(
        r#"hostname = "localhost"
[[listener]]
name = "mx"
address = "0.0.0.0:25"
[[listener]]
name = "mx"
address = "0.0.0.0:25"
tls = "off"
require_tls = true
client_certificate = "request"
auth = "forward"
[[listener]]
name = "a name"
address = "25"
tls = "off"
[limits]
memory = "1MiB"
message_memory = "2MiB"
recipients = 10
connections = 0
[timeouts]
client_data = "0s"
hold = "0s"
"#,
    );
    let places: Vec<_> = problems.iter().map(|(place, _)| place.as_str()).collect();
    let expected = [
        "\"localhost\"",
        "[[listener]]",
        "\"mx\"",
        "\"0.0.0.0:25\"",
        "true",
        "\"request\"",
        "\"forward\"",
        "\"a name\"",
        "\"25\"",
        "\"2MiB\"",
        "10",
        "0",
        "\"0s\"",
    ];
    assert_eq!(places, expected, "{problems:#?}");
}
