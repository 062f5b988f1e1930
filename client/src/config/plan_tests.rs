use proptest::prelude::*;

use super::{super::tree::complete, *};

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn tree(pairs: &[(&str, &str)]) -> Tree {
    let mut tree: Tree =
        pairs.iter().map(|(at, data)| (key(at), Entry::data((*data).to_owned()))).collect();
    complete(&mut tree);
    tree
}

/// What is there: data is always told.
fn live(pairs: &[(&str, &str)]) -> Tree {
    let mut live = tree(pairs);
    live.values_mut().for_each(|entry| entry.data = Some(entry.bytes()));
    live
}

fn applied(pairs: &[(&str, &str)]) -> Manifest {
    let item = |(key, entry): (Key, Entry)| {
        let origin = if entry.data.is_some() { Origin::Ours } else { Origin::Untold };
        (key, Item::of(&entry, origin))
    };
    tree(pairs).into_iter().map(item).collect()
}

const PRUNE: Policy = Policy { prune: Prune::Delete, edits: Edits::Keep };
const OVERWRITE: Policy = Policy { prune: Prune::Keep, edits: Edits::Overwrite };

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Plans, and returns what became of the key `k`.
fn fate(last: Pairs<'_>, now: Pairs<'_>, wanted: Pairs<'_>, policy: Policy) -> String {
    let (last, now, wanted) = (applied(last), live(now), tree(wanted));
    let ephemerals = BTreeSet::new();
    let sides = Sides { last: &last, live: &now, ephemerals: &ephemerals, wanted: &wanted };
    let plan = plan(sides, policy);
    let change = plan.changes.get("k").map(|change| match change {
        Change::Create(_) => "create",
        Change::Set { .. } => "set",
        Change::Replace { .. } => "replace",
        Change::Delete(_) => "delete",
    });
    let note = plan.notes.get("k").map(|note| format!("{note:?}"));
    let conflict = plan.conflicts.get("k").map(|conflict| format!("conflict {conflict:?}"));
    let told: Vec<String> =
        change.map(str::to_owned).into_iter().chain(note).chain(conflict).collect();
    assert!(told.len() <= 1, "{told:?}");
    told.into_iter().next().unwrap_or_else(|| "same".to_owned())
}

#[test]
fn every_case_of_three_sides_has_its_fate() {
    let (none, a, b, c): (Pairs<'_>, Pairs<'_>, Pairs<'_>, Pairs<'_>) = (
        &[("x", "")],
        &[("x", ""), ("k", "a")],
        &[("x", ""), ("k", "b")],
        &[("x", ""), ("k", "c")],
    );
    let keep = Policy::default();
    for (last, now, wanted, policy, expected) in [
        (none, none, a, keep, "create"),
        (none, a, a, keep, "same"),
        (a, a, a, keep, "same"),
        (a, a, b, keep, "set"),
        (a, b, b, keep, "same"),
        (a, b, a, keep, "Edited"),
        (a, b, a, OVERWRITE, "set"),
        (a, b, c, keep, "conflict Edited"),
        (a, b, c, OVERWRITE, "set"),
        (a, none, a, keep, "conflict Deleted"),
        (a, none, b, OVERWRITE, "create"),
        (none, a, b, keep, "conflict Unknown"),
        (none, a, b, OVERWRITE, "set"),
        (a, a, none, keep, "Unwanted"),
        (a, a, none, PRUNE, "delete"),
        (a, b, none, PRUNE, "conflict Edited"),
        (a, b, none, Policy { prune: Prune::Delete, edits: Edits::Overwrite }, "delete"),
        (none, a, none, PRUNE, "same"),
        (a, none, none, PRUNE, "same"),
    ] {
        assert_eq!(fate(last, now, wanted, policy), expected, "{last:?} {now:?} {wanted:?}");
    }
}

#[test]
fn what_is_gone_altogether_is_made_anew() {
    let (last, now, wanted) = (applied(&[("k", "a")]), Tree::new(), tree(&[("k", "a")]));
    let ephemerals = BTreeSet::new();
    let sides = Sides { last: &last, live: &now, ephemerals: &ephemerals, wanted: &wanted };
    let plan = plan(sides, Policy::default());
    assert_eq!((plan.changes.len(), plan.conflicts.len()), (2, 0));
}

