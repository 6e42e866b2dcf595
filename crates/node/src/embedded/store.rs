//! The embedded chain's blocks on disk.
//!
//! One file, written at its end only: a head that names the rules, then a record per block after
//! the premine: length (`u32`, little endian), block (consensus serialisation), and the first
//! four bytes of the block bytes' double SHA-256. A record is on disk (fsync) before its block
//! counts. A record that was cut off by a crash is taken away on open.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{BlockHash, Weight};
use thiserror::Error;

use super::difficulty::Difficulty;

/// Name of the file in the chain's directory.
const FILE: &str = "chain.dat";
/// What the file begins with; the last byte is the format's version.
const MAGIC: [u8; 8] = *b"hfchain\x01";
const HEAD: usize = MAGIC.len() + 4 + 8 + 32;
/// No valid block is longer.
const LONGEST: u32 = Weight::MAX_BLOCK.to_wu() as u32;

/// Why the chain's file cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Another process has the file open.
    #[error("{} is in use by another process; stop it or choose another data directory", .0.display())]
    InUse(PathBuf),
    /// The file is not a chain, or of another version.
    #[error("{} is not a chain file of this version; move it away to start a new chain", .0.display())]
    Foreign(PathBuf),
    /// The file was made under other rules.
    #[error("{} was made with another block interval or easiest work; use those settings or move the file away to start a new chain", .0.display())]
    OtherSettings(PathBuf),
    /// A record in the middle is damaged.
    #[error("{} is damaged at byte {offset}, with blocks after it; restore it from a copy or move it away to start a new chain", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the bad record begins.
        offset: u64,
    },
}

/// Blocks in the order in which they were added.
pub(super) enum Store {
    Memory(Vec<Vec<u8>>),
    File(ChainFile),
}

/// An open, locked chain file.
pub(super) struct ChainFile {
    path: PathBuf,
    file: File,
    /// Where each block's bytes begin, and how many there are.
    places: Vec<(u64, u32)>,
    end: u64,
}

impl Store {
    /// Adds a block; when this returns, the block survives a crash.
    pub(super) fn append(&mut self, block: &[u8]) -> io::Result<()> {
        match self {
            Self::Memory(blocks) => blocks.push(block.to_vec()),
            Self::File(file) => file.append(block)?,
        }
        Ok(())
    }

    /// The block that was added as the `index`th, counted from 0.
    pub(super) fn block(&mut self, index: usize) -> Option<Vec<u8>> {
        match self {
            Self::Memory(blocks) => blocks.get(index).cloned(),
            Self::File(file) => file.read(index),
        }
    }
}

