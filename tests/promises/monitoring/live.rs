//! A real octroi under a small load, a real Prometheus that scrapes it, and every question that
//! dashboards and rules ask.

use super::{RULES, board, place, promtool, runbook, text};
use crate::support::{
    Act, Client, Gate, Mta, Setup, Step,
    client::message,
    gate, mta,
    partners::{self, prometheus::Prometheus},
    wait,
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What has nothing to say under this load, and why.
const QUIET: &[(&str, &str)] = &[("octroi-upstreams / TLS", "the upstream of this test offers none, and only what happened is shown")];

/// Metrics that no dashboard and no rule asks for, and why.
const UNWATCHED: &[(&str, &str)] = &[("process_virtual_memory_bytes", "says nothing: address space is free")];

/// Everything that is counted happens here: stages that pass, fail and are left alone; a route whose
/// servers are down; rules, holds, TLS, AUTH, attacks.
fn busy_gate(mta: &Mta) -> Gate {
    let upstreams = "[upstream.gone]\naddresses = [\"127.0.0.1:1\"]\n[[route]]\ndomains = [\"gone.example\"]\nupstream = \"gone\"\n";
    let stages = "[[stage]]\ntype = \"limits\"\nparts = 1\nmode = \"observe\"\n\
                  [[stage]]\ntype = \"clamd\"\naddress = \"inet:127.0.0.1:1\"\non_error = \"accept\"\nbreaker_failures = 3\nbreaker_pause = \"1h\"\n\
                  [[stage]]\ntype = \"mime\"\n";
    let rules = "[[rule]]\nname = \"hold\"\nwhen = 'header[\"Subject\"] == \"hold\"'\nthen = \"quarantine\"\n\
                 [limits]\nconnections_per_client = 12\n";
    Setup::before(mta.address())
        .mx()
        .listener("submission", "tls = \"starttls\"\nauth = \"forward\"")
        .and(upstreams)
        .and(stages)
        .and(rules)
        .start()
}

fn smtp_source(gate: &Gate) -> Command {
    let mut command = Command::new(partners::find("smtp-source").unwrap());
    command.args(["-s", "4", "-m", "40", "-l", "4096", "-f", "a@example.net", "-t", "b@example.org"]);
    command.arg(format!("inet:{}", gate.mx()));
    command
}

/// One round of everything.
fn load(gate: &Gate, mta: &Mta) {
    let sent = partners::run_command(smtp_source(gate), b"");
    assert!(sent.success, "{}", sent.text);
    let tls = gate::authority().client();
    let mut client = Client::secured(gate.address("submission"), &tls);
    client.ask("AUTH PLAIN AGFsaWNlAG9wZW5zZXNhbWU=").must(235);
    client.deliver("a@example.net", &["b@example.org"], &message("hello")).must(250);
    client.deliver("a@example.net", &["b@example.org"], &message("hold")).must(250);
    client.ask("QUIT").must(221);
    mta.behave(Step::Auth, Act::Say("535 5.7.8 no".into()), 1);
    Client::secured(gate.address("submission"), &tls).ask("AUTH PLAIN AGFsaWNlAG9wZW5zZXNhbWU=").must(535);
    Client::greeted(gate.mx())
        .deliver("a@example.net", &["b@example.org"], b"Subject: x\r\n\r\nx\n.\nMAIL FROM:<c@example.net>\r\n")
        .must(550);
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    assert!(client.ask("RCPT TO:<b@gone.example>").is_temporary());
    Client::greeted(gate.mx()).ask("FROB").must(500);
    Client::greeted(gate.mx()).ask("GET / HTTP/1.1");
    gate.signal(Signal::HUP);
    let crowd: Vec<_> = (0..16).map(|_| Client::connect(gate.mx())).collect();
    drop(crowd);
}

#[test]
fn every_question_is_answered_with_live_data() {
    if partners::find("smtp-source").is_none() {
        return;
    }
    let extensions: Vec<_> = mta::EXTENSIONS.iter().copied().chain(["AUTH PLAIN"]).collect();
    let mta = Mta::offering(&extensions);
    mta.forget_contents();
    let gate = busy_gate(&mta);
    let rules = RULES.map(place);
    let Some(prometheus) = Prometheus::watching(gate.monitoring(), &[&rules[0], &rules[1]]) else { return };
    wait::until("the first scrape", || prometheus.query("octroi_messages_total").ok().filter(|series| !series.is_empty()));

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let loading = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                load(&gate, &mta);
                wait::pause(Duration::from_millis(200));
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            what_dashboards_ask(&prometheus);
            what_rules_ask(&prometheus);
        }));
        done.store(true, Ordering::Relaxed);
        loading.join().unwrap();
        if let Err(failure) = outcome {
            std::panic::resume_unwind(failure);
        }
    });
    metrics_are_clean_and_watched(&gate, &prometheus);
    commands_of_the_runbook(&gate);
}

