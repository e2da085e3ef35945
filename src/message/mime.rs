//! The parsed view. mail-parser is named in this file and nowhere else.
//!
//! The parser is asked for the structure only: transfer encodings are hidden from it, so that it
//! neither decodes what nobody asked for nor descends into encoded messages (where it copies the
//! whole once per level). What it could be made to do in excess of the message's size is bounded
//! before it begins ([`Survey`]), and a panic of it is an error of this message.
use super::{
    Content,
    budget::{Budget, Share},
};
use bytes::Bytes;
use mail_parser::{Attribute, HeaderName, MessageParser, MessagePart, MimeHeaders, PartType};
use memchr::{memchr, memchr_iter, memmem};
use std::{
    any::Any,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::LazyLock,
};
use tokio::task::spawn_blocking;

/// Messages up to this size (octets) are parsed in place: it takes less time than the way to
/// another thread and back.
pub(super) const INLINE: usize = 64 << 10;
/// `Content-Type` fields a message may have in all its parts. Nested messages are freed one inside
/// the other if the parser panics, and a thread's stack has to bear it.
const MAX_TYPES: u64 = 5_000;
/// Octets that may be searched for boundaries: for each multipart that has none the parser reads
/// the message to its end and comes back (50 MiB with 80 of them; a second or so).
const MAX_SEARCHED: u64 = 4 << 30;
/// Characters of a file name that are kept; no file system takes longer ones.
const FILE_NAME: usize = 255;

/// What a message is made of. Made once, when a stage first asks.
#[derive(Debug)]
pub struct MimeView {
    parts: Vec<Part>,
    _share: Share,
}

/// A part: the message itself, a container, a nested message, or a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Lower case, without parameters; `text/plain` where the message does not say (RFC 2045 §5.2).
    pub content_type: Box<str>,
    /// From `Content-Disposition`, else from `Content-Type`, decoded.
    pub file_name: Option<Box<str>>,
    /// Where its body stands in the content, transfer encoding and all.
    pub body: Range<u64>,
    /// Containers and messages around it.
    pub depth: usize,
}

/// Why there is no view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    #[error("memory budget used up")]
    Full,
    /// Nothing that people send looks like this; no number of parts can be told.
    #[error("structure too complex to parse: {0}")]
    TooComplex(Box<str>),
    #[error("the MIME parser panicked: {0}")]
    Panicked(Box<str>),
    #[error("spool: {0}")]
    Io(Box<str>),
}

