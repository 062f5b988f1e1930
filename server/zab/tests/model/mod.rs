//! A model of what is around engines: links that are FIFO while they are up, disks that forget in a
//! crash what was not synced, snapshots; and the checks, which know nothing of an engine but its
//! outputs.

pub(crate) mod check;
pub(crate) mod disk;
pub(crate) mod random;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Epochs, Message, Standing},
    zxid::{Epoch, Zxid},
};
use conclave_zab::{Broadcast, Config, Engine, Input, Output, Recovered, Role};

use check::Checker;
use disk::{Disk, Write};

/// Messages and writes carried out between two ticks at most: more is a storm that never ends.
const STEPS_PER_TICK_MAX: usize = 200_000;

#[derive(Clone, Eq, Hash, PartialEq)]
pub(crate) struct Member {
    pub(crate) engine: Option<Engine>,
    pub(crate) disk: Disk,
    pub(crate) role: Role,
    /// A fetch that was asked and is not on its way to the disk: the source.
    pub(crate) fetch: Option<ServerId>,
    /// Stopped, as by SIGSTOP: it gets nothing and does nothing, and its connections stay up.
    pub(crate) is_paused: bool,
    /// Its disk takes writes and does not finish them.
    pub(crate) is_stalled: bool,
}

/// Cheap to clone: what a step does not change is shared.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct World {
    pub(crate) config: Arc<Config>,
    pub(crate) members: BTreeMap<ServerId, Arc<Member>>,
    pub(crate) links: BTreeMap<(ServerId, ServerId), VecDeque<Message>>,
    /// Pairs that are connected.
    pub(crate) up: BTreeSet<(ServerId, ServerId)>,
    /// Who takes itself for connected to whom: it has not noticed yet when it is not.
    pub(crate) ends: BTreeSet<(ServerId, ServerId)>,
    /// Pairs that cannot connect.
    pub(crate) cut: BTreeSet<(ServerId, ServerId)>,
    /// Directions in which nothing arrives for now, though the connection is up.
    pub(crate) held: BTreeSet<(ServerId, ServerId)>,
    pub(crate) checker: Arc<Checker>,
    pub(crate) confirmed: Vec<u64>,
    /// The greatest round of elections that anyone has told.
    pub(crate) round_max: u64,
}

pub(crate) fn pair(a: ServerId, b: ServerId) -> (ServerId, ServerId) {
    (a.min(b), a.max(b))
}

pub(crate) fn config(voters: u8, observers: u8) -> Config {
    Config {
        me: ServerId(1),
        voters: (1..=voters).map(ServerId).collect(),
        observers: (voters + 1..=voters + observers).map(ServerId).collect(),
        init_limit_ticks: 60,
        sync_limit_ticks: 20,
        slow_disk_ticks: 10,
        heartbeat_ticks: 4,
        election_settle_ticks: 2,
        window_entries_max: 1000,
        window_bytes_max: 1 << 20,
    }
}

impl World {
    /// Makes members with empty disks; none is started.
    pub(crate) fn new(config: Config) -> Self {
        let ids = config.voters.iter().chain(&config.observers);
        let members = ids.map(|id| (*id, Arc::new(Member::new()))).collect();
        Self {
            config: Arc::new(config),
            members,
            links: BTreeMap::new(),
            up: BTreeSet::new(),
            ends: BTreeSet::new(),
            cut: BTreeSet::new(),
            held: BTreeSet::new(),
            checker: Arc::default(),
            confirmed: Vec::new(),
            round_max: 0,
        }
    }

    pub(crate) fn ids(&self) -> Vec<ServerId> {
        self.members.keys().copied().collect()
    }

    pub(crate) fn member(&self, id: ServerId) -> &Member {
        &self.members[&id]
    }

    pub(crate) fn member_mut(&mut self, id: ServerId) -> &mut Member {
        Arc::make_mut(self.members.get_mut(&id).unwrap())
    }

    pub(crate) fn checker_mut(&mut self) -> &mut Checker {
        Arc::make_mut(&mut self.checker)
    }

