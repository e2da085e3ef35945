//! Where the header section ends, found while the message arrives.
use super::{HeaderBlock, budget::Budget, budget::Share};
use crate::smtp::Refusal;
use bytes::Bytes;
use memchr::memchr;

/// Header sections in chunks from this size on are kept by reference: the spool does the same, so
/// the chunk stays in memory anyway. Below, keeping a reference would pin a read buffer much
/// larger than what is kept.
const BY_REFERENCE: usize = 16 << 10;

/// Finds the first empty line of a message (RFC 5322 §2.1) in chunks cut anywhere, and keeps what
/// stands before it. Expects canonical line ends.
#[derive(Debug)]
pub struct HeaderEnd {
    limit: usize,
    place: Place,
    gathered: Vec<u8>,
    share: Share,
}

/// Where in a line the next octet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// After a CR at the start of a line.
    StartCr,
    Within,
    /// After the empty line.
    Closed,
}

/// Why there is no header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("header section above {limit} octets")]
    TooLong { limit: usize },
    #[error("memory budget used up")]
    Full,
}

impl HeaderError {
    /// What the client is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::TooLong { .. } => Refusal::permanent(52, "3.4", "header section too long"),
            Self::Full => Refusal::temporary(52, "3.1", "insufficient system storage, try again later"),
        }
    }
}

/// Octets and the share of the budget they stand for; both go when the last reference does.
struct Held {
    octets: Vec<u8>,
    _share: Share,
}
impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

impl HeaderEnd {
    /// `limit`: the most octets a header section may have, the closing empty line not counted.
    #[must_use]
    pub fn new(limit: usize, memory: &Budget) -> Self {
        Self { limit, place: Place::Start, gathered: Vec::new(), share: memory.share() }
    }

    /// The header section and where in `chunk` the body begins, once the empty line is there. Not
    /// to be called again after that.
    ///
    /// # Errors
    /// The header section is too long, or there is no memory for it.
    pub fn push(&mut self, chunk: &Bytes) -> Result<Option<(HeaderBlock, usize)>, HeaderError> {
        let Some(body) = self.scan(chunk) else {
            self.gather(chunk)?;
            return Ok(None);
        };
        if self.gathered.is_empty() && chunk.len() >= BY_REFERENCE {
            let octets = chunk.slice(..body.saturating_sub(2));
            self.check(octets.len())?;
            return Ok(Some((HeaderBlock::new(octets), body)));
        }
        self.gather(chunk.get(..body).unwrap_or_default())?;
        self.gathered.truncate(self.gathered.len().saturating_sub(2));
        Ok(Some((self.block(), body)))
    }

    /// The message is over and there was no empty line: all of it is header section.
    #[must_use]
    pub fn finish(mut self) -> HeaderBlock {
        self.block()
    }

    /// Where the octets after the empty line begin.
    fn scan(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(octet) = chunk.get(at) {
            self.place = match (self.place, octet) {
                (Place::Start, b'\r') => Place::StartCr,
                (Place::StartCr, b'\n') => {
                    self.place = Place::Closed;
                    return Some(at + 1);
                }
                _ => match chunk.get(at..).and_then(|rest| memchr(b'\n', rest)) {
                    Some(more) => {
                        at += more;
                        Place::Start
                    }
                    None => {
                        at = chunk.len();
                        Place::Within
                    }
                },
            };
            at += 1;
        }
        None
    }

    fn gather(&mut self, octets: &[u8]) -> Result<(), HeaderError> {
        // The empty line does not count, nor does a CR that may become one, so that the verdict does
        // not depend on where the chunks were cut.
        let closing = match self.place {
            Place::Start | Place::Within => 0,
            Place::StartCr => 1,
            Place::Closed => 2,
        };
        let sum = self.gathered.len() + octets.len();
        self.check(sum.saturating_sub(closing))?;
        if sum > self.gathered.capacity() {
            self.gathered.reserve(octets.len());
            let more = self.gathered.capacity() as u64 - self.share.octets();
            if !self.share.grow(more) {
                return Err(HeaderError::Full);
            }
        }
        self.gathered.extend_from_slice(octets);
        Ok(())
    }

