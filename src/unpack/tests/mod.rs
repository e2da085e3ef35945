mod any;
mod archives;
mod bombs;
mod documents;
mod make;

use super::*;
use std::time::Duration;

/// Limits that no test meets unless it means to.
fn limits() -> Limits {
    Limits { time: Duration::from_secs(600), ..Limits::default() }
}

fn part(name: &str, octets: impl Into<Bytes>) -> Input {
    Input { names: vec![name.into()], declared: "application/octet-stream".into(), is_body: false, octets: octets.into() }
}

fn look(name: &str, octets: impl Into<Bytes>) -> Unpacked {
    unpack([part(name, octets)], &limits(), &mut |_| true).unwrap()
}

/// A line a file: its path, its kind, its flags.
fn tree(unpacked: &Unpacked) -> Vec<String> {
    let line = |file: &File| {
        let flags: Vec<_> = file.flags.names().collect();
        format!("{} {} {}", unpacked.path(file).join(" > "), file.kind.name(), flags.join(",")).trim_end().to_owned()
    };
    unpacked.all().iter().map(line).collect()
}

fn flags(unpacked: &Unpacked) -> Vec<&'static str> {
    unpacked.all().first().map(|file| file.flags.names().collect()).unwrap_or_default()
}

#[test]
fn words_are_told_apart() {
    let mut words: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    words.extend(Flag::ALL.iter().map(|flag| flag.name()));
    let all = words.len();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all, "a word that means two things cannot be used in a rule");
}

#[test]
fn a_file_is_told_with_its_digest_its_names_and_its_place() {
    let unpacked = look("a.zip", make::zip(&[("b.txt", b"hello")]));
    let [archive, file] = unpacked.all() else { panic!("{:?}", tree(&unpacked)) };
    assert_eq!((archive.depth, file.depth, file.size), (0, 1, 5));
    assert_eq!(unpacked.path(file), ["a.zip", "b.txt"]);
    assert!(std::ptr::eq(unpacked.parent(file).unwrap(), archive));
    assert_eq!(file.octets, "hello");
    let digest: String = file.sha256.unwrap().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(digest, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_eq!(archive.declared, "application/octet-stream".into());
}

#[test]
fn long_names_keep_their_ends_and_many_names_are_bounded() {
    let name = format!("{}.exe", "é".repeat(1_000));
    let unpacked = look(&name, "x");
    assert_eq!(unpacked.all()[0].name().chars().count(), 255);
    assert!(unpacked.all()[0].name().ends_with("é.exe"));
    let names = (0..100).map(|n| n.to_string().into()).collect();
    let input = Input { names, ..part("", "x") };
    assert_eq!(unpack([input], &limits(), &mut |_| true).unwrap().all()[0].names.len(), 8);
}
