//! The end of a run: the faults stop, and all has to become well, and equal, and right.

use std::collections::BTreeSet;

use conclave_protocol::ids::ServerId;
use conclave_zab::Role;

use crate::{
    client::{Client, PATIENCE_US},
    faults::PAUSE_US_MAX,
    machine::Machine,
    plan::SYNC_LIMIT_TICKS,
    scenario::Fault,
    world::{TICK_US, World},
};

/// Virtual time in which a write must be acknowledged once nothing is in the way, in microseconds:
/// four times what it takes to see that a leader is gone.
const LIVENESS_US: u64 = 4 * SYNC_LIMIT_TICKS as u64 * TICK_US;

/// Virtual time in which all members must have become equal then, in microseconds.
const SETTLE_US: u64 = 60_000_000;

/// Virtual time after which nobody feels a fault any more, in microseconds: the longest pause of a process,
/// whose work was put off to its end, and then the patience of a client.
const REST_US: u64 = PAUSE_US_MAX + PATIENCE_US;

impl World {
    /// The faults stop: everyone comes back, writes are acknowledged, members become equal.
    pub(crate) fn settle(&mut self) {
        self.is_calm = true;
        // One that has a vote: without it no two of the others would make a quorum.
        let voters = self.machines.values().filter(|machine| machine.id.0 <= self.scenario.voters);
        let whole: Vec<ServerId> =
            voters.filter(|machine| machine.is_whole()).map(|machine| machine.id).collect();
        let hub = self.scenario.has_hub.then(|| *self.random.pick(&whole));
        self.mend_all(hub);
        let (since_us, known) = (self.now_us, self.known);
        let is_live = self.run_until(since_us + LIVENESS_US, |world| world.known > known);
        assert!(
            is_live,
            "liveness: no write was acknowledged within {} ms after the faults, {}",
            LIVENESS_US / 1000,
            hub.map_or_else(String::new, |hub| format!("only {hub} reaches all"))
        );
        self.report.recovery_ms = (self.now_us - since_us) / 1000;
        self.mend_all(None);
        if self.scenario.faults.contains(&Fault::GrayDisk) && self.scenario.voters > 1 {
            self.run_until(self.now_us + REST_US, |_| false);
            if self.run_until(self.now_us + SETTLE_US, |world| world.all_follow())
                && self.machines.values().all(Machine::is_whole)
            {
                self.promise_of_gray_disks();
            }
        }
        self.is_quiet = true;
        let until_us = self.now_us + SETTLE_US;
        let is_even = self.run_until(until_us, Self::is_even);
        assert!(is_even, "no rest long after the faults: {}", self.positions());
        self.judge_end();
    }

    fn positions(&self) -> String {
        let position = |machine: &Machine| {
            machine.running.as_ref().map_or_else(
                || format!("{} is down", machine.id),
                |running| {
                    let applied = running.shared.state.read().last_applied;
                    let (role, open) = (running.replica.role(), running.shared.connections.len());
                    format!("{} is {role:?} at 0x{applied}, {open} connections", machine.id)
                },
            )
        };
        self.machines.values().map(position).collect::<Vec<_>>().join(", ")
    }

    /// Returns whether all members serve.
    fn all_follow(&self) -> bool {
        self.machines.values().all(|machine| {
            let running = machine.running.as_ref();
            running.is_some_and(|running| running.replica.role() != Role::Looking)
        })
    }

    /// Returns whether all members serve, have applied everything, hold no connection that is over, and
    /// nothing is under way.
    fn is_even(&self) -> bool {
        let last = self.ledger.last();
        self.clients.iter().all(Client::is_at_rest)
            && self.machines.values().all(|machine| {
                machine.running.as_ref().is_some_and(|running| {
                    let links = self.clients.iter().filter_map(|client| client.link.as_ref());
                    let live = links.filter(|link| link.home == machine.id).count();
                    running.shared.connections.len() <= live
                        && running.replica.role() != Role::Looking
                        && running.shared.state.read().last_applied == last
                        && running.replica.outstanding() == 0
                        && running.work.is_empty()
                })
            })
    }

    /// Checks every member's tree and tables against what the ledger makes.
    fn judge_end(&mut self) {
        let mut digests = BTreeSet::new();
        for machine in self.machines.values() {
            let running = machine.running.as_ref().expect("settled");
            let state = running.shared.state.read();
            digests.insert(state.tree.digest());
            let model = &self.ledger.model;
            let mut count = 0;
            for (path, znode) in model.now() {
                let node = state.tree.node(path);
                let node = node.unwrap_or_else(|| panic!("{} has no {path}", machine.id));
                assert_eq!(node.data(), znode.data.as_deref(), "{}: {path}", machine.id);
                assert_eq!(node.stat().version, znode.version, "{}: {path}", machine.id);
                count += 1;
            }
            let own = state.tree.count_descendants("/").expect("the root");
            // /zookeeper, and what it has to begin with: config and quota.
            assert_eq!(own, count + 3, "{} has znodes that nobody made", machine.id);
            let sessions: BTreeSet<_> = state.sessions.iter().map(|(id, _)| id).collect();
            assert_eq!(sessions, *model.sessions(), "{}: sessions", machine.id);
            for owner in state.tree.ephemeral_owners() {
                assert!(sessions.contains(&owner), "{}: ephemerals of {owner}", machine.id);
            }
            let watched: usize = self.clients.iter().map(Client::watch_count).sum();
            assert!(running.shared.watches.count() <= 2 * watched, "{}: watches", machine.id);
        }
        assert_eq!(digests.len(), 1, "the members' trees differ");
        let digest = digests.into_iter().next().expect("one digest");
        self.trace(digest);
        self.trace(self.now_us);
    }
}
