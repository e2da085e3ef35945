//! Replays the corpora of the fuzz targets.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]
#![expect(unreachable_pub, reason = "to the fuzz targets the functions are a library")]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::{fs, path::Path};

/// Runs `target` over every file of its corpus; a panic names the file.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let input = fs::read(&file).unwrap();
        std::panic::catch_unwind(|| target(&input)).unwrap_or_else(|_| panic!("fuzz target {name} fails on {}", file.display()));
    }
}

#[test]
fn data() {
    replay("data", targets::data);
}

#[test]
fn bdat() {
    replay("bdat", targets::bdat);
}

#[test]
fn command() {
    replay("command", targets::command);
}

#[test]
fn address() {
    replay("address", targets::address);
}

#[test]
fn reply() {
    replay("reply", targets::reply);
}

#[test]
fn server() {
    replay("server", targets::server);
}

#[test]
fn proxy() {
    replay("proxy", targets::proxy);
}

#[test]
fn readings() {
    replay("readings", targets::readings);
}

#[test]
fn unpack() {
    replay("unpack", targets::unpack);
}

#[test]
fn milter() {
    replay("milter", targets::milter);
}