    pub(crate) fn start(&mut self, id: ServerId) {
        let config = Config { me: id, ..Config::clone(&self.config) };
        let member = self.member_mut(id);
        assert!(member.engine.is_none(), "it runs already");
        let recovered: Recovered = member.disk.recover();
        let image = recovered.base;
        member.engine = Some(Engine::new(config, recovered));
        member.role = Role::Looking;
        (member.fetch, member.is_paused, member.is_stalled) = (None, false, false);
        self.checker_mut().on_start(id, image);
    }

    /// Starts all that do not run.
    pub(crate) fn start_all(&mut self) {
        for id in self.ids() {
            if self.members[&id].engine.is_none() {
                self.start(id);
            }
        }
    }

    /// Stops a member at once; of what was on its way to the disk, `kept` writes made it.
    pub(crate) fn crash(&mut self, id: ServerId, kept: usize) {
        self.crash_unnoticed(id, kept);
        for other in self.ids() {
            self.notice(other, id);
        }
    }

    /// As `crash`, but nobody has noticed yet.
    pub(crate) fn crash_unnoticed(&mut self, id: ServerId, kept: usize) {
        let member = self.member_mut(id);
        (member.engine, member.fetch, member.role) = (None, None, Role::Looking);
        member.disk.crash(kept);
        for other in self.ids() {
            self.sever(id, other);
            self.ends.remove(&(id, other));
        }
    }

    /// Takes everything from a member's disk; it starts again knowing only that.
    pub(crate) fn lose_disk(&mut self, id: ServerId) {
        self.crash(id, 0);
        let disk = &mut self.member_mut(id).disk;
        *disk = Disk::default();
        disk.epochs.standing = Standing::Repairing;
    }

    pub(crate) fn disconnect(&mut self, a: ServerId, b: ServerId) {
        self.sever(a, b);
        self.notice(a, b);
        self.notice(b, a);
    }

    /// Breaks the connection of two members; what is on its way is lost, and neither has noticed.
    pub(crate) fn sever(&mut self, a: ServerId, b: ServerId) {
        self.up.remove(&pair(a, b));
        self.links.remove(&(a, b));
        self.links.remove(&(b, a));
    }

    /// Lets a member notice that its connection to another is gone.
    pub(crate) fn notice(&mut self, me: ServerId, other: ServerId) {
        if !self.ends.remove(&(me, other)) {
            return;
        }
        if self.members[&me].fetch == Some(other) {
            self.member_mut(me).fetch = None;
            self.step(me, Input::InstallFailed);
        }
        self.step(me, Input::Disconnected(other));
    }

    pub(crate) fn connect(&mut self, a: ServerId, b: ServerId) {
        if self.can_connect(a, b) {
            self.up.insert(pair(a, b));
            self.ends.extend([(a, b), (b, a)]);
            self.step(a, Input::Connected(b));
            self.step(b, Input::Connected(a));
        }
    }

    /// Returns whether a new connection can be made: both must have noticed the end of the last.
    pub(crate) fn can_connect(&self, a: ServerId, b: ServerId) -> bool {
        let can = |id: ServerId| self.members[&id].engine.is_some() && !self.members[&id].is_paused;
        let is_free = !self.ends.contains(&(a, b)) && !self.ends.contains(&(b, a));
        a != b && can(a) && can(b) && is_free && !self.cut.contains(&pair(a, b))
    }

    pub(crate) fn connect_all(&mut self) {
        let ids = self.ids();
        for a in &ids {
            for b in &ids {
                self.connect(*a, *b);
            }
        }
    }

    /// Cuts the connection, and lets none be made.
    pub(crate) fn cut(&mut self, a: ServerId, b: ServerId) {
        if a != b {
            self.cut.insert(pair(a, b));
            self.disconnect(a, b);
        }
    }

