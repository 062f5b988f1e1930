//! The engine: what every member has whatever its phase, and the step that dispatches.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};

use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Epochs, Message, Stance, Standing},
    txn::Entry,
    zxid::Zxid,
};

use crate::{
    api::{Broadcast, Config, Input, LearnerCounts, Mark, Output, Recovered, Role},
    election::Looking,
    follower::Learning,
    history::History,
    leader::Leading,
    quorum,
};

/// Entries kept for a learner that fetches a snapshot, at most: beyond, it will have to fetch another.
const KEPT_ENTRIES_MAX: usize = 2_000_000;

/// Bytes of entries kept for such a learner, at most.
const KEPT_LEN_BYTES_MAX: usize = 512 << 20;

/// One member's part in the broadcast. See the crate's documentation for how it is driven.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Engine {
    pub(crate) config: Config,
    /// As asked to be written; what waits for them to be durable waits for the mark.
    pub(crate) epochs: Epochs,
    pub(crate) history: History,
    /// Everything up to here is on this member's disk.
    pub(crate) persisted: Zxid,
    /// Everything up to here is known to be committed.
    pub(crate) committed: Zxid,
    /// Everything up to here has been handed out.
    pub(crate) delivered: Zxid,
    pub(crate) marks: Marks,
    pub(crate) connected: BTreeSet<ServerId>,
    /// What each connected member last told of itself.
    pub(crate) heard: BTreeMap<ServerId, Heard>,
    pub(crate) tick: u64,
    pub(crate) round: u64,
    pub(crate) next_stream: u64,
    /// Until then it stands for leader behind all others: its disk was slower than those of a quorum.
    pub(crate) yields_until: u64,
    /// A snapshot is on its way to the disk: until it is known how that ended, this member does
    /// not know its own log and takes no part.
    pub(crate) is_fetching: bool,
    pub(crate) phase: Phase,
    role: Role,
}

/// What a member is busy with.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Phase {
    Looking(Looking),
    Leading(Leading),
    Learning(Learning),
}

/// What another member told of itself.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Heard {
    pub(crate) round: u64,
    pub(crate) stance: Stance,
    pub(crate) has_quorum: bool,
}

/// Durable steps that are under way.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Marks {
    last: Mark,
    pub(crate) durable: Mark,
    /// Ends of the log that are being made durable, with the tick they were asked at.
    pub(crate) pending: VecDeque<(Mark, u64, Option<Zxid>)>,
}

impl Marks {
    /// Draws a mark; once durable, the log on disk ends at `log_end`.
    fn draw(&mut self, tick: u64, log_end: Option<Zxid>) -> Mark {
        self.last = Mark(self.last.0 + 1);
        self.pending.push_back((self.last, tick, log_end));
        self.last
    }

    /// Returns the newest mark drawn.
    pub(crate) const fn last(&self) -> Mark {
        self.last
    }

    /// Returns the tick at which the oldest step that is not durable was asked.
    pub(crate) fn oldest_tick(&self) -> Option<u64> {
        self.pending.front().map(|(_, tick, _)| *tick)
    }
}

impl Broadcast for Engine {
    fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Tick => self.on_tick(out),
            Input::Receive { from, message } => {
                if self.connected.contains(&from) {
                    self.on_message(from, message, out);
                }
            }
            Input::Propose(txns) => self.propose(txns, out),
            Input::Persisted { mark } => self.on_persisted(mark, out),
            Input::Connected(peer) => self.on_connected(peer, out),
            Input::Disconnected(peer) => self.on_disconnected(peer, out),
            Input::Installed { zxid } => self.on_installed(zxid, out),
            Input::InstallFailed => self.on_install_failed(out),
            Input::Confirm { token } => self.confirm(token, out),
        }
        self.check_invariants();
    }
}

impl Engine {
    /// Makes the engine of a member that has just started; it is looking.
    pub fn new(config: Config, recovered: Recovered) -> Self {
        let Recovered { mut epochs, base, entries } = recovered;
        assert!(epochs.current <= epochs.accepted, "an epoch is promised before it is followed");
        let history = History::new(base, entries);
        // A crash between an installed snapshot and the epochs that belong to it.
        epochs.accepted = epochs.accepted.max(history.last().epoch());
        epochs.current = epochs.current.max(base.epoch());
        let persisted = history.last();
        let mut engine = Self {
            config,
            epochs,
            history,
            persisted,
            committed: base,
            delivered: base,
            marks: Marks::default(),
            connected: BTreeSet::new(),
            heard: BTreeMap::new(),
            tick: 0,
            round: 0,
            next_stream: 1,
            yields_until: 0,
            is_fetching: false,
            phase: Phase::Looking(Looking::default()),
            role: Role::Looking,
        };
        engine.start_looking();
        engine.check_invariants();
        engine
    }

    /// Returns the member's role.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns up to where everything is known to be committed.
    pub const fn committed(&self) -> Zxid {
        self.committed
    }

    /// Returns up to where everything has been delivered.
    pub const fn delivered(&self) -> Zxid {
        self.delivered
    }

