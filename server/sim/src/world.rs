//! A run: machines, links and clients in one virtual time, and what happens to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use conclave_protocol::{ids::ServerId, txn::Change, zxid::Zxid};
use conclave_server::{
    boot,
    lane::Connection,
    replica::{Effect, Event, StoreCommand},
    snapshot::Taking,
};
use conclave_snapshots::{StorageError, fs::CrashMode};
use conclave_zab::Role;

use crate::{
    bounds,
    client::{Client, Learned},
    coverage,
    ledger::Ledger,
    machine::{Machine, Turn, Work},
    network::{Arrival, Network, Way},
    plan::plan,
    random::Random,
    scenario::{Report, Scenario},
    schedule::Schedule,
};

/// Virtual microseconds of one engine tick.
pub(crate) const TICK_US: u64 = boot::ENGINE_TICK_MS * 1000;

/// Silence after which a connection between members is given up, in microseconds.
pub(crate) const SILENCE_US: u64 = 2_000_000;

/// Rest between two attempts to connect to a member, in microseconds.
const DIAL_US: u64 = 100_000;

/// Rest before a shut way, or a full disk, is tried again, in microseconds.
const AGAIN_US: u64 = 50_000;

/// Rest between two looks at a disk's room, in microseconds.
const ROOM_US: u64 = 250_000;

/// Longest time that a slow disk takes for one sync, in microseconds.
const SYNC_US_MAX: u64 = 3_000_000;

/// What happens.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A member's clock ticks.
    Tick(ServerId, u64),
    /// The next message of a connection is due.
    Message(Way, u64),
    /// A member notices that a connection is gone.
    Down { at: ServerId, peer: ServerId, number: u64 },
    /// A member has heard nothing on a connection for too long, if its way is still shut.
    Silence { at: ServerId, peer: ServerId, number: u64 },
    /// A pair without a connection tries again.
    Dial(Way),
    /// A member's store has finished a piece of work.
    Store(ServerId, u64),
    /// A snapshot's next slice is due.
    Slice(ServerId, u64),
    /// A member looks at its disk's room.
    Room(ServerId, u64),
    /// A member looks at what its connections have passed on.
    Submit(ServerId, u64),
    /// A machine starts.
    Start(ServerId),
    /// A client does something.
    Think(usize),
    /// A client's next frames, or its first, are due at its member.
    ToMember(usize, u64),
    /// What a member wrote is due at its client.
    ToClient(usize, u64),
    /// A member notices that a client is gone.
    Gone(ServerId, Arc<Connection>),
    /// A member's power fails, and what it has not synced is gone.
    PowerOff(ServerId, u64),
    /// Something goes wrong.
    Fault,
    /// It is well again.
    Mend(crate::faults::Mend),
}

/// Everything.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) random: Random,
    pub(crate) now_us: u64,
    pub(crate) schedule: Schedule<Happening>,
    pub(crate) machines: BTreeMap<ServerId, Machine>,
    pub(crate) network: Network,
    pub(crate) clients: Vec<Client>,
    pub(crate) ledger: Ledger,
    pub(crate) report: Report,
    /// The newest write that anybody was acknowledged.
    pub(crate) known: Zxid,
    /// Nothing goes wrong any more.
    pub(crate) is_calm: bool,
    /// Clients ask for nothing any more.
    pub(crate) is_quiet: bool,
    /// The member whose disk is gray while everything else is well: clients keep away from it.
    pub(crate) gray: Option<ServerId>,
    effects: Vec<Effect>,
}

/// Runs a scenario, checks all it promises, and tells what happened.
///
/// # Panics
///
/// When a promise is broken; the message names it, and the seed replays it.
pub fn run(scenario: &Scenario) -> Report {
    let mut world = World::new(scenario);
    world.run_until(scenario.duration_ms * 1000, |_| false);
    world.settle();
    world.report.simulated_ms = world.now_us / 1000;
    world.report.txns = world.ledger.count() as u64;
    world.report
}

