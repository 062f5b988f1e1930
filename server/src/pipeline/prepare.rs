//! Stage 3, on the leader: a request becomes an idempotent txn, or an error txn that says why not.
//! The order of the checks is ZooKeeper's own, as its clients can tell which error wins.

use std::sync::Arc;

use conclave_protocol::{
    acl::{Acl, Identity, Perms},
    code::ErrorCode,
    ids::{Password, ServerId, SessionId, Xid},
    multi::Op,
    opcode::OpCode,
    path,
    peer::forward::{Action, Forwarded},
    quota::Usage,
    request::{Create, Request},
    text::Text,
    txn::{Change, CreateChange, Origin, Owner, Txn},
};

use super::{
    outstanding::{Future, Outstanding},
    quota::{HardLimits, PartChange, one},
};
use crate::{acl, session::Session, state::State, tree::Reapable};

/// Bytes of a name's sequence number: ten digits, zero-padded.
const SEQUENCE_DIGITS: usize = 10;

/// Znodes that are part of the service and cannot be deleted.
const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// What the configuration says of requests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// Whether there are TTL znodes (`extendedTypesEnabled`).
    pub has_ttl: bool,
    /// What hard limits of quotas do (`enforceQuota`).
    pub hard_limits: HardLimits,
}

/// Longest that the change of one request may be, in bytes: with all that is around it a record of the
/// log holds it. What is longer is refused, such as many lists in which `auth` stands for many.
const CHANGE_LEN_BYTES_MAX: usize = 48 << 20;

const _: () = assert!(
    CHANGE_LEN_BYTES_MAX + (1 << 20) < conclave_snapshots::RECORD_LEN_BYTES_MAX
        && crate::config::FRAME_LEN_BYTES_MAX_MAX < CHANGE_LEN_BYTES_MAX,
    "what a client may send fits into a record"
);

/// Longest that a TTL znode can stay unchanged, in milliseconds: what ZooKeeper has bits for.
const TTL_MS_MAX: i64 = (1 << 40) - 1;

/// Resolves `request`, admitted by member `from`, against `state` and what is outstanding.
pub fn prepare(
    outstanding: &mut Outstanding,
    state: &State,
    from: ServerId,
    request: Forwarded,
    rules: Rules,
    time_ms: i64,
) -> Txn {
    let Forwarded { seq, session, xid, identities, action } = request;
    let identities = &identities[..];
    let mut stage =
        Stage { outstanding, state, session, is_local: false, identities, rules, time_ms };
    let change = match action {
        Action::Open { timeout_ms, password } => stage.open(from, timeout_ms, password),
        Action::Attach { timeout_ms, password } => stage.attach(from, timeout_ms, password),
        Action::Close => stage.close(from),
        Action::Request { opcode, body } => match stage.check_session(from) {
            Ok(()) => stage.request(opcode, body),
            Err(code) => Change::Error(code),
        },
        Action::LocalRequest { opcode, body } => {
            stage.is_local = true;
            stage.request(opcode, body)
        }
    };
    finish(outstanding, Origin { server: from, seq }, session, xid, time_ms, change)
}

/// Resolves the end of a session whose time is up.
pub fn prepare_expiry(
    outstanding: &mut Outstanding,
    state: &State,
    me: ServerId,
    session: SessionId,
    time_ms: i64,
) -> Txn {
    let change = match outstanding.session(state, session) {
        Some(_) => close_open(outstanding, state, session),
        None => Change::Error(ErrorCode::SessionExpired),
    };
    unasked(outstanding, me, session, time_ms, change)
}

