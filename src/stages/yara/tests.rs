use super::*;
use crate::stages::tests::{client, message, read};
use std::fs;

const OURS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rules");

async fn look(settings: &str, message: &Message) -> Report {
    let (stages, found) = read(&format!("[[stage]]\ntype = \"yara\"\n{settings}"));
    assert_eq!(found, []);
    stages[0].stage.begin(&client()).await.unwrap().end_of_message(message).await.unwrap()
}
fn directory(rules: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in rules {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}
fn rules_at(dir: &tempfile::TempDir) -> String {
    format!("rules = [\"{}\"]\n", dir.path().display())
}
fn shown(report: &Report) -> Vec<String> {
    report.findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_rule_finds_what_is_encoded_and_says_where() {
    let dir = directory(&[
        ("a.yar", "rule marker : bad { strings: $a = \"octroi-marker\" condition: $a and not is_message and file_name == \"x.txt\" }"),
        ("b.yara", "rule marker { strings: $a = \"octroi-marker\" condition: $a and client_ip == \"192.0.2.1\" and depth == 0 }"),
        ("c.txt", "this is no rule"),
    ]);
    // `octroi-marker` in base64.
    let encoded = message(
        "MIME-Version: 1.0\r\nContent-Type: text/plain; name=x.txt\r\nContent-Transfer-Encoding: base64\r\n",
        "b2N0cm9pLW1hcmtlcg==\r\n",
    );
    let report = look(&rules_at(&dir), &encoded).await;
    assert_eq!(shown(&report), ["yara.rule=marker", "yara.tag=bad", "yara.place=marker: x.txt"]);
    assert_eq!(report.verdict, Verdict::Refuse(Refusal::permanent(50, "7.1", "refused by its content (marker)")));
    let report = look(&rules_at(&dir), &message("Subject: x\r\n", "octroi-market\r\n")).await;
    assert_eq!(report, Report::default());
}

#[tokio::test]
async fn a_match_means_what_the_rule_says_or_what_is_configured() {
    let rule = |name: &str, act: &str| {
        format!("rule {name} {{ meta: octroi_action = \"{act}\" strings: $a = \"{name}\" condition: is_message and $a }}\n")
    };
    let text = rule("hold", "quarantine")
        + &rule("tell", "report")
        + &rule("bin", "discard")
        + "rule usual { strings: $a = \"usual\" condition: is_message and $a }";
    let dir = directory(&[("a.yar", &text)]);
    let settings = rules_at(&dir) + "found = \"tempfail\"";
    let hold = Verdict::Quarantine(Hold { class: HoldClass::Malware, reason: "YARA rule hold".into() });
    for (body, expected) in [
        ("tell", Verdict::Deliver),
        ("bin tell", Verdict::Discard),
        ("bin hold", hold),
        ("usual hold", Verdict::Refuse(Refusal::temporary(51, "7.1", "refused for now by its content (usual)"))),
    ] {
        assert_eq!(look(&settings, &message("Subject: x\r\n", body)).await.verdict, expected, "{body}");
    }
}

#[test]
fn mistakes_are_told_with_file_line_and_column() {
    let dir =
        directory(&[("good.yar", "rule a { condition: true }"), ("bad.yar", "rule a {\n  condition: $nothing\n}"), ("worse.yar", "rul")]);
    let (_, found) = read(&format!("[[stage]]\ntype = \"yara\"\n{}", rules_at(&dir)));
    let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(texts[0].contains("bad.yar:2:14: error: unknown variable $nothing"), "{}", texts[0]);
    assert!(texts[1].contains("worse.yar:1:1"), "{}", texts[1]);
    for (settings, text) in [
        ("rules = []", "no rules find nothing"),
        ("rules = [\"/nowhere\"]", "/nowhere: No such file"),
        ("", "`stage.rules` is missing"),
        ("rules = [\"/proc/self/fdinfo\"]", "there is no file with rules"),
    ] {
        let (_, found) = read(&format!("[[stage]]\ntype = \"yara\"\n{settings}"));
        assert!(found.len() == 1 && found[0].1.contains(text), "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn changed_rules_are_read_and_wrong_ones_change_nothing() {
    let dir = directory(&[("a.yar", "rule old { condition: true }")]);
    let rules = Rules::load(vec![dir.path().to_owned()]).unwrap();
    let names = || rules.scanner().rules().map(|rule| rule.name.to_owned()).collect::<Vec<_>>();
    let later = async || tokio::time::advance(Duration::from_secs(6)).await;
    fs::write(dir.path().join("a.yar"), "rule new_one { condition: true }").unwrap();
    rules.refresh();
    assert_eq!(names(), ["old"], "not every moment");
    later().await;
    assert!(rules.is_stale());
    rules.refresh();
    assert_eq!(names(), ["new_one"]);
    fs::write(dir.path().join("b.yar"), "rule b {").unwrap();
    later().await;
    rules.refresh();
    assert_eq!(names(), ["new_one"]);
    fs::remove_file(dir.path().join("b.yar")).unwrap();
    fs::remove_file(dir.path().join("a.yar")).unwrap();
    later().await;
    rules.refresh();
    assert_eq!(names(), ["new_one"], "nothing there is no rule set");
}

const SLOW: &str = "for all i in (0..100000000000) : (i >= 0)";

fn slow_yara(rules: &str, time: Duration) -> Arc<Yara> {
    let dir = directory(&[("a.yar", rules)]);
    let rules = Rules::load(vec![dir.path().to_owned()]).unwrap();
    let scans = Box::leak(Box::new(Semaphore::new(1)));
    Arc::new(Yara { rules, found: Act::Quarantine, max_size: 1 << 20, time, scans })
}
async fn look_with(yara: &Arc<Yara>, message: &Message) -> Result<Report, StageError> {
    yara.begin(&client()).await.unwrap().end_of_message(message).await
}
/// With that many files.
fn files(count: usize) -> Message {
    let part = |n| format!("--b\r\nContent-Type: text/plain; name={n}.txt\r\n\r\nfile {n}\r\n");
    let parts: String = (0..count).map(part).collect();
    message("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n", &format!("{parts}--b--\r\n"))
}

#[tokio::test]
async fn a_scan_that_does_not_end_is_a_failure_whatever_it_found_but_a_reason_to_refuse() {
    for (act, keeps) in [("reject", true), ("quarantine", false), ("report", false)] {
        let rules = format!("rule early {{ meta: octroi_action = \"{act}\" condition: is_message }} rule slow {{ condition: {SLOW} }}");
        let said = look_with(&slow_yara(&rules, Duration::from_millis(300)), &files(1)).await;
        match said {
            Ok(report) => {
                assert!(keeps && matches!(report.verdict, Verdict::Refuse(_)) && shown(&report).contains(&"yara.rule=early".into()))
            }
            Err(error) => assert!(!keeps && matches!(error, StageError::Failed(_)), "{act}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn all_files_of_a_message_share_its_time() {
    let rules = "rule slow { condition: for all i in (0..100000) : (i >= 0) and is_message }";
    let started = Instant::now();
    let all = look_with(&slow_yara(rules, Duration::from_secs(600)), &files(1)).await.unwrap();
    assert_eq!(shown(&all), ["yara.rule=slow", "yara.place=slow: message"]);
    // Enough for a few of them.
    let yara = slow_yara(rules, started.elapsed() * 3);
    let said = look_with(&yara, &files(80)).await;
    assert!(matches!(said, Err(StageError::Failed(_))), "{said:?}");
}

#[tokio::test]
async fn a_scan_keeps_its_place_until_it_has_ended() {
    let yara = slow_yara(&format!("rule slow {{ condition: {SLOW} }}"), Duration::from_secs(3));
    let message = files(1);
    let patience = async |free| {
        while yara.scans.available_permits() != free {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        said = look_with(&yara, &message) => panic!("{said:?}"),
        () = patience(0) => {}
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(yara.scans.available_permits(), 0, "nobody waits for it any more, but it goes on");
    tokio::time::timeout(Duration::from_secs(120), patience(1)).await.expect("it ends in its time");
}

/// The shape of each exploit, harmless, and something honest that looks like it.
const SHAPES: &[(&str, &str, &str)] = &[
    (
        "roundcube_svg_animate_xss",
        "<svg><animate attributeName=\"href \" values=\"marker\"/></svg>",
        "<svg><animate attributeName=\"href\" values=\"#a;#b\"/></svg>",
    ),
    (
        "roundcube_body_style_xss",
        "<body title=\"bgcolor=x\" name=\"bar style=animation-name:progress-bar-stripes onanimationstart=marker x\">",
        "<body style=\"animation-name: fade\"><p>onanimationstart = x</p>",
    ),
    ("roundcube_link_reference_xss", "[<img src=x onerror=marker>] see", "[see <b>this</b>] on error = stop"),
    (
        "zimbra_cpio_traversal",
        "070701000000000000../../../../opt/zimbra/jetty_base/webapps/zimbra/public/x.jsp",
        "see /opt/zimbra/jetty_base/webapps/zimbra/public/x.jsp in 070701",
    ),
    ("outlook_moniker_link", "<a href=\"file:///\\\\host\\share\\x.rtf!x\">", "<a href=\"file:///C:/x!y\"> \\\\host\\share wow!"),
    (
        "office_msdt",
        "location.href = \"ms-msdt:/id PCWDiagnostic /skip force /param IT_BrowseForFile=marker\"",
        "the scheme ms-msdt: and its PCWDiagnostic were switched off",
    ),
    ("rtf_equation_editor", "{\\rtf1{\\object{\\*\\objclass Equation.3}}}", "about Equation.3 in {\\rtf1"),
    ("log4shell", "${jndi:ldap://marker.example/a}", "the lookup jndi:ldap in ${braces}"),
    ("ghostscript_pipe", "%!PS\n(%pipe%id) (w) file", "%!PS\n(%stdout) (w) file % no pipe"),
    (
        "imagemagick_delegate",
        "push graphic-context\nfill 'url(https://example.com/x.jpg\"|marker)'\npop graphic-context",
        "push graphic-context\nfill 'url(https://example.com/x.jpg)'\npop graphic-context",
    ),
];

/// The same in header fields.
const FIELDS: &[(&str, &str, &str)] = &[
    (
        "zimbra_calendar_header_xss",
        "X-Zimbra-Calendar-Intended-For: a<img src=x onerror=marker>@example.org",
        "X-Zimbra-Calendar-Intended-For: a@example.org",
    ),
    ("zimbra_postjournal_command", "Cc: \"x$(echo${IFS}marker)\"@example.org", "Cc: \"$5 (or more)\" <b@example.org>"),
    ("shellshock", "X-Header: () { :; }; marker", "X-Header: f() { return; }"),
    ("exim_run_expansion", "To: root+${run{marker}}@localhost", "To: \"run {now}\" <b@example.org>"),
    ("phpmailer_sender_injection", "From: \"a\\\" -oQ/tmp/ -X/tmp/marker b\"@example.org", "From: \"a -X b\" <a@example.org>"),
    ("log4shell", "X-Api-Version: ${${lower:j}${lower:n}${lower:d}i:ldap://marker}", "X-Price: ${amount}"),
];

#[tokio::test]
async fn every_rule_of_ours_knows_its_shape_and_nothing_honest() {
    let settings = format!("rules = [\"{OURS}\"]\n");
    let (stages, found) = read(&format!("[[stage]]\ntype = \"yara\"\n{settings}"));
    assert_eq!(found, []);
    let matched = async |message: &Message| {
        let report = stages[0].stage.begin(&client()).await.unwrap().end_of_message(message).await.unwrap();
        let rules = report.findings.iter().filter(|finding| finding.name == "yara.rule").map(|finding| finding.value.to_string());
        rules.collect::<Vec<_>>()
    };
    let mut tried = BTreeSet::new();
    for (rule, shape, honest) in SHAPES {
        let file = |text: &str| message("From: a@example.net\r\nMIME-Version: 1.0\r\n", &format!("{text}\r\n"));
        assert_eq!(matched(&file(shape)).await, [*rule], "{shape}");
        assert_eq!(matched(&file(honest)).await, [""; 0], "{honest}");
        tried.insert(*rule);
    }
    for (rule, shape, honest) in FIELDS {
        let mail = |field: &str| message(&format!("Subject: x\r\n{field}\r\nDate: today\r\n"), "body\r\n");
        assert_eq!(matched(&mail(shape)).await, [*rule], "{shape}");
        assert_eq!(matched(&mail(honest)).await, [""; 0], "{honest}");
        // What stands in a body is talk.
        tried.insert(*rule);
    }
    // An Outlook item with its property set, and a path to another host in UTF-16.
    let mut item = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    item.extend(b"\x08\x20\x06\0\0\0\0\0\xc0\0\0\0\0\0\0\x46");
    let honest = item.clone();
    item.extend("\\\\host.example\\share\\x.wav".encode_utf16().flat_map(u16::to_le_bytes));
    for (octets, expected) in [(item, vec!["outlook_reminder_unc".to_owned()]), (honest, vec![])] {
        let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, octets);
        let header = "MIME-Version: 1.0\r\nContent-Type: application/vnd.ms-outlook; name=x.msg\r\nContent-Transfer-Encoding: base64\r\n";
        assert_eq!(matched(&message(header, &format!("{base64}\r\n"))).await, expected);
    }
    tried.insert("outlook_reminder_unc");
    let rules = Rules::load(vec![OURS.into()]).unwrap();
    let scanner = rules.scanner();
    let all: BTreeSet<_> = scanner.rules().map(|rule| rule.name.to_owned()).collect();
    assert_eq!(tried, all.iter().map(String::as_str).collect(), "every rule is tried");
    for rule in scanner.rules() {
        let names: Vec<_> = rule.metadatas.iter().map(|metadata| scanner.get_string_symbol(metadata.name)).collect();
        assert_eq!(names, ["description", "cve", "reference"], "{}", rule.name);
    }
}
