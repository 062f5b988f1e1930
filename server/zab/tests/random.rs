//! Goal: whatever crashes, cuts and delays do, members deliver one history, lose nothing that was
//! delivered, and come back once the faults stop.
//! Method: engines over a model of network and disk, all choices drawn from one seed. The checks
//! know nothing of the engine but its outputs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Epochs, Message, Standing},
    txn::Entry,
    zxid::{Epoch, Zxid},
};
use conclave_zab::{Broadcast, Config, Engine, Input, Mark, Output, Recovered, Role};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

/// What survives a crash, and what is on its way there.
#[derive(Clone)]
struct Disk {
    epochs: Epochs,
    image: Zxid,
    log: Vec<Entry>,
    queue: VecDeque<Write>,
}

#[derive(Clone)]
enum Write {
    Entries(Mark, Vec<Entry>),
    Epochs(Mark, Epochs),
    Truncate(Mark, Zxid),
    /// The image of so many delivered entries.
    Install(Zxid),
}

struct Member {
    id: ServerId,
    engine: Option<Engine>,
    disk: Disk,
    /// What this member has handed out, from the beginning of time.
    delivered: Vec<Entry>,
    role: Role,
    /// A fetch that was asked: the source.
    fetch: Option<ServerId>,
}

struct World {
    random: Random,
    members: BTreeMap<ServerId, Member>,
    config: Config,
    links: BTreeMap<(ServerId, ServerId), VecDeque<Message>>,
    up: BTreeSet<(ServerId, ServerId)>,
    cut: BTreeSet<(ServerId, ServerId)>,
    /// The one history, as far as anyone has delivered it.
    history: Vec<Entry>,
    leaders: BTreeMap<Epoch, ServerId>,
    next_value: u64,
    confirmed: u64,
}

fn pair(a: ServerId, b: ServerId) -> (ServerId, ServerId) {
    (a.min(b), a.max(b))
}

impl World {
    fn new(seed: u64, voters: u8, observers: u8) -> Self {
        let mut random = Random(seed);
        let voter_ids: BTreeSet<ServerId> = (1..=voters).map(ServerId).collect();
        let observer_ids: BTreeSet<ServerId> =
            (voters + 1..=voters + observers).map(ServerId).collect();
        let window = [2, 5, 1000][random.below(3) as usize];
        let config = Config {
            me: ServerId(1),
            voters: voter_ids.clone(),
            observers: observer_ids.clone(),
            init_limit_ticks: 60,
            sync_limit_ticks: 20,
            heartbeat_ticks: 4,
            election_settle_ticks: 2,
            window_entries_max: window,
            window_bytes_max: 1 << 20,
        };
        let mut world = Self {
            random,
            members: BTreeMap::new(),
            config,
            links: BTreeMap::new(),
            up: BTreeSet::new(),
            cut: BTreeSet::new(),
            history: Vec::new(),
            leaders: BTreeMap::new(),
            next_value: 1,
            confirmed: 0,
        };
        let epochs = Epochs { accepted: Epoch(0), current: Epoch(0), standing: Standing::Whole };
        for id in voter_ids.into_iter().chain(observer_ids) {
            let disk = Disk { epochs, image: Zxid::ZERO, log: Vec::new(), queue: VecDeque::new() };
            let member = Member {
                id,
                engine: None,
                disk,
                delivered: Vec::new(),
                role: Role::Looking,
                fetch: None,
            };
            world.members.insert(id, member);
            world.start(id);
        }
        world
    }

    fn ids(&self) -> Vec<ServerId> {
        self.members.keys().copied().collect()
    }

    fn start(&mut self, id: ServerId) {
        let member = self.members.get_mut(&id).unwrap();
        let disk = &mut member.disk;
        disk.queue.clear();
        member.delivered = self.history[..prefix_len(&self.history, disk.image)].to_vec();
        let recovered = Recovered {
            epochs: disk.epochs,
            base: disk.image,
            entries: disk.log.iter().filter(|entry| entry.zxid > disk.image).cloned().collect(),
        };
        member.engine = Some(Engine::new(Config { me: id, ..self.config.clone() }, recovered));
        member.role = Role::Looking;
        member.fetch = None;
    }

    fn crash(&mut self, id: ServerId) {
        let random = &mut self.random;
        let member = self.members.get_mut(&id).unwrap();
        member.engine = None;
        // Some of what was on its way to the disk may have made it.
        let kept = random.below(member.disk.queue.len() as u64 + 1);
        for _ in 0..kept {
            let write = member.disk.queue.pop_front().unwrap();
            write_down(&mut member.disk, write);
        }
        member.disk.queue.clear();
        for other in self.ids() {
            self.disconnect(id, other);
        }
    }

    fn disconnect(&mut self, a: ServerId, b: ServerId) {
        if !self.up.remove(&pair(a, b)) {
            return;
        }
        self.links.remove(&(a, b));
        self.links.remove(&(b, a));
        for (me, other) in [(a, b), (b, a)] {
            if self.members[&me].fetch == Some(other) {
                self.members.get_mut(&me).unwrap().fetch = None;
                self.step(me, Input::InstallFailed);
            }
            self.step(me, Input::Disconnected(other));
        }
    }

