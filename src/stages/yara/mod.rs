//! YARA rules over the message, every reading of every part, and everything unpacked from those.
//!
//! ```toml
//! [[stage]]
//! name  = "yara"
//! type  = "yara"
//! rules = ["/usr/share/octroi/rules", "/etc/octroi/rules"]
//! found = "quarantine"
//! ```
//!
//! A rule can say itself what it means, with `octroi_action = "reject"` in its metadata. What rules
//! may speak of besides the octets stands in `variables`.

mod rules;
#[cfg(test)]
mod tests;
mod variables;

use super::{Kind, Surroundings, act::Act, documented};
use crate::{
    chain::{Decision, Finding, Hold, HoldClass, Inspection, Known, Report, Stage, StageError, Type, Verdict, Wants},
    message::{Client, Message},
    smtp::{Mail, Refusal, ReversePath},
    unpack::File,
    value::{
        ByteSize, Id,
        settings::{Placed, Section},
    },
};
use async_trait::async_trait;
use boreal::{MetadataValue, Scanner, scanner::ScanParams};
use bytes::Bytes;
use rules::Rules;
use std::{
    collections::BTreeSet,
    error::Error,
    path::PathBuf,
    sync::{Arc, LazyLock},
    thread::available_parallelism,
    time::{Duration, Instant},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

pub(super) const KIND: Kind = Kind {
    name: "yara",
    summary: "looks for YARA rules in the message, its parts, and what is inside of them",
    settings: &[
        documented("rules", "files with rules, and directories of which every .yar and .yara counts; read anew when they change"),
        documented(
            "found",
            "what a rule means that does not say so: \"reject\" (the default), \"quarantine\", \"tempfail\", \"discard\" or \"report\"",
        ),
        documented("max_size", "octets of a message that are looked at (50MiB); for more the stage fails"),
    ],
    findings: &[
        Known::new("yara.rule", Type::Texts, "a rule that matched"),
        Known::new("yara.tag", Type::Texts, "a tag of one"),
        Known::new("yara.place", Type::Texts, "where one matched: \"RULE: name of the file\", or \"RULE: message\""),
    ],
    build,
};

const MAX_SIZE: ByteSize = ByteSize(50 << 20);
/// Findings of each name; a rule that matches everything is not to fill the log.
const FINDINGS: usize = 50;
/// Characters of a file's name that are told.
const LONGEST: usize = 80;

/// Scans take a core each; more of them at once would only take longer.
static SCANS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(available_parallelism().map_or(2, Into::into)));

struct Yara {
    rules: Rules,
    found: Act,
    max_size: u64,
    /// For a whole message.
    time: Duration,
    scans: &'static Semaphore,
}

fn build(section: &mut Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Stage>> {
    let sources = section.require_placed::<Vec<PathBuf>>("rules");
    let found = section.choice("found", Act::WORDS, Act::Reject);
    let max_size = section.take_or("max_size", MAX_SIZE).0;
    let Placed { value, span } = sources?;
    if value.is_empty() {
        section.complain_at(span, format!("`{}`: no rules find nothing", section.path("rules")));
        return None;
    }
    // What was found by then can still be told before the stage's own time is up.
    let time = surroundings.timeout.mul_f32(0.9);
    match Rules::load(value) {
        Ok(rules) => Some(Box::new(Arc::new(Yara { rules, found, max_size, time, scans: &SCANS }))),
        Err(errors) => {
            for error in errors {
                section.complain_at(span.clone(), format!("`{}`: {error}", section.path("rules")));
            }
            None
        }
    }
}

#[async_trait]
impl Stage for Arc<Yara> {
    fn wants(&self) -> Wants {
        Wants::MAIL | Wants::END_OF_MESSAGE
    }
    async fn begin(&self, client: &Arc<Client>) -> Result<Box<dyn Inspection>, StageError> {
        Ok(Box::new(Looking { yara: Self::clone(self), client: Arc::clone(client), mail: Mail::new(ReversePath(None)) }))
    }
}

struct Looking {
    yara: Arc<Yara>,
    client: Arc<Client>,
    mail: Mail,
}

#[async_trait]
impl Inspection for Looking {
    async fn mail(&mut self, client: &Arc<Client>, mail: &Mail, _: Id) -> Result<Decision, StageError> {
        (self.client, self.mail) = (Arc::clone(client), mail.clone());
        Ok(Decision::Go)
    }

    async fn end_of_message(&mut self, message: &Message) -> Result<Report, StageError> {
        let until = Instant::now() + self.yara.time;
        message.files().await?;
        if message.content.len() > self.yara.max_size {
            return Err(StageError::TooLarge(format!("more than {} octets", self.yara.max_size).into()));
        }
        let whole = message.whole().await.map_err(|error| StageError::Failed(error.into()))?;
        let (yara, client, mail) = (Arc::clone(&self.yara), Arc::clone(&self.client), self.mail.clone());
        // Clones share; the files live as long as one of them.
        let message = message.clone();
        let permit = yara.scans.acquire().await.map_err(|error| StageError::Failed(error.into()))?;
        let scanned = spawn_blocking(move || {
            // Until the scan ends, which may be after the last one who waits for it has gone.
            let _permit = permit;
            if yara.rules.is_stale() {
                yara.rules.refresh();
            }
            let mut scanner = yara.rules.scanner();
            variables::of_session(&mut scanner, &client, &mail);
            let files = message
                .found_files()
                .into_iter()
                .flat_map(|files| files.all())
                .filter(|file| !file.octets.is_empty())
                .map(|file| (Some(file), &file.octets));
            yara.scan([(None, whole.octets())].into_iter().chain(files), &mut scanner, until)
        });
        scanned.await.unwrap_or_else(|error| Err(StageError::Failed(error.into())))
    }
}

impl Yara {
    /// Looks at one after the other.
    ///
    /// # Errors
    /// They were not all looked at before `until`, and nothing was found by then that the rest could
    /// not make worse.
    fn scan<'f>(
        &self,
        files: impl Iterator<Item = (Option<&'f File>, &'f Bytes)>,
        scanner: &mut Scanner,
        until: Instant,
    ) -> Result<Report, StageError> {
        let mut found = Found::default();
        for (file, octets) in files {
            let left = until.saturating_duration_since(Instant::now());
            if let Err(why) = found.scan(scanner, file, octets, self.found, left) {
                if found.act.as_ref().is_some_and(|(act, _)| *act == Act::Reject) {
                    break;
                }
                return Err(StageError::Failed(why));
            }
        }
        Ok(found.report())
    }
}

