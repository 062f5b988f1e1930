//! The primitives of every record: big-endian integers and length-prefixed buffers. A reader
//! believes no length before it has checked it against what is there.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::text::Text;

/// Why bytes are not the record they should be. The sender's fault.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The record ends before its last field.
    #[error("record ends {missing} bytes early")]
    Short {
        /// Bytes that are not there.
        missing: usize,
    },
    /// A length is negative (other than the null of -1) or beyond the bytes that are there.
    #[error("length {got} is not within 0..={max}")]
    Length {
        /// The length claimed.
        got: i64,
        /// The greatest that could be true.
        max: usize,
    },
    /// A number that stands for a kind names none.
    #[error("{what} has no kind {got}")]
    Kind {
        /// What was being read.
        what: &'static str,
        /// The number that came.
        got: i64,
    },
    /// A checksum does not match.
    #[error("checksum of {what} does not match")]
    Checksum {
        /// What was being read.
        what: &'static str,
    },
}

/// Reads fields off the front of a buffer; buffers it returns share the memory.
#[derive(Clone, Debug)]
pub struct Reader {
    rest: Bytes,
}

impl Reader {
    /// Starts at the front of `bytes`.
    pub const fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// Returns what was not read.
    pub fn into_rest(self) -> Bytes {
        self.rest
    }

    /// Returns the number of bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes `len` bytes without copying.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`] when fewer are there.
    pub fn take(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        if self.rest.len() < len {
            return Err(DecodeError::Short { missing: len - self.rest.len() });
        }
        Ok(self.rest.split_to(len))
    }

    fn need(&self, len: usize) -> Result<(), DecodeError> {
        match len.checked_sub(self.rest.len()) {
            None | Some(0) => Ok(()),
            Some(missing) => Err(DecodeError::Short { missing }),
        }
    }

    /// Reads one byte.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.need(1)?;
        Ok(self.rest.get_u8())
    }

    /// Reads a byte as a boolean; any value but zero is true, as in ZooKeeper.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// Reads a signed 32-bit integer.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.need(4)?;
        Ok(self.rest.get_i32())
    }

    /// Reads an unsigned 32-bit integer.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.need(4)?;
        Ok(self.rest.get_u32())
    }

    /// Reads a signed 64-bit integer.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.need(8)?;
        Ok(self.rest.get_i64())
    }

    /// Reads an unsigned 64-bit integer.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.need(8)?;
        Ok(self.rest.get_u64())
    }

    /// Reads a length-prefixed buffer without copying; length -1 is the protocol's null.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Length`] or [`DecodeError::Short`].
    pub fn buffer(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let len = self.i32()?;
        if len == -1 {
            return Ok(None);
        }
        // Checked before use: the length is the peer's word, not ours.
        match usize::try_from(len) {
            Ok(len) if len <= self.rest.len() => self.take(len).map(Some),
            _ => Err(DecodeError::Length { got: len.into(), max: self.rest.len() }),
        }
    }

    /// Reads a string without checking its encoding.
    ///
    /// # Errors
    ///
    /// As [`Self::buffer`].
    pub fn text(&mut self) -> Result<Text, DecodeError> {
        Ok(self.buffer()?.map_or(Text::NULL, Text::from_bytes))
    }

    /// Reads a vector of records that each take at least `element_len_min` bytes; null is `None`.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Length`] before anything is reserved, or what an element gives.
    pub fn vector<T>(
        &mut self,
        element_len_min: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        assert!(element_len_min > 0, "an element of no bytes would let a count be any number");
        let count = self.i32()?;
        if count == -1 {
            return Ok(None);
        }
        let count_max = self.rest.len() / element_len_min;
        match usize::try_from(count) {
            Ok(count) if count <= count_max => {
                let mut elements = Vec::with_capacity(count);
                for _ in 0..count {
                    elements.push(element(self)?);
                }
                Ok(Some(elements))
            }
            _ => Err(DecodeError::Length { got: count.into(), max: count_max }),
        }
    }
}

/// Appends fields to a buffer.
pub trait Write: BufMut {
    /// Appends a boolean as one byte.
    fn put_bool(&mut self, value: bool) {
        self.put_u8(u8::from(value));
    }

    /// Appends a length-prefixed buffer; `None` is the protocol's null.
    ///
    /// # Panics
    ///
    /// When the buffer is longer than an `i32` can say; every maker of records bounds them far below.
    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.put_i32(-1),
            Some(bytes) => {
                self.put_i32(i32::try_from(bytes.len()).expect("buffers are bounded by a frame"));
                self.put_slice(bytes);
            }
        }
    }

    /// Appends a string.
    fn put_text(&mut self, value: &Text) {
        self.put_buffer(value.as_bytes().map(|bytes| &bytes[..]));
    }

    /// Appends a vector, each element by `element`; `None` is the protocol's null.
    ///
    /// # Panics
    ///
    /// When there are more elements than an `i32` can say.
    fn put_vector<T>(&mut self, values: Option<&[T]>, mut element: impl FnMut(&mut Self, &T))
    where
        Self: Sized,
    {
        match values {
            None => self.put_i32(-1),
            Some(values) => {
                self.put_i32(i32::try_from(values.len()).expect("vectors are bounded by a frame"));
                for value in values {
                    element(self, value);
                }
            }
        }
    }
}

impl Write for BytesMut {}
impl Write for Vec<u8> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_beyond_the_record_reserve_nothing() {
        for claimed in [i32::MAX, 5, -2, i32::MIN] {
            let mut bytes = Vec::new();
            bytes.put_i32(claimed);
            bytes.put_slice(b"abcd");
            let got = Reader::new(bytes.clone().into()).buffer();
            assert_eq!(got, Err(DecodeError::Length { got: claimed.into(), max: 4 }));
            let got = Reader::new(bytes.into()).vector(4, Reader::i32);
            assert_eq!(got, Err(DecodeError::Length { got: claimed.into(), max: 1 }));
        }
    }

    #[test]
    fn null_and_empty_buffers_are_kept_apart() {
        let mut bytes = Vec::new();
        bytes.put_buffer(None);
        bytes.put_buffer(Some(b""));
        let mut reader = Reader::new(bytes.into());
        assert_eq!(reader.buffer(), Ok(None));
        assert_eq!(reader.buffer(), Ok(Some(Bytes::new())));
    }
}
