//! What the client has said, line by line, for whoever keeps the dialogue as evidence. No secret
//! stands in it, and no message.

/// Octets that are kept until somebody takes them, and of one line.
const MOST: usize = 16 << 10;
const LINE: usize = 512;

const VERBS: &[&str] = &["EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "STARTTLS"];

/// Lines, each ended by LF; what is not shown has its number of octets.
#[derive(Debug, Default)]
pub(super) struct Heard {
    lines: Vec<u8>,
    /// AUTH was said last: what comes and is no command may be a password that comes too late.
    secrets: bool,
}

impl Heard {
    /// A command line, without its end.
    pub(super) fn command(&mut self, line: &[u8]) {
        let verb = line.split(|octet| *octet == b' ').next().unwrap_or_default();
        if verb.eq_ignore_ascii_case(b"AUTH") {
            self.secrets = true;
            return self.auth(line);
        }
        self.secrets &= !VERBS.iter().any(|known| verb.eq_ignore_ascii_case(known.as_bytes()));
        if self.secrets {
            return self.octets(line.len() as u64);
        }
        let shown = line.get(..LINE).unwrap_or(line);
        self.put(shown);
        if shown.len() < line.len() {
            self.cut(" ...");
        }
    }

    /// Its mechanism is no secret; a mechanism that is a password by mistake is none that exists.
    fn auth(&mut self, line: &[u8]) {
        let mut words = line.splitn(3, |octet| *octet == b' ');
        let (verb, mechanism, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next());
        let is_name =
            mechanism.len() <= 20 && mechanism.iter().all(|octet| octet.is_ascii_uppercase() || matches!(octet, b'-' | b'_' | b'0'..=b'9'));
        if !is_name {
            return self.octets(line.len() as u64);
        }
        self.put(&[verb, b" ", mechanism].concat());
        if let Some(rest) = rest {
            self.cut(&format!(" <{} octets>", rest.len()));
        }
    }

    /// A line of an AUTH exchange, or the octets of a message.
    pub(super) fn octets(&mut self, octets: u64) {
        if self.lines.len() < MOST {
            self.lines.extend_from_slice(format!("<{octets} octets>\n").as_bytes());
        }
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.lines)
    }

    fn put(&mut self, line: &[u8]) {
        if self.lines.len() < MOST {
            self.lines.extend_from_slice(line);
            self.lines.push(b'\n');
        }
    }

    /// Adds to the last line.
    fn cut(&mut self, text: &str) {
        if self.lines.last() == Some(&b'\n') {
            self.lines.pop();
            self.lines.extend_from_slice(text.as_bytes());
            self.lines.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_kept() {
        let mut heard = Heard::default();
        for line in [
            &b"EHLO x"[..],
            b"auth PLAIN AHVzZXIAc2VzYW1l",
            b"AHVzZXIAc2VzYW1l",
            b"AUTH hunter2",
            b"c2VzYW1l",
            b"NOOP",
            b"hello there",
            b"AUTH LOGIN",
            b"MAIL FROM:<a@example.net>",
        ] {
            heard.command(line);
        }
        heard.octets(1000);
        heard.command(&[b'x'; 600]);
        let text = String::from_utf8(heard.take()).unwrap();
        let expected = "EHLO x\nauth PLAIN <16 octets>\n<16 octets>\n<12 octets>\n<8 octets>\nNOOP\nhello there\nAUTH LOGIN\n\
                        MAIL FROM:<a@example.net>\n<1000 octets>\n";
        assert_eq!(text, format!("{expected}{} ...\n", "x".repeat(512)));
        assert!(heard.take().is_empty());
    }

    #[test]
    fn what_nobody_takes_is_bounded() {
        let mut heard = Heard::default();
        for _ in 0..10_000 {
            heard.command(b"NOOP and what not");
            heard.octets(1);
        }
        assert!(heard.take().len() <= MOST + LINE + 8);
    }
}
