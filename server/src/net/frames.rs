//! From a client's bytes to its frames, and past those that are too long.

use std::{cell::RefCell, io};

use bytes::{Buf, Bytes, BytesMut};
use conclave_protocol::{
    frame::{self, FrameError},
    request::RequestHeader,
};
use tokio::net::tcp::OwnedReadHalf;

/// Bytes by which a frame may be too long and is still skipped, so that its client keeps its connection;
/// beyond, the length is no length.
pub const SKIPPED_LEN_BYTES_MAX: usize = 64 << 20;

/// Bytes read from a socket at a time, at most.
const READ_LEN_BYTES: usize = 64 << 10;

thread_local! {
    /// What has just been read, until it is copied to where it is kept: so a connection that says nothing has no
    /// buffer, and what it said takes no more room than it needs.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_LEN_BYTES].into());
}

const PREFIX_LEN_BYTES: usize = 4;

/// What is next in a client's bytes.
#[derive(Debug, Eq, PartialEq)]
pub enum Next {
    /// A frame within the limit.
    Frame(Bytes),
    /// The header of a request whose frame is longer; the rest is skipped as it comes.
    TooLong(Bytes),
    /// More must come first.
    Nothing,
}

/// A client's bytes on their way in.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: BytesMut,
    /// Bytes still to come of a frame that is too long.
    skipped_len_bytes: usize,
}

impl Frames {
    /// Reads what has come; returns false at the end.
    pub async fn read(&mut self, socket: &OwnedReadHalf) -> bool {
        if self.buffer.is_empty() {
            // Lets go of what its frames were cut from.
            self.buffer = BytesMut::new();
        }
        loop {
            if socket.readable().await.is_err() {
                return false;
            }
            let read = SCRATCH.with_borrow_mut(|scratch| {
                let count = socket.try_read(scratch)?;
                self.push(&scratch[..count]);
                io::Result::Ok(count)
            });
            match read {
                Ok(count) => return count > 0,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
    }

    /// Takes what has been read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Gives access to the bytes that are no frames: those of a four-letter word.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Throws away what has come.
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// Returns whether a frame that is too long is still coming.
    pub const fn is_skipping(&self) -> bool {
        self.skipped_len_bytes > 0
    }

    /// Takes the first frame, which must be whole and within the limit.
    pub fn first(&mut self, len_bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
        frame::decode_frame(&mut self.buffer, len_bytes_max)
    }

    /// Takes what is next.
    pub fn next(&mut self, len_bytes_max: usize) -> Result<Next, FrameError> {
        let skipped = self.skipped_len_bytes.min(self.buffer.len());
        self.buffer.advance(skipped);
        self.skipped_len_bytes -= skipped;
        if self.is_skipping() {
            return Ok(Next::Nothing);
        }
        match frame::decode_frame(&mut self.buffer, len_bytes_max) {
            Ok(Some(frame)) => Ok(Next::Frame(frame)),
            Ok(None) => Ok(Next::Nothing),
            Err(FrameError::Length { got, max })
                if usize::try_from(got).is_ok_and(|len| len <= max + SKIPPED_LEN_BYTES_MAX) =>
            {
                if self.buffer.len() < PREFIX_LEN_BYTES + RequestHeader::LEN_BYTES {
                    return Ok(Next::Nothing);
                }
                self.buffer.advance(PREFIX_LEN_BYTES);
                // A copy: a part of the buffer would keep all of it alive.
                let header = Bytes::copy_from_slice(&self.buffer[..RequestHeader::LEN_BYTES]);
                self.buffer.advance(RequestHeader::LEN_BYTES);
                self.skipped_len_bytes = got as usize - RequestHeader::LEN_BYTES;
                Ok(Next::TooLong(header))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 10;

    /// Gives `bytes` in pieces of `piece`, and returns all that is next, until it is an error.
    fn all(bytes: &[u8], piece: usize) -> (Vec<Next>, Result<(), FrameError>) {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            frames.buffer.extend_from_slice(piece);
            loop {
                match frames.next(MAX) {
                    Ok(Next::Nothing) => break,
                    Ok(next) => found.push(next),
                    Err(error) => return (found, Err(error)),
                }
            }
            assert!(frames.buffer.len() <= MAX + PREFIX_LEN_BYTES + piece.len(), "nothing is kept");
        }
        (found, Ok(()))
    }

    fn frame(len_bytes: usize, first: u8) -> Vec<u8> {
        let contents = (0..len_bytes).map(|at| first.wrapping_add(at as u8));
        (len_bytes as u32).to_be_bytes().into_iter().chain(contents).collect()
    }

    #[test]
    fn a_frame_that_is_too_long_is_skipped_however_its_bytes_come() {
        let bytes = [frame(3, 1), frame(MAX + 1, 50), frame(5000, 100), frame(MAX, 7)].concat();
        let expected = [
            Next::Frame(frame(3, 1).split_off(4).into()),
            Next::TooLong(Bytes::from_iter(50..58)),
            Next::TooLong(Bytes::from_iter(100..108)),
            Next::Frame(frame(MAX, 7).split_off(4).into()),
        ];
        for piece in [1, 2, 3, 11, 100, bytes.len()] {
            let (found, result) = all(&bytes, piece);
            assert_eq!(found, expected, "in pieces of {piece}");
            assert_eq!(result, Ok(()));
        }
    }

    #[test]
    fn a_length_that_nobody_would_send_is_an_error() {
        let longest = (MAX + SKIPPED_LEN_BYTES_MAX) as i32;
        for got in [-1, i32::MIN, longest + 1, i32::MAX] {
            let bytes = [&got.to_be_bytes()[..], &[0; 8]].concat();
            assert_eq!(all(&bytes, 4), (vec![], Err(FrameError::Length { got, max: MAX })));
        }
        let (found, result) = all(&[&longest.to_be_bytes()[..], &[0; 8]].concat(), 4);
        assert_eq!((found.len(), result), (1, Ok(())));
    }
}
