//! A copy of one znode in memory, kept up to date.
//!
//! **Guarantees.** The copy never goes back in time, and follows every change; changes that come faster than
//! they are read are seen as one.
//!
//! **Failures.** While the session is suspended the copy stays as it was; it is read again after every gap.
//! When the session is over it stays for ever, and [`NodeCache::changed`] fails.
//!
//! **Watches.** One persistent watch of the znode.

use std::sync::Arc;

use bytes::Bytes;
use conclave_protocol::stat::Stat;
use tokio::{sync::watch, task::AbortHandle};

use super::{RecipeError, patient};
use crate::{
    client::Client,
    error::ClientError,
    watch::{WatchKind, Watcher},
};

/// A znode as a cache has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Its data.
    pub data: Bytes,
    /// Its stat when the data was read.
    pub stat: Stat,
}

/// A copy of one znode; dropped with the cache.
#[derive(Debug)]
pub struct NodeCache {
    current: watch::Receiver<Option<Arc<Node>>>,
    task: AbortHandle,
}

impl NodeCache {
    /// Starts a cache of a znode that may be missing, and waits until it has been read.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoAuth`], and those of the session.
    pub async fn start(client: &Client, path: impl Into<String>) -> Result<Self, RecipeError> {
        let (client, path) = (client.clone(), path.into());
        let watcher = patient(|| client.add_watch(&path, WatchKind::Persistent)).await?;
        let first = read(&client, &path).await?;
        let (sender, current) = watch::channel(first);
        let task = tokio::spawn(async move { follow(&client, &path, watcher, &sender).await });
        Ok(Self { current, task: task.abort_handle() })
    }

    /// Returns the znode; `None` while there is none.
    pub fn current(&self) -> Option<Arc<Node>> {
        self.current.borrow().clone()
    }

    /// Waits until the znode is another than was last returned by this, and returns it.
    ///
    /// # Errors
    ///
    /// [`ClientError::SessionExpired`] when it is not followed any more.
    pub async fn changed(&mut self) -> Result<Option<Arc<Node>>, RecipeError> {
        self.current.changed().await.map_err(|_| ClientError::SessionExpired)?;
        Ok(self.current.borrow_and_update().clone())
    }
}

impl Drop for NodeCache {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(client: &Client, path: &str) -> Result<Option<Arc<Node>>, ClientError> {
    match patient(|| client.get_data(path)).await {
        Ok((data, stat)) => Ok(Some(Arc::new(Node { data, stat }))),
        Err(ClientError::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn follow(
    client: &Client,
    path: &str,
    mut watcher: Watcher,
    current: &watch::Sender<Option<Arc<Node>>>,
) {
    loop {
        if watcher.next().await.is_none() {
            // The session has ended; with another in its place it goes on.
            let again = patient(|| client.add_watch(path, WatchKind::Persistent)).await;
            let Ok(again) = again else { return };
            watcher = again;
        }
        while watcher.try_next().is_some() {}
        let Ok(node) = read(client, path).await else { continue };
        current.send_if_modified(|known| {
            let is_other = *known != node;
            *known = node;
            is_other
        });
    }
}