    pub(crate) fn step(&mut self, id: ServerId, input: Input) {
        if self.members[&id].engine.is_none() {
            return;
        }
        let Some(engine) = &mut self.member_mut(id).engine else { return };
        let mut out = Vec::new();
        engine.step(input, &mut out);
        for output in out {
            self.carry_out(id, output);
        }
    }

    fn carry_out(&mut self, id: ServerId, output: Output) {
        let Self { members, checker, .. } = self;
        let (member, checker) = (members.get_mut(&id).unwrap(), Arc::make_mut(checker));
        match output {
            Output::Send { to, message } => {
                if let Message::Notification { round, .. } = message {
                    self.round_max = self.round_max.max(round);
                }
                checker.on_send(id, to, &message, &member.disk);
                if self.up.contains(&pair(id, to)) {
                    self.links.entry((id, to)).or_default().push_back(message);
                }
            }
            Output::Persist { mark, entries } => {
                Arc::make_mut(member).disk.ask(Write::Entries(mark, entries));
            }
            Output::PersistEpochs { mark, epochs } => {
                Arc::make_mut(member).disk.ask(Write::Epochs(mark, epochs));
            }
            Output::Truncate { mark, after } => {
                Arc::make_mut(member).disk.ask(Write::Truncate(mark, after));
            }
            Output::Deliver { entries } => checker.on_deliver(id, entries, &member.disk),
            Output::Role(role) => {
                Arc::make_mut(member).role = role;
                checker.on_role(id, role);
            }
            Output::FetchImage { from } => {
                assert_eq!(member.fetch, None, "one fetch at a time");
                Arc::make_mut(member).fetch = Some(from);
            }
            Output::Confirmed { token, upto } => {
                checker.on_confirmed(token, upto);
                self.confirmed.push(token);
            }
        }
    }

