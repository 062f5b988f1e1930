//! Stage 1 for the first frame of a connection: who wants a session, a new one or its own.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use conclave_protocol::{
    connect::{ConnectRequest, ConnectResponse},
    frame,
    ids::{Password, SessionId, Xid},
    opcode::OpCode,
    peer::forward::{Action, Forwarded},
    zxid::Zxid,
};

use super::{
    admit::AdmitError,
    forward::{Shape, Submission, Submitted, Waiter},
};
use crate::{
    lane::{Connection, Greeting, Pending},
    session::Local,
    shared::{LocalSessions, Service, Shared, Terms},
};

/// Admits the first frame of a connection; `password` is drawn for the session if it is new. Returns
/// what goes to the leader, or `None` when it is answered: a local session, or one of a member that
/// serves reads only.
///
/// # Errors
///
/// [`AdmitError`] closes the connection without a reply, as ZooKeeper does.
pub fn admit_connect(
    shared: &Shared,
    connection: &Arc<Connection>,
    frame: Bytes,
    password: Password,
) -> Result<Option<Submission>, AdmitError> {
    let request = ConnectRequest::decode(frame).map_err(|_| AdmitError::NotConnect)?;
    let service = shared.service();
    if service == Service::None || service == Service::ReadOnly && request.read_only != Some(true) {
        return Err(AdmitError::NotServing);
    }
    if request.last_zxid_seen.is_after(shared.state.read().last_applied) {
        return Err(AdmitError::FromTheFuture);
    }
    connection.asked(Some(OpCode::CreateSession), 0);
    let stage = Stage {
        shared,
        connection,
        service,
        has_read_only: request.read_only.is_some(),
        timeout_ms: negotiate(request.timeout_ms, &shared.terms),
    };
    if request.session == SessionId::NONE {
        return Ok(stage.open(password));
    }
    // A password of another length is a wrong one: no session has the zero password.
    let claimed = request.password.as_deref().and_then(|bytes| bytes.try_into().ok());
    stage.attach(request.session, Password(claimed.unwrap_or_default()))
}

fn negotiate(asked_ms: i32, terms: &Terms) -> u32 {
    let asked_ms = u32::try_from(asked_ms).unwrap_or(0);
    asked_ms.clamp(terms.session_timeout_ms_min, terms.session_timeout_ms_max)
}

struct Stage<'a> {
    shared: &'a Shared,
    connection: &'a Arc<Connection>,
    service: Service,
    has_read_only: bool,
    timeout_ms: u32,
}

impl Stage<'_> {
    fn open(&self, password: Password) -> Option<Submission> {
        let session = self.shared.draw_session();
        // A member without a leader can open no other; ZooKeeper refuses unless local sessions are
        // configured, which leaves its read-only clients without a read-only server.
        let is_local = self.service == Service::ReadOnly
            || self.shared.terms.local_sessions != LocalSessions::Off;
        if is_local {
            self.serve_local(session, password);
            return None;
        }
        let timeout_ms = self.timeout_ms;
        Some(self.submit(session, password, Action::Open { timeout_ms, password }))
    }

    fn attach(
        &self,
        session: SessionId,
        password: Password,
    ) -> Result<Option<Submission>, AdmitError> {
        self.connection.set_session(session);
        let timeout_ms = self.timeout_ms;
        if let Some(local) = self.shared.locals.find(session) {
            if local.password == password {
                self.serve_local(session, password);
            } else {
                self.refuse(session);
            }
            return Ok(None);
        }
        if self.service == Service::Full {
            let action = Action::Attach { timeout_ms, password };
            return Ok(Some(self.submit(session, password, action)));
        }
        let found = self.shared.state.read().sessions.find(session).copied();
        match found {
            Some(found) if found.password == password => {
                self.greet(session, password, found.timeout_ms);
            }
            Some(_) => self.refuse(session),
            // It may be younger than what this member has: who has no leader cannot tell that it is over.
            None => return Err(AdmitError::NotServing),
        }
        Ok(None)
    }

    fn serve_local(&self, session: SessionId, password: Password) {
        let timeout_ms = self.timeout_ms;
        self.shared.locals.open(session, Local { password, timeout_ms });
        self.connection.set_local(true);
        self.greet(session, password, timeout_ms);
    }

    fn submit(&self, session: SessionId, password: Password, action: Action) -> Submission {
        let Self { shared, connection, has_read_only, .. } = self;
        connection.set_session(session);
        let shape = Shape::Connect { has_read_only: *has_read_only, password };
        let seq = shared.draw_seq();
        connection.lane().pending.push_back(Pending::Write { seq });
        let forwarded = Forwarded { seq, session, xid: Xid(0), identities: Vec::new(), action };
        let connection = Arc::clone(connection);
        let place = shared.gate.enter(None);
        let waiter = Waiter { connection, session, xid: Xid(0), shape, since_us: 0, place };
        Submission { waiter, seq, kind: Submitted::Write(forwarded) }
    }

    fn greet(&self, session: SessionId, password: Password, timeout_ms: u32) {
        self.connection.set_session(session);
        self.connection.set_timeout_ms(timeout_ms);
        self.shared.serve_session(session, self.connection);
        let read_only = self.has_read_only.then_some(self.service == Service::ReadOnly);
        let last_applied = self.shared.state.read().last_applied;
        let granted = granted(session, password, timeout_ms, read_only);
        greet(self.connection, &granted, last_applied, Greeting::Granted);
        if self.shared.service() != self.service {
            // The leader came or went meanwhile, and this one was not among those sent away.
            self.connection.cancelled.cancel();
        }
    }

    fn refuse(&self, session: SessionId) {
        // As ZooKeeper does: who guesses at a session ends its connection too, and the owner comes
        // back with the password.
        self.shared.end_session_here(session);
        let read_only = self.has_read_only.then_some(self.service == Service::ReadOnly);
        greet(self.connection, &refused(read_only), Zxid::ZERO, Greeting::Refused);
    }
}

