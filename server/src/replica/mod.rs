//! The whole member as a value: engine, pipeline, state, sessions. No socket, no file, no clock, no
//! thread; whoever drives it brings events and carries out effects, in order.
//!
//! The driver steps it with all events that have arrived, then calls [`Replica::flush`] once, so
//! that what came together leaves together: one proposal, one message to the leader, one append.

mod deliver;
mod event;
mod image;
mod leading;
mod local;
mod reap;
mod room;
mod submit;

use std::{collections::HashMap, sync::Arc};

use conclave_protocol::{
    ids::{ServerId, SessionId},
    peer::{PeerMessage, forward::Forwarded},
    zxid::Zxid,
};
use conclave_zab::{Broadcast, Engine, Input, Output, Role};

pub use self::{
    event::{Effect, Event, StoreCommand},
    reap::ReapSettings,
};
use self::{image::Images, leading::Leading, room::Rooms};
use crate::{
    lane::Connection,
    pipeline::forward::Waiting,
    shared::{Service, Shared},
};

/// A gap between two ticks that is more than this, in milliseconds, was a pause of the process:
/// sessions are not charged for it, as nobody could have been heard.
const TICK_GAP_MS_MAX: u64 = 1000;

/// How often the sessions heard from are told to the leader, in milliseconds.
const TOUCH_INTERVAL_MS: u64 = 100;

/// What a replica is told about its work.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Txns after which a snapshot is taken.
    pub snapshot_txns: u64,
    /// Bytes of txns after which a snapshot is taken.
    pub snapshot_bytes: u64,
    /// Silence after which the fetching of a snapshot is given up, in milliseconds.
    pub fetch_timeout_ms: u64,
    /// When containers and TTL znodes go.
    pub reap: ReapSettings,
}

/// One member of the ensemble.
#[derive(Debug)]
pub struct Replica {
    shared: Arc<Shared>,
    settings: Settings,
    engine: Engine,
    role: Role,
    /// Who waits here for which write or sync.
    waiting: Waiting,
    /// Writes on their way to the leader, until the next flush.
    forwards: Vec<Forwarded>,
    /// What only a leader has.
    leading: Option<Leading>,
    /// Connections whose sync is confirmed and waits for this member to be that far.
    syncing: Vec<Arc<Connection>>,
    images: Images,
    rooms: Rooms,
    time: Time,
    next_touch_ms: u64,
    looking_since_ms: u64,
    /// Reused between steps.
    outputs: Vec<Output>,
    /// Txns and bytes delivered since the last snapshot began.
    since_snapshot: (u64, u64),
    /// Set with [`Effect::Halt`]; nothing happens any more.
    is_halted: bool,
}

/// The time as the last tick told it.
#[derive(Clone, Copy, Debug, Default)]
struct Time {
    now_ms: u64,
    /// As of the turn that is under way; for figures only, nothing is decided by it.
    now_us: u64,
    wall_ms: i64,
    /// Milliseconds in which the process was paused, all together.
    paused_ms: u64,
}

impl Time {
    /// Returns the clock that sessions are measured by: it stands while the process is paused.
    const fn session_ms(self) -> u64 {
        self.now_ms - self.paused_ms
    }
}

impl Replica {
    /// Makes a member around a recovered state and engine; `newest_snapshot` is its newest file.
    pub fn new(
        shared: Arc<Shared>,
        settings: Settings,
        engine: Engine,
        newest_snapshot: Zxid,
    ) -> Self {
        Self {
            shared,
            settings,
            engine,
            role: Role::Looking,
            waiting: Waiting::default(),
            forwards: Vec::new(),
            leading: None,
            syncing: Vec::new(),
            images: Images::new(newest_snapshot),
            rooms: Rooms::default(),
            time: Time::default(),
            next_touch_ms: 0,
            looking_since_ms: 0,
            outputs: Vec::new(),
            since_snapshot: (0, 0),
            is_halted: false,
        }
    }

