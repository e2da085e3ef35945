use super::*;
use crate::value::settings::asked::Shape;
use std::collections::BTreeSet;
use toml::de::DeValue;

const LEAST: &str = r#"hostname = "mx.example.org"
[[listener]]
name = "mx"
address = "0.0.0.0:25"
tls = "off"
[upstream.default]
addresses = ["127.0.0.1:10025"]
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("octroi.toml"), text.to_owned()).map_err(|report| report.to_string())
}

fn mistakes(text: &str) -> Vec<String> {
    let report = parse(text).err().unwrap_or_default();
    let first_lines = report.lines().filter_map(|line| line.strip_prefix("octroi.toml:"));
    first_lines.map(str::to_owned).collect()
}

#[test]
fn little_is_needed() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.gate.upstreams.len(), 1);
    assert_eq!(config.metrics.address, None);
    assert_eq!(config.log, telemetry::log::Settings::default());
    assert_eq!(config.gate.journal, journal::Settings::default());
}

#[test]
fn the_journal_says_what_it_cannot_do() {
    let text = format!("{LEAST}[journal]\nkeep = \"2d\"\nsize = \"1GiB\"\nsubjects = false\naddresses = \"hashed\"\nurls = false\n");
    let settings = parse(&text).unwrap().gate.journal;
    assert_eq!((settings.keep, settings.size, settings.addresses), (Duration::from_secs(2 * 86_400), 1 << 30, journal::Addresses::Hashed));
    assert!(!settings.subjects && settings.attachments && !settings.urls && settings.enabled);
    let found = mistakes(&format!("{LEAST}[journal]\nkeep = \"0s\"\nsize = \"1MiB\"\naddresses = \"none\"\nsubject = true\n"));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[3].contains("did you mean `subjects`?"), "{found:#?}");
}

#[test]
fn what_governs_the_quarantine_is_named_with_its_defaults_and_nothing_else() {
    let least = parse(LEAST).unwrap().governing();
    assert!(least.keys().all(|name| name.starts_with("quarantine.") || name.starts_with("console.")), "{least:?}");
    assert_eq!((&least["quarantine.keep"], &least["console.idle"]), (&"\"30d\"".into(), &"\"15m\"".into()));
    let other = format!("{LEAST}[quarantine]\nfour_eyes = []\n[quarantine.malware]\nkeep = \"1m\"\n");
    let other = parse(&other).unwrap().governing();
    assert_eq!((&other["quarantine.four_eyes"], &other["quarantine.malware.keep"]), (&"[]".into(), &"\"1m\"".into()));
    assert_eq!(other["quarantine.spam.keep"], least["quarantine.spam.keep"]);
    assert_ne!(other["quarantine.four_eyes"], least["quarantine.four_eyes"]);
    let text = serde_json::Value::Object(other).to_string();
    assert!(text.len() < 3000, "a row of the audit has room for it: {text}");
}

#[test]
fn an_empty_file_is_told_what_it_lacks() {
    let found = mistakes("");
    for wanted in ["`hostname` is missing", "`listener` is missing", "`[upstream.default]` is missing"] {
        assert!(found.iter().any(|mistake| mistake.contains(wanted)), "{wanted} not in {found:#?}");
    }
}

#[test]
fn syntax_errors_and_others_come_together_but_not_their_echoes() {
    let text = LEAST.replace("\"mx\"", "mx") + "[limits]\nmesage_size = \"1MiB\"\nmemory = 5MiB\n";
    let found = mistakes(&text);
    let places: Vec<_> = found.iter().map(|mistake| mistake.splitn(3, ':').take(1).collect::<String>()).collect();
    assert_eq!(places, ["3", "9", "10"], "{found:#?}");
    assert!(found[1].contains("did you mean `message_size`?"), "{found:#?}");
}

#[test]
fn a_text_without_quotes_is_told_to_have_some() {
    let found = mistakes(&LEAST.replace("\"127.0.0.1:10025\"", "127.0.0.1:10025"));
    assert!(found.iter().any(|mistake| mistake.ends_with("a text is written in quotes: \"127.0.0.1:10025\"")), "{found:#?}");
    let found = mistakes(&LEAST.replace("\"mx\"", "mx"));
    assert!(found.iter().any(|mistake| mistake.contains("must be quoted")), "{found:#?}");
}

#[test]
fn one_mistake_is_told_once() {
    let rule = "[[rule]]\nname = \"r\"\nthen = \"hold\"\nclass = \"spam\"\nreason = \"x\"\nadd = [\"X-A: b\"]\n";
    let found = mistakes(&format!("{LEAST}{rule}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = mistakes(&format!("{LEAST}[[stage]]\ntype = \"limits\"\nrecipients = \"100\"\n"));
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = mistakes(&format!("{LEAST}[[stage]]\ntype = \"limits\"\nrefuse_hello = []\n"));
    assert!(found.len() == 1 && found[0].contains("limits nothing"), "{found:#?}");
}

