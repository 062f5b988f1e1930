//! A copy of a subtree in memory, kept up to date by one watch.
//!
//! **Guarantees.** What is seen at a moment, [`TreeCache::read`], is the subtree as it was at one zxid: all of
//! a multi or nothing of it. It never goes back in time. Each znode has the data and the stat of its last
//! change of data; the stat does not follow the children.
//!
//! **Failures.** While the session is suspended the copy stays as it was. After a gap it is compared with the
//! server by stats, and only what is different is read: an unchanged subtree costs a short request for
//! each znode and no data. While others write faster than this reads, the copy stays at the last moment at
//! which all was known. Znodes that may not be read are left out. When the session is over the copy stays
//! for ever, and [`TreeCache::changed`] fails.
//!
//! **Watches.** One recursive watch.

mod follow;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::{sync::watch, task::AbortHandle};

use self::follow::Follower;
use super::{RecipeError, patient};
pub use crate::recipes::node_cache::Node;
use crate::{client::Client, error::ClientError, watch::WatchKind};

/// The znodes of a subtree by path, its root among them.
pub type Tree = BTreeMap<String, Node>;

/// A copy of a subtree; dropped with the cache.
///
/// ```
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::recipes::RecipeError> {
/// use conclave_client::recipes::tree_cache::TreeCache;
///
/// let mut cache = TreeCache::start(&client, "/services").await?;
/// loop {
///     println!("{} znodes", cache.read(|tree| tree.len()));
///     cache.changed().await?;
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct TreeCache {
    tree: Arc<RwLock<Tree>>,
    changes: watch::Receiver<u64>,
    task: AbortHandle,
}

impl TreeCache {
    /// Starts a cache of a subtree whose root may be missing, and waits until all of it has been read.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub async fn start(client: &Client, path: impl Into<String>) -> Result<Self, RecipeError> {
        let (client, path) = (client.clone(), path.into());
        let watcher = patient(|| client.add_watch(&path, WatchKind::Recursive)).await?;
        let tree = Arc::new(RwLock::new(Tree::new()));
        let (sender, changes) = watch::channel(0);
        let mut follower = Follower::new(client, path, watcher, tree.clone(), sender);
        follower.catch_up().await?;
        let task = tokio::spawn(follower.run());
        Ok(Self { tree, changes, task: task.abort_handle() })
    }

    /// Looks at the tree as it was at one moment. It must not take long: changes wait for it.
    pub fn read<T>(&self, look: impl FnOnce(&Tree) -> T) -> T {
        look(&self.tree.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns one znode.
    pub fn get(&self, path: &str) -> Option<Node> {
        self.read(|tree| tree.get(path).cloned())
    }

    /// Returns the names of a znode's children, in order.
    pub fn children(&self, path: &str) -> Vec<String> {
        self.read(|tree| children(tree, path).map(str::to_owned).collect())
    }

    /// Waits until the tree is another than when this last returned.
    ///
    /// # Errors
    ///
    /// [`ClientError::SessionExpired`] when it is not followed any more.
    pub async fn changed(&mut self) -> Result<(), RecipeError> {
        self.changes.changed().await.map_err(|_| ClientError::SessionExpired.into())
    }
}

impl Drop for TreeCache {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns what every path below `path` begins with.
fn below(path: &str) -> String {
    if path == "/" { path.to_owned() } else { format!("{path}/") }
}

/// Returns the names of a znode's children in a tree, in order.
fn children<'a>(tree: &'a Tree, path: &str) -> impl Iterator<Item = &'a str> {
    let prefix = below(path);
    let range = tree.range(prefix.clone()..);
    range
        .take_while({
            let prefix = prefix.clone();
            move |(path, _)| path.starts_with(&prefix)
        })
        .map(move |(path, _)| &path[prefix.len()..])
        .filter(|name| !name.is_empty() && !name.contains('/'))
}
