//! Contents, by key: files under one directory, compressed with zstd, durable once kept.
use super::StorageError;
use crate::value::hex;
use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;
use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

/// What is gathered for one hand-over to a blocking thread, and the largest piece a reader gives.
const PIECE: usize = 1 << 20;
/// zstd's own default: beyond it time grows faster than what is saved.
const LEVEL: i32 = 3;
/// What keys end with, one directory each: all are made when the store is opened, so that no blob
/// waits for a directory of its own to be durable.
const SHARDS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Where files stand until they are whole.
const UNDER_WAY: &str = "tmp";
const SUFFIX: &str = ".zst";

/// A handle; clones share.
#[derive(Debug, Clone)]
pub struct Blobs {
    root: Arc<PathBuf>,
}

/// What is known of a blob that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Octets that went in.
    pub size: u64,
    /// Octets on disk.
    pub stored: u64,
    /// Of what went in, in hexadecimal.
    pub sha256: String,
}

impl Blobs {
    /// Opens the store at `root`, which is made where it is missing. Blocks.
    ///
    /// # Errors
    /// A directory cannot be made or written to.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        let named = |error: io::Error| StorageError::file(root, &error);
        if !root.exists() {
            fs::create_dir_all(root).and_then(|()| super::adopt(root)).map_err(named)?;
        }
        fs::set_permissions(root, Permissions::from_mode(0o700)).map_err(named)?;
        let shards = SHARDS.iter().map(|shard| char::from(*shard).to_string());
        for name in shards.chain([UNDER_WAY.to_owned()]) {
            let directory = root.join(name);
            match fs::create_dir(&directory).and_then(|()| super::adopt(&directory)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(named(error)),
                _ => {}
            }
        }
        sync_directory(root).map_err(named)?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent).map_err(named)?;
        }
        // Found now rather than by the first message.
        NamedTempFile::new_in(root.join(UNDER_WAY)).map_err(named)?;
        Ok(Self { root: Arc::new(root.to_owned()) })
    }

    /// Begins a blob. Nobody sees it before it is [kept](BlobWriter::keep).
    ///
    /// # Errors
    /// `key` is not made of letters and digits alone.
    pub fn writer(&self, key: &str) -> Result<BlobWriter, StorageError> {
        let path = self.path(key)?;
        Ok(BlobWriter { under_way: self.root.join(UNDER_WAY), path, waiting: Vec::new(), octets: 0, file: None })
    }

    /// Reads a blob from its start.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub async fn reader(&self, key: &str) -> Result<BlobReader, StorageError> {
        let path = self.path(key)?;
        blocking(move || {
            let named = |error: io::Error| StorageError::file(&path, &error);
            let file = File::open(&path).map_err(named)?;
            let decoder = zstd::Decoder::new(file).map_err(named)?;
            Ok(BlobReader { path: path.clone(), decoder: Some(decoder) })
        })
        .await
    }

    /// Removes a blob; `false` where there was none.
    ///
    /// # Errors
    /// It is still there.
    pub async fn delete(&self, key: &str) -> Result<bool, StorageError> {
        let path = self.path(key)?;
        blocking(move || match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StorageError::file(&path, &error)),
        })
        .await
    }

    /// Which of `keys` are not there.
    ///
    /// # Errors
    /// It cannot be known.
    pub async fn missing(&self, keys: Vec<String>) -> Result<Vec<String>, StorageError> {
        let paths = keys.into_iter().map(|key| Ok((self.path(&key)?, key))).collect::<Result<Vec<_>, StorageError>>()?;
        blocking(move || {
            let mut missing = Vec::new();
            for (path, key) in paths {
                if !path.try_exists().map_err(|error| StorageError::file(&path, &error))? {
                    missing.push(key);
                }
            }
            Ok(missing)
        })
        .await
    }

    /// The keys of all blobs in shard `shard` that were kept longer than `age` ago; `None` behind
    /// the last shard. What was under way for so long belongs to nobody, and goes with the first.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub async fn older_than(&self, age: Duration, shard: usize) -> Result<Option<Vec<String>>, StorageError> {
        let Some(name) = SHARDS.get(shard) else { return Ok(None) };
        let (directory, under_way) = (self.root.join(char::from(*name).to_string()), self.root.join(UNDER_WAY));
        blocking(move || {
            let named = |error: io::Error| StorageError::file(&directory, &error);
            if shard == 0 {
                for path in old_files(&under_way, age).map_err(named)? {
                    fs::remove_file(path).map_err(named)?;
                }
            }
            let paths = old_files(&directory, age).map_err(named)?;
            let keys = paths.iter().filter_map(|path| path.file_name()?.to_str()?.strip_suffix(SUFFIX).map(str::to_owned));
            Ok(Some(keys.collect()))
        })
        .await
    }

    fn path(&self, key: &str) -> Result<PathBuf, StorageError> {
        let last = key.bytes().last().filter(|_| key.bytes().all(|octet| octet.is_ascii_alphanumeric()));
        let last = last.ok_or_else(|| StorageError::Failed(format!("`{}` is no key", key.escape_debug()).into()))?;
        Ok(self.root.join(char::from(last.to_ascii_lowercase()).to_string()).join(format!("{key}{SUFFIX}")))
    }
}

