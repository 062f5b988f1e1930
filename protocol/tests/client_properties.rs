//! Goal: no bytes that a client or a server can send make a decoder panic or believe a length, and
//! what is encoded is decoded to the same value.

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    acl::{Acl, Identity, Perms},
    connect::{ConnectRequest, ConnectResponse},
    event::WatchEvent,
    frame::{decode_frame, put_frame},
    jute::Reader,
    multi::Op,
    opcode::OpCode,
    peer::PeerMessage,
    quota::Usage,
    request::{Create, Request, RequestHeader},
    response::{ReplyHeader, Response},
    text::Text,
    txn::{Change, CreateChange, Origin, Owner, QuotaUsage, Txn},
    zxid::Zxid,
};
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Text> {
    prop_oneof![
        Just(Text::NULL),
        "[a-z/]{0,12}".prop_map(Text::from),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Text::from_bytes(bytes.into())),
    ]
}

fn data() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

fn acl() -> impl Strategy<Value = Vec<Acl>> {
    let entry = (any::<i32>(), text(), text()).prop_map(|(perms, scheme, id)| Acl {
        perms: Perms(perms),
        identity: Identity { scheme, id },
    });
    prop::collection::vec(entry, 0..4)
}

fn create() -> impl Strategy<Value = Create> {
    (text(), data(), prop::option::of(acl()), any::<i32>())
        .prop_map(|(path, data, acl, flags)| Create { path, data, acl, flags })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        create().prop_map(Op::Create),
        create().prop_map(Op::Create2),
        (create(), any::<i64>()).prop_map(|(create, ttl_ms)| Op::CreateTtl { create, ttl_ms }),
        (text(), any::<i32>()).prop_map(|(path, version)| Op::Delete { path, version }),
        (text(), data(), any::<i32>()).prop_map(|(path, data, version)| Op::SetData {
            path,
            data,
            version
        }),
        (text(), any::<i32>()).prop_map(|(path, version)| Op::Check { path, version }),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let texts = || prop::collection::vec(text(), 0..4);
    prop_oneof![
        create().prop_map(Request::Create),
        create().prop_map(Request::CreateContainer),
        prop::collection::vec(op(), 0..5).prop_map(Request::Multi),
        (text(), any::<bool>()).prop_map(|(path, watch)| Request::GetData { path, watch }),
        (text(), prop::option::of(acl()), any::<i32>())
            .prop_map(|(path, acl, version)| Request::SetAcl { path, acl, version }),
        (any::<i32>(), text(), data()).prop_map(|(kind, scheme, data)| Request::Auth {
            kind,
            scheme,
            data
        }),
        (any::<u64>(), texts(), texts(), texts(), texts(), texts()).prop_map(
            |(zxid, data, exist, child, persistent, recursive)| Request::SetWatches2 {
                relative_zxid: Zxid(zxid),
                data,
                exist,
                child,
                persistent,
                recursive
            }
        ),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let path = || "/[a-z/]{0,12}";
    let owner = prop_oneof![
        Just(Owner::Persistent),
        any::<i64>().prop_map(|id| Owner::Ephemeral(conclave_protocol::ids::SessionId(id))),
        Just(Owner::Container),
        any::<u64>().prop_map(Owner::Ttl),
    ];
    let create = (path(), data(), acl(), owner, any::<i32>()).prop_map(
        |(path, data, acl, owner, parent_created)| {
            Change::Create(CreateChange { path, data, acl, owner, parent_created })
        },
    );
    let znode = prop_oneof![
        create,
        path().prop_map(|path| Change::Delete { path }),
        (path(), data(), any::<i32>()).prop_map(|(path, data, version)| Change::SetData {
            path,
            data,
            version
        }),
        (path(), acl(), any::<i32>()).prop_map(|(path, acl, aversion)| Change::SetAcl {
            path,
            acl,
            aversion
        }),
    ];
    prop_oneof![
        Just(Change::CloseSession),
        any::<u32>().prop_map(|timeout_ms| Change::AttachSession { timeout_ms }),
        znode.clone(),
        prop::collection::vec(znode, 0..4).prop_map(Change::Multi)
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_a_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        for opcode in OpCode::ALL {
            drop(Request::decode(opcode, bytes.clone()));
            drop(Response::decode(opcode, bytes.clone()));
        }
        drop(ConnectRequest::decode(bytes.clone()));
        drop(ConnectResponse::decode(bytes.clone()));
        drop(Txn::decode(bytes.clone()));
        drop(PeerMessage::decode(bytes.clone()));
        drop(RequestHeader::decode(&mut Reader::new(bytes.clone())));
        drop(ReplyHeader::decode(&mut Reader::new(bytes.clone())));
        drop(WatchEvent::decode(&mut Reader::new(bytes.clone())));
        drop(decode_frame(&mut BytesMut::from(&bytes[..]), 100));
    }

    #[test]
    fn a_request_survives_the_wire(request in request()) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        prop_assert_eq!(Request::decode(request.opcode(), bytes.into()), Ok(request));
    }

    #[test]
    fn a_request_cut_anywhere_is_refused(request in request(), cut in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(Request::decode(request.opcode(), bytes.into()).is_err());
    }

    #[test]
    fn a_txn_survives_the_log(
        change in change(),
        usage in prop::collection::vec(("/[a-z]{0,9}", any::<i64>(), any::<i64>()), 0..3),
        seq in any::<u64>(),
        time_ms in any::<i64>(),
    ) {
        let origin = Origin { server: conclave_protocol::ids::ServerId(3), seq };
        let session = conclave_protocol::ids::SessionId(time_ms);
        let xid = conclave_protocol::ids::Xid(seq as i32);
        let usage = usage.into_iter().map(|(covered, count, bytes)| QuotaUsage {
            covered,
            usage: Usage { count, bytes },
        });
        let txn = Txn { origin, session, xid, time_ms, change, usage: usage.collect() };
        let mut bytes = Vec::new();
        txn.encode(&mut bytes);
        prop_assert_eq!(Txn::decode(bytes.into()), Ok(txn));
    }

    #[test]
    fn frames_come_out_as_they_went_in(bodies in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..50), 0..6), piece in 1..20_usize)
    {
        let mut wire = BytesMut::new();
        for body in &bodies {
            put_frame(&mut wire, |out| out.extend_from_slice(body));
        }
        let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
        for chunk in wire.chunks(piece) {
            buffer.extend_from_slice(chunk);
            while let Ok(Some(frame)) = decode_frame(&mut buffer, 50) {
                got.push(frame.to_vec());
            }
        }
        prop_assert_eq!(got, bodies);
    }
}
