//! The epochs file: what a member has promised and followed, replaced whole or not at all.

use conclave_protocol::{
    peer::zab::{Epochs, Standing},
    zxid::{Epoch, Zxid},
};

use crate::{
    StorageError,
    fs::{self, Fs},
    name::EPOCHS,
    whole,
};

const MAGIC: [u8; 8] = *b"CNCLEPOC";
const VERSION: u32 = 1;
const LEN_BYTES: usize = 25;

/// Bytes of a file that are looked at.
const FILE_LEN_BYTES_MAX: u64 = 4096;

/// Replaces the epochs of `dir`; durable when it returns.
///
/// # Errors
///
/// [`StorageError`]: the old or the new ones are there, whole.
pub fn write<F: Fs>(fs: &F, dir: &str, epochs: Epochs) -> Result<(), StorageError> {
    whole::replace(fs, dir, &path(dir), &encode(epochs))
}

/// Reads the epochs of `dir`; `None` when it has none.
///
/// # Errors
///
/// [`StorageError::Damaged`] when the file is not what was written.
pub fn read<F: Fs>(fs: &F, dir: &str) -> Result<Option<Epochs>, StorageError> {
    let path = path(dir);
    let bytes = match fs.open(&path).and_then(|file| fs::read_all(&file, FILE_LEN_BYTES_MAX)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => Vec::new(),
        Err(error) => return Err(StorageError::io("read", &path, error)),
    };
    decode(&bytes).map(Some).map_err(|got| match got {
        Some(got) => StorageError::Version { file: path, got, known: VERSION },
        None => StorageError::damaged(&path, 0, Zxid::ZERO, HINT),
    })
}

pub(crate) fn path(dir: &str) -> String {
    format!("{dir}/{EPOCHS}")
}

/// What to do about an epochs file that is lost.
pub(crate) const HINT: &str = "the promises of this member are lost; \
    set it aside so that an established leader repairs this member";

fn encode(epochs: Epochs) -> [u8; LEN_BYTES] {
    let mut bytes = [0; LEN_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_be_bytes());
    bytes[12..16].copy_from_slice(&epochs.accepted.0.to_be_bytes());
    bytes[16..20].copy_from_slice(&epochs.current.0.to_be_bytes());
    bytes[20] = match epochs.standing {
        Standing::Repairing => 0,
        Standing::Whole => 1,
    };
    let checksum = crc32fast::hash(&bytes[..21]);
    bytes[21..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// Reads the epochs, or returns the version when it is another.
fn decode(bytes: &[u8]) -> Result<Epochs, Option<u32>> {
    let bytes: &[u8; LEN_BYTES] = bytes.try_into().map_err(|_| None)?;
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    if bytes[..8] != MAGIC || word(21) != crc32fast::hash(&bytes[..21]) {
        return Err(None);
    }
    if word(8) != VERSION {
        return Err(Some(word(8)));
    }
    let standing = match bytes[20] {
        0 => Standing::Repairing,
        1 => Standing::Whole,
        _ => return Err(None),
    };
    Ok(Epochs { accepted: Epoch(word(12)), current: Epoch(word(16)), standing })
}
