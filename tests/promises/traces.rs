//! Messages as traces, at a receiver made of OpenTelemetry's own classes that takes nothing but what
//! the protocol allows; and receivers that are away, slow or unwilling, which cost no message anything.

use crate::support::{
    Act, Authority, Client, Gate, Mta, Setup, Step,
    client::message,
    gate,
    partners::{
        collector::{Collector, Span},
        scripted::Scripted,
    },
    places, wait,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    time::{Duration, Instant},
};

/// No message may take longer because of traces; deliveries here take milliseconds.
const AT_ONCE: Duration = Duration::from_secs(5);

const TIMEOUTS: &str = "[timeouts]\nupstream_connect = \"1s\"\nupstream_command = \"1s\"\nupstream_final = \"1s\"\n";

fn deliver(gate: &Gate, subject: &str) -> u16 {
    Client::greeted(gate.mx()).deliver("a@example.net", &["b@example.org"], &message(subject)).code
}

/// `trace_id` in the line of the message with that subject, and its id.
fn named(gate: &Gate, subject: &str) -> (String, String) {
    let line = gate.log_line(&[&format!("\"subject\":\"{subject}\""), "\"verdict\":"]);
    let line: Value = serde_json::from_str(&line).unwrap();
    (line["trace_id"].as_str().unwrap_or_default().to_owned(), line["id"].as_str().unwrap().to_owned())
}

/// The spans of the message with that subject.
fn trace(collector: &Collector, gate: &Gate, subject: &str) -> (Span, Vec<Span>) {
    collector.trace(&named(gate, subject).0)
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| span.text("name")).collect()
}

#[track_caller]
fn part<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.text("name") == name).unwrap_or_else(|| panic!("no {name} in {:?}", names(spans)))
}

const STAGES: &str = "[[stage]]\nname = \"bounds\"\ntype = \"limits\"\nparts = 3\n\n[[stage]]\nname = \"shape\"\ntype = \"mime\"\n\n\
                      [[rule]]\nname = \"advert\"\nwhen = 'header[\"Subject\"] == \"buy\"'\nthen = \"reject\"\n";

#[test]
fn a_message_is_a_trace_with_a_span_for_each_stage_and_its_delivery() {
    let Some(collector) = Collector::start() else { return };
    let mta = Mta::start();
    mta.always(Step::Final, Act::Late(Duration::from_millis(300)));
    let gate = Setup::before(mta.address()).mx().json_log().and(STAGES).and(&collector.section()).start();
    let begun = Instant::now();
    let mut client = Client::secured(gate.mx(), &gate::authority().client());
    assert_eq!(client.deliver("a@example.net", &["b@example.org", "c@example.org"], &message("fine")).code, 250);
    let took = begun.elapsed();

    let (id, message) = named(&gate, "fine");
    let (root, parts) = collector.trace(&id);
    assert_eq!(names(&parts), ["receive", "inspect", "stage bounds", "stage shape", "deliver"]);
    assert_eq!((root.text("name"), root.text("kind")), ("message", "SPAN_KIND_SERVER"));
    assert_eq!(part(&parts, "deliver").text("kind"), "SPAN_KIND_CLIENT");
    for span in parts.iter().chain([&root]) {
        assert_eq!(span.text("status"), "STATUS_CODE_UNSET", "{span:?}");
        let ((start, end), (first, last)) = (span.times(), root.times());
        assert!(first <= start && end <= last, "{span:?} is not within {root:?}");
    }
    let (start, end) = part(&parts, "deliver").times();
    assert!(Duration::from_nanos(end - start) >= Duration::from_millis(290), "the MTA took its time");
    let (start, end) = root.times();
    assert!(Duration::from_nanos(end - start) <= took);
    let (received, inspected) = (part(&parts, "receive").times(), part(&parts, "inspect").times());
    assert!(received.1 == inspected.0 && inspected.1 == part(&parts, "deliver").times().0, "one after the other");

    for (name, value) in [
        ("octroi.message.id", json!(message)),
        ("octroi.listener", json!("mx")),
        ("octroi.protocol", json!("ESMTPS")),
        ("network.protocol.name", json!("smtp")),
        ("network.type", json!("ipv4")),
        ("client.address", json!("127.0.0.1")),
        ("server.port", json!(gate.mx().port())),
        ("tls.protocol.version", json!("1.3")),
        ("octroi.sender", json!("a@example.net")),
        ("octroi.recipients", json!(["b@example.org", "c@example.org"])),
        ("octroi.recipient.count", json!(2)),
        ("email.message_id", json!("fine@example.net")),
        ("octroi.verdict", json!("delivered")),
        ("octroi.upstream", json!("default")),
        ("octroi.reply.code", json!(250)),
    ] {
        assert_eq!(root.attribute(name), &value, "{name}");
    }
    assert_eq!(part(&parts, "stage shape").attribute("octroi.stage.result"), "pass");
    let resource = &root.0["resource"];
    assert_eq!((&resource["service.name"], &resource["service.instance.id"]), (&json!("octroi"), &json!("mx.example.org")));
    gate.wait_metric("octroi_traces_exported_total", 1.0);
}

