//! An ensemble of whole members, its network and its disks.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use conclave_protocol::{ids::ServerId, peer::PeerMessage, zxid::Zxid};
use conclave_server::{
    acl::Access,
    boot::{self, Loss, Plan},
    pipeline::{forward::Submission, prepare::Rules},
    replica::{Effect, Event, ReapSettings, Replica, Settings, StoreCommand},
    shared::{LocalSessions, Shared, Terms},
    snapshot,
    store::Store,
};
use conclave_snapshots::{
    fs::{CrashMode, FaultyFs},
    log::LogOptions,
};
use conclave_zab::{Engine, Role};

use crate::{
    client::{Client, Outcome},
    random::Random,
};

/// Virtual milliseconds of one engine tick.
const TICK_MS: u64 = boot::ENGINE_TICK_MS;

/// Steps in which an ensemble without faults must have settled.
const SETTLE_STEPS: u64 = 200_000;

/// What may go wrong in a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// One process dies; its disk keeps what the system had.
    Kill,
    /// The power fails for all at once; what was not synced is gone, torn or reordered.
    PowerLoss,
    /// A link between two members breaks.
    Cut,
}

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Decides every choice.
    pub seed: u64,
    /// Voting members.
    pub members: u8,
    /// Steps before the faults stop.
    pub steps: u64,
    /// What may go wrong.
    pub faults: Vec<Fault>,
    /// How often something does, of a thousand steps.
    pub faults_per_mille: u64,
}

/// What a run did, and a digest of all that happened in it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Writes that were acknowledged, all of which are there.
    pub acknowledged: usize,
    /// Writes without an answer.
    pub unknown: usize,
    /// Of those, the ones that took effect.
    pub kept: usize,
    /// Faults that happened.
    pub faults: u64,
    /// Snapshots that were sent to learners and installed.
    pub installed: u64,
    /// The same for every run of one seed and version.
    pub trace: u64,
}

struct Member {
    disk: FaultyFs,
    running: Option<Running>,
}

struct Running {
    shared: Arc<Shared>,
    replica: Replica,
    store: Store<FaultyFs>,
    work: VecDeque<StoreCommand>,
    /// What connections have passed on and the member has not looked at yet.
    arriving: VecDeque<Vec<Submission>>,
}

struct World {
    random: Random,
    plan: Plan,
    members: BTreeMap<ServerId, Member>,
    up: BTreeSet<(ServerId, ServerId)>,
    messages: BTreeMap<(ServerId, ServerId), VecDeque<PeerMessage>>,
    clients: Vec<Client>,
    now_ms: u64,
    /// Clients write no more.
    is_quiet: bool,
    report: Report,
}

/// Runs a scenario, checks all it promises, and tells what happened.
///
/// # Panics
///
/// When a promise is broken; the message names it, and the seed replays it.
pub fn run(scenario: &Scenario) -> Report {
    let mut world = World::new(scenario);
    for _ in 0..scenario.steps {
        if world.random.chance(scenario.faults_per_mille) {
            let fault = *world.random.pick(&scenario.faults);
            world.fault(fault);
        }
        world.advance();
    }
    world.settle();
    world.judge();
    world.report
}

fn pair(a: ServerId, b: ServerId) -> (ServerId, ServerId) {
    (a.min(b), a.max(b))
}

