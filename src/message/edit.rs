//! Changes that stages ask for. They are applied while sending; the spooled original stays.
//!
//! The counting is libmilter's, because most of what will ever ask for an edit was written for it:
//! `smfi_addheader` appends; `smfi_insheader` takes the place in the list, 0 the topmost, "if
//! larger than the number of headers, simply appended", and later filters see the changes of
//! earlier ones; `smfi_chgheader` counts the fields of one name from 1, appends where the count is
//! past the last, and deletes where it has no value. As there, a value comes without the blank
//! after the colon, and its lines are divided by a bare LF.
use super::{Envelope, FieldValue, HeaderBlock, draft::Draft, header::is_field_name};
use crate::smtp::{Address, Mail, Recipient};
use crate::value::settings::Setting;
use bytes::Bytes;
use toml::de::DeValue;

/// One change, in the milter's terms (and with its counting).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// At the end of the header block.
    AddHeader {
        name: Box<str>,
        value: FieldValue,
    },
    /// Before the `at`th field, counted from 0 over the block as earlier edits left it; beyond the
    /// end: at the end.
    InsertHeader {
        at: usize,
        name: Box<str>,
        value: FieldValue,
    },
    /// The `nth` field of that name (from 1; 0 counts as 1); appended where there are fewer.
    ReplaceHeader {
        name: Box<str>,
        nth: usize,
        value: FieldValue,
    },
    /// The `nth` field of that name (from 1); 0: all of them.
    DeleteHeader {
        name: Box<str>,
        nth: usize,
    },
    /// Everything after the header block.
    ReplaceBody(Bytes),
    /// The reverse-path, and what the sender asked about reports (`RET`, `ENVID`) where it says
    /// anything of that.
    Sender(Box<Mail>),
    AddRecipient(Recipient),
    DeleteRecipient(Address),
}

/// A header field that is configured, `"Name: value"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewField {
    pub name: Box<str>,
    pub value: Box<str>,
}

/// A line of a header section may have 998 octets (RFC 5322 §2.1.1).
const LONGEST_LINE: usize = 998;

/// A field's name, if it is one.
///
/// # Errors
/// A sentence that says so.
pub fn field_name(text: &str) -> Result<&str, String> {
    if is_field_name(text.as_bytes()) { Ok(text) } else { Err(format!("`{text}` is no name of a header field")) }
}

impl NewField {
    /// Reads `Name: value`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (before, value) = text.split_once(':').ok_or_else(|| format!("`{text}` is no header field: write \"Name: value\""))?;
        let (name, value) = (field_name(before)?, value.trim());
        if value.bytes().any(|octet| !matches!(octet, b' '..=b'~' | b'\t')) {
            return Err(format!(
                "the value of `{name}` must be printable ASCII on one line; other text is written in the form of RFC 2047"
            ));
        }
        if name.len() + value.len() + 2 > LONGEST_LINE {
            return Err(format!("`{name}` is longer than a line may be, {LONGEST_LINE} octets"));
        }
        Ok(Self { name: name.into(), value: value.into() })
    }
}

impl Setting for NewField {
    const EXPECTED: &'static str = "a header field, \"Name: value\"";
    fn read(value: &DeValue<'_>) -> Result<Self, Option<String>> {
        Self::parse(value.as_str().ok_or(None)?).map_err(Some)
    }
}

/// The edits of all stages, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits(pub Vec<Edit>);

impl Edit {
    fn name(&self) -> Option<&str> {
        match self {
            Self::AddHeader { name, .. }
            | Self::InsertHeader { name, .. }
            | Self::ReplaceHeader { name, .. }
            | Self::DeleteHeader { name, .. } => Some(name),
            Self::ReplaceBody(_) | Self::Sender(_) | Self::AddRecipient(_) | Self::DeleteRecipient(_) => None,
        }
    }

    /// Everything after the header block, from somebody who may not know what the wire asks for:
    /// every line end becomes CRLF and NUL is left out, so that no server behind can read two
    /// messages in it.
    #[must_use]
    pub fn replace_body(octets: &[u8]) -> Self {
        let mut body = Vec::with_capacity(octets.len() + 2);
        let mut before = 0;
        for &octet in octets {
            match octet {
                b'\n' if before == b'\r' => {}
                b'\r' | b'\n' => body.extend_from_slice(b"\r\n"),
                0 => {}
                _ => body.push(octet),
            }
            before = octet;
        }
        Self::ReplaceBody(body.into())
    }