#[test]
fn what_is_refused_by_policy_has_a_trace_and_what_is_no_message_has_none() {
    let Some(collector) = Collector::start() else { return };
    let mta = Mta::start();
    mta.behave(Step::Rcpt, Act::Say("550 5.1.1 nobody".to_owned()), 1);
    let gate = Setup::before(mta.address()).mx().json_log().and(STAGES).and(&collector.section()).start();
    let mut client = Client::greeted(gate.mx());
    client.ask("MAIL FROM:<a@example.net>").must(250);
    client.ask("RCPT TO:<b@example.org>").must(550);
    client.ask("QUIT").must(221);
    assert_eq!(deliver(&gate, "buy"), 550);
    mta.behave(Step::Final, Act::Say("552 5.2.2 full".to_owned()), 1);
    assert_eq!(deliver(&gate, "refused"), 552);

    let (root, parts) = trace(&collector, &gate, "buy");
    assert_eq!(names(&parts), ["receive", "inspect", "stage bounds", "stage shape"], "nobody was given it");
    assert_eq!((root.attribute("octroi.verdict"), root.attribute("octroi.decided_by")), (&json!("rejected"), &json!("rule advert")));
    assert!(!root.has_failed());
    let (root, parts) = trace(&collector, &gate, "refused");
    assert_eq!(part(&parts, "deliver").attribute("octroi.reply.text"), "5.2.2 full");
    assert!(!root.has_failed() && !part(&parts, "deliver").has_failed(), "the MTA did what it is there for");
    let traces: BTreeSet<_> = collector.spans().iter().map(|span| span.text("trace_id").to_owned()).collect();
    assert_eq!(traces.len(), 2, "a refused command is no message");
}

/// With these, nothing is told of but what failed.
fn failures_only(collector: &Collector) -> String {
    format!("{}sample = 0\n", collector.section())
}

#[test]
fn an_upstream_that_does_not_answer_is_a_failure_and_told_of_whatever_the_sample() {
    let Some(collector) = Collector::start() else { return };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().json_log().and(TIMEOUTS).and(&failures_only(&collector)).start();
    assert_eq!(deliver(&gate, "fine"), 250);
    mta.behave(Step::Final, Act::Hang, 1);
    assert_eq!(deliver(&gate, "unanswered"), 451);
    let (root, parts) = trace(&collector, &gate, "unanswered");
    for span in [&root, part(&parts, "deliver")] {
        assert!(span.has_failed() && span.attribute("error.type") == "upstream", "{span:?}");
        assert!(span.text("description").contains("upstream default"), "{span:?}");
    }
    assert!(!part(&parts, "receive").has_failed() && !part(&parts, "inspect").has_failed());
    assert_eq!(named(&gate, "fine").0, "", "its line leads nowhere, and says so");
    assert_eq!(collector.spans().len(), parts.len() + 1);
}

#[test]
fn a_stage_that_is_late_has_failed_and_so_has_the_message_that_went_on_without_it() {
    let Some(collector) = Collector::start() else { return };
    let hook = Scripted::start(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop));
    let stage = format!(
        "[[stage]]\nname = \"hook\"\ntype = \"http\"\nurl = \"http://{}/\"\ntimeout = \"700ms\"\non_error = \"accept\"\n",
        hook.address().trim_start_matches("inet:")
    );
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().json_log().and(&stage).and(&failures_only(&collector)).start();
    assert_eq!(deliver(&gate, "late"), 250);
    let (root, parts) = trace(&collector, &gate, "late");
    let hook = part(&parts, "stage hook");
    assert!(hook.has_failed() && hook.attribute("error.type") == "late", "{hook:?}");
    let (start, end) = hook.times();
    assert!(Duration::from_nanos(end - start) >= Duration::from_millis(690), "{hook:?}");
    assert!(hook.attribute("octroi.stage.busy").as_f64().unwrap() >= 0.69, "{hook:?}");
    assert!(root.has_failed() && root.attribute("error.type") == "stage" && root.attribute("octroi.unfinished") == true, "{root:?}");
    assert!(!part(&parts, "deliver").has_failed());
}