    /// Returns the last zxid of the log, durable or not.
    pub fn last_zxid(&self) -> Zxid {
        self.history.last()
    }

    /// Returns the zxid behind which entries are kept for learners that were away.
    pub const fn window_start(&self) -> Zxid {
        self.history.base()
    }

    /// Returns the entries of the log that are in memory.
    pub fn entries(&self) -> Vec<Entry> {
        self.history.between(self.history.base(), self.history.last())
    }

    /// Returns how many entries of the log are in memory.
    pub fn entries_count(&self) -> usize {
        self.history.len()
    }

    /// Returns how many entries of the log are in memory because they are not delivered yet.
    pub fn undelivered_count(&self) -> usize {
        self.history.count_behind(self.delivered)
    }

    /// Returns the epochs, durable or about to be.
    pub const fn epochs(&self) -> Epochs {
        self.epochs
    }

    /// Returns whether this member's disk has all it has acked.
    pub const fn standing(&self) -> Standing {
        self.epochs.standing
    }

    /// Returns how many learners a leader has, and how many of them are synchronised.
    pub fn learner_counts(&self) -> LearnerCounts {
        match &self.phase {
            Phase::Leading(leading) => leading.counts(&self.config.voters),
            _ => LearnerCounts::default(),
        }
    }

    /// Returns what it was made with.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Returns whether these members hold a majority of the voters.
    pub fn is_quorum(&self, members: impl IntoIterator<Item = ServerId>) -> bool {
        quorum::is_quorum(&self.config.voters, members)
    }

