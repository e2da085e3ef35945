//! Dashboards, rules and runbook: they are there, they fit together, and what they ask is answered.

mod board;
mod live;
mod runbook;
mod shape;

use crate::support::partners;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const RULES: [&str; 2] = ["deploy/prometheus/octroi-recording.yml", "deploy/prometheus/octroi-alerts.yml"];

/// A file or folder of the repository.
fn place(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(place(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Runs `promtool` with `input`; what it says where it is not content. `None` where it is missing.
fn promtool(arguments: &[&str], input: &[u8]) -> Option<Result<(), String>> {
    let program = partners::find("promtool")?;
    let output = partners::run(&program, arguments, input);
    Some(if output.success { Ok(()) } else { Err(output.text) })
}

#[test]
fn rules_and_configuration_are_what_prometheus_reads() {
    let rules = RULES.map(|path| place(path).display().to_string());
    let Some(checked) = promtool(&["check", "rules", &rules[0], &rules[1]], b"") else { return };
    checked.unwrap();
    // The example names the rules where the package puts them.
    let example = text("deploy/prometheus/prometheus.yml");
    let here = example.replace("/usr/share/octroi/prometheus", place("deploy/prometheus").to_str().unwrap());
    assert_ne!(example, here);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prometheus.yml");
    fs::write(&path, here).unwrap();
    promtool(&["check", "config", path.to_str().unwrap()], b"").unwrap().unwrap();
}

#[test]
fn every_alert_fires_when_it_should_and_not_when_it_should_not() {
    let folder = place("deploy/prometheus/tests");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    let arguments: Vec<String> = ["test".into(), "rules".into()].into_iter().chain(files).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(tested) = promtool(&arguments, b"") else { return };
    tested.unwrap();
}

#[test]
fn dashboards_are_what_their_source_makes() {
    let Some(python) = partners::find("python3") else { return };
    let checked = partners::run(&python, [place("deploy/grafana/source/build.py").to_str().unwrap(), "--check"], b"");
    assert!(checked.success, "run deploy/grafana/source/build.py: {}", checked.text);
}

/// `./test` installs Grafana's SDK, which is its published schema, beside the other partners.
#[test]
fn dashboards_fit_grafanas_own_schema() {
    let Some(python) = partners::find("python3") else { return };
    let Some(sdk) = partners::unpacked("grafana") else { return };
    let check = |files: Vec<PathBuf>| {
        let mut command = Command::new(&python);
        command.arg(place("deploy/grafana/source/schema.py")).args(files).env("PYTHONPATH", &sdk).env("PYTHONDONTWRITEBYTECODE", "1");
        partners::run_command(command, b"")
    };
    let checked = check(board::all().into_iter().map(|board| board.path).collect());
    assert!(checked.success, "{}", checked.text);
    // It would say so if they did not.
    let dir = tempfile::tempdir().unwrap();
    for (good, bad, complaint) in [
        (r#""gridPos""#, r#""gridPoss""#, "gridPoss: the schema does not know it"),
        (r#""unit": "mps""#, r#""unit": 7"#, "unit: 7 is no str"),
        (r#""colorMode": "value""#, r#""colorMode": "valu""#, "'valu' is none of"),
        (r#""asDropdown": true"#, r#""asDropdown": "yes""#, "'yes' is no bool"),
    ] {
        let path = dir.path().join("bad.json");
        let original = text("deploy/grafana/dashboards/mail-flow.json");
        fs::write(&path, original.replacen(good, bad, 1)).unwrap();
        let checked = check(vec![path]);
        assert!(!checked.success && checked.text.contains(complaint), "{complaint} not in {}", checked.text);
    }
}