#[test]
fn what_is_said_to_be_the_default_is() {
    let directory = tempfile::tempdir().unwrap();
    let text = reference(directory.path());
    let (table, _) = DeTable::parse_recoverable(&text);
    let problems = Problems::default();
    drop(Config::read(&mut Section::root(&table, problems.clone())));
    let mut compared = 0;
    for (table, key) in problems.tables().iter().flat_map(|table| table.keys.iter().map(move |key| (table, key))) {
        let Some(comment) = key.span.as_ref().and_then(|span| schema::comment_above(&text, span)) else { continue };
        let path = format!("{}.{}", table.path, key.name);
        let comment = comment.replace('\n', " ");
        let Some((_, said)) = comment.rsplit_once("Default: ").or_else(|| comment.rsplit_once("Defaults: ")) else { continue };
        match literal(said) {
            Some(literal) => {
                compared += 1;
                let shown = key.default.as_deref().and_then(literal_of).unwrap_or_default();
                assert_eq!(shown, literal, "{path}: {:?}, and the reference says {said}", key.default);
            }
            // Words: nothing, or what the reader has words for as well, but no empty list that stands for something else.
            None if ["none", "nobody", "nothing"].iter().any(|word| said.to_lowercase().starts_with(word)) => {
                assert!(key.default.as_deref().is_none_or(|shown| shown == "[]"), "{path}: {:?}", key.default);
            }
            None => {
                let shown = key.default.as_deref().is_some_and(|shown| shown != "[]") || key.otherwise.is_some();
                assert!(shown || matches!(key.shape, Shape::Any | Shape::Table), "{path}: {key:?}, and the reference says {said}");
            }
        }
    }
    assert!(compared >= 20, "{compared}");
}

/// The value that `text` begins with, in one form for `"60s"` and `"1m"`, `1` and `1.0`.
fn literal(text: &str) -> Option<String> {
    let end = match text.chars().next()? {
        '"' => text.get(1..)?.find('"')? + 2,
        '[' => text.find(']')? + 1,
        _ => text.find([' ', ';', ',']).unwrap_or(text.len()),
    };
    literal_of(text.get(..end)?.trim_end_matches('.'))
}

fn literal_of(written: &str) -> Option<String> {
    let document = format!("x = {written}");
    let (table, errors) = DeTable::parse_recoverable(&document);
    let value = table.get_ref().get("x").filter(|_| errors.is_empty())?;
    let seconds = value.get_ref().as_str().and_then(|text| crate::value::parse_duration(text).ok()).map(|time| format!("{time:?}"));
    let number = written.parse::<f64>().ok().map(|number| number.to_string());
    Some(seconds.or(number).unwrap_or_else(|| written.to_owned()))
}

#[test]
fn defaults_that_depend_on_others_are_shown_as_they_are() {
    let stages = "[[stage]]\ntype = \"attachments\"\ntag_types = [\"script\"]\ntag_extensions = [\"exe\"]\n[[stage]]\ntype = \"exec\"\n\
                  command = [\"/bin/true\"]\nreject = [11]\n";
    let config = parse(&format!("{LEAST}{stages}")).unwrap();
    let default = |stage: usize, name: &str| {
        let stage = config.asked.iter().filter(|table| table.path == "stage").nth(stage).unwrap();
        stage.keys.iter().find(|key| key.name == name).unwrap().default.clone().unwrap()
    };
    let refused = default(0, "refuse_types");
    assert!(refused.contains("\"executable\"") && !refused.contains("\"script\""), "{refused}");
    let refused = default(0, "refuse_extensions");
    assert!(refused.contains("\"scr\"") && !refused.contains("\"exe\""), "{refused}");
    assert_eq!((default(1, "name"), default(1, "tempfail"), default(1, "discard")), ("\"exec\"".into(), "[]".into(), "[13]".into()));
}

#[test]
fn what_comes_later_is_not_silently_accepted() {
    let found = mistakes(&format!("{LEAST}[storage]\ndatabase = \"postgres://a@b/c\"\nblobs = \"s3://a/b\"\n"));
    assert_eq!(found.len(), 2, "{found:#?}");
    for mistake in found {
        assert!(mistake.contains("not in this version"), "{mistake}");
    }
}

