//! Whose data a folder holds. A member that came up with another's would keep the other's promises as
//! its own, and count twice.

use std::io::ErrorKind;

use conclave_protocol::ids::ServerId;
use thiserror::Error;

use crate::{
    StorageError,
    fs::{self, Fs},
    name::OWNER,
    record::{self, HEADER_LEN_BYTES, HeaderError},
    whole,
};

const MAGIC: [u8; 8] = *b"CNCLOWNR";
const VERSION: u32 = 1;

/// Bytes of a file that are looked at.
const FILE_LEN_BYTES_MAX: u64 = 4096;

/// Why a member does not take a folder for its own.
#[derive(Debug, Error)]
pub enum OwnerError {
    /// The folder holds another member's data.
    #[error(
        "{file} says that the data beside it is that of member {owner}, and this is member {me}: is \
         myid right, and dataDir? Nothing was touched. Where member {owner} is given up for good, \
         and member {me} is to go on with its data, remove {file}"
    )]
    Another {
        /// The file that says so.
        file: String,
        /// Whose data it is.
        owner: ServerId,
        /// Who came for it.
        me: ServerId,
    },
    /// The disk fails, or the file is of a later version.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Whose data a folder holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Whose {
    /// That of the member that asked.
    Mine,
    /// Nothing readable says so: there is no data, or it is older than this file.
    Unknown,
}

/// Checks that `dir` holds no other member's data. Changes nothing.
///
/// # Errors
///
/// [`OwnerError::Another`] when it does.
pub fn check<F: Fs>(fs: &F, dir: &str, me: ServerId) -> Result<Whose, OwnerError> {
    let file = path(dir);
    let bytes = match fs.open(&file).and_then(|file| fs::read_all(&file, FILE_LEN_BYTES_MAX)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Whose::Unknown),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => return Ok(Whose::Unknown),
        Err(error) => return Err(StorageError::io("read", &file, error).into()),
    };
    if bytes.len() != HEADER_LEN_BYTES {
        return Ok(Whose::Unknown);
    }
    match record::read_header(&bytes, MAGIC, VERSION) {
        Ok(id) if id == me.0.into() => Ok(Whose::Mine),
        Ok(id) => match u8::try_from(id) {
            Ok(id) => Err(OwnerError::Another { file, owner: ServerId(id), me }),
            Err(_) => Ok(Whose::Unknown),
        },
        Err(HeaderError::Bad) => Ok(Whose::Unknown),
        Err(HeaderError::Version(got)) => {
            Err(StorageError::Version { file, got, known: VERSION }.into())
        }
    }
}

/// Writes that `dir` holds the data of `me`; durable when it returns.
///
/// # Errors
///
/// [`StorageError`]: it says so, or what it said before.
pub fn claim<F: Fs>(fs: &F, dir: &str, me: ServerId) -> Result<(), StorageError> {
    whole::replace(fs, dir, &path(dir), &record::header(MAGIC, VERSION, me.0.into()))
}

fn path(dir: &str) -> String {
    format!("{dir}/{OWNER}")
}
