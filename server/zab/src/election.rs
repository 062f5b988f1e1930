//! Election: fast leader election by notifications. The greatest (epoch, zxid, id) among those that
//! can gather a quorum wins.
//!
//! Two rules keep partial partitions from holding everyone up. A vote for a candidate counts only
//! where the candidate says it is connected to a quorum, and only with those connected to it. And a
//! member that leads or follows is joined, not challenged.

use alloc::{collections::BTreeSet, vec::Vec};

use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Message, Stance, Standing, Vote},
    zxid::{Epoch, Zxid},
};

use crate::{
    api::{Output, Role},
    engine::{Engine, Heard, Phase},
    quorum,
    timeouts::{HOLD_TICKS, RENOTIFY_TICKS},
};

/// Rounds beyond this are nobody's: an election per nanosecond would take a century to get there.
const ROUND_MAX: u64 = 1 << 62;

/// A member that looks for a leader.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Looking {
    vote: Option<Vote>,
    /// When a quorum for the vote is taken as final though others could still vote.
    settled_at: Option<u64>,
    pub(crate) renotify_at: u64,
    /// Nothing is decided before, and nobody joined: the last attempt failed for a reason that may
    /// last.
    holds_until: u64,
}

impl Engine {
    /// Gives up leading or following, and looks.
    pub(crate) fn look(&mut self, out: &mut Vec<Output>) {
        self.start_looking();
        self.set_role(Role::Looking, out);
        self.notify_all(out);
        self.evaluate_votes(out);
    }

    pub(crate) fn start_looking(&mut self) {
        self.round += 1;
        let renotify_at = self.tick + RENOTIFY_TICKS;
        let (vote, settled_at, holds_until) = (self.own_vote(), None, self.tick);
        self.phase = Phase::Looking(Looking { vote, settled_at, renotify_at, holds_until });
    }

    /// Gives up a leader that is silent. What it told of itself is not believed any longer: it may
    /// be stopped while its connection stays up. If it lives it will answer.
    pub(crate) fn give_up_leader(&mut self, out: &mut Vec<Output>) {
        if let Phase::Learning(learning) = &self.phase {
            let leader = learning.leader;
            self.heard.remove(&leader);
        }
        self.look(out);
    }

    /// Gives up an attempt that cannot succeed, and lets some time pass before the next.
    pub(crate) fn back_off(&mut self, out: &mut Vec<Output>) {
        self.start_looking();
        if let Phase::Looking(looking) = &mut self.phase {
            looking.holds_until = self.tick + HOLD_TICKS;
        }
        self.set_role(Role::Looking, out);
        self.notify_all(out);
    }

    /// Returns this member as a candidate, or `None` when it may not vote: it could not lead, and
    /// must not hold up those who can.
    fn own_vote(&self) -> Option<Vote> {
        let may_vote = self.is_voter()
            && self.epochs.standing == Standing::Whole
            && !self.is_fetching
            && !self.is_disk_stuck();
        // Whoever is elected takes over what this member has more: see discovery.
        let (epoch, zxid) = match self.tick < self.yields_until {
            true => (Epoch::default(), Zxid::ZERO),
            false => (self.epochs.current, self.history.last()),
        };
        may_vote.then_some(Vote { epoch, zxid, candidate: self.config.me })
    }

    pub(crate) fn on_notification(&mut self, from: ServerId, heard: Heard, out: &mut Vec<Output>) {
        if heard.round > ROUND_MAX {
            return;
        }
        let had_quorum = self.has_quorum();
        self.heard.insert(from, heard);
        if self.has_quorum() != had_quorum {
            self.notify_all(out);
        }
        let is_looking = matches!(heard.stance, Stance::Looking(_));
        match &self.phase {
            Phase::Looking(_) => return self.on_vote(from, heard, out),
            Phase::Leading(_) if heard.stance != Stance::Learning(self.config.me) => {
                // What it sends as our learner comes behind: it has turned away.
                self.forget_learner(from, out);
            }
            Phase::Learning(learning)
                if learning.leader == from && is_looking && heard.round > learning.round =>
            {
                // It led, or would have, and has stopped.
                return self.look(out);
            }
            _ => {}
        }
        if is_looking {
            // It will join whom we lead or follow.
            self.notify(from, out);
        }
    }

    fn on_vote(&mut self, from: ServerId, heard: Heard, out: &mut Vec<Output>) {
        if matches!(heard.stance, Stance::Looking(_)) {
            if heard.round > self.round {
                self.round = heard.round;
                let own = self.own_vote();
                let Phase::Looking(looking) = &mut self.phase else { return };
                looking.vote = own;
                looking.settled_at = None;
                self.notify_all(out);
            } else if heard.round < self.round {
                self.notify(from, out);
            }
        }
        self.evaluate_votes(out);
    }

