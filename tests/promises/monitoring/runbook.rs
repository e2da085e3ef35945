//! Alerts, their tests, the runbook and the dashboards name each other.

use super::{RULES, board, text};
use std::collections::BTreeSet;

/// The alerts, in the order of the file.
pub fn alerts() -> Vec<String> {
    let names = text(RULES[1]);
    let names: Vec<_> = names.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    assert!(names.len() > 25);
    names
}

/// The headings of the runbook that are alerts, in their order.
fn sections() -> Vec<String> {
    text("deploy/RUNBOOK.md")
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|title| title.starts_with("Octroi"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_alert_has_its_section_and_every_section_its_alert() {
    assert_eq!(sections(), alerts(), "in the same order, so that one finds his way");
    let runbook = text("deploy/RUNBOOK.md");
    for section in runbook.split("\n## Octroi").skip(1) {
        let name = section.lines().next().unwrap();
        let parts: Vec<_> = ["**Means.**", "**Look.**", "**Do.**"].into_iter().map(|part| section.find(part)).collect();
        assert!(parts.iter().all(Option::is_some) && parts.is_sorted(), "Octroi{name}: {parts:?}");
    }
}

#[test]
fn every_alert_is_tested_both_ways() {
    for name in alerts() {
        let tests = text("deploy/prometheus/tests/alerts.test.yml") + &text("deploy/prometheus/tests/weekly.test.yml");
        let quiet = format!("alertname: {name} }}");
        let fires = format!("alertname: {name}\n        exp_alerts:\n          - exp_labels:");
        assert!(tests.contains(&quiet), "nothing says when {name} does not fire");
        assert!(tests.contains(&fires), "nothing says when {name} fires");
    }
}

#[test]
fn links_lead_somewhere() {
    let anchors: BTreeSet<String> = sections().iter().map(|name| name.to_lowercase()).collect();
    let boards = board::all();
    let mut linked = BTreeSet::new();
    for board in &boards {
        let whole = board.json.to_string();
        for link in whole.split("${runbook_url}#").skip(1) {
            let anchor: String = link.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(anchors.contains(&anchor), "{}: the runbook has no {anchor}", board.uid());
            linked.insert(anchor);
        }
    }
    // Nothing to show where nothing is scraped; and certificates have one panel, which leads to one of
    // the three that are about them.
    let elsewhere = ["octroiabsent", "octroicertificateabouttoexpire", "octroiacmefailing"];
    let shown: BTreeSet<_> = anchors.iter().filter(|name| !elsewhere.contains(&name.as_str())).cloned().collect();
    let unlinked: Vec<_> = shown.difference(&linked).collect();
    assert!(unlinked.is_empty(), "no panel shows what these are about: {unlinked:?}");
    for link in text("deploy/RUNBOOK.md").split("](#").skip(1) {
        let anchor = link.split(')').next().unwrap();
        assert!(anchors.contains(anchor), "the runbook links to {anchor}");
    }
    let rules = text(RULES[1]);
    for (n, line) in rules.lines().enumerate() {
        if let Some(uid) = line.trim().strip_prefix("dashboard: ") {
            assert!(boards.iter().any(|board| board.uid() == uid), "line {}: no dashboard {uid}", n + 1);
        }
    }
}

/// Lines of the runbook's blocks that begin with `octroi`, without what is said about them.
pub fn commands() -> Vec<String> {
    let runbook = text("deploy/RUNBOOK.md");
    let blocks = runbook.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter(|line| line.starts_with("octroi "));
    let commands: BTreeSet<_> = lines.map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    commands.into_iter().collect()
}
