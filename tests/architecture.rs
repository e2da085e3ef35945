//! Which module may name which, and who may do what. Inside one crate the compiler allows knots;
//! this does not.
//!
//! Comments and tests are not looked at: a test may reach up for what it tries.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// All that stand above it in the table.
const BELOW: &[&str] = &["*"];

/// A module and the modules it may name, from the bottom up. A row that is missing is a failure.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("value", &[]),
    ("smtp", &["value"]),
    ("dns", &["value"]),
    ("tls", &["value"]),
    ("storage", &["value"]),
    ("remote", &["tls", "value"]),
    ("telemetry", &["remote", "tls", "value"]),
    ("unpack", &["value"]),
    ("message", &["smtp", "unpack", "value"]),
    ("chain", &["message", "smtp", "telemetry", "value"]),
    ("stages", &["chain", "message", "dns", "remote", "smtp", "telemetry", "tls", "unpack", "value"]),
    ("upstream", &["message", "smtp", "telemetry", "tls", "value"]),
    ("journal", &["chain", "message", "smtp", "storage", "telemetry", "value"]),
    ("audit", &["storage", "value"]),
    ("quarantine", &["audit", "chain", "message", "smtp", "storage", "telemetry", "value"]),
    ("accounts", &["audit", "storage", "value"]),
    ("preview", &["message", "smtp", "unpack", "value"]),
    ("evidence", &["audit", "journal", "message", "quarantine", "storage", "value"]),
    ("acme", &["telemetry", "tls", "value"]),
    ("gate", BELOW),
    ("console", BELOW),
    ("config", BELOW),
    ("cli", BELOW),
    ("manual", BELOW),
];

/// Who may make the proof that somebody answers for a message, and so a `250` to the end of data.
/// The demonstration MTA of `octroi try` is one: it has the message on disk before it says so.
const CUSTODIANS: &[&str] = &["cli/try_it/mta.rs", "gate/conclude.rs", "quarantine/keep.rs", "upstream/mod.rs"];

/// A word of code, where alone it may stand (files, or folders and file names by their beginning),
/// and what goes wrong elsewhere.
struct Only {
    word: &'static str,
    within: &'static [&'static str],
    otherwise: &'static str,
}

const ONLY: &[Only] = &[
    Only {
        word: "mail_parser",
        within: &["message/mime.rs"],
        otherwise: "its panics on hostile input are caught, and its types wrapped, in one place",
    },
    Only { word: "boreal", within: &["stages/yara/"], otherwise: "rules are compiled and scans bounded in one place" },
    Only { word: "mail_auth", within: &["stages/auth/"], otherwise: "its reading of a message would stand beside ours" },
    Only { word: "hyper", within: &["remote/http.rs", "stages/rspamd/answer.rs"], otherwise: "HTTP is spoken in one place" },
    Only {
        word: "sevenz_rust2",
        within: &["unpack/"],
        otherwise: "an archive is opened without the limits of [unpack], and a panic of its reader is not caught",
    },
    Only { word: "cfb", within: &["unpack/"], otherwise: "as with archives" },
    Only { word: "flate2", within: &["unpack/"], otherwise: "as with archives" },
    Only { word: "hickory_resolver", within: &["dns/"], otherwise: "a second resolver has a second cache, and other time-outs" },
    Only { word: "regex", within: &["chain/expression/"], otherwise: "a pattern is compiled without anybody asking whose it is" },
    Only { word: "cel", within: &["chain/expression/"], otherwise: "conditions are checked and evaluated in one place" },
    Only {
        word: "rusqlite",
        within: &["storage/"],
        otherwise: "a second way to the database has other settings, and no engine in its place",
    },
    Only { word: "ammonia", within: &["preview/"], otherwise: "HTML of mail is cleaned in one place, within bounds" },
    Only { word: "prometheus", within: &["telemetry/"], otherwise: "a metric outside the one list has no documentation and no zero" },
    Only {
        word: "rustls",
        within: &["tls/", "gate/tls", "upstream/", "dns/", "cli/certs", "cli/try_it/client.rs"],
        otherwise: "a second place that builds TLS configurations has other versions and ciphers",
    },
    Only { word: "tokio_rustls", within: &["tls/", "gate/tls", "upstream/", "cli/try_it/client.rs"], otherwise: "as with rustls" },
    Only { word: "rcgen", within: &["cli/", "acme/"], otherwise: "the service makes no certificates, and asks for them in one place" },
    Only { word: "instant_acme", within: &["acme/"], otherwise: "as with rcgen" },
    Only { word: "clap", within: &["cli/"], otherwise: "the command line is one layer" },
    Only { word: "prost", within: &["telemetry/traces/"], otherwise: "protobuf is written for collectors of traces alone" },
    Only { word: "axum", within: &["telemetry/", "console/"], otherwise: "HTTP is served in two places, on their own threads" },
    Only { word: "askama", within: &["console/"], otherwise: "pages are made in one place, where everything is escaped" },
    Only { word: "argon2", within: &["accounts/"], otherwise: "passwords are hashed in one place, few at a time" },
    Only { word: "totp_rs", within: &["accounts/"], otherwise: "a code would be taken twice" },
    Only { word: "webauthn_rs", within: &["accounts/"], otherwise: "passkeys are checked in one place" },
];

