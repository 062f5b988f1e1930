//! The links between members: one connection for each pair, in order both ways, with a time of its
//! own for every message. Ways can be shut; then messages wait, as they do behind a cable that is out,
//! and whoever hears nothing for too long gives the connection up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use conclave_protocol::{ids::ServerId, peer::PeerMessage};

/// From a member to another.
pub(crate) type Way = (ServerId, ServerId);

/// All links, and what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Network {
    links: BTreeMap<Way, Link>,
    numbers: u64,
    /// Ways on which nothing arrives, each as often as something shuts it.
    shut: BTreeMap<Way, u32>,
    /// What a way takes longer, in microseconds.
    slow_us: BTreeMap<Way, u64>,
}

/// One connection; the key is the pair in order.
#[derive(Debug)]
struct Link {
    number: u64,
    /// The members that have it open.
    open: BTreeSet<ServerId>,
    queues: BTreeMap<ServerId, Queue>,
}

/// What is on its way to one member.
#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<PeerMessage>,
    last_us: u64,
}

/// What becomes of a message whose time has come.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It is there.
    Message(PeerMessage),
    /// The way is shut: it is tried again.
    Shut,
    /// The other end is closed, which the sender learns now.
    Closed,
    /// Its connection is no more.
    Gone,
}

fn pair((a, b): Way) -> Way {
    (a.min(b), a.max(b))
}

impl Network {
    /// Opens a new connection; what was on its way in the one before is lost. Returns its number.
    pub(crate) fn connect(&mut self, way: Way) -> u64 {
        self.numbers += 1;
        let link = Link {
            number: self.numbers,
            open: [way.0, way.1].into(),
            queues: [(way.0, Queue::default()), (way.1, Queue::default())].into(),
        };
        self.links.insert(pair(way), link);
        self.numbers
    }

    /// Returns whether a member has its connection to another open.
    pub(crate) fn is_open(&self, me: ServerId, other: ServerId) -> bool {
        self.links.get(&pair((me, other))).is_some_and(|link| link.open.contains(&me))
    }

    /// Returns the number of a pair's connection.
    pub(crate) fn number(&self, way: Way) -> Option<u64> {
        self.links.get(&pair(way)).map(|link| link.number)
    }

    /// Closes one end; returns whether it was open.
    pub(crate) fn close(&mut self, me: ServerId, other: ServerId, number: u64) -> bool {
        let link = self.links.get_mut(&pair((me, other)));
        link.is_some_and(|link| link.number == number && link.open.remove(&me))
    }

    /// Sends a message that would arrive at `at_us`; returns its connection and when it arrives,
    /// which is behind everything before it.
    pub(crate) fn send(
        &mut self,
        way: Way,
        at_us: u64,
        message: PeerMessage,
    ) -> Option<(u64, u64)> {
        let at_us = at_us + self.slow_us.get(&way).copied().unwrap_or(0);
        let link = self.links.get_mut(&pair(way)).filter(|link| link.open.contains(&way.0))?;
        let queue = link.queues.get_mut(&way.1).expect("both have one");
        queue.last_us = queue.last_us.max(at_us);
        queue.messages.push_back(message);
        Some((link.number, queue.last_us))
    }

    /// The time of the next message on a connection has come.
    pub(crate) fn arrive(&mut self, way: Way, number: u64) -> Arrival {
        let is_shut = self.is_shut(way);
        let link = self.links.get_mut(&pair(way)).filter(|link| link.number == number);
        let Some(link) = link else { return Arrival::Gone };
        if is_shut {
            return Arrival::Shut;
        }
        if !link.open.contains(&way.1) {
            return Arrival::Closed;
        }
        let queue = link.queues.get_mut(&way.1).expect("both have one");
        queue.messages.pop_front().map_or(Arrival::Gone, Arrival::Message)
    }

    pub(crate) fn is_shut(&self, way: Way) -> bool {
        self.shut.contains_key(&way)
    }

    pub(crate) fn shut(&mut self, way: Way) {
        *self.shut.entry(way).or_default() += 1;
    }

    pub(crate) fn open(&mut self, way: Way) {
        if let Some(count) = self.shut.get_mut(&way) {
            *count -= 1;
            if *count == 0 {
                self.shut.remove(&way);
            }
        }
    }

    pub(crate) fn slow_down(&mut self, way: Way, by_us: u64) {
        self.slow_us.insert(way, by_us);
    }

    pub(crate) fn speed_up(&mut self, way: Way) {
        self.slow_us.remove(&way);
    }

    /// Opens and speeds up every way.
    pub(crate) fn heal(&mut self) {
        self.shut.clear();
        self.slow_us.clear();
    }
}