#[test]
fn a_class_keeps_as_the_quarantine_does_but_for_what_it_has_of_its_own() {
    let text = format!("{LEAST}[quarantine]\nkeep = \"2d\"\n[quarantine.spam]\nsize = \"1MiB\"\n[storage]\ndatabase = \"sqlite\"\n");
    let settings = parse(&text).unwrap().gate.quarantine;
    let (spam, malware) = (settings.of(chain::HoldClass::Spam), settings.of(chain::HoldClass::Malware));
    assert_eq!((spam.keep, spam.size), (Duration::from_secs(2 * 86_400), 1 << 20));
    assert_eq!((malware.keep, malware.size), (spam.keep, 10 << 30));
    let found = mistakes(&format!("{LEAST}[quarantine]\nsize = \"0B\"\n[quarantine.spaam]\nkeep = \"1d\"\n"));
    assert!(found.iter().any(|mistake| mistake.contains("did you mean `spam`?")), "{found:#?}");
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn a_default_certificate_beside_a_list_of_them_is_explained() {
    let found = mistakes(&format!(
        "{LEAST}[tls]\ncertificate = \"a\"\nprivate_key = \"b\"\n[[tls.certificate]]\ncertificate = \"c\"\nprivate_key = \"d\"\n"
    ));
    assert!(found.iter().any(|mistake| mistake.contains("the default first")), "{found:#?}");
}

#[test]
fn files_that_are_no_configuration_are_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("octroi.toml");
    assert!(Config::load(&path).err().unwrap().to_string().contains("No such file"));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Config::load(&path).err().unwrap().to_string().ends_with("UTF-16, and not UTF-8 text: save it as UTF-8"));
    std::fs::write(&path, b"# \xc3\xbc\nhostname = \"m\xfcller.example.org\"\n").unwrap();
    let said = Config::load(&path).err().unwrap().to_string();
    assert!(said.contains("octroi.toml:2:14: not UTF-8 text: the octet 0xFC"), "{said}");
    File::create(&path).unwrap().set_len(LARGEST + 1).unwrap();
    assert!(Config::load(&path).err().unwrap().to_string().ends_with("too large for a configuration: more than 4MiB"));
    std::fs::write(&path, LEAST).unwrap();
    assert!(Config::load(&path).is_ok());
}

/// All keys of a document, in the form of [`Problems::asked`].
fn keys(table: &DeTable<'_>, prefix: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table.iter() {
        let path = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(table) => keys(table, &path, found),
            DeValue::Array(array) => {
                for table in array.iter().filter_map(|item| item.get_ref().as_table()) {
                    keys(table, &path, found);
                }
            }
            _ => {}
        }
        found.insert(path);
    }
}

/// The reference, with files that are there.
fn reference(directory: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["mx.example.org".into()]).unwrap();
    for name in ["fullchain.pem", "clients.pem", "internal-ca.pem"] {
        std::fs::write(directory.join(name), made.cert.pem()).unwrap();
    }
    std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("otlp-token"), "Bearer sesame\n").unwrap();
    include_str!("../../deploy/octroi.toml")
        .replace("/etc/octroi/tls", directory.to_str().unwrap())
        .replace("/usr/share/octroi/rules", concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/rules"))
}

#[test]
fn the_reference_has_no_mistake_and_has_every_key() {
    let directory = tempfile::tempdir().unwrap();
    let text = reference(directory.path());
    let (table, syntax) = DeTable::parse_recoverable(&text);
    assert!(syntax.is_empty(), "{syntax:?}");
    let problems = Problems::default();
    drop(Config::read(&mut Section::root(&table, problems.clone())));
    let mut mistakes = problems.take();
    // Of a build without them, and told as it should be.
    mistakes.retain(|mistake| cfg!(feature = "otlp") || !mistake.text.contains("--features otlp"));
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    // What is asked of one upstream is documented where any has it.
    let of_any = |key: String| key.replacen("upstream.default.", "upstream.NAME.", 1).replacen("upstream.exchange.", "upstream.NAME.", 1);
    let mut documented = BTreeSet::new();
    keys(table.get_ref(), "", &mut documented);
    let documented: BTreeSet<_> = documented.into_iter().map(of_any).collect();
    let missing: Vec<_> = problems.asked().into_iter().map(of_any).filter(|key| !documented.contains(key)).collect();
    assert!(missing.is_empty(), "not in deploy/octroi.toml: {missing:?}");
}

#[test]
fn the_defaults_are_those_of_the_reference() {
    let directory = tempfile::tempdir().unwrap();
    let text = reference(directory.path());
    let (table, _) = DeTable::parse_recoverable(&text);
    let Config { gate: written, traces, .. } = Config::read(&mut Section::root(&table, Problems::default()));
    let usual = telemetry::traces::Settings::default();
    assert_eq!((traces.sample, traces.timeout, traces.service), (usual.sample, usual.timeout, usual.service));
    assert_eq!(written.journal, journal::Settings::default());
    let written = written.settings;
    let left_out = parse(LEAST).unwrap().gate.settings;
    assert_eq!(written.limits, left_out.limits);
    assert_eq!(written.smtp, left_out.smtp);
    assert_eq!(written.timeouts, left_out.timeouts);
    assert_eq!(written.unpack, left_out.unpack);
    assert_eq!(written.state_dir, left_out.state_dir);
}
