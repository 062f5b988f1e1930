//! Stage 1: a connection's frames become requests, in the order of the session. Reads that nothing
//! is ahead of are answered at once; writes get a number and go on to the leader.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use conclave_protocol::{
    acl::Identity,
    code::ErrorCode,
    ids::Xid,
    jute::Reader,
    multi::Op,
    opcode::OpCode,
    peer::forward::{Action, Forwarded},
    request::{Request, RequestHeader},
    response::Response,
};

use super::{
    forward::{Shape, Submission, Submitted, Waiter},
    kind, read,
};
use crate::{
    lane::{Connection, Lane, Pending, Phase, Position, Then},
    session::Local,
    shared::{LocalSessions, Service, Shared},
    state::State,
};

/// Identities that one connection may prove, at most; each goes with every write it forwards.
const IDENTITIES_MAX: usize = 256;

/// Bytes of a connection's identities, at most.
const IDENTITIES_LEN_BYTES_MAX: usize = 64 << 10;

/// Why a connection ends without a word.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum AdmitError {
    /// The first frame is no connect request.
    #[error("first frame is no connect request")]
    NotConnect,
    /// The client has seen a txn that this member does not have yet.
    #[error("client has seen a newer state than this member has")]
    FromTheFuture,
    /// Nobody is served now, or nobody who wants to write.
    #[error("not serving, or reads only")]
    NotServing,
    /// A frame is too short for a header, or an auth or SASL request is malformed.
    #[error("malformed frame")]
    Malformed,
}

/// Admits frames that came behind the connect request, oldest first, for as long as the connection
/// has room for more; the rest stays in `frames`.
///
/// # Errors
///
/// [`AdmitError`] when the connection has to end without a word; what was admitted before is in
/// `submissions`.
pub fn admit(
    shared: &Shared,
    connection: &Arc<Connection>,
    frames: &mut impl Iterator<Item = Bytes>,
    submissions: &mut Vec<Submission>,
) -> Result<(), AdmitError> {
    // One guard for all of them: taken before the lane, as everywhere.
    let state = shared.state.read();
    let mut lane = connection.lane();
    let mut stage = Stage { shared, connection, state: &state, lane: &mut lane, submissions };
    while stage.lane.phase == Phase::Open
        && !stage.lane.is_full()
        && connection.has_room()
        && stage.may_enter()
        && let Some(frame) = frames.next()
    {
        stage.frame(frame)?;
    }
    // What nothing came of is for others.
    lane.permit = None;
    if lane.phase != Phase::Open {
        // What comes behind the end is not looked at.
        frames.for_each(drop);
    }
    Ok(())
}

/// Admits the header of a request that is longer than the configuration allows: it is refused, in its
/// place of the session's order.
///
/// # Errors
///
/// [`AdmitError`] when the connection has to end without a word.
pub fn refuse_too_long(
    shared: &Shared,
    connection: &Arc<Connection>,
    header: Bytes,
) -> Result<(), AdmitError> {
    let state = shared.state.read();
    let mut lane = connection.lane();
    if lane.phase != Phase::Open {
        return Ok(());
    }
    let submissions = &mut Vec::new();
    let mut stage = Stage { shared, connection, state: &state, lane: &mut lane, submissions };
    if let Some((RequestHeader { xid, .. }, _)) = stage.header(header)? {
        // What its client is told by ZooKeeper, whose end of the connection it never gets to see.
        stage.refuse(xid, ErrorCode::ConnectionLoss);
    }
    Ok(())
}

struct Stage<'a> {
    shared: &'a Shared,
    connection: &'a Arc<Connection>,
    state: &'a State,
    lane: &'a mut Lane,
    submissions: &'a mut Vec<Submission>,
}

