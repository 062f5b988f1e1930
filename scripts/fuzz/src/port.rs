//! The client port's own splitter, which skips what is too long instead of closing the connection.

use bytes::Bytes;
use conclave_server::net::frames::{Frames, Next};

use crate::{Target, allocation::Limit, client};

/// Bytes of a client in pieces: the first byte says in which.
pub const FRAMES: Target = Target { name: "port_frames", run: frames, seeds: client::FRAMES.seeds };

/// Longest frame of the target.
const FRAME_LEN_BYTES_MAX: usize = 64;

/// What has come is kept once, in a buffer that grows by doubling.
const LIMIT: Limit = Limit { per_byte: 4, base_bytes: 4 << 10 };

fn frames(input: &[u8]) {
    let Some((piece, stream)) = input.split_first() else { return };
    let whole = split(stream, stream.len().max(1));
    let pieces = split(stream, usize::from(*piece).max(1));
    assert_eq!(whole, pieces, "the pieces in which bytes come make no difference");
}

/// Returns what is found, until an error.
fn split(stream: &[u8], piece: usize) -> (Vec<Next>, bool) {
    let (mut frames, mut found) = (Frames::default(), Vec::new());
    for piece in stream.chunks(piece) {
        LIMIT.hold(stream.len(), || frames.push(piece));
        loop {
            match LIMIT.hold(stream.len(), || frames.next(FRAME_LEN_BYTES_MAX)) {
                Ok(Next::Nothing) => break,
                Ok(Next::Frame(frame)) => found.push(Next::Frame(Bytes::copy_from_slice(&frame))),
                Ok(next) => found.push(next),
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}
