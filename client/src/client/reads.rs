//! Operations that read, and those that watch.

use std::sync::Arc;

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    request::Request,
    response::{ClientInfo, Response},
    stat::Stat,
    text::Text,
};

use super::{Answer, Client, answer::Answered, chroot::Chroot, text};
use crate::{
    error::ClientError,
    ops::{self, ReadOp, ReadOutcome},
    watch::{WatchKind, Watched, Watcher},
};

impl Client {
    /// Returns a znode's stat, or `None` when there is none.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub fn exists(&self, path: &str) -> Answer<Option<Stat>> {
        let request = Request::Exists { path: path.into(), watch: false };
        self.call_and_watch(request, None, found)
    }

    /// Returns a znode's stat, or `None`, and a watcher of its creation, change or deletion.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub fn exists_and_watch(&self, path: &str) -> Answer<(Option<Stat>, Watcher)> {
        let (watch, watcher) = self.watch(path, WatchKind::Exist);
        let request = Request::Exists { path: path.into(), watch: true };
        self.call_and_watch(request, Some(watch), |answered| Ok((found(answered)?, watcher)))
    }

    /// Returns a znode's data and stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::NoAuth`], and others.
    pub fn get_data(&self, path: &str) -> Answer<(Bytes, Stat)> {
        self.call(Request::GetData { path: path.into(), watch: false }, data)
    }

    /// Returns a znode's data and stat, and a watcher of its change or deletion.
    ///
    /// # Errors
    ///
    /// As [`Self::get_data`]; then nothing is watched.
    pub fn get_data_and_watch(&self, path: &str) -> Answer<((Bytes, Stat), Watcher)> {
        let (watch, watcher) = self.watch(path, WatchKind::Data);
        let request = Request::GetData { path: path.into(), watch: true };
        self.call_and_watch(request, Some(watch), |answered| Ok((data(answered?)?, watcher)))
    }

    /// Returns the names of a znode's children, in order, and its stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::NoAuth`], and others.
    pub fn get_children(&self, path: &str) -> Answer<(Vec<String>, Stat)> {
        self.call(Request::GetChildren2 { path: path.into(), watch: false }, children)
    }

    /// Returns a znode's children and stat, and a watcher of the list.
    ///
    /// # Errors
    ///
    /// As [`Self::get_children`]; then nothing is watched.
    pub fn get_children_and_watch(&self, path: &str) -> Answer<((Vec<String>, Stat), Watcher)> {
        let (watch, watcher) = self.watch(path, WatchKind::Child);
        let request = Request::GetChildren2 { path: path.into(), watch: true };
        self.call_and_watch(request, Some(watch), |answered| Ok((children(answered?)?, watcher)))
    }

    /// Returns how many znodes are below one, at any depth.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::NoAuth`], and others.
    pub fn get_all_children_number(&self, path: &str) -> Answer<u64> {
        self.call(Request::GetAllChildrenNumber { path: path.into() }, |response| match response {
            Response::AllChildrenNumber(count) => {
                u64::try_from(count).map_err(|_| ClientError::Malformed)
            }
            _ => Err(ClientError::Malformed),
        })
    }

    /// Returns the paths, in order, of this session's ephemerals that begin with the text `prefix`:
    /// `/a` finds `/a/x` and `/abc`.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub fn get_ephemerals(&self, prefix: &str) -> Answer<Vec<String>> {
        self.call(Request::GetEphemerals { prefix: prefix.into() }, |response| match response {
            Response::Ephemerals(paths) => sorted(&paths),
            _ => Err(ClientError::Malformed),
        })
    }

    /// Reads several znodes in one request; each has its own outcome. The protocol does not promise that
    /// no write falls between two of them.
    ///
    /// # Errors
    ///
    /// Those of the session; [`ClientError::Unimplemented`] by servers before 3.6.
    pub fn multi_read(&self, ops: Vec<ReadOp>) -> Answer<Vec<Result<ReadOutcome, ClientError>>> {
        let ops = ops.into_iter().map(ops::encode_read).collect();
        self.call(Request::MultiRead(ops), |response| match response {
            Response::Multi(results) => ops::read_outcomes(results),
            _ => Err(ClientError::Malformed),
        })
    }

    /// Returns the ensemble's members as the server tells them, and the stat of that; a chroot does not
    /// matter.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`] by servers before 3.5, and others.
    pub fn get_config(&self) -> Answer<(Bytes, Stat)> {
        let request = Request::GetData { path: CONFIG_PATH.into(), watch: false };
        self.whole().call(request, data)
    }

    /// As [`Self::get_config`], and a watcher of the members.
    ///
    /// # Errors
    ///
    /// As [`Self::get_config`]; then nothing is watched.
    pub fn get_config_and_watch(&self) -> Answer<((Bytes, Stat), Watcher)> {
        self.whole().get_data_and_watch(CONFIG_PATH)
    }

    /// Returns a handle on the whole tree.
    pub(super) fn whole(&self) -> Self {
        Self { core: self.core.clone(), chroot: Arc::new(Chroot::new(String::new())) }
    }

    /// Returns a znode's ACL and stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::NoAuth`], and others.
    pub fn get_acl(&self, path: &str) -> Answer<(Vec<Acl>, Stat)> {
        self.call(Request::GetAcl { path: path.into() }, |response| match response {
            Response::Acl { acl, stat } => Ok((acl, stat)),
            _ => Err(ClientError::Malformed),
        })
    }

    /// Waits until this session's server has all that was committed when the call was made.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub fn sync(&self, path: &str) -> Answer<()> {
        self.call(Request::Sync { path: path.into() }, |_| Ok(()))
    }

    /// Returns who the server takes this session for.
    ///
    /// # Errors
    ///
    /// Those of the session; [`ClientError::Unimplemented`] by servers before 3.7.
    pub fn who_am_i(&self) -> Answer<Vec<ClientInfo>> {
        self.call(Request::WhoAmI, |response| match response {
            Response::WhoAmI(infos) => Ok(infos),
            _ => Err(ClientError::Malformed),
        })
    }

    /// Watches a znode, and with [`WatchKind::Recursive`] all below it, until the session ends or the
    /// watch is removed.
    ///
    /// # Errors
    ///
    /// Those of the session; [`ClientError::BadArguments`] for a one-shot kind.
    pub fn add_watch(&self, path: &str, kind: WatchKind) -> Answer<Watcher> {
        let mode = match kind {
            WatchKind::Persistent => 0,
            WatchKind::Recursive => 1,
            WatchKind::Data | WatchKind::Exist | WatchKind::Child => {
                return self.refused(ClientError::BadArguments);
            }
        };
        let (watch, watcher) = self.watch(path, kind);
        let request = Request::AddWatch { path: path.into(), mode };
        self.call_and_watch(request, Some(watch), |answered| answered.map(|_| watcher))
    }

    /// Asks whether the server has watches of this session for a znode.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoWatcher`] when there is none.
    pub fn check_watches(&self, path: &str, watched: Watched) -> Answer<()> {
        let request = Request::CheckWatches { path: path.into(), kind: watched as i32 };
        self.call(request, |_| Ok(()))
    }

    /// Removes this session's watches of a znode; their watchers hear no more. A persistent watch
    /// is removed by [`Watched::Any`] only.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoWatcher`] when there is none.
    pub fn remove_watches(&self, path: &str, watched: Watched) -> Answer<()> {
        let request = Request::RemoveWatches { path: path.into(), kind: watched as i32 };
        self.call(request, |_| Ok(()))
    }
}