    /// Joins an established leader, changes the vote for a better one, or decides.
    pub(crate) fn evaluate_votes(&mut self, out: &mut Vec<Output>) {
        let Phase::Looking(looking) = &self.phase else { return };
        let is_held = self.is_fetching || self.tick < looking.holds_until;
        if !is_held && let Some(leader) = self.connected_leader() {
            return self.follow(leader, out);
        }
        let own = self.own_vote();
        // A candidate counts by its own word alone. By hearsay two members could keep each other
        // believing in one that is gone, or change their minds in turns for ever. This way a vote
        // depends on greater candidates only, so the votes come to rest; and the greatest of all
        // that can lead has the votes of everyone connected to it, which is a quorum.
        let best = self
            .votes()
            .filter(|(voter, vote)| vote.candidate == *voter)
            .map(|(_, vote)| vote)
            .chain(own)
            .filter(|vote| self.is_electable(vote.candidate))
            .max();
        let vote = own.and_then(|own| best.or(Some(own)));
        let Phase::Looking(looking) = &mut self.phase else { return };
        if looking.vote != vote {
            looking.vote = vote;
            looking.settled_at = None;
            self.notify_all(out);
        }
        if !is_held && let Some(vote) = vote {
            self.decide(vote, out);
        }
    }

    fn decide(&mut self, vote: Vote, out: &mut Vec<Output>) {
        let agreeing: BTreeSet<ServerId> = self
            .votes()
            .filter(|(_, other)| *other == vote)
            .map(|(voter, _)| voter)
            .chain([self.config.me])
            .collect();
        let is_quorum = quorum::is_quorum(&self.config.voters, agreeing.iter().copied());
        if !is_quorum || !self.is_electable(vote.candidate) {
            return;
        }
        let could_vote = |peer: &ServerId| match self.heard.get(peer).map(|heard| heard.stance) {
            None | Some(Stance::Looking(Some(_))) => true,
            Some(_) => false,
        };
        let is_open = self
            .config
            .voters
            .iter()
            .filter(|voter| self.connected.contains(voter) && !agreeing.contains(voter))
            .any(could_vote);
        let (tick, settle) = (self.tick, u64::from(self.config.election_settle_ticks));
        let Phase::Looking(looking) = &mut self.phase else { return };
        let settled_at = *looking.settled_at.get_or_insert(tick + settle);
        if is_open && tick < settled_at {
            return;
        }
        if vote.candidate == self.config.me {
            self.lead(out);
        } else {
            self.follow(vote.candidate, out);
        }
    }

    /// Iterates over the votes of connected voters that count in this round.
    fn votes(&self) -> impl Iterator<Item = (ServerId, Vote)> {
        self.heard.iter().filter_map(|(peer, heard)| match heard.stance {
            Stance::Looking(Some(vote))
                if heard.round == self.round && self.config.voters.contains(peer) =>
            {
                Some((*peer, vote))
            }
            _ => None,
        })
    }

    /// Returns whether a candidate can gather a quorum, can lead, and we can follow it.
    fn is_electable(&self, candidate: ServerId) -> bool {
        if candidate == self.config.me {
            return self.has_quorum();
        }
        self.config.voters.contains(&candidate)
            && self.heard.get(&candidate).is_some_and(|heard| {
                let could_lead = matches!(heard.stance, Stance::Looking(Some(_)) | Stance::Leading);
                heard.has_quorum && could_lead
            })
    }

    fn connected_leader(&self) -> Option<ServerId> {
        let leaders = self.heard.iter().filter(|(peer, heard)| {
            let leads = heard.stance == Stance::Leading && heard.has_quorum;
            leads && self.config.voters.contains(peer)
        });
        leaders.max_by_key(|(peer, heard)| (heard.round, **peer)).map(|(peer, _)| *peer)
    }

    fn stance(&self) -> Stance {
        match &self.phase {
            Phase::Looking(looking) => Stance::Looking(looking.vote),
            Phase::Leading(_) => Stance::Leading,
            Phase::Learning(learning) => Stance::Learning(learning.leader),
        }
    }

    pub(crate) fn notify(&self, to: ServerId, out: &mut Vec<Output>) {
        let message = Message::Notification {
            round: self.round,
            stance: self.stance(),
            has_quorum: self.has_quorum(),
        };
        out.push(Output::Send { to, message });
    }

    pub(crate) fn notify_all(&self, out: &mut Vec<Output>) {
        for peer in &self.connected {
            self.notify(*peer, out);
        }
    }
}