    /// Lets the first message of a link arrive; false when there is none.
    pub(crate) fn deliver_one(&mut self, from: ServerId, to: ServerId) -> bool {
        let Some(message) = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front) else {
            return false;
        };
        self.checker_mut().on_receive(from, to, &message);
        self.step(to, Input::Receive { from, message });
        true
    }

    /// Lets the first write of a member's disk be done; false when there is none.
    pub(crate) fn persist_one(&mut self, id: ServerId) -> bool {
        if self.members[&id].engine.is_none() || self.members[&id].disk.queued() == 0 {
            return false;
        }
        let Some(write) = self.member_mut(id).disk.persist_one() else { return false };
        match write {
            Write::Entries(mark, _) | Write::Epochs(mark, _) | Write::Truncate(mark, _) => {
                self.step(id, Input::Persisted { mark });
            }
            Write::Install(zxid) => {
                self.checker_mut().on_start(id, zxid);
                self.step(id, Input::Installed { zxid });
            }
        }
        true
    }

    /// Lets a fetch that was asked come to the disk: an image is what its source has delivered.
    pub(crate) fn fetch_one(&mut self, id: ServerId) -> bool {
        let member = &self.members[&id];
        let Some(from) = member.fetch else { return false };
        let Some(source) = &self.members[&from].engine else { return false };
        let zxid = source.delivered();
        let is_useful = zxid > member.engine.as_ref().unwrap().last_zxid();
        let member = self.member_mut(id);
        member.fetch = None;
        if is_useful {
            member.disk.ask(Write::Install(zxid));
        } else {
            self.step(id, Input::InstallFailed);
        }
        true
    }

    /// Takes a snapshot of what a member has delivered: the log before it may go.
    pub(crate) fn snapshot(&mut self, id: ServerId) {
        let member = self.member_mut(id);
        if let Some(engine) = &member.engine {
            member.disk.image = member.disk.image.max(engine.delivered());
        }
    }

    /// Proposes at a member that leads, and asks it to be confirmed.
    pub(crate) fn propose(&mut self, id: ServerId, txns: Vec<Bytes>) {
        let Role::Leading { epoch } = self.members[&id].role else { return };
        if !self.is_running(id) {
            return;
        }
        self.checker_mut().on_propose(epoch, &txns);
        self.step(id, Input::Propose(txns));
        if matches!(self.members[&id].role, Role::Leading { .. }) {
            let token = self.checker.history.len() as u64;
            self.step(id, Input::Confirm { token });
        }
    }

    pub(crate) fn is_running(&self, id: ServerId) -> bool {
        self.members[&id].engine.is_some() && !self.members[&id].is_paused
    }

    /// Lets everything happen that needs no tick, until nothing is left that may.
    pub(crate) fn flush(&mut self) {
        for _ in 0..STEPS_PER_TICK_MAX {
            if !self.flush_once() {
                return;
            }
        }
        panic!("a storm: {:?}", self.links);
    }

    fn flush_once(&mut self) -> bool {
        let ready: Vec<_> = self
            .links
            .iter()
            .filter(|(link, queue)| !queue.is_empty() && !self.held.contains(link))
            .map(|(link, _)| *link)
            .collect();
        let mut is_any = false;
        for (from, to) in ready {
            is_any |= self.is_running(to) && self.deliver_one(from, to);
        }
        for id in self.ids() {
            if self.is_running(id) && !self.members[&id].is_stalled {
                is_any |= self.fetch_one(id) | self.persist_one(id);
            }
        }
        is_any
    }

    /// Lets `ticks` ticks pass for everyone; between two, connections are made and everything
    /// flows.
    pub(crate) fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.connect_all();
            self.flush();
            for id in self.ids() {
                if self.is_running(id) {
                    self.step(id, Input::Tick);
                }
            }
            self.flush();
        }
    }

    /// Ends all faults.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.held.clear();
        for id in self.ids() {
            let member = self.member_mut(id);
            (member.is_paused, member.is_stalled) = (false, false);
        }
        self.start_all();
    }

    /// Returns who leads by its own account, by epoch.
    pub(crate) fn leaders(&self) -> BTreeMap<Epoch, ServerId> {
        let roles = self.members.iter().map(|(id, member)| (*id, member.role));
        roles
            .filter_map(|(id, role)| match role {
                Role::Leading { epoch } => Some((epoch, id)),
                _ => None,
            })
            .collect()
    }

    /// Returns the leader of the newest epoch.
    pub(crate) fn leader(&self) -> Option<ServerId> {
        self.leaders().last_key_value().map(|(_, id)| *id)
    }

    /// Proposes at every member that leads, tick by tick, until someone delivers something new;
    /// returns the ticks that took.
    pub(crate) fn ticks_to_commit(&mut self, ticks_max: u32) -> Option<u32> {
        let before = self.checker.history.len();
        for ticks in 0..=ticks_max {
            for id in self.leaders().into_values() {
                let txn = self.checker_mut().next_txn();
                self.propose(id, vec![txn]);
            }
            self.flush();
            if self.checker.history.len() > before {
                return Some(ticks);
            }
            self.run(1);
        }
        None
    }

    /// Returns whether everyone has a role and has delivered all that anyone has.
    pub(crate) fn is_even(&self) -> bool {
        let all = self.checker.history.len();
        self.members.iter().all(|(id, member)| {
            member.role != Role::Looking && self.checker.delivered(*id).len() == all
        })
    }

    /// Describes all members, for a failure.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for (id, member) in &self.members {
            let delivered = self.checker.delivered(*id).len();
            text +=
                &format!("{id}: {:?}, {delivered} delivered, {:#?}\n", member.role, member.engine);
        }
        text
    }
}

impl Member {
    fn new() -> Self {
        Self {
            engine: None,
            disk: Disk::default(),
            role: Role::Looking,
            fetch: None,
            is_paused: false,
            is_stalled: false,
        }
    }
}

pub(crate) const NO_EPOCHS: Epochs =
    Epochs { accepted: Epoch(0), current: Epoch(0), standing: Standing::Whole };

/// Returns how many entries of `history` an image of `zxid` holds.
pub(crate) fn prefix_len(history: &[conclave_protocol::txn::Entry], zxid: Zxid) -> usize {
    history.partition_point(|entry| entry.zxid <= zxid)
}
