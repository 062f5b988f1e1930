//! What members say to each other, and the txns in it.

use bytes::{BufMut, Bytes, BytesMut};
use conclave_protocol::{
    acl::{Acl, Identity},
    code::ErrorCode,
    ids::{Password, ServerId, SessionId, Xid},
    jute::{DecodeError, Reader},
    peer::{
        PeerMessage,
        forward::{Action, Forwarded},
        frame::{self, HELLO_LEN_BYTES, Hello, VERSION},
        zab::{Message, Stance, Standing, Vote},
    },
    quota::Usage,
    txn::{Change, CreateChange, Entry, Origin, Owner, QuotaUsage, Txn},
    zxid::{Epoch, Zxid},
};

use crate::{Target, allocation::Limit, client::round_trip};

/// A message of any kind.
pub const MESSAGE: Target = Target { name: "peer_message", run: message, seeds: message_seeds };

/// A message of the broadcast protocol.
pub const ZAB: Target = Target { name: "peer_zab", run: zab, seeds: zab_seeds };

/// A request that is forwarded.
pub const FORWARD: Target = Target { name: "peer_forward", run: forward, seeds: forward_seeds };

/// Frames that come in pieces, and a greeting: the first byte says in which, and whether the checksum
/// of the first frame is put right.
pub const FRAME: Target = Target { name: "peer_frame", run: frames, seeds: frame_seeds };

/// A txn.
pub const TXN: Target = Target { name: "txn", run: txn, seeds: txn_seeds };

fn message(input: &[u8]) {
    round_trip(input, PeerMessage::decode, |it, out| it.encode(out));
}

fn zab(input: &[u8]) {
    round_trip(input, Message::decode, |it, out| it.encode(out));
}

fn forward(input: &[u8]) {
    let decode = |bytes| -> Result<_, DecodeError> {
        let mut reader = Reader::new(bytes);
        let forwarded = Forwarded::decode(&mut reader)?;
        Ok((forwarded, reader.remaining()))
    };
    let bytes = Bytes::copy_from_slice(input);
    let Ok((forwarded, rest)) = Limit::WIRE.hold(input.len(), || decode(bytes)) else { return };
    let mut encoded = Vec::new();
    forwarded.encode(&mut encoded);
    assert!(encoded.len() <= input.len() - rest, "no encoding is shorter than ours");
    assert_eq!(decode(encoded.into()), Ok((forwarded, 0)));
}

fn txn(input: &[u8]) {
    round_trip(input, Txn::decode, |it, out| it.encode(out));
}

/// Bytes before a frame's message.
const FRAME_HEAD_LEN_BYTES: usize = 8;

fn frames(input: &[u8]) {
    let Some((&first, stream)) = input.split_first() else { return };
    if let Some(hello) = stream.first_chunk::<HELLO_LEN_BYTES>()
        && let Ok(read) = Hello::decode(hello)
    {
        assert_eq!(read.encode(), *hello, "a greeting is the same again");
    }
    let mut stream = stream.to_vec();
    if first & 1 == 1 && stream.len() >= FRAME_HEAD_LEN_BYTES {
        let len = u32::from_be_bytes(stream[..4].try_into().expect("four bytes")) as usize;
        if let Some(body) = stream[FRAME_HEAD_LEN_BYTES..].get(..len) {
            let crc = crc32fast::hash(body);
            stream[4..FRAME_HEAD_LEN_BYTES].copy_from_slice(&crc.to_be_bytes());
        }
    }
    let whole = split(&stream, stream.len().max(1));
    let pieces = split(&stream, usize::from(first >> 1).max(1));
    assert_eq!(whole, pieces, "the pieces in which bytes come make no difference");
    let mut again = BytesMut::new();
    for message in &whole.0 {
        frame::put_frame(&mut again, message);
    }
    let all = split(&again, again.len().max(1));
    assert_eq!(all, (whole.0, Ok(())), "the same messages come out as went in");
}

fn split(stream: &[u8], piece: usize) -> (Vec<PeerMessage>, Result<(), DecodeError>) {
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            let len_bytes = buffer.len();
            match Limit::WIRE.hold(len_bytes, || frame::take_frame(&mut buffer)) {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(()))
}

fn frame_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (index, message) in messages().iter().enumerate() {
        let mut stream = BytesMut::new();
        stream.put_u8((index * 8) as u8 | 1);
        frame::put_frame(&mut stream, message);
        frame::put_frame(&mut stream, &PeerMessage::KeepAlive);
        seeds.push(stream.to_vec());
    }
    let hello = Hello { version: VERSION, from: ServerId(1), to: ServerId(2), ensemble: 3 };
    seeds.push([&[8][..], &hello.encode()].concat());
    seeds.push([&[8][..], &u32::MAX.to_be_bytes(), &[0; 8]].concat());
    seeds
}

fn message_seeds() -> Vec<Vec<u8>> {
    encoded(&messages(), |message, out| message.encode(out))
}

fn zab_seeds() -> Vec<Vec<u8>> {
    encoded(&zab_messages(), |message, out| message.encode(out))
}

fn forward_seeds() -> Vec<Vec<u8>> {
    encoded(&forwarded(), |request, out| request.encode(out))
}

fn txn_seeds() -> Vec<Vec<u8>> {
    encoded(&txns(), |txn, out| txn.encode(out))
}

