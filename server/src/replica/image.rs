//! Snapshots in the member's life: when one is taken, who is sent one, and how one is fetched and
//! installed. The learner pulls a snapshot file piece by piece from the member it follows.

use bytes::Bytes;
use conclave_protocol::{
    ids::ServerId,
    peer::{PeerMessage, zab::Standing},
    zxid::Zxid,
};
use conclave_zab::Input;

use super::{Effect, Replica, StoreCommand};
use crate::{shared::Service, state::State};

/// The snapshot files of this member and of the one it fetches from.
#[derive(Debug)]
pub(super) struct Images {
    /// The newest file here; [`Zxid::ZERO`] when there is none.
    newest: Zxid,
    /// Whether one is being taken.
    is_taking: bool,
    /// Learners that wait for one new enough.
    waiting: Vec<ServerId>,
    fetch: Option<Fetch>,
}

/// A snapshot on its way here.
#[derive(Debug)]
struct Fetch {
    from: ServerId,
    /// Which, once the first piece has told.
    zxid: Option<Zxid>,
    len_bytes: u64,
    offset: u64,
    deadline_ms: u64,
    /// All pieces are here; the store verifies and loads.
    is_installing: bool,
}

impl Images {
    pub(super) const fn new(newest: Zxid) -> Self {
        Self { newest, is_taking: false, waiting: Vec::new(), fetch: None }
    }
}

impl Replica {
    /// Starts a snapshot when enough has changed since the last one.
    pub(super) fn snapshot_when_due(&mut self, effects: &mut Vec<Effect>) {
        let (txns, bytes) = self.since_snapshot;
        if txns >= self.settings.snapshot_txns || bytes >= self.settings.snapshot_bytes {
            self.take_snapshot(effects);
        }
    }

    fn take_snapshot(&mut self, effects: &mut Vec<Effect>) {
        if self.images.is_taking || self.images.fetch.is_some() {
            return;
        }
        self.images.is_taking = true;
        self.since_snapshot = (0, 0);
        effects.push(Effect::StartSnapshot);
    }

    pub(super) fn on_snapshot_done(&mut self, zxid: Option<Zxid>, effects: &mut Vec<Effect>) {
        self.images.is_taking = false;
        if let Some(zxid) = zxid {
            self.images.newest = self.images.newest.max(zxid);
            self.shared.metrics.snapshots.increment(1);
        }
        for to in std::mem::take(&mut self.images.waiting) {
            match zxid {
                Some(zxid) => effects.push(Effect::SendChunk { to, zxid, offset: 0 }),
                None => {
                    let message = PeerMessage::ImageGone { zxid: Zxid::ZERO };
                    effects.push(Effect::Send { to, message });
                }
            }
        }
    }

    /// A learner asks for a piece; for the newest snapshot it gets one that the engine's window of
    /// entries continues, taken now if need be.
    pub(super) fn on_fetch_image(
        &mut self,
        to: ServerId,
        zxid: Zxid,
        offset: u64,
        effects: &mut Vec<Effect>,
    ) {
        if zxid != Zxid::ZERO {
            effects.push(Effect::SendChunk { to, zxid, offset });
        } else if self.images.newest > Zxid::ZERO
            && self.images.newest >= self.engine.window_start()
        {
            effects.push(Effect::SendChunk { to, zxid: self.images.newest, offset: 0 });
        } else {
            if !self.images.waiting.contains(&to) {
                self.images.waiting.push(to);
            }
            self.take_snapshot(effects);
        }
    }

    pub(super) fn start_fetch(&mut self, from: ServerId, effects: &mut Vec<Effect>) {
        tracing::info!(member = self.shared.me.0, %from, "fetching a snapshot");
        self.images.fetch = Some(Fetch {
            from,
            zxid: None,
            len_bytes: 0,
            offset: 0,
            deadline_ms: self.time.now_ms + self.settings.fetch_timeout_ms,
            is_installing: false,
        });
        let message = PeerMessage::FetchImage { zxid: Zxid::ZERO, offset: 0 };
        effects.push(Effect::Send { to: from, message });
    }

    pub(super) fn on_image_chunk(
        &mut self,
        from: ServerId,
        zxid: Zxid,
        len_bytes: u64,
        offset: u64,
        data: Bytes,
        effects: &mut Vec<Effect>,
    ) {
        let now_ms = self.time.now_ms;
        let timeout_ms = self.settings.fetch_timeout_ms;
        let Some(fetch) = self.images.fetch.as_mut().filter(|fetch| fetch.from == from) else {
            return;
        };
        let is_next = offset == fetch.offset
            && !data.is_empty()
            && offset + data.len() as u64 <= len_bytes
            && fetch.zxid.is_none_or(|known| known == zxid && fetch.len_bytes == len_bytes);
        if !is_next || fetch.is_installing {
            return;
        }
        fetch.zxid = Some(zxid);
        fetch.len_bytes = len_bytes;
        fetch.offset += data.len() as u64;
        fetch.deadline_ms = now_ms + timeout_ms;
        let next = fetch.offset;
        fetch.is_installing = next == len_bytes;
        let is_whole = fetch.is_installing;
        effects.push(Effect::Store(StoreCommand::WriteChunk { zxid, len_bytes, offset, data }));
        if is_whole {
            effects.push(Effect::Store(StoreCommand::Install { zxid }));
        } else {
            let message = PeerMessage::FetchImage { zxid, offset: next };
            effects.push(Effect::Send { to: from, message });
        }
    }

    pub(super) fn on_image_tick(&mut self, effects: &mut Vec<Effect>) {
        let is_late = self
            .images
            .fetch
            .as_ref()
            .is_some_and(|fetch| !fetch.is_installing && fetch.deadline_ms < self.time.now_ms);
        if is_late {
            self.on_install_failed(effects);
        }
    }

    /// The member that a snapshot comes from is gone, or has it no more.
    pub(super) fn on_image_peer_down(&mut self, peer: ServerId, effects: &mut Vec<Effect>) {
        self.images.waiting.retain(|waiting| *waiting != peer);
        let is_lost = self
            .images
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.from == peer && !fetch.is_installing);
        if is_lost {
            self.on_install_failed(effects);
        }
    }

    pub(super) fn on_installed(&mut self, state: State, effects: &mut Vec<Effect>) {
        let zxid = state.last_applied;
        tracing::info!(member = self.shared.me.0, %zxid, "snapshot installed");
        self.images.fetch = None;
        self.images.newest = zxid;
        self.since_snapshot = (0, 0);
        if self.shared.service() == Service::ReadOnly {
            // The snapshot tells no watch what lies between: who set one sets it again when it is back.
            self.shared.set_service(Service::None);
            self.end_read_only();
        }
        self.shared.state.write().install(state);
        self.engine_step(Input::Installed { zxid }, effects);
    }

    pub(super) fn on_install_failed(&mut self, effects: &mut Vec<Effect>) {
        if self.images.fetch.take().is_some() {
            tracing::warn!(member = self.shared.me.0, "fetching a snapshot failed");
            self.engine_step(Input::InstallFailed, effects);
        }
    }

    /// Returns whether this member's own disk is known to be whole.
    pub fn standing(&self) -> Standing {
        self.engine.standing()
    }
}