impl MimeView {
    /// In the order of the message, the root first, containers and nested messages included, and
    /// what is in nested messages too.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

pub(super) async fn parse(content: &Content) -> Result<MimeView, MimeError> {
    let memory = content.memory().clone();
    let mut share = memory.share();
    let octets = whole(content, &mut share).await?;
    if octets.len() <= INLINE {
        return guarded(&octets, &memory, share);
    }
    spawn_blocking(move || guarded(&octets, &memory, share))
        .await
        .unwrap_or_else(|error| Err(MimeError::Panicked(error.to_string().into())))
}

/// The content in one piece.
pub(super) async fn whole(content: &Content, share: &mut Share) -> Result<Bytes, MimeError> {
    match content.in_memory() {
        Some([]) => return Ok(Bytes::new()),
        Some([all]) => return Ok(all.clone()),
        _ => {}
    }
    if !share.grow(content.len()) {
        return Err(MimeError::Full);
    }
    let error = |text: &dyn ToString| MimeError::Io(text.to_string().into());
    let mut all = Vec::with_capacity(usize::try_from(content.len()).map_err(|e| error(&e))?);
    let mut reader = content.reader(0);
    while let Some(piece) = reader.next().await.map_err(|e| error(&e))? {
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}

fn guarded(octets: &[u8], memory: &Budget, mut share: Share) -> Result<MimeView, MimeError> {
    let survey = Survey::of(octets);
    survey.check(octets.len())?;
    if !share.grow(survey.needs(octets.len())) {
        return Err(MimeError::Full);
    }
    let parts = caught(|| structure(octets))?;
    let held: usize =
        parts.iter().map(|part| size_of::<Part>() + part.content_type.len() + part.file_name.as_ref().map_or(0, |n| n.len())).sum();
    drop(share);
    let mut share = memory.share();
    if share.grow(held as u64) { Ok(MimeView { parts, _share: share }) } else { Err(MimeError::Full) }
}

/// The parser has panicked on malformed mail before; that costs the message its view, no more.
pub(super) fn caught<T>(parse: impl FnOnce() -> T) -> Result<T, MimeError> {
    catch_unwind(AssertUnwindSafe(parse)).map_err(|panic| MimeError::Panicked(panic_text(&*panic)))
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> Box<str> {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a text").into()
}

/// Upper bounds on what the parser will make of a message, counted without parsing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Survey {
    /// Lines with a colon: each may become a header field.
    fields: u64,
    /// `Content-Type` fields: no message nests, and no container opens, without one.
    types: u64,
    /// Those that say `multipart`.
    multiparts: u64,
    /// Lines with `--`: each may begin a part.
    delimiters: u64,
    /// Semicolons: each may begin a parameter.
    parameters: u64,
    /// Octets above ASCII: each may become a three-octet character.
    high: u64,
}

impl Survey {
    fn of(octets: &[u8]) -> Self {
        let mut survey = Self::default();
        let hyphens = memmem::Finder::new(b"--");
        let mut in_type = false;
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            let colon = memchr(b':', line).and_then(|colon| line.get(..colon));
            survey.fields += u64::from(colon.is_some());
            survey.delimiters += u64::from(hyphens.find(line).is_some());
            let is_type = colon.is_some_and(is_content_type);
            survey.types += u64::from(is_type);
            in_type = is_type || (in_type && matches!(line.first(), Some(b' ' | b'\t')));
            survey.multiparts += u64::from(in_type && line.windows(9).any(|word| word.eq_ignore_ascii_case(b"multipart")));
        }
        survey.parameters = memchr_iter(b';', octets).count() as u64;
        survey.high = octets.iter().filter(|octet| !octet.is_ascii()).count() as u64;
        survey
    }

    fn check(&self, len: usize) -> Result<(), MimeError> {
        let complex = |text: String| Err(MimeError::TooComplex(text.into()));
        if self.types > MAX_TYPES {
            return complex(format!("{} Content-Type fields", self.types));
        }
        if self.multiparts.saturating_mul(len as u64) > MAX_SEARCHED {
            return complex(format!("{} multiparts in {len} octets", self.multiparts));
        }
        // The parser counts in 32 bits.
        if u32::try_from(len).is_err() { complex(format!("{len} octets")) } else { Ok(()) }
    }

    /// Octets the parser's own structures may take, decoded text included.
    fn needs(&self, len: usize) -> u64 {
        let each = |count: u64, size: usize| count.saturating_mul(size as u64);
        (len as u64)
            .saturating_add(each(self.high, 2))
            .saturating_add(each(self.fields, size_of::<mail_parser::Header<'_>>()))
            .saturating_add(each(self.delimiters + self.types + 1, size_of::<MessagePart<'_>>()))
            .saturating_add(each(self.parameters, size_of::<Attribute<'_>>()))
    }
}

/// As the parser reads it: blanks anywhere in the name do not matter to it.
fn is_content_type(name: &[u8]) -> bool {
    name.iter().filter(|octet| !octet.is_ascii_whitespace()).map(u8::to_ascii_lowercase).eq(b"content-type".iter().copied())
}

static PARSER: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new()
        .default_header_ignore()
        .header_content_type(HeaderName::ContentType)
        .header_content_type(HeaderName::ContentDisposition)
});

fn structure(octets: &[u8]) -> Vec<Part> {
    // A nested message is taken apart here, level by level, rather than dropped, which recurses.
    let first = PARSER.parse(octets).map(|message| message.parts).unwrap_or_default();
    let mut open = vec![(depths(&first, 0).into_iter(), first.into_iter())];
    let mut parts = Vec::new();
    while let Some((depths_of_level, level)) = open.last_mut() {
        let Some(part) = level.next() else {
            open.pop();
            continue;
        };
        let depth = depths_of_level.next().unwrap_or_default();
        parts.push(describe(&part, depth));
        if let PartType::Message(message) = part.body {
            open.push((depths(&message.parts, depth + 1).into_iter(), message.parts.into_iter()));
        }
    }
    parts
}

/// How deep each part of a level lies, whose first lies at `depth`. Containers name their parts, which
/// stand behind them.
fn depths(parts: &[MessagePart<'_>], depth: usize) -> Vec<usize> {
    let mut depths = vec![depth; parts.len()];
    for (at, part) in parts.iter().enumerate() {
        let PartType::Multipart(children) = &part.body else { continue };
        let own = depths.get(at).copied().unwrap_or(depth);
        for child in children.iter().filter_map(|child| usize::try_from(*child).ok()) {
            if let Some(place) = depths.get_mut(child) {
                *place = own + 1;
            }
        }
    }
    depths
}

fn describe(part: &MessagePart<'_>, depth: usize) -> Part {
    let content_type = part.content_type().map_or_else(
        || "text/plain".into(),
        |declared| format!("{}/{}", declared.ctype(), declared.subtype().unwrap_or_default()).to_ascii_lowercase().into(),
    );
    let file_name = part.attachment_name().map(|name| name.chars().take(FILE_NAME).collect::<String>().into());
    let body = u64::from(part.offset_body)..u64::from(part.offset_end.max(part.offset_body));
    Part { content_type, file_name, body, depth }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "From: a@example.org\r\nContent-Type: Multipart/Mixed; boundary=b\r\n\r\n\
        --b\r\n\r\nhello\r\n\
        --b\r\nContent-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: image/png\r\n\
        Content-Disposition: attachment; filename*=utf-8''%C3%A9.png\r\n\r\npng\r\n--b--\r\n";

    async fn view(content: &Content) -> Result<MimeView, MimeError> {
        parse(content).await
    }
    async fn of(text: impl Into<Bytes>) -> Result<MimeView, MimeError> {
        view(&Content::from_bytes(text)).await
    }

    #[tokio::test]
    async fn parts_are_told_in_order() {
        let view = of(MIXED).await.unwrap();
        let told: Vec<_> = view.parts().iter().map(|part| (&*part.content_type, part.file_name.as_deref())).collect();
        let expected = [
            ("multipart/mixed", None),
            ("text/plain", None),
            ("application/pdf", Some("x.pdf")),
            ("message/rfc822", None),
            ("image/png", Some("é.png")),
        ];
        assert_eq!(told, expected);
        assert_eq!(view.parts().iter().map(|part| part.depth).collect::<Vec<_>>(), [0, 1, 1, 1, 2]);
        let body = |n: usize| &MIXED[view.parts()[n].body.start as usize..view.parts()[n].body.end as usize];
        assert_eq!((body(1), body(2), body(4)), ("hello", "AAAA", "png"), "bodies as they stand, encodings not undone");
    }

    #[tokio::test]
    async fn a_message_without_structure_is_one_part_or_none() {
        assert_eq!(of("Subject: x\r\n\r\nhello\r\n").await.unwrap().parts().len(), 1);
        assert_eq!(of("").await.unwrap().parts().len(), 0);
    }

    #[tokio::test]
    async fn pieces_and_files_are_parsed_as_one() {
        let budget = Budget::new(1 << 20);
        let (first, second) = MIXED.split_at(100);
        let content = Content::held(vec![first.into(), second.into()], budget.share());
        let view = view(&content).await.unwrap();
        assert_eq!(view.parts().len(), 5);
        let held = budget.used();
        assert!((300..2_000).contains(&held), "only the view is held: {held}");
        drop(view);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn without_memory_there_is_no_view() {
        let budget = Budget::new(1_000);
        let content = Content::held(vec![Bytes::from_static(MIXED.as_bytes())], budget.share());
        assert_eq!(view(&content).await.unwrap_err(), MimeError::Full);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn more_than_a_parser_should_bear_is_refused_before_it_begins() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(MAX_TYPES as usize + 1);
        assert!(matches!(of(nested).await, Err(MimeError::TooComplex(_))));
        let mut endless = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".to_owned();
        endless.push_str(&"C ontent-Type:\r\n MULTIPART/mixed; boundary=none\r\n\r\n--b\r\n".repeat(2_000));
        endless.push_str(&"x".repeat(3 << 20));
        assert!(matches!(of(endless).await, Err(MimeError::TooComplex(_))));
    }

    #[test]
    fn the_deepest_nesting_that_is_let_through_fits_a_stack() {
        let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(MAX_TYPES as usize);
        let encoded = format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{}", &nested[32..]);
        // The stack of a blocking thread.
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        thread
            .spawn(move || {
                assert_eq!(structure(nested.as_bytes()).len(), MAX_TYPES as usize);
                assert_eq!(structure(encoded.as_bytes()).len(), MAX_TYPES as usize, "not decoded, hence not copied at every level");
                // As in the unwinding of a panic.
                drop(PARSER.parse(nested.as_bytes()));
            })
            .unwrap()
            .join()
            .unwrap();
    }

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        assert_eq!(caught(|| panic!("at octet {}", 7)).unwrap_err(), MimeError::Panicked("at octet 7".into()));
        assert_eq!(caught(|| panic!("plain")).unwrap_err(), MimeError::Panicked("plain".into()));
    }

    #[test]
    fn a_survey_counts_what_the_parser_will_see() {
        let survey = Survey::of(MIXED.as_bytes());
        assert_eq!(survey, Survey { fields: 8, types: 4, multiparts: 1, delimiters: 4, parameters: 3, high: 0 });
    }
}
