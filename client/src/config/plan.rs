//! The three-way comparison: what was applied last, what is there, what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    digest::Digest,
    key::Key,
    record::Counts,
    release::{Item, Manifest, Origin},
    tree::{AclText, Entry, Tree},
};

/// What a plan may do beyond what is asked for by default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// Whether keys that were applied once and are not wanted any more are deleted.
    pub prune: Prune,
    /// Whether what others have changed is overwritten.
    pub edits: Edits,
}

/// What becomes of keys of ours that are no longer wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Prune {
    /// They stay.
    #[default]
    Keep,
    /// They are deleted.
    Delete,
}

/// What becomes of keys that others have changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Edits {
    /// They stay, or are a conflict where something else is wanted.
    #[default]
    Keep,
    /// They become what is wanted.
    Overwrite,
}

/// The three sides.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// What was applied last.
    pub last: &'a Manifest,
    /// What is there.
    pub live: &'a Tree,
    /// Ephemerals that are there: nobody's configuration, and never touched.
    pub ephemerals: &'a BTreeSet<Key>,
    /// What is wanted.
    pub wanted: &'a Tree,
}

/// What one key becomes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// It is created.
    Create(Entry),
    /// Its data is replaced.
    Set {
        /// What is there.
        old: Entry,
        /// What will be.
        new: Entry,
    },
    /// Its ACL or kind changes too, so it is deleted and created again.
    Replace {
        /// What is there.
        old: Entry,
        /// What will be.
        new: Entry,
    },
    /// It is deleted.
    Delete(Entry),
}

/// Why a key is not as wanted, and stays so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Note {
    /// Others have changed it, and what is wanted is what was applied.
    Edited,
    /// It was applied once, and is not wanted any more; it is deleted only if asked for.
    Unwanted,
    /// As [`Self::Unwanted`], and there is something below it that stays.
    Occupied,
}

/// Why nothing can be applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Conflict {
    /// Others have changed it since it was applied, and something else is wanted.
    Edited,
    /// Others have deleted it since it was applied.
    Deleted,
    /// It is there, was never applied, and something else is wanted.
    Unknown,
    /// An ephemeral is there.
    Ephemeral,
    /// Its ACL or kind would change, and it has children.
    Children,
}

impl Conflict {
    /// Returns whether [`Edits::Overwrite`] settles it.
    pub const fn can_be_overwritten(self) -> bool {
        matches!(self, Self::Edited | Self::Deleted | Self::Unknown)
    }

    /// Says what it is.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Edited => "others have changed it since it was applied",
            Self::Deleted => "others have deleted it since it was applied",
            Self::Unknown => "it is there with other data, and was not applied from here",
            Self::Ephemeral => "an ephemeral znode is there",
            Self::Children => "its ACL or kind cannot change while it has children",
        }
    }
}

/// What an apply would do.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// What changes.
    pub changes: BTreeMap<Key, Change>,
    /// What stays though it is not as wanted.
    pub notes: BTreeMap<Key, Note>,
    /// What stands in the way; the plan can be applied only when there is nothing.
    pub conflicts: BTreeMap<Key, Conflict>,
    /// Keys that are as wanted.
    pub unchanged: usize,
}

impl Plan {
    /// Returns the numbers for the history.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { unchanged: self.unchanged, ..Counts::default() };
        for change in self.changes.values() {
            match change {
                Change::Create(_) => counts.created += 1,
                Change::Set { .. } | Change::Replace { .. } => counts.changed += 1,
                Change::Delete(_) => counts.deleted += 1,
            }
        }
        counts
    }

    /// Returns the tree that is there when the plan is applied to `live`.
    pub fn after(&self, live: &Tree) -> Tree {
        let mut after = live.clone();
        for (key, change) in &self.changes {
            match change {
                Change::Create(new) | Change::Set { new, .. } | Change::Replace { new, .. } => {
                    after.insert(key.clone(), Entry { data: Some(new.bytes()), ..new.clone() });
                }
                Change::Delete(_) => drop(after.remove(key)),
            }
        }
        after
    }
}

