//! What is in a message, for its row. A small one is looked into where it is: to give it to another
//! thread, which reads it anew and frees what this one allocated, takes longer. All others are looked
//! into after the client has its answer, one at a time, and given up rather than waited for.
use super::{
    links,
    record::{Contents, Record, cut, line},
    row::Attachment,
    settings::Settings,
};
use crate::message::{Message, MimeError, Readings};
use crate::telemetry::{JournalDrop, Metrics};
use crate::value::hex;
use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a message may wait for its turn: its content takes room.
const WAIT: Duration = Duration::from_secs(10);
/// How long those that are left may take together when the journal is closed.
const LAST: Duration = Duration::from_secs(2);
/// How long more may come before they are looked at, so that no session has to wake this thread.
const GATHER: Duration = Duration::from_millis(20);
/// Attachments of a row.
const ATTACHMENTS: usize = 100;
/// Names of one of them.
const NAMES: usize = 8;
/// Characters of a name.
const NAME: usize = 255;
/// Hosts of a row.
const HOSTS: usize = 100;
/// Octets of a message that is looked into at once.
const SMALL: u64 = 16 << 10;
/// Octets of texts that are searched in place.
const INLINE: usize = 64 << 10;

pub(super) struct Examiner {
    pub(super) records: mpsc::Receiver<Box<Record>>,
    pub(super) examined: mpsc::Sender<Box<Record>>,
    pub(super) settings: Arc<ArcSwap<Settings>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) ended: CancellationToken,
}

impl Examiner {
    /// Until nobody is left who could give it anything, or the journal is closed.
    pub(super) async fn run(mut self) {
        let ended = self.ended.clone();
        loop {
            let first = match ended.run_until_cancelled(self.records.recv()).await {
                Some(Some(first)) => first,
                Some(None) => return,
                None => break,
            };
            let _ = timeout(GATHER, ended.cancelled()).await;
            let mut next = Some(first);
            while let Some(record) = next {
                self.one(record, Instant::now() + PATIENCE).await;
                // The writer has the same thread.
                tokio::task::yield_now().await;
                next = self.records.try_recv().ok();
            }
        }
        let last = Instant::now() + LAST;
        while let Ok(record) = self.records.try_recv() {
            self.one(record, last).await;
        }
    }

    /// Looks into it until `deadline`, and sends it on, whatever is known of it then.
    async fn one(&self, mut record: Box<Record>, deadline: Instant) {
        let is_late = record.at.elapsed().is_ok_and(|waited| waited > WAIT) || deadline <= Instant::now();
        let message = record.content.take().filter(|_| !is_late);
        let settings = **self.settings.load();
        match message {
            None => self.give_up(&mut record, "late"),
            Some(message) => match timeout_at(deadline, contents(&message, settings)).await {
                Ok(Ok(contents)) => record.contents = contents,
                Ok(Err(error)) => {
                    tracing::debug!(id = record.message.map(tracing::field::display), "the journal does not look into it: {error}");
                    self.give_up(&mut record, "failed");
                }
                Err(_) => self.give_up(&mut record, "late"),
            },
        }
        record.content_share = None;
        if self.examined.try_send(record).is_err() {
            self.metrics.journal_dropped(JournalDrop::QueueFull, 1);
        }
    }

    fn give_up(&self, record: &mut Record, why: &'static str) {
        record.give_up(why);
        self.metrics.journal_unexamined.inc();
    }
}

/// What is in `message`, where that takes some microseconds: it is small, and has no file that is still to
/// be opened.
pub(super) fn at_once(message: &Message, settings: Settings) -> Option<Contents> {
    if message.content.len() > SMALL || message.content.in_memory().is_none() {
        return None;
    }
    let readings = message.readings().now_or_never()?.ok()?;
    if wants_files(readings, settings) && message.found_files().is_none() {
        return None;
    }
    contents(message, settings).now_or_never()?.ok()
}

/// Whether files are asked for, and there is anything that is not just the text of the message.
fn wants_files(readings: &Readings, settings: Settings) -> bool {
    settings.attachments && readings.all().iter().any(|reading| !reading.names.is_empty() || !reading.content_type.starts_with("text/"))
}

/// What is in `message`, as far as it is asked for.
async fn contents(message: &Message, settings: Settings) -> Result<Contents, MimeError> {
    let (mut contents, mut is_too_much) = (Contents::default(), false);
    let readings = message.readings().await?;
    if wants_files(readings, settings) {
        let files = message.files().await?;
        let attached = files.all().iter().filter(|file| !file.is_body && !file.is_part);
        contents.attachments.extend(attached.take(ATTACHMENTS + 1).map(|file| {
            let mut within: Vec<String> = files.path(file).into_iter().map(|name| line(name, NAME)).collect();
            within.pop();
            let names: Vec<String> = file.names.iter().take(NAMES).map(|name| line(name, NAME)).collect();
            Attachment {
                names: if names.is_empty() { vec![file.kind.name().to_owned()] } else { names },
                within,
                kind: file.kind.name().to_owned(),
                sha256: file.sha256.map(|hash| hex(&hash)),
                size: file.size,
            }
        }));
    }
    if settings.urls {
        let texts: Vec<_> = readings.all().iter().filter(|reading| reading.content_type.starts_with("text/")).cloned().collect();
        let octets: usize = texts.iter().map(|text| text.octets.len()).sum();
        let find = move || {
            let mut found = links::Hosts::new(HOSTS + 1);
            texts.iter().for_each(|text| found.look(&text.octets, text.content_type.contains("html")));
            found.finish()
        };
        let (hosts, is_cut) = if octets <= INLINE {
            find()
        } else {
            spawn_blocking(find).await.map_err(|error| MimeError::Panicked(cut(&error.to_string(), NAME).into()))?
        };
        contents.hosts = hosts;
        is_too_much = is_cut;
    }
    if is_too_much || contents.attachments.len() > ATTACHMENTS || contents.hosts.len() > HOSTS {
        contents.unexamined = Some("too_many");
        contents.attachments.truncate(ATTACHMENTS);
        contents.hosts.truncate(HOSTS);
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Content, Envelope, HeaderBlock};
    use crate::smtp::{Mail, ReversePath};

    fn message(kind: &str, body: &str) -> Message {
        let headers = format!("Content-Type: {kind}\r\n");
        let envelope = Envelope { mail: Mail::new(ReversePath(None)), recipients: vec![] };
        let content = Content::from_bytes(format!("{headers}\r\n{body}"));
        Message::new(envelope.into(), HeaderBlock::new(headers.into()), content)
    }

    #[tokio::test]
    async fn what_is_small_is_looked_into_at_once_and_what_would_take_long_is_not() {
        let settings = Settings::default();
        let hosts = |contents: Option<Contents>| contents.map(|contents| contents.hosts);
        let text = "see https://www.example.org/x\r\n";
        assert_eq!(hosts(at_once(&message("text/plain", text), settings)), Some(vec!["www.example.org".into()]));
        assert_eq!(hosts(at_once(&message("text/plain", &text.repeat(1000)), settings)), None);
        let attached = message("text/plain; name=a.txt", text);
        assert_eq!(at_once(&attached, settings), None, "nobody has opened it yet");
        attached.files().await.unwrap();
        let found = at_once(&attached, settings).unwrap();
        assert_eq!(found, contents(&attached, settings).await.unwrap());
        assert_eq!(found.attachments[0].names, ["a.txt"]);
    }
}