fn old_files(directory: &Path, age: Duration) -> io::Result<Vec<PathBuf>> {
    let now = SystemTime::now();
    let mut old = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // What goes away meanwhile is not old.
        let Ok(modified) = entry.metadata().and_then(|found| found.modified()) else { continue };
        if now.duration_since(modified).is_ok_and(|since| since >= age) {
            old.push(entry.path());
        }
    }
    Ok(old)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

async fn blocking<T: Send + 'static>(job: impl FnOnce() -> Result<T, StorageError> + Send + 'static) -> Result<T, StorageError> {
    spawn_blocking(job).await.map_err(|error| StorageError::Failed(error.to_string().into()))?
}

/// A blob under way. Dropped, it is gone.
pub struct BlobWriter {
    under_way: PathBuf,
    path: PathBuf,
    waiting: Vec<Bytes>,
    /// Of what waits.
    octets: usize,
    file: Option<Open>,
}

struct Open {
    encoder: zstd::Encoder<'static, NamedTempFile>,
    hash: digest::Context,
    size: u64,
}

impl BlobWriter {
    /// Takes a piece; waits for the disk every megabyte.
    ///
    /// # Errors
    /// It could not be written; the blob is of no use any more.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), StorageError> {
        self.octets += piece.len();
        self.waiting.push(piece);
        if self.octets < PIECE {
            return Ok(());
        }
        let write = self.take();
        self.file = Some(blocking(write).await?);
        Ok(())
    }

    /// Makes it durable under its key: file synced, renamed, directory synced.
    ///
    /// # Errors
    /// It is not kept.
    pub async fn keep(mut self) -> Result<Kept, StorageError> {
        let write = self.take();
        let path = std::mem::take(&mut self.path);
        blocking(move || {
            let Open { encoder, hash, size } = write()?;
            let named = |error: io::Error| StorageError::file(&path, &error);
            let file = encoder.finish().map_err(named)?;
            file.as_file().sync_all().map_err(named)?;
            let stored = file.as_file().metadata().map_err(named)?.len();
            file.persist(&path).map_err(|error| named(error.error))?;
            if let Some(directory) = path.parent() {
                sync_directory(directory).map_err(named)?;
            }
            let sha256 = hex(hash.finish().as_ref());
            Ok(Kept { size, stored, sha256 })
        })
        .await
    }

    /// Writes what waits, behind what is there already.
    fn take(&mut self) -> impl FnOnce() -> Result<Open, StorageError> + Send + 'static {
        let (waiting, open, under_way) = (std::mem::take(&mut self.waiting), self.file.take(), self.under_way.clone());
        self.octets = 0;
        move || {
            let named = |error: io::Error| StorageError::file(&under_way, &error);
            let mut open = match open {
                Some(open) => open,
                None => {
                    let encoder = zstd::Encoder::new(NamedTempFile::new_in(&under_way).map_err(named)?, LEVEL).map_err(named)?;
                    Open { encoder, hash: digest::Context::new(&SHA256), size: 0 }
                }
            };
            for piece in waiting {
                open.hash.update(&piece);
                open.encoder.write_all(&piece).map_err(named)?;
                open.size += piece.len() as u64;
            }
            Ok(open)
        }
    }
}

/// Reads a blob, piece by piece.
pub struct BlobReader {
    path: PathBuf,
    /// Until its end, or an error.
    decoder: Option<zstd::Decoder<'static, io::BufReader<File>>>,
}

impl BlobReader {
    /// The next piece, of at most 1 MiB; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was written.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        let Some(mut decoder) = self.decoder.take() else { return Ok(None) };
        let path = self.path.clone();
        let (decoder, piece) = blocking(move || {
            let mut piece = Vec::new();
            let read = decoder.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            read.map_err(|error| StorageError::file(&path, &error))?;
            Ok((decoder, piece))
        })
        .await?;
        if piece.is_empty() {
            return Ok(None);
        }
        self.decoder = Some(decoder);
        Ok(Some(piece.into()))
    }
}
