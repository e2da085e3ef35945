//! Rules as they stand in files: compiled, and compiled anew when the files change.
use super::variables;
use arc_swap::ArcSwap;
use boreal::{Compiler, Scanner, compiler::CompilerParams};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::time::Instant;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The rules of a stage, shared by all sessions.
pub(super) struct Rules {
    sources: Vec<PathBuf>,
    current: ArcSwap<Scanner>,
    seen: Mutex<Seen>,
}

/// The files as they were read, and when somebody last looked.
struct Seen {
    files: Stamps,
    looked: Instant,
}

/// Path, length, time of the last change.
type Stamps = Vec<(PathBuf, u64, Option<SystemTime>)>;

impl Rules {
    /// `sources`: files, and directories of which every `.yar` and `.yara` counts.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with file, line and column.
    pub(super) fn load(sources: Vec<PathBuf>) -> Result<Self, Vec<String>> {
        let files = stamps(&sources).map_err(|why| vec![why])?;
        let scanner = compile(&files)?;
        let seen = Mutex::new(Seen { files, looked: Instant::now() });
        Ok(Self { sources, current: ArcSwap::from_pointee(scanner), seen })
    }

    /// A scanner of one's own, which is cheap, with the rules as they are now.
    pub(super) fn scanner(&self) -> Scanner {
        Scanner::clone(&self.current.load())
    }

    /// Looks whether files have changed, every few seconds; new rules that are wrong change nothing.
    /// To be called where blocking is allowed.
    pub(super) fn refresh(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.looked.elapsed() < LOOK {
            return;
        }
        seen.looked = Instant::now();
        let files = match stamps(&self.sources) {
            Ok(files) if files == seen.files => return,
            Ok(files) => files,
            Err(error) => return tracing::warn!("YARA rules: {error}; the old ones stay"),
        };
        // Not tried again before they change once more.
        seen.files.clone_from(&files);
        match compile(&files) {
            Ok(scanner) => {
                tracing::info!(files = files.len(), rules = scanner.rules().count(), "YARA rules reloaded");
                self.current.store(scanner.into());
            }
            Err(errors) => {
                for error in errors {
                    tracing::warn!("YARA rules: {error}");
                }
                tracing::warn!("YARA rules have mistakes; the old ones stay");
            }
        }
    }

    /// Whether it is time to look again.
    pub(super) fn is_stale(&self) -> bool {
        self.seen.try_lock().is_ok_and(|seen| seen.looked.elapsed() >= LOOK)
    }
}

fn compile(files: &Stamps) -> Result<Scanner, Vec<String>> {
    let mut compiler = Compiler::new();
    compiler.set_params(CompilerParams::default().disable_includes(true));
    for (name, empty) in variables::ALL {
        match empty {
            variables::Empty::Text => compiler.define_symbol(*name, ""),
            variables::Empty::Flag => compiler.define_symbol(*name, false),
            variables::Empty::Number => compiler.define_symbol(*name, 0_i64),
        };
    }
    let mut errors = Vec::new();
    for (path, ..) in files {
        // Rules of two files may have the same name.
        let namespace = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if let Err(error) = compiler.add_rules_file_in_namespace(path, namespace) {
            errors.push(error.to_string().trim().to_owned());
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(compiler.finalize())
}

fn stamps(sources: &[PathBuf]) -> Result<Stamps, String> {
    let wrong = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let mut all = Vec::new();
    for source in sources {
        let metadata = fs::metadata(source).map_err(|error| wrong(source, error))?;
        if !metadata.is_dir() {
            all.push((source.clone(), metadata.len(), metadata.modified().ok()));
            continue;
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(source).map_err(|error| wrong(source, error))? {
            let path = entry.map_err(|error| wrong(source, error))?.path();
            if path.extension().is_some_and(|extension| extension == "yar" || extension == "yara") {
                let metadata = fs::metadata(&path).map_err(|error| wrong(&path, error))?;
                files.push((path, metadata.len(), metadata.modified().ok()));
            }
        }
        if files.is_empty() {
            return Err(format!("{}: there is no file with rules, .yar or .yara", source.display()));
        }
        files.sort();
        all.extend(files);
    }
    Ok(all)
}
