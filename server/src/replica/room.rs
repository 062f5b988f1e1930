//! Full disks. A member tells the leader when its disk is nearly full; while no quorum has room, all
//! members refuse what adds data. Deletes and sessions go on, in the room that is kept for them.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use conclave_protocol::{ids::ServerId, peer::PeerMessage};

use super::{Effect, Replica};

/// What is known of the members' disks.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// Whether this member's is nearly full.
    is_short: bool,
    /// The leader's: whose disks are nearly full.
    short: BTreeSet<ServerId>,
}

impl Replica {
    /// This member's disk has become nearly full, or has room again.
    pub(super) fn on_room(&mut self, is_short: bool, effects: &mut Vec<Effect>) {
        let member = self.shared.me.0;
        if is_short {
            tracing::error!(member, "the disk of the log is nearly full: make room");
        } else {
            tracing::info!(member, "the disk of the log has room again");
        }
        self.rooms.is_short = is_short;
        self.tell_room(effects);
    }

    /// Tells the leader of this member's disk, or judges when that is this member.
    pub(super) fn tell_room(&mut self, effects: &mut Vec<Effect>) {
        let is_short = self.rooms.is_short;
        if self.leading.is_some() {
            self.judge_rooms(self.shared.me, is_short, effects);
        } else if let Some(to) = self.leader() {
            effects.push(Effect::Send { to, message: PeerMessage::Room { is_short } });
        }
    }

    /// A new role: what was known of the others' disks may be old.
    pub(super) fn forget_rooms(&mut self) {
        self.rooms.short.clear();
        self.shared.refuses_growth.store(false, Ordering::Relaxed);
    }

    pub(super) fn on_peer_room(
        &mut self,
        from: ServerId,
        is_short: bool,
        effects: &mut Vec<Effect>,
    ) {
        if self.leading.is_some() {
            self.judge_rooms(from, is_short, effects);
            let is_on = self.shared.refuses_growth.load(Ordering::Relaxed);
            effects.push(Effect::Send { to: from, message: PeerMessage::Refusal { is_on } });
        }
    }

    pub(super) fn on_refusal(&self, from: ServerId, is_on: bool) {
        if self.leader() == Some(from) {
            self.shared.refuses_growth.store(is_on, Ordering::Relaxed);
        }
    }

    fn judge_rooms(&mut self, member: ServerId, is_short: bool, effects: &mut Vec<Effect>) {
        if is_short {
            self.rooms.short.insert(member);
        } else {
            self.rooms.short.remove(&member);
        }
        let config = self.engine.config();
        let with_room = config.voters.iter().filter(|id| !self.rooms.short.contains(id)).copied();
        let is_on = !self.engine.is_quorum(with_room);
        if self.shared.refuses_growth.swap(is_on, Ordering::Relaxed) == is_on {
            return;
        }
        if is_on {
            let short = &self.rooms.short;
            tracing::error!(?short, "no quorum has room: what adds data is refused");
        } else {
            tracing::info!("a quorum has room again: everything is accepted");
        }
        let others = config.voters.union(&config.observers).filter(|id| **id != self.shared.me);
        effects.extend(
            others.map(|to| Effect::Send { to: *to, message: PeerMessage::Refusal { is_on } }),
        );
    }
}