/// Resolves the end of a container or TTL znode, if it `is_over` and nothing in flight touches it: who
/// changes it now or gives it a child keeps it until the next search.
pub fn prepare_reap(
    outstanding: &mut Outstanding,
    state: &State,
    me: ServerId,
    path: &str,
    time_ms: i64,
    is_over: impl Fn(&Reapable<'_>) -> bool,
) -> Option<Txn> {
    state.tree.find_reapable(path).filter(|znode| is_over(znode) && !outstanding.touches(path))?;
    remove(outstanding, state, path);
    let change = Change::Delete { path: path.to_owned() };
    Some(unasked(outstanding, me, SessionId::NONE, time_ms, change))
}

/// Returns a txn of the leader's own, for which no client waits.
fn unasked(
    outstanding: &mut Outstanding,
    me: ServerId,
    session: SessionId,
    time_ms: i64,
    change: Change,
) -> Txn {
    finish(outstanding, Origin { server: me, seq: 0 }, session, Xid(0), time_ms, change)
}

/// Ends a preparation: what it has set is in flight now, and the txn tells what quotas count then.
fn finish(
    outstanding: &mut Outstanding,
    origin: Origin,
    session: SessionId,
    xid: Xid,
    time_ms: i64,
    change: Change,
) -> Txn {
    let usage = outstanding.take_counted();
    outstanding.prepared();
    Txn { origin, session, xid, time_ms, change, usage }
}

/// Takes out a childless znode, whatever the reason.
fn remove(outstanding: &mut Outstanding, state: &State, path: &str) {
    if let Some(znode) = outstanding.znode(state, path) {
        let less = Usage::default().without(one(znode.data_len));
        outstanding.count(state, path, less);
    }
    outstanding.change_quota(state, path, PartChange::Removed);
    outstanding.remove_znode(state, path);
}

fn close_open(outstanding: &mut Outstanding, state: &State, session: SessionId) -> Change {
    for path in outstanding.ephemerals(state, session) {
        remove(outstanding, state, &path);
    }
    outstanding.set_session(session, None);
    Change::CloseSession
}

struct Stage<'a> {
    outstanding: &'a mut Outstanding,
    state: &'a State,
    session: SessionId,
    /// The session is known to the sending member only, which has to vouch for it.
    is_local: bool,
    identities: &'a [Identity],
    rules: Rules,
    /// The leader's wall clock, in milliseconds since 1970.
    time_ms: i64,
}

