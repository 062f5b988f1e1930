//! Goal: what a peer sends, however wrong, never panics and never changes what was delivered; and
//! every limit has the end that its documentation says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[allow(dead_code, reason = "each file of tests uses its part of the model")]
mod model;

use bytes::Bytes;
use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Message, Stance, Standing, Vote},
    txn::Entry,
    zxid::{Epoch, Zxid},
};
use conclave_zab::{Broadcast, Config, Engine, Input, Output};
use model::{World, config, random::Random};

fn random_zxid(random: &mut Random) -> Zxid {
    let counters = [0, 1, 2, 3, 4, 5, u64::from(u32::MAX)];
    Zxid::new(random_epoch(random), random.pick(&counters) as u32)
}

fn random_epoch(random: &mut Random) -> Epoch {
    // The last one is spent by an honest leader that believes it: not what a member defends against.
    Epoch(random.pick(&[0, 1, 2, 3, 1 << 30]))
}

fn random_entries(random: &mut Random) -> Vec<Entry> {
    let mut zxid = random_zxid(random);
    let count = random.below(4);
    let entries = (0..count).map(|_| {
        let entry = Entry { zxid, txn: Bytes::from_static(b"hostile") };
        zxid = Zxid(zxid.0.wrapping_add(random.pick(&[1, 1, 1, 0, 2, 1 << 32])));
        entry
    });
    entries.collect()
}

fn random_stance(random: &mut Random) -> Stance {
    match random.below(4) {
        0 => Stance::Looking(None),
        1 => Stance::Looking(Some(Vote {
            epoch: random_epoch(random),
            zxid: random_zxid(random),
            candidate: ServerId(random.below(6) as u8),
        })),
        2 => Stance::Learning(ServerId(random.below(6) as u8)),
        _ => Stance::Leading,
    }
}

fn random_message(random: &mut Random) -> Message {
    // The attempt that is under way is the most interesting.
    let stream = random.pick(&[0, 1, 1, 1, 2, 3, u64::MAX]);
    let round = random.pick(&[0, 1, 2, 3, 1 << 40, u64::MAX]);
    let is_any = random.chance(500);
    let (epoch, zxid) = (random_epoch(random), random_zxid(random));
    let standing = random.pick(&[Standing::Whole, Standing::Repairing]);
    match random.below(19) {
        0 => Message::Notification { round, stance: random_stance(random), has_quorum: is_any },
        1 => Message::FollowerInfo { stream, accepted: epoch, standing },
        2 => Message::NewEpoch { stream, epoch },
        3 => Message::AckEpoch { stream, current: epoch, last: zxid, is_fresh: is_any },
        4 => Message::Snap { stream },
        5 => Message::Installed { stream, zxid },
        6 => Message::Trunc { stream, after: zxid },
        7 => Message::Diff { stream, entries: random_entries(random) },
        8 => Message::NewLeader { stream, epoch },
        9 => Message::AckNewLeader { stream },
        10 => Message::UpToDate { stream, committed: zxid },
        11 => Message::Propose { stream, entries: random_entries(random), committed: zxid },
        12 => Message::Ack { stream, zxid, standing },
        13 => Message::Commit { stream, upto: zxid },
        14 => Message::Ping { stream, round },
        15 => Message::Pong { stream, round },
        16 => Message::Pull { stream, last: zxid },
        17 => {
            let entries = random_entries(random);
            Message::History { stream, after: zxid, entries, is_last: is_any }
        }
        _ => Message::NoHistory { stream },
    }
}

/// Steps one engine of an ensemble with anything a peer could send.
fn attack(seed: u64, mut engine: Engine) {
    let mut random = Random(seed);
    let peers = [1, 2, 3, 4, 9].map(ServerId);
    let (mut mark, mut is_fetching) = (None, false);
    let mut delivered = engine.delivered();
    for _ in 0..400 {
        let input = match random.below(10) {
            0 => Input::Tick,
            1 => match mark.take() {
                Some(mark) => Input::Persisted { mark },
                None => Input::Tick,
            },
            2 if is_fetching => {
                is_fetching = false;
                Input::InstallFailed
            }
            3 if random.chance(100) => Input::Disconnected(random.pick(&peers)),
            4 => Input::Connected(random.pick(&peers)),
            _ => {
                let message = random_message(&mut random);
                Input::Receive { from: random.pick(&peers), message }
            }
        };
        let mut out = Vec::new();
        engine.step(input, &mut out);
        for output in out {
            match output {
                Output::Persist { mark: asked, .. }
                | Output::PersistEpochs { mark: asked, .. }
                | Output::Truncate { mark: asked, .. } => mark = Some(asked),
                Output::FetchImage { .. } => is_fetching = true,
                Output::Deliver { entries } => {
                    let first = entries.first().unwrap().zxid;
                    assert!(delivered.is_followed_by(first), "seed {seed}");
                    delivered = entries.last().unwrap().zxid;
                }
                _ => {}
            }
        }
    }
}

#[test]
fn nothing_that_a_peer_sends_panics() {
    for seed in 0..4000 {
        let id = ServerId(1 + (seed % 4) as u8);
        let mut world = World::new(Config { window_entries_max: 3, ..config(3, 1) });
        world.start_all();
        // Stopped at any moment of an ordinary life.
        world.run((seed / 4 % 4) as u32);
        if let Some(leader) = world.leader() {
            let txns = (0..5).map(|_| world.checker_mut().next_txn()).collect();
            world.propose(leader, txns);
            (0..seed / 16 % 20).for_each(|_| {
                for from in world.ids() {
                    for to in world.ids() {
                        world.deliver_one(from, to);
                    }
                }
            });
        }
        attack(seed, world.member(id).engine.clone().unwrap());
    }
}

#[test]
fn a_follower_too_far_behind_is_forgotten_and_comes_back_by_synchronization() {
    let mut world = World::new(config(3, 0));
    world.start_all();
    world.run(5);
    let leader = world.leader().unwrap();
    let slow = ServerId(1);
    world.member_mut(slow).is_stalled = true;
    // A little more than a learner may have unacked.
    for _ in 0..401 {
        let txns = (0..1000).map(|_| world.checker_mut().next_txn()).collect();
        world.propose(leader, txns);
        world.flush();
    }
    let learners = world.member(leader).engine.as_ref().unwrap().learner_counts().learners;
    assert_eq!(learners, 1, "the slow one is forgotten");
    world.member_mut(slow).is_stalled = false;
    world.run(40);
    assert_eq!(world.leader(), Some(leader), "the others went on");
    assert!(world.is_even());
}

#[test]
fn confirmations_that_come_together_share_a_round_of_pings() {
    let mut world = World::new(config(3, 0));
    world.start_all();
    world.run(5);
    let leader = world.leader().unwrap();
    for _ in 0..100 {
        world.step(leader, Input::Confirm { token: 0 });
    }
    assert!(world.confirmed.is_empty(), "nobody has answered yet");
    let pings = |world: &World| {
        let links = world.links.iter().filter(|((from, _), _)| *from == leader);
        let messages = links.flat_map(|(_, queue)| queue);
        messages.filter(|message| matches!(message, Message::Ping { .. })).count()
    };
    assert_eq!(pings(&world), 2, "one round to two followers");
    world.flush();
    assert_eq!(world.confirmed.len(), 100);
}
