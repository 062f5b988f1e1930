//! What a plan is made of on the wire: the operations of one multi, and how long it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use conclave_protocol::acl::Acl;

use super::{
    key::Key,
    plan::{Change, Plan},
    tree::{AclText, Entry, Kind},
};
use crate::{client::CreateMode, ops::Op};

/// Bytes of a multi at most, unless it is said otherwise: what servers accept by default is 1,048,575, and they add a little
/// of their own.
pub const MULTI_LEN_BYTES_MAX: usize = 1_000_000;

/// How long a multi may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    /// Its bytes at most.
    pub multi_len_bytes_max: usize,
    /// What every path grows by on its way.
    pub chroot_len_bytes: usize,
}

impl Default for Limit {
    fn default() -> Self {
        Self { multi_len_bytes_max: MULTI_LEN_BYTES_MAX, chroot_len_bytes: 0 }
    }
}

/// Bytes of one value at most, so that it fits a multi with what is needed around it.
pub const VALUE_LEN_BYTES_MAX: usize = MULTI_LEN_BYTES_MAX - (16 << 10);

/// Returns the operations by which a plan becomes true below `root`: each only if its znode is as it was read.
pub fn ops(root: &str, plan: &Plan, versions: &BTreeMap<Key, i32>) -> Vec<Op> {
    let version = |key: &Key| versions.get(key).copied();
    let mut ops = Vec::new();
    // Children before parents.
    for (key, change) in plan.changes.iter().rev() {
        if let Change::Delete(_) | Change::Replace { .. } = change {
            ops.push(Op::delete(key.under(root), version(key)));
        }
    }
    // Parents before children.
    for (key, change) in &plan.changes {
        match change {
            Change::Create(new) | Change::Replace { new, .. } => {
                ops.push(create(&key.under(root), new));
            }
            Change::Set { new, .. } => {
                ops.push(Op::set_data(key.under(root), new.bytes(), version(key)));
            }
            Change::Delete(_) => {}
        }
    }
    ops
}

/// Returns the creation of an entry.
pub fn create(path: &str, entry: &Entry) -> Op {
    let mode = match entry.kind {
        Kind::Persistent => CreateMode::Persistent,
        Kind::Container => CreateMode::Container,
        Kind::Ttl(ttl_ms) => CreateMode::Ttl(ttl_ms),
    };
    create_with(path, entry.bytes(), mode, entry.acl.as_ref())
}

/// Returns the creation of a znode, open to anyone where no ACL is told.
pub fn create_with(path: &str, data: Bytes, mode: CreateMode, acl: Option<&AclText>) -> Op {
    let acl = acl.map_or_else(|| vec![Acl::open()], AclText::acls);
    Op::Create { path: path.to_owned(), data, mode, acl }
}

/// Returns the bytes of an operation within a multi; `chroot_len_bytes` is what every path grows by.
pub fn len_bytes(op: &Op, chroot_len_bytes: usize) -> usize {
    const HEADER: usize = 9;
    const LENGTH: usize = 4;
    const NUMBER: usize = 4;
    let path = |path: &str| LENGTH + chroot_len_bytes + path.len();
    HEADER
        + match op {
            Op::Create { path: at, data, mode, acl } => {
                let text = |text: &conclave_protocol::text::Text| {
                    LENGTH + text.as_bytes().map_or(0, Bytes::len)
                };
                let acl: usize = acl
                    .iter()
                    .map(|acl| NUMBER + text(&acl.identity.scheme) + text(&acl.identity.id))
                    .sum();
                let ttl = if matches!(mode, CreateMode::Ttl(_) | CreateMode::TtlSequential(_)) {
                    8
                } else {
                    0
                };
                path(at) + LENGTH + data.len() + LENGTH + acl + NUMBER + ttl
            }
            Op::SetData { path: at, data, .. } => path(at) + LENGTH + data.len() + NUMBER,
            Op::Delete { path: at, .. } | Op::Check { path: at, .. } => path(at) + NUMBER,
        }
}

/// Returns whether operations fit one multi.
pub fn fits<'a>(ops: impl IntoIterator<Item = &'a Op>, limit: Limit) -> bool {
    let len = |op| len_bytes(op, limit.chroot_len_bytes);
    ops.into_iter().map(len).sum::<usize>() <= limit.multi_len_bytes_max
}

/// Cuts operations into multis that fit, each beginning with `first`.
pub fn cut(first: &Op, ops: Vec<Op>, limit: Limit) -> Vec<Vec<Op>> {
    let mut multis: Vec<Vec<Op>> = Vec::new();
    let mut len = usize::MAX;
    for op in ops {
        let op_len = len_bytes(&op, limit.chroot_len_bytes);
        if len.saturating_add(op_len) > limit.multi_len_bytes_max {
            multis.push(vec![first.clone()]);
            len = len_bytes(first, limit.chroot_len_bytes);
        }
        len += op_len;
        multis.last_mut().expect("one was begun").push(op);
    }
    multis
}

#[cfg(test)]
mod tests {
    use conclave_protocol::request::Request;

    use super::*;

    #[test]
    fn lengths_are_those_on_the_wire() {
        let acl: AclText = "digest:bob:x=:r,world:anyone:cdrwa".parse().unwrap();
        let ops = [
            create_with("/a", "data".into(), CreateMode::Persistent, Some(&acl)),
            create_with("/a/b", "".into(), CreateMode::Ttl(5), None),
            create_with("/a/c", "".into(), CreateMode::Container, None),
            Op::set_data("/x", "yy", Some(3)),
            Op::delete("/x/y/z", None),
            Op::check("/q", 1),
        ];
        for op in ops {
            let mut bytes = Vec::new();
            let len = len_bytes(&op, 0);
            Request::Multi(vec![crate::ops::encode(op.clone())]).encode(&mut bytes);
            let mut none = Vec::new();
            Request::Multi(Vec::new()).encode(&mut none);
            assert_eq!(len, bytes.len() - none.len(), "{op:?}");
        }
    }

    #[test]
    fn multis_are_cut_where_they_are_full() {
        let op = |n: usize| Op::set_data(format!("/{n}"), vec![0; 300_000], None);
        let limit = Limit { chroot_len_bytes: 10, ..Limit::default() };
        let multis = cut(&Op::check("/lock", 1), (0..7).map(op).collect(), limit);
        assert_eq!(multis.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        assert!(multis.iter().all(|multi| fits(multi, limit)));
    }
}
