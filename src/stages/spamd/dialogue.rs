//! One question and its answer, as `spamd/PROTOCOL` of SpamAssassin has them (SPAMC/1.5). A
//! connection carries one: spamd closes it.
use crate::{
    message::{Message, budget::Share},
    remote::Stream,
};
use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What spamd is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// The names of the tests that hit.
    Symbols,
    /// The header section as it would rewrite it.
    Headers,
    /// The message as it would rewrite it.
    Process,
}

pub(super) struct Question<'a> {
    pub(super) method: Method,
    pub(super) user: Option<&'a str>,
    /// Put before the message.
    pub(super) received: String,
    pub(super) message: &'a Message,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) spam: bool,
    pub(super) score: f64,
    pub(super) threshold: f64,
    /// What the method brings. Counted on the memory budget for as long as somebody holds it.
    pub(super) octets: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot reach spamd at {0}: {1}")]
    Unreachable(String, #[source] io::Error),
    #[error("the connection to spamd broke: {0}")]
    Broken(#[source] io::Error),
    #[error("spamd would not: {0}")]
    Refused(Box<str>),
    #[error("spamd's answer is none: {0}")]
    Garbled(&'static str),
    #[error("spamd announces {0} octets, and {1} are the most that make sense")]
    TooLong(u64, u64),
    #[error("the message cannot be read: {0}")]
    Spool(#[source] io::Error),
    #[error("no memory for spamd's answer")]
    Memory,
}

/// Of the lines before an answer; spamd's have about 60 octets.
const HEAD: usize = 8 << 10;
/// What an answer may have more than the message: report, fields, names of tests.
const MORE: u64 = 1 << 20;

/// Has no time-out of its own: the caller's deadline ends it.
pub(super) async fn ask(mut stream: Stream, question: &Question<'_>) -> Result<Answer, Fault> {
    let sent = send(&mut stream, question).await;
    if let Err(fault @ Fault::Spool(_)) = sent {
        return Err(fault);
    }
    // Where it hung up in the middle, it may have said why.
    let answer = receive(&mut stream, question).await;
    match (sent, answer) {
        (Ok(()), answer) => answer,
        (Err(_), Err(refused @ Fault::Refused(_))) => Err(refused),
        (Err(broken), _) => Err(broken),
    }
}

async fn send(stream: &mut Stream, question: &Question<'_>) -> Result<(), Fault> {
    let Question { method, user, received, message } = question;
    let verb = match method {
        Method::Symbols => "SYMBOLS",
        Method::Headers => "HEADERS",
        Method::Process => "PROCESS",
    };
    let length = received.len() as u64 + message.content.len();
    let user = user.map_or_else(String::new, |user| format!("User: {user}\r\n"));
    let head = format!("{verb} SPAMC/1.5\r\n{user}Content-length: {length}\r\n\r\n{received}");
    stream.write_all(head.as_bytes()).await.map_err(Fault::Broken)?;
    let mut pieces = message.content.reader(0);
    while let Some(piece) = pieces.next().await.map_err(Fault::Spool)? {
        stream.write_all(&piece).await.map_err(Fault::Broken)?;
    }
    // It reads lines: after a last one without its end it would wait for more for ever.
    stream.shutdown().await.map_err(Fault::Broken)
}

async fn receive(stream: &mut Stream, question: &Question<'_>) -> Result<Answer, Fault> {
    let mut read = BytesMut::with_capacity(1 << 10);
    let head = loop {
        if let Some(at) = memchr::memmem::find(&read, b"\r\n\r\n") {
            break read.split_to(at + 4);
        }
        if read.len() > HEAD {
            return Err(Fault::Garbled("its first lines do not end"));
        }
        if stream.read_buf(&mut read).await.map_err(Fault::Broken)? == 0 {
            // A refusal has no empty line.
            break std::mem::take(&mut read);
        }
    };
    let head = Head::parse(&head)?;
    let most = MORE
        + match question.method {
            Method::Symbols => 0,
            Method::Headers => question.message.headers.as_bytes().len() as u64,
            Method::Process => question.message.content.len(),
        };
    if head.length > most {
        return Err(Fault::TooLong(head.length, most));
    }
    let octets = receive_octets(stream, read, head.length, question.message.content.memory().share()).await?;
    Ok(Answer { spam: head.spam, score: head.score, threshold: head.threshold, octets })
}

/// What was announced, of which `read` came already; more is not believed to belong to it.
async fn receive_octets(stream: &mut Stream, mut read: BytesMut, length: u64, mut share: Share) -> Result<Bytes, Fault> {
    if !share.grow(length) {
        return Err(Fault::Memory);
    }
    let length = usize::try_from(length).map_err(|_| Fault::Memory)?;
    let mut rest = stream.take(length.saturating_sub(read.len()) as u64);
    while read.len() < length {
        // In steps: what is announced need not come.
        read.reserve((length - read.len()).min(64 << 10));
        if rest.read_buf(&mut read).await.map_err(Fault::Broken)? == 0 {
            return Err(Fault::Garbled("it ends before its announced length"));
        }
    }
    read.truncate(length);
    Ok(share.keep(read.freeze()))
}

/// The lines before what the method brings.
#[derive(Debug, PartialEq)]
struct Head {
    length: u64,
    spam: bool,
    score: f64,
    threshold: f64,
}

impl Head {
    fn parse(head: &[u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(head).map_err(|_| Fault::Garbled("it is no text"))?;
        let mut lines = text.lines();
        let status = lines.next().unwrap_or_default();
        let (code, words) = status
            .strip_prefix("SPAMD/")
            .and_then(|rest| rest.split_once(' '))
            .and_then(|(_version, rest)| rest.split_once(' '))
            .ok_or(Fault::Garbled("it does not begin with SPAMD/"))?;
        match code.parse::<u32>() {
            Ok(0) => {}
            Ok(_) => return Err(Fault::Refused(words.chars().filter(|c| !c.is_control()).take(200).collect())),
            Err(_) => return Err(Fault::Garbled("it has no code")),
        }
        let (mut length, mut judgement) = (None, None);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            let twice = if name.eq_ignore_ascii_case("Content-length") {
                let octets = value.parse().map_err(|_| Fault::Garbled("its Content-length is no number"))?;
                length.replace(octets).is_some()
            } else if name.eq_ignore_ascii_case("Spam") {
                judgement.replace(parse_judgement(value).ok_or(Fault::Garbled("its judgement cannot be read"))?).is_some()
            } else {
                false
            };
            if twice {
                return Err(Fault::Garbled("it says two things"));
            }
        }
        let (Some(length), Some((spam, score, threshold))) = (length, judgement) else {
            return Err(Fault::Garbled("length or judgement is missing"));
        };
        Ok(Self { length, spam, score, threshold })
    }
}

/// `True ; 15.3 / 5.0`.
fn parse_judgement(value: &str) -> Option<(bool, f64, f64)> {
    let (word, numbers) = value.split_once(';')?;
    let spam = match word.trim() {
        "True" | "Yes" => true,
        "False" | "No" => false,
        _ => return None,
    };
    let (score, threshold) = numbers.split_once('/')?;
    let number = |text: &str| text.trim().parse().ok().filter(|number: &f64| number.is_finite());
    Some((spam, number(score)?, number(threshold)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let read = |text: &str| Head::parse(text.as_bytes()).map_err(|fault| fault.to_string());
        let right = "SPAMD/1.1 0 EX_OK\r\nContent-length: 33\r\nSpam: False ; -0.1 / 5.0\r\n\r\n";
        assert_eq!(read(right), Ok(Head { length: 33, spam: false, score: -0.1, threshold: 5.0 }));
        assert!(read(&right.replace("False", "True").replace("Content-l", "content-L")).unwrap().spam);
        for (from, to, why) in [
            (right, "", "it does not begin"),
            ("SPAMD/1.1", "HTTP/1.1", "it does not begin"),
            ("SPAMD/1.1 0 EX_OK", "SPAMD/1.1", "it does not begin"),
            ("0 EX_OK", "zero EX_OK", "it has no code"),
            ("0 EX_OK", "76 Bad header line: x", "spamd would not: Bad header line: x"),
            ("33", "-1", "no number"),
            ("33", "99999999999999999999999", "no number"),
            ("Content-length: 33\r\n", "", "missing"),
            ("Spam: False ; -0.1 / 5.0\r\n", "", "missing"),
            ("Content-length: 33\r\n", "Content-length: 33\r\nContent-length: 3\r\n", "two things"),
            ("False", "Perhaps", "cannot be read"),
            ("-0.1", "NaN", "cannot be read"),
            ("5.0", "inf", "cannot be read"),
            (" / ", " ", "cannot be read"),
        ] {
            let said = read(&right.replace(from, to)).unwrap_err();
            assert!(said.contains(why), "{from:?} to {to:?}: {said}");
        }
        assert!(Head::parse(b"\xff").is_err());
    }
}