impl World {
    fn new(scenario: &Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let voters: BTreeSet<ServerId> = (1..=scenario.voters).map(ServerId).collect();
        let above = scenario.voters + 1;
        let observers = (above..above + scenario.observers).map(ServerId).collect();
        let plan = plan(scenario, voters, observers);
        let ids: Vec<ServerId> =
            plan.engine.voters.iter().chain(&plan.engine.observers).copied().collect();
        let machine = |id: &ServerId| {
            let mut plan = plan.clone();
            (plan.me, plan.engine.me) = (*id, *id);
            let mut machine = Machine::new(*id, plan, random.draw());
            let skew = random.below(2 * scenario.skew_ppm + 1) as i64;
            machine.skew_ppm = skew - scenario.skew_ppm as i64;
            machine.wall_offset_ms = random.below(1000) as i64;
            (*id, machine)
        };
        let mut world = Self {
            machines: ids.iter().map(machine).collect(),
            scenario: scenario.clone(),
            random,
            now_us: 1_000_000,
            schedule: Schedule::new(),
            network: Network::default(),
            clients: (0..scenario.clients).map(|number| Client::new(number, scenario)).collect(),
            ledger: Ledger::default(),
            report: Report::default(),
            known: Zxid::ZERO,
            is_calm: false,
            is_quiet: false,
            gray: None,
            effects: Vec::new(),
        };
        for (index, one) in ids.iter().enumerate() {
            world.start(*one);
            for other in &ids[..index] {
                world.note(0, Happening::Dial((*one, *other)));
            }
        }
        for client in 0..scenario.clients {
            world.note(1000 * client as u64, Happening::Think(client));
        }
        if !scenario.faults.is_empty() {
            world.note_fault();
        }
        world
    }

    pub(crate) fn note(&mut self, in_us: u64, what: Happening) {
        self.schedule.note(self.now_us + in_us, what);
    }

    pub(crate) fn ids(&self) -> Vec<ServerId> {
        self.machines.keys().copied().collect()
    }

    pub(crate) fn draw_delay_us(&mut self) -> u64 {
        let range = self.scenario.delay_us.clone();
        range.start + self.random.below(range.end - range.start)
    }

    pub(crate) fn trace(&mut self, value: u64) {
        self.report.trace = (self.report.trace ^ value).wrapping_mul(0x0100_0000_01b3);
    }

    /// Lets things happen until a time, or until something holds.
    pub(crate) fn run_until(&mut self, until_us: u64, is_over: impl Fn(&Self) -> bool) -> bool {
        while let Some((at_us, what)) = self.schedule.next() {
            self.now_us = at_us;
            self.report.events += 1;
            self.happen(what);
            if is_over(self) {
                return true;
            }
            if at_us > until_us {
                return false;
            }
        }
        false
    }

    fn happen(&mut self, what: Happening) {
        if let Some((id, until_us)) = self.paused(&what) {
            // Its turn comes when the process goes on, in the order that was.
            let in_us = until_us - self.now_us;
            self.trace(id.0.into());
            return self.note(in_us, what);
        }
        match what {
            Happening::Tick(id, process) => self.tick(id, process),
            Happening::Message(way, number) => self.message(way, number),
            Happening::Down { at, peer, number } => self.down(at, peer, number),
            Happening::Silence { at, peer, number } => {
                if self.network.is_shut((peer, at))
                    && self.network.number((at, peer)) == Some(number)
                {
                    self.hang_up(at, peer);
                }
            }
            Happening::Dial(way) => self.dial(way),
            Happening::Store(id, process) => self.store(id, process),
            Happening::Slice(id, process) => self.slice(id, process),
            Happening::Room(id, process) => self.room(id, process),
            Happening::Submit(id, process) => {
                let running = self.running(id, process);
                if let Some(submissions) = running.and_then(|running| running.arriving.pop_front())
                {
                    self.step(id, Event::Submit(submissions));
                }
            }
            Happening::Start(id) => {
                if self.machines[&id].running.is_none() {
                    self.report.restarts += 1;
                    self.start(id);
                }
            }
            Happening::Think(client) => self.think(client),
            Happening::ToMember(client, link) => self.frames_arrive(client, link),
            Happening::ToClient(client, link) => self.bytes_arrive(client, link),
            Happening::Gone(id, connection) => self.client_gone(id, &connection),
            Happening::PowerOff(id, process) => {
                if self.running(id, process).is_some() && !self.is_calm {
                    self.end(id, CrashMode::Drop, false);
                }
            }
            Happening::Fault => self.fault(),
            Happening::Mend(mend) => self.mend(mend),
        }
    }

