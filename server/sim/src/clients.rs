//! The clients' side of a run: connections to members, each with a time of its own for every frame.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use conclave_protocol::ids::{Password, ServerId};
use conclave_server::{
    lane::{Connection, Greeting},
    pipeline::{admit, connect, forward::Submission},
};

use crate::{
    client::Learned,
    world::{Happening, World},
};

/// How long a connection that is closed is noticed later than one that speaks, in microseconds.
const NOTICE_US: u64 = 1000;

impl World {
    pub(crate) fn think(&mut self, index: usize) {
        let range = self.scenario.think_ms.clone();
        let rest_ms = range.start + self.random.below(range.end - range.start);
        self.note(rest_ms * 1000, Happening::Think(index));
        let now_us = self.now_us;
        if self.clients[index].link.is_none() {
            let ids: Vec<ServerId> =
                self.ids().into_iter().filter(|id| self.gray != Some(*id)).collect();
            let home = *self.random.pick(&ids);
            let frame = self.clients[index].dial(home, now_us);
            return self.send_frames(index, vec![frame]);
        }
        let client = &mut self.clients[index];
        let before = client.link.as_ref().map(|link| (link.home, link.connection.clone()));
        let frames =
            client.think(&mut self.random, self.scenario.burst, self.known, now_us, self.is_quiet);
        if client.link.is_none() {
            // It has waited long enough, and goes.
            self.leave(before);
        } else if !frames.is_empty() {
            self.send_frames(index, frames);
        }
    }

    /// A client breaks its connection.
    pub(crate) fn break_client(&mut self, index: usize) {
        let link = self.clients[index].link.as_ref();
        let before = link.map(|link| (link.home, link.connection.clone()));
        self.clients[index].hang_up();
        self.leave(before);
    }

    fn leave(&mut self, link: Option<(ServerId, Option<Arc<Connection>>)>) {
        if let Some((home, Some(connection))) = link {
            let in_us = self.draw_delay_us() + NOTICE_US;
            self.note(in_us, Happening::Gone(home, connection));
        }
    }

    pub(crate) fn client_gone(&mut self, home: ServerId, connection: &Arc<Connection>) {
        let Some(running) = &self.machines[&home].running else { return };
        // Its number may be another's in a later process.
        let found = running.shared.connections.get(&connection.id);
        if found.is_some_and(|found| Arc::ptr_eq(&found, connection)) {
            running.shared.drop_connection(connection);
        }
    }

    fn send_frames(&mut self, index: usize, frames: Vec<Bytes>) {
        let at_us = self.now_us + self.draw_delay_us();
        let Some(link) = &mut self.clients[index].link else { return };
        link.outgoing.push_back(frames);
        link.last_us.0 = link.last_us.0.max(at_us);
        let (number, in_us) = (link.number, link.last_us.0 - self.now_us);
        self.note(in_us, Happening::ToMember(index, number));
    }

    pub(crate) fn frames_arrive(&mut self, index: usize, number: u64) {
        let Some(link) = self.clients[index].link.as_mut().filter(|link| link.number == number)
        else {
            return;
        };
        let home = link.home;
        let Some(frames) = link.outgoing.pop_front() else { return };
        let connection = link.connection.clone();
        let Some(running) = &self.machines[&home].running else {
            return self.deliver_to_client(index, number, BytesMut::new(), true);
        };
        let shared = running.shared.clone();
        let mut submissions = Vec::new();
        let is_sound = match connection {
            None => {
                // Its first frame: the connection is there with it.
                let (id, address) = (shared.draw_connection(), ([127, 0, 0, 1], 1).into());
                let connection =
                    Arc::new(Connection::new(id, address, Arc::from([]), shared.meters(), 0));
                shared.connections.insert(id, connection.clone());
                let link = self.clients[index].link.as_mut().expect("it was there");
                link.connection = Some(connection.clone());
                let password = Password([index as u8 + 1; 16]);
                let frame = frames.into_iter().next().expect("a connect request");
                connect::admit_connect(&shared, &connection, frame, password)
                    .map(|submission| submissions.extend(submission))
            }
            Some(connection) if connection.cancelled.is_cancelled() => {
                return self.deliver_to_client(index, number, BytesMut::new(), true);
            }
            Some(connection) => {
                shared.touch(&connection);
                admit::admit(&shared, &connection, &mut frames.into_iter(), &mut submissions)
            }
        };
        self.pass_on(home, submissions);
        if is_sound.is_err() {
            let link = self.clients[index].link.as_ref().expect("it was there");
            let connection = link.connection.clone().expect("made above");
            shared.drop_connection(&connection);
            return self.deliver_to_client(index, number, BytesMut::new(), true);
        }
        self.flush_clients(home);
    }

    /// A connection passes requests on; the member looks at them later, perhaps under another
    /// leader, and perhaps when the connection is gone.
    fn pass_on(&mut self, home: ServerId, submissions: Vec<Submission>) {
        if submissions.is_empty() {
            return;
        }
        let in_us = self.random.below(300);
        let machine = self.machines.get_mut(&home).expect("a member");
        let process = machine.process;
        if let Some(running) = &mut machine.running {
            running.arriving.push_back(submissions);
            self.note(in_us, Happening::Submit(home, process));
        }
    }

    /// Takes what a member has written to its clients.
    pub(crate) fn flush_clients(&mut self, home: ServerId) {
        for index in 0..self.clients.len() {
            let link = self.clients[index].link.as_ref().filter(|link| link.home == home);
            let Some(link) = link else { continue };
            let Some(connection) = &link.connection else { continue };
            let number = link.number;
            let (bytes, is_last) = connection.take_outbox();
            let is_over = is_last
                || connection.cancelled.is_cancelled()
                || connection.greeting() == Greeting::Refused;
            if is_over {
                let connection = connection.clone();
                if let Some(running) = &self.machines[&home].running {
                    running.shared.drop_connection(&connection);
                }
            }
            if is_over || !bytes.is_empty() {
                self.deliver_to_client(index, number, bytes, is_over);
            }
        }
    }

    pub(crate) fn deliver_to_client(
        &mut self,
        index: usize,
        number: u64,
        bytes: BytesMut,
        is_last: bool,
    ) {
        let at_us = self.now_us + self.draw_delay_us();
        let Some(link) = &mut self.clients[index].link else { return };
        link.incoming.push_back((bytes, is_last));
        link.last_us.1 = link.last_us.1.max(at_us);
        let in_us = link.last_us.1 - self.now_us;
        self.note(in_us, Happening::ToClient(index, number));
    }

    pub(crate) fn bytes_arrive(&mut self, index: usize, number: u64) {
        let Some(link) = self.clients[index].link.as_mut().filter(|link| link.number == number)
        else {
            return;
        };
        let Some((bytes, is_last)) = link.incoming.pop_front() else { return };
        let mut learned = Learned::default();
        let now_us = self.now_us;
        let client = &mut self.clients[index];
        let frames = client.hear(&self.ledger, &bytes, is_last, now_us, &mut learned);
        self.trace(index as u64 ^ bytes.len() as u64);
        self.learn(learned);
        if !frames.is_empty() {
            self.send_frames(index, frames);
        }
    }
}
