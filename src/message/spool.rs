//! Where content is received: memory first, past a threshold a file without a name.
use super::{
    Content,
    budget::{Budget, Share},
};
use crate::smtp::Refusal;
use bytes::{Buf, Bytes, BytesMut};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::spawn_blocking;

/// Chunks from this size on are kept by reference. Smaller ones are copied into blocks of the
/// spool's own, so that no sliver of a message holds on to the whole buffer it was read into.
const BY_REFERENCE: usize = 16 << 10;
/// The first block; each next one is twice as large, up to [`LARGEST_BLOCK`].
const FIRST_BLOCK: usize = 4 << 10;
const LARGEST_BLOCK: usize = 64 << 10;
/// What is gathered for one write to the file: the hand-over to a blocking thread costs some
/// microseconds and should be worth it.
const BATCH: u64 = 1 << 20;

/// How and where messages are kept while they are under way; one for the whole process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Octets of one message held in memory before it moves to a file.
    pub in_memory: u64,
    pub memory: Budget,
    pub disk: Budget,
    /// The files have no name there.
    pub directory: Arc<PathBuf>,
}

/// Why content could not be taken; the client is told "later".
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// `452 4.3.1`.
    #[error("memory and disk budget are used up")]
    Full,
    /// `452 4.3.1` as well (a full file system is one of these).
    #[error("spool: {0}")]
    Io(#[from] io::Error),
}

impl SpoolError {
    /// What the client is told: nothing about what is short, or broken, here.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal::temporary(52, "3.1", "insufficient system storage, try again later")
    }
}

/// Content being received. Becomes a [`Content`], or is dropped and gone.
#[derive(Debug)]
pub struct Spool {
    settings: Settings,
    len: u64,
    /// What is held in memory, in order; `block` follows.
    pieces: Vec<Bytes>,
    /// Being filled with small chunks; its whole capacity is counted.
    block: BytesMut,
    /// How large the last block was made.
    block_size: usize,
    memory: Share,
    disk: Share,
    file: Option<Arc<File>>,
    /// Octets in the file, or on their way there.
    written: u64,
    /// A write did not come back: what is in the file is not known.
    broken: bool,
}

