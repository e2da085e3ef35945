//! Who wrote a message, and whether everybody sees the same (RFC 5322 §3.6.2).
//!
//! DMARC judges the address that the reader sees. Where servers and programs read From differently,
//! it judges one and the reader sees another ("Composition Kills", USENIX Security 2020; Mailsploit,
//! CVE-2017-7829; CVE-2024-49040).
use super::{doubt::Doubt, mailboxes};
use crate::message::{Field, HeaderBlock};
use std::collections::BTreeSet;

/// A From field that is longer is nobody's name; it is not read but refused, as one without an end.
const LONGEST: usize = 64 << 10;
/// From fields that are read, and domains that are kept; the doubt is there with the second.
const MOST: usize = 4;

/// What the header section says of who wrote it.
#[derive(Debug, Default)]
pub(super) struct Authorship {
    /// Of everybody that some reader could take for the author, first come first, at most four: one
    /// where there is no doubt, or only one that leaves the domain alone.
    pub domains: Vec<String>,
    pub doubts: BTreeSet<Doubt>,
}

impl Authorship {
    pub(super) fn of(headers: &HeaderBlock) -> Self {
        let mut authorship = Self::default();
        let (mut fields, mut authors, mut has_sender) = (0_usize, 0_usize, false);
        for field in headers.fields() {
            if field.is("From") {
                fields += 1;
                if fields <= MOST {
                    authors += authorship.read(&field);
                }
            } else if field.name.is_empty() && is_disguised(field.raw) {
                authorship.doubts.insert(Doubt::DisguisedFrom);
            }
            has_sender |= field.is("Sender");
        }
        // DMARC is exempt from judging authors of different domains (RFC 9989): a Sender is not
        // enough to let such a message pass without it.
        let doubt = match (fields, authors) {
            (0, _) => Some(Doubt::NoFrom),
            (1, 0) => Some(Doubt::NoAddress),
            (1, 1) => None,
            (1, _) => (!has_sender || authorship.domains.len() > 1).then_some(Doubt::SeveralAuthors),
            _ => Some(Doubt::SeveralFroms),
        };
        authorship.doubts.extend(doubt);
        authorship
    }

    /// How many mailboxes a From field has.
    fn read(&mut self, field: &Field<'_>) -> usize {
        if field.value.len() > LONGEST {
            self.doubts.insert(Doubt::Unbalanced);
            return 0;
        }
        let mut lines = field.value.split(|octet| *octet == b'\n').skip(1);
        // A reader that takes such a line for the end of the header section (RFC 5322 §4.2 has it in
        // old messages) sees half of the field.
        if lines.any(|line| !line.is_empty() && line.trim_ascii().is_empty()) {
            self.doubts.insert(Doubt::BlankLine);
        }
        let text = String::from_utf8_lossy(field.value).replace("\r\n", "");
        if text.chars().any(|c| (c.is_control() && c != '\t') || turns_text(c)) {
            self.doubts.insert(Doubt::Control);
        }
        let reading = mailboxes::read(&text);
        self.doubts.extend(reading.doubts);
        let count = reading.domains.len();
        for domain in reading.domains.into_iter().chain(reading.hidden) {
            if self.domains.len() < MOST && !self.domains.contains(&domain) {
                self.domains.push(domain);
            }
        }
        count
    }

    /// Of the author that the grammar has first; empty where there is none.
    pub(super) fn domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }

    /// Whether a message without a reverse-path hides behind a host name: SPF then speaks for the
    /// host (RFC 7208 §2.4), whose name was chosen to be taken for the author's domain.
    pub(super) fn looks_like(&self, host: &str) -> bool {
        let (host, domain) = (host.trim_end_matches('.').to_ascii_lowercase(), self.domain());
        let is_its_own = host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        // `example.org.attacker.net`, `attacker-example.org`.
        domain.contains('.')
            && !is_its_own
            && (host.starts_with(&format!("{domain}.")) || host.contains(&format!(".{domain}.")) || host.ends_with(domain))
    }
}

/// Marks that turn the direction of text around: what is shown is not what is written.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A line that is no field to the grammar, yet is From to a reader that skips what it cannot read:
/// `\0From:`, ` From:` as the first line, `Fr\u{200b}om:`.
fn is_disguised(raw: &[u8]) -> bool {
    let Some(name) = raw.iter().take(64).position(|octet| *octet == b':').and_then(|colon| raw.get(..colon)) else { return false };
    name.iter().filter(|octet| octet.is_ascii_graphic()).map(u8::to_ascii_lowercase).eq(b"from".iter().copied())
}
