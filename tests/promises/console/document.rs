//! The API does what its document says, whatever it is asked: schemathesis makes up the questions
//! from the document, those it allows and those it does not.
use super::people::Person;
use crate::support::{Client, Mta, Setup, client::message, partners};
use std::process::Command;

#[test]
fn the_api_does_what_its_document_says() {
    let Some(schemathesis) = partners::unpacked("schemathesis") else { return };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().console("").and(crate::quarantine::RULES).start();
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message("hold")).must(250);
    Person::new(&gate, "alice", &["senior", "auditor", "administrator"], &["*"]);
    let mut add = vec!["user", "token", "add", "alice"];
    for scope in ["quarantine.read", "quarantine.content", "quarantine.release", "quarantine.delete", "quarantine.hold", "quarantine.note"]
    {
        add.extend(["--scope", scope]);
    }
    add.extend(["--scope", "messages.read", "--scope", "audit.read", "--scope", "accounts.manage"]);
    let token = gate.octroi(&add, "");
    assert!(token.success, "{}", token.text);
    let api = format!("https://{}/api/v1", gate.console());
    let mut command = Command::new("python3");
    command.arg(schemathesis.join("bin/st")).args(["run", &format!("{api}/openapi.json"), "--url", &api, "--tls-verify", "false"]);
    command.args(["-H", &format!("Authorization: Bearer {}", token.text.trim()), "-n", "30", "--seed", "1", "--continue-on-failure"]);
    command.env("PYTHONPATH", &schemathesis).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(gate.dir.path());
    let said = partners::run_command(command, b"");
    assert!(said.success, "{}", said.text);
    assert!(said.text.contains("17 selected / 17 total"), "{}", said.text);
}
