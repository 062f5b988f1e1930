//! One connection's requests in flight: bytes out, bytes in, no socket.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::wire;

/// What an answer was to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Answered {
    /// What it is measured from, in nanoseconds.
    pub(super) from_ns: u64,
    /// Whether it was a read.
    pub(super) is_read: bool,
    /// 0 for none.
    pub(super) error: i32,
}

/// What a server said that is no answer in its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OutOfTurn {
    /// The xid expected, if any.
    pub(super) expected: Option<i32>,
    /// The xid that came.
    pub(super) got: i32,
}

/// Requests of one connection that are not answered yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// What waits to be written.
    pub(super) out: BytesMut,
    /// What has been read.
    pub(super) input: BytesMut,
    in_flight: VecDeque<(u64, bool)>,
    /// The xid of the oldest request in flight, less one.
    answered_xid: i32,
    /// Watch events that came.
    pub(super) events: u64,
}

impl Pipe {
    /// Returns how many requests are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Puts a request in flight; `put` appends it with the xid it is given.
    pub(super) fn send(
        &mut self,
        from_ns: u64,
        is_read: bool,
        put: impl FnOnce(&mut BytesMut, i32),
    ) {
        self.in_flight.push_back((from_ns, is_read));
        let xid = self.answered_xid.wrapping_add(self.in_flight.len() as i32) & i32::MAX;
        put(&mut self.out, xid);
    }

    /// Takes the next answer; pings and events are passed over.
    ///
    /// # Errors
    ///
    /// [`OutOfTurn`]: answers come in the order of the requests, or the server is none of this protocol.
    pub(super) fn take(&mut self) -> Result<Option<Answered>, OutOfTurn> {
        while let Some(wire::Answer { xid, error }) = wire::take_answer(&mut self.input) {
            match xid {
                wire::PING => {}
                wire::EVENT => self.events += 1,
                got => {
                    let xid = self.answered_xid.wrapping_add(1) & i32::MAX;
                    let Some((from_ns, is_read)) = self.in_flight.pop_front() else {
                        return Err(OutOfTurn { expected: None, got });
                    };
                    if got != xid {
                        return Err(OutOfTurn { expected: Some(xid), got });
                    }
                    self.answered_xid = xid;
                    return Ok(Some(Answered { from_ns, is_read, error }));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use conclave_protocol::frame;

    use super::*;

    fn answer(pipe: &mut Pipe, xid: i32, error: i32) {
        frame::put_frame(&mut pipe.input, |out| {
            out.put_i32(xid);
            out.put_i64(0);
            out.put_i32(error);
        });
    }

    #[test]
    fn answers_meet_their_requests_and_pings_and_events_are_passed_over() {
        let mut pipe = Pipe::default();
        let mut xids = Vec::new();
        for from_ns in [10, 20] {
            pipe.send(from_ns, from_ns == 20, |_, xid| xids.push(xid));
        }
        assert_eq!((xids.as_slice(), pipe.in_flight()), (&[1, 2][..], 2));
        for (xid, error) in [(wire::PING, 0), (1, 0), (wire::EVENT, 0), (2, -101)] {
            answer(&mut pipe, xid, error);
        }
        let first = Answered { from_ns: 10, is_read: false, error: 0 };
        let second = Answered { from_ns: 20, is_read: true, error: -101 };
        assert_eq!((pipe.take(), pipe.take()), (Ok(Some(first)), Ok(Some(second))));
        assert_eq!((pipe.take(), pipe.events, pipe.in_flight()), (Ok(None), 1, 0));
    }

    #[test]
    fn an_answer_out_of_turn_is_an_error() {
        let mut pipe = Pipe::default();
        answer(&mut pipe, 1, 0);
        assert_eq!(pipe.take(), Err(OutOfTurn { expected: None, got: 1 }));
        pipe.send(0, false, |_, _| {});
        answer(&mut pipe, 3, 0);
        assert_eq!(pipe.take(), Err(OutOfTurn { expected: Some(1), got: 3 }));
    }
}
