//! Nothing grows without bound: looked at again and again while a run goes on.

use conclave_server::lane::LANE_REQUESTS_MAX;
use conclave_zab::{LEARNER_BACKLOG_ENTRIES_MAX, Role};

use crate::{client::UNANSWERED_MAX, machine::Machine, scenario::Scenario};

/// Connections that a client may have had to one member and that it has not seen end yet, itself having
/// stood still.
const CONNECTIONS_MAX: usize = 8;

/// Watches of one connection: of each kind on each path that clients ask for, and then some.
const WATCHES_MAX: usize = 300;

/// Pieces of work that a disk may be behind. Whoever is that far behind is forgotten by its leader.
const WORK_MAX: usize = 10_000;

/// Checks what a member keeps in memory against what it may.
pub(crate) fn check(machine: &Machine, scenario: &Scenario) {
    let Some(running) = &machine.running else { return };
    let (id, shared) = (machine.id, &running.shared);
    let holds = |what: &str, count: usize, most: usize| {
        assert!(count <= most, "growth: {id} holds {count} {what}, at most {most}");
    };
    let connections_max = CONNECTIONS_MAX * scenario.clients;
    holds("connections", shared.connections.len(), connections_max);
    holds("served sessions", shared.sessions.len(), connections_max);
    holds("watches", shared.watches.count(), WATCHES_MAX * connections_max);
    holds("local sessions", shared.locals.count(), connections_max + scenario.clients * 8);
    for connection in &shared.connections {
        let most = (2 * UNANSWERED_MAX).min(LANE_REQUESTS_MAX);
        holds("requests of a connection", connection.lane_len(), most);
    }
    let requests_max = connections_max * 2 * UNANSWERED_MAX;
    holds("requests under way", running.replica.outstanding(), requests_max);
    holds("pieces of work for its disk", running.work.len(), WORK_MAX);
    holds("batches of requests to look at", running.arriving.len(), requests_max);
    let engine = running.replica.engine();
    let undelivered = engine.undelivered_count();
    // A member with a slow disk is sent no more by its leader than this.
    holds("undelivered entries", undelivered, LEARNER_BACKLOG_ENTRIES_MAX + requests_max);
    // A leader keeps more for whoever is fetching a snapshot.
    if !matches!(running.replica.role(), Role::Leading { .. }) {
        let most = scenario.window_entries + requests_max + WORK_MAX + undelivered;
        holds("entries of its log", engine.entries_count(), most);
    }
}