    /// Whether it can be applied: a header field needs a name of RFC 5322 §3.6.8 (printable ASCII,
    /// no colon, no blank). One that has none is skipped; a name with a line end in it would be a
    /// way to write other fields, or the body.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.name().is_none_or(|name| is_field_name(name.as_bytes()))
    }
}

impl Edits {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of them is about header fields.
    #[must_use]
    pub fn change_headers(&self) -> bool {
        self.0.iter().any(|edit| edit.name().is_some())
    }

    /// Whether any of them is about the envelope.
    #[must_use]
    pub fn change_envelope(&self) -> bool {
        self.0.iter().any(|edit| matches!(edit, Edit::Sender(_) | Edit::AddRecipient(_) | Edit::DeleteRecipient(_)))
    }

    /// Whether they leave alone all that says what the message is made of: its body, and the fields
    /// that are about it (RFC 2045 §9).
    #[must_use]
    pub fn keep_parts(&self) -> bool {
        let is_of_content = |name: &str| name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"));
        self.body_replacement().is_none() && !self.0.iter().filter_map(Edit::name).any(is_of_content)
    }

    /// The body to send instead of the original one.
    #[must_use]
    pub fn body_replacement(&self) -> Option<&Bytes> {
        self.0.iter().rev().find_map(|edit| if let Edit::ReplaceBody(body) = edit { Some(body) } else { None })
    }

    /// The envelope to send with; a recipient is added once, however often it is asked for.
    #[must_use]
    pub fn envelope(&self, original: &Envelope) -> Envelope {
        let mut envelope = original.clone();
        for edit in &self.0 {
            match edit {
                Edit::Sender(mail) => {
                    envelope.mail.reverse_path = mail.reverse_path.clone();
                    envelope.mail.ret = mail.ret.or(envelope.mail.ret);
                    envelope.mail.envid = mail.envid.clone().or_else(|| envelope.mail.envid.take());
                }
                Edit::AddRecipient(recipient) if envelope.recipients.iter().any(|r| r.address.is_same_mailbox(&recipient.address)) => {}
                Edit::AddRecipient(recipient) => envelope.recipients.push(recipient.clone()),
                Edit::DeleteRecipient(address) => envelope.recipients.retain(|recipient| !recipient.address.is_same_mailbox(address)),
                _ => {}
            }
        }
        envelope
    }