/// What matched so far.
#[derive(Default)]
struct Found {
    rules: BTreeSet<Box<str>>,
    tags: BTreeSet<Box<str>>,
    places: BTreeSet<Box<str>>,
    /// The strictest, and the rule that it is of.
    act: Option<(Act, Box<str>)>,
}

impl Found {
    /// # Errors
    /// The scan did not end within `left`; what it had found by then counts, but is not all.
    fn scan(
        &mut self,
        scanner: &mut Scanner,
        file: Option<&File>,
        octets: &Bytes,
        usual: Act,
        left: Duration,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        if left.is_zero() {
            return Err("there was no time for all of its files".into());
        }
        variables::of_file(scanner, file);
        scanner.set_scan_params(ScanParams::default().timeout_duration(Some(left)));
        let (matched, ended) = match scanner.scan_mem(octets) {
            Ok(result) => (result.rules, Ok(())),
            Err((error, result)) => (result.rules, Err(error.to_string().into())),
        };
        for rule in matched {
            let name: Box<str> = rule.name.into();
            let own = rule.metadatas.iter().find(|metadata| scanner.get_string_symbol(metadata.name) == "octroi_action");
            let own = own.and_then(|metadata| match metadata.value {
                MetadataValue::Bytes(symbol) => std::str::from_utf8(scanner.get_bytes_symbol(symbol)).ok(),
                _ => None,
            });
            let act = own.and_then(|own| Act::WORDS.iter().find(|(word, _)| *word == own)).map_or(usual, |(_, act)| *act);
            if self.act.as_ref().is_none_or(|(strictest, _)| act > *strictest) {
                self.act = Some((act, name.clone()));
            }
            self.tags.extend(rule.tags.iter().map(|tag| scanner.get_string_symbol(*tag).into()));
            let place = file.map_or("message", File::name).chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c });
            self.places.insert(format!("{name}: {}", place.collect::<String>()).into());
            self.rules.insert(name);
        }
        ended
    }

    fn report(self) -> Report {
        let verdict = match &self.act {
            None | Some((Act::Report, _)) => Verdict::Deliver,
            Some((Act::Discard, _)) => Verdict::Discard,
            Some((Act::Quarantine, rule)) => {
                Verdict::Quarantine(Hold { class: HoldClass::Malware, reason: format!("YARA rule {rule}").into() })
            }
            Some((Act::Tempfail, rule)) => {
                Verdict::Refuse(Refusal::temporary(51, "7.1", &format!("refused for now by its content ({rule})")))
            }
            Some((Act::Reject, rule)) => Verdict::Refuse(Refusal::permanent(50, "7.1", &format!("refused by its content ({rule})"))),
        };
        let named = |name, all: BTreeSet<Box<str>>| all.into_iter().take(FINDINGS).map(move |text| Finding::text(name, text));
        let findings = named("yara.rule", self.rules).chain(named("yara.tag", self.tags)).chain(named("yara.place", self.places)).collect();
        Report { verdict, findings, ..Report::default() }
    }
}
