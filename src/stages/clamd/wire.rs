//! `INSTREAM`: pieces with their lengths before them, and one answer (clamd(8)).
use crate::{
    chain::StageError,
    stages::remote::{Endpoint, Stream},
};
use bytes::{BufMut, BytesMut};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What clamd says of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Clean,
    /// The signature's name: printable, without blanks, at most [`LONGEST`] characters.
    Found(Box<str>),
    /// More than its StreamMaxLength.
    TooLarge,
}

/// A stream under way.
pub(super) struct Scan {
    stream: Stream,
    /// What is gathered for the next write.
    pending: BytesMut,
    /// A write failed. The daemon may have said why before it closed, so that its answer is asked
    /// for nonetheless.
    broken: Option<io::Error>,
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
    /// # Errors
    /// Nobody listens there.
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, StageError> {
        let stream = endpoint.connect().await.map_err(|error| StageError::Failed(format!("{endpoint}: {error}").into()))?;
        let mut pending = BytesMut::with_capacity(4 << 10);
        pending.put_slice(b"zINSTREAM\0");
        Ok(Self { stream, pending, broken: None })
    }

    /// A failure is kept for [`finish`](Self::finish).
    pub(super) async fn send(&mut self, octets: &[u8]) {
        for piece in octets.chunks(PIECE) {
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
            && let Err(error) = self.stream.write_all(&pending).await
        {
            self.broken = Some(error);
        }
    }

    /// The end of the stream, and what clamd says.
    ///
    /// # Errors
    /// It went away, or says something else than it should.
    pub(super) async fn finish(mut self) -> Result<Answer, StageError> {
        self.pending.put_u32(0);
        self.flush().await;
        let mut answer = Vec::with_capacity(128);
        let read = (&mut self.stream).take(ANSWER).read_to_end(&mut answer).await;
        match (parse(&answer), self.broken, read) {
            // It stopped reading for a reason, and the reason arrived.
            (Some(answer), _, _) => Ok(answer),
            (None, Some(error), _) | (None, None, Err(error)) => Err(StageError::Failed(error.into())),
            (None, None, Ok(0)) => Err(StageError::Failed("it closed the connection without an answer".into())),
            (None, None, Ok(_)) => Err(StageError::Failed(format!("it answered {}", shown(&answer)).into())),
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