    fn connect(&mut self, a: ServerId, b: ServerId) {
        let can = self.members[&a].engine.is_some() && self.members[&b].engine.is_some();
        if a == b || !can || self.cut.contains(&pair(a, b)) || !self.up.insert(pair(a, b)) {
            return;
        }
        self.step(a, Input::Connected(b));
        self.step(b, Input::Connected(a));
    }

    fn step(&mut self, id: ServerId, input: Input) {
        let Some(engine) = &mut self.members.get_mut(&id).unwrap().engine else { return };
        let mut out = Vec::new();
        engine.step(input, &mut out);
        for output in out {
            self.carry_out(id, output);
        }
    }

    fn carry_out(&mut self, id: ServerId, output: Output) {
        let member = self.members.get_mut(&id).unwrap();
        match output {
            Output::Send { to, message } => {
                if self.up.contains(&pair(id, to)) {
                    let mut bytes = Vec::new();
                    message.encode(&mut bytes);
                    assert_eq!(Message::decode(bytes.into()).as_ref(), Ok(&message));
                    self.links.entry((id, to)).or_default().push_back(message);
                }
            }
            Output::Persist { mark, entries } => {
                member.disk.queue.push_back(Write::Entries(mark, entries));
            }
            Output::PersistEpochs { mark, epochs } => {
                member.disk.queue.push_back(Write::Epochs(mark, epochs));
            }
            Output::Truncate { mark, after } => {
                member.disk.queue.push_back(Write::Truncate(mark, after));
            }
            Output::Deliver { entries } => self.on_deliver(id, entries),
            Output::Role(role) => {
                member.role = role;
                if let Role::Leading { epoch } = role {
                    let leader = *self.leaders.entry(epoch).or_insert(id);
                    assert_eq!(leader, id, "two leaders of {epoch:?}");
                    let delivered = self.members[&id].delivered.len();
                    assert_eq!(delivered, self.history.len(), "a leader has all there is");
                }
            }
            Output::FetchImage { from } => member.fetch = Some(from),
            Output::Confirmed { upto, .. } => {
                self.confirmed += 1;
                // Nothing that anyone had seen when it was asked may be missing: checked by value,
                // as the token is how long the history was then.
                let Output::Confirmed { token, .. } = output else { unreachable!() };
                let seen = token as usize;
                assert!(prefix_len(&self.history, upto) >= seen, "a stale leader was confirmed");
            }
        }
    }

    fn on_deliver(&mut self, id: ServerId, entries: Vec<Entry>) {
        assert!(!entries.is_empty());
        let member = self.members.get_mut(&id).unwrap();
        for entry in entries {
            let on_disk = entry.zxid <= member.disk.image || member.disk.log.contains(&entry);
            assert!(on_disk, "{id:?} delivered {:?} before it was on its disk", entry.zxid);
            let index = member.delivered.len();
            if let Some(before) = member.delivered.last() {
                assert!(before.zxid.is_followed_by(entry.zxid), "a gap in what {id:?} delivers");
            }
            if index < self.history.len() {
                assert_eq!(self.history[index], entry, "{id:?} delivered another history");
            } else {
                self.history.push(entry.clone());
            }
            member.delivered.push(entry);
        }
    }

    /// Lets one thing happen that is not a fault.
    fn advance(&mut self) {
        let ids = self.ids();
        let id = ids[self.random.below(ids.len() as u64) as usize];
        match self.random.below(10) {
            0 => self.step(id, Input::Tick),
            1..=5 => {
                let ready: Vec<_> = self
                    .links
                    .iter()
                    .filter(|(_, queue)| !queue.is_empty())
                    .map(|(l, _)| *l)
                    .collect();
                if !ready.is_empty() {
                    let link = ready[self.random.below(ready.len() as u64) as usize];
                    let message = self.links.get_mut(&link).unwrap().pop_front().unwrap();
                    self.step(link.1, Input::Receive { from: link.0, message });
                }
            }
            6 | 7 => self.persist_one(id),
            8 => {
                let other = ids[self.random.below(ids.len() as u64) as usize];
                self.connect(id, other);
                self.fetch_one(id);
            }
            _ => self.propose(id),
        }
    }

    fn persist_one(&mut self, id: ServerId) {
        let member = self.members.get_mut(&id).unwrap();
        if member.engine.is_none() {
            return;
        }
        let Some(write) = member.disk.queue.pop_front() else { return };
        let done = write_down(&mut member.disk, write.clone());
        match (done, write) {
            (Some(mark), _) => self.step(id, Input::Persisted { mark }),
            (None, Write::Install(zxid)) => {
                let len = prefix_len(&self.history, zxid);
                self.members.get_mut(&id).unwrap().delivered = self.history[..len].to_vec();
                self.step(id, Input::Installed { zxid });
            }
            _ => unreachable!(),
        }
    }