    /// Returns the member's role.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Returns the engine, for looking at.
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the number of requests prepared and not applied (leader) or waiting here.
    pub fn outstanding(&self) -> usize {
        let in_flight = self.leading.as_ref().map_or(0, |leading| leading.outstanding.in_flight());
        in_flight.max(self.waiting.count())
    }

    /// Notes when the turn began, in microseconds of the driver's clock: what latencies are
    /// measured by.
    pub const fn begin_turn(&mut self, now_us: u64) {
        self.time.now_us = now_us;
    }

    /// Advances the member by one event and appends what must be done to `effects`, in order.
    pub fn step(&mut self, event: Event, effects: &mut Vec<Effect>) {
        if self.is_halted {
            return;
        }
        match event {
            Event::Tick { now_ms, wall_ms } => self.on_tick(now_ms, wall_ms, effects),
            Event::Submit(submissions) => self.on_submit(submissions, effects),
            Event::Peer { from, message } => self.on_peer(from, message, effects),
            Event::PeerUp(peer) => self.engine_step(Input::Connected(peer), effects),
            Event::PeerDown(peer) => {
                self.on_image_peer_down(peer, effects);
                self.engine_step(Input::Disconnected(peer), effects);
            }
            Event::Persisted(mark) => self.engine_step(Input::Persisted { mark }, effects),
            Event::Installed(state) => self.on_installed(*state, effects),
            Event::InstallFailed => self.on_install_failed(effects),
            Event::SnapshotDone(zxid) => self.on_snapshot_done(zxid, effects),
            Event::Room { is_short } => self.on_room(is_short, effects),
        }
    }

    /// Sends on what has gathered since the last flush.
    pub fn flush(&mut self, effects: &mut Vec<Effect>) {
        if self.is_halted {
            return;
        }
        if let Some(leading) = &mut self.leading {
            let proposals = std::mem::take(&mut leading.proposals);
            if !proposals.is_empty() {
                self.shared.metrics.proposals.increment(proposals.len() as u64);
                self.engine_step(Input::Propose(proposals), effects);
            }
        }
        self.flush_forwards(effects);
    }

    fn on_tick(&mut self, now_ms: u64, wall_ms: i64, effects: &mut Vec<Effect>) {
        let gap_ms = now_ms.saturating_sub(self.time.now_ms);
        if self.time.now_ms > 0 && gap_ms > TICK_GAP_MS_MAX {
            self.time.paused_ms += gap_ms;
        }
        self.time.now_ms = now_ms;
        self.time.wall_ms = wall_ms;
        if now_ms >= self.next_touch_ms {
            self.next_touch_ms = now_ms + TOUCH_INTERVAL_MS;
            self.pass_on_touches(effects);
        }
        self.expire_sessions();
        self.expire_local_sessions();
        self.reap();
        self.serve_reads_when_due();
        self.on_image_tick(effects);
        self.engine_step(Input::Tick, effects);
    }

    fn pass_on_touches(&mut self, effects: &mut Vec<Effect>) {
        let touched: Vec<SessionId> = std::mem::take(&mut *self.shared.touched.lock());
        for session in &touched {
            if let Some(id) = self.shared.sessions.get(session).map(|id| *id)
                && let Some(connection) = self.shared.connections.get(&id)
            {
                connection.take_touch();
            }
        }
        for session in &touched {
            self.shared.locals.touch(*session);
        }
        if let Some(leading) = &mut self.leading {
            leading.touch(&touched);
        } else if let Some(to) = self.leader() {
            for sessions in touched.chunks(conclave_protocol::peer::TOUCH_SESSIONS_MAX) {
                let message = PeerMessage::Touch(sessions.to_vec());
                effects.push(Effect::Send { to, message });
            }
        }
    }