/// Opens the chain's file in `directory`, which is created if need be, and shows every block to
/// `visit`. Gives the store, and the bytes of a torn last record that were cut off.
pub(super) fn open<E: From<StoreError>>(
    directory: &Path,
    difficulty: Difficulty,
    premine_tip: BlockHash,
    visit: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(Store, u64), E> {
    let path = directory.join(FILE);
    let head = head(difficulty, premine_tip);
    let mut file = open_locked(directory, &path)?;
    let length = file_length(&file, &path)?;
    let length = prepare_head(&mut file, length, &head, directory, &path)?;
    let (places, end) = scan(&file, length, &path, visit)?;
    let cut_off = length - end;
    if cut_off > 0 {
        file.set_len(end)
            .and_then(|()| file.sync_all())
            .map_err(|source| io_error("repair", &path, source))?;
    }
    Ok((
        Store::File(ChainFile {
            path,
            file,
            places,
            end,
        }),
        cut_off,
    ))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> StoreError {
    let path = path.to_owned();
    StoreError::Io {
        action,
        path,
        source,
    }
}

fn open_locked(directory: &Path, path: &Path) -> Result<File, StoreError> {
    std::fs::create_dir_all(directory).map_err(|source| io_error("create", directory, source))?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|source| io_error("open", path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(io_error("lock", path, source)),
    }
}

fn file_length(file: &File, path: &Path) -> Result<u64, StoreError> {
    let metadata = file
        .metadata()
        .map_err(|source| io_error("read", path, source))?;
    Ok(metadata.len())
}

/// Writes the head of a new file, or of one whose head was cut off; checks any other. Gives the
/// file's length.
fn prepare_head(
    file: &mut File,
    length: u64,
    head: &[u8; HEAD],
    directory: &Path,
    path: &Path,
) -> Result<u64, StoreError> {
    let mut found = Vec::new();
    Read::take(&mut *file, HEAD as u64)
        .read_to_end(&mut found)
        .map_err(|source| io_error("read", path, source))?;
    if found == head {
        return Ok(length);
    }
    if found.len() < HEAD && head.starts_with(&found) {
        start(file, head, directory).map_err(|source| io_error("write", path, source))?;
        return Ok(HEAD as u64);
    }
    if found.starts_with(&MAGIC) {
        return Err(StoreError::OtherSettings(path.to_owned()));
    }
    Err(StoreError::Foreign(path.to_owned()))
}

fn head(difficulty: Difficulty, premine_tip: BlockHash) -> [u8; HEAD] {
    let (interval, easiest) = difficulty.to_numbers();
    let parts: [&[u8]; 4] = [
        &MAGIC,
        &interval.to_le_bytes(),
        &easiest.to_le_bytes(),
        premine_tip.as_byte_array(),
    ];
    let mut head = [0; HEAD];
    for (to, from) in head.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    head
}

fn start(file: &mut File, head: &[u8], directory: &Path) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(head)?;
    file.sync_all()?;
    // The name of a new file is safe only once its directory is.
    File::open(directory)?.sync_all()
}

/// Shows all whole records to `visit`; gives their places, and where the last of them ends.
fn scan<E: From<StoreError>>(
    file: &File,
    length: u64,
    path: &Path,
    mut visit: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(Vec<(u64, u32)>, u64), E> {
    let mut reader = BufReader::new(file);
    let mut places = Vec::new();
    let mut offset = HEAD as u64;
    while offset < length {
        let record = record(&mut reader, length - offset);
        match record.map_err(|source| io_error("read", path, source))? {
            Record::Whole(block) => {
                visit(&block)?;
                places.push((offset + 4, block.len() as u32));
                offset += 8 + block.len() as u64;
            }
            Record::Torn => break,
            Record::Bad => {
                let path = path.to_owned();
                return Err(StoreError::Damaged { path, offset }.into());
            }
        }
    }
    Ok((places, offset))
}

enum Record {
    Whole(Vec<u8>),
    /// It reaches to the end of the file or beyond, as a write that a crash cut off does.
    Torn,
    /// It is wrong and other bytes follow.
    Bad,
}

/// Reads the record at the reader, with `remaining` bytes to the end of the file.
fn record(reader: &mut impl BufRead, remaining: u64) -> io::Result<Record> {
    if remaining < 4 {
        return Ok(Record::Torn);
    }
    let length = u32::from_le_bytes(read_array(reader)?);
    let whole = u64::from(length) + 8;
    match length {
        // A crash may leave zeros where the record should be.
        0 if is_blank(reader)? => return Ok(Record::Torn),
        1..=LONGEST if remaining < whole => return Ok(Record::Torn),
        1..=LONGEST => {}
        _ => return Ok(Record::Bad),
    }
    let mut block = vec![0; length as usize];
    reader.read_exact(&mut block)?;
    let intact = read_array(reader)? == checksum(&block);
    Ok(match (intact, remaining == whole) {
        (true, _) => Record::Whole(block),
        (false, true) => Record::Torn,
        (false, false) => Record::Bad,
    })
}

fn read_array(reader: &mut impl Read) -> io::Result<[u8; 4]> {
    let mut array = [0; 4];
    reader.read_exact(&mut array)?;
    Ok(array)
}

fn is_blank(reader: &mut impl BufRead) -> io::Result<bool> {
    for byte in reader.bytes() {
        if byte? != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn checksum(block: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256d::Hash::hash(block).to_byte_array();
    [a, b, c, d]
}

impl ChainFile {
    fn append(&mut self, block: &[u8]) -> io::Result<()> {
        let length = u32::try_from(block.len()).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(block.len() + 8);
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(block);
        record.extend_from_slice(&checksum(block));
        // An append that failed before may have left bytes behind.
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&record)?;
        self.file.sync_data()?;
        self.places.push((self.end + 4, length));
        self.end += record.len() as u64;
        Ok(())
    }

    fn read(&mut self, index: usize) -> Option<Vec<u8>> {
        let (offset, length) = *self.places.get(index)?;
        let mut block = vec![0; length as usize];
        let read = self
            .file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.read_exact(&mut block));
        if let Err(error) = &read {
            tracing::error!(path = %self.path.display(), %error, "cannot read a block of the embedded chain");
        }
        read.is_ok().then_some(block)
    }
}