    /// An image is what its source has delivered.
    fn fetch_one(&mut self, id: ServerId) {
        let Some(from) = self.members[&id].fetch else { return };
        let Some(source) = &self.members[&from].engine else { return };
        let zxid = source.delivered();
        let member = self.members.get_mut(&id).unwrap();
        member.fetch = None;
        if zxid <= member.engine.as_ref().unwrap().last_zxid() {
            return self.step(id, Input::InstallFailed);
        }
        member.disk.queue.push_back(Write::Install(zxid));
    }

    fn propose(&mut self, id: ServerId) {
        if !matches!(self.members[&id].role, Role::Leading { .. }) {
            return;
        }
        let count = 1 + self.random.below(3);
        let txns = (0..count)
            .map(|_| {
                self.next_value += 1;
                Bytes::copy_from_slice(&self.next_value.to_be_bytes())
            })
            .collect();
        self.step(id, Input::Propose(txns));
        let token = self.history.len() as u64;
        self.step(id, Input::Confirm { token });
    }

    fn fault(&mut self) {
        let ids = self.ids();
        let id = ids[self.random.below(ids.len() as u64) as usize];
        let other = ids[self.random.below(ids.len() as u64) as usize];
        match self.random.below(6) {
            0 => self.crash(id),
            1 | 2 => {
                if self.members[&id].engine.is_none() {
                    self.start(id);
                }
            }
            3 => self.disconnect(id, other),
            4 => {
                if id != other {
                    self.cut.insert(pair(id, other));
                    self.disconnect(id, other);
                }
            }
            _ => {
                self.cut.remove(&pair(id, other));
            }
        }
    }

    /// Takes a snapshot of what was delivered: the log before it may go.
    fn snapshot(&mut self) {
        let ids = self.ids();
        let id = ids[self.random.below(ids.len() as u64) as usize];
        let member = self.members.get_mut(&id).unwrap();
        if let Some(engine) = &member.engine {
            member.disk.image = member.disk.image.max(engine.delivered());
        }
    }

    fn heal(&mut self) {
        self.cut.clear();
        for id in self.ids() {
            if self.members[&id].engine.is_none() {
                self.start(id);
            }
        }
    }

    fn settle(&mut self, seed: u64) {
        self.heal();
        let before = self.history.len();
        for _ in 0..60_000 {
            self.advance();
            let is_even = self.members.values().all(|member| {
                member.delivered.len() > before && !matches!(member.role, Role::Looking)
            });
            if is_even {
                return;
            }
        }
        let states: Vec<_> = self
            .members
            .values()
            .map(|member| (member.id, member.role, member.delivered.len(), &member.engine))
            .collect();
        panic!("seed {seed}: nothing new everywhere after the faults stopped: {states:#?}");
    }
}

/// Carries out a write, and returns its mark.
fn write_down(disk: &mut Disk, write: Write) -> Option<Mark> {
    match write {
        Write::Entries(mark, entries) => {
            disk.log.extend(entries);
            Some(mark)
        }
        Write::Epochs(mark, epochs) => {
            disk.epochs = epochs;
            Some(mark)
        }
        Write::Truncate(mark, after) => {
            disk.log.retain(|entry| entry.zxid <= after);
            Some(mark)
        }
        Write::Install(zxid) => {
            disk.image = zxid;
            disk.log.clear();
            None
        }
    }
}

fn prefix_len(history: &[Entry], zxid: Zxid) -> usize {
    history.partition_point(|entry| entry.zxid <= zxid)
}

fn run(seed: u64, voters: u8, observers: u8) -> World {
    let mut world = World::new(seed, voters, observers);
    for _ in 0..3000 {
        if world.random.chance(8) {
            world.fault();
        }
        if world.random.chance(4) {
            world.snapshot();
        }
        world.advance();
    }
    world.settle(seed);
    world
}

fn seeds() -> u64 {
    option_env!("ZAB_SEEDS").and_then(|text| text.parse().ok()).unwrap_or(400)
}

#[test]
fn three_voters_keep_one_history_and_come_back() {
    let (mut delivered, mut confirmed, mut epochs) = (0, 0, 0);
    for seed in 0..seeds() {
        let world = run(seed, 3, 0);
        delivered += world.history.len();
        confirmed += world.confirmed;
        epochs += world.leaders.len() as u64;
    }
    // The test would prove nothing if nothing happened in it.
    assert!(delivered > 1000 && confirmed > 1000 && epochs > 2 * seeds());
}

#[test]
fn five_voters_and_an_observer_keep_one_history_and_come_back() {
    let mut delivered = 0;
    for seed in 0..seeds() {
        delivered += run(1_000_000 + seed, 5, 1).history.len();
    }
    assert!(delivered > 1000);
}

#[test]
fn one_voter_alone_commits_by_its_own_disk() {
    for seed in 0..50 {
        assert!(!run(2_000_000 + seed, 1, 0).history.is_empty());
    }
}
