//! Requests written straight into the bytes that go out, and of the answers no more than is needed: the load
//! generator must cost less than what it measures.

use bytes::{Buf, BufMut, BytesMut};
use conclave_protocol::{
    connect::{ConnectRequest, ConnectResponse},
    frame,
    ids::{SessionId, Xid},
    jute::{DecodeError, Write},
    opcode::OpCode,
    zxid::Zxid,
};

/// Bytes of a reply's header: xid, zxid, error.
const REPLY_HEADER_LEN_BYTES: usize = 16;

/// Bytes of a frame's length.
const PREFIX_LEN_BYTES: usize = 4;

/// The xid of a ping.
pub(super) const PING: i32 = -2;

/// The xid of a watch event.
pub(super) const EVENT: i32 = -1;

/// What is needed of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    /// The number of the request, or [`PING`] or [`EVENT`].
    pub(super) xid: i32,
    /// 0 for none.
    pub(super) error: i32,
}

/// Takes the first whole frame off `bytes` and returns its header; `None` when more must come. A frame too short
/// for a header answers no request.
pub(super) fn take_answer(bytes: &mut BytesMut) -> Option<Answer> {
    let len = frame_len(bytes)?;
    if len < REPLY_HEADER_LEN_BYTES {
        return Some(Answer { xid: i32::MIN, error: 0 });
    }
    if bytes.len() < PREFIX_LEN_BYTES + len {
        return None;
    }
    bytes.advance(PREFIX_LEN_BYTES);
    let xid = i32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
    let error = i32::from_be_bytes(bytes[12..16].try_into().expect("four bytes"));
    bytes.advance(len);
    Some(Answer { xid, error })
}

/// Takes the answer to the connect request off `bytes`; `None` when more must come.
pub(super) fn take_granted(bytes: &mut BytesMut) -> Option<Result<ConnectResponse, DecodeError>> {
    let len = frame_len(bytes)?;
    if bytes.len() < PREFIX_LEN_BYTES + len {
        return None;
    }
    bytes.advance(PREFIX_LEN_BYTES);
    Some(ConnectResponse::decode(bytes.split_to(len).freeze()))
}

fn frame_len(bytes: &BytesMut) -> Option<usize> {
    let prefix = bytes.get(..PREFIX_LEN_BYTES)?;
    Some(u32::from_be_bytes(prefix.try_into().expect("four bytes")) as usize)
}

/// Appends the wish for a new session.
pub(super) fn put_connect(out: &mut BytesMut, timeout_ms: i32) {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session: SessionId::NONE,
        password: Some(bytes::Bytes::from_static(&[0; 16])),
        read_only: Some(false),
    };
    frame::put_frame(out, |out| request.encode(out));
}

fn put(out: &mut BytesMut, xid: i32, opcode: OpCode, body: impl FnOnce(&mut BytesMut)) {
    frame::put_frame(out, |out| {
        out.put_i32(xid);
        out.put_i32(opcode.to_wire());
        body(out);
    });
}

/// Appends a create of a persistent znode with the open list.
pub(super) fn put_create(out: &mut BytesMut, xid: i32, path: &str, data: &[u8]) {
    put(out, xid, OpCode::Create, |out| put_create_body(out, path, data));
}

fn put_create_body(out: &mut BytesMut, path: &str, data: &[u8]) {
    const ALL: i32 = 31;
    const PERSISTENT: i32 = 0;
    out.put_buffer(Some(path.as_bytes()));
    out.put_buffer(Some(data));
    out.put_i32(1);
    out.put_i32(ALL);
    out.put_buffer(Some(b"world"));
    out.put_buffer(Some(b"anyone"));
    out.put_i32(PERSISTENT);
}

/// Appends a multi that creates the znodes of all `paths`.
pub(super) fn put_creates(
    out: &mut BytesMut,
    xid: i32,
    paths: impl Iterator<Item = String>,
    data: &[u8],
) {
    const NO_ERROR: i32 = -1;
    put(out, xid, OpCode::Multi, |out| {
        for path in paths {
            out.put_i32(OpCode::Create.to_wire());
            out.put_bool(false);
            out.put_i32(NO_ERROR);
            put_create_body(out, &path, data);
        }
        out.put_i32(-1);
        out.put_bool(true);
        out.put_i32(NO_ERROR);
    });
}

/// Appends a setData of any version.
pub(super) fn put_set(out: &mut BytesMut, xid: i32, path: &str, data: &[u8]) {
    put(out, xid, OpCode::SetData, |out| {
        out.put_buffer(Some(path.as_bytes()));
        out.put_buffer(Some(data));
        out.put_i32(-1);
    });
}