    /// Returns the member that something happens to, when it stands still, and until when.
    fn paused(&self, what: &Happening) -> Option<(ServerId, u64)> {
        let id = match what {
            Happening::Tick(id, _)
            | Happening::Message((_, id), _)
            | Happening::Down { at: id, .. }
            | Happening::Silence { at: id, .. }
            | Happening::Store(id, _)
            | Happening::Slice(id, _)
            | Happening::Room(id, _)
            | Happening::Submit(id, _)
            | Happening::Gone(id, _) => *id,
            Happening::ToMember(client, _) => self.clients[*client].link.as_ref()?.home,
            _ => return None,
        };
        let until_us = self.machines[&id].paused_until_us;
        (until_us > self.now_us).then_some((id, until_us))
    }

    pub(crate) fn running(
        &mut self,
        id: ServerId,
        process: u64,
    ) -> Option<&mut crate::machine::Running> {
        let machine = self.machines.get_mut(&id).expect("a member");
        if machine.process == process { machine.running.as_mut() } else { None }
    }

    pub(crate) fn start(&mut self, id: ServerId) {
        let seed = self.random.draw();
        let now_us = self.now_us;
        tracing::info!(at_ms = now_us / 1000, member = id.0, "start");
        let machine = self.machines.get_mut(&id).expect("a member");
        if let Err(error) = machine.start(seed, now_us) {
            // Only a disk that has no room, or fails, may keep a member from starting.
            let is_well = machine.disk.has_power() && machine.plan.engine.voters.len() > 1;
            assert!(!(is_well && self.is_calm), "{id} does not start: {error}");
            machine.crash(CrashMode::Keep);
            return self.note(1_000_000, Happening::Start(id));
        }
        let process = machine.process;
        let in_us = self.random.below(TICK_US);
        self.note(in_us, Happening::Tick(id, process));
        self.note(ROOM_US, Happening::Room(id, process));
    }

    /// Ends a process. When its power fails, nobody is told.
    pub(crate) fn crash(&mut self, id: ServerId, mode: CrashMode, is_told: bool) {
        let machine = self.machines.get_mut(&id).expect("a member");
        if machine.running.is_none() {
            return;
        }
        machine.crash(mode);
        machine.paused_until_us = 0;
        tracing::info!(at_ms = self.now_us / 1000, member = id.0, ?mode, "crash");
        let process = machine.process;
        self.trace(process);
        for other in self.ids() {
            let Some(number) = self.network.number((id, other)).filter(|_| other != id) else {
                continue;
            };
            self.network.close(id, other, number);
            let in_us = if is_told { self.draw_delay_us() } else { SILENCE_US };
            self.note(in_us, Happening::Down { at: other, peer: id, number });
        }
        for client in 0..self.clients.len() {
            let link = self.clients[client].link.as_ref().filter(|link| link.home == id);
            if let Some(number) = link.map(|link| link.number) {
                self.deliver_to_client(client, number, bytes::BytesMut::new(), true);
            }
        }
    }

    fn tick(&mut self, id: ServerId, process: u64) {
        let now_us = self.now_us;
        if self.running(id, process).is_none() {
            return;
        }
        let machine = &self.machines[&id];
        let (now_ms, wall_ms) = machine.clocks_ms(now_us);
        let tick_us = (TICK_US as i64 - TICK_US as i64 * machine.skew_ppm / 1_000_000) as u64;
        self.step(id, Event::Tick { now_ms, wall_ms });
        self.note(tick_us, Happening::Tick(id, process));
    }

    fn room(&mut self, id: ServerId, process: u64) {
        let Some(running) = self.running(id, process) else { return };
        if let Some(event) = running.look_at_room() {
            self.step(id, event);
        }
        bounds::check(&self.machines[&id], &self.scenario);
        self.note(ROOM_US, Happening::Room(id, process));
    }

