//! The task that keeps a tree up to date.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use conclave_protocol::event::EventKind;
use tokio::sync::watch;

use super::{Node, Tree, below, children};
use crate::{
    client::Client,
    error::{ClientError, ErrorKind},
    recipes::patient,
    watch::{Notice, WatchKind, Watcher},
};

/// Requests of one round at most: they are all under way at once.
const ROUND_MAX: usize = 1024;

/// What was found at paths: a znode, or none.
type Changes = BTreeMap<String, Option<Node>>;

pub(super) struct Follower {
    client: Client,
    root: String,
    watcher: Watcher,
    tree: Arc<RwLock<Tree>>,
    changes: watch::Sender<u64>,
    /// Paths of which an event told.
    touched: BTreeSet<String>,
    /// Whether events may have been missed.
    has_gap: bool,
}

impl Follower {
    pub(super) const fn new(
        client: Client,
        root: String,
        watcher: Watcher,
        tree: Arc<RwLock<Tree>>,
        changes: watch::Sender<u64>,
    ) -> Self {
        Self { client, root, watcher, tree, changes, touched: BTreeSet::new(), has_gap: true }
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.watcher.next().await {
                Some(notice) => self.note(notice),
                None => {
                    // The session has ended; with another in its place it goes on.
                    let again = || self.client.add_watch(&self.root, WatchKind::Recursive);
                    let Ok(watcher) = patient(again).await else { return };
                    (self.watcher, self.has_gap) = (watcher, true);
                }
            }
            // A session that ends meanwhile is seen by its watcher.
            drop(self.catch_up().await);
        }
    }

    fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Gap(_) => self.has_gap = true,
            Notice::Event(event) if event.kind == EventKind::NodeChildrenChanged => {}
            Notice::Event(event) => self.touched.extend(event.path.as_str().map(str::to_owned)),
        }
    }

    /// Reads what has changed, until nothing has while it was read. An event comes before any answer that
    /// could reveal its change: so when none waits behind the answers, what was found is the tree at the
    /// zxid of the last of them.
    pub(super) async fn catch_up(&mut self) -> Result<(), ClientError> {
        let mut found = Changes::new();
        loop {
            while let Some(notice) = self.watcher.try_next() {
                self.note(notice);
            }
            if self.has_gap {
                self.touched.clear();
                self.has_gap = false;
                match self.compare().await {
                    Ok(all) => found = all,
                    Err(error) => {
                        self.has_gap = true;
                        return Err(error);
                    }
                }
            } else if self.touched.is_empty() {
                self.publish(found);
                return Ok(());
            } else {
                let touched: Vec<String> = std::mem::take(&mut self.touched).into_iter().collect();
                for round in touched.chunks(ROUND_MAX) {
                    match self.read(round).await {
                        Ok(some) => found.extend(some),
                        Err(error) => {
                            self.has_gap = true;
                            return Err(error);
                        }
                    }
                }
            }
        }
    }

    async fn read(&self, paths: &[String]) -> Result<Changes, ClientError> {
        let answers: Vec<_> = paths.iter().map(|path| self.client.get_data(path)).collect();
        let mut found = Changes::new();
        for (path, answer) in paths.iter().zip(answers) {
            let node = match again(answer.await, || self.client.get_data(path)).await {
                Ok((data, stat)) => Some(Node { data, stat }),
                Err(ClientError::NoNode | ClientError::NoAuth) => None,
                Err(error) => return Err(error),
            };
            found.insert(path.clone(), node);
        }
        Ok(found)
    }

    /// Compares the whole tree with the server's, level by level; data and lists are read only where the
    /// stat says that they are others.
    async fn compare(&self) -> Result<Changes, ClientError> {
        let known = self.tree.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found: Changes = known.keys().map(|path| (path.clone(), None)).collect();
        let mut level = vec![self.root.clone()];
        while !level.is_empty() {
            let mut next = Vec::new();
            for round in level.chunks(ROUND_MAX) {
                next.extend(self.compare_round(round, &known, &mut found).await?);
            }
            level = next;
        }
        Ok(found)
    }

    /// Compares some paths, and returns those of their children.
    async fn compare_round(
        &self,
        paths: &[String],
        known: &Tree,
        found: &mut Changes,
    ) -> Result<Vec<String>, ClientError> {
        let (mut unread, mut unlisted, mut below_them) = (Vec::new(), Vec::new(), Vec::new());
        let answers: Vec<_> = paths.iter().map(|path| self.client.exists(path)).collect();
        for (path, answer) in paths.iter().zip(answers) {
            let Some(stat) = again(answer.await, || self.client.exists(path)).await? else {
                continue;
            };
            match known.get(path) {
                Some(node) if node.stat.mzxid == stat.mzxid => {
                    let is_listed = node.stat.pzxid == stat.pzxid;
                    found.insert(path.clone(), Some(Node { data: node.data.clone(), stat }));
                    if is_listed {
                        let names = children(known, path);
                        below_them.extend(names.map(|name| format!("{}{name}", below(path))));
                        continue;
                    }
                }
                _ => unread.push(path.clone()),
            }
            // A znode that has never had children has changed its list when it was made.
            if stat.num_children > 0 {
                unlisted.push(path);
            }
        }
        found.extend(self.read(&unread).await?);
        let answers: Vec<_> = unlisted.iter().map(|path| self.client.get_children(path)).collect();
        for (path, answer) in unlisted.iter().zip(answers) {
            match again(answer.await, || self.client.get_children(path)).await {
                Ok((names, _)) => {
                    below_them.extend(names.iter().map(|name| format!("{}{name}", below(path))));
                }
                Err(ClientError::NoNode | ClientError::NoAuth) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(below_them)
    }

    /// Shows all that was found at once.
    fn publish(&self, found: Changes) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        let mut has_changed = false;
        for (path, node) in found {
            has_changed |= match node {
                Some(node) => {
                    let is_other = tree.get(&path).is_none_or(|known| {
                        (known.stat.czxid, known.stat.mzxid) != (node.stat.czxid, node.stat.mzxid)
                    });
                    tree.insert(path, node);
                    is_other
                }
                None => tree.remove(&path).is_some(),
            };
        }
        drop(tree);
        if has_changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

/// Asks again what was under way when the connection was lost.
async fn again<T, F>(
    answer: Result<T, ClientError>,
    ask: impl FnMut() -> F,
) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    match answer {
        Err(error) if matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::NotDone) => {
            patient(ask).await
        }
        answer => answer,
    }
}
