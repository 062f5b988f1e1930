//! The choice of the form: which operations of one multi make a proposal true.

use std::collections::BTreeSet;

use super::{
    batch,
    editor::Editor,
    key::Key,
    plan::Readers,
    proposal::Proposal,
    record::{Form, Pointer, Record},
    release::Manifest,
    store::{Seen, Store},
};
use conclave_protocol::path;

use crate::{client::CreateMode, ops::Op};

/// Chooses the form, and returns the multi that makes it true (without record and head), the manifest, and what is to be
/// cleared away when that is done.
pub(super) fn decide(
    store: &Store,
    editor: &Editor,
    proposal: &Proposal,
    record: &mut Record,
) -> (Vec<Op>, Manifest, Vec<Op>) {
    let limit = store.ensemble().limit();
    // Head and record are added to it; a record has 67 bytes for some 128 keys.
    let keys = proposal.wanted.len() + proposal.seen.tree.len();
    let around = vec![0; RECORD_LEN_BYTES + keys];
    let around = batch::create_with("/", around.into(), CreateMode::Persistent, None);
    let fits = |ops: &[Op]| batch::fits(ops.iter().chain([&around]), limit);
    let mut direct = vec![editor.fence().clone()];
    if let Some(ops) = direct_ops(store, proposal) {
        direct.extend(ops);
        if fits(&direct) {
            record.form = Form::Direct;
            return (direct, proposal.manifest(Readers::OfZnodes), Vec::new());
        }
    }
    record.form = Form::Release;
    let pointer = Pointer::new(store.root(), store.path(), record.release).text();
    let mut ops = vec![editor.fence().clone()];
    match proposal.seen.znodes.stats.get("") {
        Some(stat) => ops.push(Op::set_data(store.root(), pointer, Some(stat.version))),
        None => {
            ops.extend(above(store.root()));
            ops.push(Op::create(store.root(), pointer, CreateMode::Persistent));
        }
    }
    if proposal.seen.served != Some(Form::Release) {
        ops.push(Op::set_data(store.at("flip"), record.release.to_string(), None));
    }
    // In the same step if that is possible: then who does not know of pointers finds nothing rather
    // than what was there before.
    let deletes = delete_znodes(store, proposal);
    if fits(&[ops.as_slice(), &deletes].concat()) {
        ops.extend(deletes);
        return (ops, proposal.manifest(Readers::OfRelease), Vec::new());
    }
    (ops, proposal.manifest(Readers::OfRelease), deletes)
}

/// Bytes kept for head and record in the multi, besides the list of pages.
const RECORD_LEN_BYTES: usize = 16 << 10;

/// Returns what makes the znodes themselves as wanted; nothing when they cannot be what readers look at.
fn direct_ops(store: &Store, proposal: &Proposal) -> Option<Vec<Op>> {
    let root = store.root();
    let Seen { znodes, served, tree, .. } = &proposal.seen;
    if *served != Some(Form::Release) {
        let mut ops = if znodes.stats.is_empty() { above(root) } else { Vec::new() };
        ops.extend(batch::ops(root, &proposal.plan, &znodes.versions()));
        return Some(ops);
    }
    // From a release back to znodes: all of them are created, and the pointer goes.
    let stat = znodes.stats.get("").filter(|stat| stat.num_children == 0)?;
    let mut after = proposal.plan.after(tree);
    let own = after.remove("").map(|entry| entry.bytes()).unwrap_or_default();
    let mut ops = vec![Op::set_data(root, own, Some(stat.version))];
    ops.extend(after.iter().map(|(key, entry)| batch::create(&key.under(root), entry)));
    Some(ops)
}

/// Returns the creation of what is above a path; what is there already is told by the service, and is not ours to say.
fn above(root: &str) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut above = path::parent(root);
    while let Some(folder) = above.filter(|folder| *folder != "/") {
        ops.push(Op::create(folder, "", CreateMode::Persistent));
        above = path::parent(folder);
    }
    ops.reverse();
    ops
}

/// Returns the deletion of all znodes below the path that readers of a release do not look at. What is under an
/// ephemeral's name, or was written by others since a release is what readers see, stays.
fn delete_znodes(store: &Store, proposal: &Proposal) -> Vec<Op> {
    let Seen { znodes, flipped, .. } = &proposal.seen;
    let is_theirs = |key: &Key| flipped.is_some_and(|zxid| znodes.stats[key].mzxid > zxid);
    let mut staying: BTreeSet<Key> = znodes.ephemerals.iter().filter_map(Key::parent).collect();
    let mut deletes = Vec::new();
    for key in znodes.tree.keys().rev().filter(|key| !key.is_root()) {
        if staying.contains(key) || is_theirs(key) {
            staying.extend(key.parent());
        } else {
            deletes.push(Op::delete(key.under(store.root()), Some(znodes.stats[key].version)));
        }
    }
    deletes
}
