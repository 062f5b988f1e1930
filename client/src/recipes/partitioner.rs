//! A set divided among those who are there.
//!
//! **Guarantees.** An item is held by one member at most: each is a [`Lock`](super::lock) of its own. When all
//! members agree on the set and on who is there, each item has one, and no member has more than its
//! share, rounded up. A change of members moves few items beyond those that have to move.
//!
//! **Failures.** A member that dies holds its items until its session has expired. [`Partition::lost`] tells when
//! they can no longer be relied on.
//!
//! **Watches.** One recursive watch of the members for each; who wants an item that is still held
//! watches that one.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Held, Lost, RecipeError,
    group::{Group, Members, Membership},
    lock::Lock,
};
use crate::client::Client;

/// One member's part of a set.
#[derive(Debug)]
pub struct Partition {
    client: Client,
    dir: String,
    name: String,
    set: BTreeSet<String>,
    membership: Membership,
    members: Members,
    held: BTreeMap<String, Held>,
}

impl Partition {
    /// Joins those that divide a set at a path among them. Names of members and of items are names of
    /// znodes.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn join(
        client: &Client,
        path: impl Into<String>,
        name: &str,
        set: impl IntoIterator<Item = String>,
    ) -> Result<Self, RecipeError> {
        let dir = path.into();
        let group = Group::new(client, format!("{dir}/members"));
        let membership = group.join(name, "").await?;
        let members = group.follow().await?;
        Ok(Self {
            client: client.clone(),
            dir,
            name: name.to_owned(),
            set: set.into_iter().collect(),
            membership,
            members,
            held: BTreeMap::new(),
        })
    }

    /// Returns the items that are held now.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }

    /// Gives back what belongs to others by now and takes what belongs here, and returns the items once
    /// all of them are held. Stop work on what [`Self::surplus`] tells before calling it.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn settle(&mut self) -> Result<BTreeSet<String>, RecipeError> {
        loop {
            let wanted = self.share();
            self.held.retain(|item, _| wanted.contains(item));
            let missing = wanted.iter().find(|item| !self.held.contains_key(*item)).cloned();
            let Some(item) = missing else { return Ok(wanted) };
            let lock = Lock::new(&self.client, format!("{}/items/{item}", self.dir));
            let lock = lock.identifier(self.name.clone());
            tokio::select! {
                held = lock.lock() => drop(self.held.insert(item, held?)),
                changed = self.members.changed() => changed?,
            }
        }
    }

    /// Returns what is held and belongs to others by now.
    pub fn surplus(&self) -> BTreeSet<String> {
        let wanted = self.share();
        self.held.keys().filter(|item| !wanted.contains(*item)).cloned().collect()
    }

    /// Waits until the members are others than when this or [`Self::settle`] last looked.
    ///
    /// # Errors
    ///
    /// As [`Members::changed`].
    pub async fn changed(&mut self) -> Result<(), RecipeError> {
        self.members.changed().await
    }

    /// Waits until an item can no longer be relied on; for ever when none is held.
    pub async fn lost(&self) -> Lost {
        match self.held.values().next() {
            // They are all of one session.
            Some(held) => held.lost().await,
            None => std::future::pending().await,
        }
    }

    /// Gives everything back and leaves.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn leave(self) -> Result<(), RecipeError> {
        for held in self.held.into_values() {
            held.release().await?;
        }
        self.membership.leave().await
    }

    fn share(&self) -> BTreeSet<String> {
        let members: Vec<String> = self.members.current().into_keys().collect();
        divide(&self.set, &members).remove(&self.name).unwrap_or_default()
    }
}

/// Divides items among members: each item goes to the member that ranks highest for it and still has room.
/// As the ranks of one pair do not depend on others, few items move when members come and go.
fn divide(set: &BTreeSet<String>, members: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let mut shares: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    if members.is_empty() {
        return shares;
    }
    let room = set.len().div_ceil(members.len());
    for item in set {
        let free = members.iter().filter(|name| shares.get(*name).map_or(0, BTreeSet::len) < room);
        let best = free.max_by_key(|name| rank(name, item)).expect("there is room for all");
        shares.entry(best.clone()).or_default().insert(item.clone());
    }
    shares
}

/// FNV-1a over both names, mixed so that all bits count.
fn rank(member: &str, item: &str) -> u64 {
    let bytes = member.bytes().chain([b'/']).chain(item.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{prefix}{number}")).collect()
    }

    #[test]
    fn every_item_has_one_member_and_no_member_more_than_its_share() {
        let set: BTreeSet<String> = names("item-", 100).into_iter().collect();
        for count in 1..20 {
            let shares = divide(&set, &names("member-", count));
            assert_eq!(shares.values().map(BTreeSet::len).sum::<usize>(), 100);
            assert!(shares.values().all(|share| share.len() <= 100_usize.div_ceil(count)));
        }
        assert!(divide(&set, &[]).is_empty());
    }

    #[test]
    fn few_items_move_when_a_member_goes() {
        let set: BTreeSet<String> = names("item-", 1000).into_iter().collect();
        let members = names("member-", 10);
        let (before, after) = (divide(&set, &members), divide(&set, &members[1..]));
        let stayed: usize = members[1..]
            .iter()
            .map(|member| before[member].intersection(&after[member]).count())
            .sum();
        // All but the hundred of the one that went could stay; dealt out anew, a ninth of them would.
        assert!(stayed > 700, "{stayed} of 900 stayed");
    }
}
