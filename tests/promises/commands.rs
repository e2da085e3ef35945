//! The commands a newcomer begins with: `octroi try` and `octroi certs`.

use crate::support::{Gate, Setup, partners};
use rustix::process::Signal;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

fn octroi(args: &[&str]) -> partners::Output {
    let mut command = Command::new(Gate::binary());
    command.args(args).env_remove("NOTIFY_SOCKET");
    partners::run_command(command, b"")
}

/// All samples fare as they should, what was delivered is in the folder, and the page is made for
/// eighty columns.
#[test]
fn the_whole_path_can_be_tried_with_one_command() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("trial");
    let said = octroi(&["try", "--once", "--directory", folder.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    let count = |word: &str| said.text.lines().filter(|line| line.trim_start().starts_with(word)).count();
    assert_eq!((count("delivered"), count("refused"), count("held")), (6, 7, 1), "{}", said.text);
    let paths_are_as_long_as_they_are = |line: &&str| !line.contains(folder.to_str().unwrap());
    for line in said.text.lines().filter(paths_are_as_long_as_they_are) {
        assert!(line.chars().count() <= 80 && !line.contains('\u{1b}'), "{line}");
    }
    let mail: Vec<_> = fs::read_dir(folder.join("mail")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let messages: Vec<_> = mail.iter().filter(|path| path.extension().is_some_and(|end| end == "eml")).collect();
    assert_eq!(messages.len(), 6, "{mail:?}");
    for message in messages {
        let text = fs::read_to_string(message).unwrap();
        assert!(text.starts_with("Received: from client.example.net") && text.contains("\nX-Octroi: seen\r\n"), "{text}");
        let id = message.file_stem().unwrap().to_str().unwrap();
        assert!(said.text.contains(&format!("queued as {id}")), "{id} not in {}", said.text);
    }
    assert!(fs::read_to_string(folder.join("octroi.log")).unwrap().contains("verdict=delivered"));
    // The settings it wrote are a configuration like any other.
    let check = octroi(&["check", "--config", folder.join("octroi.toml").to_str().unwrap()]);
    assert_eq!(check.code, Some(0), "{}", check.text);
    // It does not mix its files with anybody's.
    assert_eq!(octroi(&["try", "--once", "--directory", folder.to_str().unwrap()]).code, Some(1));
}

#[test]
fn a_trial_in_front_of_nothing_says_so() {
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = octroi(&["try", "--once", "--upstream", &port.to_string()]);
    assert!(said.code == Some(1) && said.text.contains(&format!("{port} cannot be used: no upstream answers")), "{}", said.text);
}

/// Whenever it comes: nothing is left of it, the certificate's key least of all.
#[test]
fn a_trial_that_is_interrupted_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(Gate::binary());
    command.arg("try").env("TMPDIR", dir.path()).env_remove("NOTIFY_SOCKET").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut trial = command.spawn().unwrap();
    let mut lines = BufReader::new(trial.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("offers STARTTLS")), "it has not begun");
    rustix::process::kill_process(rustix::process::Pid::from_child(&trial), Signal::INT).unwrap();
    assert!(lines.all(|line| !line.contains("Ctrl-C")), "the samples were sent all the same");
    assert!(trial.wait().unwrap().success());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_trial_that_ends_at_once_names_nothing_that_is_gone() {
    let said = octroi(&["try", "--once"]);
    assert!(said.code == Some(0) && !said.text.contains("octroi.log") && !said.text.contains("swaks"), "{}", said.text);
}

#[test]
fn certificates_can_be_made_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let certs = dir.path().join("certs");
    let make = |more: &[&str]| octroi(&[&["certs", "--directory", certs.to_str().unwrap()], more].concat());
    let made = make(&["mx.example.org"]);
    assert_eq!(made.code, Some(0), "{}", made.text);
    let again = make(&["mx.example.org"]);
    assert!(again.code == Some(1) && again.text.contains("--force"), "{}", again.text);
    let config = dir.path().join("octroi.toml");
    fs::write(&config, configuration(&certs)).unwrap();
    let shown = octroi(&["certs", "--config", config.to_str().unwrap()]);
    assert_eq!(shown.code, Some(0), "{}", shown.text);
    for wanted in ["names    mx.example.org", "days left", "key.pem fits", "listener mx (127.0.0.1:2525, tls starttls)"] {
        assert!(shown.text.contains(wanted), "{wanted} not in {}", shown.text);
    }
}

fn configuration(certs: &Path) -> String {
    format!(
        "hostname = \"mx.example.org\"\n[tls]\ncertificate = \"{0}/fullchain.pem\"\nprivate_key = \"{0}/key.pem\"\n\
         [[listener]]\nname = \"mx\"\naddress = \"127.0.0.1:2525\"\n[upstream.default]\naddresses = [\"127.0.0.1:25\"]\n",
        certs.display()
    )
}

#[test]
fn completions_and_manual_pages_are_made_from_the_command_line() {
    let script = octroi(&["completions", "bash"]);
    assert!(script.code == Some(0) && script.text.contains("--config"), "{}", script.text);
    let page = octroi(&["man"]);
    assert!(page.code == Some(0) && page.text.contains(".TH octroi 1"), "{}", page.text);
}

#[test]
fn what_is_in_effect_is_explained_and_editors_have_a_schema() {
    let gate = Setup::before(crate::support::places::free()).mx().prepare();
    let said = |arguments: &[&str]| {
        let output = Command::new(Gate::binary()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let config = gate.config().display().to_string();
    let shown = said(&["check", "--explain", "--config", &config]);
    assert!(shown.lines().any(|line| line.starts_with("hostname = ") && line.ends_with(&format!("{config}:1"))), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("recipients = 1000 ") && line.ends_with("default")), "{shown}");
    let schema: serde_json::Value = serde_json::from_str(&said(&["config", "schema"])).unwrap();
    assert_eq!(schema["properties"]["limits"]["properties"]["recipients"]["type"], "integer");
}