impl World {
    fn new(scenario: &Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let voters: BTreeSet<ServerId> = (1..=scenario.members).map(ServerId).collect();
        let engine = conclave_zab::Config {
            me: ServerId(1),
            voters: voters.clone(),
            observers: BTreeSet::new(),
            init_limit_ticks: 200,
            sync_limit_ticks: 80,
            heartbeat_ticks: 10,
            election_settle_ticks: 2,
            window_entries_max: [8, 1000][random.below(2) as usize],
            window_bytes_max: 1 << 20,
        };
        let plan = Plan {
            me: ServerId(1),
            data_dir: "data".to_owned(),
            log_dir: "data".to_owned(),
            retain: 3,
            loss: Loss::default(),
            log: LogOptions { segment_len_bytes: 16 << 10, preallocate_bytes: 4 << 10 },
            engine,
            replica: Settings {
                snapshot_txns: 20 + random.below(200),
                snapshot_bytes: 1 << 20,
                fetch_timeout_ms: 5_000,
                reap: ReapSettings { interval_ms: 1000, per_minute_max: 10_000, never_used_ms: 0 },
            },
            terms: Terms {
                session_timeout_ms_min: 4000,
                session_timeout_ms_max: 40_000,
                frame_len_bytes_max: 1 << 20,
                access: Access::default(),
                rules: Rules { has_ttl: true },
                members: Bytes::new(),
                local_sessions: LocalSessions::Off,
                read_only_after_ms: None,
            },
        };
        let mut world = Self {
            plan,
            members: BTreeMap::new(),
            up: BTreeSet::new(),
            messages: BTreeMap::new(),
            clients: (0..4).map(Client::new).collect(),
            now_ms: 1000,
            is_quiet: false,
            report: Report::default(),
            random,
        };
        for id in voters {
            let disk = FaultyFs::new(world.random.draw());
            world.members.insert(id, Member { disk, running: None });
            world.start(id);
        }
        world
    }

    fn ids(&self) -> Vec<ServerId> {
        self.members.keys().copied().collect()
    }

    fn any(&mut self) -> ServerId {
        *self.random.pick(&self.ids())
    }

    fn start(&mut self, id: ServerId) {
        let mut plan = self.plan.clone();
        plan.me = id;
        plan.engine.me = id;
        let (seed, wall_ms) = (self.random.draw(), self.now_ms as i64);
        let member = self.members.get_mut(&id).expect("a member");
        let booted = boot::boot(member.disk.clone(), &plan, seed, wall_ms)
            .expect("a disk that lost only what was not synced lets its member start");
        let shared = Arc::new(booted.shared);
        let engine = Engine::new(plan.engine.clone(), booted.recovered);
        let replica = Replica::new(shared.clone(), plan.replica, engine, booted.newest_snapshot);
        let (work, arriving) = (VecDeque::new(), VecDeque::new());
        member.running = Some(Running { shared, replica, store: booted.store, work, arriving });
    }

