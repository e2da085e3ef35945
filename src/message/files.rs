//! All files of a message: every reading of every part, and what is inside.
use super::{MimeError, Readings, budget::Budget};
use crate::unpack::{self, Input, Limits, Unpacked};
use std::{ops::Deref, sync::Arc};
use tokio::task::spawn_blocking;

/// Parts up to this size (octets, together) are looked at in place, where there is nothing to open.
const INLINE: usize = 64 << 10;

/// The files, and what they hold of the memory budget. Made once, when a stage first asks.
#[derive(Debug)]
pub struct Files {
    unpacked: Unpacked,
    share: super::budget::Share,
}

impl Files {
    /// Octets of the memory budget that are theirs.
    pub(super) fn held(&self) -> u64 {
        self.share.octets()
    }
}

impl Deref for Files {
    type Target = Unpacked;
    fn deref(&self) -> &Unpacked {
        &self.unpacked
    }
}

pub(super) async fn find(readings: &Readings, limits: Arc<Limits>, memory: &Budget) -> Result<Files, MimeError> {
    let inputs: Vec<Input> = readings.all().iter().map(input).collect();
    let octets: usize = inputs.iter().map(|input| input.octets.len()).sum();
    let memory = memory.clone();
    if octets <= INLINE && !inputs.iter().any(|input| unpack::is_container(&input.octets)) {
        return take(inputs, &limits, &memory);
    }
    spawn_blocking(move || take(inputs, &limits, &memory)).await.unwrap_or_else(|error| Err(MimeError::Panicked(error.to_string().into())))
}

/// A part without a name that is text is shown, whatever its disposition.
fn input(reading: &super::Reading) -> Input {
    Input {
        names: reading.names.clone(),
        declared: reading.content_type.clone(),
        is_body: reading.names.is_empty() && reading.content_type.starts_with("text/"),
        octets: reading.octets.clone(),
    }
}

fn take(inputs: Vec<Input>, limits: &Limits, memory: &Budget) -> Result<Files, MimeError> {
    let mut share = memory.share();
    let unpacked = unpack::unpack(inputs, limits, &mut |octets| share.grow(octets)).map_err(|_| MimeError::Full)?;
    Ok(Files { unpacked, share })
}

#[cfg(test)]
mod tests {
    use super::super::{Content, Edit, Edits, Envelope, HeaderBlock, Message, spool};
    use super::*;
    use crate::smtp::{Mail, ReversePath};
    use crate::unpack::Limit;
    use std::io::Write;

    /// A message of one part, a zip with a file of that many zeros; what it holds is counted on
    /// `memory`.
    async fn message(zeros: usize, memory: &Budget) -> Message {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        writer.start_file("zeros", zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(&vec![0; zeros]).unwrap();
        let headers = "Content-Type: application/zip; name=a.zip\r\n";
        let octets = [headers.as_bytes(), b"\r\n", &writer.finish().unwrap().into_inner()].concat();
        let settings = spool::Settings {
            in_memory: 1 << 20,
            memory: memory.clone(),
            disk: Budget::new(1 << 30),
            directory: std::env::temp_dir().into(),
        };
        let mut spool = spool::Spool::new(&settings);
        spool.push(octets.into()).await.unwrap();
        let content: Content = spool.finish().await.unwrap();
        let envelope = Envelope { mail: Mail::new(ReversePath(None)), recipients: vec![] };
        Message::new(envelope.into(), HeaderBlock::new(headers.to_owned().into()), content)
    }

    #[tokio::test]
    async fn files_are_found_once_and_counted_until_the_message_goes() {
        let memory = Budget::new(32 << 20);
        let message = message(5 << 20, &memory).await;
        let before = memory.used();
        let files = message.files().await.unwrap();
        let paths: Vec<_> = files.all().iter().map(|file| files.path(file)).collect();
        assert_eq!(paths, [vec!["a.zip"], vec!["a.zip", "zeros"]]);
        assert_eq!(files.all()[0].declared, "application/zip".into());
        assert!(memory.used() - before >= 5 << 20, "{}", memory.used() - before);
        assert_eq!(message.held(), memory.used() - before);
        assert!(std::ptr::eq(files, message.clone().files().await.unwrap()), "clones share");
        drop(message);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn without_memory_there_are_no_files() {
        let memory = Budget::new(3 << 20);
        let message = message(5 << 20, &memory).await;
        assert_eq!(message.files().await.unwrap_err(), MimeError::Full);
        drop(message);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn limits_are_those_of_the_message_and_an_edited_one_is_looked_at_again() {
        let memory = Budget::new(32 << 20);
        let limits = Arc::new(Limits { size: 1 << 20, ..Limits::default() });
        let message = message(5 << 20, &memory).await.with_unpack_limits(limits);
        assert_eq!(message.files().await.unwrap().exceeded(), Some(Limit::Size));
        let edited = message.edited(&Edits(vec![Edit::ReplaceBody("nothing\r\n".into())]));
        let files = edited.files().await.unwrap();
        assert_eq!((files.all().len(), files.exceeded()), (1, None));
    }
}