fn what_dashboards_ask(prometheus: &Prometheus) {
    let boards = board::all();
    for board in &boards {
        for variable in board.variables().iter().filter(|variable| variable["type"] == "query") {
            choices(prometheus, board, variable);
        }
    }
    let fill = |board: &board::Board| {
        let filled = |question: board::Question| (board::filled_in(&question.expr, board.variables()), question.of);
        board.questions().into_iter().map(filled).collect::<Vec<_>>()
    };
    let mut open: Vec<_> = boards.iter().flat_map(fill).collect();
    assert!(open.len() > 100, "{}", open.len());
    let quiet = |of: &str| QUIET.iter().any(|(name, _)| of == *name);
    let begun = Instant::now();
    // Rates want some scrapes first.
    while begun.elapsed() < wait::PATIENCE {
        open.retain(|(expr, of)| {
            let answer = prometheus.query(expr).unwrap_or_else(|e| panic!("{of}: {expr}\n{e}"));
            !answer.iter().any(says_something)
        });
        if open.iter().all(|(_, of)| quiet(of)) {
            break;
        }
        wait::pause(Duration::from_millis(100));
    }
    let silent: Vec<_> = open.iter().filter(|(_, of)| !quiet(of)).map(|(expr, of)| format!("{of}: {expr}")).collect();
    assert!(silent.is_empty(), "nothing came of\n{}", silent.join("\n"));
    for (name, why) in QUIET {
        assert!(open.iter().any(|(_, of)| of == name), "{name}: {why}; but it says something");
    }
}

/// A number, and not NaN.
fn says_something(series: &Value) -> bool {
    series["value"][1].as_str().and_then(|value| value.parse::<f64>().ok()).is_some_and(f64::is_finite)
}

/// A variable's `label_values(METRIC, LABEL)` has values.
fn choices(prometheus: &Prometheus, board: &board::Board, variable: &Value) {
    let query = variable["query"]["query"].as_str().unwrap();
    let (metric, label) = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
    assert_eq!(variable["name"], label);
    let series = prometheus.series(&board::filled_in(metric, board.variables())).unwrap_or_else(|e| panic!("{query}: {e}"));
    assert!(series.iter().any(|labels| !labels[label].as_str().unwrap_or_default().is_empty()), "{}: {query}", board.uid());
}