/// What a layer must not know, whatever for.
const NEVER: &[(&str, &[&str])] = &[
    (
        "smtp/",
        &[
            "tokio",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "ToSocketAddrs",
            "std::fs",
            "std::io",
            "std::time::Instant",
            "Instant::now",
            "SystemTime",
            "async_trait",
            "rustix",
            "socket2",
        ],
    ),
    ("message/", &["tokio::net", "TcpStream", "TcpListener", "UdpSocket", "UnixStream", "tokio::time", "Instant::now", "SystemTime"]),
    ("value/", &["tokio", "TcpStream", "TcpListener"]),
    ("unpack/", &["tokio", "std::fs", "std::net", "std::process", "Command", "async_trait"]),
    ("chain/", &["tokio::net", "TcpStream", "TcpListener"]),
];

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `code` without comments and without items under `#[cfg(test)]`; strings stay.
fn without_comments_and_tests(source: &str) -> String {
    let mut kept = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("//") {
            continue;
        }
        if trimmed.starts_with("#[cfg(test)]") {
            // The item ends at a line that closes at the attribute's own indentation (rustfmt's
            // habit, and CI formats), or at once where it has no body.
            let indent = &line[..line.len() - trimmed.len()];
            for item in lines.by_ref() {
                let closes = item.strip_prefix(indent).is_some_and(|rest| rest == "}" || rest.starts_with("})") || rest.starts_with("};"));
                let own_indent = &item[..item.len() - item.trim_start().len()];
                let is_whole = own_indent == indent && !item.trim_start().starts_with("#[") && (item.ends_with(';') || item.ends_with('}'));
                if closes || is_whole {
                    break;
                }
            }
            continue;
        }
        let code = line.find(" // ").map_or(line, |at| &line[..at]);
        kept.push_str(code);
        kept.push('\n');
    }
    kept
}

