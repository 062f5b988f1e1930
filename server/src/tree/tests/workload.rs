//! Random txns as prepare would make them: each is possible when it is applied.

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Perms},
    ids::SessionId,
    path,
    quota::{self, QUOTA_ROOT, Usage},
    txn::{Change, CreateChange, Owner, QuotaUsage},
    zxid::Zxid,
};

use crate::tree::Tree;

/// Few names, so that the same path is soon used again.
const NAMES: usize = 6;

/// SplitMix64: a seed is a whole run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// One txn as it is delivered.
#[derive(Clone, Debug)]
pub(super) struct Delivered {
    pub(super) zxid: Zxid,
    pub(super) time_ms: i64,
    pub(super) session: SessionId,
    /// More than one for a multi.
    pub(super) changes: Vec<Change>,
    pub(super) usage: Vec<QuotaUsage>,
}

/// Draws the next txn: one change, or a multi of a few.
pub(super) fn draw(random: &mut Random, tree: &mut Tree, zxid: Zxid) -> Delivered {
    let count = if random.below(5) == 0 { 1 + random.below(4) } else { 1 };
    let session = SessionId(1 + random.below(4) as i64);
    let time_ms = 1_000 * zxid.0 as i64;
    let mut delivered =
        Delivered { zxid, time_ms, session, changes: Vec::new(), usage: Vec::new() };
    for _ in 0..count {
        let change = draw_change(random, tree);
        // Later operations of a multi see the earlier ones.
        apply_one(tree, &delivered, &change);
        delivered.changes.push(change);
    }
    if random.below(4) == 0 {
        let usage = Usage { count: random.below(100) as i64, bytes: random.below(10_000) as i64 };
        let covered = format!("/{}", random.below(NAMES));
        tree.set_usage(&covered, usage);
        delivered.usage.push(QuotaUsage { covered, usage });
    }
    delivered
}

fn draw_change(random: &mut Random, tree: &Tree) -> Change {
    let paths = user_paths(tree);
    let path = random.pick(&paths).clone();
    match random.below(20) {
        0..=8 => {
            let parent = path;
            let node = tree.node(&parent).expect("it exists");
            let created = node.created().saturating_add(1);
            let name = match random.below(NAMES + 2) {
                NAMES => quota::LIMITS_NAME.to_owned(),
                number if number > NAMES => quota::STATS_NAME.to_owned(),
                number => number.to_string(),
            };
            let path = if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") };
            let is_possible = !matches!(node.owner(), Owner::Ephemeral(_))
                && path.matches('/').count() < 5
                && tree.node(&path).is_none();
            if !is_possible {
                return Change::Check { path };
            }
            Change::Create(CreateChange {
                path,
                data: data(random),
                acl: acl(random),
                owner: owner(random),
                parent_created: created,
            })
        }
        9..=13 => match tree.node(&path) {
            Some(node) if !is_fixed(&path) && node.child_count() == 0 => Change::Delete { path },
            _ => Change::Check { path },
        },
        14..=16 => {
            let version = tree.node(&path).expect("it exists").version() + 1;
            Change::SetData { path, data: data(random), version }
        }
        17..=18 => {
            let aversion = tree.node(&path).expect("it exists").aversion() + 1;
            Change::SetAcl { path, acl: acl(random), aversion }
        }
        _ => Change::CloseSession,
    }
}

/// Applies the changes of one txn, as apply does.
pub(super) fn apply(tree: &mut Tree, delivered: &Delivered) {
    for change in &delivered.changes {
        apply_one(tree, delivered, change);
    }
    for QuotaUsage { covered, usage } in &delivered.usage {
        tree.set_usage(covered, *usage);
    }
}

fn apply_one(tree: &mut Tree, delivered: &Delivered, change: &Change) {
    let Delivered { zxid, time_ms, session, .. } = *delivered;
    match change {
        Change::Create(create) => {
            tree.create(zxid, time_ms, create);
        }
        Change::Delete { path } => {
            tree.delete(zxid, path);
        }
        Change::SetData { path, data, version } => {
            tree.set_data(zxid, time_ms, path, data.clone(), *version);
        }
        Change::SetAcl { path, acl, aversion } => {
            tree.set_acl(path, acl, *aversion);
        }
        Change::CloseSession => {
            tree.close_session(zxid, session);
        }
        _ => {}
    }
}

/// Returns all paths, sorted, but for those of the system that have nothing to do with quotas.
fn user_paths(tree: &Tree) -> Vec<String> {
    let is_users = |path: &String| !path.starts_with("/zookeeper") || path.starts_with(QUOTA_ROOT);
    all_paths(tree).into_iter().filter(is_users).collect()
}

fn is_fixed(path: &str) -> bool {
    path == "/" || path == QUOTA_ROOT
}

/// Returns all paths, sorted.
pub(super) fn all_paths(tree: &Tree) -> Vec<String> {
    let mut paths = vec!["/".to_owned()];
    let mut next = 0;
    while next < paths.len() {
        let parent = paths[next].clone();
        let node = tree.node(&parent).expect("a child that is listed exists");
        for name in node.children() {
            let slash = if parent == "/" { "" } else { "/" };
            let path = format!("{parent}{slash}{name}");
            assert_eq!(path::parent(&path), Some(&*parent));
            paths.push(path);
        }
        next += 1;
    }
    paths.sort_unstable();
    paths
}

fn data(random: &mut Random) -> Option<Bytes> {
    match random.below(6) {
        0 => None,
        1 => Some(Bytes::new()),
        _ => {
            let len = random.below(40);
            Some((0..len).map(|_| random.next() as u8).collect())
        }
    }
}

fn acl(random: &mut Random) -> Vec<Acl> {
    match random.below(4) {
        0 => vec![Acl::world(Perms(random.below(6) as i32)), Acl::open()],
        1 => vec![Acl::world(Perms::READ)],
        _ => vec![Acl::open()],
    }
}

fn owner(random: &mut Random) -> Owner {
    match random.below(8) {
        0..=3 => Owner::Ephemeral(SessionId(1 + random.below(4) as i64)),
        4 => Owner::Container,
        5 => Owner::Ttl(1 + random.next() % ((1 << 40) - 1)),
        _ => Owner::Persistent,
    }
}
