//! Who is there: members of a group, each with something to say.
//!
//! **Guarantees.** A member is listed from the moment [`Group::join`] returns until it leaves or its session
//! ends. No two members have one name.
//!
//! **Failures.** A member that dies is listed until its session has expired. A name whose former owner
//! has died and is still listed is waited for.
//!
//! **Watches.** None for members; one recursive watch for each that follows the group.
//!
//! **Others.** Kazoo's `Party` counts these members, and these count kazoo's.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{RecipeError, cleanup, patient, place::Place, tree_cache::TreeCache};
use crate::{client::Client, error::ClientError};

/// A group at a path.
#[derive(Clone, Debug)]
pub struct Group {
    client: Client,
    dir: String,
}

/// One's own membership; ends when dropped.
#[derive(Debug)]
pub struct Membership {
    place: Place,
}

/// The members of a group, kept up to date.
#[derive(Debug)]
pub struct Members {
    cache: TreeCache,
    dir: String,
}

impl Group {
    /// Makes a group at a path, whose znode and parents are made when they are needed.
    pub fn new(client: &Client, path: impl Into<String>) -> Self {
        Self { client: client.clone(), dir: path.into() }
    }

    /// Joins under a name, and waits while another member has it.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn join(
        &self,
        name: &str,
        data: impl Into<Bytes>,
    ) -> Result<Membership, RecipeError> {
        let (path, data) = (format!("{}/{name}", self.dir), data.into());
        loop {
            match cleanup::create_own(&self.client, &path, &data).await {
                Ok(created) => {
                    return Ok(Membership { place: Place::new(self.client.clone(), created) });
                }
                Err(ClientError::NodeExists) => {}
                Err(error) => return Err(error.into()),
            }
            match patient(|| self.client.get_data_and_watch(&path)).await {
                Ok((_, mut watcher)) => drop(watcher.event().await),
                Err(ClientError::NoNode) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns the members' names and what they say.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn members(&self) -> Result<BTreeMap<String, Bytes>, RecipeError> {
        let names = match patient(|| self.client.get_children(&self.dir)).await {
            Ok((names, _)) => names,
            Err(ClientError::NoNode) => return Ok(BTreeMap::new()),
            Err(error) => return Err(error.into()),
        };
        let mut members = BTreeMap::new();
        for name in names {
            match patient(|| self.client.get_data(&format!("{}/{name}", self.dir))).await {
                Ok((data, _)) => drop(members.insert(name, data)),
                Err(ClientError::NoNode) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(members)
    }

    /// Follows the group.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn follow(&self) -> Result<Members, RecipeError> {
        let cache = TreeCache::start(&self.client, self.dir.clone()).await?;
        Ok(Members { cache, dir: self.dir.clone() })
    }
}

impl Membership {
    /// Returns the path of the member's znode.
    pub fn path(&self) -> &str {
        self.place.path()
    }

    /// Leaves the group, and waits until nobody lists it any more.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn leave(self) -> Result<(), RecipeError> {
        self.place.leave().await
    }
}

impl Members {
    /// Returns the members' names and what they say.
    pub fn current(&self) -> BTreeMap<String, Bytes> {
        let prefix = format!("{}/", self.dir);
        self.cache.read(|tree| {
            let members = tree.iter().filter_map(|(path, node)| {
                let name = path.strip_prefix(&prefix).filter(|name| !name.contains('/'))?;
                Some((name.to_owned(), node.data.clone()))
            });
            members.collect()
        })
    }

    /// Waits until the group is another than when this last returned.
    ///
    /// # Errors
    ///
    /// As [`TreeCache::changed`].
    pub async fn changed(&mut self) -> Result<(), RecipeError> {
        self.cache.changed().await
    }
}
