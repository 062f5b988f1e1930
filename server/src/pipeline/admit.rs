//! Stage 1: a connection's frames become requests, in the order of the session. Reads that nothing
//! is ahead of are answered at once; writes get a number and go on to the leader.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use conclave_protocol::{
    code::ErrorCode,
    connect::ConnectRequest,
    ids::{Password, SessionId, Xid},
    jute::Reader,
    multi::Op,
    opcode::OpCode,
    peer::forward::{Action, Forwarded},
    request::{Create, Request, RequestHeader},
};

use super::{
    forward::{Shape, Submission, Submitted, Waiter},
    read,
};
use crate::{
    acl::digest,
    lane::{Connection, Lane, Pending, Position, Then},
    shared::{Shared, Terms},
    state::State,
};

/// Identities that one connection may prove, at most.
const IDENTITIES_MAX: usize = 256;

/// Why a connection ends without a word.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum AdmitError {
    /// The first frame is no connect request.
    #[error("first frame is no connect request")]
    NotConnect,
    /// The client has seen a txn that this member does not have yet.
    #[error("client has seen a newer state than this member has")]
    FromTheFuture,
    /// A frame is too short for a header, or an auth request is malformed.
    #[error("malformed frame")]
    Malformed,
}

/// Admits the first frame of a connection. `password` is drawn for the session if it is new.
///
/// # Errors
///
/// [`AdmitError`] closes the connection without a reply, as ZooKeeper does.
pub fn admit_connect(
    shared: &Shared,
    connection: &Arc<Connection>,
    frame: Bytes,
    password: Password,
) -> Result<Submission, AdmitError> {
    let request = ConnectRequest::decode(frame).map_err(|_| AdmitError::NotConnect)?;
    if request.last_zxid_seen > shared.state.read().last_applied {
        return Err(AdmitError::FromTheFuture);
    }
    let timeout_ms = negotiate(request.timeout_ms, &shared.terms);
    let (session, password, action) = if request.session == SessionId::NONE {
        (shared.draw_session(), password, Action::Open { timeout_ms, password })
    } else {
        // A password of another length is a wrong one: no session has the zero password.
        let claimed = request.password.as_deref().and_then(|bytes| bytes.try_into().ok());
        let password = Password(claimed.unwrap_or_default());
        (request.session, password, Action::Attach { timeout_ms, password })
    };
    connection.set_session(session);
    connection.asked(Some(OpCode::CreateSession));
    let shape = Shape::Connect { has_read_only: request.read_only.is_some(), password };
    let seq = shared.draw_seq();
    connection.lane().pending.push_back(Pending::Write { seq });
    let forwarded = Forwarded { seq, session, xid: Xid(0), identities: Vec::new(), action };
    let waiter =
        Waiter { connection: connection.clone(), session, xid: Xid(0), shape, since_us: 0 };
    Ok(Submission { waiter, seq, kind: Submitted::Write(forwarded) })
}

/// Returns whether a request makes the tree larger, or may.
fn adds_data(request: &Request) -> bool {
    match request {
        Request::Create(_)
        | Request::Create2(_)
        | Request::SetData { .. }
        | Request::SetAcl { .. } => true,
        Request::Multi(ops) => {
            ops.iter().any(|op| !matches!(op.opcode(), OpCode::Delete | OpCode::Check))
        }
        _ => false,
    }
}

fn negotiate(asked_ms: i32, terms: &Terms) -> u32 {
    let asked_ms = u32::try_from(asked_ms).unwrap_or(0);
    asked_ms.clamp(terms.session_timeout_ms_min, terms.session_timeout_ms_max)
}

