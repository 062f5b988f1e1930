//! The owner thread: the only one that changes the state. It takes all events that have arrived,
//! steps the replica with each, and carries out the effects together.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as std_mpsc,
    },
};

use conclave_protocol::{ids::ServerId, peer::PeerMessage};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    handle::{DriverEvent, LinkEvent},
    store::Work,
};
use crate::{
    clock::Clock,
    replica::{Effect, Event, Replica},
};

/// Events stepped before their effects are carried out, at most.
const STEP_BATCH_MAX: usize = 1024;

/// What the owner thread holds.
pub(super) struct Owner {
    pub(super) clock: Clock,
    /// For the figures of connections.
    pub(super) time_us: Arc<AtomicU64>,
    pub(super) replica: Replica,
    pub(super) events: mpsc::Receiver<DriverEvent>,
    pub(super) store: std_mpsc::Sender<Work>,
    pub(super) links: BTreeMap<ServerId, Link>,
    pub(super) figures: super::member::Published,
    /// Cancelled when the member cannot go on.
    pub(super) failed: CancellationToken,
}

/// A link that carries messages.
pub(super) struct Link {
    sender: mpsc::Sender<PeerMessage>,
    broken: CancellationToken,
}

impl Owner {
    /// Runs until the member is stopped or nobody can reach it any more.
    pub(super) fn run(mut self) {
        let mut effects = Vec::new();
        while let Some(event) = self.events.blocking_recv() {
            let now_us = self.clock.now_us();
            self.time_us.store(now_us, Ordering::Relaxed);
            self.replica.begin_turn(now_us);
            if !self.on_event(event, &mut effects) {
                return;
            }
            for _ in 1..STEP_BATCH_MAX {
                let Ok(event) = self.events.try_recv() else { break };
                if !self.on_event(event, &mut effects) {
                    return;
                }
            }
            self.replica.flush(&mut effects);
            for effect in effects.drain(..) {
                self.carry_out(effect);
            }
            self.figures.publish(&self.replica, self.links.len());
        }
    }

    fn on_event(&mut self, event: DriverEvent, effects: &mut Vec<Effect>) -> bool {
        match event {
            DriverEvent::Replica(event) => self.replica.step(event, effects),
            DriverEvent::Link(LinkEvent::Up { peer, sender, broken }) => {
                self.links.insert(peer, Link { sender, broken });
                self.replica.step(Event::PeerUp(peer), effects);
            }
            DriverEvent::Link(LinkEvent::Down { peer }) => {
                // What was to go out on it must not reach the next one.
                self.drop_sends(peer, effects);
                self.links.remove(&peer);
                self.replica.step(Event::PeerDown(peer), effects);
            }
            DriverEvent::Stop => return false,
        }
        true
    }

    fn drop_sends(&self, peer: ServerId, effects: &mut Vec<Effect>) {
        effects.retain(|effect| !matches!(effect, Effect::Send { to, .. } if *to == peer));
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                let Some(link) = self.links.get(&to) else { return };
                if link.sender.try_send(message).is_err() {
                    // Full: it will be made anew and its member synchronised. Nothing may follow a
                    // message that is lost.
                    link.broken.cancel();
                    self.links.remove(&to);
                }
            }
            Effect::Store(command) => self.work(Work::Command(command)),
            Effect::StartSnapshot => self.work(Work::Snapshot),
            Effect::SendChunk { to, zxid, offset } => {
                if let Some(link) = self.links.get(&to) {
                    let link = link.sender.clone();
                    self.work(Work::SendChunk { link, zxid, offset });
                }
            }
            Effect::Halt(why) => {
                tracing::error!("{why}; this member stops");
                self.failed.cancel();
            }
        }
    }

    fn work(&self, work: Work) {
        // A store that has ended has said why and stops the member; nothing is acked any more.
        drop(self.store.send(work));
    }
}