impl Stage<'_> {
    fn open(&mut self, from: ServerId, timeout_ms: u32, password: Password) -> Change {
        if self.outstanding.session(self.state, self.session).is_some() {
            // Two members cannot draw the same id; a member whose clock went back can.
            return Change::Error(ErrorCode::SessionExpired);
        }
        let session = Session { timeout_ms, password, owner: from };
        self.outstanding.set_session(self.session, Some(session));
        Change::CreateSession { timeout_ms, password }
    }

    fn attach(&mut self, from: ServerId, timeout_ms: u32, password: Password) -> Change {
        match self.outstanding.session(self.state, self.session) {
            Some(found) if found.password == password => {
                let session = Session { timeout_ms, password, owner: from };
                self.outstanding.set_session(self.session, Some(session));
                Change::AttachSession { timeout_ms }
            }
            _ => Change::Error(ErrorCode::SessionExpired),
        }
    }

    fn close(&mut self, from: ServerId) -> Change {
        match self.check_session(from) {
            Ok(()) => close_open(self.outstanding, self.state, self.session),
            Err(code) => Change::Error(code),
        }
    }

    fn check_session(&self, from: ServerId) -> Result<(), ErrorCode> {
        match self.outstanding.is_owned_by(self.state, self.session, from) {
            None => Err(ErrorCode::SessionExpired),
            Some(false) => Err(ErrorCode::SessionMoved),
            Some(true) => Ok(()),
        }
    }

    fn request(&mut self, opcode: i32, body: bytes::Bytes) -> Change {
        // The member that admitted it has decoded it before; one that cannot be is its fault.
        let request = OpCode::from_wire(opcode).map(|opcode| Request::decode(opcode, body));
        let Some(Ok(request)) = request else {
            return Change::Error(ErrorCode::MarshallingError);
        };
        let change = self.change(request);
        if change_len_bytes(&change) > CHANGE_LEN_BYTES_MAX {
            self.outstanding.undo();
            return Change::Error(ErrorCode::MarshallingError);
        }
        change
    }

    fn change(&mut self, request: Request) -> Change {
        let result = match request {
            Request::Create(create) | Request::Create2(create) => {
                self.create(&create, Wanted::Plain)
            }
            Request::CreateContainer(create) => self.create(&create, Wanted::Container),
            Request::CreateTtl { create, ttl_ms } => self.create(&create, Wanted::Ttl(ttl_ms)),
            Request::Delete { path, version } => self.delete(&path, version),
            Request::SetData { path, data, version } => self.set_data(&path, data, version),
            Request::SetAcl { path, acl, version } => self.set_acl(&path, acl.as_deref(), version),
            Request::Check { path, version } => self.check(&path, version),
            Request::Multi(ops) => return self.multi(ops),
            _ => Err(ErrorCode::Unimplemented),
        };
        result.unwrap_or_else(|code| {
            self.outstanding.undo();
            Change::Error(code)
        })
    }

    fn multi(&mut self, ops: Vec<Op>) -> Change {
        // Wherever it stands: ZooKeeper looks at all paths before it looks at an operation.
        if ops.iter().any(|op| op.path().is_null()) {
            return Change::Error(ErrorCode::MarshallingError);
        }
        let mut changes = Vec::with_capacity(ops.len());
        for (index, op) in ops.into_iter().enumerate() {
            let result = match op {
                // In a multi the flags alone decide which kind of create it is.
                Op::CreateTtl { create, ttl_ms } if matches!(create.flags, 5 | 6) => {
                    self.create(&create, Wanted::Ttl(ttl_ms))
                }
                // These have no TTL to go with the flags.
                Op::Create(create) | Op::Create2(create) | Op::CreateContainer(create)
                    if matches!(create.flags, 5 | 6) =>
                {
                    Err(ErrorCode::MarshallingError)
                }
                Op::Create(create)
                | Op::Create2(create)
                | Op::CreateContainer(create)
                | Op::CreateTtl { create, .. } => self.create(&create, Wanted::Plain),
                Op::Delete { path, version } => self.delete(&path, version),
                Op::SetData { path, data, version } => self.set_data(&path, data, version),
                Op::Check { path, version } => self.check(&path, version),
            };
            match result {
                Ok(change) => changes.push(change),
                // A malformed operation makes a malformed request.
                Err(code @ ErrorCode::MarshallingError) => {
                    self.outstanding.undo();
                    return Change::Error(code);
                }
                Err(code) => {
                    self.outstanding.undo();
                    return Change::MultiError { failed_op: index as u32, code };
                }
            }
        }
        Change::Multi(changes)
    }

    fn create(&mut self, create: &Create, wanted: Wanted) -> Result<Change, ErrorCode> {
        let mode = self.mode(create.flags, wanted)?;
        let asked = present(&create.path)?;
        let parent_path = parent_of(&asked)?;
        let acl = acl::resolve(create.acl.as_deref(), self.identities)?;
        let mut parent = self.find(parent_path)?;
        self.check_perms(&parent, Perms::CREATE)?;
        let path = if mode.is_sequential {
            format!("{asked}{:0width$}", parent.created, width = SEQUENCE_DIGITS)
        } else {
            asked
        };
        path::validate(&path).map_err(|_| ErrorCode::BadArguments)?;
        if self.outstanding.znode(self.state, &path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(parent.owner, Owner::Ephemeral(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let data = create.data.clone();
        let data_len = data.as_deref().map_or(0, <[u8]>::len);
        self.count(&path, one(data_len))?;

        // Saturates: after the last number every further sequential create meets its name taken.
        parent.created = parent.created.saturating_add(1);
        parent.child_count += 1;
        let parent_created = parent.created;
        let parent_path = path::parent(&path).expect("a validated path below the root");
        // Most lists are their parents' own.
        let shared = if *parent.acl == acl[..] { parent.acl.clone() } else { Arc::from(&acl[..]) };
        self.outstanding.set_znode(parent_path, Some(parent));
        let future = Future {
            version: 0,
            aversion: 0,
            created: 0,
            child_count: 0,
            owner: mode.owner,
            data_len,
            acl: shared,
        };
        self.outstanding.set_znode(&path, Some(future));
        self.change_quota(&path, PartChange::Created(data.as_deref().unwrap_or_default()));
        let owner = mode.owner;
        Ok(Change::Create(CreateChange { path, data, acl, owner, parent_created }))
    }

    /// Returns what an operation with these flags makes.
    fn mode(&self, flags: i32, wanted: Wanted) -> Result<Mode, ErrorCode> {
        let owner = match (flags, wanted) {
            (5 | 6, _) if !self.rules.has_ttl => return Err(ErrorCode::Unimplemented),
            (5 | 6, Wanted::Ttl(ttl_ms @ 1..=TTL_MS_MAX)) => Owner::Ttl(ttl_ms as u64),
            (0 | 2, Wanted::Plain) => Owner::Persistent,
            (1 | 3, Wanted::Plain) if self.is_local => {
                return Err(ErrorCode::EphemeralOnLocalSession);
            }
            (1 | 3, Wanted::Plain) => Owner::Ephemeral(self.session),
            // Of createContainer's flags only the sequence counts.
            (4, Wanted::Plain) | (0..=4, Wanted::Container) => Owner::Container,
            _ => return Err(ErrorCode::BadArguments),
        };
        Ok(Mode { owner, is_sequential: matches!(flags, 2 | 3 | 6) })
    }

    fn delete(&mut self, path: &Text, version: i32) -> Result<Change, ErrorCode> {
        let path = present(path)?;
        if RESERVED.contains(&path.as_str()) {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.find(parent_of(&path)?)?;
        self.check_perms(&parent, Perms::DELETE)?;
        let znode = self.find(&path)?;
        check_version(version, znode.version)?;
        if znode.child_count > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        remove(self.outstanding, self.state, &path);
        Ok(Change::Delete { path })
    }

    fn set_data(
        &mut self,
        path: &Text,
        data: Option<bytes::Bytes>,
        version: i32,
    ) -> Result<Change, ErrorCode> {
        let path = valid(path)?;
        let mut znode = self.find(&path)?;
        self.check_perms(&znode, Perms::WRITE)?;
        let data_len = data.as_deref().map_or(0, <[u8]>::len);
        self.count(&path, one(data_len).without(one(znode.data_len)))?;
        check_version(version, znode.version)?;
        znode.version = znode.version.wrapping_add(1);
        znode.data_len = data_len;
        let version = znode.version;
        self.outstanding.set_znode(&path, Some(znode));
        self.change_quota(&path, PartChange::Replaced(data.as_deref().unwrap_or_default()));
        Ok(Change::SetData { path, data, version })
    }

    fn set_acl(
        &mut self,
        path: &Text,
        acl: Option<&[Acl]>,
        version: i32,
    ) -> Result<Change, ErrorCode> {
        let path = valid(path)?;
        let acl = acl::resolve(acl, self.identities)?;
        let mut znode = self.find(&path)?;
        self.check_perms(&znode, Perms::ADMIN)?;
        check_version(version, znode.aversion)?;
        znode.aversion = znode.aversion.wrapping_add(1);
        znode.acl = Arc::from(&acl[..]);
        let aversion = znode.aversion;
        self.outstanding.set_znode(&path, Some(znode));
        Ok(Change::SetAcl { path, acl, aversion })
    }

    fn check(&self, path: &Text, version: i32) -> Result<Change, ErrorCode> {
        let path = valid(path)?;
        let znode = self.find(&path)?;
        self.check_perms(&znode, Perms::READ)?;
        check_version(version, znode.version)?;
        Ok(Change::Check { path })
    }

    fn find(&self, path: &str) -> Result<Future, ErrorCode> {
        self.outstanding.znode(self.state, path).ok_or(ErrorCode::NoNode)
    }

    /// Counts for the quota that covers `path`, which may refuse it.
    fn count(&mut self, path: &str, more: Usage) -> Result<(), ErrorCode> {
        match self.outstanding.count(self.state, path, more) {
            Some(counted) => {
                self.outstanding.check_quota(&counted, self.rules.hard_limits, self.time_ms)
            }
            None => Ok(()),
        }
    }

    fn change_quota(&mut self, path: &str, change: PartChange<'_>) {
        self.outstanding.change_quota(self.state, path, change);
    }

    fn check_perms(&self, znode: &Future, perms: Perms) -> Result<(), ErrorCode> {
        if acl::allows(&znode.acl, self.identities, perms) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }
}

/// Which operation a create is.
#[derive(Clone, Copy)]
enum Wanted {
    /// create or create2.
    Plain,
    /// createContainer.
    Container,
    /// createTTL, with so many milliseconds.
    Ttl(i64),
}

/// What a create asks for.
struct Mode {
    owner: Owner,
    is_sequential: bool,
}

/// Returns how long a change will be in the log, in bytes; never less than it is.
fn change_len_bytes(change: &Change) -> usize {
    // Kinds, numbers and lengths of a change, or of an entry of a list.
    const FIXED: usize = 64;
    let acl_len = |acl: &[Acl]| -> usize {
        let text_len = |text: &Text| text.as_bytes().map_or(0, bytes::Bytes::len);
        acl.iter()
            .map(|entry| FIXED + text_len(&entry.identity.scheme) + text_len(&entry.identity.id))
            .sum()
    };
    let data_len = |data: &Option<bytes::Bytes>| data.as_ref().map_or(0, bytes::Bytes::len);
    FIXED
        + match change {
            Change::Create(create) => {
                create.path.len() + data_len(&create.data) + acl_len(&create.acl)
            }
            Change::SetData { path, data, .. } => path.len() + data_len(data),
            Change::SetAcl { path, acl, .. } => path.len() + acl_len(acl),
            Change::Delete { path } | Change::Check { path } => path.len(),
            Change::Multi(changes) => changes.iter().map(change_len_bytes).sum(),
            Change::Error(_)
            | Change::MultiError { .. }
            | Change::CreateSession { .. }
            | Change::AttachSession { .. }
            | Change::CloseSession => 0,
        }
}

fn check_version(expected: i32, version: i32) -> Result<(), ErrorCode> {
    if expected == -1 || expected == version { Ok(()) } else { Err(ErrorCode::BadVersion) }
}

/// Returns the text as ZooKeeper reads it: what is not UTF-8 becomes U+FFFD, which no path holds.
fn lossy(path: &Text) -> String {
    path.as_bytes().map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Returns the text of a path that must not be null.
fn present(path: &Text) -> Result<String, ErrorCode> {
    if path.is_null() { Err(ErrorCode::MarshallingError) } else { Ok(lossy(path)) }
}

fn valid(path: &Text) -> Result<String, ErrorCode> {
    let path = lossy(path);
    path::validate(&path).map_err(|_| ErrorCode::BadArguments)?;
    Ok(path)
}

/// Returns the path up to the last slash; the rest is judged later, as ZooKeeper does.
fn parent_of(path: &str) -> Result<&str, ErrorCode> {
    match path.rfind('/') {
        None => Err(ErrorCode::BadArguments),
        Some(_) if path.contains('\0') => Err(ErrorCode::BadArguments),
        Some(0) => Ok("/"),
        Some(slash) => Ok(&path[..slash]),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use conclave_protocol::ids::Xid;

    use super::*;

    const RULES: Rules = Rules { has_ttl: true, hard_limits: HardLimits::Enforced };
    const ME: ServerId = ServerId(1);

    fn multi(ops: Vec<Op>) -> Change {
        let (mut outstanding, state) = (Outstanding::default(), State::new(0));
        let mut body = BytesMut::new();
        Request::Multi(ops).encode(&mut body);
        let opcode = OpCode::Multi.to_wire();
        let actions = [
            Action::Open { timeout_ms: 10_000, password: Password::ZERO },
            Action::Request { opcode, body: body.freeze() },
        ];
        let changes = actions.map(|action| {
            let session = SessionId(1);
            let request =
                Forwarded { seq: 0, session, xid: Xid(0), identities: Vec::new(), action };
            prepare(&mut outstanding, &state, ME, request, RULES, 0).change
        });
        let [_, change] = changes;
        change
    }

    fn delete(path: Text) -> Op {
        Op::Delete { path, version: -1 }
    }

    fn create(flags: i32) -> Op {
        Op::Create(Create { path: "/a".into(), data: None, acl: Some(vec![Acl::open()]), flags })
    }

    #[test]
    fn a_null_path_in_a_multi_is_told_before_what_fails_ahead_of_it() {
        let change = multi(vec![delete("/missing".into()), delete(Text::NULL)]);
        assert_eq!(change, Change::Error(ErrorCode::MarshallingError));
    }

    #[test]
    fn in_a_multi_the_flags_alone_decide_which_kind_of_create_it_is() {
        let asked =
            |flags| Create { path: "/a".into(), data: None, acl: Some(vec![Acl::open()]), flags };
        let me = SessionId(1);
        for (flags, owner) in
            [(0, Owner::Persistent), (1, Owner::Ephemeral(me)), (4, Owner::Container)]
        {
            for op in [
                Op::CreateContainer(asked(flags)),
                Op::CreateTtl { create: asked(flags), ttl_ms: 1 },
                Op::CreateTtl { create: asked(flags), ttl_ms: -1 },
            ] {
                let Change::Multi(changes) = multi(vec![op]) else { panic!("refused") };
                let [Change::Create(create)] = &changes[..] else { panic!("one create") };
                assert_eq!(create.owner, owner);
            }
        }
        let change = multi(vec![Op::CreateContainer(asked(5))]);
        assert_eq!(change, Change::Error(ErrorCode::MarshallingError));
        let change = multi(vec![Op::CreateTtl { create: asked(5), ttl_ms: 0 }]);
        assert_eq!(change, Change::MultiError { failed_op: 0, code: ErrorCode::BadArguments });
    }

    #[test]
    fn the_flags_of_a_ttl_znode_make_a_multi_malformed_unless_it_has_failed_before() {
        for flags in [5, 6] {
            let change = multi(vec![create(0), create(flags)]);
            assert_eq!(change, Change::Error(ErrorCode::MarshallingError));
        }
        let change = multi(vec![delete("/missing".into()), create(5)]);
        assert_eq!(change, Change::MultiError { failed_op: 0, code: ErrorCode::NoNode });
    }
}
