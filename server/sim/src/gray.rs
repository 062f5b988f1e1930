//! Disks that are neither well nor broken: they take too long, or hang. A leader with one has to go, and
//! writes go on; a follower with one holds nobody up.

use std::time::Duration;

use conclave_protocol::{ids::ServerId, zxid::Zxid};
use conclave_zab::Role;

use crate::{
    plan::{SLOW_DISK_TICKS, SYNC_LIMIT_TICKS},
    world::{TICK_US, World},
};

/// Virtual time in which a leader with such a disk has to be replaced, in microseconds.
const REPLACED_US: u64 = 2 * SYNC_LIMIT_TICKS as u64 * TICK_US;

/// Longest virtual time between two acknowledged writes while such a disk is not the leader's, in
/// microseconds: it leaves clients time to think, to look for another member and to ask it.
const PROGRESS_US: u64 = SYNC_LIMIT_TICKS as u64 * TICK_US;

/// How often clients leave the gray member, in microseconds.
const LEAVE_EVERY_US: u64 = PROGRESS_US / 8;

/// For how long the disk stays so, in microseconds.
const GRAY_US: u64 = REPLACED_US + 2 * PROGRESS_US;

impl World {
    /// Returns who leads; of several that think so, the one of the newest reign.
    pub(crate) fn leader(&self) -> Option<ServerId> {
        let leading = self.machines.values().filter_map(|machine| {
            match machine.running.as_ref()?.replica.role() {
                Role::Leading { epoch } => Some((epoch, machine.id)),
                _ => None,
            }
        });
        leading.max().map(|(_, id)| id)
    }

    /// Lets a disk take more than two ticks for every sync, or end none.
    pub(crate) fn turn_gray(&mut self, id: ServerId, for_us: u64) {
        let limit_us = u64::from(SLOW_DISK_TICKS) * TICK_US;
        let (is_stalled, more_us) = (self.random.below(2) == 0, self.random.below(2 * limit_us));
        let until_us = self.now_us + for_us;
        let machine = self.machines.get_mut(&id).expect("a member");
        if is_stalled {
            machine.stalled_until_us = until_us;
        } else {
            // A clock that is slow counts its ticks later.
            machine.gray_sync_us = Some(limit_us * 9 / 8 + more_us);
        }
    }

    /// With everything else well, the leader's disk turns gray, or another's: the promise of both.
    pub(crate) fn promise_of_gray_disks(&mut self) {
        let Some(leader) = self.leader() else { panic!("nobody leads although writes commit") };
        let others = (1..=self.scenario.voters).map(ServerId).filter(|id| *id != leader);
        let others: Vec<ServerId> = others.collect();
        let is_leaders = self.random.below(3) > 0;
        let gray = if is_leaders { leader } else { *self.random.pick(&others) };
        tracing::info!(at_ms = self.now_us / 1000, member = gray.0, is_leaders, "turns gray");
        self.turn_gray(gray, GRAY_US);
        self.gray = Some(gray);
        self.clients.iter_mut().for_each(|client| client.is_probing = true);
        let since_us = self.now_us;
        let until_us = since_us + GRAY_US;
        let mut known = self.known;
        let mut progress_us = since_us;
        while self.now_us < until_us {
            let is_first = self.now_us < since_us + REPLACED_US;
            let limit_us = if is_first { REPLACED_US } else { PROGRESS_US };
            let before = known;
            let is_live = self.is_written_behind(before, gray, progress_us + limit_us);
            assert!(
                is_live,
                "gray disk of {gray}: no write was acknowledged for {:?}, {:?} after it turned",
                Duration::from_micros(limit_us),
                Duration::from_micros(self.now_us - since_us)
            );
            (known, progress_us) = (self.known, self.now_us);
            let is_due = self.now_us >= since_us + REPLACED_US;
            assert!(
                !is_due || self.leader() != Some(gray),
                "gray disk: {gray} leads {:?} after it turned",
                Duration::from_micros(self.now_us - since_us)
            );
        }
        self.machines.get_mut(&gray).expect("a member").mend_disk();
        self.gray = None;
        self.clients.iter_mut().for_each(|client| client.is_probing = false);
        self.report.gray_disks += 1;
    }

    /// Runs until a write behind `known` is acknowledged, and returns whether that was in time. Clients that are
    /// with the gray member leave it again and again: how long they would wait for it is not what is promised.
    fn is_written_behind(&mut self, known: Zxid, gray: ServerId, until_us: u64) -> bool {
        loop {
            self.leave_member(gray);
            let pause_us = until_us.min(self.now_us + LEAVE_EVERY_US);
            if self.run_until(pause_us, |world| world.known > known) {
                return true;
            }
            if self.now_us >= until_us {
                return false;
            }
        }
    }

    /// The clients of a member look for another.
    fn leave_member(&mut self, home: ServerId) {
        for index in 0..self.clients.len() {
            if self.clients[index].link.as_ref().is_some_and(|link| link.home == home) {
                self.break_client(index);
            }
        }
    }
}