/// Admits frames that came behind the connect request, oldest first.
///
/// # Errors
///
/// [`AdmitError`] when the connection has to end without a word; what was admitted before is in
/// `submissions`.
pub fn admit(
    shared: &Shared,
    connection: &Arc<Connection>,
    frames: impl IntoIterator<Item = Bytes>,
    submissions: &mut Vec<Submission>,
) -> Result<(), AdmitError> {
    // One guard for all of them: taken before the lane, as everywhere.
    let state = shared.state.read();
    let mut lane = connection.lane();
    let mut stage = Stage { shared, connection, state: &state, lane: &mut lane, submissions };
    for frame in frames {
        stage.frame(frame)?;
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
    fn frame(&mut self, frame: Bytes) -> Result<(), AdmitError> {
        let mut reader = Reader::new(frame);
        let RequestHeader { xid, opcode } =
            RequestHeader::decode(&mut reader).map_err(|_| AdmitError::Malformed)?;
        self.connection.asked(OpCode::from_wire(opcode));
        let body = reader.into_rest();
        let opcode = match OpCode::from_wire(opcode) {
            Some(OpCode::CreateSession) => {
                self.refuse(xid, ErrorCode::MarshallingError);
                return Ok(());
            }
            Some(opcode) if is_client_opcode(opcode) => opcode,
            _ => {
                let error = ErrorCode::Unimplemented.to_wire();
                self.answer(xid, error, Position::None, Then::Close);
                return Ok(());
            }
        };
        match Request::decode(opcode, body.clone()) {
            Ok(request) => self.request(xid, opcode, body, request),
            Err(_) if opcode == OpCode::Auth => return Err(AdmitError::Malformed),
            Err(_) => self.refuse(xid, ErrorCode::MarshallingError),
        }
        Ok(())
    }

    fn request(&mut self, xid: Xid, opcode: OpCode, body: Bytes, request: Request) {
        if self.shared.refuses_growth.load(Ordering::Relaxed) && adds_data(&request) {
            // ZooKeeper has no code for this; this one is known to every client.
            return self.refuse(xid, ErrorCode::SystemError);
        }
        let shape = match request {
            Request::Create(Create { ref path, .. })
            | Request::Create2(Create { ref path, .. })
            | Request::Delete { ref path, .. }
                if path.is_null() =>
            {
                return self.refuse(xid, ErrorCode::MarshallingError);
            }
            Request::Auth { scheme, data, .. } => {
                return self.auth(xid, scheme.as_str(), data.as_deref());
            }
            Request::Sync { path } => {
                let seq = self.shared.draw_seq();
                self.lane.pending.push_back(Pending::Sync { seq, xid, path, fresh_from: None });
                return self.submit(seq, xid, Shape::Sync, Submitted::Sync);
            }
            Request::CloseSession => {
                return self.write(xid, Shape::Close, Action::Close);
            }
            Request::Create(_)
            | Request::Create2(_)
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::SetAcl { .. }
            | Request::Check { .. } => Shape::One(opcode),
            Request::Multi(ref ops) => Shape::Multi(ops.iter().map(Op::opcode).collect()),
            read => return self.read(xid, read),
        };
        self.write(xid, shape, Action::Request { opcode: opcode.to_wire(), body });
    }

    fn read(&mut self, xid: Xid, request: Request) {
        if self.lane.pending.is_empty() {
            let identities = self.lane.identities.clone();
            let Self { connection, state, shared, .. } = self;
            read::answer(connection, state, &shared.watches, xid, &request, &identities);
        } else {
            let identities = self.lane.identities.clone();
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
        let waiter =
            Waiter { connection: self.connection.clone(), session, xid, shape, since_us: 0 };
        self.submissions.push(Submission { waiter, seq, kind });
    }

    fn refuse(&mut self, xid: Xid, code: ErrorCode) {
        self.answer(xid, code.to_wire(), Position::Applied, Then::Continue);
    }

    fn answer(&mut self, xid: Xid, error: i32, position: Position, then: Then) {
        self.lane.pending.push_back(Pending::Answered { xid, error, position, then });
        if self.lane.pending.len() == 1 {
            super::reply::drain_lane(self.lane, self.connection, self.state, &self.shared.watches);
        }
    }

    /// Takes effect at once, for every request behind it; the answer keeps its place.
    fn auth(&mut self, xid: Xid, scheme: Option<&str>, data: Option<&[u8]>) {
        let is_known = match (scheme, data) {
            (Some("digest"), Some(data)) => {
                let identity = digest::identity(data);
                if !self.lane.identities.contains(&identity)
                    && self.lane.identities.len() < IDENTITIES_MAX
                {
                    let all = self.lane.identities.iter().cloned().chain([identity]);
                    self.lane.identities = all.collect();
                    *self.connection.identities.lock() = self.lane.identities.clone();
                }
                true
            }
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
}

/// Returns whether clients may send it and this member can do it.
fn is_client_opcode(opcode: OpCode) -> bool {
    use OpCode::*;
    matches!(
        opcode,
        Create
            | Delete
            | Exists
            | GetData
            | SetData
            | GetAcl
            | SetAcl
            | GetChildren
            | Sync
            | Ping
            | GetChildren2
            | Check
            | Multi
            | Create2
            | Auth
            | SetWatches
            | GetEphemerals
            | GetAllChildrenNumber
            | SetWatches2
            | AddWatch
            | CheckWatches
            | RemoveWatches
            | WhoAmI
            | CloseSession
    )
}