/// Compares the three sides. `wanted` is complete: see [`super::tree::complete`].
pub fn plan(sides: Sides<'_>, policy: Policy) -> Plan {
    let mut plan = Plan::default();
    for (key, wanted) in sides.wanted {
        if sides.ephemerals.contains(key) {
            plan.conflicts.insert(key.clone(), Conflict::Ephemeral);
            continue;
        }
        // Who has deleted all of it has left nothing that could be overwritten.
        let last = sides.last.get(key).filter(|item| item.is_ours() && !sides.live.is_empty());
        match sides.live.get(key) {
            None => plan_absent(&mut plan, key, last, wanted, policy),
            Some(live) if is_as_told(live, wanted) => plan.unchanged += 1,
            Some(live) => plan_different(&mut plan, key, (last, live, wanted), sides, policy),
        }
    }
    // From the bottom, for what stays keeps what is above it.
    let mut staying: BTreeSet<Key> =
        sides.ephemerals.iter().chain(sides.wanted.keys()).filter_map(Key::parent).collect();
    for (key, live) in sides.live.iter().rev().filter(|(key, _)| !sides.wanted.contains_key(*key)) {
        if !plan_unwanted(&mut plan, key, live, staying.contains(key), sides, policy) {
            staying.extend(key.parent());
        }
    }
    plan
}

fn plan_absent(plan: &mut Plan, key: &Key, last: Option<&Item>, wanted: &Entry, policy: Policy) {
    // Containers and TTL znodes go by themselves, and directories hold nothing.
    let is_edit = last.is_some_and(|last| last.kind.is_persistent() && last.applied().is_some());
    if is_edit && policy.edits == Edits::Keep {
        plan.conflicts.insert(key.clone(), Conflict::Deleted);
    } else {
        plan.changes.insert(key.clone(), Change::Create(wanted.clone()));
    }
}

fn plan_different(
    plan: &mut Plan,
    key: &Key,
    (last, live, wanted): (Option<&Item>, &Entry, &Entry),
    sides: Sides<'_>,
    policy: Policy,
) {
    let edited = last.is_none_or(|last| !is_as_applied(live, last));
    if edited && policy.edits == Edits::Keep {
        match last {
            Some(last) if is_as_before(wanted, last) => {
                plan.notes.insert(key.clone(), Note::Edited);
            }
            Some(_) => drop(plan.conflicts.insert(key.clone(), Conflict::Edited)),
            None => drop(plan.conflicts.insert(key.clone(), Conflict::Unknown)),
        }
        return;
    }
    let old = live.clone();
    let new = Entry {
        data: Some(wanted.data.clone().unwrap_or_else(|| live.bytes())),
        acl: wanted.acl.clone().or_else(|| live.acl.clone()),
        kind: if wanted.kind.is_persistent() { live.kind } else { wanted.kind },
    };
    if is_acl(live, &new) && new.kind == live.kind {
        plan.changes.insert(key.clone(), Change::Set { old, new });
    } else if has_children(key, sides) {
        plan.conflicts.insert(key.clone(), Conflict::Children);
    } else {
        plan.changes.insert(key.clone(), Change::Replace { old, new });
    }
}

/// Returns whether the key goes.
fn plan_unwanted(
    plan: &mut Plan,
    key: &Key,
    live: &Entry,
    is_occupied: bool,
    sides: Sides<'_>,
    policy: Policy,
) -> bool {
    let Some(last) = sides.last.get(key).filter(|item| item.is_ours()) else { return false };
    if key.is_root() || sides.ephemerals.contains(key) {
        return false;
    }
    if policy.prune == Prune::Keep {
        plan.notes.insert(key.clone(), Note::Unwanted);
    } else if is_occupied {
        plan.notes.insert(key.clone(), Note::Occupied);
    } else if !is_as_applied(live, last) && policy.edits == Edits::Keep {
        plan.conflicts.insert(key.clone(), Conflict::Edited);
    } else {
        plan.changes.insert(key.clone(), Change::Delete(live.clone()));
        return true;
    }
    false
}

