//! Where content lives once it is whole: read any number of times, never changed.
use super::budget::{Budget, Share};
use bytes::{Buf, Bytes, BytesMut};
use std::{fs::File, io, ops::Range, sync::Arc};
use tokio::task::spawn_blocking;

/// The largest piece a [`Reader`] gives: as much as the spool writes at once, and for the same
/// reason, the hand-over to a blocking thread.
const PIECE: u64 = 1 << 20;
/// What it gives where the memory budget has no room for more: reading on in small steps is slow,
/// but it is how messages leave and the budget gets room again.
const SMALL_PIECE: u64 = 16 << 10;

/// Whole, immutable content. Clones share it; dropping the last frees it and its budget.
#[derive(Debug, Clone)]
pub struct Content(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    len: u64,
    place: Place,
    /// What readers and the MIME view count what they hold on.
    memory: Budget,
    _kept: Kept,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<Bytes>),
    /// `before`, then the file from octet `from` on.
    File {
        before: Bytes,
        file: Arc<File>,
        from: u64,
    },
}

/// What goes back to its budget with the content.
#[derive(Debug)]
enum Kept {
    Share(#[expect(dead_code, reason = "held, not read")] Share),
    /// Made of another content, which has the share.
    Origin(#[expect(dead_code, reason = "held, not read")] Content),
}

/// Reads content from a place on, piece by piece.
#[derive(Debug)]
pub struct Reader {
    content: Content,
    at: u64,
    /// In memory: the piece that `at` stands in, and where that begins.
    piece: usize,
    piece_at: u64,
    /// The last piece of a file: where nobody else holds on to it any more, its memory is filled
    /// again, which spares the next one its allocation and the page faults of that.
    last: Bytes,
    share: Share,
}

impl Content {
    /// `share`: what the pieces hold of the memory budget.
    pub(super) fn held(pieces: Vec<Bytes>, share: Share) -> Self {
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self(Arc::new(Inner { len, place: Place::Memory(pieces), memory: share.budget().clone(), _kept: Kept::Share(share) }))
    }

    /// `share`: what the file holds of the disk budget.
    pub(super) fn in_file(file: Arc<File>, len: u64, share: Share, memory: Budget) -> Self {
        let place = Place::File { before: Bytes::new(), file, from: 0 };
        Self(Arc::new(Inner { len, place, memory, _kept: Kept::Share(share) }))
    }

    /// Content that is in memory already and counted by whoever made it.
    #[must_use]
    pub fn from_bytes(octets: impl Into<Bytes>) -> Self {
        Self::held(vec![octets.into()], Budget::new(u64::MAX).share())
    }

    /// `before`, then this content from octet `from` on, without a copy of what is large.
    #[must_use]
    pub fn splice(&self, before: Bytes, from: u64) -> Self {
        let from = from.min(self.len());
        let len = before.len() as u64 + (self.len() - from);
        let place = match &self.0.place {
            Place::Memory(pieces) => {
                let mut pieces = pieces.clone();
                skip(&mut pieces, from);
                pieces.insert(0, before);
                Place::Memory(pieces)
            }
            Place::File { before: old, file, from: start } => {
                let kept = old.slice(size(from).min(old.len())..);
                let start = start + from.saturating_sub(old.len() as u64);
                let before = if kept.is_empty() { before } else { [before, kept].concat().into() };
                Place::File { before, file: Arc::clone(file), from: start }
            }
        };
        Self(Arc::new(Inner { len, place, memory: self.0.memory.clone(), _kept: Kept::Origin(self.clone()) }))
    }

    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len
    }
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The pieces, where all of them are in memory: the hot path needs no reader.
    #[must_use]
    pub fn in_memory(&self) -> Option<&[Bytes]> {
        match &self.0.place {
            Place::Memory(pieces) => Some(pieces),
            Place::File { .. } => None,
        }
    }

    /// The memory budget that what is made from this content counts on.
    #[must_use]
    pub fn memory(&self) -> &Budget {
        &self.0.memory
    }

    /// From octet `from` on.
    #[must_use]
    pub fn reader(&self, from: u64) -> Reader {
        Reader { content: self.clone(), at: from, piece: 0, piece_at: 0, last: Bytes::new(), share: self.0.memory.share() }
    }

    /// The octets of `range`, cut off at the end of the content; without a copy where they lie in
    /// one piece of memory. The caller bounds the range, and counts it where it is large.
    ///
    /// # Errors
    /// The file could not be read.
    pub async fn slice(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut reader = self.reader(range.start);
        let mut left = range.end.min(self.len()).saturating_sub(range.start);
        let mut all = BytesMut::new();
        while left > 0 {
            let Some(piece) = reader.next_up_to(left).await? else { break };
            left -= piece.len() as u64;
            if left == 0 && all.is_empty() {
                return Ok(piece);
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

impl Reader {
    /// The next piece, of at most 1 MiB; `None` at the end. Do not hold many: one is counted on
    /// the memory budget.
    ///
    /// # Errors
    /// The file could not be read.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.next_up_to(PIECE).await
    }

    async fn next_up_to(&mut self, most: u64) -> io::Result<Option<Bytes>> {
        let most = most.min(PIECE).min(self.content.len().saturating_sub(self.at));
        if most == 0 {
            return Ok(None);
        }
        let inner = Arc::clone(&self.content.0);
        let piece = match &inner.place {
            Place::Memory(pieces) => self.memory_piece(pieces, size(most)),
            Place::File { before, file, from } => match self.at.checked_sub(before.len() as u64) {
                Some(beyond) => self.file_piece(file, from + beyond, most).await?,
                None => before.slice(size(self.at)..before.len().min(size(self.at + most))),
            },
        };
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }

    fn memory_piece(&mut self, pieces: &[Bytes], most: usize) -> Bytes {
        while let Some(piece) = pieces.get(self.piece) {
            let within = size(self.at - self.piece_at);
            if within < piece.len() {
                return piece.slice(within..piece.len().min(within + most));
            }
            self.piece_at += piece.len() as u64;
            self.piece += 1;
        }
        Bytes::new()
    }

    async fn file_piece(&mut self, file: &Arc<File>, at: u64, most: u64) -> io::Result<Bytes> {
        let missing = most.saturating_sub(self.share.octets());
        let most = if self.share.grow(missing) { most } else { most.min(SMALL_PIECE) };
        let file = Arc::clone(file);
        let last = std::mem::take(&mut self.last);
        let piece = spawn_blocking(move || {
            // Not copied: a `Bytes` that nobody else holds becomes the vector it was made of.
            let mut octets = if last.is_unique() { Vec::from(last) } else { Vec::new() };
            octets.clear();
            read_at(&file, &mut octets, at, size(most))?;
            io::Result::Ok(Bytes::from(octets))
        })
        .await
        .map_err(io::Error::other)??;
        self.last = piece.clone();
        Ok(piece)
    }
}

/// Reads `most` octets from `at` on into the empty `octets`, without writing zeros there first.
fn read_at(file: &File, octets: &mut Vec<u8>, at: u64, most: usize) -> io::Result<()> {
    octets.reserve_exact(most);
    while octets.len() < most {
        let from = at + octets.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(octets), from) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The vector may have had more room than was asked for.
    octets.truncate(most);
    Ok(())
}

/// Takes the first `octets` off.
fn skip(pieces: &mut Vec<Bytes>, octets: u64) {
    let mut left = octets;
    pieces.retain_mut(|piece| {
        let here = left.min(piece.len() as u64);
        left -= here;
        piece.advance(size(here));
        !piece.is_empty()
    });
}

/// Places in memory; what is larger than the address space is not in it.
fn size(octets: u64) -> usize {
    usize::try_from(octets).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    async fn read(content: &Content, from: u64) -> Vec<u8> {
        let mut reader = content.reader(from);
        let mut all = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            assert!(!piece.is_empty() && piece.len() as u64 <= PIECE);
            all.extend_from_slice(&piece);
        }
        all
    }

    /// The same octets in memory in several pieces, and in a file.
    fn both(octets: &[u8], cut: usize) -> [Content; 2] {
        let budget = Budget::new(u64::MAX);
        let pieces = vec![Bytes::copy_from_slice(&octets[..cut]), Bytes::copy_from_slice(&octets[cut..])];
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(octets, 0).unwrap();
        [Content::held(pieces, budget.share()), Content::in_file(file.into(), octets.len() as u64, budget.share(), budget)]
    }

    #[tokio::test]
    async fn content_reads_the_same_from_memory_and_file() {
        for content in both(b"0123456789", 4) {
            assert_eq!(content.len(), 10);
            for from in 0..12 {
                assert_eq!(read(&content, from).await, &b"0123456789"[(from as usize).min(10)..]);
            }
            assert_eq!(content.slice(2..6).await.unwrap(), "2345", "across two pieces");
            assert_eq!(content.slice(5..99).await.unwrap(), "56789");
            assert_eq!(content.slice(99..100).await.unwrap(), "");
        }
    }

    #[tokio::test]
    async fn other_octets_can_stand_before_the_rest() {
        for content in both(b"head:0123456789", 7) {
            let spliced = content.splice("new:".into(), 5);
            assert_eq!((read(&spliced, 0).await, spliced.len()), (b"new:0123456789".to_vec(), 14));
            assert_eq!(read(&spliced, 6).await, b"23456789");
            assert_eq!(spliced.slice(2..7).await.unwrap(), "w:012");
            let again = spliced.splice("a:".into(), 4);
            assert_eq!(read(&again, 0).await, b"a:0123456789");
            let within = spliced.splice("b:".into(), 2);
            assert_eq!(read(&within, 0).await, b"b:w:0123456789");
            assert_eq!(read(&content.splice("all".into(), 99), 0).await, b"all");
        }
    }

    #[tokio::test]
    async fn a_splice_holds_the_share_of_what_it_is_made_of() {
        let budget = Budget::new(100);
        let mut share = budget.share();
        assert!(share.grow(10));
        let content = Content::held(vec![Bytes::from_static(b"0123456789")], share);
        let spliced = content.splice(Bytes::new(), 3);
        drop(content);
        assert_eq!(budget.used(), 10);
        drop(spliced);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_reader_counts_its_piece_and_reads_on_without_room() {
        let length = PIECE + 44 * 1024;
        let octets = vec![b'x'; size(length)];
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&octets, 0).unwrap();
        for (limit, pieces) in [(PIECE, 2), (0, length.div_ceil(SMALL_PIECE))] {
            let memory = Budget::new(limit);
            let content = Content::in_file(file.try_clone().unwrap().into(), length, Budget::new(1 << 20).share(), memory.clone());
            let mut reader = content.reader(0);
            let mut count = 0;
            while reader.next().await.unwrap().is_some() {
                count += 1;
                assert_eq!(memory.used(), PIECE.min(limit));
            }
            assert_eq!(count, pieces);
            drop(reader);
            assert_eq!(memory.used(), 0);
        }
    }

    #[tokio::test]
    async fn a_file_cut_short_is_an_error() {
        let budget = Budget::new(u64::MAX);
        let content = Content::in_file(tempfile::tempfile().unwrap().into(), 5, budget.share(), budget);
        assert_eq!(content.reader(0).next().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
