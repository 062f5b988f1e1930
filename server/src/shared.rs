//! What a member's connection tasks and its owner share: the state under its guard, and the tables
//! that many of them change at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering},
};

use bytes::Bytes;
use conclave_protocol::ids::{ServerId, SessionId};
use dashmap::DashMap;
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};

use crate::{
    acl::Access,
    admin::{LeaderReport, ProposalSizes},
    lane::{Connection, Phase},
    limit::{Gate, RequestLimits, TokenBucket},
    metric::MemberMetrics,
    pipeline::prepare::Rules,
    session::Locals,
    state::State,
    traffic::Meters,
    watch::{ConnId, Watches},
};

/// ZooKeeper's: warnings, sessions and requests.
const TRACE_MASK_DEFAULT: u64 = 306;

/// Shared by everything in one member.
#[derive(Debug)]
pub struct Shared {
    /// The member.
    pub me: ServerId,
    /// Whether it is the only one of its ensemble.
    pub is_alone: bool,
    /// What clients are granted.
    pub terms: Terms,
    /// Tree and sessions. Held exclusively only while a batch is applied.
    pub state: RwLock<State>,
    /// Who waits for which change. A watch is armed under a guard of the state.
    pub watches: Watches,
    /// Live connections by number.
    pub connections: DashMap<ConnId, Arc<Connection>, RandomState>,
    /// The connection that serves a session here.
    pub sessions: DashMap<SessionId, ConnId, RandomState>,
    /// Sessions heard since the owner last asked.
    pub touched: Mutex<Vec<SessionId>>,
    /// Sessions that only this member knows.
    pub locals: Locals,
    /// How much clients may ask at a time.
    pub limits: RequestLimits,
    /// Requests under way.
    pub gate: Gate,
    /// How many more clients may connect now.
    pub connects: TokenBucket,
    service: AtomicU8,
    /// Whether what adds data is refused, as no quorum of the members has room for it.
    pub refuses_growth: AtomicBool,
    /// What the owner lets others see of the replica.
    pub figures: Figures,
    /// The figures of this member.
    pub metrics: MemberMetrics,
    /// The member's clock in microseconds, as of its last turn; for figures only.
    pub time_us: Arc<AtomicU64>,
    /// What `gtmk` tells and `stmk` sets; nothing is traced by it.
    pub trace_mask: AtomicU64,
    /// Packets received and sent at the last `srst`.
    pub packets_at_reset: Mutex<(u64, u64)>,
    next_seq: AtomicU64,
    next_session: AtomicI64,
    next_connection: AtomicU64,
}

/// What clients are granted, from the configuration.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Least session timeout, in milliseconds.
    pub session_timeout_ms_min: u32,
    /// Greatest session timeout, in milliseconds.
    pub session_timeout_ms_max: u32,
    /// Longest request frame, in bytes.
    pub frame_len_bytes_max: usize,
    /// Who may do what, besides the lists of the znodes.
    pub access: Access,
    /// What requests may ask for.
    pub rules: Rules,
    /// What `/zookeeper/config` tells until somebody writes to it.
    pub members: Bytes,
    /// Whether new sessions are this member's alone.
    pub local_sessions: LocalSessions,
    /// Time without a leader after which clients that ask for no more are served reads, in
    /// milliseconds; `None` serves nobody without one.
    pub read_only_after_ms: Option<u64>,
}

/// Whether new sessions are known to their member only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LocalSessions {
    /// They are the ensemble's.
    Off,
    /// They are, and can create no ephemerals.
    On,
    /// They are until they create an ephemeral; then they become the ensemble's.
    Upgraded,
}

/// What clients get of a member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Service {
    /// Nothing.
    None,
    /// Reads, if they ask for no more: it has no leader.
    ReadOnly,
    /// Everything: a leader is known and this member is up to date with it.
    Full,
}

/// What the four-letter words tell of the replica, as of its last turn.
#[derive(Debug, Default)]
pub struct Figures {
    /// 0 looking, 1 leading, 2 following, 3 observing.
    pub role: AtomicUsize,
    /// Requests under way.
    pub outstanding: AtomicUsize,
    /// What only a leader has to tell.
    pub leading: Mutex<Option<LeaderReport>>,
    /// Sizes of the txns proposed in this reign and since the last `srst`.
    pub proposal_sizes: Mutex<Option<ProposalSizes>>,
    /// Links to other members.
    pub links: AtomicUsize,
}

impl Figures {
    /// Notes the size of a txn that is proposed, in bytes.
    pub fn note_proposal(&self, len_bytes: u64) {
        let mut sizes = self.proposal_sizes.lock();
        let before = sizes.unwrap_or(ProposalSizes { last: 0, min: u64::MAX, max: 0 });
        *sizes = Some(ProposalSizes {
            last: len_bytes,
            min: before.min.min(len_bytes),
            max: before.max.max(len_bytes),
        });
    }
}

impl Shared {
    /// Makes an empty member's tables. `wall_ms` starts the numbers of sessions and requests, so
    /// that none is used twice over restarts; `seed` keys the tree's hash table.
    pub fn new(
        me: ServerId,
        is_alone: bool,
        terms: Terms,
        metrics: MemberMetrics,
        wall_ms: i64,
        seed: u64,
    ) -> Self {
        // The member's number in the top byte, then 40 bits of time, then 16 bits to count.
        let first_session = i64::from(me.0) << 56 | (wall_ms << 16 & 0x00ff_ffff_ffff_ffff);
        Self {
            me,
            is_alone,
            state: RwLock::new(State { members: terms.members.clone(), ..State::new(seed) }),
            terms,
            watches: Watches::default(),
            connections: DashMap::default(),
            sessions: DashMap::default(),
            touched: Mutex::new(Vec::new()),
            locals: Locals::default(),
            limits: RequestLimits::default(),
            gate: Gate::new(&RequestLimits::default()),
            connects: TokenBucket::new(RequestLimits::default().connects),
            service: AtomicU8::new(Service::None as u8),
            refuses_growth: AtomicBool::new(false),
            figures: Figures::default(),
            metrics,
            time_us: Arc::default(),
            trace_mask: AtomicU64::new(TRACE_MASK_DEFAULT),
            packets_at_reset: Mutex::default(),
            next_seq: AtomicU64::new((wall_ms as u64) << 20),
            next_session: AtomicI64::new(first_session),
            next_connection: AtomicU64::new(1),
        }
    }

