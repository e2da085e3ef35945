//! A dashboard, as the tests look at it.

use super::place;
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::PathBuf};

pub struct Board {
    pub path: PathBuf,
    pub json: Value,
}

/// What a dashboard asks Prometheus.
pub struct Question {
    /// `dashboard / panel`.
    pub of: String,
    pub expr: String,
}

/// All that are shipped.
pub fn all() -> Vec<Board> {
    let mut paths: Vec<_> = fs::read_dir(place("deploy/grafana/dashboards")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| Board { json: serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap(), path }).collect()
}

impl Board {
    pub fn uid(&self) -> &str {
        self.json["uid"].as_str().unwrap()
    }

    /// All panels, rows too.
    pub fn panels(&self) -> &[Value] {
        self.json["panels"].as_array().unwrap()
    }

    /// Panels that show something.
    pub fn shown(&self) -> impl Iterator<Item = &Value> {
        self.panels().iter().filter(|panel| panel["type"] != "row")
    }

    pub fn name_of(&self, panel: &Value) -> String {
        format!("{} / {}", self.uid(), panel["title"].as_str().unwrap_or("?"))
    }

    pub fn variables(&self) -> &[Value] {
        self.json["templating"]["list"].as_array().unwrap()
    }

    pub fn questions(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        let mut ask = |of: String, one: &Value| questions.push(Question { of, expr: one["expr"].as_str().unwrap().to_owned() });
        for panel in self.shown() {
            panel["targets"].as_array().unwrap().iter().for_each(|target| ask(self.name_of(panel), target));
        }
        for annotation in self.json["annotations"]["list"].as_array().unwrap() {
            ask(format!("{} / annotations", self.uid()), annotation);
        }
        questions
    }
}

/// An expression as Grafana sends it, with everything chosen and a few seconds for every interval.
pub fn filled_in(expr: &str, variables: &[Value]) -> String {
    let mut expr = expr.replace("$__rate_interval", "20s").replace("$__interval", "20s").replace("$__range", "5m");
    for variable in variables {
        let name = variable["name"].as_str().unwrap();
        expr = expr.replace(&format!("\"${name}\""), "\".*\"");
    }
    expr
}

/// The metrics that an expression names: words before `{` or `[`, or alone, that begin as ours or
/// the process's do.
pub fn metrics_of(expr: &str) -> BTreeSet<String> {
    let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("octroi_") || word.starts_with("process_")).map(str::to_owned).collect()
}
