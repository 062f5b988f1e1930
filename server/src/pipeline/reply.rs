//! Stage 7: outcomes become answers, each in its place of the session's order.

use conclave_protocol::{
    code::ErrorCode,
    ids::{Password, SessionId},
    multi::OpResult,
    opcode::OpCode,
    response::Response,
    zxid::Zxid,
};

use super::{
    apply::{Applied, Outcome},
    connect,
    forward::{Shape, Waiter},
    read,
};
use crate::{
    lane::{Connection, Greeting, Lane, Pending, Phase, Position, Then},
    state::State,
    watch::Watches,
};

/// Answers the reads of `connection` that no write is ahead of any more. The caller holds a guard
/// of the state, so that what is answered now cannot miss an event queued later.
pub fn drain(connection: &Connection, state: &State, watches: &Watches) {
    drain_lane(&mut connection.lane(), connection, state, watches);
}

/// As [`drain`], for who holds the lane already. Stops at a read for whose answer there is no room: the
/// writer goes on once the client has taken what waits.
pub fn drain_lane(lane: &mut Lane, connection: &Connection, state: &State, watches: &Watches) {
    drain_front(lane, connection, state, watches, Reads::WhileThereIsRoom);
}

/// Whether reads are answered that make the outbox longer than it should be.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Reads {
    WhileThereIsRoom,
    /// A write is about to be applied that they must not see.
    All,
}

fn drain_front(
    lane: &mut Lane,
    connection: &Connection,
    state: &State,
    watches: &Watches,
    reads: Reads,
) {
    if lane.phase == Phase::Over {
        return;
    }
    let len_before = lane.pending.len();
    while let Some(pending) = lane.pending.pop_front() {
        match pending {
            Pending::Write { seq } => {
                lane.pending.push_front(Pending::Write { seq });
                break;
            }
            Pending::Sync { xid, ref path, fresh_from: Some(upto), .. }
                if upto <= state.last_applied =>
            {
                let body = Response::Sync(path.clone());
                connection.reply(xid, state.last_applied, 0, &body, Then::Continue);
            }
            sync @ Pending::Sync { .. } => {
                lane.pending.push_front(sync);
                break;
            }
            read @ Pending::Read { .. }
                if reads == Reads::WhileThereIsRoom && !connection.can_take_more() =>
            {
                lane.pending.push_front(read);
                break;
            }
            Pending::Read { xid, request, identities } => {
                lane.reads -= 1;
                read::answer(connection, state, watches, xid, &request, &identities);
            }
            Pending::Answered { xid, error, position, body, then } => {
                let zxid = match position {
                    Position::Applied => state.last_applied,
                    Position::Zero => Zxid::ZERO,
                    Position::None => Zxid::NONE,
                };
                connection.reply(xid, zxid, error, &body, then);
            }
        }
    }
    if lane.pending.len() < len_before {
        connection.shorter.notify_one();
    }
}

/// Answers everything ahead of the write numbered `seq`, before its txn is applied: a read must
/// not see a write that its session sent after it.
///
/// A sync ahead of it may still wait for its confirmation. The write proves the same: the leader
/// proposed it after the sync had reached it, a quorum followed that leader after that, and all
/// that was committed before is applied here.
pub fn drain_up_to(waiter: &Waiter, seq: u64, state: &State, watches: &Watches) {
    let mut lane = waiter.connection.lane();
    if lane.phase == Phase::Over {
        return;
    }
    let ahead = lane.pending.iter_mut();
    for pending in ahead.take_while(|pending| !matches!(pending, Pending::Write { .. })) {
        if let Pending::Sync { fresh_from: unproved @ None, .. } = pending {
            *unproved = Some(state.last_applied);
        }
    }
    drain_front(&mut lane, &waiter.connection, state, watches, Reads::All);
    match lane.pending.pop_front() {
        Some(Pending::Write { seq: front }) if front == seq => {
            waiter.connection.shorter.notify_one();
        }
        other => panic!("txns of a session come in the order of its requests: {seq}, {other:?}"),
    }
}