/// All rules are evaluated without an error and name what exists; those that this load is bound to
/// set off are set off.
fn what_rules_ask(prometheus: &Prometheus) {
    let rules = prometheus.rules();
    let recorded: BTreeSet<_> =
        rules.iter().filter(|rule| rule["type"] == "recording").map(|rule| rule["name"].as_str().unwrap()).collect();
    for name in &recorded {
        wait::until(&format!("{name} to be recorded"), || prometheus.query(name).ok().filter(|series| !series.is_empty()));
    }
    let mut alerts = Vec::new();
    for rule in rules.iter().filter(|rule| rule["type"] == "alerting") {
        let name = rule["name"].as_str().unwrap();
        alerts.push(name.to_owned());
        let (labels, annotations) = (&rule["labels"], &rule["annotations"]);
        assert!(["critical", "warning", "info"].contains(&labels["severity"].as_str().unwrap()), "{name}");
        for key in ["summary", "description", "dashboard"] {
            assert!(!annotations[key].as_str().unwrap().is_empty(), "{name} has no {key}");
        }
        assert!(annotations["runbook_url"].as_str().unwrap().ends_with(&format!("#{}", name.to_lowercase())), "{name}");
        let expr = rule["query"].as_str().unwrap();
        for word in expr.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).filter(|word| word.contains(":octroi_")) {
            assert!(recorded.contains(word), "{name} asks for {word}, which nothing records");
        }
    }
    let mut shipped = runbook::alerts();
    alerts.sort_unstable();
    shipped.sort_unstable();
    assert_eq!(alerts, shipped);
    for (alert, state) in [
        ("OctroiDeliveredUninspected", "firing"),
        ("OctroiSmuggling", "firing"),
        ("OctroiNoUpstream", "pending"),
        ("OctroiBreakerOpen", "pending"),
        ("OctroiStageSkipping", ""),
        ("OctroiReloadFailed", ""),
        ("OctroiQuarantineFailing", ""),
    ] {
        let raised = || prometheus.query(&format!("ALERTS{{alertname=\"{alert}\"}}")).unwrap();
        if state.is_empty() {
            assert!(raised().is_empty(), "{alert}: {:?}", raised());
        } else {
            let in_state = |series: &Value| series["metric"]["alertstate"] == state || series["metric"]["alertstate"] == "firing";
            wait::until(&format!("{alert} to be {state}"), || raised().iter().any(in_state).then_some(()));
        }
    }
    for rule in prometheus.rules() {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
}

/// `/metrics` has no faults in the eyes of Prometheus, has all that is asked for, and nothing that
/// nobody looks at.
fn metrics_are_clean_and_watched(gate: &Gate, prometheus: &Prometheus) {
    let page = gate.http("/metrics").1;
    promtool(&["check", "metrics"], page.as_bytes()).unwrap().unwrap();
    let there: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(|line| line.split(' ').next().unwrap()).collect();
    let boards = board::all().iter().flat_map(board::Board::questions).map(|question| question.expr).collect::<Vec<_>>();
    let rules = prometheus.rules().iter().map(|rule| rule["query"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let asked: BTreeSet<String> = boards.iter().chain(&rules).flat_map(|expr| board::metrics_of(expr)).collect();
    let base = |name: &str| -> String {
        let of = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).filter(|base| there.contains(base));
        of.unwrap_or(name).to_owned()
    };
    let asked: BTreeSet<String> = asked.iter().map(|name| base(name)).collect();
    let unknown: Vec<_> = asked.iter().filter(|name| !there.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "/metrics has no {unknown:?}");
    let excused = |name: &&&str| UNWATCHED.iter().any(|(other, _)| other == *name);
    let unwatched: Vec<_> = there.iter().filter(|name| !asked.contains(**name)).filter(|name| !excused(name)).collect();
    assert!(unwatched.is_empty(), "on no dashboard and in no rule: {unwatched:?}");
}

/// What the runbook tells people to type is what octroi understands.
fn commands_of_the_runbook(gate: &Gate) {
    for command in runbook::commands() {
        let config = gate.config().display().to_string();
        let arguments: Vec<_> =
            command.split_ascii_whitespace().skip(1).filter(|word| *word != "--config" && *word != "/etc/octroi/octroi.toml").collect();
        let said = partners::run(&PathBuf::from(Gate::binary()), arguments.into_iter().chain(["--config", &config]), b"");
        assert!(said.success, "{command}: {}", said.text);
    }
    for address in text("deploy/RUNBOOK.md").split("http://127.0.0.1:9925").skip(1) {
        let path: String = address.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '/').collect();
        assert_ne!(gate.http(&path).0, 404, "{path}");
    }
}
