//! The dashboards as files: what a person would stumble over.

use super::board::{self, Board};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Left, top, right, bottom.
fn area(panel: &Value) -> [u64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
    assert!(w > 0 && h > 0 && x + w <= 24, "{panel}");
    [x, y, x + w, y + h]
}

#[test]
fn there_are_six_of_them_with_names_that_last() {
    let boards = board::all();
    let uids: Vec<_> = boards.iter().map(Board::uid).collect();
    let wanted = ["octroi-attacks", "octroi-mail-flow", "octroi-process", "octroi-quarantine", "octroi-stages", "octroi-upstreams"];
    assert_eq!(uids, wanted);
    for board in &boards {
        assert!(board.json["id"].is_null(), "an id is Grafana's own");
        assert!((39..=41).contains(&board.json["schemaVersion"].as_u64().unwrap()));
        assert!(board.json.get("__inputs").is_none());
        assert!(!board.json["description"].as_str().unwrap().is_empty());
    }
}

#[test]
fn panels_have_what_a_reader_needs() {
    for board in board::all() {
        let ids: BTreeSet<_> = board.panels().iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), board.panels().len(), "{}: an id stands twice", board.uid());
        let mut titles = BTreeMap::new();
        for panel in board.shown() {
            let name = board.name_of(panel);
            *titles.entry(name.clone()).or_insert(0) += 1;
            let description = panel["description"].as_str().unwrap();
            assert!(description.len() > 10 && description.ends_with('.'), "{name}: {description:?}");
            assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty(), "{name} has no unit");
            assert!(!panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().unwrap().is_empty(), "{name}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{name} asks nothing");
            for source in targets.iter().map(|target| &target["datasource"]).chain([&panel["datasource"]]) {
                assert_eq!((&source["uid"], &source["type"]), (&"${datasource}".into(), &"prometheus".into()), "{name}");
            }
            let letters: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
            assert_eq!(letters.len(), targets.len(), "{name}");
        }
    }
}

#[test]
fn panels_lie_side_by_side_and_leave_no_holes() {
    for board in board::all() {
        let areas: Vec<_> = board.panels().iter().map(|panel| (board.name_of(panel), area(panel))).collect();
        for (n, (name, [left, top, right, bottom])) in areas.iter().enumerate() {
            for (other, [l, t, r, b]) in &areas[n + 1..] {
                assert!(right <= l || r <= left || bottom <= t || b <= top, "{name} covers {other}");
            }
        }
        let (mut covered, height) = (BTreeSet::new(), areas.iter().map(|(_, area)| area[3]).max().unwrap());
        for (_, [left, top, right, bottom]) in &areas {
            covered.extend((*top..*bottom).flat_map(|y| (*left..*right).map(move |x| (y, x))));
        }
        let hole = (0..height).flat_map(|y| (0..24).map(move |x| (y, x))).find(|cell| !covered.contains(cell));
        assert_eq!(hole, None, "{}: nothing at (y, x)", board.uid());
    }
}

#[test]
fn variables_are_used_and_what_is_used_is_one() {
    for board in board::all() {
        let whole = board.json.to_string();
        let names: Vec<_> = board.variables().iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        for name in ["datasource", "job", "instance", "console_url", "runbook_url"] {
            assert!(names.contains(&name), "{} has no variable {name}", board.uid());
        }
        for name in &names {
            assert!(
                whole.contains(&format!("${name}\\\"")) || whole.contains(&format!("${{{name}}}")),
                "{}: nobody uses ${name}",
                board.uid()
            );
        }
        for question in board.questions() {
            for word in question.expr.split('$').skip(1) {
                let name: String = word.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                assert!(name.starts_with("__") || names.contains(&name.as_str()), "{}: ${name} is no variable", question.of);
            }
            // One that asks for less than the instances chosen would show another's troubles.
            for metric in question.expr.match_indices("instance=~\"$instance\"") {
                assert!(question.expr[..metric.0].ends_with("job=~\"$job\","), "{}: {}", question.of, question.expr);
            }
            let selectors = question.expr.matches('{').count();
            assert_eq!(question.expr.matches("instance=~\"$instance\"").count(), selectors, "{}: {}", question.of, question.expr);
        }
    }
}