/// Tells the waiting client what its write did.
pub fn reply(waiter: &Waiter, applied: &Applied) {
    let connection = &waiter.connection;
    if let Shape::Connect { has_read_only, password } = &waiter.shape {
        return reply_connect(connection, waiter.session, *password, *has_read_only, applied);
    }
    if applied.outcome == Outcome::Refused(ErrorCode::SessionMoved) {
        // As ZooKeeper does: the old member's connection ends without a word.
        connection.close();
        return;
    }
    assert_eq!(waiter.session, applied.session, "an answer goes to the session that asked");
    let then = if waiter.shape == Shape::Close { Then::Close } else { Then::Continue };
    let (error, body) = match (&applied.outcome, &waiter.shape) {
        (Outcome::Refused(code), _) => (code.to_wire(), Response::Empty),
        (Outcome::MultiRefused { failed_op, code }, Shape::Multi(ops)) => {
            (0, Response::Multi(refused_multi(ops.len(), *failed_op as usize, *code)))
        }
        (Outcome::Multi(outcomes), Shape::Multi(ops)) => {
            assert_eq!(outcomes.len(), ops.len(), "one outcome for each operation");
            let results = outcomes.iter().zip(ops).map(|(outcome, op)| op_result(outcome, *op));
            (0, Response::Multi(results.collect()))
        }
        (outcome, Shape::One(opcode)) => (0, response(outcome, *opcode)),
        (_, Shape::Close) => (0, Response::Empty),
        (outcome, shape) => unreachable!("prepare answers {shape:?} with {outcome:?}"),
    };
    connection.reply(waiter.xid, applied.zxid, error, &body, then);
}

fn response(outcome: &Outcome, opcode: OpCode) -> Response {
    match outcome {
        Outcome::Created { path, stat } => match opcode {
            OpCode::Create => Response::Path(path.as_str().into()),
            _ => Response::PathStat { path: path.as_str().into(), stat: *stat },
        },
        Outcome::Changed(stat) => Response::Stat(*stat),
        _ => Response::Empty,
    }
}

fn op_result(outcome: &Outcome, opcode: OpCode) -> OpResult {
    match (outcome, opcode) {
        (Outcome::Created { path, .. }, OpCode::Create) => {
            OpResult::Create { path: path.as_str().into() }
        }
        (Outcome::Created { path, stat }, _) => {
            OpResult::Create2 { opcode, path: path.as_str().into(), stat: *stat }
        }
        (Outcome::Changed(stat), _) => OpResult::SetData { stat: *stat },
        (_, OpCode::Delete) => OpResult::Delete,
        _ => OpResult::Check,
    }
}

/// ZooKeeper's form: 0 before the operation that failed, its code, and -2 behind it.
fn refused_multi(ops: usize, failed_op: usize, code: ErrorCode) -> Vec<OpResult> {
    (0..ops)
        .map(|index| match index.cmp(&failed_op) {
            std::cmp::Ordering::Less => OpResult::Error(ErrorCode::Ok.to_wire()),
            std::cmp::Ordering::Equal => OpResult::Error(code.to_wire()),
            std::cmp::Ordering::Greater => {
                OpResult::Error(ErrorCode::RuntimeInconsistency.to_wire())
            }
        })
        .collect()
}

fn reply_connect(
    connection: &Connection,
    session: SessionId,
    password: Password,
    has_read_only: bool,
    applied: &Applied,
) {
    let read_only = has_read_only.then_some(false);
    if let Outcome::SessionGranted { timeout_ms } = applied.outcome {
        connection.set_timeout_ms(timeout_ms);
        let granted = connect::granted(session, password, timeout_ms, read_only);
        connect::greet(connection, &granted, applied.zxid, Greeting::Granted);
    } else {
        let refused = connect::refused(read_only);
        connect::greet(connection, &refused, applied.zxid, Greeting::Refused);
    }
}