#[test]
fn nothing_is_told_that_the_journal_would_not_tell() {
    let Some(collector) = Collector::start() else { return };
    let mta = Mta::start();
    let hashed = "[journal]\naddresses = \"hashed\"\n";
    let gate = Setup::before(mta.address()).mx().json_log().and(hashed).and(&collector.section()).start();
    mta.behave(Step::Final, Act::Say("550 5.1.1 <b@example.org>: gone".to_owned()), 1);
    assert_eq!(deliver(&gate, "confidential"), 550);
    let (root, _) = trace(&collector, &gate, "confidential");
    assert!(root.attribute("octroi.recipients")[0].as_str().unwrap().starts_with('#'), "{root:?}");
    assert!(root.attribute("octroi.reply.text").as_str().unwrap().ends_with(">: gone"), "{root:?}");
    // Its Message-ID is what a sender made up, and is how the two ends talk about it.
    let all = collector.came()["spans"].to_string().replace("confidential@example.net", "");
    for secret in ["a@example.net", "b@example.org", "confidential", "From:"] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[test]
fn a_receiver_over_tls_hears_who_we_are_and_no_other_hears_anything() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("collectors");
    authority.identity(&["127.0.0.1", "localhost", &places::free().ip().to_string()]).write(dir.path(), "collector");
    fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
    fs::write(dir.path().join("other.pem"), Authority::new("others").pem()).unwrap();
    fs::write(dir.path().join("token"), "Bearer sesame\n").unwrap();
    let at = dir.path().display();
    let Some(collector) = Collector::start_with(&["collector.pem", "collector.key"].map(|name| dir.path().join(name))) else { return };
    let section = |ca: &str| {
        format!(
            "[traces]\nendpoint = \"https://{}/\"\nca = \"{at}/{ca}\"\nservice_name = \"mail\"\ninstance = \"mx1\"\n\
             [[traces.header]]\nname = \"Authorization\"\nvalue = {{ file = \"{at}/token\" }}\n",
            collector.place()
        )
    };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().json_log().and(&section("other.pem")).start();
    assert_eq!(deliver(&gate, "distrust"), 250);
    gate.log_line(&["traces are not taken", "TLS"]);
    assert_eq!(collector.requests().len(), 0);
    drop(gate);

    let gate = Setup::before(mta.address()).mx().json_log().and(&section("ca.pem")).start();
    assert_eq!(deliver(&gate, "trust"), 250);
    let (root, _) = trace(&collector, &gate, "trust");
    assert_eq!((&root.0["resource"]["service.name"], &root.0["resource"]["service.instance.id"]), (&json!("mail"), &json!("mx1")));
    let request = &collector.requests()[0];
    assert_eq!(request["headers"]["authorization"], "Bearer sesame");
    assert!(gate.log().iter().all(|line| !line.contains("sesame")));
    let checked = gate.octroi(&["check"], "");
    assert!(checked.success && !checked.text.contains("sesame"), "{}", checked.text);
    let explained = gate.octroi(&["check", "--explain"], "").text;
    assert!(explained.contains("[[traces.header]]") && !explained.contains("sesame"), "{explained}");
}