    /// Sets how much clients may ask at a time.
    #[must_use]
    pub fn limited(self, limits: RequestLimits) -> Self {
        let (gate, connects) = (Gate::new(&limits), TokenBucket::new(limits.connects));
        Self { limits, gate, connects, ..self }
    }

    /// Returns whether a leader is known and this member is up to date with it.
    pub fn is_serving(&self) -> bool {
        self.service() == Service::Full
    }

    /// Returns what clients get of this member.
    pub fn service(&self) -> Service {
        match self.service.load(Ordering::Acquire) {
            0 => Service::None,
            1 => Service::ReadOnly,
            _ => Service::Full,
        }
    }

    /// Notes what clients get of this member.
    pub fn set_service(&self, service: Service) {
        self.service.store(service as u8, Ordering::Release);
    }

    /// Notes that `connection` serves the session now; another one here that did is closed.
    pub fn serve_session(&self, session: SessionId, connection: &Connection) {
        self.metrics.sessions_opened.increment(1);
        // Under the lane's lock, so that a connection that goes now takes this note with it.
        let lane = connection.lane();
        if lane.phase == Phase::Over {
            return;
        }
        let before = self.sessions.insert(session, connection.id);
        drop(lane);
        if let Some(before) = before.filter(|before| *before != connection.id)
            && let Some(old) = self.connections.get(&before).map(|entry| entry.value().clone())
        {
            old.close();
            // Gone before the new connection is answered, though the old one may take longer to end.
            self.watches.drop_connection(before);
        }
    }

    /// Ends the connection that serves a session here, if there is one.
    pub fn end_session_here(&self, session: SessionId) {
        let id = self.sessions.get(&session).map(|id| *id);
        if let Some(id) = id
            && let Some(connection) = self.connections.get(&id).map(|entry| entry.value().clone())
        {
            connection.close();
        }
    }

    /// Returns what its connections count into.
    pub fn meters(&self) -> Meters {
        Meters {
            packets_sent: self.metrics.packets_sent.clone(),
            latency_ms: self.metrics.request_ms.clone(),
            time_us: self.time_us.clone(),
        }
    }

    /// Draws the number of a write.
    pub fn draw_seq(&self) -> u64 {
        self.next_seq.fetch_add(1, Ordering::Relaxed)
    }

    /// Draws the id of a new session.
    pub fn draw_session(&self) -> SessionId {
        SessionId(self.next_session.fetch_add(1, Ordering::Relaxed))
    }

    /// Draws the number of a new connection.
    pub fn draw_connection(&self) -> ConnId {
        ConnId(self.next_connection.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes that a connection's client was heard.
    pub fn touch(&self, connection: &Connection) {
        if connection.touch() {
            self.touched.lock().push(connection.session());
        }
    }

    /// Forgets a connection and its watches; its session lives on.
    pub fn drop_connection(&self, connection: &Connection) {
        connection.cancelled.cancel();
        // Before the lane is emptied: an answer from here on would come behind a gap.
        connection.seal();
        {
            // From here on nothing is answered nor watched on it, whoever is about to.
            let mut lane = connection.lane();
            lane.phase = Phase::Over;
            lane.pending.clear();
            lane.reads = 0;
        }
        self.connections.remove(&connection.id);
        self.sessions.remove_if(&connection.session(), |_, id| *id == connection.id);
        self.watches.drop_connection(connection.id);
    }

    /// Ends every connection: this member can serve nobody now.
    pub fn drop_all_connections(&self) {
        let all: Vec<Arc<Connection>> =
            self.connections.iter().map(|entry| entry.value().clone()).collect();
        for connection in all {
            self.drop_connection(&connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use conclave_protocol::{ids::Xid, response::Response, zxid::Zxid};

    use super::*;
    use crate::{lane::Then, pipeline::quota::HardLimits};

    fn shared() -> Shared {
        let me = ServerId(1);
        let terms = Terms {
            session_timeout_ms_min: 4000,
            session_timeout_ms_max: 40_000,
            frame_len_bytes_max: 1 << 20,
            access: Access::default(),
            rules: Rules { has_ttl: true, hard_limits: HardLimits::Enforced },
            members: Bytes::new(),
            local_sessions: LocalSessions::Off,
            read_only_after_ms: None,
        };
        Shared::new(me, true, terms, MemberMetrics::new(me), 0, 1)
    }

    #[test]
    fn a_write_that_is_done_when_its_connection_is_gone_is_not_answered_without_the_reads_before_it()
     {
        let shared = shared();
        let address = ([127, 0, 0, 1], 1).into();
        let connection = Connection::new(ConnId(1), address, Arc::from([]), shared.meters(), 0);
        connection.reply(Xid(1), Zxid::ZERO, 0, &Response::Empty, Then::Continue);
        let (before, _) = connection.take_outbox();
        shared.drop_connection(&connection);
        connection.reply(Xid(3), Zxid::ZERO, 0, &Response::Empty, Then::Continue);
        let (behind, is_last) = connection.take_outbox();
        assert!(!before.is_empty() && behind.is_empty() && is_last);
    }
}
