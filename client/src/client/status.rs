//! What the session's task tells every handle.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use conclave_protocol::ids::SessionId;
use tokio::sync::watch;

use crate::session::{Session, SessionState};

/// Where the session stands, and what it was granted.
#[derive(Debug)]
pub(crate) struct Status {
    state: watch::Sender<SessionState>,
    session: AtomicI64,
    timeout_ms: AtomicU64,
}

impl Status {
    pub(crate) fn new() -> Self {
        Self {
            state: watch::Sender::new(SessionState::Connecting),
            session: AtomicI64::new(SessionId::NONE.0),
            timeout_ms: AtomicU64::new(0),
        }
    }

    /// Tells a change: who sees the state sees what belongs to it.
    pub(crate) fn tell(&self, state: SessionState, session: &Session) {
        self.session.store(session.id().0, Ordering::Release);
        self.timeout_ms.store(session.timeout_ms(), Ordering::Release);
        self.state.send_replace(state);
    }

    /// The task has ended: nobody serves the session any more, whatever the server still has.
    pub(crate) fn end(&self) {
        self.state.send_if_modified(|state| {
            let is_left = !state.is_over();
            if is_left {
                *state = SessionState::Closed;
            }
            is_left
        });
    }

    pub(crate) fn state(&self) -> SessionState {
        *self.state.borrow()
    }

    pub(crate) fn states(&self) -> watch::Receiver<SessionState> {
        self.state.subscribe()
    }

    pub(crate) fn session(&self) -> SessionId {
        SessionId(self.session.load(Ordering::Acquire))
    }

    pub(crate) fn timeout_ms(&self) -> u64 {
        self.timeout_ms.load(Ordering::Acquire)
    }
}
