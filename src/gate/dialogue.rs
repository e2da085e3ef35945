//! What was said in a session, as evidence: how it began, and the transaction under way, with the
//! time of every line. Kept for every session, so kept cheaply: octets are copied once, and become
//! text only where a message is held.
use std::{collections::VecDeque, fmt::Write as _};
use tokio::time::Instant;

/// Octets of the session up to its first transaction, and of all that is kept.
const BEGINNING: usize = 4 << 10;
const MOST: usize = 12 << 10;
/// Lines after that which are kept, the last.
const LAST: usize = 20;
const LINE: usize = 512;
/// Time, speaker and length before the octets of a line.
const MARGIN: usize = 7;

#[derive(Debug)]
pub(super) struct Dialogue {
    begun: Instant,
    /// Lines, one after the other: milliseconds, speaker, length, octets.
    lines: Vec<u8>,
    /// Where the first transaction began.
    beginning: Option<usize>,
    /// Transactions that are not kept any more.
    earlier: u32,
    /// What came when there was no room, and how many lines of it are gone.
    last: VecDeque<Box<[u8]>>,
    left_out: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Client = b'C' as isize,
    Server = b'S' as isize,
    /// Neither: what happened between them.
    Event = b'-' as isize,
}

impl Dialogue {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), lines: Vec::new(), beginning: None, earlier: 0, last: VecDeque::new(), left_out: 0 }
    }

    /// Lines of the client, as the machine of the protocol shows them.
    pub(super) fn heard(&mut self, lines: &[u8]) {
        self.all(Speaker::Client, lines);
    }

    /// Replies, as they are sent.
    pub(super) fn said(&mut self, replies: &[u8]) {
        self.all(Speaker::Server, replies);
    }

    pub(super) fn happened(&mut self, what: &str) {
        self.all(Speaker::Event, what.as_bytes());
    }

    /// A transaction begins with what is heard next; the last one is forgotten.
    pub(super) fn begin(&mut self) {
        match self.beginning {
            None => self.beginning = Some(self.lines.len()),
            Some(beginning) => {
                self.earlier += 1;
                self.lines.truncate(beginning);
            }
        }
        self.last.clear();
        self.left_out = 0;
    }

    fn all(&mut self, speaker: Speaker, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let at = u32::try_from(self.begun.elapsed().as_millis()).unwrap_or(u32::MAX).to_le_bytes();
        for line in lines.split_inclusive(|octet| *octet == b'\n') {
            let line = line.trim_ascii_end();
            // A challenge is part of an AUTH exchange (RFC 4954 §4).
            let secret = speaker == Speaker::Server && line.len() > 4 && line.starts_with(b"334");
            let line = if secret { b"334 <challenge>" } else { line.get(..LINE).unwrap_or(line) };
            let length = u16::try_from(line.len()).unwrap_or(u16::MAX).to_le_bytes();
            let most = if self.beginning.is_none() { BEGINNING } else { MOST };
            let pieces = [&at[..], &[speaker as u8], &length, line];
            if self.lines.len() + MARGIN + line.len() <= most && self.last.is_empty() {
                pieces.iter().for_each(|piece| self.lines.extend_from_slice(piece));
                continue;
            }
            self.last.push_back(pieces.concat().into());
            if self.last.len() > LAST {
                self.last.pop_front();
                self.left_out += 1;
            }
        }
    }

    /// As people read it: seconds since the session began, who, what.
    pub(super) fn to_text(&self) -> String {
        let beginning = self.beginning.unwrap_or(self.lines.len());
        let (session, transaction) = self.lines.split_at_checked(beginning).unwrap_or((&self.lines, b""));
        let mut text = String::with_capacity(2 * self.lines.len());
        write(&mut text, session);
        if self.earlier > 0 {
            let _ = writeln!(text, "          - {} transactions before this one", self.earlier);
        }
        write(&mut text, transaction);
        if self.left_out > 0 {
            let _ = writeln!(text, "          - {} lines left out", self.left_out);
        }
        self.last.iter().for_each(|line| write(&mut text, line));
        text
    }
}

fn write(text: &mut String, mut lines: &[u8]) {
    while let Some(([a, b, c, d, speaker, e, f], rest)) = lines.split_first_chunk() {
        let at = u32::from_le_bytes([*a, *b, *c, *d]);
        let Some((line, rest)) = rest.split_at_checked(u16::from_le_bytes([*e, *f]).into()) else { return };
        // A sender chose it, and a terminal may show it.
        let shown = String::from_utf8_lossy(line);
        let shown: String = shown.chars().map(|c| if c.is_control() || is_invisible(c) { '?' } else { c }).collect();
        let _ = writeln!(text, "{:>5}.{:03} {} {shown}", at / 1000, at % 1000, char::from(*speaker));
        lines = rest;
    }
}

/// What changes the order in which a line is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_times(dialogue: &Dialogue) -> Vec<String> {
        dialogue.to_text().lines().map(|line| line[10..].to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn lines_have_their_times_and_what_is_secret_or_unseen_is_not_shown() {
        let mut dialogue = Dialogue::new();
        dialogue.said(b"220 mx ESMTP\r\n");
        tokio::time::advance(std::time::Duration::from_millis(1234)).await;
        dialogue.heard(b"EHLO \xff\x1b[2J\xe2\x80\xaex\n");
        dialogue.said(b"250-mx\r\n250 PIPELINING\r\n334 UGFzc3dvcmQ6\r\n");
        let expected = "    0.000 S 220 mx ESMTP\n    1.234 C EHLO \u{fffd}?[2J?x\n    1.234 S 250-mx\n    1.234 S 250 PIPELINING\n    1.234 S 334 <challenge>\n";
        assert_eq!(dialogue.to_text(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn how_it_began_and_the_transaction_under_way_stay() {
        let mut dialogue = Dialogue::new();
        dialogue.heard(b"EHLO x\n");
        for n in 0..3 {
            dialogue.begin();
            dialogue.heard(format!("MAIL {n}\nDATA\n").as_bytes());
        }
        assert_eq!(without_times(&dialogue), ["C EHLO x", "- 2 transactions before this one", "C MAIL 2", "C DATA"]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_and_its_end_is_there() {
        let mut dialogue = Dialogue::new();
        dialogue.begin();
        for n in 0..100_000 {
            dialogue.heard(format!("RCPT TO:<{n}@example.org>\n").as_bytes());
            dialogue.said(b"250 2.1.5 ok\r\n");
        }
        dialogue.heard(b"DATA\n");
        let text = without_times(&dialogue);
        let cut = text.iter().position(|line| line.ends_with("lines left out")).unwrap();
        assert_eq!((text.len(), &*text[0], &**text.last().unwrap()), (cut + 1 + LAST, "C RCPT TO:<0@example.org>", "C DATA"));
        assert!(dialogue.to_text().len() < 32 << 10);
        let mut greeting = Dialogue::new();
        (0..100_000).for_each(|_| greeting.heard(b"NOOP\n"));
        assert!(greeting.to_text().len() < 16 << 10);
    }
}