impl Spool {
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            len: 0,
            pieces: Vec::new(),
            block: BytesMut::new(),
            block_size: 0,
            memory: settings.memory.share(),
            disk: settings.disk.share(),
            file: None,
            written: 0,
            broken: false,
        }
    }

    /// Octets taken so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a piece. Waits only where the message moves to its file or a batch is written.
    ///
    /// # Errors
    /// After one (or when the future was dropped half way) the spool is of no use; drop it.
    pub async fn push(&mut self, chunk: Bytes) -> Result<(), SpoolError> {
        self.usable()?;
        let octets = chunk.len() as u64;
        let held = self.len - self.written;
        self.len += octets;
        if held + octets > self.ceiling() || !self.hold(&chunk) {
            self.close_block();
            // Not counted: it is the caller's until the write is done.
            self.pieces.push(chunk);
            self.write().await?;
        }
        Ok(())
    }

    /// The whole content.
    ///
    /// # Errors
    /// What is held could not be written.
    pub async fn finish(mut self) -> Result<Content, SpoolError> {
        self.usable()?;
        if self.file.is_some() {
            self.write().await?;
        }
        if !self.block.is_empty() {
            self.pieces.push(std::mem::take(&mut self.block).freeze());
        }
        Ok(match self.file.take() {
            None => Content::held(std::mem::take(&mut self.pieces), self.memory.take()),
            Some(file) => Content::in_file(file, self.len, self.disk.take(), self.settings.memory),
        })
    }

    fn usable(&self) -> Result<(), SpoolError> {
        if self.broken { Err(io::Error::other("an earlier write did not finish").into()) } else { Ok(()) }
    }

    /// The most octets to hold in memory at this point.
    fn ceiling(&self) -> u64 {
        if self.file.is_some() { BATCH } else { self.settings.in_memory }
    }

    /// Keeps a chunk in memory; false (and nothing kept) where the budget does not have the room.
    fn hold(&mut self, chunk: &Bytes) -> bool {
        if chunk.len() >= BY_REFERENCE {
            // Counted by its length. The buffer it is a slice of is filled by the same message on
            // both sides, so over a message the lengths add up to what is really held.
            if !self.memory.grow(chunk.len() as u64) {
                return false;
            }
            self.close_block();
            self.pieces.push(chunk.clone());
            return true;
        }
        let room = self.block.capacity() - self.block.len();
        let (first, rest) = chunk.split_at(room.min(chunk.len()));
        if rest.is_empty() {
            self.block.extend_from_slice(first);
            return true;
        }
        let left = usize::try_from(self.ceiling().saturating_sub(self.memory.octets())).unwrap_or(usize::MAX);
        let size = (self.block_size * 2).clamp(FIRST_BLOCK, LARGEST_BLOCK).min(left).max(rest.len());
        if !self.memory.grow(size as u64) {
            return false;
        }
        self.block.extend_from_slice(first);
        self.close_block();
        self.block = BytesMut::with_capacity(size);
        self.block_size = size;
        self.block.extend_from_slice(rest);
        true
    }

    /// What stands in the block becomes a piece; the room behind it stays.
    fn close_block(&mut self) {
        if !self.block.is_empty() {
            self.pieces.push(self.block.split().freeze());
        }
    }

    /// Moves all that is held to the file, which is made first where there is none.
    async fn write(&mut self) -> Result<(), SpoolError> {
        self.close_block();
        let pieces = std::mem::take(&mut self.pieces);
        let octets: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if octets == 0 {
            return Ok(());
        }
        if !self.disk.grow(octets) {
            self.broken = true;
            return Err(SpoolError::Full);
        }
        self.broken = true;
        let file = self.file.clone();
        let directory = Arc::clone(&self.settings.directory);
        let job = move || -> io::Result<Arc<File>> {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile_in(&*directory).map_err(|e| named(&directory, e))?),
            };
            write_all(&file, pieces)?;
            Ok(file)
        };
        self.file = Some(spawn_blocking(job).await.map_err(io::Error::other)??);
        self.written += octets;
        self.broken = false;
        // The pieces are gone; so is the block, whose room must not be held uncounted.
        self.block = BytesMut::new();
        self.memory.clear();
        Ok(())
    }
}

/// "No such file or directory" alone does not say which.
fn named(directory: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
}

