//! What kind of request one is: who may send it, who can answer it, what it does to the tree.

use conclave_protocol::{
    multi::Op,
    opcode::OpCode,
    request::{Create, Request},
};

/// Returns whether clients may send it and this member can do it.
pub(super) fn is_client_opcode(opcode: OpCode) -> bool {
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
            | CreateContainer
            | CreateTtl
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
            | MultiRead
            | Reconfig
            | Sasl
    )
}

/// Returns whether it is refused when it has waited too long to be looked at. What keeps a session, ends
/// it, or proves who it is for is not.
pub(super) const fn can_be_throttled(opcode: OpCode) -> bool {
    !matches!(opcode, OpCode::Ping | OpCode::CloseSession | OpCode::Auth | OpCode::Sasl)
}

/// Returns whether a member without a leader can answer. The end of a session is judged apart.
pub(super) fn is_read(request: &Request) -> bool {
    !matches!(
        request,
        Request::Create(_)
            | Request::Create2(_)
            | Request::CreateContainer(_)
            | Request::CreateTtl { .. }
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::SetAcl { .. }
            | Request::Check { .. }
            | Request::Multi(_)
            | Request::Sync { .. }
    )
}

/// Returns whether a request makes znodes that end with its session.
pub(super) fn creates_ephemeral(request: &Request) -> bool {
    let is_ephemeral = |create: &Create| matches!(create.flags, 1 | 3);
    match request {
        Request::Create(create) | Request::Create2(create) | Request::CreateContainer(create) => {
            is_ephemeral(create)
        }
        Request::Multi(ops) => ops.iter().any(|op| match op {
            Op::Create(create) | Op::Create2(create) => is_ephemeral(create),
            _ => false,
        }),
        _ => false,
    }
}

/// Returns whether a request makes the tree larger, or may.
pub(super) fn adds_data(request: &Request) -> bool {
    match request {
        Request::Create(_)
        | Request::Create2(_)
        | Request::CreateContainer(_)
        | Request::CreateTtl { .. }
        | Request::SetData { .. }
        | Request::SetAcl { .. } => true,
        Request::Multi(ops) => {
            ops.iter().any(|op| !matches!(op.opcode(), OpCode::Delete | OpCode::Check))
        }
        _ => false,
    }
}