#[test]
fn a_receiver_that_is_busy_gets_it_later_and_one_that_refuses_never() {
    let Some(collector) = Collector::start() else { return };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().json_log().and(&format!("{}timeout = \"1s\"\n", collector.section())).start();
    collector.behave(&json!([{ "status": 503 }, { "status": 429, "headers": { "Retry-After": "3" } }, { "hang": 3 }]));
    assert_eq!(deliver(&gate, "patience"), 250);
    trace(&collector, &gate, "patience");
    let at: Vec<_> = collector.requests().iter().map(|request| request["at"].as_f64().unwrap()).collect();
    assert_eq!(at.len(), 4, "{at:?}");
    assert!(at[1] - at[0] >= 0.5 && at[2] - at[1] >= 3.0 && at[3] - at[2] >= 1.0, "{at:?}");
    gate.log_line(&["traces are not taken", "503"]);
    gate.log_line(&["traces are taken again"]);
    gate.wait_metric("octroi_traces_exported_total", 1.0);

    collector.behave(&json!([{ "status": 401 }]));
    assert_eq!(deliver(&gate, "unwanted"), 250);
    gate.wait_metric("octroi_traces_dropped_total{reason=\"refused\"}", 1.0);
    collector.behave(&json!([{ "rejected": 2 }]));
    assert_eq!(deliver(&gate, "partly"), 250);
    gate.wait_metric("octroi_traces_rejected_spans_total", 2.0);
    gate.log_line(&["the receiver of traces has something to say", "too old for us"]);
    gate.wait_metric("octroi_traces_exported_total", 2.0);
    assert_eq!(collector.requests().len(), 6, "what was refused was not sent again");
}

/// Sends while nobody takes what is told of it, and stops it.
fn goes_on_without(endpoint: &str, wrong: &str) {
    let mta = Mta::start();
    let traces = format!("[traces]\nendpoint = \"http://{endpoint}\"\n");
    let mut gate = Setup::before(mta.address()).mx().json_log().and(&traces).start();
    let mut client = Client::greeted(gate.mx());
    for n in 0..50 {
        let begun = Instant::now();
        assert_eq!(client.deliver("a@example.net", &["b@example.org"], &message(&format!("m{n}"))).code, 250);
        assert!(begun.elapsed() < AT_ONCE, "{wrong}: {:?}", begun.elapsed());
    }
    client.ask("QUIT").must(221);
    if wrong == "nobody there" {
        gate.log_line(&["traces are not taken, and mail goes on without"]);
    }
    let begun = Instant::now();
    gate.signal(Signal::TERM);
    assert!(gate.wait_exit().success());
    assert!(begun.elapsed() < 3 * AT_ONCE, "{wrong}: it ends in time, which was {:?}", begun.elapsed());
    assert_eq!(mta.kept().len(), 50);
}

#[test]
fn mail_does_not_wait_for_a_receiver_that_is_not_there() {
    goes_on_without(&places::free().to_string(), "nobody there");
}

#[test]
fn mail_does_not_wait_for_a_receiver_that_never_answers() {
    let silent = Scripted::start(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop));
    goes_on_without(silent.address().trim_start_matches("inet:"), "never answers");
    assert!(silent.connections() > 0);
}

#[test]
fn the_end_sends_what_waits() {
    let Some(collector) = Collector::start() else { return };
    let mta = Mta::start();
    let mut gate = Setup::before(mta.address()).mx().json_log().and(&collector.section()).start();
    let mut client = Client::greeted(gate.mx());
    (0..20).for_each(|n| assert_eq!(client.deliver("a@example.net", &["b@example.org"], &message(&format!("m{n}"))).code, 250));
    gate.signal(Signal::TERM);
    drop(client);
    assert!(gate.wait_exit().success());
    let wholes = collector.spans().into_iter().filter(|span| span.text("parent").is_empty()).count();
    assert_eq!(wholes, 20);
}

#[test]
fn a_share_of_messages_is_told_of_and_says_which() {
    let Some(collector) = Collector::start() else { return };
    let mta = Mta::start();
    let gate = Setup::before(mta.address()).mx().json_log().and(&format!("{}sample = 0.5\n", collector.section())).start();
    let mut client = Client::greeted(gate.mx());
    (0..60).for_each(|n| assert_eq!(client.deliver("a@example.net", &["b@example.org"], &message(&format!("m{n}"))).code, 250));
    let lines = wait::until("all lines", || {
        let lines: Vec<_> = gate.log().into_iter().filter(|line| line.contains("\"verdict\":\"delivered\"")).collect();
        (lines.len() == 60).then_some(lines)
    });
    let told: BTreeSet<String> =
        lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["trace_id"].as_str().map(str::to_owned)).collect();
    assert!((5..55).contains(&told.len()), "{}", told.len());
    wait::until("their traces", || {
        let came: BTreeSet<_> = collector.spans().iter().map(|span| span.text("trace_id").to_owned()).collect();
        (came == told).then_some(())
    });
    assert!(collector.spans().iter().all(|span| span.text("trace_state") == "ot=th:8"));
}
