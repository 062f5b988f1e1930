//! What a member does alone: sessions that only it knows, and reads while there is no leader.

use conclave_zab::Role;

use super::Replica;
use crate::shared::{LocalSessions, Service};

impl Replica {
    /// Closes the local sessions whose time is up. Nobody else knows them, so no txn is needed.
    pub(super) fn expire_local_sessions(&self) {
        for session in self.shared.locals.advance(self.time.session_ms()) {
            tracing::info!(%session, "local session expired");
            self.shared.metrics.sessions_expired.increment(1);
            self.shared.end_session_here(session);
            self.shared.sessions.remove(&session);
        }
    }

    /// Serves reads once the leader has been missed for as long as the configuration says.
    pub(super) fn serve_reads_when_due(&self) {
        let Some(after_ms) = self.shared.terms.read_only_after_ms else { return };
        if self.role == Role::Looking
            && self.shared.service() == Service::None
            && self.time.now_ms >= self.looking_since_ms + after_ms
        {
            tracing::warn!(member = self.shared.me.0, "no leader: serving reads only");
            self.shared.set_service(Service::ReadOnly);
        }
    }

    /// There is a leader again: those who were content with reads come back, and can have more.
    pub(super) fn end_read_only(&self) {
        self.shared.drop_all_connections();
        if self.shared.terms.local_sessions == LocalSessions::Off {
            self.shared.locals.clear();
        }
    }
}
