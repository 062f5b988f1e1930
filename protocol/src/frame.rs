//! Frames of the client port: a length of four bytes, then that many; and four-letter words, which
//! come without a length.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Longest frame accepted where nothing else is configured (`jute.maxbuffer`), in bytes.
pub const FRAME_LEN_BYTES_MAX_DEFAULT: usize = 0xf_ffff;

const LEN_BYTES: usize = 4;

/// Why the bytes of a connection are no frames; there is no way to find the next one.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum FrameError {
    /// The length is negative or beyond the limit.
    #[error("frame of {got} bytes is not within 0..={max}")]
    Length {
        /// The length claimed.
        got: i32,
        /// The greatest accepted.
        max: usize,
    },
}

/// Takes the first whole frame off `buffer`; `None` when more must come. Nothing is reserved for a
/// frame before its bytes are there.
///
/// # Errors
///
/// [`FrameError::Length`], as soon as the length is there.
pub fn decode_frame(
    buffer: &mut BytesMut,
    frame_len_bytes_max: usize,
) -> Result<Option<Bytes>, FrameError> {
    if buffer.len() < LEN_BYTES {
        return Ok(None);
    }
    let got = i32::from_be_bytes(buffer[..LEN_BYTES].try_into().expect("four bytes"));
    let len = match usize::try_from(got) {
        Ok(len) if len <= frame_len_bytes_max => len,
        _ => return Err(FrameError::Length { got, max: frame_len_bytes_max }),
    };
    if buffer.len() < LEN_BYTES + len {
        return Ok(None);
    }
    buffer.advance(LEN_BYTES);
    Ok(Some(buffer.split_to(len).freeze()))
}

/// Appends a frame whose contents `body` writes in place.
///
/// # Panics
///
/// When the contents are longer than an `i32` can say.
pub fn put_frame(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    body(out);
    let len = i32::try_from(out.len() - start - LEN_BYTES).expect("frames are bounded by memory");
    out[start..start + LEN_BYTES].copy_from_slice(&len.to_be_bytes());
}

/// The administrative words that a connection may begin with instead of a frame.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[allow(missing_docs, reason = "the names are ZooKeeper's own and are all there is to say")]
pub enum Word {
    Conf,
    Cons,
    Crst,
    Dirs,
    Dump,
    Envi,
    Gtmk,
    Hash,
    Isro,
    Lead,
    Mntr,
    Ruok,
    Srst,
    Srvr,
    Stat,
    Stmk,
    Wchc,
    Wchp,
    Wchs,
}

impl Word {
    /// Every word, in the order of the alphabet.
    pub const ALL: [Self; 19] = [
        Self::Conf,
        Self::Cons,
        Self::Crst,
        Self::Dirs,
        Self::Dump,
        Self::Envi,
        Self::Gtmk,
        Self::Hash,
        Self::Isro,
        Self::Lead,
        Self::Mntr,
        Self::Ruok,
        Self::Srst,
        Self::Srvr,
        Self::Stat,
        Self::Stmk,
        Self::Wchc,
        Self::Wchp,
        Self::Wchs,
    ];

    /// Returns the word's four letters.
    pub const fn letters(self) -> &'static str {
        match self {
            Self::Conf => "conf",
            Self::Cons => "cons",
            Self::Crst => "crst",
            Self::Dirs => "dirs",
            Self::Dump => "dump",
            Self::Envi => "envi",
            Self::Gtmk => "gtmk",
            Self::Hash => "hash",
            Self::Isro => "isro",
            Self::Lead => "lead",
            Self::Mntr => "mntr",
            Self::Ruok => "ruok",
            Self::Srst => "srst",
            Self::Srvr => "srvr",
            Self::Stat => "stat",
            Self::Stmk => "stmk",
            Self::Wchc => "wchc",
            Self::Wchp => "wchp",
            Self::Wchs => "wchs",
        }
    }
}

/// Returns the word that these bytes are, if they are one.
pub fn four_letter_word(bytes: &[u8; 4]) -> Option<Word> {
    Word::ALL.into_iter().find(|word| word.letters().as_bytes() == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_limit_is_refused_at_once() {
        for got in [-1, i32::MIN, 11, i32::MAX] {
            let mut buffer = BytesMut::from(&got.to_be_bytes()[..]);
            assert_eq!(decode_frame(&mut buffer, 10), Err(FrameError::Length { got, max: 10 }));
        }
    }

    #[test]
    fn a_frame_waits_for_its_last_byte() {
        let mut whole = BytesMut::new();
        put_frame(&mut whole, |out| out.put_slice(b"abc"));
        for len in 0..whole.len() {
            assert_eq!(decode_frame(&mut BytesMut::from(&whole[..len]), 10), Ok(None));
        }
        assert_eq!(decode_frame(&mut whole, 10), Ok(Some(Bytes::from_static(b"abc"))));
        assert!(whole.is_empty());
    }
}
