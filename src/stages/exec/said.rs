//! What a program may say on standard output, a line each:
//!
//! ```text
//! finding NAME VALUE     a finding; rules see it in exec.finding as "NAME=VALUE"
//! score NUMBER           the finding exec.score
//! header NAME: VALUE     a header field, put above all others (with `edit = true`)
//! reply TEXT             what the client is told after "550 5.7.1" or "451 4.7.1"
//! reason TEXT            for the person who looks at the quarantine
//! ```
use crate::{chain::Finding, message::NewField};

/// What a program said, within bounds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) findings: Vec<Finding>,
    pub(super) fields: Vec<NewField>,
    pub(super) reply: Option<Box<str>>,
    pub(super) reason: Option<Box<str>>,
}

/// Lines that are read; more is not what this is for.
const LINES: usize = 200;
/// Characters of a text: a reply has to fit its line (RFC 5321 §4.5.3.1.5), a reason and a finding
/// the log.
const LONGEST: usize = 400;

impl Said {
    /// # Errors
    /// What it says that is none of the above.
    pub(super) fn read(output: &[u8]) -> Result<Self, Box<str>> {
        let text = std::str::from_utf8(output).map_err(|_| "octets that are no UTF-8")?;
        let mut said = Self::default();
        for (n, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
            if n == LINES {
                return Err(format!("more than {LINES} lines").into());
            }
            let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
            said.take(verb, rest.trim()).ok_or_else(|| shown(line))?;
        }
        Ok(said)
    }

    fn take(&mut self, verb: &str, rest: &str) -> Option<()> {
        match verb {
            "finding" => {
                let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                let is_name = (1..=64).contains(&name.len())
                    && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'-'));
                self.findings.push(Finding::text("exec.finding", is_name.then(|| format!("{name}={}", shown(value.trim())))?));
            }
            "score" => {
                let score = rest.parse().ok().filter(|score: &f64| score.is_finite())?;
                self.findings.push(Finding::real("exec.score", score));
            }
            "header" => self.fields.push(NewField::parse(rest).ok()?),
            "reply" => {
                let is_text = !rest.is_empty() && rest.len() <= LONGEST && rest.bytes().all(|octet| matches!(octet, b' '..=b'~'));
                self.reply = Some(is_text.then(|| rest.into())?);
            }
            "reason" => self.reason = Some(shown(rest)),
            _ => return None,
        }
        Some(())
    }
}

/// Cut off, and without what could end a line or move a cursor.
pub(super) fn shown(text: &str) -> Box<str> {
    text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read_or_is_a_mistake() {
        let output =
            "finding list.name evil.example here\nscore -7.25\r\n\nheader X-Check: bad\nreply go away\nreason looks bad\x07\nfinding n\n";
        let said = Said::read(output.as_bytes()).unwrap();
        let findings: Vec<_> = said.findings.iter().map(ToString::to_string).collect();
        assert_eq!(findings, ["exec.finding=list.name=evil.example here", "exec.score=-7.25", "exec.finding=n="]);
        assert_eq!(said.fields, [NewField { name: "X-Check".into(), value: "bad".into() }]);
        assert_eq!((said.reply.as_deref(), said.reason.as_deref()), (Some("go away"), Some("looks bad?")));
        assert_eq!(Said::read(b"").unwrap(), Said::default());
        for wrong in [
            "OK",
            "finding",
            "finding a:b c",
            "score",
            "score many",
            "score inf",
            "header X",
            "header X Y: z",
            "header X: a\x01b",
            "reply",
            "reply \u{fc}",
            "reply a\x1b[2J",
            "<html>",
        ] {
            assert_eq!(Said::read(wrong.as_bytes()), Err(shown(wrong)), "{wrong}");
        }
        assert!(Said::read(b"\xff").is_err());
        assert!(Said::read(format!("reply {}", "x".repeat(500)).as_bytes()).is_err());
        assert!(Said::read("score 1\n".repeat(201).as_bytes()).is_err() && Said::read("score 1\n".repeat(200).as_bytes()).is_ok());
        assert_eq!(Said::read(format!("finding a {}", "x".repeat(5000)).as_bytes()).unwrap().findings[0].to_string().len(), 415);
    }
}