    fn on_message(&mut self, from: ServerId, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::Notification { round, stance, has_quorum } => {
                self.on_notification(from, Heard { round, stance, has_quorum }, out);
            }
            Message::FollowerInfo { .. }
            | Message::AckEpoch { .. }
            | Message::Installed { .. }
            | Message::AckNewLeader { .. }
            | Message::Ack { .. }
            | Message::Pong { .. }
            | Message::History { .. }
            | Message::NoHistory { .. } => self.on_learners_message(from, message, out),
            Message::NewEpoch { .. }
            | Message::Snap { .. }
            | Message::Trunc { .. }
            | Message::Diff { .. }
            | Message::NewLeader { .. }
            | Message::UpToDate { .. }
            | Message::Propose { .. }
            | Message::Commit { .. }
            | Message::Pull { .. }
            | Message::Ping { .. } => self.on_leaders_message(from, message, out),
        }
    }

    fn on_tick(&mut self, out: &mut Vec<Output>) {
        self.tick += 1;
        match self.phase {
            Phase::Looking(_) => self.on_looking_tick(out),
            Phase::Leading(_) => self.on_leading_tick(out),
            Phase::Learning(_) => self.on_learning_tick(out),
        }
    }

    fn on_persisted(&mut self, mark: Mark, out: &mut Vec<Output>) {
        assert!(mark <= self.marks.last, "only what was asked is durable");
        self.marks.durable = self.marks.durable.max(mark);
        while let Some((pending, _, log_end)) = self.marks.pending.front().copied() {
            if pending > mark {
                break;
            }
            self.marks.pending.pop_front();
            if let Some(log_end) = log_end {
                self.persisted = log_end;
            }
        }
        self.progress(out);
    }

    /// Does what waits for something durable.
    pub(crate) fn progress(&mut self, out: &mut Vec<Output>) {
        match self.phase {
            Phase::Looking(_) => {}
            Phase::Leading(_) => self.progress_leading(out),
            Phase::Learning(_) => self.progress_learning(out),
        }
    }

    fn on_connected(&mut self, peer: ServerId, out: &mut Vec<Output>) {
        if peer == self.config.me {
            return;
        }
        let had_quorum = self.has_quorum();
        self.connected.insert(peer);
        if self.has_quorum() == had_quorum {
            self.notify(peer, out);
        } else {
            self.notify_all(out);
        }
        self.evaluate_votes(out);
    }

    fn on_disconnected(&mut self, peer: ServerId, out: &mut Vec<Output>) {
        let had_quorum = self.has_quorum();
        self.connected.remove(&peer);
        self.heard.remove(&peer);
        match &self.phase {
            Phase::Leading(_) => self.forget_learner(peer, out),
            Phase::Learning(learning) if learning.leader == peer => return self.look(out),
            Phase::Looking(_) | Phase::Learning(_) => {}
        }
        if had_quorum && !self.has_quorum() {
            if matches!(self.phase, Phase::Leading(_)) {
                return self.look(out);
            }
            self.notify_all(out);
        }
        self.evaluate_votes(out);
    }

    fn on_installed(&mut self, zxid: Zxid, out: &mut Vec<Output>) {
        assert!(self.is_fetching, "a snapshot is installed when it was asked for");
        assert!(zxid >= self.delivered, "what was delivered is never taken back");
        self.is_fetching = false;
        self.history = History::new(zxid, Vec::new());
        (self.persisted, self.committed, self.delivered) = (zxid, zxid, zxid);
        // Whatever was on its way to the old log is behind the snapshot.
        self.marks.pending.iter_mut().for_each(|(_, _, log_end)| *log_end = None);
        // A snapshot is all that was committed up to its zxid, so whoever has it has followed that
        // epoch this far, and is to be compared so: it may have delivered more than a member that
        // counts as better by its epoch. The other may also have gone on with a newer leader
        // meanwhile; what that one committed is taken as a promise not to follow an older one.
        let Epochs { accepted, current, standing } = self.epochs;
        let (accepted, current) = (accepted.max(zxid.epoch()), current.max(zxid.epoch()));
        let epochs = Epochs { accepted, current, standing };
        if epochs != self.epochs {
            self.write_epochs(epochs, out);
        }
        if let Phase::Learning(learning) = &mut self.phase
            && learning.resume_sync()
        {
            let (to, stream) = (learning.leader, learning.stream);
            out.push(Output::Send { to, message: Message::Installed { stream, zxid } });
        } else {
            self.look(out);
        }
    }

    fn on_install_failed(&mut self, out: &mut Vec<Output>) {
        if self.is_fetching {
            self.is_fetching = false;
            self.back_off(out);
        }
    }

    /// Appends to the log, in memory and on disk.
    pub(crate) fn append(&mut self, entries: Vec<Entry>, out: &mut Vec<Output>) {
        assert!(!entries.is_empty());
        for entry in &entries {
            self.history.push(entry.clone());
        }
        let mark = self.marks.draw(self.tick, Some(self.history.last()));
        out.push(Output::Persist { mark, entries });
    }

    /// Drops what is behind `after`, in memory and on disk.
    pub(crate) fn truncate(&mut self, after: Zxid, out: &mut Vec<Output>) {
        assert!(after >= self.delivered, "what was delivered is never taken back");
        self.history.truncate(after);
        // What is still on its way to the disk will be cut there too; until then it counts as gone.
        for (_, _, log_end) in &mut self.marks.pending {
            *log_end = log_end.map(|end| end.min(after));
        }
        self.persisted = self.persisted.min(after);
        let mark = self.marks.draw(self.tick, Some(after));
        out.push(Output::Truncate { mark, after });
    }

    /// Changes the epochs, and returns the mark by which they are durable.
    pub(crate) fn write_epochs(&mut self, epochs: Epochs, out: &mut Vec<Output>) -> Mark {
        assert!(epochs.accepted >= self.epochs.accepted, "a promise is never taken back");
        self.epochs = epochs;
        let mark = self.marks.draw(self.tick, None);
        out.push(Output::PersistEpochs { mark, epochs });
        mark
    }

    /// Hands out what is committed and on this member's disk.
    pub(crate) fn deliver(&mut self, out: &mut Vec<Output>) {
        let upto = self.committed.min(self.persisted);
        if upto <= self.delivered {
            return;
        }
        let entries = self.history.between(self.delivered, upto);
        self.delivered = upto;
        self.trim_window();
        out.push(Output::Deliver { entries });
    }

    /// Forgets delivered entries beyond the window, but not those that a learner will need behind
    /// the snapshot that it is fetching, unless they become too many.
    fn trim_window(&mut self) {
        let (entries_max, bytes_max) =
            (self.config.window_entries_max, self.config.window_bytes_max);
        let needed = match &self.phase {
            Phase::Leading(leading) => leading.needed_from(),
            Phase::Looking(_) | Phase::Learning(_) => None,
        };
        let droppable = needed.map_or(self.delivered, |from| from.min(self.delivered));
        self.history.trim(droppable, entries_max, bytes_max);
        let (entries_max, bytes_max) =
            (entries_max.max(KEPT_ENTRIES_MAX), bytes_max.max(KEPT_LEN_BYTES_MAX));
        self.history.trim(self.delivered, entries_max, bytes_max);
    }

    pub(crate) fn set_role(&mut self, role: Role, out: &mut Vec<Output>) {
        if self.role != role {
            self.role = role;
            out.push(Output::Role(role));
        }
    }

    pub(crate) fn is_voter(&self) -> bool {
        self.config.voters.contains(&self.config.me)
    }

    /// Returns whether this member is connected to a quorum of voters, itself included. Who is known
    /// to have no vote, as its disk was lost or hangs, is no part of one.
    pub(crate) fn has_quorum(&self) -> bool {
        let has_no_vote = |peer: &ServerId| {
            let says_so = |heard: &Heard| heard.stance == Stance::Looking(None);
            let is_repairing = match &self.phase {
                Phase::Leading(leading) => leading
                    .learners
                    .get(peer)
                    .is_some_and(|learner| learner.standing == Standing::Repairing),
                _ => false,
            };
            is_repairing || self.heard.get(peer).is_some_and(says_so)
        };
        let peers = self.connected.iter().copied().filter(|peer| !has_no_vote(peer));
        quorum::is_quorum(&self.config.voters, peers.chain([self.config.me]))
    }
}