    /// Steps a member, carries out what it says, and notes what it has delivered.
    pub(crate) fn step(&mut self, id: ServerId, event: Event) {
        let machine = self.machines.get_mut(&id).expect("a member");
        let Some(running) = &mut machine.running else { return };
        let is_installed = matches!(event, Event::Installed(_));
        let (before, role) = (running.shared.state.read().last_applied, running.replica.role());
        let mut effects = std::mem::take(&mut self.effects);
        running.replica.step(event, &mut effects);
        running.replica.flush(&mut effects);
        let after = running.shared.state.read().last_applied;
        let role_after = running.replica.role();
        if is_installed {
            self.report.installed += 1;
            machine.is_rotten = false;
        }
        for effect in &effects {
            if let Effect::Store(command) = effect {
                machine.note_work(command);
            }
        }
        // What it delivers was logged before, perhaps in this very step.
        let from = if is_installed { after.min(before) } else { before };
        let delivered = machine.take_delivered(from, after);
        if !is_installed && after > before {
            let count = self.ledger.count();
            self.ledger.deliver(&format!("member {id}"), before, &delivered);
            assert!(delivered.last().is_some_and(|entry| entry.zxid == after), "{id}: gaps");
            for entry in self.ledger.since(count) {
                self.note_expiry(entry);
            }
        }
        if role_after != role {
            self.report.reigns += u64::from(matches!(role_after, Role::Leading { .. }));
        }
        self.trace(after.to_wire() as u64 ^ u64::from(id.0));
        for effect in effects.drain(..) {
            self.carry_out(id, effect);
        }
        self.effects = effects;
        self.flush_clients(id);
    }

    fn note_expiry(&mut self, zxid: Zxid) {
        let txn = self.ledger.txn(zxid).expect("just delivered");
        // Nobody waits for it: the leader has closed it.
        self.report.expired += u64::from(txn.change == Change::CloseSession && txn.origin.seq == 0);
    }

    fn carry_out(&mut self, id: ServerId, effect: Effect) {
        let machine = self.machines.get_mut(&id).expect("a member");
        let (process, disk) = (machine.process, machine.disk.clone());
        let Some(running) = &mut machine.running else { return };
        match effect {
            Effect::Send { to, message } => {
                if machine.note_said(&message) {
                    self.note(0, Happening::PowerOff(id, process));
                }
                self.report.coverage.sent(&message);
                self.send((id, to), message);
            }
            Effect::Store(command) => self.work(id, Work::Command(command)),
            Effect::SendChunk { to, zxid, offset } => {
                self.work(id, Work::SendChunk { to, zxid, offset });
            }
            Effect::StartSnapshot => {
                if let Err(error) = running.store.roll() {
                    return self.storage_failed(id, &error);
                }
                match Taking::begin(&disk, "data", &running.shared) {
                    Ok(taking) => {
                        running.taking = Some(taking);
                        self.note(1000, Happening::Slice(id, process));
                    }
                    Err(_) => self.step(id, Event::SnapshotDone(None)),
                }
            }
            Effect::Halt(why) => panic!("member {id} gives up: {why}"),
        }
    }

    fn work(&mut self, id: ServerId, work: Work) {
        let machine = self.machines.get_mut(&id).expect("a member");
        let process = machine.process;
        let Some(running) = &mut machine.running else { return };
        running.work.push_back(work);
        if !std::mem::replace(&mut running.is_working, true) {
            self.note(20, Happening::Store(id, process));
        }
    }

    fn sync_us(&mut self, id: ServerId) -> u64 {
        let range = self.scenario.sync_us.clone();
        let usual_us = range.start + self.random.below(range.end - range.start);
        let machine = &self.machines[&id];
        machine.gray_sync_us.unwrap_or_else(|| (usual_us * machine.disk_factor).min(SYNC_US_MAX))
    }

    fn store(&mut self, id: ServerId, process: u64) {
        let stalled_until_us = self.machines[&id].stalled_until_us;
        if stalled_until_us > self.now_us {
            let in_us = (stalled_until_us - self.now_us).min(AGAIN_US);
            return self.note(in_us, Happening::Store(id, process));
        }
        let Some(running) = self.running(id, process) else { return };
        let turn = match running.store_turn() {
            Ok(turn) => turn,
            Err(error) => return self.storage_failed(id, &error),
        };
        let in_us = match turn {
            Turn::Idle => {
                running.is_working = false;
                return;
            }
            Turn::Written => self.sync_us(id),
            Turn::NoRoom => 5 * AGAIN_US,
            Turn::Send(to, message) => {
                self.send((id, to), message);
                50
            }
            Turn::Done(event) => {
                if let Some(event) = event {
                    self.step(id, event);
                }
                // What is next may have a sync of its own.
                let is_append = self.running(id, process).is_some_and(|running| {
                    matches!(running.work.front(), Some(Work::Command(StoreCommand::Append { .. })))
                });
                if is_append { 20 } else { self.sync_us(id) / 2 }
            }
        };
        self.note(in_us, Happening::Store(id, process));
    }