#[test]
fn a_directory_stays_while_something_of_others_is_below_it() {
    let (last, wanted) = (applied(&[("d/k", "a")]), tree(&[("x", "")]));
    let now = live(&[("d/k", "a"), ("d/theirs", "b"), ("x", "")]);
    let ephemerals = BTreeSet::new();
    let sides = Sides { last: &last, live: &now, ephemerals: &ephemerals, wanted: &wanted };
    let plan = plan(sides, PRUNE);
    assert_eq!(plan.changes.keys().map(Key::as_str).collect::<Vec<_>>(), ["d/k"]);
    assert_eq!(plan.notes.get("d"), Some(&Note::Occupied));
    let ephemerals = BTreeSet::from([key("x")]);
    let plan = super::plan(Sides { ephemerals: &ephemerals, ..sides }, PRUNE);
    assert_eq!(plan.conflicts.get("x"), Some(&Conflict::Ephemeral));
}

#[test]
fn an_acl_of_a_leaf_is_replaced_and_that_of_a_parent_refused() {
    let mut wanted = tree(&[("d/k", "a")]);
    let now = live(&[("d/k", "a")]);
    let (last, ephemerals) = (applied(&[("d/k", "a")]), BTreeSet::new());
    for at in ["d", "d/k"] {
        wanted.get_mut(at).unwrap().acl = Some("world:anyone:r".parse().unwrap());
    }
    let plan =
        plan(Sides { last: &last, live: &now, ephemerals: &ephemerals, wanted: &wanted }, PRUNE);
    assert!(matches!(plan.changes.get("d/k"), Some(Change::Replace { .. })));
    assert_eq!(plan.conflicts.get("d"), Some(&Conflict::Children));
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[ab](/[ab]){0,2}", "[xyz]"), 0..6)
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(key, data)| (key.as_str(), data.as_str())).collect()
}

proptest! {
    /// Goal: whatever was there, what was planned is what there is, and nothing remains to do.
    #[test]
    fn an_applied_plan_is_settled(last in pairs(), now in pairs(), want in pairs(), prune: bool) {
        let (last, now, want) =
            (applied(&borrowed(&last)), live(&borrowed(&now)), tree(&borrowed(&want)));
        let prune = if prune { Prune::Delete } else { Prune::Keep };
        let policy = Policy { prune, edits: Edits::Overwrite };
        let ephemerals = BTreeSet::new();
        let sides = Sides { last: &last, live: &now, ephemerals: &ephemerals, wanted: &want };
        let first = plan(sides, policy);
        prop_assert!(first.conflicts.is_empty());
        let after = first.after(&now);
        for (key, wanted) in &want {
            prop_assert!(is_as_told(&after[key], wanted), "{}", key);
        }
        for key in after.keys().filter(|key| !key.is_root()) {
            prop_assert!(after.contains_key(&key.parent().unwrap()), "{} has a parent", key);
        }
        for readers in [Readers::OfZnodes, Readers::OfRelease] {
            let last = manifest(sides, &first, readers);
            let again = plan(Sides { last: &last, live: &after, ..sides }, policy);
            prop_assert_eq!(&again.changes, &BTreeMap::new());
            prop_assert_eq!(&again.conflicts, &BTreeMap::new());
        }
    }

    /// Goal: nothing that others did is lost without a word.
    #[test]
    fn edits_of_others_survive(last in pairs(), now in pairs(), want in pairs()) {
        let (last, now, want) =
            (applied(&borrowed(&last)), live(&borrowed(&now)), tree(&borrowed(&want)));
        let ephemerals = BTreeSet::new();
        let sides = Sides { last: &last, live: &now, ephemerals: &ephemerals, wanted: &want };
        let plan = plan(sides, PRUNE);
        for key in plan.changes.keys() {
            if let Some(live) = now.get(key) {
                let applied = last.get(key);
                prop_assert!(applied.is_some_and(|item| is_as_applied(live, item)), "{}", key);
            }
        }
    }

    /// Goal: a release that readers see holds exactly what they saw.
    #[test]
    fn a_release_holds_all_that_is_there(last in pairs(), now in pairs(), want in pairs()) {
        let (last, now, want) =
            (applied(&borrowed(&last)), live(&borrowed(&now)), tree(&borrowed(&want)));
        let ephemerals = BTreeSet::new();
        let sides = Sides { last: &last, live: &now, ephemerals: &ephemerals, wanted: &want };
        let plan = plan(sides, OVERWRITE);
        let manifest = manifest(sides, &plan, Readers::OfRelease);
        let after = plan.after(&now);
        for (key, entry) in &after {
            let digest = manifest[key].data.map(|(digest, _)| digest);
            prop_assert_eq!(digest.unwrap_or(Digest::of(b"")), Digest::of(&entry.bytes()));
        }
        prop_assert_eq!(manifest.len(), after.len());
    }
}
