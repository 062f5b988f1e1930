//! The framing that log and snapshot share: length (4), checksum (4), payload; big-endian. The
//! checksum covers where the record lies, its length and its payload, so that bytes of another
//! file or place are never taken for a record.

/// Bytes before the payload.
pub(crate) const FRAME_LEN_BYTES: usize = 8;

/// Bytes that a payload may have: what is beyond is refused before anything is reserved.
pub const RECORD_LEN_BYTES_MAX: usize = 64 << 20;

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// What sets the file apart from others: the zxid in its header.
    pub(crate) file: u64,
    /// Where the record begins, in bytes.
    pub(crate) offset: u64,
}

impl Place {
    fn checksum(self, len: u32, payload: &[u8]) -> u32 {
        let mut head = [0; 20];
        head[..8].copy_from_slice(&self.file.to_be_bytes());
        head[8..16].copy_from_slice(&self.offset.to_be_bytes());
        head[16..].copy_from_slice(&len.to_be_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head);
        hasher.update(payload);
        hasher.finalize()
    }
}

/// Appends a record whose payload `write` appends.
pub(crate) fn frame(out: &mut Vec<u8>, place: Place, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_LEN_BYTES]);
    write(out);
    let payload_start = start + FRAME_LEN_BYTES;
    let len = out.len() - payload_start;
    assert!(len <= RECORD_LEN_BYTES_MAX, "a record of {len} bytes could not be read again");
    let checksum = place.checksum(len as u32, &out[payload_start..]);
    out[start..start + 4].copy_from_slice(&(len as u32).to_be_bytes());
    out[start + 4..payload_start].copy_from_slice(&checksum.to_be_bytes());
}

/// Returns the length that the frame at the front of `bytes` claims, if it may be one.
pub(crate) fn claimed_len(bytes: &[u8]) -> Option<usize> {
    let len = u32::from_be_bytes(bytes.get(..4)?.try_into().expect("four bytes")) as usize;
    (len > 0 && len <= RECORD_LEN_BYTES_MAX).then_some(len)
}

/// Returns the payload of the record at the front of `bytes`, or `None` when it is cut off or not
/// what was written.
pub(crate) fn payload(bytes: &[u8], place: Place) -> Option<&[u8]> {
    let len = claimed_len(bytes)?;
    let payload = bytes.get(FRAME_LEN_BYTES..FRAME_LEN_BYTES + len)?;
    let checksum = u32::from_be_bytes(bytes[4..8].try_into().expect("four bytes"));
    (place.checksum(len as u32, payload) == checksum).then_some(payload)
}

/// Bytes of the header of a log or snapshot.
pub(crate) const HEADER_LEN_BYTES: usize = 24;

/// Why a header is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeaderError {
    /// Cut off, or not what was written.
    Bad,
    /// Written by a later version.
    Version(u32),
}

/// Returns a header: magic (8), version (4), zxid (8), checksum (4).
pub(crate) fn header(magic: [u8; 8], version: u32, zxid: u64) -> [u8; HEADER_LEN_BYTES] {
    let mut bytes = [0; HEADER_LEN_BYTES];
    bytes[..8].copy_from_slice(&magic);
    bytes[8..12].copy_from_slice(&version.to_be_bytes());
    bytes[12..20].copy_from_slice(&zxid.to_be_bytes());
    let checksum = crc32fast::hash(&bytes[..20]);
    bytes[20..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// Returns the zxid of the header at the front of `bytes`.
pub(crate) fn read_header(bytes: &[u8], magic: [u8; 8], known: u32) -> Result<u64, HeaderError> {
    let bytes = bytes.get(..HEADER_LEN_BYTES).ok_or(HeaderError::Bad)?;
    let checksum = u32::from_be_bytes(bytes[20..].try_into().expect("four bytes"));
    if bytes[..8] != magic || crc32fast::hash(&bytes[..20]) != checksum {
        return Err(HeaderError::Bad);
    }
    match u32::from_be_bytes(bytes[8..12].try_into().expect("four bytes")) {
        version if version == known => {
            Ok(u64::from_be_bytes(bytes[12..20].try_into().expect("eight bytes")))
        }
        version => Err(HeaderError::Version(version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { file: 7, offset: 24 };

    #[test]
    fn a_record_is_valid_in_its_own_place_only() {
        let mut bytes = Vec::new();
        frame(&mut bytes, PLACE, |out| out.extend_from_slice(b"payload"));
        assert_eq!(payload(&bytes, PLACE), Some(&b"payload"[..]));
        assert_eq!(payload(&bytes, Place { offset: 25, ..PLACE }), None);
        assert_eq!(payload(&bytes, Place { file: 8, ..PLACE }), None);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_seen() {
        let mut bytes = Vec::new();
        frame(&mut bytes, PLACE, |out| out.extend_from_slice(b"payload"));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(payload(&bytes, PLACE), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..bytes.len() {
            assert_eq!(payload(&bytes[..len], PLACE), None, "cut to {len}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_no_record() {
        let mut bytes = vec![0; 64];
        bytes[..4].copy_from_slice(&(RECORD_LEN_BYTES_MAX as u32 + 1).to_be_bytes());
        assert_eq!(claimed_len(&bytes), None);
    }
}