    fn on_peer(&mut self, from: ServerId, message: PeerMessage, effects: &mut Vec<Effect>) {
        match message {
            PeerMessage::Zab(message) => {
                self.engine_step(Input::Receive { from, message }, effects);
            }
            PeerMessage::Forward(requests) => self.on_forwarded(from, requests),
            PeerMessage::Touch(sessions) => {
                if let Some(leading) = &mut self.leading {
                    leading.touch(&sessions);
                }
            }
            PeerMessage::Sync { seq } => self.on_sync_asked(from, seq, effects),
            PeerMessage::Synced { seq, upto } => {
                if self.leader() == Some(from) {
                    self.on_synced(seq, upto);
                }
            }
            PeerMessage::FetchImage { zxid, offset } => {
                self.on_fetch_image(from, zxid, offset, effects);
            }
            PeerMessage::ImageChunk { zxid, len_bytes, offset, data } => {
                self.on_image_chunk(from, zxid, len_bytes, offset, data, effects);
            }
            PeerMessage::ImageGone { .. } => self.on_image_peer_down(from, effects),
            PeerMessage::KeepAlive => {}
            PeerMessage::Room { is_short } => self.on_peer_room(from, is_short, effects),
            PeerMessage::Refusal { is_on } => self.on_refusal(from, is_on),
        }
    }

    /// Returns the leader this member follows.
    const fn leader(&self) -> Option<ServerId> {
        match self.role {
            Role::Following { leader, .. } | Role::Observing { leader, .. } => Some(leader),
            Role::Looking | Role::Leading { .. } => None,
        }
    }

    fn engine_step(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.engine.step(input, &mut outputs);
        for output in outputs.drain(..) {
            self.on_output(output, effects);
        }
        self.outputs = outputs;
    }

    fn on_output(&mut self, output: Output, effects: &mut Vec<Effect>) {
        if self.is_halted {
            return;
        }
        match output {
            Output::Send { to, message } => {
                effects.push(Effect::Send { to, message: PeerMessage::Zab(message) });
            }
            Output::Persist { mark, entries } => {
                effects.push(Effect::Store(StoreCommand::Append { mark, entries }));
            }
            Output::PersistEpochs { mark, epochs } => {
                effects.push(Effect::Store(StoreCommand::Epochs { mark, epochs }));
            }
            Output::Truncate { mark, after } => {
                effects.push(Effect::Store(StoreCommand::Truncate { mark, after }));
            }
            Output::Deliver { entries } => self.on_deliver(entries, effects),
            Output::Role(role) => self.on_role(role, effects),
            Output::FetchImage { from } => self.start_fetch(from, effects),
            Output::Confirmed { token, upto } => self.on_confirmed(token, upto, effects),
        }
    }

    fn on_role(&mut self, role: Role, effects: &mut Vec<Effect>) {
        tracing::info!(member = self.shared.me.0, ?role, "role changed");
        self.shared.metrics.role_changes.increment(1);
        self.role = role;
        self.leading = None;
        if self.shared.service() == Service::ReadOnly {
            self.end_read_only();
        }
        self.shared.set_service(match role {
            Role::Looking => Service::None,
            Role::Leading { .. } | Role::Following { .. } | Role::Observing { .. } => Service::Full,
        });
        match role {
            Role::Leading { .. } => {
                *self.shared.figures.proposal_sizes.lock() = None;
                let state = self.shared.state.read();
                self.leading = Some(Leading::new(&state, self.settings.reap, self.time));
            }
            Role::Looking => {
                // What was in flight may yet be delivered, or never: its clients are told neither.
                self.looking_since_ms = self.time.now_ms;
                self.shared.metrics.elections.increment(1);
                self.waiting.clear();
                self.forwards.clear();
                self.syncing.clear();
                self.shared.drop_all_connections();
            }
            Role::Following { .. } | Role::Observing { .. } => {}
        }
        self.forget_rooms();
        self.tell_room(effects);
    }
}

/// Tokens of confirmations under way and who asked for each.
type Confirmations = HashMap<u64, (ServerId, u64)>;