impl Stage<'_> {
    /// Returns whether one more request is looked at, as far as the others under way go.
    fn may_enter(&mut self) -> bool {
        let gate = &self.shared.gate;
        if gate.is_high() && !self.lane.pending.is_empty() {
            return false;
        }
        if gate.has_permits() && self.lane.permit.is_none() && !self.lane.is_throttled {
            self.lane.permit = gate.try_permit();
            return self.lane.permit.is_some();
        }
        true
    }

    /// Takes a frame's header off; `None` when the client had to prove itself first, and is told so.
    fn header(&mut self, frame: Bytes) -> Result<Option<(RequestHeader, Bytes)>, AdmitError> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader).map_err(|_| AdmitError::Malformed)?;
        let body = reader.into_rest();
        let opcode = OpCode::from_wire(header.opcode);
        self.connection.asked(opcode, body.len());
        let proves = matches!(opcode, Some(OpCode::Auth | OpCode::Sasl));
        if !proves && !self.shared.terms.access.admits(&self.lane.identities) {
            let error = ErrorCode::SessionClosedRequireSaslAuth.to_wire();
            self.answer(header.xid, error, Position::Zero, Then::Close);
            return Ok(None);
        }
        Ok(Some((header, body)))
    }

    fn frame(&mut self, frame: Bytes) -> Result<(), AdmitError> {
        let Some((RequestHeader { xid, opcode }, body)) = self.header(frame)? else {
            return Ok(());
        };
        let is_throttled = std::mem::take(&mut self.lane.is_throttled);
        let opcode = match OpCode::from_wire(opcode) {
            Some(OpCode::CreateSession) => {
                self.refuse(xid, ErrorCode::MarshallingError);
                return Ok(());
            }
            Some(OpCode::DeleteContainer) => {
                // The leader's own; ZooKeeper reads a client's path as none.
                self.refuse(xid, ErrorCode::BadArguments);
                return Ok(());
            }
            Some(opcode) if kind::is_client_opcode(opcode) => opcode,
            _ => {
                let error = ErrorCode::Unimplemented.to_wire();
                self.answer(xid, error, Position::None, Then::Close);
                return Ok(());
            }
        };
        if is_throttled && kind::can_be_throttled(opcode) {
            self.shared.metrics.requests_throttled.increment(1);
            self.refuse(xid, ErrorCode::ThrottledOp);
            return Ok(());
        }
        match Request::decode(opcode, body.clone()) {
            Ok(Request::Sasl { token: None }) => return Err(AdmitError::Malformed),
            Ok(request) => self.request(xid, opcode, body, request),
            Err(_) if matches!(opcode, OpCode::Auth | OpCode::Sasl) => {
                return Err(AdmitError::Malformed);
            }
            Err(_) => self.refuse(xid, ErrorCode::MarshallingError),
        }
        Ok(())
    }

    fn request(&mut self, xid: Xid, opcode: OpCode, body: Bytes, request: Request) {
        if self.shared.service() == Service::ReadOnly && !kind::is_read(&request) {
            return self.refuse(xid, ErrorCode::NotReadOnly);
        }
        if self.shared.refuses_growth.load(Ordering::Relaxed) && kind::adds_data(&request) {
            // ZooKeeper has no code for this; this one is known to every client.
            return self.refuse(xid, ErrorCode::SystemError);
        }
        let shape = match request {
            Request::Auth { scheme, data, .. } => {
                return self.auth(xid, scheme.as_str(), data.as_deref());
            }
            Request::Sync { path } => {
                let seq = self.shared.draw_seq();
                self.lane.pending.push_back(Pending::Sync { seq, xid, path, fresh_from: None });
                return self.submit(seq, xid, Shape::Sync, Submitted::Sync);
            }
            Request::CloseSession => return self.close(xid),
            Request::Sasl { .. } => return self.sasl(xid),
            Request::Reconfig { .. } => return self.refuse(xid, self.reconfig_error()),
            Request::Create(_)
            | Request::Create2(_)
            | Request::CreateContainer(_)
            | Request::CreateTtl { .. }
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::SetAcl { .. }
            | Request::Check { .. } => Shape::One(opcode),
            Request::Multi(ref ops) => Shape::Multi(ops.iter().map(Op::answered_as).collect()),
            read => return self.read(xid, read),
        };
        let needs_upgrade = self.connection.is_local() && kind::creates_ephemeral(&request);
        if needs_upgrade && !self.upgrade() {
            return self.refuse(xid, ErrorCode::EphemeralOnLocalSession);
        }
        let opcode = opcode.to_wire();
        let action = match self.connection.is_local() {
            true => Action::LocalRequest { opcode, body },
            false => Action::Request { opcode, body },
        };
        self.write(xid, shape, action);
    }

    fn close(&mut self, xid: Xid) {
        let session = self.connection.session();
        if self.connection.is_local() {
            self.shared.locals.close(session);
            return self.answer(xid, 0, Position::Applied, Then::Close);
        }
        if self.shared.service() == Service::ReadOnly {
            return self.refuse(xid, ErrorCode::NotReadOnly);
        }
        self.write(xid, Shape::Close, Action::Close);
    }

    /// Makes a local session one of the ensemble, in the order of its requests; returns false when
    /// the configuration forbids it, or the session has expired meanwhile.
    fn upgrade(&mut self) -> bool {
        if self.shared.terms.local_sessions != LocalSessions::Upgraded {
            return false;
        }
        let session = self.connection.session();
        let Some(Local { password, timeout_ms }) = self.shared.locals.close(session) else {
            return false;
        };
        self.connection.set_local(false);
        let seq = self.shared.draw_seq();
        let action = Action::Open { timeout_ms, password };
        let opening = Forwarded { seq, session, xid: Xid(0), identities: Vec::new(), action };
        self.submit(seq, Xid(0), Shape::Upgrade, Submitted::Upgrade(opening));
        true
    }

    fn read(&mut self, xid: Xid, request: Request) {
        if self.lane.pending.is_empty() {
            let identities = self.lane.identities.clone();
            let Self { connection, state, shared, .. } = self;
            read::answer(connection, state, &shared.watches, xid, &request, &identities);
        } else {
            let identities = self.lane.identities.clone();
            self.lane.reads += 1;
            self.lane.pending.push_back(Pending::Read { xid, request, identities });
        }
    }

    fn write(&mut self, xid: Xid, shape: Shape, action: Action) {
        let seq = self.shared.draw_seq();
        let session = self.connection.session();
        let identities = self.lane.identities.to_vec();
        let forwarded = Forwarded { seq, session, xid, identities, action };
        self.lane.pending.push_back(Pending::Write { seq });
        self.submit(seq, xid, shape, Submitted::Write(forwarded));
    }

    fn submit(&mut self, seq: u64, xid: Xid, shape: Shape, kind: Submitted) {
        let session = self.connection.session();
        let connection = self.connection.clone();
        let place = self.shared.gate.enter(self.lane.permit.take());
        let waiter = Waiter { connection, session, xid, shape, since_us: 0, place };
        self.submissions.push(Submission { waiter, seq, kind });
    }

    fn refuse(&mut self, xid: Xid, code: ErrorCode) {
        self.answer(xid, code.to_wire(), Position::Applied, Then::Continue);
    }

    fn answer(&mut self, xid: Xid, error: i32, position: Position, then: Then) {
        self.put(Pending::Answered { xid, error, position, body: Response::Empty, then });
        if then == Then::Close {
            self.lane.phase = Phase::Ending;
        }
    }

    fn put(&mut self, answered: Pending) {
        self.lane.pending.push_back(answered);
        if self.lane.pending.len() == 1 {
            super::reply::drain_lane(self.lane, self.connection, self.state, &self.shared.watches);
        }
    }

    /// Takes effect at once, for every request behind it; the answer keeps its place.
    fn auth(&mut self, xid: Xid, scheme: Option<&str>, data: Option<&[u8]>) {
        let is_known = match (scheme, data) {
            (Some("digest"), Some(data)) => self.prove(self.shared.terms.access.prove(data)),
            (Some("ip"), _) => true,
            _ => false,
        };
        if is_known {
            self.answer(xid, 0, Position::Zero, Then::Continue);
        } else {
            let error = ErrorCode::AuthFailed.to_wire();
            self.answer(xid, error, Position::Zero, Then::Close);
        }
    }

    /// Adds what a client has proved; returns false when it is more than one may be.
    fn prove(&mut self, proved: Vec<Identity>) -> bool {
        let mut all = self.lane.identities.to_vec();
        for identity in proved {
            if !all.contains(&identity) {
                all.push(identity);
            }
        }
        let len_bytes: usize =
            all.iter().filter_map(|identity| identity.id.as_bytes()).map(Bytes::len).sum();
        if all.len() > IDENTITIES_MAX || len_bytes > IDENTITIES_LEN_BYTES_MAX {
            return false;
        }
        self.lane.identities = all.into();
        *self.connection.identities.lock() = self.lane.identities.clone();
        true
    }

    /// SASL is not set up: ZooKeeper answers with no token then, and clients go on without.
    fn sasl(&mut self, xid: Xid) {
        let body = Response::Sasl(None);
        self.put(Pending::Answered {
            xid,
            error: 0,
            position: Position::Zero,
            body,
            then: Then::Continue,
        });
    }

    /// The members cannot be changed while they run.
    const fn reconfig_error(&self) -> ErrorCode {
        if self.shared.is_alone && self.shared.terms.access.is_reconfig_enabled {
            ErrorCode::Unimplemented
        } else {
            ErrorCode::ReconfigDisabled
        }
    }
}