/// Where the ensemble tells its members; no chroot changes that.
const CONFIG_PATH: &str = "/zookeeper/config";

/// Reads the answer to exists, where no znode is no error.
fn found(answered: Answered) -> Result<Option<Stat>, ClientError> {
    match answered {
        Ok(response) => stat(response).map(Some),
        Err(ClientError::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads an answer that is a stat.
pub(super) fn stat(response: Response) -> Result<Stat, ClientError> {
    match response {
        Response::Stat(stat) => Ok(stat),
        _ => Err(ClientError::Malformed),
    }
}

pub(super) fn data(response: Response) -> Result<(Bytes, Stat), ClientError> {
    match response {
        Response::Data { data, stat } => Ok((data.unwrap_or_default(), stat)),
        _ => Err(ClientError::Malformed),
    }
}

fn children(response: Response) -> Result<(Vec<String>, Stat), ClientError> {
    match response {
        Response::Children2 { children, stat } => Ok((sorted(&children)?, stat)),
        _ => Err(ClientError::Malformed),
    }
}

/// Servers list in no fixed order.
pub(crate) fn sorted(texts: &[Text]) -> Result<Vec<String>, ClientError> {
    let mut texts: Vec<String> = texts.iter().map(text).collect::<Result<_, _>>()?;
    texts.sort_unstable();
    Ok(texts)
}
