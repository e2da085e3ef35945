//! What stands in a message in the place of an attachment that was taken out.
use crate::{
    message::Edit,
    value::{Id, hex},
};
use std::fmt::Write;

/// What was taken out, and why.
pub(super) struct Removed {
    /// As the sender wrote it.
    pub(super) name: String,
    /// By its contents.
    pub(super) kind: &'static str,
    /// The media type it claimed.
    pub(super) declared: Box<str>,
    pub(super) size: u64,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) why: String,
}

/// A part of a message, in ASCII alone.
#[derive(Debug)]
pub(super) struct Note {
    body: String,
}

const TYPE: &str = "text/plain; charset=utf-8";
const ENCODING: &str = "quoted-printable";
/// Characters of a name that are shown, the last.
const NAME: usize = 200;
/// RFC 2045 §6.7 (5): no encoded line has more than 76 characters, the soft line break counted.
const LINE: usize = 75;

impl Note {
    /// `id`: the message's, which is that of the entry of the quarantine as well.
    pub(super) fn new(removed: &Removed, id: Option<Id>, contact: &str) -> Self {
        let mut text = String::from("An attachment was removed from this message by the mail gateway.\n\n");
        let mut line = |what: &str, value: &str| {
            if !value.is_empty() {
                let _ = writeln!(text, "{what:<9} {value}");
            }
        };
        line("Name:", &shown(&removed.name));
        line("Type:", &shown(removed.kind));
        line("Declared:", &shown(&removed.declared));
        line("Size:", &format!("{} octets", removed.size));
        line("SHA-256:", &removed.sha256.map(|digest| hex(&digest)).unwrap_or_default());
        line("Reason:", &shown(&removed.why));
        text.push_str("\nThe original message is held. Whoever needs it may ask ");
        text.push_str(contact);
        match id {
            Some(id) => {
                let _ = writeln!(text, ",\nnaming this number: {id}");
            }
            None => text.push_str(".\n"),
        }
        Self { body: quoted_printable(&text) }
    }

    /// Header section and body, as they stand between two delimiters of a multipart: without the last
    /// line end, which is the delimiter's.
    pub(super) fn part(&self) -> String {
        format!(
            "Content-Type: {TYPE}\r\nContent-Transfer-Encoding: {ENCODING}\r\nContent-Disposition: inline\r\n\r\n{}",
            self.body.trim_end_matches("\r\n")
        )
    }

    /// The same where the message is nothing but that attachment.
    pub(super) fn instead_of_message(&self) -> Vec<Edit> {
        let delete = |name: &str| Edit::DeleteHeader { name: name.into(), nth: 0 };
        let add = |name: &str, value: &str| Edit::AddHeader { name: name.into(), value: value.into() };
        // What said something of the attachment says nothing of the note (RFC 2045 §3).
        let gone =
            ["Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID", "Content-Description", "MIME-Version"];
        let mut edits: Vec<_> = gone.into_iter().map(delete).collect();
        edits.extend([add("MIME-Version", "1.0"), add("Content-Type", TYPE), add("Content-Transfer-Encoding", ENCODING)]);
        edits.push(Edit::ReplaceBody(self.body.clone().into()));
        edits
    }
}

/// One line, without what could make it look like another.
fn shown(text: &str) -> String {
    let skipped = text.chars().count().saturating_sub(NAME);
    let bidi = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().skip(skipped).map(|c| if c.is_control() || bidi(c) { '?' } else { c }).collect()
}

/// RFC 2045 §6.7, with CRLF.
fn quoted_printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        let mut column = 0;
        let last = line.len().saturating_sub(1);
        for (at, octet) in line.bytes().enumerate() {
            if column + 3 > LINE {
                out.push_str("=\r\n");
                column = 0;
            }
            // A dot or a `From ` at the start of a line is what some programs stumble over; a blank at
            // its end is lost on the way.
            let plain = matches!(octet, b'!'..=b'<' | b'>'..=b'~') && !(column == 0 && matches!(octet, b'.' | b'F'));
            let plain = plain || (octet == b' ' && at != last);
            if plain {
                out.push(char::from(octet));
            } else {
                let _ = write!(out, "={octet:02X}");
            }
            column += if plain { 1 } else { 3 };
        }
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::readings;
    use proptest::prelude::*;

    fn decoded(note: &Note) -> String {
        let readings = readings::of(format!("{}\r\n", note.part()), &crate::message::budget::Budget::new(1 << 20)).unwrap();
        assert_eq!(readings.anomalies(), []);
        String::from_utf8(readings.all()[0].octets.to_vec()).unwrap()
    }
    fn removed(name: &str) -> Removed {
        Removed {
            name: name.into(),
            kind: "pe",
            declared: "application/pdf".into(),
            size: 12,
            sha256: Some([0xab; 32]),
            why: "executable (a.zip/b.exe)".into(),
        }
    }

    #[test]
    fn a_note_says_what_was_removed_and_whom_to_ask() {
        let text = decoded(&Note::new(&removed("facture é\r\n\u{202e}.exe"), None, "helpdesk@example.org"));
        for part in [
            "Name:     facture é???.exe\r\n",
            "Type:     pe\r\n",
            "Declared: application/pdf\r\n",
            "Size:     12 octets\r\n",
            &format!("SHA-256:  {}\r\n", "ab".repeat(32)),
            "Reason:   executable (a.zip/b.exe)\r\n",
            "may ask helpdesk@example.org.\r\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    proptest! {
        #[test]
        fn a_note_is_lines_of_ascii_that_decode_to_what_was_written(name in ".{0,300}", contact in "[ -~é]{1,200}") {
            let note = Note::new(&removed(&name), None, &contact);
            for line in note.part().split("\r\n") {
                prop_assert!(line.len() <= 76 && line.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{line:?}");
                prop_assert!(!line.starts_with(['.', 'F']) && !line.ends_with(' '));
            }
            prop_assert!(decoded(&note).contains(&contact));
        }
    }
}
