//! Programs that the tests need and that somebody else wrote.

pub mod clamd;
#[cfg(feature = "otlp")]
pub mod collector;
pub mod milters;
pub mod prometheus;
pub mod rspamd;
pub mod scripted;
pub mod spamd;

use super::wait;
use std::{
    ffi::OsStr,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// Where a partner is; `None`, with a word, where it is missing. Under `CI=true` that is a failure.
pub fn find(name: &str) -> Option<PathBuf> {
    let unpacked = target().join("partners");
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/local/sbin", "/bin"].map(PathBuf::from);
    let mut candidates = places
        .iter()
        .map(|place| place.join(name))
        .chain(["exim/usr/sbin", "prometheus/usr/bin"].map(|place| unpacked.join(place).join(name)));
    let found = candidates.find(|path| path.exists());
    if found.is_none() {
        skip(&format!("{name} is not installed; ./test installs it"));
    }
    found
}

/// A folder that `./test` makes for a partner; `None`, with a word, where it is missing. Under
/// `CI=true` that is a failure.
pub fn unpacked(name: &str) -> Option<PathBuf> {
    let folder = target().join("partners").join(name);
    if !folder.exists() {
        skip(&format!("{} is not there; ./test makes it", folder.display()));
        return None;
    }
    Some(folder)
}

/// Whether we are root, which Postfix and Exim want; if not, with a word. Under `CI=true` that is
/// a failure.
pub fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("not root");
    }
    root
}

/// The Debian package that a partner was unpacked from; `None`, with a word, where it is missing.
pub fn package(package: &str) -> Option<PathBuf> {
    let beginning = format!("{package}_");
    let mut debs = std::fs::read_dir(target().join("partners/deb")).into_iter().flatten().flatten();
    let found = debs.find(|entry| entry.file_name().to_string_lossy().starts_with(&beginning)).map(|entry| entry.path());
    if found.is_none() {
        skip(&format!("the package {package} was not fetched; ./test does"));
    }
    found
}

/// Says that something could not be tried. Under `CI=true` that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}");
    eprintln!("skipped: {why}");
}

/// The directory cargo builds in.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// What a program that ran to its end said.
pub struct Output {
    pub success: bool,
    pub code: Option<i32>,
    /// Both streams, one after the other.
    pub text: String,
}

/// Runs a program to its end, within the patience of all tests.
pub fn run(program: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>, input: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.args(args);
    run_command(command, input)
}

pub fn run_command(mut command: Command, input: &[u8]) -> Output {
    let what = format!("{command:?}");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that ends without reading its input is no concern of ours.
    thread::spawn(move || drop(stdin.write_all(&input)));
    let collect = |mut stream: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).map(|_| all).unwrap_or_default()
        })
    };
    let out = collect(Box::new(child.stdout.take().unwrap()));
    let err = collect(Box::new(child.stderr.take().unwrap()));
    let status = wait::until_within(4 * wait::PATIENCE, &what, || child.try_wait().unwrap());
    let text = [out.join().unwrap(), err.join().unwrap()].concat();
    Output { success: status.success(), code: status.code(), text: String::from_utf8_lossy(&text).into_owned() }
}
