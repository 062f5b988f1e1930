//! Messages of the broadcast protocol. WIRE.md has the bytes.
//!
//! A learner draws a number for each attempt to follow a leader, its *stream*; all that the two say
//! to each other in that attempt carries it, and what carries another one is stale and ignored.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{
    ids::ServerId,
    jute::{DecodeError, Reader, Write},
    txn::Entry,
    zxid::{Epoch, Zxid},
};

/// Bytes that the shortest entry takes.
const ENTRY_LEN_MIN: usize = 12;

/// What a member has promised and followed. Lives in the epochs file.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Epochs {
    /// The newest epoch whose leader it has promised to follow.
    pub accepted: Epoch,
    /// The newest epoch whose leader has synchronised it.
    pub current: Epoch,
    /// Whether its disk still has all it has acked.
    pub standing: Standing,
}

/// Whether a member may vote.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Standing {
    /// Its disk has all it has acked.
    Whole,
    /// Its disk has lost what it has acked: it counts to no quorum until an established leader has
    /// synchronised it.
    Repairing,
}

/// A candidate for the lead: the greatest (epoch, zxid, id) wins.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Vote {
    /// The candidate's current epoch.
    pub epoch: Epoch,
    /// The last zxid of its log.
    pub zxid: Zxid,
    /// The candidate.
    pub candidate: ServerId,
}

/// What a member is doing, as it tells the others.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stance {
    /// It looks for a leader and votes; without a vote when it may not vote.
    Looking(Option<Vote>),
    /// It follows or observes this leader.
    Learning(ServerId),
    /// It leads, or is about to.
    Leading,
}

