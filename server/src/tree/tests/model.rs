//! The tree against a map of paths that follows the rules word by word: counts are counted, not
//! derived.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Perms},
    path,
    quota::stats_path,
    stat::Stat,
    txn::{Change, Owner, QuotaUsage},
    zxid::Zxid,
};

use super::workload::{Delivered, Random, all_paths, draw};
use crate::tree::Tree;

struct Modelled {
    data: Option<Bytes>,
    acl: Vec<Acl>,
    owner: Owner,
    created: i32,
    stat: Stat,
}

struct Model(BTreeMap<String, Modelled>);

impl Model {
    fn new() -> Self {
        let mut model = Self(BTreeMap::new());
        for (path, cversion, num_children, aversion, perms) in [
            ("/", -1, 1, 0, Perms::ALL),
            ("/zookeeper", -2, 2, 0, Perms::ALL),
            ("/zookeeper/config", 0, 0, -1, Perms::READ),
            ("/zookeeper/quota", 0, 0, 0, Perms::ALL),
        ] {
            let stat = Stat { cversion, num_children, aversion, ..Stat::default() };
            let modelled = Modelled {
                data: Some(Bytes::new()),
                acl: vec![Acl::world(perms)],
                owner: Owner::Persistent,
                created: 0,
                stat,
            };
            model.0.insert(path.to_owned(), modelled);
        }
        model
    }

    fn apply(&mut self, delivered: &Delivered) {
        let Delivered { zxid, time_ms, session, .. } = *delivered;
        for change in &delivered.changes {
            match change {
                Change::Create(create) => {
                    let stat = Stat {
                        czxid: zxid,
                        mzxid: zxid,
                        pzxid: zxid,
                        ctime_ms: time_ms,
                        mtime_ms: time_ms,
                        ephemeral_owner: match create.owner {
                            Owner::Ephemeral(session) => session.0,
                            _ => 0,
                        },
                        data_length: create.data.as_ref().map_or(0, |data| data.len() as i32),
                        ..Stat::default()
                    };
                    let modelled = Modelled {
                        data: create.data.clone(),
                        acl: create.acl.clone(),
                        owner: create.owner,
                        created: 0,
                        stat,
                    };
                    self.0.insert(create.path.clone(), modelled);
                    self.touch_parent(&create.path, zxid, 1);
                }
                Change::Delete { path } => self.delete(path, zxid),
                Change::SetData { path, data, .. } => {
                    let modelled = self.0.get_mut(path).unwrap();
                    modelled.data = data.clone();
                    modelled.stat.data_length = data.as_ref().map_or(0, |data| data.len() as i32);
                    modelled.stat.version += 1;
                    modelled.stat.mzxid = zxid;
                    modelled.stat.mtime_ms = time_ms;
                }
                Change::SetAcl { path, acl, .. } => {
                    let modelled = self.0.get_mut(path).unwrap();
                    modelled.acl = acl.clone();
                    modelled.stat.aversion += 1;
                }
                Change::CloseSession => {
                    let is_owned =
                        |modelled: &Modelled| modelled.owner == Owner::Ephemeral(session);
                    let owned = self.0.iter().filter(|(_, modelled)| is_owned(modelled));
                    let paths: Vec<String> = owned.map(|(path, _)| path.clone()).collect();
                    for path in paths {
                        self.delete(&path, zxid);
                    }
                }
                _ => {}
            }
        }
        for QuotaUsage { covered, usage } in &delivered.usage {
            if let Some(modelled) = self.0.get_mut(&stats_path(covered)) {
                let text = usage.to_string();
                modelled.stat.data_length = text.len() as i32;
                modelled.data = Some(text.into());
            }
        }
    }

    fn delete(&mut self, path: &str, zxid: Zxid) {
        self.0.remove(path).unwrap();
        self.touch_parent(path, zxid, -1);
    }

    fn touch_parent(&mut self, path: &str, zxid: Zxid, more: i32) {
        let parent = self.0.get_mut(path::parent(path).unwrap()).unwrap();
        parent.stat.cversion += 1;
        parent.stat.num_children += more;
        parent.stat.pzxid = zxid;
        parent.created += more.max(0);
    }

    fn assert_is(&self, tree: &Tree, what: &str) {
        assert!(all_paths(tree).iter().eq(self.0.keys()), "{what}");
        let mut ephemerals = BTreeMap::<_, BTreeSet<&str>>::new();
        let mut len_bytes = 0;
        for (path, modelled) in &self.0 {
            let node = tree.node(path).unwrap();
            assert_eq!(node.stat(), modelled.stat, "{what}: {path}");
            assert_eq!(node.data(), modelled.data.as_deref(), "{what}: {path}");
            assert_eq!(node.acl(), modelled.acl, "{what}: {path}");
            assert_eq!(node.owner(), modelled.owner, "{what}: {path}");
            assert_eq!(node.created(), modelled.created, "{what}: {path}");
            assert_eq!(
                (node.version(), node.aversion(), node.child_count() as i32),
                (modelled.stat.version, modelled.stat.aversion, modelled.stat.num_children)
            );
            if let Owner::Ephemeral(session) = modelled.owner {
                ephemerals.entry(session).or_default().insert(path);
            }
            len_bytes += path::name(path).len() + node.data().map_or(0, <[u8]>::len);
            let slash = if path == "/" { "" } else { "/" };
            let below = format!("{path}{slash}");
            let is_below = |other: &&String| other.starts_with(&below) && *other != path;
            let count = self.0.keys().filter(is_below).count();
            assert_eq!(tree.count_descendants(path), Some(count), "{what}: {path}");
        }
        assert!(tree.ephemeral_owners().eq(ephemerals.keys().copied()), "{what}");
        for (session, paths) in &ephemerals {
            assert!(tree.ephemerals(*session).eq(paths.iter().copied()), "{what}");
        }
        assert_eq!(tree.ephemeral_count(), ephemerals.values().map(BTreeSet::len).sum::<usize>());
        assert_eq!(tree.data_len_bytes(), len_bytes as u64, "{what}");
        assert_eq!(tree.count(), self.0.len(), "{what}");
    }
}

/// Goal: every rule of stats holds after every txn. Method: many seeds against the model.
#[test]
fn tree_does_what_the_rules_say() {
    for seed in 0..60 {
        let (mut random, mut tree, mut model) = (Random(seed), Tree::new(seed), Model::new());
        for zxid in 1..200 {
            model.apply(&draw(&mut random, &mut tree, Zxid(zxid)));
            tree.check();
            model.assert_is(&tree, &format!("seed {seed}, zxid {zxid}"));
        }
    }
}