fn write_all(mut file: &File, pieces: Vec<Bytes>) -> io::Result<()> {
    let mut pieces = VecDeque::from(pieces);
    while !pieces.is_empty() {
        // The standard library passes on no more slices than the system takes at once.
        let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut written = match file.write_vectored(&slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        while let Some(first) = pieces.front_mut() {
            if written < first.len() {
                first.advance(written);
                break;
            }
            written -= first.len();
            pieces.pop_front();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(in_memory: u64, memory: u64, disk: u64) -> Settings {
        Settings { in_memory, memory: Budget::new(memory), disk: Budget::new(disk), directory: Arc::new(std::env::temp_dir()) }
    }

    async fn spool(settings: &Settings, chunks: &[Bytes]) -> Result<Content, SpoolError> {
        let mut spool = Spool::new(settings);
        for chunk in chunks {
            spool.push(chunk.clone()).await?;
            // The room left in the last block is counted as well.
            assert!(settings.memory.used() <= settings.in_memory.max(BATCH) + LARGEST_BLOCK as u64);
        }
        assert_eq!(spool.len(), chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>());
        spool.finish().await
    }

    async fn read(content: &Content) -> Vec<u8> {
        let mut reader = content.reader(0);
        let mut all = Vec::new();
        while let Some(piece) = reader.next().await.unwrap() {
            all.extend_from_slice(&piece);
        }
        all
    }

    fn chunk(octets: usize) -> Bytes {
        vec![b'x'; octets].into()
    }

    #[tokio::test]
    async fn a_small_chunk_is_copied_and_a_large_one_kept() {
        let settings = settings(1 << 20, 1 << 20, 0);
        let (small, large) = (chunk(100), chunk(BY_REFERENCE));
        let content = spool(&settings, &[small.clone(), large.clone(), small.clone()]).await.unwrap();
        let pieces = content.in_memory().unwrap();
        assert_ne!(pieces[0].as_ptr(), small.as_ptr());
        assert_eq!(pieces[1].as_ptr(), large.as_ptr());
        assert_eq!(settings.memory.used(), (FIRST_BLOCK + BY_REFERENCE) as u64, "one block serves both small chunks");
        drop(content);
        assert_eq!(settings.memory.used(), 0);
    }

    #[tokio::test]
    async fn past_the_threshold_a_message_moves_to_its_file() {
        let settings = settings(10_000, 1 << 20, 20_000);
        let content = spool(&settings, &[chunk(5_000), chunk(5_000)]).await.unwrap();
        assert!(content.in_memory().is_some(), "at the threshold");
        drop(content);
        let content = spool(&settings, &[chunk(5_000), chunk(5_000), chunk(1)]).await.unwrap();
        assert!(content.in_memory().is_none());
        assert_eq!((settings.memory.used(), settings.disk.used()), (0, 10_001));
        assert_eq!(read(&content).await, chunk(10_001));
        drop(content);
        assert_eq!(settings.disk.used(), 0);
    }

    #[tokio::test]
    async fn without_memory_a_message_moves_to_its_file_early() {
        let settings = settings(1 << 20, 5_000, 1 << 20);
        let content = spool(&settings, &[chunk(4_000), chunk(4_000), chunk(4_000)]).await.unwrap();
        assert!(content.in_memory().is_none());
        assert_eq!(read(&content).await, chunk(12_000));
    }

    #[tokio::test]
    async fn without_memory_and_disk_it_is_full() {
        let settings = settings(1 << 20, 5_000, 10_000);
        assert!(matches!(spool(&settings, &[chunk(4_000), chunk(4_000), chunk(4_000)]).await, Err(SpoolError::Full)));
        assert_eq!((settings.memory.used(), settings.disk.used()), (0, 0), "nothing of it stays");
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_named() {
        let settings = Settings { directory: Arc::new("/nonexistent".into()), ..settings(0, 0, 1 << 20) };
        let error = spool(&settings, &[chunk(1)]).await.unwrap_err();
        assert!(error.to_string().starts_with("spool: /nonexistent"), "{error}");
    }

    #[tokio::test]
    async fn after_a_failed_write_nothing_more_is_taken() {
        let settings = settings(0, 0, 5);
        let mut spool = Spool::new(&settings);
        assert!(spool.push(chunk(6)).await.is_err());
        assert!(spool.push(chunk(1)).await.is_err(), "a message with a hole in it would be a lie");
        assert!(spool.finish().await.is_err());
    }

    #[tokio::test]
    async fn a_push_dropped_half_way_spoils_the_spool() {
        let settings = settings(0, 0, 100);
        let mut spool = Spool::new(&settings);
        {
            let push = spool.push(chunk(6));
            tokio::pin!(push);
            assert!(futures_util::FutureExt::now_or_never(push).is_none());
        }
        assert!(spool.finish().await.is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_goes_in_comes_out(
            sizes in prop::collection::vec(prop_oneof![1usize..40, 3_000usize..5_000, 15_000usize..20_000, 60_000usize..70_000], 0..12),
            in_memory in prop_oneof![Just(0u64), 1u64..200_000, Just(1u64 << 30)],
            memory in prop_oneof![Just(0u64), 1u64..300_000, Just(1u64 << 30)],
        ) {
            let settings = settings(in_memory, memory, 1 << 30);
            let chunks: Vec<Bytes> = sizes.iter().enumerate().map(|(n, size)| vec![n as u8; *size].into()).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let content = spool(&settings, &chunks).await.unwrap();
                assert_eq!(read(&content).await, chunks.concat());
                let len = content.len();
                assert_eq!(settings.disk.used(), if content.in_memory().is_some() { 0 } else { len });
                if memory == 1 << 30 {
                    assert_eq!(content.in_memory().is_some(), len <= in_memory);
                }
            });
            assert_eq!((settings.memory.used(), settings.disk.used()), (0, 0));
        }
    }
}