/// One message.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Message {
    /// Election: what the sender is doing.
    Notification {
        /// The election it counts votes for.
        round: u64,
        /// What it does.
        stance: Stance,
        /// Whether it is connected to a quorum of voters, itself included.
        has_quorum: bool,
    },
    /// Discovery, learner to leader: the epoch it has promised.
    FollowerInfo {
        /// This attempt.
        stream: u64,
        /// The newest epoch it has promised to follow.
        accepted: Epoch,
        /// Whether it counts to a quorum.
        standing: Standing,
    },
    /// Discovery, leader to learner: the epoch to promise.
    NewEpoch {
        /// The learner's attempt.
        stream: u64,
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// Discovery, learner to leader: the promise is on disk, and this is what it has.
    AckEpoch {
        /// This attempt.
        stream: u64,
        /// The newest epoch that it followed.
        current: Epoch,
        /// The last zxid of its log.
        last: Zxid,
        /// Whether it made the promise just now, to this leader: then it counts.
        is_fresh: bool,
    },
    /// Synchronization, leader to learner: fetch a snapshot, then say how far it brought you.
    Snap {
        /// The learner's attempt.
        stream: u64,
    },
    /// Synchronization, learner to leader: the snapshot is installed.
    Installed {
        /// This attempt.
        stream: u64,
        /// Its zxid.
        zxid: Zxid,
    },
    /// Synchronization, leader to learner: drop what is behind `after` in your log.
    Trunc {
        /// The learner's attempt.
        stream: u64,
        /// The last entry that stays.
        after: Zxid,
    },
    /// Synchronization, leader to learner: entries that it lacks.
    Diff {
        /// The learner's attempt.
        stream: u64,
        /// In order, without gaps.
        entries: Vec<Entry>,
    },
    /// Synchronization, leader to learner: with all this on disk you follow this epoch.
    NewLeader {
        /// The learner's attempt.
        stream: u64,
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// Synchronization, learner to leader: all up to NEWLEADER, and the epoch, is on disk.
    AckNewLeader {
        /// This attempt.
        stream: u64,
    },
    /// Synchronization, leader to learner: serve clients once you have delivered this.
    UpToDate {
        /// The learner's attempt.
        stream: u64,
        /// What is committed.
        committed: Zxid,
    },
    /// Broadcast, leader to learner: log these.
    Propose {
        /// The learner's attempt.
        stream: u64,
        /// In order, without gaps.
        entries: Vec<Entry>,
        /// What is committed.
        committed: Zxid,
    },
    /// Broadcast, learner to leader: everything up to here is on disk.
    Ack {
        /// This attempt.
        stream: u64,
        /// The last zxid on disk.
        zxid: Zxid,
        /// Whether it counts to a quorum, which a repaired learner may do now.
        standing: Standing,
    },
    /// Broadcast, leader to learner: everything up to here is committed.
    Commit {
        /// The learner's attempt.
        stream: u64,
        /// What is committed.
        upto: Zxid,
    },
    /// Leader to learner: the lead goes on.
    Ping {
        /// The learner's attempt.
        stream: u64,
        /// Rises with each round of pings.
        round: u64,
    },
    /// Learner to leader: so does following.
    Pong {
        /// This attempt.
        stream: u64,
        /// The round answered.
        round: u64,
    },
    /// Discovery, leader to learner: your history is ahead of mine, tell me what I lack.
    Pull {
        /// The learner's attempt.
        stream: u64,
        /// The last zxid of the leader's log.
        last: Zxid,
    },
    /// Discovery, learner to leader: a piece of what the leader lacks.
    History {
        /// This attempt.
        stream: u64,
        /// The leader drops what it has behind this.
        after: Zxid,
        /// What comes directly behind it, in order, without gaps.
        entries: Vec<Entry>,
        /// Whether this is the end of the learner's log.
        is_last: bool,
    },
    /// Discovery, learner to leader: what you lack is in my snapshot only.
    NoHistory {
        /// This attempt.
        stream: u64,
    },
}

impl Message {
    /// Appends the message: its kind (1), then its fields.
    pub fn encode(&self, out: &mut impl Write) {
        match self {
            Self::Notification { round, stance, has_quorum } => {
                out.put_u8(1);
                out.put_u64(*round);
                encode_stance(*stance, out);
                out.put_bool(*has_quorum);
            }
            Self::FollowerInfo { stream, accepted, standing } => {
                put_kind(out, 2, *stream);
                out.put_u32(accepted.0);
                standing.encode(out);
            }
            Self::NewEpoch { stream, epoch } => {
                put_kind(out, 3, *stream);
                out.put_u32(epoch.0);
            }
            Self::AckEpoch { stream, current, last, is_fresh } => {
                put_kind(out, 4, *stream);
                out.put_u32(current.0);
                out.put_u64(last.0);
                out.put_bool(*is_fresh);
            }
            Self::Snap { stream } => put_kind(out, 5, *stream),
            Self::Installed { stream, zxid } => put_zxid(out, 6, *stream, *zxid),
            Self::Trunc { stream, after } => put_zxid(out, 7, *stream, *after),
            Self::Diff { stream, entries } => {
                put_kind(out, 8, *stream);
                encode_entries(entries, out);
            }
            Self::NewLeader { stream, epoch } => {
                put_kind(out, 9, *stream);
                out.put_u32(epoch.0);
            }
            Self::AckNewLeader { stream } => put_kind(out, 10, *stream),
            Self::UpToDate { stream, committed } => put_zxid(out, 11, *stream, *committed),
            Self::Propose { stream, entries, committed } => {
                put_zxid(out, 12, *stream, *committed);
                encode_entries(entries, out);
            }
            Self::Ack { stream, zxid, standing } => {
                put_zxid(out, 13, *stream, *zxid);
                standing.encode(out);
            }
            Self::Commit { stream, upto } => put_zxid(out, 14, *stream, *upto),
            Self::Ping { stream, round } => {
                put_kind(out, 15, *stream);
                out.put_u64(*round);
            }
            Self::Pong { stream, round } => {
                put_kind(out, 16, *stream);
                out.put_u64(*round);
            }
            Self::Pull { stream, last } => put_zxid(out, 17, *stream, *last),
            Self::History { stream, after, entries, is_last } => {
                put_zxid(out, 18, *stream, *after);
                encode_entries(entries, out);
                out.put_bool(*is_last);
            }
            Self::NoHistory { stream } => put_kind(out, 19, *stream),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for an unknown kind, a body that ends early, or bytes behind its end.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let message = Self::decode_kind(&mut reader)?;
        match reader.remaining() {
            0 => Ok(message),
            rest => Err(DecodeError::Length { got: rest as i64, max: 0 }),
        }
    }

    fn decode_kind(r: &mut Reader) -> Result<Self, DecodeError> {
        let kind = r.u8()?;
        // The stream of all kinds but the first, whose round stands in the same place.
        let stream = r.u64()?;
        Ok(match kind {
            1 => Self::Notification {
                round: stream,
                stance: decode_stance(r)?,
                has_quorum: r.bool()?,
            },
            2 => Self::FollowerInfo {
                stream,
                accepted: Epoch(r.u32()?),
                standing: Standing::decode(r)?,
            },
            3 => Self::NewEpoch { stream, epoch: Epoch(r.u32()?) },
            4 => Self::AckEpoch {
                stream,
                current: Epoch(r.u32()?),
                last: Zxid(r.u64()?),
                is_fresh: r.bool()?,
            },
            5 => Self::Snap { stream },
            6 => Self::Installed { stream, zxid: Zxid(r.u64()?) },
            7 => Self::Trunc { stream, after: Zxid(r.u64()?) },
            8 => Self::Diff { stream, entries: decode_entries(r)? },
            9 => Self::NewLeader { stream, epoch: Epoch(r.u32()?) },
            10 => Self::AckNewLeader { stream },
            11 => Self::UpToDate { stream, committed: Zxid(r.u64()?) },
            12 => Self::Propose { stream, committed: Zxid(r.u64()?), entries: decode_entries(r)? },
            13 => Self::Ack { stream, zxid: Zxid(r.u64()?), standing: Standing::decode(r)? },
            14 => Self::Commit { stream, upto: Zxid(r.u64()?) },
            15 => Self::Ping { stream, round: r.u64()? },
            16 => Self::Pong { stream, round: r.u64()? },
            17 => Self::Pull { stream, last: Zxid(r.u64()?) },
            18 => Self::History {
                stream,
                after: Zxid(r.u64()?),
                entries: decode_entries(r)?,
                is_last: r.bool()?,
            },
            19 => Self::NoHistory { stream },
            got => return Err(DecodeError::Kind { what: "zab message", got: got.into() }),
        })
    }
}

impl Standing {
    /// Appends the standing as one byte.
    pub fn encode(self, out: &mut impl Write) {
        out.put_bool(self == Self::Whole);
    }

    /// Reads a standing.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`].
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(if reader.bool()? { Self::Whole } else { Self::Repairing })
    }
}

fn put_kind(out: &mut impl Write, kind: u8, stream: u64) {
    out.put_u8(kind);
    out.put_u64(stream);
}

fn put_zxid(out: &mut impl Write, kind: u8, stream: u64, zxid: Zxid) {
    put_kind(out, kind, stream);
    out.put_u64(zxid.0);
}

fn encode_stance(stance: Stance, out: &mut impl Write) {
    match stance {
        Stance::Looking(None) => out.put_u8(0),
        Stance::Looking(Some(vote)) => {
            out.put_u8(1);
            out.put_u32(vote.epoch.0);
            out.put_u64(vote.zxid.0);
            out.put_u8(vote.candidate.0);
        }
        Stance::Learning(leader) => {
            out.put_u8(2);
            out.put_u8(leader.0);
        }
        Stance::Leading => out.put_u8(3),
    }
}

fn decode_stance(r: &mut Reader) -> Result<Stance, DecodeError> {
    Ok(match r.u8()? {
        0 => Stance::Looking(None),
        1 => Stance::Looking(Some(Vote {
            epoch: Epoch(r.u32()?),
            zxid: Zxid(r.u64()?),
            candidate: ServerId(r.u8()?),
        })),
        2 => Stance::Learning(ServerId(r.u8()?)),
        3 => Stance::Leading,
        got => return Err(DecodeError::Kind { what: "stance", got: got.into() }),
    })
}

fn encode_entries(entries: &[Entry], out: &mut impl Write) {
    out.put_vector(Some(entries), |out, entry| {
        out.put_u64(entry.zxid.0);
        out.put_buffer(Some(&entry.txn));
    });
}

fn decode_entries(reader: &mut Reader) -> Result<Vec<Entry>, DecodeError> {
    let entries = reader.vector(ENTRY_LEN_MIN, |reader| {
        Ok(Entry { zxid: Zxid(reader.u64()?), txn: reader.buffer()?.unwrap_or_default() })
    })?;
    Ok(entries.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn zxid() -> impl Strategy<Value = Zxid> {
        any::<u64>().prop_map(Zxid)
    }

    fn epoch() -> impl Strategy<Value = Epoch> {
        any::<u32>().prop_map(Epoch)
    }

    fn standing() -> impl Strategy<Value = Standing> {
        prop_oneof![Just(Standing::Whole), Just(Standing::Repairing)]
    }

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (zxid(), vec(any::<u8>(), 0..40));
        vec(entry.prop_map(|(zxid, txn)| Entry { zxid, txn: txn.into() }), 0..5)
    }

    fn stance() -> impl Strategy<Value = Stance> {
        let vote = (epoch(), zxid(), any::<u8>()).prop_map(|(epoch, zxid, id)| Vote {
            epoch,
            zxid,
            candidate: ServerId(id),
        });
        prop_oneof![
            proptest::option::of(vote).prop_map(Stance::Looking),
            any::<u8>().prop_map(|id| Stance::Learning(ServerId(id))),
            Just(Stance::Leading),
        ]
    }

    fn election_or_discovery() -> impl Strategy<Value = Message> {
        let stream = any::<u64>;
        prop_oneof![
            (stream(), stance(), any::<bool>()).prop_map(|(round, stance, has_quorum)| {
                Message::Notification { round, stance, has_quorum }
            }),
            (stream(), epoch(), standing()).prop_map(|(stream, accepted, standing)| {
                Message::FollowerInfo { stream, accepted, standing }
            }),
            (stream(), epoch()).prop_map(|(stream, epoch)| Message::NewEpoch { stream, epoch }),
            (stream(), epoch(), zxid(), any::<bool>()).prop_map(
                |(stream, current, last, is_fresh)| Message::AckEpoch {
                    stream,
                    current,
                    last,
                    is_fresh
                }
            ),
            (stream(), zxid()).prop_map(|(stream, last)| Message::Pull { stream, last }),
            (stream(), zxid(), entries(), any::<bool>()).prop_map(
                |(stream, after, entries, is_last)| Message::History {
                    stream,
                    after,
                    entries,
                    is_last
                }
            ),
            stream().prop_map(|stream| Message::NoHistory { stream }),
        ]
    }

    fn synchronization() -> impl Strategy<Value = Message> {
        let stream = any::<u64>;
        prop_oneof![
            stream().prop_map(|stream| Message::Snap { stream }),
            (stream(), zxid()).prop_map(|(stream, zxid)| Message::Installed { stream, zxid }),
            (stream(), zxid()).prop_map(|(stream, after)| Message::Trunc { stream, after }),
            (stream(), entries()).prop_map(|(stream, entries)| Message::Diff { stream, entries }),
            (stream(), epoch()).prop_map(|(stream, epoch)| Message::NewLeader { stream, epoch }),
            stream().prop_map(|stream| Message::AckNewLeader { stream }),
            (stream(), zxid())
                .prop_map(|(stream, committed)| Message::UpToDate { stream, committed }),
        ]
    }

    fn broadcast() -> impl Strategy<Value = Message> {
        let stream = any::<u64>;
        prop_oneof![
            (stream(), entries(), zxid()).prop_map(|(stream, entries, committed)| {
                Message::Propose { stream, entries, committed }
            }),
            (stream(), zxid(), standing()).prop_map(|(stream, zxid, standing)| Message::Ack {
                stream,
                zxid,
                standing
            }),
            (stream(), zxid()).prop_map(|(stream, upto)| Message::Commit { stream, upto }),
            (stream(), any::<u64>()).prop_map(|(stream, round)| Message::Ping { stream, round }),
            (stream(), any::<u64>()).prop_map(|(stream, round)| Message::Pong { stream, round }),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![election_or_discovery(), synchronization(), broadcast()]
    }

    fn encoded(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn every_message_survives_the_wire(message in message()) {
            prop_assert_eq!(Message::decode(encoded(&message).into()), Ok(message));
        }

        #[test]
        fn a_message_cut_anywhere_or_with_bytes_behind_it_is_refused(message in message()) {
            let mut bytes = encoded(&message);
            for len in 0..bytes.len() {
                prop_assert!(Message::decode(Bytes::copy_from_slice(&bytes[..len])).is_err());
            }
            bytes.push(0);
            prop_assert!(Message::decode(bytes.into()).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
            drop(Message::decode(bytes.into()));
        }

        #[test]
        fn a_message_with_one_byte_changed_never_panics(
            message in message(), at in any::<prop::sample::Index>(), to in any::<u8>(),
        ) {
            let mut bytes = encoded(&message);
            let at = at.index(bytes.len());
            bytes[at] = to;
            drop(Message::decode(bytes.into()));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let notification = Message::Notification {
            round: 2,
            stance: Stance::Looking(Some(Vote {
                epoch: Epoch(3),
                zxid: Zxid(0x0000_0003_0000_0004),
                candidate: ServerId(5),
            })),
            has_quorum: true,
        };
        let expected = [1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 4, 5, 1];
        assert_eq!(encoded(&notification), expected);
        let entry = Entry { zxid: Zxid(0x0000_0001_0000_0002), txn: Bytes::from_static(b"ab") };
        let propose = Message::Propose { stream: 7, entries: [entry].into(), committed: Zxid(9) };
        let expected = [
            12, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2,
            0, 0, 0, 2, b'a', b'b',
        ];
        assert_eq!(encoded(&propose), expected);
    }

    #[test]
    fn a_count_of_entries_beyond_the_message_reserves_nothing() {
        let mut bytes = encoded(&Message::Diff { stream: 1, entries: Vec::new() });
        let count = bytes.len() - 4;
        bytes[count..].copy_from_slice(&i32::MAX.to_be_bytes());
        assert!(matches!(Message::decode(bytes.into()), Err(DecodeError::Length { .. })));
    }
}