    fn slice(&mut self, id: ServerId, process: u64) {
        let znodes = 1 + self.random.below(10) as usize;
        let in_us = self.sync_us(id) / 4;
        let Some(running) = self.running(id, process) else { return };
        match running.snapshot_turn(znodes) {
            Err(error) => self.storage_failed(id, &error),
            Ok(Some(event)) => {
                self.report.snapshots += 1;
                self.step(id, event);
            }
            Ok(None) => self.note(in_us, Happening::Slice(id, process)),
        }
    }

    /// A member whose storage fails ends, as the driver ends it.
    fn storage_failed(&mut self, id: ServerId, error: &StorageError) {
        let disk = &self.machines[&id].disk;
        if !disk.has_power() {
            self.report.coverage.count(coverage::CRASHES, coverage::step(error));
        }
        let mode =
            if disk.has_power() { CrashMode::Keep } else { *self.random.pick(&CrashMode::ALL) };
        tracing::info!(at_ms = self.now_us / 1000, member = id.0, %error, "storage failed");
        assert!(!self.is_calm, "{id}: {error}, though nothing goes wrong");
        self.crash(id, mode, true);
        let in_us = 100_000 + self.random.below(3_000_000);
        self.note(in_us, Happening::Start(id));
    }

    fn send(&mut self, way: Way, message: conclave_protocol::peer::PeerMessage) {
        let at_us = self.now_us + self.draw_delay_us();
        if let Some((number, at_us)) = self.network.send(way, at_us, message) {
            self.note(at_us - self.now_us, Happening::Message(way, number));
        }
    }

    fn message(&mut self, way: Way, number: u64) {
        match self.network.arrive(way, number) {
            Arrival::Message(message) => {
                self.trace(u64::from(way.0.0) << 8 | u64::from(way.1.0));
                self.machines.get_mut(&way.1).expect("a member").note_heard(&message);
                self.step(way.1, Event::Peer { from: way.0, message });
            }
            Arrival::Shut => self.note(AGAIN_US, Happening::Message(way, number)),
            Arrival::Closed => {
                let in_us = self.draw_delay_us();
                self.note(in_us, Happening::Down { at: way.0, peer: way.1, number });
            }
            Arrival::Gone => {}
        }
    }

    fn down(&mut self, at: ServerId, peer: ServerId, number: u64) {
        if self.network.close(at, peer, number) {
            self.step(at, Event::PeerDown(peer));
        }
    }

    /// A member gives a connection up; the other end hears of it if it can.
    pub(crate) fn hang_up(&mut self, at: ServerId, peer: ServerId) {
        let Some(number) = self.network.number((at, peer)) else { return };
        self.down(at, peer, number);
        if !self.network.is_shut((at, peer)) {
            let in_us = self.draw_delay_us();
            self.note(in_us, Happening::Down { at: peer, peer: at, number });
        }
    }

    fn dial(&mut self, way: Way) {
        let (caller, other) = way;
        let in_us = DIAL_US / 4 + self.random.below(DIAL_US);
        self.note(in_us, Happening::Dial(way));
        let can = |id: ServerId| {
            let machine = &self.machines[&id];
            machine.running.is_some() && machine.paused_until_us <= self.now_us
        };
        let is_shut = self.network.is_shut(way) || self.network.is_shut((other, caller));
        if !can(caller) || !can(other) || is_shut || self.network.is_open(caller, other) {
            return;
        }
        // A new call replaces a connection that its other end still takes for alive.
        if let Some(number) = self.network.number(way) {
            self.down(other, caller, number);
        }
        self.network.connect(way);
        self.step(other, Event::PeerUp(caller));
        self.step(caller, Event::PeerUp(other));
    }

    pub(crate) fn learn(&mut self, learned: Learned) {
        for (opcode, error) in learned.outcomes {
            self.report.coverage.answered(opcode, error);
        }
        if let Some(service) = learned.service {
            self.report.coverage.count(coverage::SERVICE, service);
        }
        self.report.answers += learned.answers;
        self.report.watch_events += learned.events;
        self.known = self.known.max(learned.acknowledged.unwrap_or(Zxid::ZERO));
    }
}