/// Sends the answer to a connect request.
pub(super) fn greet(
    connection: &Connection,
    answer: &ConnectResponse,
    zxid: Zxid,
    greeting: Greeting,
) {
    let mut out = BytesMut::new();
    frame::put_frame(&mut out, |out| answer.encode(out));
    connection.greet(&out, zxid, greeting);
}

/// What a client is told that has its session.
pub(super) fn granted(
    session: SessionId,
    password: Password,
    timeout_ms: u32,
    read_only: Option<bool>,
) -> ConnectResponse {
    ConnectResponse {
        protocol_version: 0,
        timeout_ms: timeout_ms as i32,
        session,
        password: Some(Bytes::copy_from_slice(&password.0)),
        read_only,
    }
}

/// What a client is told whose session is unknown, over, or not its own.
pub(super) fn refused(read_only: Option<bool>) -> ConnectResponse {
    granted(SessionId::NONE, Password::ZERO, 0, read_only)
}

#[cfg(test)]
mod tests {
    use conclave_protocol::ids::ServerId;

    use super::*;
    use crate::{
        acl::Access,
        metric::MemberMetrics,
        pipeline::{prepare::Rules, quota::HardLimits},
        watch::ConnId,
    };

    const SESSION: SessionId = SessionId(7);
    const PASSWORD: Password = Password([1; 16]);

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
            read_only_after_ms: Some(0),
        };
        let shared = Shared::new(me, false, terms, MemberMetrics::new(me), 0, 1);
        shared.set_service(Service::ReadOnly);
        shared
    }

    /// Asks for a session, and returns what becomes of that.
    fn attach(shared: &Shared, password: Password) -> Result<Greeting, AdmitError> {
        let address = ([127, 0, 0, 1], 1).into();
        let connection =
            Arc::new(Connection::new(ConnId(1), address, Arc::from([]), shared.meters(), 0));
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 5000,
            session: SESSION,
            password: Some(Bytes::copy_from_slice(&password.0)),
            read_only: Some(true),
        };
        let mut frame = Vec::new();
        request.encode(&mut frame);
        let submission = admit_connect(shared, &connection, frame.into(), PASSWORD)?;
        assert!(submission.is_none(), "there is no leader to submit it to");
        Ok(connection.greeting())
    }

    #[test]
    fn a_member_without_a_leader_does_not_say_of_a_session_that_it_has_not_heard_of_that_it_is_over()
     {
        let shared = shared();
        // It may have begun with a leader that this member has not heard since.
        assert_eq!(attach(&shared, PASSWORD), Err(AdmitError::NotServing));
        let session =
            crate::session::Session { timeout_ms: 5000, password: PASSWORD, owner: ServerId(2) };
        shared.state.write().sessions.open(SESSION, session);
        assert_eq!(attach(&shared, PASSWORD), Ok(Greeting::Granted));
        assert_eq!(attach(&shared, Password([2; 16])), Ok(Greeting::Refused));
    }
}