fn encoded<T>(values: &[T], encode: impl Fn(&T, &mut Vec<u8>)) -> Vec<Vec<u8>> {
    let one = |value| {
        let mut bytes = Vec::new();
        encode(value, &mut bytes);
        bytes
    };
    values.iter().map(one).collect()
}

fn messages() -> Vec<PeerMessage> {
    let mut messages: Vec<_> = zab_messages().into_iter().map(PeerMessage::Zab).collect();
    messages.extend([
        PeerMessage::Forward(forwarded()),
        PeerMessage::Touch(vec![SessionId(1), SessionId(-1)]),
        PeerMessage::Sync { seq: 9 },
        PeerMessage::Synced { seq: 9, upto: ZXID },
        PeerMessage::FetchImage { zxid: ZXID, offset: 1 << 33 },
        PeerMessage::ImageChunk {
            zxid: ZXID,
            len_bytes: 10,
            offset: 4,
            data: Bytes::from_static(b"piece"),
        },
        PeerMessage::ImageGone { zxid: ZXID },
        PeerMessage::KeepAlive,
        PeerMessage::Room { is_short: true },
        PeerMessage::Refusal { is_on: false },
    ]);
    messages
}

const ZXID: Zxid = Zxid(0x0000_0003_0000_0004);

fn zab_messages() -> Vec<Message> {
    let (stream, epoch, zxid, standing) = (7, Epoch(3), ZXID, Standing::Whole);
    let entries: Vec<Entry> = (1..)
        .zip(txn_seeds())
        .take(3)
        .map(|(number, txn)| Entry { zxid: Zxid::new(epoch, number), txn: txn.into() })
        .collect();
    let vote = Vote { epoch, zxid, candidate: ServerId(2) };
    let stances = [
        Stance::Looking(None),
        Stance::Looking(Some(vote)),
        Stance::Learning(ServerId(1)),
        Stance::Leading,
    ];
    let mut messages: Vec<Message> =
        stances.map(|stance| Message::Notification { round: 2, stance, has_quorum: true }).to_vec();
    messages.extend([
        Message::FollowerInfo { stream, accepted: epoch, standing },
        Message::NewEpoch { stream, epoch },
        Message::AckEpoch { stream, current: epoch, last: zxid, is_fresh: true },
        Message::Snap { stream },
        Message::Installed { stream, zxid },
        Message::Trunc { stream, after: zxid },
        Message::Diff { stream, entries: entries.clone() },
        Message::NewLeader { stream, epoch },
        Message::AckNewLeader { stream },
        Message::UpToDate { stream, committed: zxid },
        Message::Propose { stream, entries: entries.clone(), committed: zxid },
        Message::Ack { stream, zxid, standing: Standing::Repairing },
        Message::Commit { stream, upto: zxid },
        Message::Ping { stream, round: 1 },
        Message::Pong { stream, round: 1 },
        Message::Pull { stream, last: zxid },
        Message::History { stream, after: zxid, entries, is_last: true },
        Message::NoHistory { stream },
    ]);
    messages
}

fn forwarded() -> Vec<Forwarded> {
    let identity = Identity { scheme: "ip".into(), id: "127.0.0.1".into() };
    let body = Bytes::from_static(b"\0\0\0\x02/a\0\0\0\0");
    let password = Password([9; 16]);
    let actions = [
        Action::Request { opcode: 1, body: body.clone() },
        Action::Open { timeout_ms: 4000, password },
        Action::Attach { timeout_ms: 4000, password },
        Action::Close,
        Action::LocalRequest { opcode: 5, body },
    ];
    let request = |action| Forwarded {
        seq: 7,
        session: SessionId(0x0100_0000_0000_0001),
        xid: Xid(3),
        identities: vec![identity.clone()],
        action,
    };
    actions.map(request).to_vec()
}

/// Returns a txn of every kind.
pub(crate) fn txns() -> Vec<Txn> {
    let path = || "/a/b".to_owned();
    let create = |owner| {
        Change::Create(CreateChange {
            path: path(),
            data: Some(Bytes::from_static(b"data")),
            acl: vec![Acl::open()],
            owner,
            parent_created: 3,
        })
    };
    let mut changes = vec![
        Change::CreateSession { timeout_ms: 4000, password: Password([7; 16]) },
        create(Owner::Persistent),
        create(Owner::Ephemeral(SessionId(1))),
        create(Owner::Container),
        create(Owner::Ttl(1000)),
        Change::SetData { path: path(), data: None, version: 4 },
        Change::SetAcl { path: path(), acl: vec![Acl::open()], aversion: 1 },
        Change::Check { path: path() },
        Change::Delete { path: path() },
        Change::Error(ErrorCode::NoNode),
        Change::MultiError { failed_op: 1, code: ErrorCode::BadVersion },
        Change::AttachSession { timeout_ms: 9000 },
        Change::CloseSession,
    ];
    changes.push(Change::Multi(changes[1..=8].to_vec()));
    let usage = QuotaUsage { covered: "/a".to_owned(), usage: Usage { count: 1, bytes: 4 } };
    let txn = |(seq, change)| Txn {
        origin: Origin { server: ServerId(1), seq },
        session: SessionId(1),
        xid: Xid(4),
        time_ms: 5,
        change,
        usage: if seq % 3 == 0 { vec![usage.clone()] } else { Vec::new() },
    };
    (1..).zip(changes).map(txn).collect()
}
