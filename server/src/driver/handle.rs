//! What connection and link tasks hold of a member.

use std::sync::Arc;

use conclave_protocol::{ids::ServerId, peer::PeerMessage};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, pipeline::forward::Submission, replica::Event, shared::Shared};

/// Events that wait for the owner at most; beyond, whoever brings one waits.
pub(super) const EVENTS_MAX: usize = 16_384;

/// What reaches the owner.
#[derive(Debug)]
pub enum DriverEvent {
    /// For the replica.
    Replica(Event),
    /// A link came or went.
    Link(LinkEvent),
    /// End the member.
    Stop,
}

/// A link to another member came or went.
#[derive(Debug)]
pub enum LinkEvent {
    /// It carries messages now.
    Up {
        /// To whom.
        peer: ServerId,
        /// Takes messages.
        sender: mpsc::Sender<PeerMessage>,
        /// To be cancelled when the link is given up.
        broken: CancellationToken,
    },
    /// It is gone.
    Down {
        /// To whom it was.
        peer: ServerId,
    },
}

/// A member, as seen from its sockets.
#[derive(Clone, Debug)]
pub struct Handle {
    /// State and tables.
    pub shared: Arc<Shared>,
    /// The member's clock.
    pub clock: Clock,
    /// What the four-letter words tell that never changes.
    pub facts: Arc<crate::net::Facts>,
    pub(super) events: mpsc::Sender<DriverEvent>,
}

impl Handle {
    /// Passes writes on to the owner; returns false when the member has stopped.
    pub async fn submit(&self, submissions: Vec<Submission>) -> bool {
        self.send(DriverEvent::Replica(Event::Submit(submissions))).await
    }

    /// Passes a message of another member on to the owner; returns false when this one has stopped.
    pub async fn peer(&self, from: ServerId, message: PeerMessage) -> bool {
        self.send(DriverEvent::Replica(Event::Peer { from, message })).await
    }

    /// Tells the owner of a link; returns false when the member has stopped.
    pub async fn link(&self, event: LinkEvent) -> bool {
        self.send(DriverEvent::Link(event)).await
    }

    pub(super) async fn send(&self, event: DriverEvent) -> bool {
        self.events.send(event).await.is_ok()
    }
}