/// Appends a getData.
pub(super) fn put_get(out: &mut BytesMut, xid: i32, path: &str, watch: bool) {
    put(out, xid, OpCode::GetData, |out| {
        out.put_buffer(Some(path.as_bytes()));
        out.put_bool(watch);
    });
}

/// Appends a delete of any version.
pub(super) fn put_delete(out: &mut BytesMut, xid: i32, path: &str) {
    put(out, xid, OpCode::Delete, |out| {
        out.put_buffer(Some(path.as_bytes()));
        out.put_i32(-1);
    });
}

/// Appends a sync: what is read behind it is as new as what others wrote before.
pub(super) fn put_sync(out: &mut BytesMut, xid: i32) {
    put(out, xid, OpCode::Sync, |out| out.put_buffer(Some(b"/")));
}

/// Appends a ping.
pub(super) fn put_ping(out: &mut BytesMut) {
    put(out, Xid::PING.0, OpCode::Ping, |_| {});
}

/// Appends the end of the session.
pub(super) fn put_close(out: &mut BytesMut, xid: i32) {
    put(out, xid, OpCode::CloseSession, |_| {});
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use conclave_protocol::{
        jute::Reader,
        multi::Op,
        request::{Request, RequestHeader},
        response::{ReplyHeader, Response},
    };

    use super::*;

    /// Decodes what `put` wrote by the protocol's own decoder.
    fn decoded(put: impl FnOnce(&mut BytesMut)) -> (i32, Request) {
        let mut out = BytesMut::new();
        put(&mut out);
        let frame = frame::decode_frame(&mut out, 1 << 20).unwrap().unwrap();
        assert!(out.is_empty());
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader).unwrap();
        let opcode = OpCode::from_wire(header.opcode).unwrap();
        (header.xid.0, Request::decode(opcode, reader.into_rest()).unwrap())
    }

    #[test]
    fn requests_are_what_the_protocol_takes_them_for() {
        let (xid, create) = decoded(|out| put_create(out, 7, "/a", b"x"));
        let Request::Create(create) = create else { panic!("{create:?}") };
        assert_eq!((xid, create.path.as_str(), create.flags), (7, Some("/a"), 0));
        assert_eq!(create.data, Some(Bytes::from_static(b"x")));
        assert_eq!(create.acl.unwrap().len(), 1);
        let paths = ["/a".to_owned(), "/b".to_owned()];
        let (_, multi) = decoded(|out| put_creates(out, 8, paths.into_iter(), b"x"));
        let Request::Multi(ops) = multi else { panic!("{multi:?}") };
        let created: Vec<_> = ops.iter().map(|op| op.path().as_str().unwrap()).collect();
        assert_eq!(created, ["/a", "/b"]);
        assert!(ops.iter().all(|op| matches!(op, Op::Create(_))));
        let (_, set) = decoded(|out| put_set(out, 9, "/a", b"y"));
        let data = Some(Bytes::from_static(b"y"));
        assert_eq!(set, Request::SetData { path: "/a".into(), data, version: -1 });
        let (_, get) = decoded(|out| put_get(out, 10, "/a", true));
        assert_eq!(get, Request::GetData { path: "/a".into(), watch: true });
        let (_, delete) = decoded(|out| put_delete(out, 11, "/a"));
        assert_eq!(delete, Request::Delete { path: "/a".into(), version: -1 });
        assert_eq!(decoded(|out| put_sync(out, 12)), (12, Request::Sync { path: "/".into() }));
        assert_eq!(decoded(put_ping), (PING, Request::Ping));
        assert_eq!(decoded(|out| put_close(out, 13)), (13, Request::CloseSession));
    }

    #[test]
    fn answers_come_out_one_by_one_however_their_bytes_come() {
        let mut all = BytesMut::new();
        for (xid, error, body) in [(1, 0, Response::Empty), (2, -101, Response::Empty)] {
            frame::put_frame(&mut all, |out| {
                ReplyHeader { xid: Xid(xid), zxid: Zxid::from_wire(5), error }.encode(out);
                body.encode(out);
            });
        }
        let (mut bytes, mut answers) = (BytesMut::new(), Vec::new());
        for byte in all {
            bytes.extend_from_slice(&[byte]);
            answers.extend(take_answer(&mut bytes));
        }
        assert_eq!(answers, [Answer { xid: 1, error: 0 }, Answer { xid: 2, error: -101 }]);
    }
}
