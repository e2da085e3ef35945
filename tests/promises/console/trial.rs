//! `octroi try` ends where somebody can sign in.
use super::people::code;
use crate::support::{Browser, Gate, wait};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// Ended with its test.
struct Trial(Child);

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_newcomer_signs_in_with_what_he_was_told_and_releases_what_is_held() {
    let Some(browser) = Browser::start([127, 0, 0, 1].into()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(Gate::binary());
    command.args(["try", "--directory"]).arg(dir.path().join("trial")).env_remove("NOTIFY_SOCKET");
    let mut trial = Trial(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap());
    let mut lines = BufReader::new(trial.0.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    // It stays up after its last word, so there is no end to read to.
    while !said.iter().any(|line: &String| line.contains("Ctrl-C")) {
        said.push(lines.next().unwrap_or_else(|| panic!("it ended: {said:#?}")).unwrap());
    }
    let of = |what: &str| {
        let line = said.iter().find_map(|line| line.trim_start().strip_prefix(what));
        line.unwrap_or_else(|| panic!("no {what} in {said:#?}")).trim().to_owned()
    };
    let url = of("console").split(' ').next().unwrap().to_owned();
    assert!(said.iter().filter(|line| line.contains('▀')).count() > 10, "no picture in {said:#?}");
    browser.open(&url);
    browser.type_into("input[name=name]", &of("account"));
    browser.type_into("input[name=password]", &of("password"));
    browser.click("main button.primary");
    browser.type_into("input.digits", &code(&of("or by hand"), 0));
    browser.click("main button.primary");
    browser.find("nav.places a[href='/audit']");
    // Looks at what is held, lets it go, and sees it arrive.
    let mail = || fs::read_dir(dir.path().join("trial/mail")).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let released = || mail().filter(|octets| octets.windows(18).any(|part| part == b"X-Octroi-Released:")).count();
    assert_eq!(released(), 0);
    browser.open(&format!("{url}quarantine"));
    browser.click("#entries td.subject a");
    browser.click("#release");
    browser.wait_text(".flash", "Released to");
    assert_eq!(released(), 1);
    browser.open(&format!("{url}audit"));
    wait::until("the sign-in to be in the audit", || browser.texts("tbody td").iter().any(|text| text == "signed in").then_some(()));
}