/// Returns whether what is there is what `wanted` tells, as far as it tells anything.
fn is_as_told(live: &Entry, wanted: &Entry) -> bool {
    wanted.data.as_ref().is_none_or(|data| *data == live.bytes())
        && (wanted.acl.is_none() || is_acl(live, wanted))
        && (wanted.kind.is_persistent() || wanted.kind == live.kind)
}

/// Returns whether what is there is what was applied last, as far as that told anything.
fn is_as_applied(live: &Entry, last: &Item) -> bool {
    last.applied().is_none_or(|digest| digest == Digest::of(&live.bytes()))
        && (last.acl.is_none() || open(last.acl.as_ref()) == open(live.acl.as_ref()))
}

/// Returns whether what is wanted is what was applied last, as far as it tells anything.
fn is_as_before(wanted: &Entry, last: &Item) -> bool {
    wanted.data.as_ref().is_none_or(|data| last.applied() == Some(Digest::of(data)))
        && (wanted.acl.is_none() || open(wanted.acl.as_ref()) == open(last.acl.as_ref()))
}

fn is_acl(one: &Entry, other: &Entry) -> bool {
    open(one.acl.as_ref()) == open(other.acl.as_ref())
}

/// Returns a list as text; the open one is the same whether it is told or not.
fn open(acl: Option<&AclText>) -> &str {
    acl.map_or("world:anyone:cdrwa", AclText::as_str)
}

fn has_children(key: &Key, sides: Sides<'_>) -> bool {
    let is_below = |other: &Key| other.parent().as_ref() == Some(key);
    sides.live.keys().chain(sides.wanted.keys()).chain(sides.ephemerals).any(is_below)
}

/// Returns the keys of ours that are not as they were applied.
pub fn edited<'a>(last: &'a Manifest, live: &'a Tree) -> impl Iterator<Item = &'a Key> {
    let is_edited = |(key, item): &(&Key, &Item)| {
        item.is_ours() && live.get(*key).is_none_or(|live| !is_as_applied(live, item))
    };
    last.iter().filter(is_edited).map(|(key, _)| key)
}

/// Returns what is written down as applied when the plan is, with what others have only where readers see no other:
/// with `Readers::OfRelease` also what was kept of theirs.
pub fn manifest(sides: Sides<'_>, plan: &Plan, readers: Readers) -> Manifest {
    let mut manifest = Manifest::new();
    for (key, wanted) in sides.wanted {
        let origin = if wanted.data.is_some() { Origin::Ours } else { Origin::Untold };
        manifest.insert(key.clone(), Item::of(wanted, origin));
    }
    for key in plan.notes.keys() {
        if let (None, Some(last)) = (sides.wanted.get(key), sides.last.get(key)) {
            manifest.insert(key.clone(), last.clone());
        }
    }
    if readers == Readers::OfZnodes {
        return manifest;
    }
    for (key, entry) in plan.after(sides.live) {
        let seen = Item::of(&entry, Origin::Foreign);
        match manifest.get_mut(&key) {
            None => drop(manifest.insert(key, seen)),
            Some(ours) => {
                let applied = ours.applied();
                ours.origin = match applied {
                    Some(digest) if seen.data.map(|(seen, _)| seen) == Some(digest) => Origin::Ours,
                    Some(digest) => Origin::Edited(digest),
                    None => Origin::Untold,
                };
                let is_told = ours.origin != Origin::Untold || !entry.bytes().is_empty();
                ours.data = seen.data.filter(|_| is_told);
                ours.acl = seen.acl;
                ours.kind = seen.kind;
            }
        }
    }
    manifest
}

/// Where readers look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Readers {
    /// At the znodes below the configuration's path.
    OfZnodes,
    /// At the release, and nowhere else.
    OfRelease,
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
