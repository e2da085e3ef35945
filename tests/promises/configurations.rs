//! A broken configuration per folder of `tests/configurations/`, with the words of `octroi check`:
//! every mistake at once, each with its place. `UPDATE_EXPECTED=1 cargo test configurations` writes
//! them anew, and the difference is reviewed.

use crate::support::{Gate, partners};
use std::{fs, path::Path, process::Command};

#[test]
fn every_broken_configuration_is_told_all_that_is_wrong_with_it() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configurations");
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut folders: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() >= 10, "the configurations were not found");
    let mut wrong = Vec::new();
    for folder in folders {
        let mut command = Command::new(Gate::binary());
        command.args(["check", "--config", "octroi.toml"]).current_dir(&folder);
        let said = partners::run_command(command, b"");
        let name = folder.file_name().unwrap().display();
        if said.code != Some(1) {
            wrong.push(format!("{name}: exit status {:?}\n{}", said.code, said.text));
        }
        let expected = folder.join("expected");
        if update {
            fs::write(&expected, &said.text).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if wanted != said.text {
            wrong.push(format!("{name}: said\n{}\ninstead of\n{wanted}", said.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