/// Every source below `src`, by its path there, stripped.
fn sources() -> BTreeMap<String, String> {
    fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !name.ends_with("/tests") {
                walk(root, &path, out);
            } else if name.ends_with(".rs") && !name.ends_with("/tests.rs") {
                out.insert(name, without_comments_and_tests(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = BTreeMap::new();
    walk(&root, &root, &mut all);
    assert!(all.len() > 30, "the sources were not found");
    all
}

/// The first words of a path that follows a `::`, or of each path in the braces that do.
fn first_words(rest: &str) -> Vec<String> {
    let word = |s: &str| s.trim_start().chars().take_while(|c| is_word(*c)).collect::<String>();
    if !rest.starts_with('{') {
        return vec![word(rest)];
    }
    let (mut depth, mut start, mut found) = (0, 1, Vec::new());
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            found.push(word(&rest[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// The top-level modules that the code of `file` names, through `crate::` or by climbing.
fn named(file: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        if !code[..at].ends_with(is_word) {
            found.extend(first_words(&code[at + path.len()..]));
        }
    }
    // smtp/mod.rs stands one step below the root of the crate, smtp/data.rs two.
    let depth = file.matches('/').count() + usize::from(!file.ends_with("/mod.rs"));
    for (at, climb) in code.match_indices(&"super::".repeat(depth)) {
        let rest = &code[at + climb.len()..];
        if !code[..at].ends_with("super::") && !rest.starts_with("super::") {
            found.extend(first_words(rest));
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

/// Whether `word` stands in `code` by itself, not inside a longer name.
fn says(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word))
}

#[test]
fn dependencies_point_downward() {
    let mut wrong = Vec::new();
    for (file, code) in &sources() {
        let Some((module, _)) = file.split_once('/') else { continue };
        let Some(at) = MAY_NAME.iter().position(|(name, _)| *name == module) else {
            wrong.push(format!("src/{module}/ is not in the table of who may name whom"));
            continue;
        };
        let may = |name: &str| match MAY_NAME[at].1 {
            BELOW => MAY_NAME[..at].iter().any(|(lower, _)| *lower == name),
            listed => listed.contains(&name),
        };
        let upward = named(file, code).into_iter().filter(|name| name != module && !may(name));
        wrong.extend(upward.map(|name| format!("src/{file} names crate::{name}, which {module} may not")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_is_the_map_of_the_house() {
    let modules: BTreeSet<String> = sources().keys().filter_map(|file| file.split_once('/')).map(|(module, _)| module.to_owned()).collect();
    let table: BTreeSet<String> = MAY_NAME.iter().map(|(module, _)| (*module).to_owned()).collect();
    assert_eq!(modules, table);
    for (at, (module, may)) in MAY_NAME.iter().enumerate() {
        for lower in may.iter().filter(|_| *may != BELOW) {
            assert!(MAY_NAME[..at].iter().any(|(name, _)| name == lower), "{module} may name {lower}, which does not stand below it");
        }
    }
    let map = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    for (module, _) in MAY_NAME {
        assert!(map.contains(&format!("//! | [`{module}`]")), "src/lib.rs does not say what {module} holds");
    }
}

#[test]
fn only_custodians_take_custody() {
    let sources = sources();
    let minting: BTreeSet<&str> = sources.iter().filter(|(_, code)| code.contains("Custody for ")).map(|(file, _)| file.as_str()).collect();
    let may: BTreeSet<&str> = CUSTODIANS.iter().copied().collect();
    assert_eq!(minting, may, "the only 250 to a message is made from a Custody, and only after the fact");
}

#[test]
fn what_belongs_in_one_place_stays_there() {
    let mut wrong = Vec::new();
    for (file, code) in &sources() {
        for Only { word, within, otherwise } in ONLY {
            if says(code, word) && !within.iter().any(|place| file.starts_with(place)) {
                wrong.push(format!("src/{file} names {word}: {otherwise}"));
            }
        }
        for (layer, words) in NEVER {
            if file.starts_with(layer) {
                wrong.extend(words.iter().filter(|word| says(code, word)).map(|word| format!("src/{file} names {word}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn this_test_sees_what_it_should() {
    let code = without_comments_and_tests(
        "use crate::{\n    smtp::{Mail, Reply},\n    value,\n};\n// crate::gate\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\nfn f() -> crate::chain::Verdict { super::super::upstream::g(super::h()) }\n",
    );
    let names = |file| named(file, &code).into_iter().collect::<Vec<_>>();
    assert_eq!(names("message/edit.rs"), ["chain", "smtp", "upstream", "value"]);
    assert_eq!(names("message/deep/edit.rs"), ["chain", "smtp", "value"]);
    assert!(says("use tokio::net", "tokio") && !says("use tokio_rustls", "tokio"));
}