    /// The header block as the upstream gets it, without the closing empty line. Fields that no
    /// edit names stay octet for octet. Without header edits this is the block itself.
    #[must_use]
    pub fn apply(&self, headers: &HeaderBlock) -> Bytes {
        if !self.change_headers() {
            return headers.as_bytes().clone();
        }
        let edits = || self.0.iter().filter(|edit| edit.is_valid());
        let mut draft = Draft::new(headers, edits());
        for edit in edits() {
            draft.apply(edit);
        }
        draft.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{HeaderEnd, budget::Budget, draft::write_field};
    use crate::smtp::ReversePath;
    use proptest::prelude::*;

    const BLOCK: &str = "Received: a\r\n\tb\r\nSubject:hello\r\nno field\r\nReceived : c\r\n";

    fn apply(block: &str, edits: impl Into<Vec<Edit>>) -> String {
        let edits = Edits(edits.into());
        shown(&edits.apply(&HeaderBlock::new(Bytes::copy_from_slice(block.as_bytes()))))
    }
    /// An octet is a character.
    fn shown(octets: &[u8]) -> String {
        octets.iter().copied().map(char::from).collect()
    }
    fn add(name: &str, value: &str) -> Edit {
        Edit::AddHeader { name: name.into(), value: value.into() }
    }
    fn insert(at: usize, name: &str) -> Edit {
        Edit::InsertHeader { at, name: name.into(), value: "x".into() }
    }
    fn replace(name: &str, nth: usize) -> Edit {
        Edit::ReplaceHeader { name: name.into(), nth, value: "new".into() }
    }
    fn delete(name: &str, nth: usize) -> Edit {
        Edit::DeleteHeader { name: name.into(), nth }
    }

    #[test]
    fn the_counting_is_the_milters() {
        let cases = [
            (vec![add("X", "y")], "Received: a\r\n\tb\r\nSubject:hello\r\nno field\r\nReceived : c\r\nX: y\r\n"),
            (vec![insert(0, "X")], "X: x\r\nReceived: a\r\n\tb\r\nSubject:hello\r\nno field\r\nReceived : c\r\n"),
            (vec![insert(1, "X")], "Received: a\r\n\tb\r\nX: x\r\nSubject:hello\r\nno field\r\nReceived : c\r\n"),
            (vec![insert(9, "X"), insert(4, "Y")], "Received: a\r\n\tb\r\nSubject:hello\r\nno field\r\nReceived : c\r\nY: x\r\nX: x\r\n"),
            (vec![replace("RECEIVED", 2)], "Received: a\r\n\tb\r\nSubject:hello\r\nno field\r\nRECEIVED: new\r\n"),
            (vec![replace("Subject", 0)], "Received: a\r\n\tb\r\nSubject: new\r\nno field\r\nReceived : c\r\n"),
            (vec![replace("Subject", 2)], "Received: a\r\n\tb\r\nSubject:hello\r\nno field\r\nReceived : c\r\nSubject: new\r\n"),
            (vec![delete("received", 0)], "Subject:hello\r\nno field\r\n"),
            (vec![delete("received", 1)], "Subject:hello\r\nno field\r\nReceived : c\r\n"),
            (vec![delete("received", 3), delete("X", 1)], BLOCK),
            (vec![delete("received", 1), delete("received", 1), delete("subject", 0)], "no field\r\n"),
            (vec![insert(0, "X"), replace("x", 1), delete("X", 1)], BLOCK),
        ];
        for (edits, expected) in cases {
            assert_eq!(apply(BLOCK, edits.clone()), expected, "{edits:?}");
        }
    }

    #[test]
    fn without_header_edits_nothing_is_copied() {
        let headers = HeaderBlock::new(Bytes::from_static(BLOCK.as_bytes()));
        let edits = Edits(vec![Edit::ReplaceBody("x".into())]);
        assert_eq!(edits.apply(&headers).as_ptr(), headers.as_bytes().as_ptr());
    }

    #[test]
    fn what_says_how_to_read_a_body_is_part_of_it() {
        let keep = |edits: &[Edit]| Edits(edits.to_vec()).keep_parts();
        assert!(keep(&[]) && keep(&[insert(0, "Authentication-Results"), add("Content", "x"), delete("MIME-Version", 0)]));
        for edit in [add("Content-Type", "a/b"), replace("content-transfer-encoding", 1), delete("CONTENT-DISPOSITION", 0)] {
            assert!(!keep(&[add("X", "y"), edit.clone()]), "{edit:?}");
        }
        assert!(!keep(&[Edit::ReplaceBody("x".into())]));
    }

    #[test]
    fn a_value_stays_within_its_field() {
        let cases = [
            ("v", "X: v\r\n", "a blank after the colon"),
            ("", "X:\r\n", "nothing at all"),
            (" v", "X: v\r\n", "not two blanks"),
            ("a\n\tb\r\n c", "X: a\r\n\tb\r\n c\r\n", "folded, both ways of writing it"),
            ("a\nEvil: b", "X: a\r\n Evil: b\r\n", "a new field"),
            ("a\r\n\r\nbody", "X: a\r\n body\r\n", "the end of the header section"),
            ("a\n \t\n", "X: a\r\n", "a line of blanks"),
            ("a\rb\0c\r", "X: abc\r\n", "stray CR and NUL"),
            ("\n\n.\n", "X:\r\n .\r\n", "what looks like the end of data"),
            ("a\n\r \n b", "X: a\r\n b\r\n", "a CR before the blank"),
        ];
        for (value, expected, why) in cases {
            assert_eq!(apply("", [add("X", value)]), expected, "{why}");
        }
    }

    #[test]
    fn octets_that_are_no_text_stay_what_they_are() {
        let edit = Edit::AddHeader { name: "X".into(), value: b"caf\xe9\n\xff\xc3"[..].into() };
        assert_eq!(apply("", [edit.clone()]), "X: caf\u{e9}\r\n \u{ff}\u{c3}\r\n");
        assert_eq!(format!("{edit:?}"), r#"AddHeader { name: "X", value: "caf\xe9\n\xff\xc3" }"#);
    }

    #[test]
    fn an_edit_without_a_proper_name_is_skipped() {
        for name in ["", "a b", "a:", "a\r\n", "é", "\0", "a\n\n"] {
            assert!(!add(name, "x").is_valid());
            for edit in [add(name, "x"), insert(0, name), replace(name, 1), delete(name, 0)] {
                assert_eq!(apply(BLOCK, [edit]), BLOCK, "{name:?}");
            }
        }
    }

    #[test]
    fn a_body_from_somebody_else_has_the_line_ends_of_the_wire() {
        for (given, expected) in [
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\nb\n", "a\r\nb\r\n"),
            ("a\n.\nMAIL\r.\r\0\n", "a\r\n.\r\nMAIL\r\n.\r\n\r\n"),
            ("a\r\r\n\n", "a\r\n\r\n\r\n"),
            ("", ""),
        ] {
            assert_eq!(Edit::replace_body(given.as_bytes()), Edit::ReplaceBody(expected.into()), "{given:?}");
        }
    }

    #[test]
    fn a_field_put_behind_a_cut_off_line_is_not_part_of_it() {
        assert_eq!(apply("A: b", [add("X", "y")]), "A: b\r\nX: y\r\n");
    }

    #[test]
    fn the_last_body_stands_and_the_envelope_is_changed_in_order() {
        let address = |text: &str| Address::parse(text, false).unwrap();
        let recipient = |text: &str| Recipient::new(address(text));
        let original =
            Envelope { mail: Mail::new(ReversePath(None)), recipients: vec![recipient("a@example.org"), recipient("b@example.org")] };
        let edits = Edits(vec![
            Edit::ReplaceBody("one".into()),
            Edit::DeleteRecipient(address("a@EXAMPLE.org")),
            Edit::DeleteRecipient(address("B@example.org")),
            Edit::AddRecipient(recipient("c@example.org")),
            Edit::AddRecipient(recipient("c@example.ORG")),
            Edit::Sender(Mail::new(ReversePath(Some(address("s@example.org")))).into()),
            Edit::ReplaceBody("two".into()),
        ]);
        assert_eq!(edits.body_replacement().unwrap(), "two");
        assert!(edits.change_envelope() && !edits.change_headers());
        let envelope = edits.envelope(&original);
        assert_eq!(envelope.mail.reverse_path.to_string(), "s@example.org");
        let recipients: Vec<_> = envelope.recipients.iter().map(|r| r.address.as_str()).collect();
        assert_eq!(recipients, ["b@example.org", "c@example.org"], "the case of a local part is its host's business");
    }

    fn any_edit() -> impl Strategy<Value = Edit> {
        let name = || "[AB]|X-[a-c]|[ :\r\n\0]|Subject";
        const OCTETS: &[&[u8]] = &[b"a", b" ", b":", b"\t", b"\r", b"\n", b"\r\n", b"\0", b"\xe9", "é".as_bytes()];
        let value = || prop::collection::vec(prop::sample::select(OCTETS), 0..12).prop_map(|octets| octets.concat());
        prop_oneof![
            (name(), value()).prop_map(|(name, value)| Edit::AddHeader { name: name.into(), value: value.into() }),
            (0usize..6, name(), value()).prop_map(|(at, name, value)| Edit::InsertHeader { at, name: name.into(), value: value.into() }),
            (0usize..4, name(), value()).prop_map(|(nth, name, value)| Edit::ReplaceHeader { name: name.into(), nth, value: value.into() }),
            (0usize..4, name()).prop_map(|(nth, name)| Edit::DeleteHeader { name: name.into(), nth }),
        ]
    }

    /// Every edit by a look at all fields, as the milter's documents tell it.
    fn one_after_the_other(block: &str, edits: &[Edit]) -> String {
        let headers = HeaderBlock::new(Bytes::copy_from_slice(block.as_bytes()));
        let mut fields: Vec<_> = headers.fields().map(|field| (field.name.to_ascii_lowercase(), field.raw.to_vec())).collect();
        let new = |name: &str, value: &[u8]| (name.as_bytes().to_ascii_lowercase(), write_field(name, value));
        for edit in edits.iter().filter(|edit| edit.is_valid()) {
            let wanted = edit.name().unwrap().as_bytes().to_ascii_lowercase();
            let places: Vec<_> = (0..fields.len()).filter(|at| fields[*at].0 == wanted).collect();
            match edit {
                Edit::AddHeader { name, value } => fields.push(new(name, value)),
                Edit::InsertHeader { at, name, value } => fields.insert((*at).min(fields.len()), new(name, value)),
                Edit::ReplaceHeader { name, nth, value } => match places.get(nth.saturating_sub(1)) {
                    Some(at) => fields[*at] = new(name, value),
                    None => fields.push(new(name, value)),
                },
                Edit::DeleteHeader { nth: 0, .. } => fields.retain(|(name, _)| *name != wanted),
                Edit::DeleteHeader { nth, .. } => drop(places.get(nth - 1).map(|at| fields.remove(*at))),
                other => panic!("{other:?}"),
            }
        }
        shown(&fields.into_iter().flat_map(|(_, raw)| raw).collect::<Vec<_>>())
    }

    #[test]
    fn as_many_edits_as_fields_take_no_longer_than_both_together() {
        const FIELDS: usize = 70_000;
        let names: Vec<_> = (0..FIELDS).map(|n| format!("X-{n:x}")).collect();
        let of_all_names: String = names.iter().map(|name| format!("{name}:\r\n")).collect();
        let of_one_name = "X:\r\n".repeat(FIELDS);
        let of_new_values: String = names.iter().map(|name| format!("{name}: new\r\n")).collect();
        let cases: [(&str, Vec<Edit>, &str); 5] = [
            (&of_all_names, names.iter().map(|name| delete(name, 0)).collect(), ""),
            (&of_one_name, (1..=FIELDS).rev().map(|nth| delete("x", nth)).collect(), ""),
            (&of_one_name, (0..FIELDS).map(|_| delete("x", 1)).collect(), ""),
            (&of_all_names, names.iter().map(|name| replace(name, 1)).collect(), &of_new_values),
            (&of_all_names, (0..FIELDS).map(|_| insert(0, "X")).chain([delete("x", 0)]).collect(), &of_all_names),
        ];
        for (block, edits, expected) in cases {
            let (started, first) = (std::time::Instant::now(), edits[0].clone());
            let edited = apply(block, edits);
            // A look at all fields for each would be minutes.
            assert!(started.elapsed().as_secs() < 10, "{first:?}: {:?}", started.elapsed());
            assert!(edited == expected, "{first:?}");
        }
    }

    proptest! {
        #[test]
        fn edits_do_what_one_after_the_other_does(
            block in "((A|b|B|SUBJECT|Subject|X-[a-c]|no field): ?[a-c]{0,2}\r\n){0,9}",
            edits in prop::collection::vec(any_edit(), 0..30),
        ) {
            prop_assert_eq!(one_after_the_other(&block, &edits), apply(&block, edits));
        }

        #[test]
        fn an_edited_block_is_a_block(
            block in "((A|B|Subject|no field): ?[a-c]{0,3}(\r\n [a-c]{1,3})?\r\n){0,5}",
            edits in prop::collection::vec(any_edit(), 0..6),
        ) {
            let edited = apply(&block, edits);
            prop_assert!(edited.is_empty() || edited.ends_with("\r\n"));
            for line in edited.split_terminator("\r\n") {
                prop_assert!(!line.trim().is_empty(), "an empty line in {edited:?}");
                prop_assert!(!line.contains(['\r', '\n', '\0']), "{edited:?}");
            }
            // And the splitter agrees that there is no end of the header section in it.
            let mut end = HeaderEnd::new(10_000, &Budget::new(10_000));
            prop_assert!(end.push(&edited.clone().into()).unwrap().is_none());
        }
    }
}