    fn stop(&mut self, id: ServerId, mode: CrashMode) {
        let member = self.members.get_mut(&id).expect("a member");
        let Some(running) = member.running.take() else { return };
        running.shared.drop_all_connections();
        drop(running);
        member.disk.crash(mode);
        for other in self.ids() {
            self.disconnect(id, other);
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.report.faults += 1;
        let id = self.any();
        match fault {
            // The system has what the process wrote, synced or not.
            Fault::Kill => self.stop(id, CrashMode::Keep),
            Fault::PowerLoss => {
                let modes = [CrashMode::Drop, CrashMode::Keep, CrashMode::Tear, CrashMode::Reorder];
                for id in self.ids() {
                    let mode = *self.random.pick(&modes);
                    self.stop(id, mode);
                }
            }
            Fault::Cut => {
                let other = self.any();
                self.disconnect(id, other);
            }
        }
        self.trace(id.0.into());
    }

    fn trace(&mut self, value: u64) {
        self.report.trace = (self.report.trace ^ value).wrapping_mul(0x0100_0000_01b3);
    }

    fn connect(&mut self, a: ServerId, b: ServerId) {
        let is_running = |id: &ServerId| self.members[id].running.is_some();
        if a != b && is_running(&a) && is_running(&b) && self.up.insert(pair(a, b)) {
            self.step(a, vec![Event::PeerUp(b)]);
            self.step(b, vec![Event::PeerUp(a)]);
        }
    }

    fn disconnect(&mut self, a: ServerId, b: ServerId) {
        if self.up.remove(&pair(a, b)) {
            self.messages.remove(&(a, b));
            self.messages.remove(&(b, a));
            self.step(a, vec![Event::PeerDown(b)]);
            self.step(b, vec![Event::PeerDown(a)]);
        }
    }

    /// Steps a member with what has come together, and carries out what it says.
    fn step(&mut self, id: ServerId, events: Vec<Event>) {
        let member = self.members.get_mut(&id).expect("a member");
        let Some(running) = &mut member.running else { return };
        let mut effects = Vec::new();
        for event in events {
            running.replica.step(event, &mut effects);
        }
        running.replica.flush(&mut effects);
        for effect in effects {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: ServerId, effect: Effect) {
        let member = self.members.get_mut(&id).expect("a member");
        let Some(running) = &mut member.running else { return };
        match effect {
            Effect::Send { to, message } => self.send(id, to, message),
            Effect::Store(command) => running.work.push_back(command),
            Effect::StartSnapshot => {
                running.store.roll().expect("this disk does not fail");
                let taken = snapshot::take(&member.disk, "data", &running.shared);
                running.store.retain().expect("this disk does not fail");
                let zxid = taken.expect("this disk does not fail");
                self.step(id, vec![Event::SnapshotDone(zxid)]);
            }
            Effect::SendChunk { to, zxid, offset } => {
                let chunk = running.store.read_chunk(zxid, offset);
                self.send(id, to, chunk);
            }
            Effect::Halt(why) => panic!("member {} gives up: {why}", id.0),
        }
    }

    fn send(&mut self, from: ServerId, to: ServerId, message: PeerMessage) {
        if self.up.contains(&pair(from, to)) {
            self.messages.entry((from, to)).or_default().push_back(message);
        }
    }

    /// Lets one thing happen that is not a fault.
    fn advance(&mut self) {
        let id = self.any();
        match self.random.below(24) {
            0 => self.tick(),
            1..=8 => self.deliver(),
            9..=13 => self.store(id),
            14 => {
                let other = self.any();
                self.connect(id, other);
            }
            15 => {
                if self.members[&id].running.is_none() && self.random.chance(100) {
                    self.start(id);
                }
            }
            20..=23 => self.submit(id),
            _ if self.is_quiet => self.clients.iter_mut().for_each(Client::read),
            _ => self.client(id),
        }
    }

    fn tick(&mut self) {
        self.now_ms += TICK_MS;
        let (now_ms, wall_ms) = (self.now_ms, self.now_ms as i64);
        for id in self.ids() {
            self.step(id, vec![Event::Tick { now_ms, wall_ms }]);
        }
    }

    fn deliver(&mut self) {
        let ready: Vec<(ServerId, ServerId)> = self
            .messages
            .iter()
            .filter(|(_, queue)| !queue.is_empty())
            .map(|(link, _)| *link)
            .collect();
        if ready.is_empty() {
            return;
        }
        let link = *self.random.pick(&ready);
        let queue = self.messages.get_mut(&link).expect("a ready link");
        let message = queue.pop_front().expect("a ready link has a message");
        self.step(link.1, vec![Event::Peer { from: link.0, message }]);
    }

    fn store(&mut self, id: ServerId) {
        let member = self.members.get_mut(&id).expect("a member");
        let Some(running) = &mut member.running else { return };
        let Some(command) = running.work.pop_front() else { return };
        let is_install = matches!(command, StoreCommand::Install { .. });
        let done = running.store.command(command).expect("this disk does not fail");
        self.report.installed += u64::from(is_install);
        if let Some(event) = done {
            self.step(id, vec![event]);
        }
    }

    /// A connection passes requests on; the member looks at them later, perhaps under another
    /// leader, and perhaps when the connection is gone.
    fn pass_on(&mut self, to: ServerId, submissions: Vec<Submission>) {
        let member = self.members.get_mut(&to).expect("a member");
        if let Some(running) = &mut member.running {
            running.arriving.push_back(submissions);
        }
    }

    fn submit(&mut self, id: ServerId) {
        let member = self.members.get_mut(&id).expect("a member");
        let arrived = member.running.as_mut().and_then(|running| running.arriving.pop_front());
        if let Some(submissions) = arrived {
            self.step(id, vec![Event::Submit(submissions)]);
        }
    }

    fn client(&mut self, at: ServerId) {
        let count = self.clients.len() as u64;
        let index = self.random.below(count) as usize;
        let known = self.clients[self.random.below(count) as usize].last_acknowledged();
        let kind = self.random.below(4);
        let client = &mut self.clients[index];
        client.read();
        let Some(running) = &self.members[&at].running else { return };
        if client.is_connected() {
            // It stays where it is connected: find that member by its own table.
            let home = self.members.iter().find(|(_, member)| {
                member.running.as_ref().is_some_and(|running| client.is_served_by(&running.shared))
            });
            let Some((home, member)) = home else { return client.lose() };
            let (home, shared) = (*home, member.running.as_ref().expect("found").shared.clone());
            let submissions = match (kind, known) {
                (0, Some(value)) => client.sync_and_read(&shared, value),
                (1, _) => client.write_and_read(&shared),
                _ => client.write(&shared),
            };
            self.pass_on(home, submissions);
        } else if running.shared.is_serving() && !client.is_waiting() {
            let shared = running.shared.clone();
            if let Some(submission) = client.connect(&shared) {
                self.pass_on(at, vec![submission]);
            }
        }
    }

    /// The faults stop: everyone comes back, and new writes are acknowledged.
    fn settle(&mut self) {
        for id in self.ids() {
            if self.members[&id].running.is_none() {
                self.start(id);
            }
        }
        let before = self.acknowledged();
        for _ in 0..SETTLE_STEPS {
            self.advance();
            // Once a new write is through, no more begin: what is under way has to come to an end.
            self.is_quiet |= self.acknowledged() > before;
            if self.is_quiet && self.is_even() {
                return;
            }
        }
        panic!("no write was acknowledged, or members differ, long after the faults stopped");
    }

    fn acknowledged(&self) -> usize {
        self.clients.iter().map(Client::acknowledged).sum()
    }

    /// Returns whether all members serve, have applied the same, and nothing is under way.
    fn is_even(&self) -> bool {
        let mut applied: BTreeSet<Zxid> = BTreeSet::new();
        for member in self.members.values() {
            let Some(running) = &member.running else { return false };
            if running.replica.role() == Role::Looking {
                return false;
            }
            applied.insert(running.shared.state.read().last_applied);
        }
        applied.len() == 1
    }

    /// Checks what was promised, by the members' trees and the clients' memories alone.
    fn judge(&mut self) {
        let digests: BTreeSet<u64> = self
            .members
            .values()
            .map(|member| {
                let running = member.running.as_ref().expect("settled");
                running.shared.state.read().tree.digest()
            })
            .collect();
        assert_eq!(digests.len(), 1, "the members' trees differ");
        let member = self.members.values().next().expect("a member");
        let shared = member.running.as_ref().expect("settled").shared.clone();
        let state = shared.state.read();
        let is_there = |value: u64, half: &str| {
            let node = state.tree.node(&format!("/{value:x}{half}"));
            node.map(|node| assert_eq!(node.data(), Some(&value.to_be_bytes()[..]))).is_some()
        };
        for (value, outcome) in self.clients.iter().flat_map(Client::writes) {
            let (a, b) = (is_there(*value, "a"), is_there(*value, "b"));
            assert_eq!(a, b, "half of a multi is there: {value:x}");
            match outcome {
                Outcome::Acknowledged => {
                    assert!(a, "an acknowledged write is lost: {value:x}");
                    self.report.acknowledged += 1;
                }
                Outcome::Unknown => {
                    self.report.unknown += 1;
                    self.report.kept += usize::from(a);
                }
            }
        }
        let digest = digests.into_iter().next().expect("one digest");
        drop(state);
        self.trace(digest);
        self.trace(self.now_ms);
    }
}
