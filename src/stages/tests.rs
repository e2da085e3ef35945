use super::*;
use crate::{
    message::{Client, Content, Envelope, HeaderBlock, Message},
    smtp::{Mail, ReversePath},
    value::settings::Problems,
};
use std::{collections::BTreeSet, sync::Arc};
use toml::de::DeTable;

/// The stages of a text, and its mistakes: the text at their place, and what is wrong.
pub(super) fn read(text: &str) -> (Vec<Configured>, Vec<(String, String)>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    assert!(errors.is_empty(), "{errors:?}");
    let problems = Problems::default();
    let stages = super::read(&mut Section::root(&table, problems.clone()), &surroundings());
    (stages, problems.take().into_iter().map(|problem| (text[problem.span].to_owned(), problem.text)).collect())
}
pub(crate) fn surroundings() -> Surroundings {
    let dns = dns::Resolver::new(&dns::Settings::default());
    Surroundings {
        hostname: "gate.example".into(),
        dns,
        listeners: vec!["mx".into(), "submission".into()],
        timeout: Duration::from_secs(10),
    }
}
pub(super) fn client() -> Arc<Client> {
    let address = "192.0.2.1:1".parse().unwrap();
    Arc::new(Client { listener: "mx".into(), address, local: address, tls: None, hello: None, account: None, mechanism: None })
}
pub(super) fn message(headers: &str, body: &str) -> Message {
    let envelope = Envelope { mail: Mail::new(ReversePath(None)), recipients: vec![] };
    let content = Content::from_bytes(format!("{headers}\r\n{body}"));
    Message::new(envelope.into(), HeaderBlock::new(headers.to_owned().into()), content)
}

/// Modules that are no stage.
const HELPERS: &[&str] = &["mod", "act", "tests", "remote"];

#[test]
fn every_file_here_is_in_the_table() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/stages");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().replace('_', "-")).collect();
    let files: Vec<_> = files.iter().map(String::as_str).filter(|name| !HELPERS.contains(name)).collect();
    assert_eq!(files, KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>());
}

#[test]
fn every_kind_is_documented_and_the_reader_agrees() {
    for kind in KINDS {
        assert!(kind.summary.len() > 10, "{} has no summary", kind.name);
        for documented in kind.settings {
            assert!(documented.meaning.len() > 10, "{}: {} has no meaning", kind.name, documented.name);
        }
        for finding in kind.findings {
            assert!(finding.meaning.len() > 10, "{} has no meaning", finding.name);
            assert!(finding.name.starts_with(&format!("{}.", kind.name)), "{}", finding.name);
        }
        // What the reader asks for is what an unknown key is answered with.
        let (_, found) = read(&format!("[[stage]]\ntype = \"{}\"\nzzzzzzzzzzzzzzzz = 1\n", kind.name));
        let known = found.iter().find_map(|(_, text)| text.split_once("known here: ")).unwrap().1;
        let known: BTreeSet<_> = known.split(", ").collect();
        let documented: BTreeSet<_> = COMMON.iter().chain(kind.settings).map(|setting| setting.name).collect();
        assert_eq!(known, documented, "{}", kind.name);
    }
}

#[test]
fn common_settings_are_read_and_have_defaults() {
    let (stages, found) = read(
        "[[stage]]\ntype = \"headers\"\nadd = [\"X: y\"]\n\
         [[stage]]\nname = \"strict\"\ntype = \"limits\"\nparts = 5\ntimeout = \"3s\"\non_error = \"reject\"\nmode = \"observe\"\nlisteners = [\"mx\"]\n",
    );
    assert_eq!(found, []);
    let first = &stages[0];
    assert_eq!(
        (&*first.name, first.kind, first.timeout, first.on_error, first.mode),
        ("headers", "headers", Duration::from_secs(10), OnError::Tempfail, Mode::Enforce)
    );
    let second = &stages[1];
    assert_eq!((&*second.name, second.kind, second.timeout.as_secs()), ("strict", "limits", 3));
    assert_eq!((second.on_error, second.mode, second.listeners.clone()), (OnError::Reject, Mode::Observe, vec!["mx".into()]));
}

#[test]
fn every_mistake_of_every_stage_is_told() {
    let (_, found) = read(
        "[[stage]]\ntype = \"header\"\nanything = 1\n\
         [[stage]]\nname = \"two words\"\ntype = \"headers\"\nadd = [\"X\"]\ntimeout = \"0s\"\nlisteners = [\"mx\", \"submision\"]\n\
         [[stage]]\ntype = \"limits\"\nparts = 5\non_error = \"hold\"\n\
         [[stage]]\ntype = \"limits\"\nparts = 5\non_error = \"ignore\"\nmode = \"watch\"\n\
         [[stage]]\nname = \"x\"\n",
    );
    let found: Vec<_> = found.iter().map(|(place, text)| (place.as_str(), text.as_str())).collect();
    let expected = [
        ("\"header\"", "`stage.type`: there is no stage of type `header`; did you mean `headers`?"),
        ("\"two words\"", "`stage.name`: `two words` must be 1 to 64 letters, digits, `.`, `_` or `-`"),
        ("\"X\"", "`stage.add`: `X` is no header field: write \"Name: value\""),
        ("\"0s\"", "`stage.timeout`: a stage that has no time can only fail"),
        ("\"submision\"", "`stage.listeners`: there is no listener `submision`; did you mean `submission`?"),
        ("\"hold\"", "`stage.on_error`: `hold` is none of \"accept\", \"tempfail\", \"reject\", \"quarantine\""),
        ("[[stage]]", "two stages are called `limits`: give each a name of its own"),
        ("\"ignore\"", "`stage.on_error`: `ignore` is none of \"accept\", \"tempfail\", \"reject\", \"quarantine\""),
        ("\"watch\"", "`stage.mode`: `watch` is none of \"enforce\", \"observe\""),
        ("[[stage]]", "`stage.type` is missing: expected a text in quotes"),
    ];
    assert_eq!(found, expected);
}
