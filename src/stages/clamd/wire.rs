//! `INSTREAM`: pieces with their lengths before them, and one answer (clamd(8)).
use crate::{
    chain::StageError,
    remote::{Endpoint, Stream},
};
use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

/// What clamd says of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Clean,
    /// The signature's name: printable, without blanks, at most [`LONGEST`] characters.
    Found(Box<str>),
    /// More than its StreamMaxLength.
    TooLarge,
}

/// A stream to clamd.
pub(super) struct Scan {
    endpoint: Endpoint,
    /// `None` before the first write: clamd gives up on who connects and then says nothing for some
    /// seconds (CommandReadTimeout), as a slow client would make us.
    stream: Option<Stream>,
    /// What is gathered for the next write.
    pending: BytesMut,
    /// What clamd said while there was more to write.
    answer: Vec<u8>,
    /// Nothing more is written: it is not there, it said something before the end, or it went.
    broken: Option<StageError>,
}

/// Octets that are gathered: a short message goes out with one write.
const GATHERED: usize = 32 << 10;
/// The longest piece; clamd's own limit is that of the stream.
const PIECE: usize = 1 << 20;
/// Octets of an answer; its names are short.
const ANSWER: u64 = 4 << 10;
/// Characters of a signature's name that are shown.
const LONGEST: usize = 100;

impl Scan {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        let mut pending = BytesMut::with_capacity(4 << 10);
        pending.put_slice(b"zINSTREAM\0");
        Self { endpoint: endpoint.clone(), stream: None, pending, answer: Vec::new(), broken: None }
    }

    /// Whether clamd was given anything yet, or it was tried.
    pub(super) fn has_begun(&self) -> bool {
        self.stream.is_some() || self.broken.is_some()
    }

    /// A failure is kept for [`finish`](Self::finish).
    pub(super) async fn send(&mut self, octets: &[u8]) {
        for piece in octets.chunks(PIECE) {
            if self.broken.is_some() {
                return;
            }
            self.pending.put_u32(u32::try_from(piece.len()).unwrap_or(u32::MAX));
            self.pending.put_slice(piece);
            if self.pending.len() >= GATHERED {
                self.flush().await;
            }
        }
    }

    async fn flush(&mut self) {
        let pending = self.pending.split();
        if self.broken.is_none()
            && let Err(error) = self.write(&pending).await
        {
            self.broken = Some(error);
        }
    }

    /// Listens meanwhile: what clamd says before the end is why it takes no more, and it closes
    /// right after, which makes a later read fail.
    async fn write(&mut self, octets: &[u8]) -> Result<(), StageError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let endpoint = &self.endpoint;
                let stream = endpoint.connect().await.map_err(|error| StageError::Failed(format!("{endpoint}: {error}").into()))?;
                none.insert(stream)
            }
        };
        let (mut reader, mut writer) = split(stream);
        tokio::select! {
            biased;
            read = reader.read_buf(&mut self.answer) => Err(match read {
                Ok(0) => StageError::Failed("it closed the connection before the end".into()),
                // `finish` reads the rest.
                Ok(_) => StageError::Failed("it answered before the end".into()),
                Err(error) => StageError::Failed(error.into()),
            }),
            written = writer.write_all(octets) => written.map_err(|error| StageError::Failed(error.into())),
        }
    }

    /// The end of the stream, and what clamd says.
    ///
    /// # Errors
    /// It is not there, it went away, or it says something else than it should.
    pub(super) async fn finish(mut self) -> Result<Answer, StageError> {
        self.pending.put_u32(0);
        self.flush().await;
        let Self { stream, mut answer, broken, .. } = self;
        let read = match stream {
            Some(stream) => stream.take(ANSWER).read_to_end(&mut answer).await,
            None => Ok(0),
        };
        match (parse(&answer), broken, read) {
            // Of a message that it did not get to the end it knows nothing good. Where the end lay in
            // the socket's buffers still, its closing is a reset.
            (Some(Answer::Clean), Some(error), _) => Err(error),
            (Some(Answer::Clean), None, Err(error)) => Err(StageError::Failed(error.into())),
            // It stopped reading for a reason, and the reason arrived.
            (Some(answer), _, _) => Ok(answer),
            (None, _, _) if !answer.is_empty() => Err(StageError::Failed(format!("it answered {}", shown(&answer)).into())),
            (None, Some(error), _) => Err(error),
            (None, None, Err(error)) => Err(StageError::Failed(error.into())),
            (None, None, Ok(_)) => Err(StageError::Failed("it closed the connection without an answer".into())),
        }
    }
}

/// `stream: OK`, `stream: NAME FOUND`, `INSTREAM size limit exceeded. ERROR`; each ends with NUL.
/// Whatever else it says is no answer, and certainly no "clean".
fn parse(answer: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(answer.strip_suffix(b"\0")?).ok()?;
    if text == "INSTREAM size limit exceeded. ERROR" {
        return Some(Answer::TooLarge);
    }
    let said = text.strip_prefix("stream: ")?;
    if said == "OK" {
        return Some(Answer::Clean);
    }
    let name = said.strip_suffix(" FOUND").filter(|name| !name.is_empty())?;
    // It goes into a reply and a log line.
    let safe = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    Some(Answer::Found(name.chars().take(LONGEST).map(safe).collect::<String>().into()))
}

fn shown(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer.get(..LONGEST).unwrap_or(answer));
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_of_three_or_none() {
        let found = |name: &str| Some(Answer::Found(name.into()));
        for (text, expected) in [
            ("stream: OK\0", Some(Answer::Clean)),
            ("stream: Win.Test.EICAR_HDB-1 FOUND\0", found("Win.Test.EICAR_HDB-1")),
            ("stream: a\r\nb é FOUND\0", found("a??b??")),
            ("INSTREAM size limit exceeded. ERROR\0", Some(Answer::TooLarge)),
            ("stream: Can't allocate memory ERROR\0", None),
            ("stream: OK", None),
            ("stream: OK\0stream: OK\0", None),
            ("stream:  FOUND\0", None),
            ("UNKNOWN COMMAND\0", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }
}