    fn check(&self, len: usize) -> Result<(), HeaderError> {
        if len > self.limit { Err(HeaderError::TooLong { limit: self.limit }) } else { Ok(()) }
    }

    fn block(&mut self) -> HeaderBlock {
        let octets = std::mem::take(&mut self.gathered);
        let share = self.share.take();
        HeaderBlock::new(Bytes::from_owner(Held { octets, _share: share }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The header section, where the body begins, and the error, at any cut.
    fn split(pieces: &[&[u8]], limit: usize, budget: &Budget) -> Result<(HeaderBlock, Option<usize>), HeaderError> {
        let mut end = HeaderEnd::new(limit, budget);
        let mut before = 0;
        for piece in pieces {
            if let Some((block, body)) = end.push(&Bytes::copy_from_slice(piece))? {
                return Ok((block, Some(before + body)));
            }
            before += piece.len();
        }
        Ok((end.finish(), None))
    }

    #[test]
    fn the_first_empty_line_ends_the_section_at_every_cut() {
        let cases = [
            (&b"A: b\r\n\r\nbody\r\n\r\n"[..], &b"A: b\r\n"[..], Some(8), "the plain case"),
            (b"\r\nbody", b"", Some(2), "content that starts with CRLF has no header field"),
            (b"A: b\r\n", b"A: b\r\n", None, "no empty line: all is header"),
            (b"A: b\r\n \r\n\r\n", b"A: b\r\n \r\n", Some(11), "a line of blanks is not empty"),
            (b"", b"", None, "nothing at all"),
            (b"A: b\r\n\rx\r\n\r\n", b"A: b\r\n\rx\r\n", Some(12), "a CR at the start of a line that is not empty"),
        ];
        for (content, header, body, why) in cases {
            for cut in 0..=content.len() {
                let (first, second) = content.split_at(cut);
                let (block, at) = split(&[first, second], 1000, &Budget::new(10_000)).unwrap();
                assert_eq!((&block.as_bytes()[..], at), (header, body), "{why}, cut at {cut}");
            }
        }
    }

    #[test]
    fn the_limit_counts_the_section_without_its_empty_line() {
        let content = b"A: 123\r\n\r\nbody";
        for cut in 0..content.len() {
            let pieces = content.split_at(cut);
            let budget = Budget::new(1000);
            assert!(split(&[pieces.0, pieces.1], 8, &budget).is_ok(), "cut at {cut}");
            assert_eq!(split(&[pieces.0, pieces.1], 7, &budget).unwrap_err(), HeaderError::TooLong { limit: 7 }, "cut at {cut}");
        }
        assert_eq!(HeaderError::TooLong { limit: 7 }.refusal().to_string(), "552 5.3.4 header section too long");
    }

    #[test]
    fn the_octets_are_counted_for_as_long_as_anybody_holds_them() {
        let budget = Budget::new(100);
        let (block, _) = split(&[b"A: 1\r\n\r\n"], 1000, &budget).unwrap();
        let clone = block.clone();
        drop(block);
        assert_eq!(budget.used(), 8);
        drop(clone);
        assert_eq!(budget.used(), 0);
        assert_eq!(split(&[&[b'a'; 101]], 1000, &budget).unwrap_err(), HeaderError::Full);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_large_chunk_is_not_copied() {
        let budget = Budget::new(0);
        let mut content = b"A: 1\r\n\r\n".to_vec();
        content.resize(BY_REFERENCE, b'x');
        let (block, body) = HeaderEnd::new(1000, &budget).push(&content.into()).unwrap().unwrap();
        assert_eq!((&block.as_bytes()[..], body), (&b"A: 1\r\n"[..], 8));
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(content in "([ab:]|\r\n| |\r){0,40}", cuts in prop::collection::vec(0usize..60, 0..5), limit in 0usize..60) {
            let content = content.into_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(content.len())).chain([0, content.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|w| &content[w[0]..w[1]]).collect();
            let budget = Budget::new(10_000);
            let whole = split(&[&content], limit, &budget).map(|(block, at)| (block.as_bytes().clone(), at));
            let cut = split(&pieces, limit, &budget).map(|(block, at)| (block.as_bytes().clone(), at));
            prop_assert_eq!(whole, cut);
        }
    }
}
